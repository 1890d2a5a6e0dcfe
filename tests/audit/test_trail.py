"""The threads that keep a trail going: entries are sequenced and signed without being asked, whatever happens to one of them."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from itertools import count
from pathlib import Path
from threading import Event
from typing import Any

import orjson
import pytest

from tests.audit.makers import Log, draft, log_on, new_id, now
from tests.audit.test_health import Clock
from vault.audit import trail as trails
from vault.audit.trail import STOPS_WITHIN_S, Trail
from vault.errors import AuditUnavailable


@pytest.fixture
def log(clone: Callable[[], str], tmp_path: Path) -> Iterator[Log]:
    """A database of its own: a trail keeps every log of its database."""
    with log_on(clone(), tmp_path / "state") as made:
        yield made


def trail_of(log: Log, **other: Any) -> Trail:
    recorder = other.pop("recorder", None) or log.recorder(is_open=log.health.is_open)
    watch = log.watch(acknowledged=recorder.acknowledged)
    log.health.look = watch.look
    given: dict[str, Any] = {
        "sequencer": log.sequencer(), "signer": log.signer(), "watch": watch, "health": log.health, "recorder": recorder,
        "new_id": new_id, "now": now, "monotonic": time.monotonic,
    }  # fmt: skip
    trail = Trail(log.sequencing, **(given | other))
    log.closing.insert(0, trail.stop)
    return trail


def reached(condition: Callable[[], bool], within_s: float = 10.0) -> bool:
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def operations(log: Log) -> list[str]:
    rows = log.ask("SELECT leaf FROM vault.audit_entry WHERE controller_id = %s ORDER BY position", log.controller_id)
    return [orjson.loads(leaf)["operation"] for (leaf,) in rows]


def test_an_entry_is_sequenced_and_signed_without_being_asked_for(log: Log) -> None:
    def wake(controller_id: str) -> None:
        trail.wake(controller_id)

    recorder = log.recorder(is_open=log.health.is_open, wake=wake)
    trail = trail_of(log, recorder=recorder)
    trail.start()
    recorder.record(log.controller_id, draft("sub-1"))
    assert reached(lambda: operations(log) == ["writer-open", "disclose"])
    trail.settle(log.controller_id)
    assert log.verify().ok
    assert log.state.last(log.origin) != next(log.state.notes(log.origin))
    trail.stop()
    assert trail._threads == {}


def test_what_the_last_process_left_is_caught_up_with_before_anything_opens(log: Log) -> None:
    log.recorder(now=lambda: now() - timedelta(minutes=20)).record(log.controller_id, draft("sub-1"))
    trail = trail_of(log)
    trail.start()
    assert log.health.state(log.controller_id).closed == ()
    assert operations(log) == ["writer-open", "disclose"]
    assert "\n2\n" in (log.state.last(log.origin) or "")


def test_stopping_catches_up_with_what_this_process_wrote(log: Log) -> None:
    def wake(controller_id: str) -> None:
        trail.wake(controller_id)

    recorder = log.recorder(wake=wake)
    trail = trail_of(log, recorder=recorder)
    recorder.record(log.controller_id, draft("sub-1"))
    recorder.close()
    trail.stop()
    assert operations(log) == ["writer-open", "disclose", "writer-close"]
    assert log.verify().ok


def test_stopping_takes_no_longer_than_it_may(log: Log) -> None:
    """Whatever the number of companies: what is left waits for another process, or the next start."""
    ticks = count(step=STOPS_WITHIN_S)
    recorder = log.recorder()
    trail = trail_of(log, recorder=recorder, monotonic=lambda: float(next(ticks)))
    recorder.record(log.controller_id, draft("sub-1"))
    trail.wake(log.controller_id)
    trail.stop()
    assert operations(log) == []
    log.sequencer().drain(log.controller_id)
    assert operations(log)[:2] == ["writer-open", "disclose"]


def test_settling_sequences_and_signs_all_that_is_pending(log: Log) -> None:
    trail = trail_of(log)
    recorder = log.recorder()
    recorder.record_all(log.controller_id, [draft(f"sub-{n}") for n in range(30)])
    trail.settle(log.controller_id)
    assert log.pending() == []
    assert log.health.is_open(log.controller_id)
    assert log.verify().ok


def test_settling_a_log_with_a_broken_chain_says_so(log: Log) -> None:
    trail = trail_of(log)
    log.recorder().record(log.controller_id, draft("sub-1"))
    log.attack("UPDATE vault.audit_pending SET mac = ''")
    with pytest.raises(AuditUnavailable):
        trail.settle(log.controller_id)


def test_settling_gives_up_while_another_holds_the_log(log: Log) -> None:
    trail = trail_of(log, signer=None)
    log.recorder().record(log.controller_id, draft("sub-1"))
    with log.sequencing.transaction(log.controller_id) as rows:
        rows.exec_driver_sql("SELECT FROM vault.audit_head FOR UPDATE")
        with pytest.raises(AuditUnavailable):
            trail.settle(log.controller_id, within_s=0.1)
    trail.settle(log.controller_id)
    assert log.pending() == []


def test_one_logs_fault_is_not_anothers(log: Log, tmp_path: Path) -> None:
    with ExitStack() as stack:
        other = stack.enter_context(log_on(log.url, tmp_path / "state"))
        broken = log.recorder()
        broken.record(log.controller_id, draft("sub-1"))
        log.attack(f"UPDATE vault.audit_pending SET mac = '' WHERE controller_id = '{log.controller_id}'")
        log.state._place(log.origin).write_text("x")
        trail = trail_of(log)
        trail.start()
        other.recorder().record(other.controller_id, draft("sub-1"))
        assert reached(lambda: operations(other) == ["writer-open", "disclose"])
        assert reached(lambda: ("sign", other.controller_id) in trail._done_at)
        trail.stop()
        assert {"chain-broken", "signer-state-damaged"} <= set(log.health.state(log.controller_id).closed)
        assert log.health.is_open(other.controller_id)


def test_a_thread_that_died_is_started_again(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trails, "IDLE_S", 0.05)
    monkeypatch.setattr(trails, "LOOK_S", 0.05)
    monkeypatch.setattr(trails, "SIGN_S", 0.05)
    monkeypatch.setattr("threading.excepthook", lambda _args: None)
    trail = trail_of(log)
    trail.start()
    for step in ("_sequence_one", "_sign"):
        sound, failed, mended = getattr(trail, step), Event(), Event()

        def fail(controller_id: str, failed: Event = failed) -> bool:
            failed.set()
            raise ZeroDivisionError

        def again(controller_id: str, sound: Callable[[str], bool] = sound, mended: Event = mended) -> bool:
            mended.set()
            return sound(controller_id)

        setattr(trail, step, fail)
        log.recorder().record(log.controller_id, draft("sub-1"))
        assert failed.wait(20)
        setattr(trail, step, again)
        assert mended.wait(20)  # before the next one dies: of two dead threads neither starts the other
    assert reached(lambda: log.pending() == [])
    assert reached(lambda: all(thread.is_alive() for thread in trail._threads.values()))


def test_a_log_that_grows_fast_is_signed_early(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trails, "SIGN_ENTRIES", 20)
    trail = trail_of(log)
    trail.start()
    assert reached(lambda: ("sign", log.controller_id) in trail._done_at)
    log.recorder().record_all(log.controller_id, [draft(f"sub-{n}") for n in range(30)])
    trail.wake(log.controller_id)
    assert reached(lambda: "\n31\n" in (log.state.last(log.origin) or ""))


def test_a_writer_that_ended_without_saying_so_gets_an_entry(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = log.recorder(lanes=1)
    recorder.record(log.controller_id, draft("sub-1"))
    recorder._groups.pop(log.controller_id)._lanes[0]._drop_connection()  # the process is gone
    log.sequencer().drain(log.controller_id)
    trail = trail_of(log, now=lambda: now() + timedelta(hours=26))
    monkeypatch.setattr(trails, "IDLE_S", 0.05)
    trail.start()
    assert reached(lambda: "writer-lost" in operations(log))
    trail.stop()
    lost = next(
        orjson.loads(leaf)
        for (leaf,) in log.ask("SELECT leaf FROM vault.audit_entry WHERE controller_id = %s", log.controller_id)
        if b"writer-lost" in leaf
    )
    assert log.ask("SELECT closed FROM vault.audit_writer WHERE writer_id = %s", lost["about"]["writer"]) == [(True,)]
    assert lost["about"]["number"] == 2


def test_the_register_is_read_again_for_a_new_controller(log: Log, tmp_path: Path) -> None:
    clock = Clock()
    trail = trail_of(log, monotonic=clock)
    assert list(trail._controllers()) == [log.controller_id]
    with log_on(log.url, tmp_path / "other") as other:
        assert list(trail._controllers()) == [log.controller_id]
        trail.wake(other.controller_id)
        assert other.controller_id in trail._controllers()
    log.sequencing.close()
    clock.at += 6
    log.sequencing._url = log.sequencing._url.set(database="gone")
    assert other.controller_id in trail._controllers()  # the database is away: the last known register holds
