"""What differs between two registers of processing activities, as their documents say it. Pure.

What changes from day to day tells nothing of how data are processed, and is left out: how many people a recipient received
something of and until when, how old the keys are, the newest checkpoint.
"""

import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from vault.processing.register import Json

_PARTS: Final = (  # member of the document, what it is called, by which member its parts are told apart, how that one begins
    ("dpv:hasProcess", "activity", "@id", "purpose-"),
    ("dpv:hasRecipient", "recipient", "@id", "recipient-"),
    ("vault:hasTransfer", "transfer", "dpv:hasRecipient", "recipient-"),
)
_DAILY: Final = frozenset({"vault:people", "vault:first_on", "vault:last_on", "vault:firstOn", "vault:lastOn"})
_DAILY_MEASURES: Final = frozenset({"vault:epoch", "vault:epoch_days", "vault:checkpoint"})


class Difference(NamedTuple):
    """One part that is new, gone or changed; `members` are those that changed."""

    part: str
    name: str
    change: str
    members: tuple[str, ...] = ()


def read_document(octets: bytes) -> Json:
    """Return the document of a register, signed or not: its first line. Raises ValueError for anything else."""
    try:
        found: Json = json.loads(octets.partition(b"\n")[0])
        _parts(found)
    except (ValueError, LookupError, TypeError, AttributeError):
        raise ValueError("no register of processing activities") from None
    return found


def differences(before: Json, after: Json) -> list[Difference]:
    """Return what differs, part by part, by name."""
    old, new = _parts(before), _parts(after)
    found = [Difference(*key, "gone") for key in old.keys() - new.keys()]
    found += [Difference(*key, "new") for key in new.keys() - old.keys()]
    for key in old.keys() & new.keys():
        if members := tuple(sorted(_members(old[key], new[key]))):
            found.append(Difference(*key, "changed", members))
    return sorted(found)


def _parts(document: Json) -> dict[tuple[str, str], Mapping[str, Any]]:
    """Return the parts of a document by what they are called and their names."""
    found: dict[tuple[str, str], Mapping[str, Any]] = {("controller", ""): document["dpv:hasDataController"]}
    for member, part, by, begins in _PARTS:
        found |= {(part, one[by].partition("#")[2].removeprefix(begins)): one for one in document[member]}
    found |= {("error", f"{one['vault:code']} {one['vault:about']}"): one for one in document["vault:hasError"]}
    measures = document["dpv:hasTechnicalOrganisationalMeasure"]
    found["measures", ""] = {name: one for name, one in measures.items() if name not in _DAILY_MEASURES}
    return found


def _members(old: Mapping[str, Any], new: Mapping[str, Any]) -> set[str]:
    one, other = _lasting(old), _lasting(new)
    return {name for name in one.keys() | other.keys() if one.get(name) != other.get(name)}


def _lasting(said: Any) -> Any:
    if isinstance(said, Mapping):
        return {name: _lasting(one) for name, one in said.items() if name not in _DAILY}
    return said
