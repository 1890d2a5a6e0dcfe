"""Facts for the outside, stored in the transaction that caused them: `noun:fact` from a closed list, ids only."""

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

import sqlalchemy as sa

from vault import tables

NAMES = frozenset({
    "subject:enrolled", "subject:amended", "agreement:given", "agreement:withdrawn", "agreement:expired", "agreement:superseded",
    "agreement:narrowed",
    "class:emptied", "class:archived", "break-glass:opened", "break-glass:approved", "break-glass:reviewed",
    "break-glass:notice-due", "suspicion:raised", "verification:locked",
    "policy:denied", "policy:denial-lifted", "breach:opened", "breach:closed",
    "subject:restricted", "subject:unrestricted", "subject:objected", "subject:objection-ended", "subject:died",
    "subject:death-retracted", "subject:erased",
    "request:received", "request:moved", "request:alarm",
    "task:overdue", "retention:waiting", "contact:changing", "field:erased", "letter:failed", "source:alarm",
})  # fmt: skip
_INSERT = sa.insert(tables.event)


class MakesIds(Protocol):
    """Whoever hands out ids: a running vault."""

    @property
    def new_id(self) -> Callable[[str], str]:
        """Return a fresh id with this prefix."""


def announce(
    rows: sa.Connection, maker: MakesIds, controller_id: str, name: str, entry_id: str, at: datetime, **data: str | int | list[str]
) -> None:
    """Store one event in the caller's transaction. Raises ValueError for a name that is not in the list."""
    if name not in NAMES:
        raise ValueError("unknown event")
    rows.execute(
        _INSERT,
        {
            "controller_id": controller_id, "event_id": maker.new_id("evt"), "name": name, "data": data, "at": at, "sent_at": None,
            "entry_id": entry_id,
        },
    )  # fmt: skip
