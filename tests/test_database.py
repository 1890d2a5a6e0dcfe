"""Connections: a pool for each controller; the driver's text never leaves; what died is not handed out again."""

import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress

import psycopg
import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from tests.conftest import MEMORY
from vault import tables
from vault.connectors.embedded_postgres import shared_buffers_mib
from vault.database import EVERY_CONTROLLER, Database, Reading
from vault.errors import Conflict, DatabaseUnavailable, VaultError
from vault.octets import text_array

CANARY = "canarino in una riga"
_PID = sa.text("SELECT pg_backend_pid() AS pid")
_SQL = "SELECT pg_backend_pid()"
_READING = Reading(b"processes", _SQL.encode(), ())


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url, "riserbo_app", pool_size=3)
    yield database
    database.close()


def fill(database: Database) -> set[int]:
    """Open all connections a pool may have at once, and return the server's processes behind them."""
    with ExitStack() as opened:
        held = [opened.enter_context(database.snapshot("ctl-a")) for _ in range(3)]
        return {rows.execute(_PID).scalar_one() for rows in held}


def terminate(url: str, processes: set[int]) -> None:
    """End these connections from the server's side, as its restart does."""
    with psycopg.connect(url, autocommit=True) as owner:
        for process in processes:
            owner.execute("SELECT pg_terminate_backend(%s, 5000)", (process,))


def by_core(database: Database) -> int:
    return int(database.read("ctl-a", _PID, {})[0].pid)


def by_driver(database: Database) -> int:
    return int(database.fetch("ctl-a", _READING, {})[0][0])


def by_hand(database: Database) -> int:
    """As the sequencer does: a cursor of the driver in a snapshot."""
    with database.snapshot("ctl-a") as rows:
        driver = rows.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        found = driver.execute(_SQL).fetchone()
        assert found is not None
        return int(found[0])


def in_a_transaction(database: Database) -> int:
    with database.transaction("ctl-a") as rows:
        return int(rows.execute(_PID).scalar_one())


@pytest.mark.parametrize("ask", [by_core, by_driver])
def test_a_read_survives_the_death_of_every_connection(
    database: Database, database_url: str, ask: Callable[[Database], int]
) -> None:
    died = fill(database)
    terminate(database_url, died)
    assert not {ask(database) for _ in range(4)} & died


@pytest.mark.parametrize("ask", [by_hand, in_a_transaction])
def test_of_many_dead_connections_only_the_first_is_met(
    database: Database, database_url: str, ask: Callable[[Database], int]
) -> None:
    died = fill(database)
    terminate(database_url, died)
    with pytest.raises(DatabaseUnavailable):
        ask(database)
    assert not {ask(database) for _ in range(4)} & died


def test_a_statement_that_fails_leaves_its_connection_in_the_pool(database: Database) -> None:
    before = fill(database)
    with pytest.raises(DatabaseUnavailable):
        database.fetch("ctl-a", Reading(b"fails", b"SELECT 1 / 0", ()), {})
    with pytest.raises(DatabaseUnavailable):
        database.fetch("ctl-a", Reading(b"is none", b"SELECT FROM nowhere", ()), {})
    assert fill(database) == before


def test_a_rollback_that_lets_go_of_nothing_leaves_a_reading_prepared(database_url: str) -> None:
    """The driver lets go of statements only where it prepared one itself."""
    reading = Reading(b"one", b"SELECT 'x'", ())
    alone = Database(database_url, "riserbo_app", pool_size=1)
    for _ in range(2):
        assert alone.fetch("ctl-a", reading, {}) == [("x",)]
        with pytest.raises(ZeroDivisionError), alone.transaction("ctl-a"):
            raise ZeroDivisionError
    assert alone.fetch("ctl-a", reading, {}) == [("x",)]
    alone.close()


def test_a_prepared_reading_outlives_a_rollback(database: Database) -> None:
    def read() -> list[tuple[str]]:
        return list(database.fetch("ctl-a", Reading(b"one", b"SELECT 'x'", ()), {}))

    for _ in range(3):  # the same connection: the one used last comes first
        assert read() == [("x",)]
        with suppress(KeyError), database.transaction("ctl-a") as rows:
            rows.exec_driver_sql("SELECT 1")
            raise KeyError


@pytest.mark.parametrize("value", ["", "plain", 'a"quote', "back\\slash", "{a,b}", "NULL", "comma, space", "perché"])
def test_an_array_arrives_as_it_was_sent(database: Database, value: str) -> None:
    reading = Reading(b"echo", b"SELECT $1::text[], $2::text", ("texts", "text"))
    assert database.fetch("ctl-a", reading, {"texts": text_array([value, "b"]), "text": b"x"}) == [([value, "b"], "x")]


def test_each_pool_is_its_controllers_for_ever(database: Database) -> None:
    asked = sa.text("SELECT current_setting('riserbo.controller') AS controller")
    for controller_id in ("ctl-a", "ctl-b", "ctl-a"):
        with database.snapshot(controller_id) as rows:
            rows.exec_driver_sql("DISCARD ALL")
            assert rows.execute(asked).scalar_one() == controller_id
    with database.dedicated("ctl-b") as connection:
        assert connection.execute("SELECT current_setting('riserbo.controller')").fetchone() == ("ctl-b",)
        assert connection.autocommit


