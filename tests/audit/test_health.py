"""What closes opening, what warns, and what a process notices of its own entries."""

import threading
import time
from collections.abc import Callable

import pytest

from vault.audit.acknowledged import Acknowledged, Sequenced
from vault.audit.health import EVERYWHERE, STALE_S, Measure, State, TrailHealth
from vault.errors import DatabaseUnavailable

FINE = Measure(0, 0.0, 0.0)


class Clock:
    """A monotonic clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


@pytest.mark.parametrize(
    ("measure", "limit"),
    [
        (lambda part: Measure(0, 60.0 * part + 0.1, 0.0), "oldest-pending"),
        (lambda part: Measure(int(100_000 * part) + 1, 0.0, 0.0), "pending-count"),
        (lambda part: Measure(0, 0.0, 600.0 * part + 0.1), "checkpoint-age"),
        (lambda part: Measure(0, 0.0, 0.0, 60.0 * part + 0.1), "lane-late"),
    ],
)
def test_each_limit_closes_and_warns_at_half(measure: Callable[[float], Measure], limit: str) -> None:
    health = TrailHealth(Clock())
    health.measured("ctl", measure(0.4))
    assert health.state("ctl") == State((), (), measure(0.4))
    health.measured("ctl", measure(0.5))
    assert health.is_open("ctl")
    assert health.state("ctl").warnings == (limit,)
    health.measured("ctl", measure(1.0))
    assert not health.is_open("ctl")
    assert health.state("ctl").closed == (limit,)


def test_a_server_that_is_unsafe_and_allowed_only_warns() -> None:
    health = TrailHealth(Clock())
    health.measured("ctl", Measure(0, 0.0, 0.0, unsafe_server=True))
    assert health.state("ctl").warnings == ("server-settings",)
    assert health.is_open("ctl")


def test_clocks_apart_only_warn() -> None:
    health = TrailHealth(Clock())
    health.measured("ctl", Measure(0, 0.0, 0.0, 0.0, 2.1))
    assert health.state("ctl").warnings == ("clocks-apart",)
    assert health.is_open("ctl")


def test_a_fault_closes_until_it_is_taken_back() -> None:
    health = TrailHealth(Clock())
    health.measured("ctl", FINE)
    health.measured("other", FINE)
    assert health.judge("ctl", "chain-broken", stands=True)
    assert not health.judge("ctl", "chain-broken", stands=True)
    assert (health.state("ctl").closed, health.is_open("other")) == (("chain-broken",), True)
    assert health.judge("ctl", "chain-broken", stands=False)
    assert health.is_open("ctl")


def test_a_fault_everywhere_closes_every_log() -> None:
    health = TrailHealth(Clock())
    health.measured("ctl", FINE)
    health.judge(EVERYWHERE, "server-settings", stands=True)
    assert health.state("ctl").closed == ("server-settings",)
    assert not health.is_open("ctl")


def test_what_was_never_measured_is_closed() -> None:
    assert TrailHealth(Clock()).state("ctl") == State(("not-measured",), (), None)


def test_an_overdue_measurement_is_made_before_anything_opens() -> None:
    clock, looked = Clock(), []
    health = TrailHealth(clock)

    def look(controller_id: str) -> None:
        looked.append(controller_id)
        health.measured(controller_id, FINE)

    health.look = look
    assert health.is_open("ctl")
    assert health.is_open("ctl")
    clock.at += STALE_S + 0.1
    assert health.is_open("ctl")
    assert looked == ["ctl", "ctl"]


def test_a_measurement_that_fails_closes() -> None:
    clock = Clock()
    health = TrailHealth(clock)
    health.measured("ctl", FINE)
    clock.at += STALE_S + 0.1

    def fail(_controller_id: str) -> None:
        raise DatabaseUnavailable

    health.look = fail
    assert health.state("ctl").closed == ("not-measured",)


def test_many_askers_measure_once() -> None:
    looked = []
    health = TrailHealth(time.monotonic)

    def look(controller_id: str) -> None:
        looked.append(controller_id)
        time.sleep(0.1)
        health.measured(controller_id, FINE)

    health.look = look
    answers: list[bool] = []
    askers = [threading.Thread(target=lambda: answers.append(health.is_open("ctl"))) for _ in range(6)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert answers == [True] * 6
    assert looked == ["ctl"]


# --- what was acknowledged ---


def test_an_acknowledged_entry_that_does_not_come_is_late() -> None:
    clock = Clock()
    marks = Acknowledged(clock)
    marks.add("wrt", 3, b"three")
    assert marks.writers() == ["wrt"]
    clock.at += 60
    assert not marks.compare({"wrt": Sequenced(2, b"two")}).late
    clock.at += 0.1
    assert marks.compare({"wrt": Sequenced(2, b"two")}).late
    assert marks.compare({}).late
    assert not marks.compare({"wrt": Sequenced(3, b"three")}).late


def test_an_entry_sequenced_with_another_hash_is_altered() -> None:
    marks = Acknowledged(Clock())
    marks.add("wrt", 3, b"three")
    assert marks.compare({"wrt": Sequenced(3, b"other")}).altered == ("wrt",)


def test_a_writer_that_has_ended_is_watched_until_the_log_has_passed_it() -> None:
    marks = Acknowledged(Clock())
    marks.add("wrt", 3, b"three")
    marks.end("wrt")
    marks.end("unknown")
    assert marks.compare({}).altered == ()
    assert marks.writers() == ["wrt"]
    assert marks.compare({"wrt": Sequenced(9, b"nine")}).altered == ()
    assert marks.writers() == []


@pytest.mark.parametrize(
    "found",
    [
        None,
        Sequenced(2, b"two", 6),
        Sequenced(3, b"other", 7),
        Sequenced(3, b"three", 8),
        Sequenced(3, b"three", 7, holds=False),
        Sequenced(4, b"four", 8, holds=False),
    ],
)
def test_the_last_entry_of_a_living_writer_must_stay_where_it_was(found: Sequenced | None) -> None:
    marks = Acknowledged(Clock())
    marks.add("wrt", 3, b"three")
    assert marks.compare({"wrt": Sequenced(3, b"three", 7)}).altered == ()
    assert marks.compare({"wrt": Sequenced(3, b"three", 7)}).altered == ()
    assert marks.compare({"wrt": Sequenced(9, b"nine", 20)}).altered == ()
    assert marks.compare({} if found is None else {"wrt": found}).altered == ("wrt",)


def test_what_an_operator_gave_up_is_watched_no_longer() -> None:
    marks = Acknowledged(Clock())
    for number, era in enumerate((1, 1, 2), 1):
        marks.add(f"wrt-{number}", 3, b"three", era)
    marks.forget(["wrt-1"])
    assert marks.writers() == ["wrt-2", "wrt-3"]
    marks.forget_before(2)
    assert marks.writers() == ["wrt-3"]


def test_a_busy_writer_keeps_few_marks_and_always_its_last() -> None:
    clock = Clock()
    marks = Acknowledged(clock)
    for number in range(1000):
        clock.at += 0.001
        marks.add("wrt", number, b"%d" % number)
    assert len(marks._marks["wrt"]) < 15
    assert marks.compare({"wrt": Sequenced(998, b"")}).late_s == 0.0 or marks._marks["wrt"]
    assert marks.compare({"wrt": Sequenced(999, b"999")}).altered == ()
    assert not marks._marks["wrt"]
