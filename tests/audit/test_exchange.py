"""One exchange with the database: carried out, refused, or not known; never waited for beyond its deadline."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
import pytest
import sqlalchemy

from tests.audit.cutting import cutter
from tests.audit.makers import Log
from vault.audit.exchange import TEXT, Exchange, Refusal, Statement, Unanswered
from vault.database import Database

ONE = Statement(b"test_one", b"SELECT $1::integer + 1, NULL", (TEXT,))
DIVIDE = Statement(b"test_divide", b"SELECT 1 / $1::integer", (TEXT,))
SLEEP = Statement(b"test_sleep", b"SELECT pg_sleep($1::float)", (TEXT,))
LONG = Statement(b"test_long", b"SELECT repeat($1::text, 1000)", (TEXT,))
NOTICE = Statement(b"test_notice", b"SELECT pg_notify('x', $1::text)", (TEXT,))


def soon() -> float:
    return time.monotonic() + 3


@pytest.fixture
def exchange(log: Log) -> Iterator[Exchange]:
    made = Exchange(log.app.dedicated(log.controller_id), time.monotonic)
    made.open({"statement_timeout": "2s"}, soon())
    yield made
    made.close()


def test_rows_come_back_as_text(exchange: Exchange) -> None:
    assert exchange.alone((ONE, (b"41",)), soon()) == [[b"42", None]]
    assert not exchange.lost()


def test_what_the_database_refuses_has_its_state_and_nothing_else(exchange: Exchange) -> None:
    with pytest.raises(Refusal) as refusal:
        exchange.alone((DIVIDE, (b"0",)), soon())
    assert (refusal.value.sqlstate, str(refusal.value), refusal.value.__cause__) == ("22012", "22012", None)
    assert exchange.alone((ONE, (b"1",)), soon()) == [[b"2", None]]


def test_one_refused_statement_refuses_all(exchange: Exchange) -> None:
    with pytest.raises(Refusal):
        exchange.together([(ONE, (b"1",)), (DIVIDE, (b"0",)), (ONE, (b"1",))], soon())
    exchange.together([(ONE, (b"1",)), (DIVIDE, (b"1",))], soon())
    with pytest.raises(Refusal):
        exchange.begin((DIVIDE, (b"0",)), soon())
    assert not exchange.lost()


def test_a_commit_that_rolls_back_is_no_commit(exchange: Exchange) -> None:
    exchange.begin((ONE, (b"1",)), soon())
    with pytest.raises(Refusal):
        exchange.alone((DIVIDE, (b"0",)), soon())
    with pytest.raises(Refusal) as refusal:
        exchange.together([], soon(), begun=True)
    assert refusal.value.sqlstate == "25P02"


def test_an_open_transaction_is_not_left_for_the_next(exchange: Exchange) -> None:
    exchange.begin((ONE, (b"1",)), soon())
    assert exchange.lost()


def test_no_answer_by_the_deadline_is_not_known_and_nothing_more_is_sent(exchange: Exchange) -> None:
    started = time.monotonic()
    with pytest.raises(Unanswered):
        exchange.alone((SLEEP, (b"1",)), started + 0.1)
    assert time.monotonic() - started < 0.5
    assert exchange.lost()
    with pytest.raises(Unanswered):
        exchange.alone((ONE, (b"1",)), soon())


def test_a_deadline_that_has_passed_is_not_known_either(exchange: Exchange) -> None:
    with pytest.raises(Unanswered):
        exchange.alone((SLEEP, (b"0.2",)), time.monotonic() - 1)


def test_a_session_ended_while_it_works_is_not_known(exchange: Exchange, log: Log) -> None:
    pid = exchange._pg.backend_pid

    def end() -> None:
        time.sleep(0.1)
        log.ask("SELECT pg_terminate_backend(%s)", pid)

    ending = threading.Thread(target=end)
    ending.start()
    with pytest.raises(Unanswered):
        exchange.together([(ONE, (b"1",)), (SLEEP, (b"2",))], soon())
    ending.join()


def test_a_session_ended_while_one_statement_works_is_not_known(exchange: Exchange, log: Log) -> None:
    exchange.alone((SLEEP, (b"0",)), soon())  # prepared: it goes by itself from now on
    ending = threading.Timer(0.1, log.ask, ("SELECT pg_terminate_backend(%s)", exchange._pg.backend_pid))
    ending.start()
    with pytest.raises(Unanswered):
        exchange.alone((SLEEP, (b"2",)), soon())
    ending.join()
    assert exchange.lost()


def test_a_commit_refused_after_its_statement_refuses_it(exchange: Exchange) -> None:
    """A statement by itself is answered before its commit; a deferred constraint fails in the commit."""
    exchange.alone((Statement(b"make", b"CREATE TEMP TABLE late (a integer UNIQUE DEFERRABLE INITIALLY DEFERRED)", ()), ()), soon())
    put = Statement(b"put", b"INSERT INTO late VALUES ($1::integer)", (TEXT,))
    exchange.alone((put, (b"1",)), soon())
    with pytest.raises(Refusal) as refusal:
        exchange.alone((put, (b"1",)), soon())
    assert refusal.value.sqlstate == "23505"
    assert exchange.alone((ONE, (b"1",)), soon()) == [[b"2", None]]


def test_an_answer_that_is_none_is_not_known(log: Log) -> None:
    """The driver then answers in the server's place: that says nothing of what was committed."""
    url = sqlalchemy.make_url(log.url)
    real = Path(url.query["host"]) / ".s.PGSQL.5432"  # type: ignore[arg-type]
    with TemporaryDirectory(prefix="cut") as directory, cutter(Path(directory), real) as cut:  # a socket's path must be short
        through = Database(url.update_query_dict({"host": directory}).render_as_string(hide_password=False), "riserbo_app")
        exchange = Exchange(through.dedicated(log.controller_id), time.monotonic)
        exchange.alone((ONE, (b"1",)), soon())
        cut.mode = "garble"
        with pytest.raises(Unanswered):
            exchange.alone((ONE, (b"1",)), soon())
        assert exchange.lost()
        exchange.close()


