"""What goes wrong between the recorder and its database: nothing is opened that is not on record."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
import pytest
import sqlalchemy

from tests.audit.cutting import Cutter, cutter
from tests.audit.makers import Log, chain_of, draft, leaves, log_on, wrote
from vault.database import Database
from vault.errors import AuditUnavailable


@pytest.fixture
def cut(log: Log) -> Iterator[Cutter]:
    real = Path(sqlalchemy.make_url(log.url).query["host"]) / ".s.PGSQL.5432"  # type: ignore[arg-type]
    with TemporaryDirectory(prefix="cut") as directory, cutter(Path(directory), real) as made:  # a socket's path must be short
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


def test_a_batch_cut_off_before_its_commit_leaves_nothing(log: Log, cut: Cutter) -> None:
    recorder = log.recorder(lanes=1)
    for _ in range(2):  # the statements are prepared by now: what follows is values and the commit alone
        recorder.record_all(
            log.controller_id, [draft(f"sub-{n}", chain=chain_of(f"sub-{n}", 1, *log.head(f"sub-{n}"))) for n in range(65)]
        )
    cut.mode = "cut-within"
    connect = log.app.dedicated

    def reconnect(controller_id: str) -> Any:
        cut.mode = "pass"
        return connect(controller_id)

    log.app.dedicated = reconnect  # type: ignore[method-assign]
    before = len(log.pending())
    with pytest.raises(AuditUnavailable):
        recorder.record_all(
            log.controller_id, [draft(f"sub-{n}", chain=chain_of(f"sub-{n}", 1, *log.head(f"sub-{n}"))) for n in range(65)]
        )
    assert len(log.pending()) == before
    recorder.record(log.controller_id, draft("sub-1", chain=chain_of("sub-1", 1, *log.head("sub-1"))))
    recorder.close()
    log.settle()
    assert log.verify().ok


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
        with pytest.raises(AuditUnavailable):  # the same where the head is not as expected
            recorder.record(log.controller_id, draft("sub-1", chain=chain_of("sub-1", 1, 7, b"x")))
        with pytest.raises(AuditUnavailable):
            recorder.record_all(log.controller_id, [draft("sub-1", chain=chain_of("sub-1", 1, *log.head("sub-1"))), draft("sub-2")])
    recorder.record(log.controller_id, draft("sub-1"))
    assert len({one["writer"] for one in leaves(log)}) == 1
    assert [one["number"] for one in leaves(log)] == [1, 2, 3]


def test_a_head_held_when_it_is_taken_again_is_given_up(log: Log) -> None:
    recorder = log.recorder(lanes=1)
    recorder.record(log.controller_id, draft("sub-1"))
    lane: Any = recorder._groups[log.controller_id]._lanes[0]
    locked = lane._locked_heads
    with psycopg.connect(log.url) as other:

        def behind(*given: Any) -> Any:
            other.execute("SELECT FROM vault.audit_subject_head WHERE subject_id = 'sub-1' FOR UPDATE")
            return locked(*given)

        lane._locked_heads = behind
        with pytest.raises(AuditUnavailable):
            recorder.record(log.controller_id, draft("sub-1"))
    del lane._locked_heads
    recorder.record(log.controller_id, draft("sub-1"))
    assert [one["number"] for one in leaves(log)] == [1, 2, 3]


def test_a_connection_whose_time_cannot_be_bounded_is_not_used(log: Log) -> None:
    connect = log.app.dedicated

    def spoilt(controller_id: str) -> Any:
        connection = connect(controller_id)
        connection.execute("BEGIN")
        with pytest.raises(psycopg.Error):
            connection.execute("SELECT 1 / 0")
        return connection

    log.app.dedicated = spoilt  # type: ignore[method-assign]
    recorder = log.recorder(lanes=1)
    with pytest.raises(AuditUnavailable):
        recorder.record(log.controller_id, draft("sub-1"))
    log.app.dedicated = connect  # type: ignore[method-assign]
    recorder.record(log.controller_id, draft("sub-1"))
    assert [one["number"] for one in leaves(log)] == [1, 2]


def test_without_its_table_nothing_is_recorded(clone: Callable[[], str], tmp_path: Path) -> None:
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
