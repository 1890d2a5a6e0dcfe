"""Rows of the trail, as readers ask for them. Writing is the recorder's, the sequencer's and the signer's."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import distinct_on, insert

from vault import tables
from vault.audit.acknowledged import Sequenced
from vault.audit.bound import above_bound
from vault.audit.merkle import TILE_WIDTH, TileReader
from vault.audit.pruned import Pruned

FIRST_ERA = 1

_head = tables.audit_head
_entry = tables.audit_entry
_tile = tables.audit_tile
_detail = tables.audit_detail
_lookup = tables.audit_lookup
_writer = tables.audit_writer
_checkpoint = tables.audit_checkpoint
_pending = tables.audit_pending
_pruned = tables.audit_pruned
_rejected = tables.audit_rejected
_witnessed = tables.audit_witnessed

_FOUND_LOG = insert(_head).on_conflict_do_nothing()
_HEAD = sa.select(_head.c.era, _head.c.size).where(_head.c.controller_id == sa.bindparam("controller"))
_TILE = sa.select(_tile.c.hashes).where(
    _tile.c.controller_id == sa.bindparam("controller"),
    _tile.c.era == sa.bindparam("era"),
    _tile.c.level == sa.bindparam("level"),
    _tile.c.idx == sa.bindparam("index"),
)
_LEAF_HASHES = (
    sa.select(_entry.c.leaf_hash)
    .where(
        _entry.c.controller_id == sa.bindparam("controller"),
        _entry.c.era == sa.bindparam("era"),
        _entry.c.position >= sa.bindparam("first"),
        _entry.c.position < sa.bindparam("end"),
    )
    .order_by(_entry.c.position)
)
_LEAF = sa.select(_entry.c.leaf).where(
    _entry.c.controller_id == sa.bindparam("controller"),
    _entry.c.era == sa.bindparam("era"),
    _entry.c.position == sa.bindparam("position"),
    above_bound(_entry),
)
_COPIES = (
    sa.select(_checkpoint.c.note)
    .where(_checkpoint.c.controller_id == sa.bindparam("controller"), _checkpoint.c.era == sa.bindparam("era"))
    .order_by(_checkpoint.c.size)
)
_NEWEST = (
    sa.select(_checkpoint.c.note)
    .where(_checkpoint.c.controller_id == sa.bindparam("controller"), _checkpoint.c.era == sa.bindparam("era"))
    .order_by(_checkpoint.c.size.desc())
    .limit(1)
)
_LEAVES = (
    sa.select(_entry.c.leaf)
    .where(
        _entry.c.controller_id == sa.bindparam("controller"),
        _entry.c.era == sa.bindparam("era"),
        _entry.c.position >= sa.bindparam("first"),
        _entry.c.position < sa.bindparam("end"),
        above_bound(_entry),
    )
    .order_by(_entry.c.position)
)
_LEAVES_AT = sa.select(_entry.c.position, _entry.c.leaf).where(
    _entry.c.controller_id == sa.bindparam("controller"),
    _entry.c.era == sa.bindparam("era"),
    _entry.c.position == sa.any_(sa.bindparam("positions", type_=sa.ARRAY(sa.BigInteger))),
    above_bound(_entry),
)
_KEEP_COPY = insert(_checkpoint).on_conflict_do_nothing()
_MEASURE = sa.select(
    _head.c.era,
    _head.c.size,
    sa.select(sa.func.count())
    .select_from(
        sa.select(sa.literal(1))
        .where(_pending.c.controller_id == sa.bindparam("controller"))
        .limit(sa.bindparam("most"))
        .subquery()
    )
    .scalar_subquery()
    .label("waiting"),
    sa.select(sa.func.min(_pending.c.at))
    .where(_pending.c.controller_id == sa.bindparam("controller"))
    .scalar_subquery()
    .label("oldest"),
    sa.extract("epoch", sa.func.clock_timestamp()).label("clock"),
    *(sa.func.current_setting(name).label(name) for name in ("fsync", "full_page_writes", "synchronous_commit")),
).where(_head.c.controller_id == sa.bindparam("controller"))
_SEQUENCED = (
    sa.select(
        *(_writer.c.writer_id, _writer.c.number, _writer.c.leaf_hash, _writer.c.position),
        # Hashed again: who edits an entry may leave its hash as it was.
        sa.func.sha256(sa.literal(b"\x00", sa.LargeBinary).concat(_entry.c.leaf)).label("hashed"),
    )
    .join_from(
        _writer,
        _entry,
        sa.and_(
            _entry.c.controller_id == _writer.c.controller_id,
            _entry.c.era == _writer.c.era,
            _entry.c.position == _writer.c.position,
        ),
        isouter=True,
    )
    .where(
        _writer.c.controller_id == sa.bindparam("controller"),
        _writer.c.writer_id == sa.any_(sa.bindparam("writers", type_=sa.ARRAY(sa.Text))),
    )
)
_WITNESS_LINES = (
    sa.select(_witnessed.c.witness, _witnessed.c.line)
    .where(
        _witnessed.c.controller_id == sa.bindparam("controller"),
        _witnessed.c.era == sa.bindparam("era"),
        _witnessed.c.size == sa.bindparam("size"),
    )
    .order_by(_witnessed.c.seconds)
)
_NEWEST_WITNESSED = (
    sa.select(_checkpoint.c.note, _witnessed.c.line)
    .join(
        _checkpoint,
        sa.and_(
            _checkpoint.c.controller_id == _witnessed.c.controller_id,
            _checkpoint.c.era == _witnessed.c.era,
            _checkpoint.c.size == _witnessed.c.size,
        ),
    )
    .where(
        _witnessed.c.controller_id == sa.bindparam("controller"),
        _witnessed.c.era == sa.bindparam("era"),
        _witnessed.c.seconds <= sa.bindparam("now"),
    )
    .order_by(_witnessed.c.seconds.desc())
    .limit(8)
)
_REJECTED = (
    sa.select(_rejected.c.writer_id)
    .where(
        _rejected.c.controller_id == sa.bindparam("controller"),
        _rejected.c.writer_id == sa.any_(sa.bindparam("writers", type_=sa.ARRAY(sa.Text))),
    )
    .distinct()
)
_SILENT = sa.select(_writer.c.writer_id, _writer.c.number).where(
    _writer.c.controller_id == sa.bindparam("controller"), ~_writer.c.closed, _writer.c.seen_at < sa.bindparam("before")
)
_BY_ID = (
    sa.select(_entry.c.era, _entry.c.position, _entry.c.leaf, _detail.c.subject_id, _detail.c.sealed, _detail.c.stream)
    .join_from(
        _lookup,
        _entry,
        sa.and_(
            _entry.c.controller_id == _lookup.c.controller_id,
            _entry.c.era == _lookup.c.era,
            _entry.c.position == _lookup.c.position,
        ),
    )
    .join(
        _detail,
        sa.and_(
            _detail.c.controller_id == _lookup.c.controller_id,
            _detail.c.at == _lookup.c.at,
            _detail.c.position == _lookup.c.position,
            _detail.c.subject_id == _lookup.c.subject_id,
        ),
    )
    .where(
        _lookup.c.controller_id == sa.bindparam("controller"),
        _lookup.c.entry_id == sa.bindparam("entry"),
        above_bound(_entry),
    )
)

# The operation stands in the statement, not beside it: by a parameter a generic plan finds no partial index.
_POLICY = (
    sa.select(_entry.c.leaf)
    .join_from(
        _lookup,
        _entry,
        sa.and_(
            _entry.c.controller_id == _lookup.c.controller_id,
            _entry.c.era == _lookup.c.era,
            _entry.c.position == _lookup.c.position,
        ),
    )
    .where(
        _lookup.c.controller_id == sa.bindparam("controller"),
        _lookup.c.operation == sa.literal_column("'policy:activated'"),
        above_bound(_entry),
    )
    .order_by(_lookup.c.era, _lookup.c.position)  # positions never depend on a clock
)

_PRUNED_ERAS = (
    sa.select(_pruned.c.bound, _pruned.c.about)
    .where(_pruned.c.controller_id == sa.bindparam("controller"))
    .ext(distinct_on(_pruned.c.era))
    .order_by(_pruned.c.era, _pruned.c.bound.desc())
)
_PRUNED = (
    sa.select(_pruned.c.bound, _pruned.c.about)
    .where(_pruned.c.controller_id == sa.bindparam("controller"), _pruned.c.era == sa.bindparam("era"))
    .order_by(_pruned.c.bound.desc())
    .limit(1)
)

_WAITS = (
    sa.select(sa.literal(1))
    .where(_pending.c.controller_id == sa.bindparam("controller"), _pending.c.at <= sa.bindparam("until"))
    .limit(1)
)


@dataclass(frozen=True, slots=True)
class Head:
    """Where a log stands: its era, and how many entries are sequenced."""

    era: int
    size: int


@dataclass(frozen=True, slots=True)
class Counted:
    """One look at a log: `waiting` pending entries, the oldest's `at` (ms), the database's clock (s), are commits durable."""

    head: Head
    waiting: int
    oldest_ms: int | None
    clock_s: float
    durable: bool


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """One sequenced entry with what is sealed beside it; `subject_id` is `-` for nobody, `sealed` None when there is nothing.

    `stream` is the person's chain it is in: `open`, or `held`, of which they are not told yet; `-` for nobody.
    """

    era: int
    position: int
    leaf: bytes
    subject_id: str
    sealed: bytes | None
    stream: str = "open"


def found_log(rows: Connection, controller_id: str) -> None:
    """Begin a controller's log, empty, in its first era. Repeating it changes nothing."""
    rows.execute(_FOUND_LOG, {"controller_id": controller_id, "era": FIRST_ERA, "size": 0})