def test_one_statement_larger_than_a_socket_holds_goes_both_ways(exchange: Exchange) -> None:
    long = b"z" * 3_000_000
    for _ in range(2):
        assert exchange.alone((Statement(b"test_echo", b"SELECT $1::text", (TEXT,)), (long,)), soon()) == [[long]]


def test_more_than_a_socket_holds_goes_both_ways(exchange: Exchange) -> None:
    exchange.together([(LONG, (b"x" * 1000,)) for _ in range(3)], soon())
    big = b"y" * 200_000
    exchange.together([(ONE, (b"1",)), *((NOTICE, (big[:7000],)) for _ in range(200))], soon())


def test_a_closed_connection_is_lost_and_cannot_be_opened(log: Log, exchange: Exchange) -> None:
    exchange.close()
    exchange.close()
    assert exchange.lost()
    connection: psycopg.Connection[Any] = log.app.dedicated(log.controller_id)
    made = Exchange(connection, time.monotonic)
    connection.close()
    with pytest.raises(Unanswered):
        made.open({"statement_timeout": "2s"}, soon())
    refused = Exchange(log.app.dedicated(log.controller_id), time.monotonic)
    with pytest.raises(Refusal):
        refused.open({"statement_timeout": "soon"}, soon())
    refused.close()


def test_a_statement_is_prepared_when_first_carried_out_and_again_if_that_failed(exchange: Exchange) -> None:
    late, make = (
        Statement(b"test_late", b"SELECT count(*) FROM later", ()),
        Statement(b"test_make", b"CREATE TEMP TABLE later ()", ()),
    )
    for _ in range(2):
        with pytest.raises(Refusal) as refusal:
            exchange.together([(ONE, (b"1",)), (late, ())], soon())
        assert refusal.value.sqlstate == "42P01"
    assert exchange.alone((ONE, (b"1",)), soon()) == [[b"2", None]]
    exchange.alone((make, ()), soon())
    for _ in range(2):
        assert exchange.alone((late, ()), soon()) == [[b"0"]]


def test_room_to_send_is_no_word_from_the_server(exchange: Exchange) -> None:
    """A batch larger than the socket's buffer waits for room; to be asked afterwards whether the connection lives takes no time."""
    exchange._wait(1, soon())
    asked = threading.Thread(target=exchange.lost, daemon=True)
    asked.start()
    asked.join(5)
    assert not asked.is_alive()
    assert not exchange.lost()
