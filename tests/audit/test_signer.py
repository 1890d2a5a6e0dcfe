"""The signer signs only what continues what it signed; the watch closes opening when that does not hold."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from tests.audit.makers import HOST, Log, draft, log_on, now, vkey
from tests.audit.test_health import Clock
from tests.tampered import other_octet
from vault.audit.acknowledged import Acknowledged
from vault.audit.checkpoint import parse_note, signed_by
from vault.audit.merkle import EMPTY_ROOT
from vault.connectors.signer_state import DirectorySignerState
from vault.errors import AuditUnavailable


def written(log: Log, count: int) -> None:
    lane = log.recorder().open_lane(log.controller_id)
    lane.record_all([draft(f"sub-{n % 5}") for n in range(count - 2)])
    lane.close()


def closed(log: Log) -> set[str]:
    return set(log.health.state(log.controller_id).closed) - {"not-measured"}


def test_a_new_log_is_signed_empty_once(log: Log) -> None:
    log.signer().found(log.controller_id)
    notes = [parse_note(text) for text in log.state.notes(log.origin)]
    assert [(one.checkpoint.size, one.checkpoint.root) for one in notes] == [(0, EMPTY_ROOT)]
    assert log.signer().run_once("ctl-nobody") is None


def test_a_log_is_signed_when_it_has_grown(log: Log) -> None:
    written(log, 10)
    note = log.settle()
    assert note.checkpoint.size == 10
    assert signed_by(note, vkey(log.origin))
    assert log.signer().run_once(log.controller_id) == note
    written(log, 300)
    assert log.settle().checkpoint.size == 310
    assert log.state.last(log.origin) == log.notes()[0].text
    assert [parse_note(one.text).checkpoint.size for one in log.notes()] == [310, 0, 10, 310, 10, 310]


def test_whoever_comes_second_finds_the_copy_too(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    written(log, 5)
    log.sequencer().drain(log.controller_id)
    with monkeypatch.context() as between:
        between.setattr("vault.audit.records.keep_copy", killed)  # signed and durable, and its copy not there
        with pytest.raises(KeyboardInterrupt):
            log.signer().run_once(log.controller_id)
    note = log.signer().run_once(log.controller_id)
    assert note is not None
    kept = log.ask("SELECT size, note FROM vault.audit_checkpoint WHERE controller_id = %s", log.controller_id)
    assert kept == [(note.checkpoint.size, note.text)] == [(5, log.state.last(log.origin))]


def test_the_note_is_durable_before_it_leaves(log: Log) -> None:
    class Broken(DirectorySignerState):
        def keep(self, _origin: str, _note: str, _at_ms: int) -> None:
            raise AuditUnavailable

    written(log, 5)
    log.sequencer().drain(log.controller_id)
    with pytest.raises(AuditUnavailable):
        log.signer(state=Broken(log.state._directory)).run_once(log.controller_id)
    assert log.ask("SELECT count(*) FROM vault.audit_checkpoint WHERE controller_id = %s", log.controller_id) == [(0,)]


ATTACKS: dict[str, tuple[list[str], str]] = {
    "shorter": (["UPDATE vault.audit_head SET size = 200 WHERE @"], "head-behind"),
    "rewritten": (
        [
            f"UPDATE vault.audit_tile SET hashes = {other_octet('hashes', 4)} WHERE @ AND level = 1",
            f"UPDATE vault.audit_tile SET hashes = {other_octet('hashes', 4)} WHERE @ AND level = 0",
        ],
        "tree-inconsistent",
    ),
    "no tile": (["DELETE FROM vault.audit_tile WHERE @"], "tree-inconsistent"),
    "last entry": (["UPDATE vault.audit_entry SET leaf_hash = sha256(leaf_hash) WHERE @ AND position = 299"], "tree-inconsistent"),
}


@pytest.mark.parametrize("grown", [False, True])
@pytest.mark.parametrize("attack", ATTACKS)
def test_a_log_that_is_not_the_continuation_is_not_signed(log: Log, attack: str, grown: bool) -> None:
    written(log, 300)
    before = log.settle()
    if grown:
        written(log, 20)
        log.sequencer().drain(log.controller_id)
    statements, fault = ATTACKS[attack]
    log.attack(*(one.replace("@", f"controller_id = '{log.controller_id}'") for one in statements))
    with pytest.raises(AuditUnavailable):
        log.signer().run_once(log.controller_id)
    assert closed(log) == {fault}
    assert log.state.last(log.origin) == before.text
    log.watch().look(log.controller_id)  # each process proves it for itself when it starts
    assert closed(log) == {fault}


def test_a_signers_state_that_has_gone_or_is_anothers_is_refused(log: Log) -> None:
    written(log, 5)
    note = log.settle()
    place = log.state._place(log.origin)
    for text, fault in (
        ("x", "signer-state-damaged"),
        (note.text.replace("\n5\n", "\n4\n"), "signer-state-damaged"),
        (None, "signer-state-missing"),
    ):
        place.unlink() if text is None else place.write_text(text)
        with pytest.raises(AuditUnavailable):
            log.signer().run_once(log.controller_id)
        assert closed(log) == {fault}
    place.write_text(note.text)
    assert log.signer().run_once(log.controller_id) == note
    assert closed(log) == set()


# --- the watch ---


def test_the_watch_measures_what_waits(log: Log) -> None:
    later = [timedelta(0)]
    watch = log.watch(now=lambda: now() + later[0])
    watch.look(log.controller_id)
    assert log.health.is_open(log.controller_id)
    written(log, 5)
    later[0] = timedelta(seconds=31)
    watch.look(log.controller_id)
    state = log.health.state(log.controller_id)
    assert state.measure is not None
    assert state.measure.waiting == 5
    assert (state.closed, state.warnings) == ((), ("oldest-pending", "clocks-apart"))
    later[0] = timedelta(seconds=61)
    watch.look(log.controller_id)
    assert log.health.state(log.controller_id).closed == ("oldest-pending",)
    log.sequencer().drain(log.controller_id)
    watch.look(log.controller_id)
    assert log.health.state(log.controller_id).closed == ()
    later[0] = timedelta(seconds=601)  # no checkpoint although the log has grown
    watch.look(log.controller_id)
    assert log.health.state(log.controller_id).closed == ("checkpoint-age",)
    log.settle()
    watch.look(log.controller_id)
    assert log.health.state(log.controller_id).closed == ()


def test_a_controller_without_a_log_stays_closed(log: Log) -> None:
    log.watch().look("ctl-nobody")
    assert log.health.state("ctl-nobody").closed == ("not-measured",)


def test_a_restored_database_closes_at_the_next_look_and_opens_when_it_is_whole_again(log: Log) -> None:
    written(log, 300)
    log.settle()
    watch = log.watch()
    watch.look(log.controller_id)
    log.ask("UPDATE vault.audit_head SET size = 299 WHERE controller_id = %s", log.controller_id)
    watch.look(log.controller_id)
    assert closed(log) == {"head-behind"}
    log.ask("UPDATE vault.audit_head SET size = 300 WHERE controller_id = %s", log.controller_id)
    watch.look(log.controller_id)
    assert closed(log) == set()


@pytest.mark.parametrize(("then", "meanwhile"), [(299, 300), (300, 299)])
def test_a_look_says_nothing_once_one_that_began_later_has_reported(log: Log, then: int, meanwhile: int) -> None:
    """Seen failing without the numbers of looks: closed though it was whole again, and opened though it had gone back."""
    written(log, 300)
    log.settle()
    changes = [meanwhile]

    def has(size: int) -> None:
        log.ask("UPDATE vault.audit_head SET size = %s WHERE controller_id = %s", size, log.controller_id)

    def overtaken() -> datetime:
        while changes:
            has(changes.pop())
            watch.look(log.controller_id)
        return now()

    watch = log.watch(now=overtaken)
    has(then)
    watch.look(log.controller_id)
    assert closed(log) == ({"head-behind"} if meanwhile == 299 else set())


def test_an_entry_missing_behind_the_last_checkpoint_closes(log: Log) -> None:
    written(log, 5)
    log.settle()
    written(log, 5)
    log.sequencer().drain(log.controller_id)
    watch = log.watch()
    watch.look(log.controller_id)
    log.attack(f"DELETE FROM vault.audit_entry WHERE controller_id = '{log.controller_id}' AND position = 5")
    watch.look(log.controller_id)
    assert closed(log) == {"tree-inconsistent"}


def test_a_deleted_pending_tail_is_noticed_by_whoever_wrote_it(log: Log) -> None:
    clock = Clock()
    recorder = log.recorder(monotonic=clock, lanes=1)
    recorder.record(log.controller_id, draft("sub-1"))
    recorder.record(log.controller_id, draft("sub-2"))
    log.attack(f"DELETE FROM vault.audit_pending WHERE controller_id = '{log.controller_id}' AND number = 3")
    log.sequencer().drain(log.controller_id)
    watch = log.watch(acknowledged=recorder.acknowledged)
    watch.look(log.controller_id)
    assert log.health.is_open(log.controller_id)
    clock.at += 61
    watch.look(log.controller_id)
    assert log.health.state(log.controller_id).closed == ("lane-late",)


def test_an_acknowledged_entry_sequenced_as_another_closes_for_good(log: Log) -> None:
    recorder = log.recorder(lanes=1)
    recorder.record(log.controller_id, draft("sub-1"))
    log.sequencer().drain(log.controller_id)
    log.attack(f"UPDATE vault.audit_writer SET leaf_hash = sha256(leaf_hash) WHERE controller_id = '{log.controller_id}'")
    watch = log.watch(acknowledged=recorder.acknowledged)
    watch.look(log.controller_id)
    watch.look(log.controller_id)
    assert log.health.state(log.controller_id).closed == ("lane-altered",)


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes"])
def test_a_server_that_may_lose_commits_opens_nothing(log: Log, setting: str) -> None:
    log.ask(f"ALTER SYSTEM SET {setting} = off")
    log.ask("SELECT pg_reload_conf()")
    try:
        deadline = time.monotonic() + 5
        while log.ask(f"SHOW {setting}") != [("off",)] and time.monotonic() < deadline:
            time.sleep(0.02)
        look_again = log.watch().look
        look_again(log.controller_id)
        assert log.health.state(log.controller_id).closed == ("server-settings",)
        log.watch(unsafe_server_allowed=True).look(log.controller_id)
        assert log.health.is_open(log.controller_id)
        assert log.health.state(log.controller_id).warnings == ("server-settings",)
    finally:
        log.ask(f"ALTER SYSTEM RESET {setting}")
        log.ask("SELECT pg_reload_conf()")


def test_an_application_that_does_not_wait_for_its_commits_opens_nothing(clone: Callable[[], str], tmp_path: Path) -> None:
    url = clone()
    found: dict[str, tuple[str, ...]] = {}
    for value in ("off", "local", "on", "remote_write", "remote_apply"):
        with psycopg.connect(url, autocommit=True) as connection:
            name = sql.Identifier(connection.info.dbname)
            setting = sql.SQL("ALTER ROLE riserbo_app IN DATABASE {} SET synchronous_commit = {}")
            connection.execute(setting.format(name, sql.Literal(value)))
        with log_on(url, tmp_path / value) as log:
            log.watch().look(log.controller_id)
            found[value] = log.health.state(log.controller_id).closed
    unsafe = dict.fromkeys(("off", "local"), ("server-settings",))
    assert found == {**unsafe, **dict.fromkeys(("on", "remote_write", "remote_apply"), ())}


def test_the_watch_of_a_process_that_writes_nothing_looks_all_the_same(log: Log) -> None:
    marks: dict[str, Any] = {"acknowledged": lambda _controller: Acknowledged(time.monotonic)}
    for given in ({}, marks):
        log.watch(**given).look(log.controller_id)
        assert log.health.is_open(log.controller_id)
    assert log.origin.startswith(HOST)
