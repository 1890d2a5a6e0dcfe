"""The rows pruning reads and removes: as the owner, within one controller, in one transaction."""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from vault import tables
from vault.audit.merkle import TILE_WIDTH
from vault.audit.pruned import Pruned

_BLOCK = 2000
_entry, _tile, _writer, _pruned = tables.audit_entry, tables.audit_tile, tables.audit_writer, tables.audit_pruned
_CONTROLLER: sa.BindParameter[str] = sa.bindparam("controller")
_ERA: sa.BindParameter[int] = sa.bindparam("era")
_FIRST: sa.BindParameter[int] = sa.bindparam("first")
_BOUND: sa.BindParameter[int] = sa.bindparam("bound")
_LEAVES = (
    sa.select(_entry.c.leaf)
    .where(_entry.c.controller_id == _CONTROLLER, _entry.c.era == _ERA, _entry.c.position >= _FIRST, _entry.c.position < _BOUND)
    .order_by(_entry.c.position)
)
_WRITERS = sa.select(_writer.c.writer_id, _writer.c.number, _writer.c.closed).where(_writer.c.controller_id == _CONTROLLER)
_GONE = (
    sa.delete(_entry).where(_entry.c.controller_id == _CONTROLLER, _entry.c.era == _ERA, _entry.c.position < _BOUND),
    *(
        sa.delete(one).where(
            one.c.controller_id == _CONTROLLER, one.c.era == _ERA, one.c.position < _BOUND, one.c.at <= sa.bindparam("last_at")
        )
        for one in (tables.audit_detail, tables.audit_lookup)
    ),
    sa.delete(_tile).where(
        _tile.c.controller_id == _CONTROLLER, _tile.c.era == _ERA, _tile.c.level == 0, _tile.c.idx < sa.bindparam("tiles")
    ),
)
_UNBOUNDED = sa.text("SET LOCAL statement_timeout = 0")
# The default partitions and those of times to come stay; `first` and what lies before this month may go.
_OLD = sa.text(r"""
    SELECT p.relname AS parent, c.relname AS part FROM pg_inherits i
      JOIN pg_class p ON p.oid = i.inhparent JOIN pg_class c ON c.oid = i.inhrelid
    WHERE p.relnamespace = 'vault'::regnamespace AND p.relname IN ('audit_entry', 'audit_detail', 'audit_lookup')
      AND substring(pg_get_expr(c.relpartbound, c.oid) FROM 'TO \(''(\d+)''\)')::bigint
        <= CASE p.relname WHEN 'audit_entry' THEN CAST(:bound AS bigint) ELSE CAST(:last_at AS bigint) END""")


@dataclass(frozen=True, slots=True)
class WriterEnd:
    """How far a writer was sequenced, and whether it has said that it ends."""

    number: int
    closed: bool


def leaves(rows: Connection, controller_id: str, era: int, first: int, bound: int) -> Generator[bytes]:
    """Yield the leaves of a stretch, in order."""
    rows.execute(_UNBOUNDED)
    streaming = rows.execution_options(stream_results=True, max_row_buffer=_BLOCK)
    with streaming.execute(_LEAVES, {"controller": controller_id, "era": era, "first": first, "bound": bound}) as found:
        for row in found:
            yield bytes(row.leaf)


def writer_ends(rows: Connection, controller_id: str) -> dict[str, WriterEnd]:
    """Return each writer of the log."""
    found = rows.execute(_WRITERS, {"controller": controller_id})
    return {row.writer_id: WriterEnd(row.number, row.closed) for row in found}


def remove(
    rows: Connection, controller_id: str, era: int, pruned: Pruned, last_at: int, entry_id: str, at: datetime
) -> None:  # fmt: skip
    """Write down where the log begins from now on, and delete what lies below; `last_at` is the latest time of those entries."""
    rows.execute(_UNBOUNDED)
    row = {"controller_id": controller_id, "era": era, "bound": pruned.bound, "about": pruned.about}
    rows.execute(sa.insert(_pruned), {**row, "pruned_at": at, "entry_id": entry_id})
    place: dict[str, Any] = {"controller": controller_id, "era": era, "bound": pruned.bound}
    for statement in _GONE:
        rows.execute(statement, {**place, "last_at": last_at, "tiles": pruned.bound // TILE_WIDTH})


def old_partitions(rows: Connection, bound: int, last_at: int) -> Sequence[tuple[str, str]]:
    """Return the partitions that end at a bound or before, with their tables."""
    return [(row.parent, row.part) for row in rows.execute(_OLD, {"bound": bound, "last_at": last_at})]


def drop_if_empty(rows: Connection, parent: str, part: str) -> bool:
    """Drop a partition in which no company has a row any more; return whether it went. Nobody writes to it meanwhile."""
    for statement in _locked(parent, part):
        rows.execute(statement)
    if rows.execute(sa.text(f"SELECT EXISTS (SELECT FROM vault.{part})")).scalar_one():  # noqa: S608 - named by the catalog
        rows.execute(sa.text(f"ALTER TABLE vault.{part} FORCE ROW LEVEL SECURITY"))
        return False
    rows.execute(sa.text(f"DROP TABLE vault.{part}"))
    return True


def _locked(parent: str, part: str) -> Iterator[sa.TextClause]:
    """Whoever owns the table sees all its rows while row security is put aside for this transaction."""
    yield sa.text(f"LOCK TABLE ONLY vault.{parent} IN ACCESS EXCLUSIVE MODE")
    yield sa.text(f"ALTER TABLE vault.{part} NO FORCE ROW LEVEL SECURITY")
