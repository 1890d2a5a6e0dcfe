"""The rows a verification reads: streamed, in one snapshot, in the order the checks need."""

from collections.abc import Generator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import psycopg
import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import distinct_on

from vault import tables
from vault.audit.merkle import TILE_WIDTH
from vault.audit.pruned import Pruned
from vault.audit.records import pruned_log
from vault.audit.scrub import DetailRow

_BLOCK = 2000
_BEGINNING = -(1 << 63)  # a position below 0 is a finding, so it must be met

_entry = tables.audit_entry
_detail = tables.audit_detail
_lookup = tables.audit_lookup
_tile = tables.audit_tile
_writer = tables.audit_writer
_pending = tables.audit_pending
_checkpoint = tables.audit_checkpoint
_witnessed = tables.audit_witnessed

_BEGIN = (
    sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"),
    sa.text("SET LOCAL statement_timeout = 0"),
    sa.text("SET LOCAL idle_in_transaction_session_timeout = 0"),
    # With statistics of before a log grew, a join of it became a loop over all pairs: five minutes for 65,536 entries.
    sa.text("SET LOCAL enable_nestloop = off"),
)


def _own(table: sa.Table) -> tuple[sa.ColumnElement[bool], ...]:
    return (table.c.controller_id == sa.bindparam("controller"), table.c.era == sa.bindparam("era"))


def _with_leaf(table: sa.Table, *columns: sa.ColumnElement[Any]) -> sa.Select[Any]:
    joined = sa.and_(
        _entry.c.controller_id == table.c.controller_id, _entry.c.era == table.c.era, _entry.c.position == table.c.position
    )
    first: sa.BindParameter[int] = sa.bindparam("first")
    part = (table.c.position >= first, _entry.c.position >= first, table.c.at >= sa.bindparam("at_ms"))
    return sa.select(*columns, _entry.c.leaf).join_from(table, _entry, joined).where(*_own(table), *part)


def _without(table: sa.Table) -> sa.Select[Any]:
    """The first entry that lacks its row in `table`.

    By difference, which takes each side once whatever statistics say. Of a part no row lies before its time.
    """
    first: sa.BindParameter[int] = sa.bindparam("first")
    entries = sa.select(_entry.c.position).where(*_own(_entry), _entry.c.position >= first)
    beside = sa.select(table.c.position).where(*_own(table), table.c.position >= first, table.c.at >= sa.bindparam("at_ms"))
    lacking = sa.except_(entries, beside).subquery()
    return sa.select(sa.func.min(lacking.c.position))