def head(rows: Connection, controller_id: str) -> Head | None:
    """Return where the log stands, None when the controller has none."""
    row = rows.execute(_HEAD, {"controller": controller_id}).one_or_none()
    return Head(row.era, row.size) if row is not None else None


def tile_reader(rows: Connection, controller_id: str, at: Head) -> TileReader:
    """Return how the tree of a log reads its tiles; the last one of level 0 is made of the entries' hashes."""

    def read(level: int, index: int) -> bytes:
        log = {"controller": controller_id, "era": at.era}
        if level == 0 and (index + 1) * TILE_WIDTH > at.size:
            found = rows.execute(_LEAF_HASHES, {**log, "first": index * TILE_WIDTH, "end": at.size}).scalars()
            return b"".join(found)
        return rows.execute(_TILE, {**log, "level": level, "index": index}).scalar_one_or_none() or b""

    return read


def pruned_log(rows: Connection, controller_id: str, era: int) -> Pruned | None:
    """Return where a log begins, None when it was never pruned: below that bound nothing is proved any more, and nothing shown."""
    row = rows.execute(_PRUNED, {"controller": controller_id, "era": era}).one_or_none()
    return Pruned.read(row.bound, row.about) if row is not None else None


def pruned_eras(rows: Connection, controller_id: str) -> list[Pruned]:
    """Return where each era begins that was pruned."""
    return [Pruned.read(row.bound, row.about) for row in rows.execute(_PRUNED_ERAS, {"controller": controller_id})]


