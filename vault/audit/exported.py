"""One entry as it leaves the vault, and the first of the forms it leaves in: JSON lines.

Persons, callers, tickets and workstations become pseudonyms under a key of the destination: two destinations cannot compare what
they hold, and none holds an id of the vault. Free text, values and sealed details never leave. Pure: keys are arguments.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from vault.octets import base32_id, expand, lp, mac

LOG_OWN = frozenset(  # acts on the log itself, which are nobody's reading of somebody
    {"writer-open", "writer-close", "writer-lost", "log-recover", "log-reject", "log-prune", "log-scrub", "details-shred"}
    | {"witness", "epoch-begin", "epoch-close", "epoch-destroy", "key-export"}
    | {"review-search", "review-open", "review-note", "review-filter", "log-export"}
    | {"suspicion-open", "suspicion-close", "unmask"}
)


@dataclass(frozen=True, slots=True)
class Line:
    """One entry for one destination. `relationship` is opened for the bank's register alone."""

    controller_id: str
    era: int
    position: int
    leaf: Mapping[str, Any]
    subject: str | None
    caller: str | None
    team: str | None
    ticket: str | None
    ticket_state: str | None
    station: str | None
    clear_classes: Sequence[str]
    flags: Sequence[str]
    relationship: str | None = None
    differs: bool = False  # the look-up row does not say what the leaf says: nobody is named


def destination_key(secret: bytes, destination: str) -> bytes:
    """Return the key of a destination's pseudonyms, from the controller's secret `audit`."""
    return expand(secret, lp("riserbo.audit-destination.v1") + lp(destination))


def pseudonym(key: bytes, kind: str, octets: bytes) -> str:
    """Return a pseudonym: the kind's letter (`c` caller, `p` person, `t` ticket, `w` workstation) and 16 characters."""
    return f"{kind}_" + base32_id(mac(key, lp(kind) + lp(octets)))[:16]


def time_of(leaf: Mapping[str, Any]) -> datetime:
    """Return when an entry was made, in UTC."""
    return datetime.fromtimestamp(leaf["at"] / 1000, UTC)


def json_line(line: Line) -> bytes:
    """Return one line of JSON."""
    leaf = line.leaf
    document = {
        "entry_id": leaf["id"],
        "era": line.era,
        "position": line.position,
        "at": time_of(leaf).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        **{name: leaf.get(name) for name in ("operation", "outcome", "recipient", "purpose", "channel", "count", "bundle", "ref")},
        "caller": {"kind": leaf.get("kind"), "label": line.caller, "roles": list(leaf.get("roles", ())), "team": line.team},
        "subject": line.subject,
        "ticket": None if line.ticket is None else {"label": line.ticket, "state": line.ticket_state},
        "station": line.station,
        "terms": list(leaf.get("terms", ())),
        "fields": dict(leaf.get("fields", {})),
        "flags": list(line.flags),
        "differs": line.differs,
    }
    return orjson.dumps(document) + b"\n"
