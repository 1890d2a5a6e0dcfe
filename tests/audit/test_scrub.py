"""What lies beside the leaves, touched by SQL as superuser: details, people's chains, look-up rows."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from tests.audit.makers import KEYS, SECRET, Log, audit_key, draft, unseal, vkey
from tests.audit.tampering import alone, checks, note_at, on, refit_writers, relinked, rows_of, store
from tests.tampered import other_octet
from vault.audit import entry
from vault.audit.reading import open_details
from vault.audit.records import entry_by_id
from vault.audit.scan import GivenNote, Scan, members_of
from vault.audit.scrub import ScrubKeys
from vault.errors import Unreadable


@pytest.fixture
def log(signed: Log) -> Log:
    """The signed log, whole again after each attack."""
    return signed


def somebodys(log: Log) -> int:
    """The first position from 300 on whose entry is about somebody."""
    statement = "SELECT min(position) FROM vault.audit_detail WHERE position >= 300 AND subject_id <> '-' AND controller_id = %s"
    return int(log.ask(statement, log.controller_id)[0][0])


@pytest.mark.parametrize(
    ("attack", "check"),
    [
        (f"UPDATE vault.audit_detail SET sealed = {other_octet('sealed', 39)}", "details"),
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
        ("UPDATE vault.audit_lookup SET subject_id = 'sub-99'", "lookup"),
        ("UPDATE vault.audit_lookup SET clear_count = 0", "lookup"),
        ("DELETE FROM vault.audit_lookup", "lookup"),
    ],
)
def test_a_row_beside_the_leaf_touched_is_named(log: Log, attack: str, check: str) -> None:
    on(log, f"{attack} WHERE @ AND position = {somebodys(log)}")
    report = log.verify()
    assert check in checks(report) <= {"details", "subject-chain", "lookup"}
    assert report.first_bad is not None
    assert alone(log).ok  # the log itself is whole


def test_an_entry_about_somebody_without_a_tag_is_named(log: Log) -> None:
    """By whoever holds every key but the person's: all else fits."""
    at, rows = somebodys(log), rows_of(log)
    bare = {name: one for name, one in orjson.loads(rows[at][0]).items() if name != "subject"}
    made = relinked(log, [*rows[:at], (entry.encode(bare), rows[at][1]), *rows[at + 1 :]], with_key=True)
    store(log, made)
    refit_writers(log, made)
    report = log.verify(notes=[GivenNote("early", note_at(log, 150))])
    assert (checks(report), report.first_bad) == ({"subject-chain"}, at)


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


# --- leaves that are none ---

SHAPED = {
    "id": str, "operation": str, "outcome": str, "kind": str, "purpose": str, "caller": str, "writer": str, "previous": str,
    "subject": str, "details": str, "internal": str, "at": int, "number": int, "count": int, "roles": list, "fields": dict,
    "about": dict,
}  # fmt: skip
ODD: list[Any] = [None, 5, "x", [], {}, True, 1.5]
DEEPER = [("at", -1), ("at", 1 << 63), ("roles", [5]), ("roles", [None]), ("fields", {"email": []}), ("fields", {"email": None})]


def shape(member: str) -> list[Any]:
    """Values of every shape but the member's."""
    return [one for one in ODD if type(one) is not SHAPED[member]] + [one for name, one in DEEPER if name == member]


@pytest.mark.parametrize("member", SHAPED)
def test_a_leaf_with_a_member_of_another_shape_is_a_finding_and_ends_nothing(log: Log, member: str) -> None:
    """Beside it lies what fits it, so that each check reads it."""
    at, rows = somebodys(log), rows_of(log)
    for place, odd in enumerate(shape(member), at):
        leaf = orjson.dumps(orjson.loads(rows[place][0]) | {member: odd}).hex()
        assert members_of(bytes.fromhex(leaf)) is None
        on(log, f"UPDATE vault.audit_entry SET leaf = '\\x{leaf}' WHERE @ AND position = {place}")
    report = log.verify()
    assert {"leaf", "leaf-hash", "details", "lookup", "tile"} <= checks(report)
    assert {one.check: one.position for one in report.findings}["leaf"] == at
    assert alone(log).first_bad == at


@pytest.mark.parametrize(
    ("attack", "check"),
    [
        ("UPDATE vault.audit_lookup SET roles = '{dpo,NULL}'", "lookup"),
        ("UPDATE vault.audit_lookup SET roles = '{{dpo},{t1}}'", "lookup"),
        ("UPDATE vault.audit_detail SET chain_number = -1", "subject-chain"),
    ],
)
def test_a_row_beside_the_leaf_that_no_recorder_writes_is_named(log: Log, attack: str, check: str) -> None:
    on(log, f"{attack} WHERE @ AND position = {somebodys(log)}")
    assert check in checks(log.verify())


def test_a_pending_leaf_of_another_shape_is_a_break_and_ends_nothing(log: Log) -> None:
    lane = log.recorder().open_lane(log.controller_id)
    lane.record_all([draft(about={"writer": "wrt_x"})])
    leaf = orjson.dumps(orjson.loads(log.pending()[-1][2]) | {"about": []}).hex()
    on(log, f"UPDATE vault.audit_pending SET leaf = '\\x{leaf}' WHERE @ AND number = 2")
    sequencer = log.sequencer()
    sequencer.drain(log.controller_id)
    assert sequencer.found_break(log.controller_id) is not None
    assert "writer-chain" in checks(log.verify())
    lane.close()
