"""Rows of one person's entries in the open stream, as their own report needs them. The held stream is nobody's to read here."""

from array import array
from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from vault import tables
from vault.audit.accesses import ChainRow
from vault.audit.bound import above_bound

_detail = tables.audit_detail
_entry = tables.audit_entry
_lookup = tables.audit_lookup
_checkpoint = tables.audit_checkpoint

_OWN = (
    sa.select(
        _detail.c.era, _detail.c.position, _detail.c.at, _detail.c.entry_id, _detail.c.sealed, _detail.c.chain_number,
        _detail.c.chain_previous, _entry.c.leaf,
    )
    .join_from(
        _lookup,
        _detail,
        sa.and_(
            _detail.c.controller_id == _lookup.c.controller_id,
            _detail.c.at == _lookup.c.at,
            _detail.c.position == _lookup.c.position,
            _detail.c.subject_id == _lookup.c.subject_id,
        ),
    )
    .join(
        _entry,
        sa.and_(
            _entry.c.controller_id == _detail.c.controller_id,
            _entry.c.era == _detail.c.era,
            _entry.c.position == _detail.c.position,
        ),
    )
    .where(
        _lookup.c.controller_id == sa.bindparam("controller"),
        _lookup.c.subject_id == sa.bindparam("subject"),
        _lookup.c.stream == "open",
        _detail.c.stream == "open",
        above_bound(_entry),
    )
)  # fmt: skip
_NEWEST_FIRST = _OWN.order_by(_lookup.c.at.desc(), _lookup.c.position.desc()).limit(sa.bindparam("most"))
_PAGE = _NEWEST_FIRST.where(
    _lookup.c.at <= sa.bindparam("at"),  # a comparison of pairs alone would look into every month
    sa.tuple_(_lookup.c.at, _lookup.c.position) < sa.tuple_(sa.bindparam("at"), sa.bindparam("position")),
)
_OF_ERA = (
    _OWN.where(_lookup.c.era == sa.bindparam("era"), _detail.c.chain_number <= sa.bindparam("number"))
    .order_by(_detail.c.chain_number.desc())
    .limit(sa.bindparam("most"))
)
_STRETCH = _OWN.where(
    _lookup.c.at == sa.any_(sa.bindparam("ats", type_=sa.ARRAY(sa.BigInteger))),
    _lookup.c.position == sa.any_(sa.bindparam("positions", type_=sa.ARRAY(sa.BigInteger))),
    _lookup.c.era == sa.bindparam("era"),
    _detail.c.at == sa.any_(sa.bindparam("ats", type_=sa.ARRAY(sa.BigInteger))),  # or every month would be asked for each row
    _entry.c.position == sa.any_(sa.bindparam("positions", type_=sa.ARRAY(sa.BigInteger))),
).order_by(_detail.c.chain_number)
_PLACES = (
    sa.select(_lookup.c.at, _lookup.c.position)
    .where(
        _lookup.c.controller_id == sa.bindparam("controller"),
        _lookup.c.subject_id == sa.bindparam("subject"),
        _lookup.c.stream == "open",
        _lookup.c.era == sa.bindparam("era"),
        _lookup.c.position <= sa.bindparam("position"),
    )
    .order_by(_lookup.c.position)
)
_BY_ID = _OWN.where(_lookup.c.entry_id == sa.bindparam("entry"))
_TOUCHED = sa.select(
    sa.exists().where(
        _lookup.c.controller_id == sa.bindparam("controller"),
        _lookup.c.subject_id == sa.bindparam("subject"),
        _lookup.c.stream == "open",
        sa.bindparam("class", type_=sa.Text) == sa.any_(_lookup.c.classes),
    )
)
_ERAS_BEFORE = sa.select(sa.func.count(sa.distinct(_lookup.c.era))).where(
    _lookup.c.controller_id == sa.bindparam("controller"),
    _lookup.c.subject_id == sa.bindparam("subject"),
    _lookup.c.stream == "open",
    _lookup.c.era < sa.bindparam("era"),
)
_NEWEST_NOTE = (
    sa.select(_checkpoint.c.size, _checkpoint.c.note)
    .where(
        _checkpoint.c.controller_id == sa.bindparam("controller"),
        _checkpoint.c.era == sa.bindparam("era"),
        _checkpoint.c.size > sa.bindparam("position"),
    )
    .order_by(_checkpoint.c.size.desc())
    .limit(1)
)


