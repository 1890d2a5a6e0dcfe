"""No reveal without a record: what the recorder promises, over real PostgreSQL, with what can go wrong made to."""

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import orjson
import psycopg
import pytest
import sqlalchemy

from tests.audit.cutting import Cutter, cutter
from tests.audit.makers import SECRET, Log, audit_key, chain_of, draft, unseal
from vault.audit import entry
from vault.audit.entry import Draft
from vault.audit.group import MOST_WAITING, LaneGroup
from vault.audit.merkle import leaf_hash
from vault.audit.prepared import prepare
from vault.database import Database
from vault.errors import AuditUnavailable, KeysUnavailable, Unreadable
from vault.octets import b64u


def leaves(log: Log) -> list[dict[str, Any]]:
    return [orjson.loads(row[2]) for row in log.pending()]


def wrote(log: Log, *drafts: Draft) -> bool:
    ids = {one["id"] for one in leaves(log)}
    return all(one.entry_id in ids for one in drafts)


def test_a_committed_entry_makes_a_permit_for_what_it_shows(log: Log) -> None:
    asked = draft("sub-1")
    permit = log.recorder().record(log.controller_id, asked)
    assert (permit.entry_id, permit.subject_id, permit.controller_id) == (asked.entry_id, "sub-1", log.controller_id)
    assert permit.agreements == {"email": "agr-1"}
    assert permit.expires_at <= time.monotonic() + 30
    own = next(row for row in log.pending() if orjson.loads(row[2])["id"] == asked.entry_id)
    assert permit.leaf_hash == leaf_hash(own[2])


def test_a_refusals_permit_covers_no_field(log: Log) -> None:
    recorder = log.recorder()
    assert recorder.record(log.controller_id, draft("sub-1", outcome="refused", opens={})).agreements == {}
    for outcome in ("refused", "failed"):
        with pytest.raises(ValueError, match="opens nothing"):
            recorder.record(log.controller_id, draft("sub-1", outcome=outcome))


@pytest.mark.parametrize("level", ["withheld", "absent", "token"])
def test_what_the_entry_withholds_is_not_opened(log: Log, level: str) -> None:
    with pytest.raises(ValueError, match="not opened"):
        log.recorder().record(log.controller_id, draft("sub-1", fields={"email": level}))


def test_nothing_is_recorded_while_the_trail_is_closed(log: Log) -> None:
    log.open = False
    with pytest.raises(AuditUnavailable) as refusal:
        log.recorder().record(log.controller_id, draft("sub-1"))
    assert refusal.value.retry_after_s == 5
    assert log.pending() == []


def test_a_writer_opens_with_its_first_batch_and_numbers_without_a_gap(log: Log) -> None:
    recorder = log.recorder()
    recorder.record(log.controller_id, draft("sub-1"))
    recorder.record_all(log.controller_id, [draft("sub-2"), draft(), draft("sub-3")])
    made = leaves(log)
    assert [one["number"] for one in made] == [1, 2, 3, 4, 5]
    assert made[0]["operation"] == "writer-open"
    assert made[0]["about"] == {"origin": log.origin, "mac_key": 1, "audit_secret": 1}
    hashes = [b64u(leaf_hash(row[2])) for row in log.pending()]
    assert [one["previous"] for one in made] == ["", *hashes[:-1]]
    assert log.head(made[0]["writer"]) == (2, b"")  # the decoy moved for the opening and for nobody


def test_permits_come_in_the_order_asked_and_heads_are_taken_in_one_order(log: Log) -> None:
    drafts = [draft(name) for name in ("sub-3", "sub-1", "", "sub-2", "sub-1")]
    permits = log.recorder().record_all(log.controller_id, drafts)
    assert [one.entry_id for one in permits] == [one.entry_id for one in drafts]
    order = [row[4] for row in log.pending()][1:]
    assert order == ["-", "sub-1", "sub-1", "sub-2", "sub-3"]
    assert log.recorder().record_all(log.controller_id, []) == []


