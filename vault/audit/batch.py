"""The statement that writes a batch: chain heads move on and pending rows are inserted, or nothing happens at all.

Each head moves on by as many entries as the batch has for it, and what the database then counts must be what the entries say.
Whatever had happened to a head (moved, gone, of a newer era) the counts differ, and the statement divides by zero. So it does when
the log is in another era than the writer, or an operator rejected entries of this writer: what it writes next has no place.

Heads are offered in the order given, whether they exist or not, and an INSERT takes its rows in that order: two batches that offer
theirs in one order never wait for each other. There is a statement for 1, 2, 4 … 64 entries; what a batch leaves over is null.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from vault.audit.exchange import BINARY, TEXT, Call, Statement

MOST = 64
NOT_AS_EXPECTED = "22012"  # division by zero: a head was elsewhere. Chosen because its message holds no row

Row = Sequence[bytes | None]  # an entry's own values, in the order of _ROW

_BATCH = {"controller": "text", "writer": "text", "number": "bigint", "at": "bigint", "era": "integer", "reached": "bigint[]"}
_MOVE = {"subject_id": "text", "stream": "text", "moves": "bigint", "tag": "bytea"}
_ROW = {
    "leaf": "bytea",
    "mac": "bytea",
    "chain_number": "bigint",
    "chain_previous": "bytea",
    "sealed": "bytea",
    "subject_id": "text",
    "entry_id": "text",
    "stream": "text",
    "operation": "text",
    "outcome": "text",
    "kind": "text",
    "caller_id": "text",
    "roles": "text[]",
    "team": "text",
    "recipient": "text",
    "purpose": "text",
    "channel": "text",
    "ticket": "bytea",
    "station": "bytea",
    "ticket_state": "text",
    "classes": "text[]",
    "clear_classes": "text[]",
    "clear_count": "integer",
    "flags": "integer",
}


@dataclass(frozen=True, slots=True)
class Move:
    """What a batch does to one chain head: `entries` more, the newest of them `tag`, and `reached` entries then."""

    subject_id: str
    stream: str
    entries: int
    tag: bytes = field(repr=False)
    reached: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Entries `number` + 1 and following of one writer, at most 64. A head of an era before `era` counts as none."""

    controller_id: str
    writer_id: str
    number: int
    at: int
    era: int
    moves: Sequence[Move]
    rows: Sequence[Row]

    def call(self) -> Call:
        """Return the statement that writes all of it or fails, with its values."""
        size = 1 << (len(self.rows) - 1).bit_length()
        reached = ",".join(str(one.reached) for one in self.moves)
        values: list[bytes | None] = [
            self.controller_id.encode(),
            self.writer_id.encode(),
            b"%d" % self.number,
            b"%d" % self.at,
            b"%d" % self.era,
            b"{%b}" % reached.encode(),
        ]
        for one in self.moves:
            values += (one.subject_id.encode(), one.stream.encode(), b"%d" % one.entries, one.tag)
        values += [None] * (len(_MOVE) * (size - len(self.moves)))
        for row in self.rows:
            values += row
        values += [None] * (len(_ROW) * (size - len(self.rows)))
        return _STATEMENTS[size], values


def _statement(size: int) -> Statement:
    """Return the statement for at most `size` entries: what all share, then the heads' moves, then the rows."""
    controller, writer, number, at, era, reached = _places(1, _BATCH)
    first = 1 + len(_BATCH)
    moves = [_places(first + one * len(_MOVE), _MOVE, typed=one == 0) for one in range(size)]
    first += size * len(_MOVE)
    rows = [(f"{one + 1}", *_places(first + one * len(_ROW), _ROW, typed=one == 0)) for one in range(size)]
    columns = ", ".join(_ROW)
    sql = f"""
        WITH moved AS (
          INSERT INTO vault.audit_subject_head AS head (controller_id, subject_id, stream, era, number, tag)
          SELECT {controller}, m.subject_id, m.stream, {era}, m.moves, m.tag
          FROM (VALUES {_listed(moves)}) AS m({", ".join(_MOVE)})
          WHERE m.subject_id IS NOT NULL
          ON CONFLICT (controller_id, subject_id, stream) DO UPDATE
          SET era = EXCLUDED.era, tag = EXCLUDED.tag,
              number = EXCLUDED.number + CASE WHEN head.era = EXCLUDED.era THEN head.number ELSE 0 END
          WHERE head.era <= EXCLUDED.era
          RETURNING number)
        INSERT INTO vault.audit_pending (controller_id, writer_id, number, at, {columns})
        SELECT {controller}, {writer}, {number} + r.n, {at}, {columns}
        FROM (VALUES {_listed(rows)}) AS r(n, {columns})
        WHERE r.leaf IS NOT NULL
          AND 1 / ((SELECT array_agg(moved.number) IS NOT DISTINCT FROM {reached} FROM moved)
            AND coalesce((SELECT h.era = {era} FROM vault.audit_head h WHERE h.controller_id = {controller}), false)
            AND NOT EXISTS (SELECT FROM vault.audit_rejected j WHERE j.controller_id = {controller} AND j.writer_id = {writer})
          )::integer = 1
    """  # noqa: S608 - names of columns; every value is a parameter
    formats = (*_formats(_BATCH), *_formats(_MOVE) * size, *_formats(_ROW) * size)
    return Statement(b"riserbo_write_%d" % size, sql.encode(), formats)


def _places(first: int, kinds: dict[str, str], *, typed: bool = True) -> list[str]:
    """Return places for values, from `$first`. The first row of VALUES gives all their types; a server may log the text."""
    return [f"${at}::{kind}" if typed else f"${at}" for at, kind in enumerate(kinds.values(), first)]


def _listed(rows: Sequence[Sequence[str]]) -> str:
    return ", ".join(f"({', '.join(row)})" for row in rows)


def _formats(kinds: dict[str, str]) -> tuple[int, ...]:
    return tuple(BINARY if kind == "bytea" else TEXT for kind in kinds.values())


_STATEMENTS = {size: _statement(size) for size in (1, 2, 4, 8, 16, 32, MOST)}
