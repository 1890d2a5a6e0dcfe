"""Writers: numbered without a gap, opened, rolled over, closed, and used by one process only."""

import os
import time
from typing import Any

import pytest

from tests.audit.makers import SECRET, Log, draft, leaves
from vault.audit import writer
from vault.audit.prepared import prepare
from vault.errors import AuditUnavailable
from vault.keys.controller_keys import Secret


def test_closing_ends_each_writer_with_its_last_entry(log: Log) -> None:
    recorder = log.recorder()
    recorder.record(log.controller_id, draft("sub-1"))
    lane = recorder.open_lane(log.controller_id)
    lane.record_all([draft("sub-2")])
    lane.close()
    lane.close()
    recorder.close()
    ends = [one["operation"] for one in leaves(log)]
    assert ends == ["writer-open", "disclose", "writer-close"] * 2
    assert len({one["writer"] for one in leaves(log)}) == 2


def test_a_writer_rolls_over_after_a_day(log: Log) -> None:
    clock = [0.0]
    recorder = log.recorder(monotonic=lambda: clock[0])
    lane = recorder.open_lane(log.controller_id)
    lane.record_all([draft("sub-1")])
    clock[0] += 24 * 3600 + 1
    lane.record_all([draft("sub-1")])
    first, *_, last = leaves(log) if leaves(log)[0]["at"] <= leaves(log)[-1]["at"] else leaves(log)[::-1]
    assert first["writer"] != last["writer"]
    assert sorted(one["operation"] for one in leaves(log)) == ["disclose"] * 2 + ["writer-close"] + ["writer-open"] * 2
    opened = [one["about"] for one in leaves(log) if one["operation"] == "writer-open"]
    assert all("writer" not in one for one in opened)  # nothing was left behind
    lane.close()


def test_a_writer_rolls_over_after_a_million_entries(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    assert writer.MOST_ENTRIES == 2**20  # as many turns of the ratchet as whoever replays it is ready to make
    monkeypatch.setattr(writer, "MOST_ENTRIES", 3)
    lane = log.recorder().open_lane(log.controller_id)
    for _ in range(3):
        lane.record_all([draft("sub-1")])
    made = {one["writer"]: [two["operation"] for two in leaves(log) if two["writer"] == one["writer"]] for one in leaves(log)}
    assert sorted(made.values()) == [["writer-open", "disclose"], ["writer-open", "disclose", "disclose", "writer-close"]]
    lane.close()


def test_a_new_version_of_the_secret_rolls_the_writer_over(log: Log) -> None:
    version = [1]
    recorder = log.recorder(audit_secret=lambda _controller: Secret(version[0], SECRET))
    recorder.record(log.controller_id, draft("sub-1"))
    version[0] = 2
    recorder.record(log.controller_id, draft("sub-1"))
    opened = [one["about"]["audit_secret"] for one in leaves(log) if one["operation"] == "writer-open"]
    assert sorted(opened) == [1, 2]


def test_a_batch_of_two_versions_is_tried_again(log: Log) -> None:
    versions = iter([1, 2, 2])
    recorder = log.recorder(audit_secret=lambda _controller: Secret(next(versions), SECRET))
    with pytest.raises(AuditUnavailable):
        recorder.record_all(log.controller_id, [draft("sub-1"), draft("sub-2")])
    assert log.pending() == []


def test_at_never_goes_back_within_a_writer(log: Log) -> None:
    instants = [log.recorder()._means.now()]
    recorder = log.recorder(now=lambda: instants[0])
    recorder.record(log.controller_id, draft("sub-1"))
    instants[0] = instants[0].replace(year=2020)
    recorder.record(log.controller_id, draft("sub-1"))
    assert len({one["at"] for one in leaves(log)}) == 1


def test_after_a_fork_no_writer_is_used_twice(log: Log) -> None:
    recorder = log.recorder(lanes=1)
    recorder.record(log.controller_id, draft("sub-1"))
    lane = recorder.open_lane(log.controller_id)
    lane.record_all([draft("sub-1")])
    child = os.fork()
    if child == 0:  # the copy must neither write under these writers' names nor close the connections they share
        code = 1
        try:
            recorder.record(log.controller_id, draft("sub-2"))
            lane.record_all([draft("sub-2")])
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    recorder.record(log.controller_id, draft("sub-1"))
    lane.record_all([draft("sub-1")])
    writers = {one["writer"]: {two["id"] for two in leaves(log) if two["writer"] == one["writer"]} for one in leaves(log)}
    assert sorted(len(ids) for ids in writers.values()) == [2, 2, 3, 3]
    lane.close()


def test_a_copy_of_the_process_leaves_connection_and_writer_to_the_other(log: Log) -> None:
    recorder = log.recorder(lanes=1)
    recorder.record(log.controller_id, draft("sub-1"))
    lane: Any = recorder._groups[log.controller_id]._lanes[0]
    kept, lane._process = lane._exchange, 0
    recorder.record(log.controller_id, draft("sub-1"))
    assert not kept.lost()
    kept.close()
    recorder._process = 0
    recorder.record(log.controller_id, draft("sub-1"))
    assert len({one["writer"] for one in leaves(log)}) == 3
    lane.close()


def test_a_lane_whose_time_is_up_sends_nothing(log: Log) -> None:
    recorder = log.recorder()
    lane: Any = recorder.open_lane(log.controller_id)
    batch = [prepare(recorder._means, log.controller_id, draft("sub-1"))]
    for left_s in (-1.0, 0.4):
        with pytest.raises(AuditUnavailable):
            lane._lane.commit(batch, time.monotonic() + left_s)
    assert log.pending() == []
    lane.close()


def test_a_closing_that_does_not_succeed_leaves_the_writer(log: Log) -> None:
    lane = log.recorder().open_lane(log.controller_id)
    lane.record_all([draft()])
    log.ask("UPDATE vault.audit_subject_head SET number = 9 WHERE controller_id = %s AND stream = 'decoy'", log.controller_id)
    lane.close()
    assert [one["operation"] for one in leaves(log)] == ["writer-open", "disclose"]


def test_a_closing_for_which_there_is_no_time_leaves_the_writer(log: Log) -> None:
    now, step = [0.0], [0.0]

    def clock() -> float:
        now[0] += step[0]
        return now[0]

    lane: Any = log.recorder(monotonic=clock).open_lane(log.controller_id)
    lane.record_all([draft()])
    step[0] = 60.0
    lane.close()
    assert [one["operation"] for one in leaves(log)] == ["writer-open", "disclose"]
    assert not lane._lane.opened