def test_two_entries_of_one_person_in_one_batch_follow_each_other(log: Log) -> None:
    one, two = draft("sub-1"), draft("sub-1")
    log.recorder().record_all(log.controller_id, [one, two])
    key = entry.chain_key(audit_key("sub-1"), "open")
    first = entry.subject_tag(key, one.entry_id, 1, b"")
    second = entry.subject_tag(key, two.entry_id, 2, first)
    assert [leaf["subject"] for leaf in leaves(log)[1:]] == [b64u(first), b64u(second)]
    assert log.head("sub-1") == (2, second)


def test_a_stale_chain_head_is_read_again(log: Log) -> None:
    recorder = log.recorder()
    for _ in range(3):
        recorder.record(log.controller_id, draft("sub-1"))
    number, tag = log.head("sub-1")
    recorder.record(log.controller_id, draft("sub-1", chain=chain_of("sub-1", 1, number, tag)))
    recorder.record_all(log.controller_id, [draft("sub-1", chain=chain_of("sub-1", 1, 2, b"x" * 16)), draft("sub-2")])
    assert log.head("sub-1")[0] == 5
    assert [row[5] for row in log.pending() if row[4] == "sub-1"] == [1, 2, 3, 4, 5]
    recorder.close()
    log.settle()
    assert log.verify().ok


def test_a_head_of_an_older_era_counts_as_none(log: Log) -> None:
    log.ask("INSERT INTO vault.audit_subject_head VALUES (%s, 'sub-1', 'open', 0, 7, 'x')", log.controller_id)
    log.recorder().record(log.controller_id, draft("sub-1", chain=chain_of("sub-1", 0, 7, b"x")))
    assert log.head("sub-1")[0] == 1


def test_the_held_stream_is_a_chain_of_its_own(log: Log) -> None:
    held = replace(chain_of("sub-1"), stream="held")
    log.recorder().record_all(log.controller_id, [draft("sub-1"), draft("sub-1", chain=held)])
    rows = log.ask("SELECT stream, number FROM vault.audit_subject_head WHERE controller_id = %s ORDER BY 1", log.controller_id)
    assert rows == [("decoy", 1), ("held", 1), ("open", 1)]


def test_leaves_link_no_two_entries_of_a_person(log: Log) -> None:
    log.recorder().record_all(log.controller_id, [draft("sub-1"), draft("sub-1")])
    one, two = (set(strings(leaf)) for leaf in leaves(log)[1:])
    closed = {"disclose", "allowed", "agent", "t1", "helpdesk", "customer-care", "phone", "clear", "retail@1"}
    assert one & two <= closed | {leaves(log)[1]["bundle"], leaves(log)[0]["writer"]}


def test_a_leaf_names_nobody_and_nothing(log: Log) -> None:
    log.recorder().record(log.controller_id, draft("sub-1", details={"reason": "CANARY"}))
    octets = b"".join(row[2] for row in log.pending())
    for secret in ("sub-1", "agent-1", "agr-1", "TCK-1", "PDL-0231", "CANARY", "desk"):
        assert secret.encode() not in octets.replace(b"helpdesk", b"")


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from strings(one)


def test_details_open_again_and_fit_their_commitments(log: Log) -> None:
    somebody, nobody = draft("sub-1"), draft()
    log.recorder().record_all(log.controller_id, [somebody, nobody])
    for one, subject, key in ((somebody, "sub-1", audit_key("sub-1")), (nobody, "", SECRET)):
        rows = log.ask("SELECT leaf, sealed FROM vault.audit_pending WHERE entry_id = %s", one.entry_id)
        place = entry.details_place(log.controller_id, subject, one.entry_id)
        opening = entry.opened(orjson.loads(rows[0][0]), unseal(entry.details_key(key), place, rows[0][1]))
        assert (opening.details, opening.internal) == (one.details, one.internal)


def test_look_up_rows_hold_keyed_hashes_of_ticket_and_station(log: Log) -> None:
    log.recorder().record_all(
        log.controller_id, [draft("sub-1"), draft("sub-2", ticket_id=None, internal={"caller_id": "agent-1"})]
    )
    rows = log.ask(
        "SELECT ticket, station, caller_id, clear_count, roles, classes FROM vault.audit_pending"
        " WHERE controller_id = %s AND number > 1",
        log.controller_id,
    )
    key = entry.lookup_key(SECRET)
    hashes = entry.lookup_hash(key, "ticket", "TCK-1"), entry.lookup_hash(key, "station", "PDL-0231")
    assert rows == [(*hashes, "agent-1", 1, ["t1"], ["contact"]), (None, None, "agent-1", 1, ["t1"], ["contact"])]