def test_pools_share_what_one_has_asked_the_server(database_url: str) -> None:
    database = Database(database_url, "riserbo_app")
    early, other = (database._make(database._arguments(one)) for one in ("ctl-a", "ctl-b"))  # nothing was asked yet
    with other.connect() as connection:
        connection.execute(sa.text("SELECT 1"))
    late = database._make(database._arguments("ctl-c"))
    assert late.dialect is other.dialect is not early.dialect
    for engine in (early, late):
        with engine.connect() as connection:
            assert connection.execute(sa.text("SELECT current_setting('transaction_isolation')")).scalar_one() == "read committed"
            assert connection.connection.driver_connection.autocommit
        with engine.execution_options(isolation_level="READ COMMITTED").begin() as connection:
            assert not connection.connection.driver_connection.autocommit
        with engine.connect() as connection:
            assert connection.connection.driver_connection.autocommit
        engine.dispose()
    other.dispose()


@pytest.mark.parametrize("name", ["", "a b", "A", "x -c role=postgres", "x" * 64, "é"])
def test_a_name_that_could_say_more_than_a_controller_reaches_no_server(database: Database, name: str) -> None:
    for connect in (database.snapshot, database.transaction):
        with pytest.raises(DatabaseUnavailable), connect(name):
            pytest.fail("connected")
    with pytest.raises(DatabaseUnavailable):
        database.dedicated(name)


def test_the_register_is_all_that_is_read_for_every_controller(database: Database) -> None:
    assert isinstance(database.controllers(), list)
    assert database.read(EVERY_CONTROLLER, sa.select(tables.subject.c.subject_id), {}) == []


def refused(database: Database, statement: sa.Executable, **parameters: object) -> VaultError:
    with pytest.raises(VaultError) as refusal, database.transaction("ctl-a") as rows:
        rows.execute(statement, parameters)
    return refusal.value


def test_what_the_driver_says_of_a_row_stays_with_the_driver(database: Database) -> None:
    """A failed cast, a missing column's value, a duplicate key and a refused row: each text of the server would hold the value."""
    row = {"controller_id": "ctl-a", "ticket_id": CANARY, "system": "s", "subject_id": "s", "state": "open", "entry_id": "e"}
    new, spent = sa.insert(tables.ticket), "('ctl-a', :who, 'find', now(), 1)"
    with capture_logs() as logged:
        met = [
            refused(database, sa.text("SELECT CAST(:value AS integer)"), value=CANARY),
            refused(database, new, **row),  # updated_at is missing
            refused(database, new, **{**row, "controller_id": CANARY, "updated_at": "2026-01-01T00:00:00Z"}),
            refused(database, sa.text(f"INSERT INTO vault.budget VALUES {spent}, {spent}"), who=CANARY),
            refused(database, sa.text("SELECT :value FROM nowhere"), value=CANARY),
        ]  # fmt: skip
    said = [CANARY in text for error in met for text in (str(error), repr(error), *traceback.format_exception(error))]
    assert not any(said)
    assert CANARY not in repr(logged)
    assert [type(error) for error in met] == [DatabaseUnavailable] * 3 + [Conflict, DatabaseUnavailable]
    assert [one["sqlstate"] for one in logged] == ["22P02", "23502", "42501", "23505", "42P01"]
    assert logged[3]["constraint"] == "budget_pkey"


def test_what_a_failed_block_wrote_is_gone(database: Database) -> None:
    counted = sa.text("SELECT count(*) FROM vault.budget WHERE caller_id = 'nobody'")
    with suppress(KeyError), database.transaction("ctl-a") as rows:
        rows.exec_driver_sql("INSERT INTO vault.budget VALUES ('ctl-a', 'nobody', 'find', now(), 1)")
        raise KeyError
    with database.snapshot("ctl-a") as rows:
        assert rows.execute(counted).scalar_one() == 0


def test_a_full_pool_is_told_within_seconds(database: Database) -> None:
    with ExitStack() as opened:
        for _ in range(3):
            opened.enter_context(database.snapshot("ctl-a"))
        with pytest.raises(DatabaseUnavailable) as told, database.snapshot("ctl-a"):
            pytest.fail("a fourth connection")
    assert told.value.retry_after_s
    assert fill(database)


def test_a_server_that_is_not_there_is_unavailable() -> None:
    database = Database("postgresql://nobody@/riserbo?host=/nonexistent", "riserbo_app")
    with pytest.raises(DatabaseUnavailable):
        database.controllers()
    with pytest.raises(DatabaseUnavailable):
        database.dedicated("ctl-a")
    database.close()


def test_the_embedded_server_has_room_for_several_processes(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SHOW max_connections").fetchone() == ("300",)


@pytest.mark.parametrize(("gib", "mib"), [(0.5, 128), (2, 256), (24, 1024)])
def test_the_embedded_server_keeps_pages_in_an_eighth_of_the_memory(gib: float, mib: int) -> None:
    assert shared_buffers_mib(int(gib * (1 << 30))) == mib


def test_the_embedded_server_is_told_so(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        (pages,) = connection.execute("SELECT setting::integer FROM pg_settings WHERE name = 'shared_buffers'").fetchone() or (0,)
    assert pages * 8192 == shared_buffers_mib(MEMORY) << 20
