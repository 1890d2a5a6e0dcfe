"""To whom data went, by what entries of the trail say: one line for each recipient, person, field, level and agreement. Pure.

Lines are sums that may be formed in any order and as often as one likes: the first and the last time, and the last entry.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from vault.recipients.register import HOUSE

SHOWN: Final = frozenset({"clear", "masked", "token"})
_NOTHING_HAPPENED: Final = frozenset({"refused", "failed"})


class Line(NamedTuple):
    """What went to one recipient of one field of one person. Instants in ms; `agreement_id` is empty where nothing tells it."""

    subject_id: str
    recipient: str
    field: str
    level: str  # as the entry says it: clear, masked:<mask>, token
    agreement_id: str
    first_at: int
    last_at: int
    last: tuple[int, int]  # era and position

    @property
    def key(self) -> tuple[str, str, str, str, str]:
        """What it is a line of."""
        return self[:5]


def disclosed(leaf: Mapping[str, Any]) -> tuple[str, dict[str, str]] | None:
    """Return to whom an entry says that data went, and each field's level; None where nothing went to a recipient (Art. 4(9))."""
    recipient = leaf.get("recipient")
    if recipient is None or recipient in HOUSE or leaf.get("outcome") in _NOTHING_HAPPENED:
        return None
    fields = {name: level for name, level in leaf.get("fields", {}).items() if level.partition(":")[0] in SHOWN}
    return (recipient, fields) if fields else None


def lines_of(leaf: Mapping[str, Any], details: Mapping[str, Any], subject_id: str, place: tuple[int, int]) -> Iterable[Line]:
    """Yield the lines of one entry about this person; `details` is what was sealed beside it, empty where it no longer opens."""
    went = disclosed(leaf)
    recipient, fields = went or ("", {})
    resting = {name: agreement_id for agreement_id, names in details.get("agreements", {}).items() for name in names}
    for name, level in fields.items():
        yield Line(subject_id, recipient, name, level, resting.get(name, ""), leaf["at"], leaf["at"], place)


def summed(lines: Iterable[Line]) -> list[Line]:
    """Return one line of each key."""
    found: dict[tuple[str, str, str, str, str], Line] = {}
    for one in lines:
        other = found.get(one.key, one)
        first, last = min(one.first_at, other.first_at), max(one.last_at, other.last_at)
        found[one.key] = one._replace(first_at=first, last_at=last, last=max(one.last, other.last))
    return [found[key] for key in sorted(found)]


def received(lines: Iterable[Line]) -> dict[str, frozenset[str]]:
    """Return the fields each recipient received."""
    found: dict[str, set[str]] = {}
    for one in lines:
        found.setdefault(one.recipient, set()).add(one.field)
    return {name: frozenset(fields) for name, fields in sorted(found.items())}
