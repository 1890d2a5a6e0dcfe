"""A batch is written by one statement: every chain head moves as its entries say, or nothing is written."""

import threading
import time
from typing import Any

import psycopg
import pytest

from tests.audit.makers import Log, chain_of, draft, leaves, wrote
from vault.audit import batch
from vault.audit.batch import Batch, Move
from vault.audit.exchange import Refusal
from vault.audit.lane import Lane
from vault.audit.prepared import prepare
from vault.errors import AuditUnavailable


def lane_of(log: Log) -> Lane:
    """A lane that has written its first entry."""
    lane = log.recorder().open_lane(log.controller_id)
    lane.record_all([draft("sub-1")])
    log.closing.append(lane.close)
    return lane._lane


def carry_out(log: Log, lane: Lane, *moves: Move, entries: int = 1) -> str:
    """Write rows beside moves of heads, past what a lane would make of them; return the refusal's SQLSTATE, or nothing."""
    none: list[bytes | None] = [None] * len(batch._ROW)
    row = [b"leaf", b"mac", b"0", b"", None, b"-", *none[6:]]
    exchange: Any = lane._exchange
    try:
        made = Batch(log.controller_id, "wrt_other", 0, 1, 1, moves, [row] * entries)
        exchange.together([made.call()], lane._means.monotonic() + 3)
    except Refusal as refusal:
        return refusal.sqlstate
    return ""


def others(log: Log) -> list[int]:
    return [row[1] for row in log.pending() if row[0] == "wrt_other"]


@pytest.mark.parametrize(
    ("stored", "move"),
    [
        ((1, 4), Move("sub-9", "open", 1, b"t", 4)),  # moved on by another
        ((1, 4), Move("sub-9", "open", 2, b"t", 2)),  # taken for a person's first
        ((1, 4), Move("sub-9", "open", 1, b"t", 6)),  # gone back
        ((0, 4), Move("sub-9", "open", 1, b"t", 5)),  # of an older era: counts as none
        ((2, 4), Move("sub-9", "open", 1, b"t", 5)),  # of a newer era: this writer's is over
        ((2, 4), Move("sub-9", "open", 1, b"t", 1)),
        (None, Move("sub-9", "open", 1, b"t", 2)),  # not there any more
    ],
)
def test_a_head_that_is_elsewhere_lets_nothing_be_written(log: Log, stored: tuple[int, int] | None, move: Move) -> None:
    lane = lane_of(log)
    if stored is not None:
        log.ask("INSERT INTO vault.audit_subject_head VALUES (%s, 'sub-9', 'open', %s, %s, 'x')", log.controller_id, *stored)
    before = log.head("sub-9")
    sound = Move("sub-2", "open", 1, b"t", 1)
    assert carry_out(log, lane, sound, move, entries=2) == batch.NOT_AS_EXPECTED
    assert (others(log), log.head("sub-9"), log.head("sub-2")) == ([], before, (0, b""))


def test_two_heads_that_are_elsewhere_do_not_make_up_for_each_other(log: Log) -> None:
    lane = lane_of(log)
    for name, number in (("sub-8", 3), ("sub-9", 5)):
        log.ask("INSERT INTO vault.audit_subject_head VALUES (%s, %s, 'open', 1, %s, 'x')", log.controller_id, name, number)
    assert carry_out(log, lane, Move("sub-8", "open", 1, b"", 6), Move("sub-9", "open", 1, b"", 4), entries=2) == "22012"
    assert carry_out(log, lane, Move("sub-8", "open", 1, b"", 4), Move("sub-9", "open", 2, b"", 7), entries=3) == ""
    assert others(log) == [1, 2, 3]


@pytest.mark.parametrize("entries", [1, 2, 3, 5, 63, 64])
def test_as_many_rows_are_written_as_there_are_entries(log: Log, entries: int) -> None:
    lane = lane_of(log)
    assert carry_out(log, lane, Move("sub-2", "open", entries, b"t", entries), entries=entries) == ""
    assert others(log) == list(range(1, entries + 1))
    assert log.head("sub-2") == (entries, b"t")


def test_more_entries_than_one_statement_holds_are_committed_together(log: Log) -> None:
    recorder = log.recorder()
    lane = recorder.open_lane(log.controller_id)
    drafts = [draft("sub-1" if n % 3 else "") for n in range(200)]
    assert [one.entry_id for one in lane.record_all(drafts)] == [one.entry_id for one in drafts]
    assert log.head("sub-1")[0] == 133
    moved_on = draft("sub-1", chain=chain_of("sub-1", 1, 7, b"x" * 16))
    lane.record_all([*(draft("sub-0") for _ in range(64)), moved_on])  # the second statement fails: the first is not kept either
    assert (log.head("sub-0")[0], log.head("sub-1")[0]) == (64, 134)
    lane.close()
    recorder.close()
    log.settle()
    assert log.verify().ok


