"""The sequencer: gives pending entries their positions, one log at a time, in one transaction that is safe to kill anywhere.

Whoever locks the log's head works; the others pass on. Each writer's rows are checked (number, the hash before, MAC with its
ratcheting key) before they are merged by time. A position is never an identity column: those have gaps and commit out of order. A
chain that does not hold stops that log until an operator decides. So does a log that is not the one that was signed.
"""

import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import psycopg
from sqlalchemy import Connection

from vault.audit import entry, partitions
from vault.audit.checkpoint import origin
from vault.audit.health import TrailHealth
from vault.audit.merkle import TILE_WIDTH, grown, leaf_hash
from vault.audit.signer import BEHIND, OTHER_TREE
from vault.database import EVERY_CONTROLLER, Database
from vault.octets import b64u

MOST_AT_ONCE = 10_000
CHAIN_BROKEN = "chain-broken"

_LOCK = "SELECT era, size FROM vault.audit_head WHERE controller_id = %(controller)s FOR UPDATE SKIP LOCKED"
_WRITERS = """
    WITH RECURSIVE writing AS (
      (SELECT writer_id FROM vault.audit_pending WHERE controller_id = %(controller)s ORDER BY writer_id LIMIT 1)
      UNION ALL
      SELECT (SELECT p.writer_id FROM vault.audit_pending p
              WHERE p.controller_id = %(controller)s AND p.writer_id > w.writer_id ORDER BY p.writer_id LIMIT 1)
      FROM writing w WHERE w.writer_id IS NOT NULL)
    SELECT w.writer_id, coalesce(k.number, 0), k.leaf_hash, k.mac_key, coalesce(k.era, %(era)s)
    FROM writing w LEFT JOIN vault.audit_writer k ON k.controller_id = %(controller)s AND k.writer_id = w.writer_id
    WHERE w.writer_id IS NOT NULL
"""
_PENDING = """
    SELECT number, at, leaf, mac FROM vault.audit_pending
    WHERE controller_id = %(controller)s AND writer_id = %(writer)s ORDER BY number LIMIT %(most)s
"""
_LAST_LEAVES = """
    SELECT leaf_hash FROM vault.audit_entry
    WHERE controller_id = %(controller)s AND era = %(era)s AND position >= %(first)s AND position < %(size)s ORDER BY position
"""
_TILE = """
    SELECT hashes FROM vault.audit_tile
    WHERE controller_id = %(controller)s AND era = %(era)s AND level = %(level)s AND idx = %(index)s
"""
# The leaf is hashed again by the database: only the very bytes that were checked are moved.
_MOVE = """
    WITH taken AS (
      DELETE FROM vault.audit_pending p
      USING unnest(%(writers)b::text[], %(numbers)b::bigint[], %(hashes)b::bytea[]) WITH ORDINALITY
        AS t(writer_id, number, leaf_hash, n)
      WHERE p.controller_id = %(controller)s AND p.writer_id = t.writer_id AND p.number = t.number
        AND sha256('\\x00'::bytea || p.leaf) = t.leaf_hash
      RETURNING p.*, t.leaf_hash, %(size)s + t.n - 1 AS position),
    entries AS (
      INSERT INTO vault.audit_entry (controller_id, era, position, leaf, leaf_hash, mac)
      SELECT controller_id, %(era)s, position, leaf, leaf_hash, mac FROM taken),
    details AS (
      INSERT INTO vault.audit_detail
        (controller_id, at, position, subject_id, era, entry_id, sealed, stream, chain_number, chain_previous)
      SELECT controller_id, at, position, subject_id, %(era)s, entry_id, sealed, stream, chain_number, chain_previous FROM taken),
    lookups AS (
      INSERT INTO vault.audit_lookup (
        controller_id, at, position, subject_id, era, entry_id, stream, operation, outcome, kind, caller_id, roles, team,
        recipient, purpose, channel, ticket, station, ticket_state, classes, clear_classes, clear_count, flags)
      SELECT controller_id, at, position, subject_id, %(era)s, entry_id, stream, operation, outcome, kind, caller_id, roles, team,
        recipient, purpose, channel, ticket, station, ticket_state, classes, clear_classes, clear_count, flags FROM taken),
    days AS (
      INSERT INTO vault.audit_daily (controller_id, day, operation, outcome, purpose, recipient, entries, clear_values)
      SELECT controller_id, at / 86400000, operation, outcome, coalesce(purpose, '-'), coalesce(recipient, '-'),
             count(*), coalesce(sum(clear_count), 0)
      FROM taken GROUP BY 1, 2, 3, 4, 5, 6
      ON CONFLICT (controller_id, day, operation, outcome, purpose, recipient) DO UPDATE
      SET entries = audit_daily.entries + EXCLUDED.entries, clear_values = audit_daily.clear_values + EXCLUDED.clear_values)
    SELECT count(*) FROM taken
"""
_TILES = """
    INSERT INTO vault.audit_tile (controller_id, era, level, idx, hashes)
    SELECT %(controller)s, %(era)s, level, idx, hashes
    FROM unnest(%(levels)b::smallint[], %(indexes)b::bigint[], %(hashes)b::bytea[]) AS t(level, idx, hashes)
    ON CONFLICT (controller_id, era, level, idx) DO UPDATE SET hashes = EXCLUDED.hashes
"""
_MARK = """
    INSERT INTO vault.audit_writer (controller_id, writer_id, number, leaf_hash, mac_key, seen_at, closed, era, position)
    SELECT %(controller)s, writer_id, number, leaf_hash, mac_key, now(), closed, %(era)s, position
    FROM unnest(%(writers)b::text[], %(numbers)b::bigint[], %(hashes)b::bytea[], %(keys)b::integer[], %(closed)b::boolean[],
                %(positions)b::bigint[])
      AS t(writer_id, number, leaf_hash, mac_key, closed, position)
    ON CONFLICT (controller_id, writer_id) DO UPDATE
    SET number = EXCLUDED.number, leaf_hash = EXCLUDED.leaf_hash, mac_key = EXCLUDED.mac_key, seen_at = EXCLUDED.seen_at,
        position = coalesce(EXCLUDED.position, audit_writer.position), closed = audit_writer.closed OR EXCLUDED.closed
"""
_CLOSE = "UPDATE vault.audit_writer SET closed = true WHERE controller_id = %(controller)s AND writer_id = ANY(%(writers)s)"
_GROW = """
    UPDATE vault.audit_head SET size = %(new)s WHERE controller_id = %(controller)s AND era = %(era)s AND size = %(size)s
"""
_WAITING = "SELECT EXISTS (SELECT FROM vault.audit_pending WHERE controller_id = %(controller)s)"


