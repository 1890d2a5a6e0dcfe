"""Rows of the register of recipients."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert as upsert

from vault import tables

_R = tables.recipient.c
_CONTROLLER: sa.BindParameter[str] = sa.bindparam("of_controller")
_ALL = sa.select(tables.recipient).where(_R.controller_id == _CONTROLLER).order_by(_R.name)
_OWN = ("controller_id", "name", "recipient_id", "registered_at", "secret_serial")  # what registering anew leaves as it was


@dataclass(frozen=True, slots=True)
class RecipientRow:
    """One line of the register."""

    name: str
    recipient_id: str
    party: str
    role: str
    country: str
    transfer_tool: str
    contract: str | None
    contract_from: datetime | None
    contract_until: datetime | None
    instructions: str | None
    subprocessors: Sequence[str]
    channel: str
    endpoint: str | None
    disabled_at: datetime | None
    secret_serial: int
    days: int
    registered_at: datetime
    ended_at: datetime | None
    entry_id: str


def put(rows: sa.Connection, controller_id: str, made: RecipientRow) -> None:
    """Write a line, or over the line of that name: its id and its key stay."""
    new = upsert(tables.recipient)
    changed = {c.name: new.excluded[c.name] for c in _R if c.name not in _OWN}
    statement = new.on_conflict_do_update(index_elements=["controller_id", "name"], set_=changed)
    rows.execute(statement, {"controller_id": controller_id, **{name: getattr(made, name) for name in made.__slots__}})


def recipients(rows: sa.Connection, controller_id: str) -> dict[str, RecipientRow]:
    """Return the register by name, also those that ended."""
    found = rows.execute(_ALL, {"of_controller": controller_id}).mappings()
    return {row["name"]: RecipientRow(**{name: row[name] for name in RecipientRow.__slots__}) for row in found}


def end(rows: sa.Connection, controller_id: str, name: str, at: datetime, entry_id: str) -> None:
    """Say that data go there no more; the line stays."""
    these = (_R.controller_id == controller_id, _R.name == name)
    rows.execute(sa.update(tables.recipient).where(*these).values(ended_at=at, entry_id=entry_id))
