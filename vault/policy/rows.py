"""What a decision is made of: verdicts, cells, and the rows of the two tables. Pure.

A row is a function of its key alone, so it can be kept for ever: ids of persons and agreements join after the look-up.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from vault.policy.model import FieldDecision, Level


class EngineFault(Exception):
    """An evaluation reported an error, or no decision: nothing may rest on any part of it."""


class Verdict(NamedTuple):
    """One evaluation: allowed or not, the policies that determined it, and whether any policy reported an error."""

    allowed: bool
    by: tuple[str, ...]
    failed: bool = False


class Note(NamedTuple):
    """What a policy's annotations say."""

    reason: str
    obligations: tuple[str, ...]


class Rung(NamedTuple):
    """One level tried: an action, and the mask it would show through."""

    action: str
    mask: tuple[str, int] | None = None


class Cell(NamedTuple):
    """How one field may be shown, without knowing whose it is."""

    shown: FieldDecision
    returned: str  # as the record says it: `masked:email_domain`
    obligations: tuple[str, ...]


class Blocked(NamedTuple):
    """Why an agreement does not make a field lawful; the lowest rank of all agreements is told."""

    rank: int
    cell: Cell


@dataclass(frozen=True, slots=True, eq=False)
class Lawfulness:
    """A row of the first table. `order` ranks deciding agreements, `blocked` is by field position, `said` goes into records."""

    bits: int
    order: int
    blocked: tuple[Blocked, ...]
    said: Mapping[str, Any]
    given: Mapping[str, Any]

    def same_as(self, other: "Lawfulness") -> bool:
        """Whether the two would decide alike. `==` is identity: rows are parts of a key, which must be cheap to hash."""
        return (self.bits, self.order, self.blocked) == (other.bits, other.order, other.blocked)


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A row of the second table. `digest` identifies its body in the records of decisions that used it."""

    cells: tuple[Cell, ...]
    digest: str
    given: Mapping[str, Any]

    def same_as(self, other: "View") -> bool:
        """Whether the two would show alike. `==` is identity, as for the other table."""
        return (self.cells, self.digest) == (other.cells, other.digest)


class Share(NamedTuple):
    """What one of a plate's rows decides: its place among them, the shown fields, and the same as a mask over all fields."""

    number: int
    fields: tuple[str, ...]
    bits: str


class Plate(NamedTuple):
    """The answer of some rows for some fields, complete but for ids.

    `levels` is what an entry says of each field. `returned` says the same, with reasons: masks over all fields, by what is said.
    """

    fields: Mapping[str, FieldDecision]
    levels: Mapping[str, str]
    shares: tuple[Share, ...]
    returned: Mapping[str, str]
    obligations: tuple[str, ...]
    given: Mapping[str, Any]


@lru_cache(maxsize=8192)  # rows share their cells: a full table would otherwise hold a hundred megabytes
def cell(level: Level, mask: str | None, because: str, by: tuple[str, ...], obligations: tuple[str, ...] = ()) -> Cell:
    """Return the one cell of these contents."""
    said = because if level == "withheld" else mask
    return Cell(FieldDecision(level, mask, because, by), f"{level}:{said}" if said else level, obligations)


def sound(verdict: Verdict) -> Verdict:
    """Return the verdict. Raises EngineFault when its evaluation failed."""
    if verdict.failed:
        raise EngineFault
    return verdict