def test_array_text_survives_quotes_and_commas(log: Log) -> None:
    odd = ('a"b', "c,d", "e\\f", "{}")
    log.recorder().record(log.controller_id, draft("sub-1", classes=odd))
    assert log.ask(
        "SELECT classes FROM vault.audit_pending WHERE subject_id = 'sub-1' AND controller_id = %s", log.controller_id
    ) == [(list(odd),)]


@pytest.mark.parametrize(
    "wrong", [{"details": {"a": 1.5}}, {"internal": {"a": None}}, {"fields": {"à": "clear"}}, {"terms": ("x" * 9000,)}]
)
def test_a_draft_outside_the_profile_is_refused_before_anything_is_written(log: Log, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        log.recorder().record(log.controller_id, draft("sub-1", **wrong))
    assert log.pending() == []


def test_the_longest_leaf_fits_its_table(log: Log) -> None:
    long = draft("sub-1", terms=("x" * 7000,))
    log.recorder().record(log.controller_id, long)
    assert max(len(row[2]) for row in log.pending()) <= entry.LEAF_MAX_BYTES


def test_a_spoilt_audit_key_silences_nobody_else(log: Log) -> None:
    def unwrap(_controller_id: str, subject_id: str, _epoch: int, _wrap: bytes) -> bytes:
        if subject_id == "sub-2":
            raise Unreadable
        return audit_key(subject_id)

    drafts = [draft("sub-1"), draft("sub-2"), draft("sub-3")]
    permits = log.recorder(unwrap_audit_key=unwrap).record_all(log.controller_id, drafts)
    assert [one.agreements for one in permits] == [{"email": "agr-1"}, {}, {"email": "agr-1"}]
    assert permits[1].subject_id == ""
    failed = next(one for one in leaves(log) if one["id"] == drafts[1].entry_id)
    assert failed["outcome"] == "failed"
    assert "subject" not in failed
    assert "fields" not in failed


def test_keys_that_do_not_answer_stop_the_recording(log: Log) -> None:
    def unavailable(_controller_id: str) -> tuple[int, bytes]:
        raise KeysUnavailable

    with pytest.raises(KeysUnavailable):
        log.recorder(audit_secret=unavailable).record(log.controller_id, draft())
    assert log.pending() == []


def test_a_controller_without_a_log_records_nothing(log: Log) -> None:
    log.ask("DELETE FROM vault.audit_head WHERE controller_id = %s", log.controller_id)
    with pytest.raises(AuditUnavailable):
        log.recorder().record(log.controller_id, draft())


# --- writers ---


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


def test_a_new_version_of_the_secret_rolls_the_writer_over(log: Log) -> None:
    version = [1]
    recorder = log.recorder(audit_secret=lambda _controller: (version[0], SECRET))
    recorder.record(log.controller_id, draft("sub-1"))
    version[0] = 2
    recorder.record(log.controller_id, draft("sub-1"))
    opened = [one["about"]["audit_secret"] for one in leaves(log) if one["operation"] == "writer-open"]
    assert sorted(opened) == [1, 2]


def test_a_batch_of_two_versions_is_tried_again(log: Log) -> None:
    versions = iter([1, 2, 2])
    recorder = log.recorder(audit_secret=lambda _controller: (next(versions), SECRET))
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


# --- many callers ---


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
        while len(lane.batches) == 1 and not group._queue:
            time.sleep(0.001)
        if len(lane.batches) == 2:
            time.sleep(0.3)

    lane = HeldLane(gate)
    group = LaneGroup(lambda: lane, 1, time.monotonic)  # type: ignore[arg-type,return-value]
    with ThreadPoolExecutor(3) as callers:
        callers.submit(group.commit, [1], time.monotonic() + 3)
        while not lane.batches:
            time.sleep(0.001)
        leader = callers.submit(group.commit, [2], time.monotonic() + 3)
        follower = callers.submit(group.commit, [3], time.monotonic() + 0.1)
        with pytest.raises(AuditUnavailable):
            follower.result()
        assert leader.result() == [b"\x02"]
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


# --- what goes wrong ---


@pytest.fixture
def cut(log: Log) -> Iterator[Cutter]:
    real = Path(sqlalchemy.make_url(log.url).query["host"]) / ".s.PGSQL.5432"  # type: ignore[arg-type]
    with cutter(Path(mkdtemp(prefix="cut")), real) as made:
        directory = str(Path(made._listening.getsockname()).parent)
        url = sqlalchemy.make_url(log.url).update_query_dict({"host": directory})
        database = Database(url.render_as_string(hide_password=False), "riserbo_app")
        log.closing.append(database.close)
        log.app = database
        yield made
        for close in log.closing:
            close()
        log.closing.clear()


def test_an_answer_lost_after_commit_is_looked_up_and_the_writer_goes_on(log: Log, cut: Cutter) -> None:
    recorder = log.recorder(lanes=1)
    recorder.record(log.controller_id, draft("sub-1"))
    cut.mode = "cut-after"
    asked = [draft("sub-2"), draft("sub-3")]
    database = log.app
    connect = database.dedicated

    def reconnect(controller_id: str) -> Any:
        cut.mode = "pass"
        return connect(controller_id)

    database.dedicated = reconnect  # type: ignore[method-assign]
    permits = recorder.record_all(log.controller_id, asked)
    assert len(permits) == 2
    assert wrote(log, *asked)
    recorder.record(log.controller_id, draft("sub-1"))
    assert len({one["writer"] for one in leaves(log)}) == 1


def test_a_batch_that_never_arrived_is_refused_and_its_writer_left(log: Log, cut: Cutter) -> None:
    recorder = log.recorder(lanes=1)
    recorder.record(log.controller_id, draft("sub-1"))
    cut.mode = "cut-before"
    connect = log.app.dedicated

    def reconnect(controller_id: str) -> Any:
        cut.mode = "pass"
        return connect(controller_id)

    log.app.dedicated = reconnect  # type: ignore[method-assign]
    lost = draft("sub-1")
    with pytest.raises(AuditUnavailable):
        recorder.record(log.controller_id, lost)
    assert not wrote(log, lost)
    recorder.record(log.controller_id, draft("sub-1"))
    opened = [one for one in leaves(log) if one["operation"] == "writer-open"]
    old, new = sorted(opened, key=lambda one: "writer" in one["about"])
    assert new["about"]["writer"] == old["writer"]
    assert new["about"]["number"] == 2
    recorder.close()
    log.settle()
    assert log.verify().ok
    closed = log.ask("SELECT closed FROM vault.audit_writer WHERE writer_id = %s", old["writer"])
    assert closed == [(True,)]  # explained, not lost


def test_when_nobody_can_say_what_became_of_a_batch_it_counts_as_not_recorded(log: Log, cut: Cutter) -> None:
    recorder = log.recorder(lanes=1)
    recorder.record(log.controller_id, draft("sub-1"))
    cut.mode, cut.refusing = "cut-after", True
    turned_up = draft("sub-2")
    with pytest.raises(AuditUnavailable):
        recorder.record(log.controller_id, turned_up)
    with pytest.raises(AuditUnavailable):
        recorder.record(log.controller_id, draft("sub-1"))
    cut.mode, cut.refusing = "pass", False
    recorder.record(log.controller_id, draft("sub-1"))
    assert wrote(log, turned_up)  # over-reporting is allowed, the reverse never
    assert len({one["writer"] for one in leaves(log)}) == 2
    recorder.close()
    log.settle()
    assert log.verify().ok


def test_a_database_that_does_not_answer_is_given_up_within_three_seconds(log: Log, cut: Cutter) -> None:
    recorder = log.recorder(lanes=1)
    recorder.record(log.controller_id, draft("sub-1"))
    cut.mode, cut.refusing = "hold", True
    started = time.monotonic()
    with pytest.raises(AuditUnavailable):
        recorder.record(log.controller_id, draft("sub-1"))
    assert time.monotonic() - started < 3.2


def test_a_held_head_is_given_up_and_written_again_later(log: Log) -> None:
    recorder = log.recorder(lanes=1)
    recorder.record(log.controller_id, draft("sub-1"))
    with psycopg.connect(log.url) as other:
        other.execute("SELECT FROM vault.audit_subject_head WHERE subject_id = 'sub-1' FOR UPDATE")
        started = time.monotonic()
        with pytest.raises(AuditUnavailable):
            recorder.record(log.controller_id, draft("sub-1", chain=chain_of("sub-1", 1, *log.head("sub-1"))))
        assert time.monotonic() - started < 2
        with pytest.raises(AuditUnavailable):  # the same where the head was not as expected and is to be locked
            recorder.record(log.controller_id, draft("sub-1", chain=chain_of("sub-1", 1, 7, b"x")))
        with pytest.raises(AuditUnavailable):
            recorder.record_all(log.controller_id, [draft("sub-1", chain=chain_of("sub-1", 1, *log.head("sub-1"))), draft("sub-2")])
    recorder.record(log.controller_id, draft("sub-1"))
    assert len({one["writer"] for one in leaves(log)}) == 1
    assert [one["number"] for one in leaves(log)] == [1, 2, 3]


def test_without_its_table_nothing_is_recorded(clone: Callable[[], str], tmp_path: Path) -> None:
    from tests.audit.makers import log_on  # noqa: PLC0415 - a database of its own is only made here

    with log_on(clone(), tmp_path) as log:
        recorder = log.recorder()
        recorder.record(log.controller_id, draft("sub-1"))
        log.ask("ALTER TABLE vault.audit_pending RENAME TO gone")
        with pytest.raises(AuditUnavailable):
            recorder.record(log.controller_id, draft("sub-1"))
        log.ask("ALTER TABLE vault.gone RENAME TO audit_pending")
        recorder.record(log.controller_id, draft("sub-1"))
        log.ask("ALTER TABLE vault.audit_head RENAME TO gone")
        recorder._groups[log.controller_id]._lanes[-1]._writer = None
        with pytest.raises(AuditUnavailable):
            recorder.record(log.controller_id, draft("sub-1"))


def test_a_restarted_backend_loses_nothing_that_was_under_way(log: Log) -> None:
    recorder = log.recorder(lanes=1)
    recorder.record(log.controller_id, draft("sub-1"))
    lane: Any = recorder._groups[log.controller_id]._lanes[0]
    log.ask("SELECT pg_terminate_backend(%s)", lane._exchange._pg.backend_pid)
    time.sleep(0.2)
    recorder.record(log.controller_id, draft("sub-1"))
    assert [one["number"] for one in leaves(log)] == [1, 2, 3]


def test_a_number_somebody_else_took_makes_the_writer_leave(log: Log) -> None:
    recorder = log.recorder(lanes=1)
    recorder.record(log.controller_id, draft("sub-1"))
    name = leaves(log)[0]["writer"]
    log.ask(
        "INSERT INTO vault.audit_pending"
        " (controller_id, writer_id, number, at, leaf, mac, subject_id, chain_number, chain_previous)"
        " VALUES (%s, %s, 3, 1, '{}', '', '-', 0, '')",
        log.controller_id, name,
    )  # fmt: skip
    with pytest.raises(AuditUnavailable):
        recorder.record(log.controller_id, draft("sub-1"))
    recorder.record(log.controller_id, draft("sub-1"))
    assert {one["about"].get("writer") for one in leaves(log) if one.get("about")} == {None, name}


def test_a_head_that_moves_each_time_is_given_up(log: Log) -> None:
    recorder = log.recorder(lanes=1)
    recorder.record(log.controller_id, draft("sub-1"))
    group = recorder._groups[log.controller_id]
    lane: Any = group._lanes[0]
    locked = lane._locked_heads

    def held(*given: Any) -> dict[tuple[str, str], tuple[int, bytes]]:
        locked(*given)
        return {("sub-1", "open"): (99, b"x" * 16)}

    lane._locked_heads = held
    with pytest.raises(AuditUnavailable):
        recorder.record(log.controller_id, draft("sub-1"))
    del lane._locked_heads
    recorder.record(log.controller_id, draft("sub-1"))
    assert log.head("sub-1")[0] == 2