def leaf_at(rows: Connection, controller_id: str, era: int, position: int) -> bytes | None:
    """Return the leaf at a position, None where there is none, or where the log was pruned."""
    return rows.execute(_LEAF, {"controller": controller_id, "era": era, "position": position}).scalar_one_or_none()


def keep_copy(rows: Connection, controller_id: str, at: Head, note: str, signed_at: datetime) -> None:
    """Keep a copy of a checkpoint beside the log, for readers; it is no evidence."""
    rows.execute(
        _KEEP_COPY, {"controller_id": controller_id, "era": at.era, "size": at.size, "note": note, "signed_at": signed_at}
    )  # fmt: skip


def copies(rows: Connection, controller_id: str, era: int) -> list[str]:
    """Return the notes of the checkpoints kept beside the log."""
    return [str(note) for note in rows.execute(_COPIES, {"controller": controller_id, "era": era}).scalars()]


def newest_copy(rows: Connection, controller_id: str, era: int) -> str | None:
    """Return the note of the newest checkpoint kept beside the log, None before there is one. It is not verified yet."""
    return rows.execute(_NEWEST, {"controller": controller_id, "era": era}).scalar_one_or_none()


def leaves_at(rows: Connection, controller_id: str, era: int, positions: Sequence[int]) -> dict[int, bytes]:
    """Return the leaves at these positions, in their order; those that are not there (any more) are left out."""
    asked = {"controller": controller_id, "era": era, "positions": positions}
    found = {row.position: bytes(row.leaf) for row in rows.execute(_LEAVES_AT, asked)}
    return {position: found[position] for position in positions if position in found}


