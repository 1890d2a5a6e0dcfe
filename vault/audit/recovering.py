"""Rows of a recovery: pending ones moved aside verbatim, a writer that may not go on, the head in its next era."""

from collections.abc import Collection
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import insert

from vault import tables
from vault.audit.records import FIRST_ERA, Head
from vault.errors import Conflict

_head = tables.audit_head
_entry = tables.audit_entry
_writer = tables.audit_writer
_pending = tables.audit_pending
_rejected = tables.audit_rejected

_OWN = _head.c.controller_id == sa.bindparam("controller")
_LOCK = sa.select(_head.c.era, _head.c.size).where(_OWN).with_for_update()
_BEGIN = sa.update(_head).where(_OWN).values(era=sa.bindparam("new_era"), size=0)
_COLUMNS = [_pending.c[column.name] for column in _rejected.columns]
_OF_WRITER = (_pending.c.controller_id == sa.bindparam("controller"), _pending.c.writer_id == sa.bindparam("writer"))
# All that cannot be sequenced: what follows the break, and what claims a number that has its position already.
_BEYOND = sa.or_(_pending.c.number >= sa.bindparam("broken"), _pending.c.number <= sa.bindparam("sequenced"))
_COUNT = sa.select(sa.func.count()).select_from(_pending).where(*_OF_WRITER, _BEYOND)
_ALL = sa.select(_pending.c.writer_id, _pending.c.number).where(_pending.c.controller_id == sa.bindparam("controller"))
_SEQUENCED = sa.select(_writer.c.number).where(
    _writer.c.controller_id == sa.bindparam("controller"), _writer.c.writer_id == sa.bindparam("writer")
)
_CLOSE = (  # a writer none of whose entries has a position gets a row too: that it ended is known by it
    insert(_writer)
    .values(number=0, leaf_hash=b"", mac_key=0, seen_at=sa.func.now(), closed=True)
    .on_conflict_do_update(index_elements=["controller_id", "writer_id"], set_={"closed": True})
)
_REMOVE = sa.delete(_pending).where(*_OF_WRITER, _BEYOND).returning(*_COLUMNS)
_KEEP = insert(_rejected).on_conflict_do_nothing()  # a number that was rejected before keeps the row it had then
_OF_ERA = (
    sa.select(_rejected.c.writer_id, _writer.c.number, sa.func.count().label("moved"))
    .join_from(
        _rejected,
        _writer,
        sa.and_(_writer.c.controller_id == _rejected.c.controller_id, _writer.c.writer_id == _rejected.c.writer_id),
    )
    .where(_rejected.c.controller_id == sa.bindparam("controller"), _writer.c.era == sa.bindparam("era"))
    .group_by(_rejected.c.writer_id, _writer.c.number)
    .order_by(_rejected.c.writer_id)
)
_SIZE = sa.select(sa.func.max(_entry.c.position)).where(
    _entry.c.controller_id == sa.bindparam("controller"), _entry.c.era == sa.bindparam("era")
)
_FROZEN = sa.select(sa.func.max(_entry.c.era)).where(
    _entry.c.controller_id == sa.bindparam("controller"), _entry.c.era < sa.bindparam("era")
)


@dataclass(frozen=True, slots=True)
class Rejected:
    """Rows of one writer moved aside: its last sequenced number, and how many."""

    writer_id: str
    number: int
    count: int


def lock(rows: Connection, controller_id: str) -> Head:
    """Return the head, kept from sequencers until the transaction ends."""
    row = rows.execute(_LOCK, {"controller": controller_id}).one()
    return Head(row.era, row.size)


def frozen_before(rows: Connection, controller_id: str, era: int) -> Head:
    """Return the last era with entries before this one, the first where none has any, and its size."""
    ended = rows.execute(_FROZEN, {"controller": controller_id, "era": era}).scalar_one() or FIRST_ERA
    last = rows.execute(_SIZE, {"controller": controller_id, "era": ended}).scalar_one()
    return Head(ended, 0 if last is None else int(last) + 1)


def begin_era(rows: Connection, controller_id: str, ending: int, era: int) -> None:
    """Move all that is pending aside and begin an era, empty. Raises Conflict where another recovery was faster."""
    if lock(rows, controller_id).era != ending:
        raise Conflict("era-has-changed")
    _aside(rows, controller_id, ending, ())
    rows.execute(_BEGIN, {"controller": controller_id, "new_era": era})


def set_aside(rows: Connection, controller_id: str, era: int, own: Collection[str]) -> list[Rejected]:
    """Move aside what others than these writers have pending in an era that is begun and not signed; return what was.

    Nobody else has a say in it yet, and one row that cannot be sequenced would keep it from its first entries. Raises Conflict
    where another recovery was faster.
    """
    if lock(rows, controller_id).era != era:
        raise Conflict("era-has-changed")
    return _aside(rows, controller_id, era, own)


def rejected_in(rows: Connection, controller_id: str, era: int) -> list[Rejected]:
    """Return what of an era's writers was moved aside."""
    found = rows.execute(_OF_ERA, {"controller": controller_id, "era": era})
    return [Rejected(row.writer_id, row.number, row.moved) for row in found]


def rejectable(rows: Connection, controller_id: str, writer_id: str, broken: int) -> Rejected:
    """Return what rejecting a writer's rows from its broken number on would move aside."""
    own = {"controller": controller_id, "writer": writer_id}
    sequenced = rows.execute(_SEQUENCED, own).scalar_one_or_none() or 0
    count = rows.execute(_COUNT, {**own, "broken": broken, "sequenced": sequenced}).scalar_one()
    return Rejected(writer_id, broken - 1, count)


def reject(rows: Connection, controller_id: str, expected: Rejected) -> None:
    """Move a writer's rows aside; it may not go on. Raises Conflict when they are not those that were counted."""
    at = lock(rows, controller_id)
    own = {"controller": controller_id, "writer": expected.writer_id}
    sequenced = rows.execute(_SEQUENCED, own).scalar_one_or_none() or 0
    if _move(rows, controller_id, expected.writer_id, sequenced=sequenced, broken=expected.number + 1) != expected.count:
        raise Conflict("pending-has-changed")
    _end(rows, controller_id, expected.writer_id, at.era)


def _aside(rows: Connection, controller_id: str, era: int, own: Collection[str]) -> list[Rejected]:
    pending = rows.execute(_ALL, {"controller": controller_id}).all()
    found = []
    for writer_id in sorted({row.writer_id for row in pending}.difference(own)):
        count = _move(rows, controller_id, writer_id, sequenced=0, broken=0)
        _end(rows, controller_id, writer_id, era)
        sequenced = rows.execute(_SEQUENCED, {"controller": controller_id, "writer": writer_id}).scalar_one()
        found.append(Rejected(writer_id, sequenced, count))
    return found


def _move(rows: Connection, controller_id: str, writer_id: str, *, sequenced: int, broken: int) -> int:
    """Move rows verbatim; return how many."""
    own = {"controller": controller_id, "writer": writer_id, "broken": broken, "sequenced": sequenced}
    moved = [dict(row) for row in rows.execute(_REMOVE, own).mappings()]
    if moved:
        rows.execute(_KEEP, moved)
    return len(moved)


def _end(rows: Connection, controller_id: str, writer_id: str, era: int) -> None:
    rows.execute(_CLOSE, {"controller_id": controller_id, "writer_id": writer_id, "era": era})