# On the driver: Core and bytes spelt in hex cost more than all checks of an entry together.
_ENTRIES = """
    SELECT position, leaf, leaf_hash, mac FROM vault.audit_entry
    WHERE controller_id = %(controller)s AND era = %(era)s AND position >= %(first)s ORDER BY position
"""
_LEAF = sa.select(_entry.c.leaf).where(*_own(_entry), _entry.c.position == sa.bindparam("position"))
_TILE = sa.select(_tile.c.hashes).where(*_own(_tile), _tile.c.level == sa.bindparam("level"), _tile.c.idx == sa.bindparam("index"))
_HIGHEST_TILES = sa.select(_tile.c.level, sa.func.max(_tile.c.idx)).where(*_own(_tile)).group_by(_tile.c.level)
_STRAY = sa.union(
    *(
        sa.select(table.c.era).where(
            table.c.controller_id == sa.bindparam("controller"), sa.or_(table.c.era > sa.bindparam("era"), table.c.era < 1)
        )
        for table in (_entry, _tile)
    )
)
_WRITERS = sa.select(_writer.c.writer_id, _writer.c.number, _writer.c.leaf_hash).where(*_own(_writer), _writer.c.number > 0)
_MAC_KEYS = sa.select(_writer.c.writer_id, _writer.c.mac_key).where(*_own(_writer))
_ENDED = sa.select(sa.literal(1)).where(*_own(_entry)).limit(1)
_PENDING = (
    sa.select(_pending.c.leaf, _pending.c.mac)
    .where(_pending.c.controller_id == sa.bindparam("controller"))
    .order_by(_pending.c.writer_id, _pending.c.number)
)
_DETAILS = _with_leaf(
    _detail,
    _detail.c.position,
    _detail.c.at,
    _detail.c.subject_id,
    _detail.c.entry_id,
    _detail.c.stream,
    _detail.c.sealed,
    _detail.c.chain_number,
    _detail.c.chain_previous,
).order_by(_detail.c.subject_id, _detail.c.stream, _detail.c.chain_number, _detail.c.position)
_LOOKUPS = _with_leaf(
    _lookup,
    _lookup.c.position,
    _lookup.c.at,
    _lookup.c.entry_id,
    _lookup.c.operation,
    _lookup.c.outcome,
    _lookup.c.kind,
    _lookup.c.caller_id,
    _lookup.c.roles,
    _lookup.c.recipient,
    _lookup.c.purpose,
    _lookup.c.channel,
    _lookup.c.clear_count,
    _lookup.c.subject_id,
    _detail.c.subject_id.label("whose"),
).join(
    _detail,
    sa.and_(
        *(_detail.c.controller_id == _lookup.c.controller_id, _detail.c.era == _lookup.c.era),
        *(_detail.c.at == _lookup.c.at, _detail.c.position == _lookup.c.position),
        _detail.c.at >= sa.bindparam("at_ms"),
    ),
    isouter=True,
)
# Collated by bytes: the hash over them must be the same on every machine.
_CROSSING = (
    sa.select(_detail.c.subject_id, _detail.c.stream, _detail.c.chain_number, _detail.c.chain_previous)
    .where(
        *_own(_detail),
        _detail.c.position >= sa.bindparam("bound"),
        _detail.c.position < sa.bindparam("size"),
        _detail.c.chain_number > 0,
    )
    .ext(distinct_on(_detail.c.subject_id.collate("C"), _detail.c.stream.collate("C")))
    .order_by(
        _detail.c.subject_id.collate("C"), _detail.c.stream.collate("C"), _detail.c.chain_number, _detail.c.position
    )
)  # fmt: skip
_BELOW = sa.select(
    sa.or_(
        *(
            sa.exists().where(*_own(table), table.c.position < sa.bindparam("bound"))
            for table in (_entry, _detail, _lookup)
        ),
        sa.exists().where(*_own(_tile), _tile.c.level == 0, _tile.c.idx < sa.bindparam("tiles")),
    )
)  # fmt: skip
_COSIGNED = (
    sa.select(
        _witnessed.c.era, _witnessed.c.seconds, _witnessed.c.size, _witnessed.c.witness, _witnessed.c.line, _checkpoint.c.note,
    )
    .join_from(
        _witnessed,
        _checkpoint,
        sa.and_(
            _checkpoint.c.controller_id == _witnessed.c.controller_id,
            _checkpoint.c.era == _witnessed.c.era,
            _checkpoint.c.size == _witnessed.c.size,
        ),
        isouter=True,
    )
    .where(_witnessed.c.controller_id == sa.bindparam("controller"))
    .order_by(_witnessed.c.era, _witnessed.c.seconds, _witnessed.c.witness)
)  # fmt: skip
_WITHOUT = {"details": _without(_detail), "lookup": _without(_lookup)}


def begin(rows: Connection) -> None:
    """Make the transaction one read-only snapshot without a time-out: first statements of a transaction."""
    for statement in _BEGIN:
        rows.execute(statement)


def cosigned(rows: Connection, controller_id: str) -> Generator[tuple[int, int, int, str, str, str | None]]:
    """Yield what witnesses signed of any era: era, seconds, size, who, the line, and the copy of the checkpoint it stands by."""
    streaming = rows.execution_options(stream_results=True, max_row_buffer=_BLOCK)
    with streaming.execute(_COSIGNED, {"controller": controller_id}) as result:
        for row in result:
            yield row.era, row.seconds, row.size, row.witness, row.line, row.note


@dataclass(frozen=True, slots=True)
class Part:
    """Which rows beside the leaves are read: of entries from a position on, of which none was made before `at_ms`."""

    first: int = _BEGINNING
    at_ms: int = _BEGINNING


