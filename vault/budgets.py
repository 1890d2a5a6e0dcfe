"""Budgets: counters of what somebody may do in a window, spent in a transaction of their own so that a refusal counts too.

A counter belongs to a holder (the id of a caller, a team or a person) and says what it counts. Its window begins with the first act
and is over at once for all, so a counter needs no sweep to be right.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from vault import tables

_NEW = insert(tables.budget)
_B = tables.budget.c
_FRESH = _B.window_at <= sa.bindparam("oldest", type_=sa.DateTime(timezone=True))
_SPEND = _NEW.on_conflict_do_update(
    index_elements=["controller_id", "caller_id", "kind"],
    set_={
        "spent": sa.case((_FRESH, _NEW.excluded.spent), else_=_B.spent + _NEW.excluded.spent),
        "window_at": sa.case((_FRESH, _NEW.excluded.window_at), else_=_B.window_at),
    },
).returning(_B.spent, _B.window_at)
_GIVE_BACK = (
    sa.update(tables.budget)
    .where(
        _B.controller_id == sa.bindparam("of_controller_id"),
        _B.caller_id == sa.bindparam("of_holder"),
        _B.kind == sa.bindparam("of_kind"),
        _B.window_at == sa.bindparam("of_window_at"),  # a later window owes nothing
    )
    .values(spent=_B.spent - sa.bindparam("count", type_=sa.Integer()))
)


@dataclass(frozen=True, slots=True)
class Budget:
    """At most `most` of one kind for a holder in a window."""

    holder: str
    kind: str
    most: int
    window: timedelta


@dataclass(frozen=True, slots=True)
class Taken:
    """What was taken from which budget, by the start of its window; `wait_s` when one of them was `spent`.

    `first`: by this act, for the first time in its window.
    """

    of: tuple[tuple[Budget, datetime], ...]
    wait_s: int | None = None
    spent: Budget | None = None
    first: bool = False


def budgets_of(holder: str, kind: str, rates: Iterable[tuple[int, int]]) -> list[Budget]:
    """Return a holder's budgets of one kind; each rate is so many in so many seconds."""
    return [Budget(holder, f"{kind}/{seconds}", most, timedelta(seconds=seconds)) for most, seconds in rates]


def spend(
    rows: sa.Connection, controller_id: str, caller_id: str, kind: str, at: datetime, window: timedelta, count: int = 1
) -> tuple[int, datetime]:
    """Count acts and return how many this window has seen, and when it began."""
    row = {"controller_id": controller_id, "caller_id": caller_id, "kind": kind, "window_at": at, "spent": count}
    found = rows.execute(_SPEND, {**row, "oldest": at - window}).one()
    return int(found.spent), found.window_at


def take(rows: sa.Connection, controller_id: str, budgets: Sequence[Budget], at: datetime, count: int = 1) -> Taken:
    """Take `count` from every budget in order, or from none but the first that is spent, which counts the refusal.

    Who wants the same counter waits for this transaction, so attempts side by side cannot pass together. Verbs name budgets in one
    order, narrowest first: then two transactions never wait for each other.
    """
    taken: list[tuple[Budget, datetime]] = []
    for budget in budgets:
        spent, began = spend(rows, controller_id, budget.holder, budget.kind, at, budget.window, count)
        if spent > budget.most:
            give_back(rows, controller_id, taken, count)
            wait_s = max(1, round((began + budget.window - at).total_seconds()))
            return Taken((), wait_s, budget, first=spent - count <= budget.most)
        taken.append((budget, began))
    return Taken(tuple(taken))


def give_back(rows: sa.Connection, controller_id: str, taken: Sequence[tuple[Budget, datetime]], count: int = 1) -> None:
    """Return to each budget what was taken from it; with 0 the same statements change nothing."""
    for budget, began in taken:
        place = {"of_controller_id": controller_id, "of_holder": budget.holder, "of_kind": budget.kind, "of_window_at": began}
        rows.execute(_GIVE_BACK, {**place, "count": count})
