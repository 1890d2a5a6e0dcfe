"""Rows of what others asked by OpenDSR, and whom a handle names that a recipient was given."""

from dataclasses import asdict, dataclass, field
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from vault import tables

_D, _T, _K = tables.dsr_request.c, tables.token.c, tables.recipient_task.c
_OF: sa.BindParameter[str] = sa.bindparam("of_controller")
_READ = sa.select(*(one for one in _D if one.name != "controller_id")).where(
    _D.controller_id == _OF, _D.recipient_id == sa.bindparam("of_recipient"), _D.asked_id == sa.bindparam("of_asked")
)
_ADD = insert(tables.dsr_request).on_conflict_do_nothing().returning(_D.asked_id)
_SHOWN = sa.select(_T.subject_id).where(
    _T.controller_id == _OF, _T.token_id == sa.bindparam("of_token"), _T.recipient == sa.bindparam("of_name")
)
_TOLD = sa.select(_K.subject_id).where(
    _K.controller_id == _OF, _K.handle == sa.bindparam("of_handle"), _K.recipient_id == sa.bindparam("of_recipient")
)


@dataclass(frozen=True, slots=True)
class DsrRow:
    """What one sender asked. `request_id`: what it became, None where whom it names is nobody here."""

    recipient_id: str
    asked_id: str
    kind: str
    digest: bytes = field(repr=False)
    secret_version: int
    request_id: str | None
    received_at: datetime
    expected_at: datetime
    cancelled_at: datetime | None
    entry_id: str


def add(rows: sa.Connection, controller_id: str, made: DsrRow) -> bool:
    """Keep a row; return whether it is the first of that id by that sender."""
    return rows.execute(_ADD, {"controller_id": controller_id, **asdict(made)}).one_or_none() is not None


def read(rows: sa.Connection, controller_id: str, recipient_id: str, asked_id: str) -> DsrRow | None:
    """Return what this sender asked under this id, None where it asked nothing."""
    parameters = {"of_controller": controller_id, "of_recipient": recipient_id, "of_asked": asked_id}
    found = rows.execute(_READ, parameters).mappings().one_or_none()
    return None if found is None else DsrRow(**{**found, "digest": bytes(found["digest"])})


def cancel(rows: sa.Connection, controller_id: str, row: DsrRow, at: datetime, entry_id: str) -> None:
    """Keep that its sender takes it back."""
    these = (_D.controller_id == controller_id, _D.recipient_id == row.recipient_id, _D.asked_id == row.asked_id)
    rows.execute(sa.update(tables.dsr_request).where(*these).values(cancelled_at=at, entry_id=entry_id))


def of_handle(
    rows: sa.Connection, controller_id: str, name: str, recipient_id: str, handle: str, token_id: bytes, now: datetime
) -> set[str]:
    """Return whom a handle names: a live token this recipient was shown, or what it was told of somebody by."""
    live = sa.or_(_T.expires_at.is_(None), _T.expires_at > now)
    shown = rows.execute(_SHOWN.where(live), {"of_controller": controller_id, "of_token": token_id, "of_name": name}).scalars()
    parameters = {"of_controller": controller_id, "of_handle": handle, "of_recipient": recipient_id}
    return {*shown, *rows.execute(_TOLD, parameters).scalars()}
