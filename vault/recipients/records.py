"""Rows of the register of recipients."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert as upsert

from vault import tables
from vault.recipients.disclosures import Line

_R = tables.recipient.c
_CONTROLLER: sa.BindParameter[str] = sa.bindparam("of_controller")
_ALL = sa.select(tables.recipient).where(_R.controller_id == _CONTROLLER).order_by(_R.name)
_KEY = ("secret_serial", "secret_version", "secret_at")
_PLACE = ("controller_id", "name")
_OWN = ("recipient_id", "registered_at", *_KEY)  # what registering anew leaves as it was


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
    certificate: bytes | None
    disabled_at: datetime | None
    secret_serial: int
    secret_version: int
    secret_at: datetime | None
    days: int
    registered_at: datetime
    ended_at: datetime | None
    entry_id: str


def put(rows: sa.Connection, controller_id: str, made: RecipientRow) -> None:
    """Write a line, or over the line of that name: its id and its key stay, unless that one had ended."""
    new = upsert(tables.recipient)
    ended = _R.ended_at.is_not(None)
    changed = {
        c.name: new.excluded[c.name] if c.name not in _OWN else sa.case((ended, new.excluded[c.name]), else_=c)
        for c in _R
        if c.name not in _PLACE
    }
    statement = new.on_conflict_do_update(index_elements=["controller_id", "name"], set_=changed)
    rows.execute(statement, {"controller_id": controller_id, **{name: getattr(made, name) for name in made.__slots__}})


def recipients(rows: sa.Connection, controller_id: str) -> dict[str, RecipientRow]:
    """Return the register by name, also those that ended."""
    found = rows.execute(_ALL, {"of_controller": controller_id}).mappings()
    return {row["name"]: _recipient(row) for row in found}


def _recipient(row: sa.RowMapping) -> RecipientRow:
    held = {name: row[name] for name in RecipientRow.__slots__}
    return RecipientRow(**{**held, "certificate": bytes(row["certificate"]) if row["certificate"] is not None else None})


def end(rows: sa.Connection, controller_id: str, name: str, at: datetime, entry_id: str) -> None:
    """Say that data go there no more; the line stays."""
    these = (_R.controller_id == controller_id, _R.name == name)
    rows.execute(sa.update(tables.recipient).where(*these).values(ended_at=at, entry_id=entry_id))


def rekey(rows: sa.Connection, controller_id: str, changed: RecipientRow) -> None:
    """Keep which key its messages are signed with from now on."""
    these = (_R.controller_id == controller_id, _R.name == changed.name)
    values = {name: getattr(changed, name) for name in (*_KEY, "entry_id")}
    rows.execute(sa.update(tables.recipient).where(*these).values(values))


def disable(rows: sa.Connection, controller_id: str, name: str, endpoint: str, at: datetime) -> None:
    """Say that nothing is sent to this address any more; another one meanwhile is left as it is."""
    these = (_R.controller_id == controller_id, _R.name == name, _R.endpoint == endpoint)
    rows.execute(sa.update(tables.recipient).where(*these).values(disabled_at=at))


# --- what went to whom -------------------------------------------------------------------------------------------------------


def mark(rows: sa.Connection, controller_id: str, *, lock: bool = False) -> tuple[int, int] | None:
    """Return era and position up to which the trail was projected; None before it was ever. `lock`: others wait."""
    found = rows.execute(_MARK.with_for_update() if lock else _MARK, {"of_controller": controller_id}).one_or_none()
    return None if found is None else (int(found.era), int(found.position))


def set_mark(rows: sa.Connection, controller_id: str, to: tuple[int, int]) -> None:
    """Say up to where the trail was projected; a mark never goes back."""
    rows.execute(_SET_MARK, {"controller_id": controller_id, "era": to[0], "position": to[1]})


def add_disclosures(rows: sa.Connection, controller_id: str, lines: Sequence[Line]) -> None:
    """Add lines to those there are: what is there twice stays as it is."""
    for some in range(0, len(lines), _AT_ONCE):
        these = [
            {"controller_id": controller_id, **dict(zip(_LINE, one[:7], strict=True)), "era": one.last[0], "position": one.last[1]}
            for one in lines[some : some + _AT_ONCE]
        ]
        rows.execute(_ADD, these)


def disclosures(rows: sa.Connection, controller_id: str, subject_id: str) -> list[Line]:
    """Return what went to recipients of one person."""
    found = rows.execute(_OF_SUBJECT, {"of_controller": controller_id, "of_subject": subject_id})
    return [Line(*row[:7], (int(row.era), int(row.position))) for row in found]


def places_after(rows: sa.Connection, controller_id: str, subject_id: str, after: tuple[int, int]) -> list[tuple[int, int]]:
    """Return era and position of a person's entries that the projection has not come to, as look-up rows propose them."""
    asked = {"of_controller": controller_id, "of_subject": subject_id, "of_era": after[0], "of_position": after[1]}
    return [(int(row.era), int(row.position)) for row in rows.execute(_AFTER, asked)]


_AT_ONCE = 1_000
_LINE = ("subject_id", "recipient", "field", "level", "agreement_id", "first_at", "last_at")
_D, _M, _L = tables.disclosure.c, tables.disclosure_mark.c, tables.audit_lookup.c
_MARK = sa.select(_M.era, _M.position).where(_M.controller_id == _CONTROLLER)


def _set_mark() -> sa.Insert:
    new = upsert(tables.disclosure_mark)
    ahead = sa.tuple_(new.excluded.era, new.excluded.position) > sa.tuple_(_M.era, _M.position)
    to = {"era": new.excluded.era, "position": new.excluded.position}
    return new.on_conflict_do_update(index_elements=["controller_id"], set_=to, where=ahead)


def _add() -> sa.Insert:
    new = upsert(tables.disclosure)
    later = sa.tuple_(new.excluded.era, new.excluded.position) > sa.tuple_(_D.era, _D.position)
    summed = {
        "first_at": sa.func.least(_D.first_at, new.excluded.first_at),
        "last_at": sa.func.greatest(_D.last_at, new.excluded.last_at),
        "era": sa.case((later, new.excluded.era), else_=_D.era),
        "position": sa.case((later, new.excluded.position), else_=_D.position),
    }
    return new.on_conflict_do_update(index_elements=["controller_id", *_LINE[:5]], set_=summed)


_SET_MARK, _ADD = _set_mark(), _add()
_SUBJECT: sa.BindParameter[str] = sa.bindparam("of_subject")
_OF_SUBJECT = (
    sa.select(*(_D[name] for name in _LINE), _D.era, _D.position)
    .where(_D.controller_id == _CONTROLLER, _D.subject_id == _SUBJECT)
    .order_by(_D.recipient, _D.field, _D.level, _D.agreement_id)
)
_AFTER = (
    sa.select(_L.era, _L.position)
    .where(
        _L.controller_id == _CONTROLLER,
        _L.subject_id == _SUBJECT,
        sa.tuple_(_L.era, _L.position) >= sa.tuple_(sa.bindparam("of_era"), sa.bindparam("of_position")),
    )
    .order_by(_L.era, _L.position)
)
