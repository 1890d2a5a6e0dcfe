"""What an attacker who owns the database does to a log, and how it is verified afterwards."""

import orjson
import psycopg

from tests.audit.makers import Log, mac
from vault.audit import entry
from vault.audit.merkle import grown, leaf_hash
from vault.audit.scan import Report
from vault.octets import b64u

TABLES = ("entry", "detail", "lookup", "tile", "writer", "head", "checkpoint", "pending")
SIZES = (60, 150, 400, 560)
WHOLE = SIZES[-1]
PLACES = (100, 300, 540)  # in a full tile, in the second, in the unfinished one


def on(log: Log, *statements: str) -> None:
    """Run statements on this log's rows."""
    log.attack(*(one.replace("@", f"controller_id = '{log.controller_id}'") for one in statements))


def note_at(log: Log, size: int) -> str:
    return next(text for text in log.state.notes(log.origin) if f"\n{size}\n" in text)


def scan(log: Log) -> Report:
    """Verify with keyring and every checkpoint, without the rows beside the leaves."""
    return log.verify(keys=None)


def alone(log: Log, size: int = WHOLE) -> Report:
    """Verify with one checkpoint and the public key alone."""
    return log.verify_against(note_at(log, size))


def checks(report: Report) -> set[str]:
    return {one.check for one in report.findings}


# --- what an attacker who owns the database can do ---

Row = tuple[bytes, bytes]  # leaf, mac


def rows_of(log: Log) -> list[Row]:
    rows = log.ask("SELECT leaf, mac FROM vault.audit_entry WHERE controller_id = %s ORDER BY position", log.controller_id)
    return [(bytes(leaf), bytes(code)) for leaf, code in rows]


def store(log: Log, rows: list[Row]) -> None:
    """Replace entries, tiles and head so that all of it fits."""
    hashes = [leaf_hash(leaf) for leaf, _ in rows]
    tiles = {(one.level, one.index): one.hashes for one in grown(0, lambda _level: b"", hashes)}
    own = (log.controller_id,)
    with psycopg.connect(log.url) as connection:
        connection.execute("SET LOCAL session_replication_role = replica")
        connection.execute("DELETE FROM vault.audit_entry WHERE controller_id = %s", own)
        connection.execute("DELETE FROM vault.audit_tile WHERE controller_id = %s", own)
        cursor = connection.cursor()
        entries = [(*own, at, leaf, hashes[at], code) for at, (leaf, code) in enumerate(rows)]
        cursor.executemany("INSERT INTO vault.audit_entry VALUES (%s, 1, %s, %s, %s, %s)", entries)
        places = [(*own, *place, octets) for place, octets in tiles.items()]
        cursor.executemany("INSERT INTO vault.audit_tile VALUES (%s, 1, %s, %s, %s)", places)
        connection.execute("UPDATE vault.audit_head SET size = %s WHERE controller_id = %s", (len(rows), *own))


def refused(row: Row) -> Row:
    return row[0].replace(b'"outcome":"allowed"', b'"outcome":"refused"'), row[1]


def writer_of(row: Row) -> str:
    return str(orjson.loads(row[0])["writer"])


def relinked(log: Log, rows: list[Row], *, with_key: bool) -> list[Row]:
    """Make each writer's chain fit again: numbers and hashes, and with the key of all MACs those too."""
    last: dict[str, tuple[int, bytes, bytes]] = {}
    made: list[Row] = []
    for leaf, code in rows:
        members = orjson.loads(leaf)
        name = members["writer"]
        number, previous, key = last.get(name, (0, b"", mac("audit-mac/1", entry.first_mac_message(log.controller_id, name))))
        members |= {"number": number + 1, "previous": b64u(previous) if previous else ""}
        octets = entry.encode(members)
        made.append((octets, entry.leaf_mac(key, octets) if with_key else code))
        last[name] = (number + 1, leaf_hash(octets), entry.ratchet(key))
    return made


def refit_writers(log: Log, rows: list[Row]) -> None:
    for name in {writer_of(row) for row in rows}:
        newest = next(row for row in reversed(rows) if writer_of(row) == name)
        number, hashed = orjson.loads(newest[0])["number"], leaf_hash(newest[0]).hex()
        on(log, f"UPDATE vault.audit_writer SET number = {number}, leaf_hash = '\\x{hashed}' WHERE @ AND writer_id = '{name}'")