@dataclass(frozen=True, slots=True)
class Break:
    """Where a writer's chain does not hold: its number and what is wrong with it. Entries before it are sound."""

    writer_id: str
    number: int
    what: str


class _Broken(Exception):
    def __init__(self, found: Break) -> None:
        self.found = found
        super().__init__(found.what)


@dataclass(frozen=True, slots=True)
class _Ratchet:
    """A writer's chain so far: the last number and hash, and the MAC key of the next entry."""

    writer_id: str
    number: int
    leaf_hash: bytes
    mac_key: int
    key: bytes
    closed: bool = False


@dataclass(frozen=True, slots=True)
class _Taken:
    """One checked entry."""

    at: int
    writer_id: str
    number: int
    leaf_hash: bytes


@dataclass(frozen=True, slots=True)
class _Log:
    cursor: "psycopg.Cursor[Any]"
    controller_id: str
    era: int
    size: int
    origin: str

    def rows(self, statement: str, **values: Any) -> list[Any]:
        """Return the rows of a statement about this log."""
        return self.run(statement, **values).fetchall()

    def run(self, statement: str, **values: Any) -> "psycopg.Cursor[Any]":
        """Carry out a statement about this log."""
        return self.cursor.execute(statement, {"controller": self.controller_id, "era": self.era, "size": self.size, **values})


