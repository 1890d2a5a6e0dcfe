"""The tamper table: everything is done by SQL as superuser, triggers off, and `verify` must name the first bad position.

One log of 560 entries, two writers, signed at 60, 150, 400 and 560. Each attack starts from it and is undone afterwards.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.audit.makers import KEYS, SECRET, SIGNING, Log, audit_key, draft, log_on, mac, unseal, vkey
from vault.audit import entry
from vault.audit.checkpoint import Checkpoint, VerifierKey, note_text
from vault.audit.merkle import grown, leaf_hash
from vault.audit.reading import open_details
from vault.audit.records import entry_by_id
from vault.audit.scan import GivenNote, Report, Scan
from vault.audit.scrub import ScrubKeys
from vault.audit.verify import verify_log
from vault.errors import KeysUnavailable, Unreadable
from vault.octets import b64u

TABLES = ("entry", "detail", "lookup", "tile", "writer", "head", "checkpoint", "pending")
SIZES = (60, 150, 400, 560)
WHOLE = SIZES[-1]
PLACES = (100, 300, 540)  # in a full tile, in the second, in the unfinished one


@pytest.fixture(scope="module")
def whole(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Log]:
    with log_on(database_url, tmp_path_factory.mktemp("state")) as log:
        recorder = log.recorder()
        lanes = [recorder.open_lane(log.controller_id) for _ in range(2)]
        done = 0
        for size in SIZES:
            while done < size:
                number = min(15 - (done < 30), size - done)  # the first of each writer opens it
                lanes[(done // 15) % 2].record_all([draft(f"sub-{(done + n) % 7}" if n % 5 else "") for n in range(number)])
                done += number + (done < 30)
            assert log.settle().checkpoint.size == size
        log.closing.extend(lane.close for lane in lanes)
        for table in TABLES:
            log.ask(
                f"CREATE TABLE public.kept_{table} AS SELECT * FROM vault.audit_{table} WHERE controller_id = %s", log.controller_id
            )
        yield log
        for table in TABLES:
            log.ask(f"DROP TABLE public.kept_{table}")


@pytest.fixture
def log(whole: Log) -> Iterator[Log]:
    """The log, whole again after each attack."""
    yield whole
    own = f"controller_id = '{whole.controller_id}'"
    whole.attack(
        *(f"DELETE FROM vault.audit_{table} WHERE {own}" for table in TABLES),
        *(f"INSERT INTO vault.audit_{table} SELECT * FROM public.kept_{table}" for table in TABLES),
    )


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


# --- nothing was done ---


def test_a_clean_log_is_accused_by_no_check(log: Log) -> None:
    report = log.verify()
    assert report.ok, report
    assert (report.size, report.checkpoints, report.unkeyed, report.first_bad, report.interval) == (WHOLE, 10, 0, None, None)
    for size in SIZES:
        assert alone(log, size).ok


def test_pending_entries_are_no_fault(log: Log) -> None:
    lane = log.recorder().open_lane(log.controller_id)
    lane.record_all([draft("sub-90"), draft("sub-90")])
    assert log.verify().ok
    lane.close()


def test_people_never_enrolled_after_all_are_counted(log: Log) -> None:
    keys = ScrubKeys(lambda subject: None if subject == "sub-3" else audit_key(subject), lambda _version: SECRET, unseal)
    report = log.verify(keys=keys)
    assert report.ok
    assert report.unkeyed > 50


def test_an_audit_key_that_should_open_and_does_not_is_named(log: Log) -> None:
    def spoilt(subject_id: str) -> bytes | None:
        if subject_id == "sub-3":
            raise Unreadable
        return audit_key(subject_id)

    report = log.verify(keys=ScrubKeys(spoilt, lambda _version: SECRET, unseal))
    first = log.ask(
        "SELECT min(position) FROM vault.audit_detail WHERE subject_id = 'sub-3' AND controller_id = %s", log.controller_id
    )
    assert (checks(report), report.first_bad) == ({"audit-key"}, first[0][0])


# --- one row ---

ROWS = {
    "edited": ["SET leaf = replace(encode(leaf, 'escape'), '\"count\":1', '\"count\":2')::bytea WHERE @ AND position = {at}"],
    "emptied": ["SET leaf = '{{}}' WHERE @ AND position = {at}"],
    "no json": ["SET leaf = 'x' WHERE @ AND position = {at}"],
    "hash edited": ["SET leaf_hash = sha256(leaf_hash) WHERE @ AND position = {at}"],
    "copied": ["SET leaf = (SELECT leaf FROM vault.audit_entry WHERE @ AND position = 5) WHERE @ AND position = {at}"],
    "moved": ["SET position = 1000 WHERE @ AND position = {at}"],
    "swapped": [
        "SET position = -2 - (position - {at}) WHERE @ AND position IN ({at}, {at} + 1)",
        "SET position = {at} + 3 + position WHERE @ AND position < 0",
    ],
}


@pytest.mark.parametrize("at", PLACES)
@pytest.mark.parametrize("attack", ROWS)
def test_one_row_touched_is_named(log: Log, attack: str, at: int) -> None:
    on(log, *(f"UPDATE vault.audit_entry {one.format(at=at)}" for one in ROWS[attack]))
    for report in (scan(log), alone(log)):
        assert report.findings
        assert report.first_bad == at


@pytest.mark.parametrize("at", PLACES)
def test_a_row_deleted_is_named(log: Log, at: int) -> None:
    on(log, f"DELETE FROM vault.audit_entry WHERE @ AND position = {at}")
    for report in (scan(log), alone(log)):
        assert report.first_bad == at


def test_an_entry_without_its_mac_is_an_error(log: Log) -> None:
    on(log, "UPDATE vault.audit_entry SET mac = '' WHERE @ AND position = 100")
    report = scan(log)
    assert (checks(report), report.first_bad) == ({"mac"}, 100)
    assert alone(log).ok  # without the key nothing can be said of MACs


@pytest.mark.parametrize("at", PLACES)
def test_an_entry_inserted_without_the_key_is_named(log: Log, at: int) -> None:
    rows = rows_of(log)
    forged = entry.encode(orjson.loads(rows[at][0]) | {"id": "ent_forged", "outcome": "refused"})
    store(log, [*rows[:at], (forged, bytes(32)), *rows[at:]])
    report = scan(log)
    assert report.first_bad == at
    assert {"mac", "writer-chain", "root"} <= checks(report)
    assert alone(log).first_bad in (at, at + 1)  # which of the two twins is the forged one, only the MAC tells


def test_an_entry_added_behind_the_last_is_named(log: Log) -> None:
    added = "INSERT INTO vault.audit_entry SELECT controller_id, era, 560, leaf, leaf_hash, mac FROM vault.audit_entry"
    on(log, f"{added} WHERE @ AND position = 9")
    report = scan(log)
    assert report.first_bad == WHOLE
    assert {"head", "mac"} <= checks(report)
    on(log, "UPDATE vault.audit_entry SET position = -1 WHERE @ AND position = 560")
    assert scan(log).first_bad == -1
    on(log, "UPDATE vault.audit_entry SET position = 9, era = 2 WHERE @ AND position = -1")
    assert checks(scan(log)) == {"era"}


@pytest.mark.parametrize("at", PLACES)
def test_an_entry_taken_out_and_the_rest_moved_up_is_named(log: Log, at: int) -> None:
    rows = rows_of(log)
    assert writer_of(rows[at]) == writer_of(rows[at + 1])
    store(log, rows[:at] + rows[at + 1 :])
    for report in (scan(log), alone(log)):
        assert report.first_bad == at


# --- tiles ---

COPY = (
    "INSERT INTO vault.audit_tile SELECT controller_id, era, {}, {}, hashes FROM vault.audit_tile WHERE @ AND level = 0 AND idx = 1"
)


@pytest.mark.parametrize(
    ("attack", "at"),
    [
        ("UPDATE vault.audit_tile SET hashes = overlay(hashes PLACING '\\x00' FROM 1409) WHERE @ AND level = 0 AND idx = 1", 300),
        ("UPDATE vault.audit_tile SET hashes = substr(hashes, 1, 320) WHERE @ AND level = 0 AND idx = 0", 10),
        ("UPDATE vault.audit_tile SET hashes = overlay(hashes PLACING '\\x00' FROM 33) WHERE @ AND level = 1", 256),
        ("UPDATE vault.audit_tile SET hashes = hashes || sha256('') WHERE @ AND level = 1", 512),
        ("DELETE FROM vault.audit_tile WHERE @ AND level = 0 AND idx = 1", 256),
        ("DELETE FROM vault.audit_tile WHERE @ AND level = 1", 0),
        ("UPDATE vault.audit_tile SET idx = 7 WHERE @ AND level = 0 AND idx = 1", 256),
        (COPY.format(0, 2), 512),
        (COPY.format(2, 0), 0),
    ],
)
def test_a_tile_touched_is_named(log: Log, attack: str, at: int) -> None:
    on(log, attack)
    for report in (scan(log), alone(log)):
        assert checks(report) == {"tile"}
        assert report.first_bad == at


def test_a_swap_of_two_tiles_is_named(log: Log) -> None:
    on(
        log,
        "UPDATE vault.audit_tile SET idx = 5 - idx WHERE @ AND level = 0",
        "UPDATE vault.audit_tile SET idx = idx - 4 WHERE @ AND level = 0",
    )
    assert scan(log).first_bad == 0


# --- everything made to fit ---


@pytest.mark.parametrize("at", [40, *PLACES])
def test_an_edit_with_hashes_and_tiles_made_to_fit_is_named(log: Log, at: int) -> None:
    rows = rows_of(log)
    rows[at] = refused(rows[at])
    store(log, rows)
    report = scan(log)
    assert report.first_bad == at
    assert {"mac", "writer-chain", "root"} <= checks(report)
    assert alone(log).first_bad == at  # the writer's next entry says that it was another


@pytest.mark.parametrize("at", [40, *PLACES])
def test_a_chain_made_to_fit_too_is_named_by_its_mac_or_by_the_interval(log: Log, at: int) -> None:
    rows = rows_of(log)
    rows[at] = refused(rows[at])
    made = relinked(log, rows, with_key=False)
    store(log, made)
    refit_writers(log, made)
    assert scan(log).first_bad == at
    report = alone(log)
    assert (checks(report), report.first_bad, report.interval) == ({"root"}, None, (0, WHOLE))
    several = log.verify(mac=None, keys=None, alone=True)
    assert several.interval == next((low, high) for low, high in pairwise((0, *SIZES)) if low <= at < high)


@pytest.mark.parametrize("at", [40, 300])
def test_a_log_rewritten_with_all_keys_is_caught_by_notes_it_does_not_hold(log: Log, at: int) -> None:
    rows = rows_of(log)
    rows[at] = refused(rows[at])
    made = relinked(log, rows, with_key=True)
    store(log, made)
    refit_writers(log, made)
    report = scan(log)
    assert (checks(report), report.first_bad) == ({"root"}, None)
    low, high = report.interval or (0, 0)
    assert low <= at < high
    assert alone(log).interval == (0, WHOLE)
    assert alone(log, 60).ok == (at >= 60)  # what comes after a checkpoint, it cannot know


@pytest.mark.parametrize("size", [559, 540, 512, 401])
def test_a_truncated_tail_is_caught_by_the_signers_state(log: Log, size: int) -> None:
    rows = rows_of(log)[:size]
    store(log, rows)
    refit_writers(log, rows)
    on(log, f"DELETE FROM vault.audit_checkpoint WHERE @ AND size > {size}")
    on(log, *(f"DELETE FROM vault.audit_{table} WHERE @ AND position >= {size}" for table in ("detail", "lookup")))
    report = log.verify()
    assert (checks(report), report.first_bad) == ({"truncated"}, size)
    assert alone(log).first_bad == size
    assert log.verify(notes=[GivenNote("early", note_at(log, 150))]).ok  # signature and tree alone miss it


def test_a_truncated_tail_nobody_signed_is_seen_by_what_is_known_of_its_writer(log: Log) -> None:
    store(log, rows_of(log)[:540])
    report = log.verify(notes=[GivenNote("early", note_at(log, 150))])
    assert "writer-tail" in checks(report)
    assert report.first_bad == 540


def test_a_writers_last_entry_exchanged_is_seen_by_what_is_known_of_it(log: Log) -> None:
    rows = rows_of(log)
    store(log, [*rows[:-1], refused(rows[-1])])
    report = alone(log, 150)
    assert (checks(report), report.first_bad) == ({"writer-tail"}, WHOLE - 1)


def test_a_head_that_says_another_size_is_caught(log: Log) -> None:
    for change in ("UPDATE vault.audit_head SET size = 559 WHERE @", "UPDATE vault.audit_head SET size = 561 WHERE @"):
        on(log, change)
        assert "head" in checks(scan(log))
    on(log, "DELETE FROM vault.audit_head WHERE @")
    assert "head" in checks(scan(log))


# --- checkpoints ---


def test_a_checkpoint_copy_somebody_edited_is_caught(log: Log) -> None:
    on(log, "UPDATE vault.audit_checkpoint SET note = replace(note, E'\\n400\\n', E'\\n401\\n') WHERE @ AND size = 400")
    assert checks(scan(log)) == {"signature"}
    on(log, "UPDATE vault.audit_checkpoint SET note = 'x' WHERE @ AND size = 400")
    assert checks(scan(log)) == {"signature"}


def test_a_log_signed_with_another_key_is_caught(log: Log) -> None:
    other = Ed25519PrivateKey.from_private_bytes(bytes(32))
    point = Checkpoint(log.origin, WHOLE, scan(log).root)
    key = VerifierKey(log.origin, other.public_key().public_bytes_raw())
    note = note_text(point, [key.line(other.sign(point.body.encode()))])
    assert checks(log.verify_against(note)) == {"signature"}


def test_a_second_history_of_equal_size_is_caught(log: Log) -> None:
    point = Checkpoint(log.origin, WHOLE, bytes(32))
    note = note_text(point, [vkey(log.origin).line(SIGNING.sign(point.body.encode()))])
    report = log.verify_against(note)
    assert (checks(report), report.interval) == ({"root"}, (0, WHOLE))


def test_a_note_of_another_log_is_no_evidence_for_this_one(log: Log) -> None:
    given = [GivenNote("given", note_at(log, WHOLE))]
    with log.sequencing.transaction(log.controller_id) as rows:
        report = verify_log(rows, log.controller_id, origin_host="other.example", vkey=vkey, mac=None, alone=True, notes=given)
    assert {"signature", "writer-chain"} <= checks(report)


# --- beside the leaves ---


def somebodys(log: Log) -> int:
    """The first position from 300 on whose entry is about somebody."""
    statement = "SELECT min(position) FROM vault.audit_detail WHERE position >= 300 AND subject_id <> '-' AND controller_id = %s"
    return int(log.ask(statement, log.controller_id)[0][0])


@pytest.mark.parametrize(
    ("attack", "check"),
    [
        ("UPDATE vault.audit_detail SET sealed = overlay(sealed PLACING '\\x00' FROM 40)", "details"),
        ("UPDATE vault.audit_detail SET sealed = NULL", "details"),
        ("UPDATE vault.audit_detail SET entry_id = 'ent_x'", "details"),
        ("UPDATE vault.audit_detail SET at = at + 1", "details"),
        ("DELETE FROM vault.audit_detail", "details"),
        ("UPDATE vault.audit_detail SET chain_number = chain_number + 1", "subject-chain"),
        ("UPDATE vault.audit_detail SET chain_previous = '\\x00'", "subject-chain"),
        ("UPDATE vault.audit_detail SET stream = 'odd'", "subject-chain"),
        ("UPDATE vault.audit_detail SET subject_id = '-'", "subject-chain"),
        ("UPDATE vault.audit_detail SET subject_id = 'sub-99'", "subject-chain"),
        ("UPDATE vault.audit_lookup SET caller_id = 'agent-2'", "lookup"),
        ("UPDATE vault.audit_lookup SET caller_id = NULL", "lookup"),
        ("UPDATE vault.audit_lookup SET purpose = 'marketing'", "lookup"),
        ("UPDATE vault.audit_lookup SET roles = '{dpo}'", "lookup"),
        ("UPDATE vault.audit_lookup SET entry_id = 'ent_x'", "lookup"),
        ("DELETE FROM vault.audit_lookup", "lookup"),
    ],
)
def test_a_row_beside_the_leaf_touched_is_named(log: Log, attack: str, check: str) -> None:
    on(log, f"{attack} WHERE @ AND position = {somebodys(log)}")
    report = log.verify()
    assert check in checks(report) <= {"details", "subject-chain", "lookup"}
    assert report.first_bad is not None
    assert alone(log).ok  # the log itself is whole


def test_the_first_bad_position_beside_the_leaves_is_named_for_each_check(log: Log) -> None:
    on(
        log,
        "UPDATE vault.audit_lookup SET caller_id = 'agent-2' WHERE @ AND position IN (300, 301)",
        "UPDATE vault.audit_detail SET sealed = NULL WHERE @ AND position IN (311, 312)",
    )
    assert {one.check: one.position for one in log.verify().findings} == {"lookup": 300, "details": 311}


def test_rows_an_erasure_took_away_are_no_fault(log: Log) -> None:
    lane = log.recorder().open_lane(log.controller_id)
    lane.record_all([draft(operation="details-shred", outcome="done", opens={})])
    log.sequencer().drain(log.controller_id)
    on(log, *(f"DELETE FROM vault.audit_{table} WHERE @ AND subject_id = 'sub-3'" for table in ("detail", "lookup")))
    assert log.verify().ok
    lane.close()


def test_a_tile_that_is_just_full_is_compared_once() -> None:
    made = Scan("o", [], vkey("o"), lambda _level, _index: b"", None)
    for _ in range(256):
        made._put(1, bytes(32))
    made.finish(0, [], [], [])
    assert made._rows[1] == b""
    assert {one.check for one in made.findings.all()} == {"tile", "empty"}


def test_details_of_one_entry_do_not_pass_for_anothers(log: Log) -> None:
    first = somebodys(log)
    on(
        log,
        "UPDATE vault.audit_detail e SET sealed = o.sealed FROM vault.audit_detail o"
        " WHERE e.controller_id = o.controller_id AND e.@"
        f" AND (e.position, o.position) IN (({first}, {first} + 7), ({first} + 7, {first}))",
    )
    report = log.verify()
    assert (checks(report), report.first_bad) == ({"details"}, first)


# --- pending ---


@pytest.mark.parametrize(
    ("attack", "check"),
    [
        (
            "UPDATE vault.audit_pending SET leaf = replace(encode(leaf, 'escape'), 't1', 't2')::bytea WHERE @ AND number = 2",
            "mac",
        ),
        ("DELETE FROM vault.audit_pending WHERE @ AND number = 2", "writer-chain"),
        ("UPDATE vault.audit_pending SET leaf = 'x' WHERE @ AND number = 2", "writer-chain"),
        ("UPDATE vault.audit_pending SET mac = '' WHERE @ AND number = 3", "mac"),
    ],
)
def test_a_pending_entry_touched_is_caught(log: Log, attack: str, check: str) -> None:
    lane = log.recorder().open_lane(log.controller_id)
    lane.record_all([draft(), draft(), draft()])
    on(log, attack)
    assert check in checks(scan(log))
    lane.close()


# --- what could not be checked ---


def test_an_empty_log_is_no_evidence(database_url: str, tmp_path: Path) -> None:
    with log_on(database_url, tmp_path) as empty:
        report = empty.verify()
        assert not report.ok
        assert (checks(report), report.first_bad) == ({"empty"}, 0)
        assert not empty.verify_against(next(empty.state.notes(empty.origin))).ok


def test_what_could_not_be_checked_is_said_and_fails(log: Log) -> None:
    report = log.verify(mac=None, keys=None, notes=[])
    assert not report.ok
    assert report.findings == ()
    assert report.not_checked == ("mac", "details", "checkpoints")


def test_keys_that_do_not_answer_end_the_verification(log: Log) -> None:
    def unavailable(_subject: str) -> bytes | None:
        raise KeysUnavailable

    with pytest.raises(KeysUnavailable):
        log.verify(keys=ScrubKeys(unavailable, lambda _version: SECRET, unseal))


# --- one entry, for an officer ---


@pytest.mark.parametrize("which", ["<>", "="])
def test_an_officer_reads_what_was_sealed_beside_an_entry(log: Log, which: str) -> None:
    statement = "SELECT entry_id, position FROM vault.audit_lookup WHERE controller_id = %s AND operation = 'disclose'"
    (entry_id, position), *_ = log.ask(f"{statement} AND subject_id {which} '-'", log.controller_id)
    with log.app.snapshot(log.controller_id) as rows:
        stored = entry_by_id(rows, log.controller_id, entry_id)
        assert entry_by_id(rows, log.controller_id, "ent_x") is None
    assert stored is not None
    read = open_details(stored, log.controller_id, KEYS, 1)
    assert (read.position, read.leaf["id"], read.subject_id is not None) == (position, entry_id, which == "<>")
    assert read.internal["caller_id"] == "agent-1"
    assert read.details["decision_id"] == "dec_x"


def test_a_forged_opening_is_not_shown(log: Log) -> None:
    statement = "SELECT entry_id FROM vault.audit_lookup WHERE controller_id = %s AND position = %s"
    (entry_id,), *_ = log.ask(statement, log.controller_id, somebodys(log))
    with log.app.snapshot(log.controller_id) as rows:
        stored: Any = entry_by_id(rows, log.controller_id, entry_id)
    blind = ScrubKeys(lambda _subject: None, lambda _version: SECRET, unseal)
    assert open_details(stored, log.controller_id, blind, 1).internal == {}
    lying = ScrubKeys(audit_key, lambda _version: SECRET, lambda *_: b'{"details":{},"internal":{},"salts":["AA","AA"]}')
    forged: list[Callable[[], object]] = [
        lambda: open_details(stored, log.controller_id, lying, 1),
        lambda: open_details(type(stored)(1, 300, b"x", "-", None), log.controller_id, KEYS, 1),
    ]
    for read in forged:
        with pytest.raises(Unreadable):
            read()
