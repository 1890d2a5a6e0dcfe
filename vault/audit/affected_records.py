"""The rows behind a list of whose data was touched: what look-up rows propose, the entries at those positions, every leaf in order.

`proposed` is one statement over `audit_lookup`, by the caller's index or within a window of time. Nothing it answers is believed
before the leaf at that position was judged.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import psycopg
import sqlalchemy as sa
from sqlalchemy import Connection

from vault import tables
from vault.audit.affected import Criteria, Evidence, instant
from vault.audit.bound import above_bound
from vault.audit.entry import NOBODY, details_key, details_place, opened
from vault.audit.records import Head, leaves_at
from vault.audit.scan import members_of
from vault.errors import Unreadable

Unseal = Callable[[bytes, bytes, bytes], bytes]

_AT_ONCE = 5_000  # positions or people in one statement
_lookup, _entry, _detail = tables.audit_lookup.c, tables.audit_entry.c, tables.audit_detail.c
_key, _copy = tables.subject_audit_key.c, tables.audit_checkpoint.c

_PLACES = (
    sa.func.unnest(
        sa.bindparam("instants", type_=sa.ARRAY(sa.BigInteger)), sa.bindparam("positions", type_=sa.ARRAY(sa.BigInteger))
    )
    .table_valued("at", "position", name="place")
    .render_derived()
)
# Row by row, and OFFSET 0 keeps it so: planned as a join, a few thousand places made it read every detail there is.
_DETAIL = (
    sa.select(
        _detail.position, _detail.subject_id, _detail.stream, _detail.chain_number, _detail.chain_previous, _detail.sealed,
    )
    .where(
        _detail.controller_id == sa.bindparam("controller"),
        _detail.era == sa.bindparam("era"),
        _detail.at == _PLACES.c.at,
        _detail.position == _PLACES.c.position,
    )
    .offset(sa.literal_column("0"))
    .lateral("detail")
)  # fmt: skip
_DETAILS = sa.select(_DETAIL).select_from(_PLACES.join(_DETAIL, sa.true()))
_AUDIT_KEYS = (
    sa.select(_key.subject_id, _key.epoch, _key.wrap)
    .where(
        _key.controller_id == sa.bindparam("controller"),
        _key.subject_id == sa.any_(sa.bindparam("people", type_=sa.ARRAY(sa.Text))),
    )
    .order_by(_key.subject_id, _key.epoch)  # the newest last: it stays
)
_COPY = (
    sa.select(_copy.note)
    .where(_copy.controller_id == sa.bindparam("controller"), _copy.era == sa.bindparam("era"), _copy.size <= sa.bindparam("size"))
    .order_by(_copy.size.desc())
    .limit(1)
)
_FIRST = (
    sa.select(_entry.position)
    .where(
        _entry.controller_id == sa.bindparam("controller"),
        _entry.era == sa.bindparam("era"),
        above_bound(tables.audit_entry),
    )
    .order_by(_entry.position)
    .limit(1)
)
_NEXT_LEAVES = """
    SELECT position, leaf FROM vault.audit_entry
    WHERE controller_id = %(controller)s AND era = %(era)s AND position >= %(first)s AND position < %(end)s ORDER BY position
