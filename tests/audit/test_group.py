"""Group commit: callers share lanes, and nobody takes another's answer with them."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.audit.makers import Log, draft, leaves
from vault.audit.group import MOST_WAITING, LaneGroup
from vault.errors import AuditUnavailable


def test_callers_share_lanes_and_none_is_lost(log: Log) -> None:
    recorder = log.recorder()
    drafts = [[draft(f"sub-{caller % 5}") for _ in range(12)] for caller in range(16)]
    with ThreadPoolExecutor(16) as callers:
        permits = list(callers.map(lambda mine: [recorder.record(log.controller_id, one) for one in mine], drafts))
    assert [[one.entry_id for one in mine] for mine in permits] == [[one.entry_id for one in mine] for mine in drafts]
    assert len({one["writer"] for one in leaves(log)}) <= 2
    assert sum(log.head(f"sub-{person}")[0] for person in range(5)) == 16 * 12
    recorder.close()
    log.settle()
    assert log.verify().ok


class HeldLane:
    """A lane that commits when it is told to."""

    def __init__(self, gate: Callable[[], None]) -> None:
        self.gate = gate
        self.batches: list[int] = []
        self.opened = True
        self.used_at = 0.0

    def commit(self, batch: Any, _deadline: float) -> list[bytes]:
        self.batches.append(len(batch))
        self.gate()
        return [bytes([one]) for one in batch]

    def close(self) -> None:
        self.opened = False


def test_a_busy_lane_finds_the_next_group_waiting(log: Log) -> None:
    group: Any = None

    def gate() -> None:
        if lane.batches == [1]:
            while len(group._queue) < 5:
                time.sleep(0.001)

    lane = HeldLane(gate)
    group = LaneGroup(lambda: lane, 1, time.monotonic)  # type: ignore[arg-type,return-value]
    with ThreadPoolExecutor(6) as callers:
        answers = list(callers.map(lambda n: group.commit([n], time.monotonic() + 3), range(6)))
    assert answers == [[bytes([n])] for n in range(6)]
    assert lane.batches == [1, 5]


def test_who_waits_too_long_is_told_so_and_the_rest_go_on(log: Log) -> None:
    group: Any = None
    lane = HeldLane(lambda: time.sleep(0.3))
    group = LaneGroup(lambda: lane, 1, time.monotonic)  # type: ignore[arg-type,return-value]
    with ThreadPoolExecutor(2) as callers:
        first = callers.submit(group.commit, [1], time.monotonic() + 3)
        time.sleep(0.05)
        with pytest.raises(AuditUnavailable):
            group.commit([2], time.monotonic() + 0.05)
        assert first.result() == [b"\x01"]
    assert group.commit([3], time.monotonic() + 3) == [b"\x03"]
    assert lane.batches == [1, 1]


def test_who_waits_too_long_for_a_batch_under_way_is_told_so(log: Log) -> None:
    group: Any = None

    def gate() -> None:
        while len(lane.batches) == 1 and len(group._queue) < 2:
            time.sleep(0.001)
        if len(lane.batches) == 2:
            time.sleep(0.6)

    lane = HeldLane(gate)
    group = LaneGroup(lambda: lane, 1, time.monotonic)  # type: ignore[arg-type,return-value]
    with ThreadPoolExecutor(3) as callers:
        callers.submit(group.commit, [1], time.monotonic() + 3)
        while not lane.batches:
            time.sleep(0.001)
        leader = callers.submit(group.commit, [2], time.monotonic() + 3)
        while not group._queue:
            time.sleep(0.001)
        follower = callers.submit(group.commit, [3], time.monotonic() + 0.3)
        with pytest.raises(AuditUnavailable):
            follower.result()
        assert leader.result() == [b"\x02"]
    assert lane.batches == [1, 2]
    assert group.commit([4], time.monotonic() + 3) == [b"\x04"]


def test_a_full_queue_is_refused_at_once(log: Log) -> None:
    lane = HeldLane(lambda: None)
    group: Any = LaneGroup(lambda: lane, 1, time.monotonic)  # type: ignore[arg-type,return-value]
    group._free.clear()
    group._queue.extend([object()] * MOST_WAITING)
    with pytest.raises(AuditUnavailable) as refusal:
        group.commit([1], time.monotonic() + 3)
    assert refusal.value.retry_after_s == 1


def test_a_failed_leader_takes_nobodys_answer_with_it(log: Log) -> None:
    group: Any = None

    def gate() -> None:
        while len(lane.batches) == 1 and not group._queue:
            time.sleep(0.001)
        if len(lane.batches) == 1:
            raise ZeroDivisionError

    lane = HeldLane(gate)
    group = LaneGroup(lambda: lane, 1, time.monotonic)  # type: ignore[arg-type,return-value]
    with ThreadPoolExecutor(2) as callers:
        leader = callers.submit(group.commit, [1], time.monotonic() + 3)
        while not lane.batches:
            time.sleep(0.001)
        assert group.commit([2], time.monotonic() + 3) == [b"\x02"]
        with pytest.raises(ZeroDivisionError):
            leader.result()


def test_idle_lanes_close_their_writers(log: Log) -> None:
    clock = [0.0]
    recorder = log.recorder(monotonic=lambda: clock[0])
    recorder.record(log.controller_id, draft("sub-1"))
    recorder.rest()
    assert [one["operation"] for one in leaves(log)] == ["writer-open", "disclose"]
    clock[0] += 61
    recorder.rest()
    assert leaves(log)[-1]["operation"] == "writer-close"
    recorder.record(log.controller_id, draft("sub-1"))
    assert sum(one["operation"] == "writer-open" for one in leaves(log)) == 2