def page(rows: Connection, controller_id: str, subject_id: str, before: tuple[int, int] | None, most: int) -> list[ChainRow]:
    """Return at most so many entries about a person, the newest first; `before`: (at, position) of the last one seen."""
    own: dict[str, Any] = {"controller": controller_id, "subject": subject_id, "most": most}
    if before is None:
        return list(_read(rows, _NEWEST_FIRST, own))
    return list(_read(rows, _PAGE, {**own, "at": before[0], "position": before[1]}))


def chain(rows: Connection, controller_id: str, subject_id: str, last: ChainRow, most: int) -> list[ChainRow]:
    """Return a person's entries up to one of them, in the order of their chain, the newest `most` of its era."""
    own = {"controller": controller_id, "subject": subject_id, "era": last.era, "number": last.number, "most": most}
    return list(_read(rows, _OF_ERA, own))[::-1]


def places(rows: Connection, controller_id: str, subject_id: str, last: ChainRow) -> "tuple[array[int], array[int]]":
    """Return when and at which position each of a person's entries of an era is, up to one of them, in the order of their chain."""
    own = {"controller": controller_id, "subject": subject_id, "era": last.era, "position": last.position}
    ats, positions = array("q"), array("q")
    for row in rows.execute(_PLACES, own):
        ats.append(row.at)
        positions.append(row.position)
    return ats, positions


def stretch(
    rows: Connection, controller_id: str, subject_id: str, era: int, ats: Sequence[int], positions: Sequence[int]
) -> list[ChainRow]:
    """Return a person's entries at these places, in the order of their chain."""
    own = {"controller": controller_id, "subject": subject_id, "era": era}
    return list(_read(rows, _STRETCH, {**own, "ats": sorted(set(ats)), "positions": list(positions)}))


def eras_before(rows: Connection, controller_id: str, subject_id: str, era: int) -> int:
    """Return in how many eras before this one there are entries about a person."""
    return int(rows.execute(_ERAS_BEFORE, {"controller": controller_id, "subject": subject_id, "era": era}).scalar_one())


def own_entry(rows: Connection, controller_id: str, subject_id: str, entry_id: str) -> ChainRow | None:
    """Return one entry about this person, once it has its position."""
    return next(_read(rows, _BY_ID, {"controller": controller_id, "subject": subject_id, "entry": entry_id}), None)


def touched(rows: Connection, controller_id: str, subject_id: str, class_name: str) -> bool:
    """Return whether any entry about this person shows data of a class."""
    return bool(rows.execute(_TOUCHED, {"controller": controller_id, "subject": subject_id, "class": class_name}).scalar_one())


def newest_note(rows: Connection, controller_id: str, era: int, position: int) -> tuple[int, str] | None:
    """Return size and text of the newest checkpoint that covers a position; None while there is none."""
    row = rows.execute(_NEWEST_NOTE, {"controller": controller_id, "era": era, "position": position}).one_or_none()
    return (row.size, row.note) if row is not None else None


def _read(rows: Connection, statement: sa.Select[Any], given: dict[str, Any]) -> Iterator[ChainRow]:
    for row in rows.execute(statement, given):
        sealed = bytes(row.sealed) if row.sealed is not None else None
        yield ChainRow(
            row.era, row.position, row.at, row.entry_id, sealed, row.chain_number, bytes(row.chain_previous), bytes(row.leaf),
        )  # fmt: skip
