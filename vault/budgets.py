"""Budgets: counters of what a caller may do in a window, spent in a transaction of their own so that a refusal counts too."""

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
        "spent": sa.case((_FRESH, 1), else_=_B.spent + 1),
        "window_at": sa.case((_FRESH, _NEW.excluded.window_at), else_=_B.window_at),
    },
).returning(_B.spent, _B.window_at)


def spend(
    rows: sa.Connection, controller_id: str, caller_id: str, kind: str, at: datetime, window: timedelta
) -> tuple[int, datetime]:
    """Count one act and return how many this window has seen, and when it began."""
    row = {"controller_id": controller_id, "caller_id": caller_id, "kind": kind, "window_at": at, "spent": 1, "oldest": at - window}
    found = rows.execute(_SPEND, row).one()
    return int(found.spent), found.window_at