def leaves(rows: Connection, controller_id: str, era: int, first: int, end: int) -> list[bytes]:
    """Return the leaves at positions first … end - 1, in order; fewer where they are not there, or no more."""
    found = rows.execute(_LEAVES, {"controller": controller_id, "era": era, "first": first, "end": end})
    return [bytes(one) for one in found.scalars()]


def count(rows: Connection, controller_id: str, most: int) -> Counted | None:
    """Look at the log once; counts at most `most` pending entries."""
    row = rows.execute(_MEASURE, {"controller": controller_id, "most": most}).one_or_none()
    if row is None:
        return None
    synchronous = row.synchronous_commit == "on" or row.synchronous_commit.startswith("remote_")
    durable = row.fsync == "on" and row.full_page_writes == "on" and synchronous
    return Counted(Head(row.era, row.size), row.waiting, row.oldest, float(row.clock), durable)


def sequenced(rows: Connection, controller_id: str, writers: Sequence[str]) -> dict[str, Sequenced]:
    """Return each writer's last sequenced entry: its number and hash, its position, and whether it is what lies there."""
    found = rows.execute(_SEQUENCED, {"controller": controller_id, "writers": list(writers)})
    return {
        row.writer_id: Sequenced(
            row.number, bytes(row.leaf_hash), row.position, holds=_holds(row.position, row.hashed, row.leaf_hash)
        )
        for row in found
    }


def _holds(position: int | None, hashed: bytes | None, leaf_hash: bytes) -> bool:
    return position is None or (hashed is not None and bytes(hashed) == bytes(leaf_hash))


def rejected_among(rows: Connection, controller_id: str, writers: Sequence[str]) -> list[str]:
    """Return those of the writers of whom an operator rejected entries."""
    return list(rows.execute(_REJECTED, {"controller": controller_id, "writers": list(writers)}).scalars())


def witness_lines(rows: Connection, controller_id: str, era: int, size: int) -> list[str]:
    """Return what witnesses signed of a checkpoint, of each the newest: lines to be served under its note."""
    newest: dict[str, str] = {}
    for row in rows.execute(_WITNESS_LINES, {"controller": controller_id, "era": era, "size": size}):
        newest[row.witness] = row.line
    return list(newest.values())


def newest_witnessed(rows: Connection, controller_id: str, era: int, now_s: int) -> list[str]:
    """Return the newest notes with a witness's line under them, newest first, none ahead of now. They are not verified yet."""
    found = rows.execute(_NEWEST_WITNESSED, {"controller": controller_id, "era": era, "now": now_s})
    return [f"{row.note}{row.line}" for row in found]


def silent_writers(rows: Connection, controller_id: str, before: datetime) -> Iterator[tuple[str, int]]:
    """Yield the writers that have not closed and were last seen before an instant, with their last number."""
    for row in rows.execute(_SILENT, {"controller": controller_id, "before": before}):
        yield row.writer_id, row.number


def entry_by_id(rows: Connection, controller_id: str, entry_id: str) -> StoredEntry | None:
    """Return one sequenced entry, found by its look-up row; none that lies where the log was pruned."""
    row: Any = rows.execute(_BY_ID, {"controller": controller_id, "entry": entry_id}).one_or_none()
    if row is None:
        return None
    return StoredEntry(row.era, row.position, bytes(row.leaf), row.subject_id, row.sealed, row.stream)


def policy_leaves(rows: Connection, controller_id: str) -> list[bytes]:
    """Return the sequenced entries that say what policy came into force, or was to, in log order."""
    return [bytes(one) for one in rows.execute(_POLICY, {"controller": controller_id}).scalars()]


def waits(rows: Connection, controller_id: str, until_ms: int) -> bool:
    """Return whether an entry written up to an instant still waits for its position; what it says cannot be read before."""
    return rows.execute(_WAITS, {"controller": controller_id, "until": until_ms}).one_or_none() is not None