class Sequencer:
    """Sequences logs, one at a time. `mac` is the keyring's, None for a key it has not; many processes may each run one."""

    def __init__(
        self,
        database: Database,
        *,
        mac: Callable[[str, bytes], bytes | None],
        origin_host: str,
        health: TrailHealth,
        most: int = MOST_AT_ONCE,
    ) -> None:
        self._database = database
        self._mac = mac
        self._origin_host = origin_host
        self._health = health
        self._most = most
        self._ratchets: dict[tuple[str, str], _Ratchet] = {}
        self._breaks: dict[str, Break] = {}

    def run_once(self, controller_id: str) -> int:
        """Sequence what is pending, at most 10,000 entries, and return how many.

        0 also when another process is at it, or a chain broke: then `found_break` says where and the trail is closed. Raises
        Unavailable; then nothing has changed.
        """
        if self._health.finds(controller_id, BEHIND, OTHER_TREE):
            return 0  # a log that is not the one that was signed must not grow: that would hide where it went back
        if not self.waiting(controller_id):
            self._mended(controller_id)
            return 0
        try:
            with self._database.transaction(controller_id) as rows:
                taken, ratchets = self._sequence(_cursor(rows), controller_id)
        except _Broken as broken:
            self._breaks[controller_id] = broken.found
            self._health.judge(controller_id, CHAIN_BROKEN, stands=True)
            return 0
        for one in ratchets:  # committed: what was checked is now in the log
            self._ratchets[controller_id, one.writer_id] = one
            if one.closed:
                del self._ratchets[controller_id, one.writer_id]
        if taken:
            self._mended(controller_id)
        return taken

    def _mended(self, controller_id: str) -> None:
        """What was broken is sequenced, or was rejected by an operator, maybe in another process."""
        self._breaks.pop(controller_id, None)
        self._health.judge(controller_id, CHAIN_BROKEN, stands=False)

    def drain(self, controller_id: str) -> int:
        """Sequence until nothing is left that can be; return how many. Raises Unavailable."""
        total = 0
        while taken := self.run_once(controller_id):
            total += taken
        return total

    def make_room(self) -> int:
        """Have the partitions made that will soon be needed; return how many were. Raises Unavailable: then there is time left."""
        with self._database.transaction(EVERY_CONTROLLER) as rows:
            return partitions.make_ahead(rows)

    def found_break(self, controller_id: str) -> Break | None:
        """Return where a chain of this log did not hold at the last look."""
        return self._breaks.get(controller_id)

    def waiting(self, controller_id: str) -> bool:
        """Return whether anything is pending."""
        with self._database.snapshot(controller_id) as rows:
            row = _cursor(rows).execute(_WAITING, {"controller": controller_id}).fetchone()
        return bool(row and row[0])

    def _sequence(self, cursor: "psycopg.Cursor[Any]", controller_id: str) -> tuple[int, Sequence[_Ratchet]]:
        head = cursor.execute(_LOCK, {"controller": controller_id}).fetchone()
        if head is None:
            return 0, ()
        era, size = head
        log = _Log(cursor, controller_id, era, size, origin(self._origin_host, controller_id, era))
        writing = log.rows(_WRITERS)
        taken: list[_Taken] = []
        named: set[str] = set()
        share = max(1, self._most // max(1, len(writing)))
        ratchets = [self._checked(log, self._ratchet(log, *row), share, taken, named) for row in writing]
        if taken:
            taken.sort(key=lambda one: (one.at, one.writer_id, one.number))
            _write(log, taken, ratchets, named)
        return len(taken), ratchets

    def _ratchet(self, log: _Log, writer_id: str, number: int, leaf_hashed: bytes, mac_key: int, era: int) -> _Ratchet:
        """Return where a writer's chain stands; the key is replayed from the first when this process has not followed it.

        Raises _Broken for a writer of an era that has ended: its next entry belongs to no log.
        """
        if era != log.era:
            raise _Broken(Break(writer_id, number + 1, "era"))
        if not number:
            return _Ratchet(writer_id, 0, b"", 0, b"")
        known = self._ratchets.get((log.controller_id, writer_id))
        if known is not None and known.number == number and known.mac_key == mac_key:
            return known
        key = self._first_key(log, writer_id, mac_key, number + 1)
        for _ in range(number):
            key = entry.ratchet(key)
        return _Ratchet(writer_id, number, leaf_hashed, mac_key, key)

    def _first_key(self, log: _Log, writer_id: str, mac_key: int, number: int) -> bytes:
        """Return the key of a writer's first entry. Raises _Broken at `number` where a row names a MAC root there is none of."""
        key = self._mac(f"audit-mac/{mac_key}", entry.first_mac_message(log.controller_id, writer_id))
        if key is None:
            raise _Broken(Break(writer_id, number, "mac"))
        return key

    def _checked(self, log: _Log, chain: _Ratchet, most: int, taken: list[_Taken], named: set[str]) -> _Ratchet:
        """Check a writer's pending rows, add them to `taken`, and return where its chain stands then. Raises _Broken."""
        number, previous, key, mac_key, closed = chain.number, chain.leaf_hash, chain.key, chain.mac_key, False
        for found, at, leaf, mac in log.rows(_PENDING, writer=chain.writer_id, most=most):
            number += 1
            members = _members(leaf)
            if found != number or members.get("number") != number or members.get("writer") != chain.writer_id:
                raise _Broken(Break(chain.writer_id, number, "number"))
            if members.get("previous") != (b64u(previous) if previous else "") or members.get("at") != at:
                raise _Broken(Break(chain.writer_id, number, "previous"))
            about = members.get("about", {})
            if number == 1:
                mac_key = _mac_key(members, log.origin)
                key = self._first_key(log, chain.writer_id, mac_key, 1) if mac_key else b""
            if not (mac_key and hmac.compare_digest(entry.leaf_mac(key, leaf), mac)):
                raise _Broken(Break(chain.writer_id, number, "mac"))
            if isinstance(about.get("writer"), str):  # a writer left behind, or lost: explained
                named.add(about["writer"])
            previous, key, closed = leaf_hash(leaf), entry.ratchet(key), members["operation"] == "writer-close"
            taken.append(_Taken(at, chain.writer_id, number, previous))
        return _Ratchet(chain.writer_id, number, previous, mac_key, key, closed)


def _members(leaf: bytes) -> dict[str, Any]:
    try:
        members = orjson.loads(leaf)
    except orjson.JSONDecodeError:
        return {}
    return members if isinstance(members, dict) and entry.is_shaped(members) else {}


def _mac_key(members: dict[str, Any], log_origin: str) -> int:
    """Return the version of the MAC root a writer's first entry names; 0 unless it opens a writer in this very log."""
    about = members.get("about", {})
    if members.get("operation") != "writer-open" or about.get("origin") != log_origin:
        return 0
    named = about.get("mac_key")
    return named if isinstance(named, int) else 0


def _cursor(rows: Connection) -> "psycopg.Cursor[Any]":
    """Return a cursor of the driver in the same transaction: arrays of thousands are its business."""
    driver: psycopg.Connection[Any] = rows.connection.driver_connection  # type: ignore[assignment]  # psycopg is the only driver
    return driver.cursor(binary=True)


def _write(log: _Log, taken: Sequence[_Taken], ratchets: Sequence[_Ratchet], named: set[str]) -> None:
    """Move the entries to their positions and let the tree, the writers and the head grow with them."""
    hashes = [one.leaf_hash for one in taken]
    positions = {one.writer_id: log.size + at for at, one in enumerate(taken)}  # of each writer the last
    try:
        tiles = list(grown(log.size, lambda level: _unfinished(log, level), hashes))
    except ValueError:  # head and tree are not of one size: somebody changed one of them
        raise _Broken(Break("", 0, "tree")) from None
    moved = log.rows(
        _MOVE, writers=[one.writer_id for one in taken], numbers=[one.number for one in taken], hashes=hashes
    )[0][0]  # fmt: skip
    if tiles:
        log.run(
            _TILES, levels=[one.level for one in tiles], indexes=[one.index for one in tiles], hashes=[one.hashes for one in tiles]
        )  # fmt: skip
    log.run(
        _MARK,
        writers=[one.writer_id for one in ratchets],
        numbers=[one.number for one in ratchets],
        hashes=[one.leaf_hash for one in ratchets],
        keys=[one.mac_key for one in ratchets],
        closed=[one.closed for one in ratchets],
        positions=[positions.get(one.writer_id) for one in ratchets],
    )
    if named:
        log.run(_CLOSE, writers=sorted(named))
    head = log.run(_GROW, new=log.size + len(taken))
    if moved != len(taken) or head.rowcount != 1:  # somebody changed rows under the lock: leave everything as it was
        raise _Broken(Break("", 0, "moved"))


def _unfinished(log: _Log, level: int) -> bytes:
    if level == 0:
        first = log.size // TILE_WIDTH * TILE_WIDTH
        return b"".join(bytes(row[0]) for row in log.rows(_LAST_LEAVES, first=first))
    index = (log.size >> (8 * level)) // TILE_WIDTH
    rows = log.rows(_TILE, level=level, index=index)
    return bytes(rows[0][0]) if rows else b""
