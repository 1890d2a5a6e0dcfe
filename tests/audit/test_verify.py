"""The tamper table: everything is done by SQL as superuser, triggers off, and `verify` must name the first bad position.

One log of 560 entries, two writers, signed at 60, 150, 400 and 560. Each attack starts from it and is undone afterwards.
"""

from itertools import pairwise
from pathlib import Path

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.audit.makers import SECRET, SIGNING, Log, audit_key, draft, log_on, mac, unseal, vkey
from tests.audit.tampering import (
    PLACES,
    SIZES,
    WHOLE,
    alone,
    checks,
    note_at,
    on,
    refit_writers,
    refused,
    relinked,
    rows_of,
    scan,
    store,
    writer_of,
)
from tests.tampered import other_octet
from vault.audit import entry
from vault.audit.checkpoint import Checkpoint, note_text
from vault.audit.scan import GivenNote
from vault.audit.scrub import ScrubKeys
from vault.audit.verify import verify_log
from vault.errors import KeysUnavailable, Unreadable
from vault.notes import VerifierKey


@pytest.fixture
def log(signed: Log) -> Log:
    """The signed log, whole again after each attack."""
    return signed


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
        (f"UPDATE vault.audit_tile SET hashes = {other_octet('hashes', 1408)} WHERE @ AND level = 0 AND idx = 1", 300),
        ("UPDATE vault.audit_tile SET hashes = substr(hashes, 1, 320) WHERE @ AND level = 0 AND idx = 0", 10),
        (f"UPDATE vault.audit_tile SET hashes = {other_octet('hashes', 32)} WHERE @ AND level = 1", 256),
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
    with pytest.raises(KeysUnavailable):
        log.verify(mac=lambda name, _message: unavailable(name))
    with pytest.raises(KeysUnavailable):
        log.verify(keys=ScrubKeys(audit_key, lambda version: unavailable(str(version)) or b"", unseal))


def test_keys_that_only_a_row_names_are_findings(log: Log) -> None:
    def root(name: str, message: bytes) -> bytes | None:
        return mac(name, message) if name == "audit-mac/1" else None

    def secret(version: int) -> bytes:
        if version != 1:
            raise Unreadable
        return SECRET

    keys = ScrubKeys(audit_key, secret, unseal)
    assert log.verify(mac=root, keys=keys).ok
    members = orjson.loads(rows_of(log)[0][0])
    leaf = orjson.dumps(members | {"about": members["about"] | {"mac_key": 9, "audit_secret": 9}}).hex()
    on(log, f"UPDATE vault.audit_entry SET leaf = '\\x{leaf}' WHERE @ AND position = 0")
    found = {one.check: one.position for one in log.verify(mac=root, keys=keys).findings}
    assert found["mac"] == 0
    assert {"details", "lookup"} <= found.keys()
