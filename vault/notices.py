"""Rows of notices: the words people were given, and that they were given them. Added once, never changed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from vault import tables
from vault.errors import Conflict

_T, _S = tables.notice_text.c, tables.notice_served.c
_KEEP = insert(tables.notice_text).on_conflict_do_nothing()
_KEPT = sa.select(_T.sha256).where(
    *(one == sa.bindparam(f"of_{one.name}") for one in (_T.controller_id, _T.notice, _T.version, _T.language))
)
_SERVED = (
    sa.select(tables.notice_served)
    .where(_S.controller_id == sa.bindparam("of_controller"), _S.subject_id == sa.bindparam("of_subject"))
    .order_by(_S.given_at, _S.entry_id)
)
_GIVEN = sa.select(_S.notice, _S.version).where(_S.controller_id == sa.bindparam("of_controller")).distinct()


@dataclass(frozen=True, slots=True)
class ServedRow:
    """That somebody was given a notice. `given_at`: when they were, `recorded_at`: when that was put down."""

    subject_id: str
    entry_id: str
    notice: str
    version: int
    language: str
    sha256: bytes
    channel: str
    given_at: datetime
    recorded_at: datetime
    by: str
    role: str


def keep(rows: sa.Connection, controller_id: str, one: ServedRow, text: bytes) -> None:
    """Keep the words, and that they were given. Raises Conflict (`notice-changed`) where this version was given in other words."""
    place = {"controller_id": controller_id, "notice": one.notice, "version": one.version, "language": one.language}
    rows.execute(_KEEP, {**place, "sha256": one.sha256, "text": text, "kept_at": one.recorded_at})
    kept = rows.execute(_KEPT, {f"of_{name}": value for name, value in place.items()}).scalar_one()
    if bytes(kept) != one.sha256:
        raise Conflict("notice-changed")
    rows.execute(
        sa.insert(tables.notice_served), {"controller_id": controller_id, **{name: getattr(one, name) for name in one.__slots__}}
    )


def served(rows: sa.Connection, controller_id: str, subject_id: str) -> Sequence[ServedRow]:
    """Return what somebody was given, the first one first."""
    found = rows.execute(_SERVED, {"of_controller": controller_id, "of_subject": subject_id}).mappings()
    return [ServedRow(**{name: row[name] for name in ServedRow.__slots__} | {"sha256": bytes(row["sha256"])}) for row in found]


def given(rows: sa.Connection, controller_id: str) -> frozenset[str]:
    """Return the notices (`name@version`) anybody was given."""
    return frozenset(f"{name}@{version}" for name, version in rows.execute(_GIVEN, {"of_controller": controller_id}))