def test_each_entry_without_subject_moves_a_head_as_each_person_does(log: Log) -> None:
    """Else a batch of unknown people would cost less than one of forbidden ones."""
    lane = log.recorder().open_lane(log.controller_id)
    for count in (3, 1, 4):
        lane.record_all([draft() for _ in range(count)])
    rows = log.ask(
        "SELECT number FROM vault.audit_subject_head WHERE controller_id = %s AND stream = 'decoy' ORDER BY subject_id",
        log.controller_id,
    )
    assert [number for (number,) in rows] == [3, 2, 2, 2]  # the writer's opening is one of the first batch's
    lane.close()
    assert [one["operation"] for one in leaves(log)][-1] == "writer-close"


def test_batches_about_the_same_people_never_wait_for_each_other_in_a_ring(log: Log) -> None:
    """Existing heads and first ones, in one order: each batch is written, none is given up."""
    failures: list[BaseException] = []
    recorder = log.recorder()

    def write(seed: int) -> None:
        lane = recorder.open_lane(log.controller_id)
        try:
            for step in range(12):
                names = [f"sub-{step}-{(n * (2 * seed + 1)) % 8}" for n in range(8)] + [f"sub-{n}" for n in range(4)]
                lane.record_all([draft(name) for name in (names if seed % 2 else names[::-1])])
        except AuditUnavailable as error:
            failures.append(error)
        finally:
            lane.close()

    threads = [threading.Thread(target=write, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert [log.head(f"sub-{step}-{n}")[0] for step in range(12) for n in range(8)] == [3] * 96
    assert [log.head(f"sub-{n}")[0] for n in range(4)] == [36] * 4


def test_heads_taken_again_are_taken_in_the_same_order_those_not_there_yet_included(log: Log) -> None:
    """One batch holds the head of sub-2, which nobody has yet, and goes on to sub-3: the other must not hold sub-3 by then."""
    lane: Any = lane_of(log)
    log.ask("INSERT INTO vault.audit_subject_head VALUES (%s, 'sub-3', 'open', 1, 1, 'x')", log.controller_id)
    locked, others_batch = lane._locked_heads, psycopg.connect(log.url)
    others_batch.execute("SET lock_timeout = '300ms'")

    def behind(*given: Any) -> Any:
        others_batch.execute("INSERT INTO vault.audit_subject_head VALUES (%s, 'sub-2', 'open', 1, 1, 'x')", (log.controller_id,))
        going_on.start()
        return locked(*given)

    def go_on() -> None:
        time.sleep(0.2)
        others_batch.execute("UPDATE vault.audit_subject_head SET number = 2 WHERE subject_id = 'sub-3'")
        others_batch.commit()

    going_on = threading.Thread(target=go_on)
    lane._locked_heads = behind
    asked = [prepare(lane._means, log.controller_id, draft(name)) for name in ("sub-2", "sub-3")]
    assert len(lane.commit(asked, time.monotonic() + 3)) == 2
    going_on.join()
    others_batch.close()
    assert [log.head(name)[0] for name in ("sub-2", "sub-3")] == [2, 3]


def test_a_head_taken_again_for_nothing_is_not_kept(log: Log) -> None:
    """Heads of no entries are of the transaction that made them: given up, it leaves none behind."""
    lane: Any = lane_of(log)
    asked = [prepare(lane._means, log.controller_id, draft("sub-2"))]
    lane._locked_heads(asked, 1, time.monotonic() + 3)
    lane._drop_connection()
    assert log.ask("SELECT FROM vault.audit_subject_head WHERE controller_id = %s AND number = 0", log.controller_id) == []


def test_a_batch_written_anew_is_written_once(log: Log) -> None:
    recorder = log.recorder(lanes=1)
    first = [draft(f"sub-{n}") for n in range(5)]
    recorder.record_all(log.controller_id, first)
    again = [draft(f"sub-{n}") for n in range(5)]  # as if nobody had a head yet
    recorder.record_all(log.controller_id, again)
    assert wrote(log, *first, *again)
    assert [log.head(f"sub-{n}")[0] for n in range(5)] == [2] * 5
    assert [row[1] for row in log.pending()] == list(range(1, 12))