EVERYTHING = Part()
LATEST_MS = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Log:
    """One era of a controller's log, as stored."""

    rows: Connection
    controller_id: str
    era: int

    def pruned(self) -> Pruned | None:
        """Return where the log begins, None when nothing was pruned."""
        return pruned_log(self.rows, self.controller_id, self.era)

    def entries(self, first: int = _BEGINNING) -> Generator[tuple[int, bytes, bytes, bytes]]:
        """Yield position, leaf, stored hash and MAC of every entry, or of those from `first` on, in order."""
        driver: psycopg.Connection[Any] = self.rows.connection.driver_connection  # type: ignore[assignment]  # the only driver
        with driver.cursor("riserbo_entries", binary=True) as cursor:
            cursor.execute(_ENTRIES, {**self._log, "first": first})
            while block := cursor.fetchmany(_BLOCK):
                yield from block

    def leaf(self, position: int) -> bytes | None:
        """Return the leaf at a position."""
        found = self.rows.execute(_LEAF, {**self._log, "position": position}).scalar_one_or_none()
        return bytes(found) if found is not None else None

    def tile(self, level: int, index: int) -> bytes | None:
        """Return a stored tile."""
        found = self.rows.execute(_TILE, {**self._log, "level": level, "index": index}).scalar_one_or_none()
        return bytes(found) if found is not None else None

    def highest_tiles(self) -> list[tuple[int, int]]:
        """Return the highest index stored at each level."""
        return [(level, index) for level, index in self.rows.execute(_HIGHEST_TILES, self._log)]

    def stray_eras(self) -> list[int]:
        """Return eras that entries or tiles claim and that have no log."""
        return sorted(self.rows.execute(_STRAY, self._log).scalars())

    def has_entries(self) -> bool:
        """Whether any entry says that it is of this era."""
        return self.rows.execute(_ENDED, self._log).one_or_none() is not None

    def writers(self) -> list[tuple[str, int, bytes]]:
        """Return each writer's id and the number and hash it was sequenced up to."""
        return [(row.writer_id, row.number, bytes(row.leaf_hash)) for row in self.rows.execute(_WRITERS, self._log)]

    def mac_keys(self) -> dict[str, int]:
        """Return of each writer the version of the MAC root that its chain begins with."""
        return {row.writer_id: row.mac_key for row in self.rows.execute(_MAC_KEYS, self._log)}

    def pending(self) -> Generator[tuple[bytes, bytes]]:
        """Yield leaf and MAC of what is not sequenced yet, writer by writer."""
        for row in self._stream(_PENDING):
            yield bytes(row.leaf), bytes(row.mac)

    def details(self, part: Part = EVERYTHING) -> Generator[DetailRow]:
        """Yield detail rows with their leaves, by person, stream and number."""
        for row in self._stream(_DETAILS, first=part.first, at_ms=part.at_ms):
            sealed = bytes(row.sealed) if row.sealed is not None else None
            yield DetailRow(
                row.position, row.at, row.subject_id, row.entry_id, row.stream, sealed, row.chain_number,
                bytes(row.chain_previous), bytes(row.leaf),
            )  # fmt: skip

    def lookups(self, part: Part = EVERYTHING) -> Generator[sa.Row[Any]]:
        """Yield look-up rows with their leaves."""
        yield from self._stream(_LOOKUPS, first=part.first, at_ms=part.at_ms)

    def lies_below(self, bound: int) -> bool:
        """Whether an entry, a detail or look-up row or a tile of level 0 lies below a bound, where nothing may be any more."""
        return bool(self.rows.execute(_BELOW, {**self._log, "bound": bound, "tiles": bound // TILE_WIDTH}).scalar_one())

    def people_crossing(self, bound: int, size: int) -> bytes:
        """Return the hash over where each person's chain stood at a bound, of those that go on between it and a size."""
        made = sha256()
        for row in self._stream(_CROSSING, bound=bound, size=size):
            if row.chain_number > 1:
                said = (row.subject_id.encode(), row.stream.encode(), row.chain_number - 1, bytes(row.chain_previous))
                made.update(b"%s %s %d %s\n" % (*said[:3], said[3].hex().encode()))
        return made.digest()

    def without_companions(self, part: Part = EVERYTHING) -> list[tuple[str, int]]:
        """Return the first position that lacks a detail row, and the first that lacks a look-up row."""
        given = {**self._log, "first": part.first, "at_ms": part.at_ms}
        found = [(check, self.rows.execute(statement, given).scalar_one_or_none()) for check, statement in _WITHOUT.items()]
        return [(check, position) for check, position in found if position is not None]

    @property
    def _log(self) -> dict[str, Any]:
        return {"controller": self.controller_id, "era": self.era}

    def _stream(self, statement: sa.Select[Any], **given: int) -> Generator[sa.Row[Any]]:
        streaming = self.rows.execution_options(stream_results=True, max_row_buffer=_BLOCK)
        with streaming.execute(statement, {**self._log, **given}) as result:
            yield from result