"""


def proposed(
    rows: Connection, controller_id: str, era: int, asked: Criteria, stations: Sequence[bytes], classes: Sequence[str], most: int
) -> list[int]:
    """Return the positions that look-up rows propose, at most `most` + 1 of them, in order.

    `stations` are the keyed hashes of the one asked for, one for each version of secret `audit`.
    """
    statement = (
        sa.select(_lookup.position)
        .where(
            _lookup.controller_id == controller_id,
            _lookup.era == era,
            _lookup.at >= asked.since_ms,
            _lookup.at < asked.until_ms,
            _lookup.position >= asked.first,
            _lookup.position < asked.end,
        )
        .distinct()
        .order_by(_lookup.position)
        .limit(most + 1)
    )
    for column, value in ((_lookup.caller_id, asked.caller), (_lookup.recipient, asked.system)):
        if value is not None:
            statement = statement.where(column == value)
    if asked.station is not None:
        statement = statement.where(_lookup.station.in_(stations))
    if classes:
        statement = statement.where(_lookup.classes.op("&&")(sa.literal(list(classes), sa.ARRAY(sa.Text))))
    return list(rows.execute(statement).scalars())


def evidence(rows: Connection, controller_id: str, era: int, positions: Sequence[int]) -> Iterator[Evidence]:
    """Yield the entries at these positions, each with the detail row beside it. A position without an entry is left out."""
    place: dict[str, Any] = {"controller": controller_id, "era": era}
    for some in _portions(positions):
        leaves = leaves_at(rows, controller_id, era, some)
        found = [(instant(leaf), position) for position, leaf in leaves.items()]
        asked = {**place, "instants": [at for at, _ in found], "positions": [position for _, position in found]}
        beside = {row.position: row for row in rows.execute(_DETAILS, asked)}
        for position, leaf in leaves.items():
            row = beside.get(position)
            if row is None:
                yield Evidence(position, leaf)
                continue
            sealed = bytes(row.sealed) if row.sealed is not None else None
            yield Evidence(position, leaf, row.subject_id, row.stream, row.chain_number, bytes(row.chain_previous), sealed)


def audit_keys(rows: Connection, controller_id: str, people: Sequence[str]) -> dict[str, tuple[int, bytes]]:
    """Return epoch and wrap of each person's newest audit key; those who have none are left out."""
    found: dict[str, tuple[int, bytes]] = {}
    for some in _portions(people):
        asked = {"controller": controller_id, "people": some}
        found |= {row.subject_id: (row.epoch, bytes(row.wrap)) for row in rows.execute(_AUDIT_KEYS, asked)}
    return found


def first_position(rows: Connection, controller_id: str, at: Head) -> int | None:
    """Return the position of the first entry there still is; what lies below a bound is none."""
    return rows.execute(_FIRST, {"controller": controller_id, "era": at.era}).scalar_one_or_none()


def newest_copy(rows: Connection, controller_id: str, at: Head) -> str | None:
    """Return the newest checkpoint kept beside the log, of at most this size; who signed it is not checked here."""
    note = rows.execute(_COPY, {"controller": controller_id, "era": at.era, "size": at.size}).scalar_one_or_none()
    return str(note) if note is not None else None


def station_of(controller_id: str, one: Evidence, keys: Sequence[bytes], unseal: Unseal) -> str | None:
    """Return the station an entry's sealed details name, `` for none; None where they do not open or are not what was committed.

    `keys` are those that may open them: the person's audit key, or the versions of secret `audit`. Whoever calls this records it.
    """
    leaf = members_of(one.leaf) or {}
    subject_id = "" if one.subject_id in (None, NOBODY) else str(one.subject_id)
    place = details_place(controller_id, subject_id, str(leaf.get("id")))
    for key in keys:
        with suppress(Unreadable, ValueError):
            return str(opened(leaf, unseal(details_key(key), place, one.sealed or b"")).internal.get("station", ""))
    return None


def next_leaves(rows: Connection, controller_id: str, era: int, first: int, end: int) -> list[tuple[int, bytes]]:
    """Return positions and leaves from `first` up to `end`, in order: the driver's own rows, for there are millions."""
    driver: psycopg.Connection[Any] = rows.connection.driver_connection  # type: ignore[assignment]  # psycopg is the only driver
    place = {"controller": controller_id, "era": era, "first": first, "end": end}
    return driver.cursor(binary=True).execute(_NEXT_LEAVES, place).fetchall()


def _portions(some: Sequence[Any]) -> Iterator[list[Any]]:
    for first in range(0, len(some), _AT_ONCE):
        yield list(some[first : first + _AT_ONCE])
