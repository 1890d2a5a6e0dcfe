"""Connections to PostgreSQL, one pool for each controller, the controller fixed when a connection is made.

Row-level security reads `riserbo.controller`, a start-up option: it survives `DISCARD ALL`, so no statement and no pool reset can
leave a connection with a neighbour's rows. Driver errors leave here as ours, with the SQLSTATE and the constraint's name and
nothing else: the driver's text can hold the row.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from copy import copy
from dataclasses import dataclass
from threading import Lock
from time import monotonic
from typing import Any, TypeVar

import psycopg
import sqlalchemy
import structlog
from psycopg import errors as pg
from psycopg import pq
from psycopg.adapt import Transformer
from sqlalchemy import Connection, Engine, Executable, Row
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

from vault import tables
from vault.errors import Conflict, DatabaseUnavailable, VaultError

AT_ONCE_S = 0.5
CONNECT_S = 2
MOST_POOLS = 16  # of one role in one process: a server has a hundred connections or so, whatever the number of controllers
EVERY_CONTROLLER = "*"  # reads the register of controllers, and nothing else
CONTROLLER_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_OPTIONS = (
    "-c riserbo.controller={controller} -c statement_timeout=30s -c lock_timeout=2s -c idle_in_transaction_session_timeout=10s"
    " -c timezone=UTC"
    # Planning the disclosing statement anew takes four times as long as running it; every part of it is a look-up by key.
    # A parallel plan or compiled code would cost a hundred times what such a look-up does (seen at 20,000 subjects).
    " -c plan_cache_mode=force_generic_plan -c max_parallel_workers_per_gather=0 -c jit=off"
)
# The sequencer's work is by key too, in a table that is emptied all the time: what was deleted stays in its pages until it is
# vacuumed, and to read through them costs more with every entry since then. Nor do statistics of such a table mean anything.
_KEYED = {"riserbo_sequencer": " -c enable_seqscan=off -c enable_bitmapscan=off"}
_PREPARED = b"42P05"  # duplicate_prepared_statement: it is still there, after a rollback that let go of nothing
_IDS = sqlalchemy.select(tables.controller.c.controller_id).order_by(tables.controller.c.controller_id)

log = structlog.get_logger()
_Rows = TypeVar("_Rows")


@dataclass(frozen=True, slots=True)
class Reading:
    """A statement that reads, prepared once on each connection: its name, its text with `$1` …, and the names of those in order."""

    name: bytes
    sql: bytes
    parameters: tuple[str, ...]

    @classmethod
    def of(cls, name: str, statement: sqlalchemy.CompoundSelect[Any]) -> "Reading":
        """Return what Core makes of a statement."""
        dialect = postgresql.dialect(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]
        compiled: Any = statement.compile(dialect=dialect)
        return cls(name.encode(), str(compiled).encode(), tuple(compiled.positiontup))


@dataclass(slots=True)
class _Pool:
    """One controller's connections, and how many hold or want one now."""

    engine: Engine
    users: int = 0


class Database:
    """Pools of one role (`riserbo_app`, `riserbo_sequencer`, `riserbo_signer`, `riserbo_owner`)."""

    def __init__(self, url: str, role: str, *, pool_size: int = 8) -> None:
        self._url = sqlalchemy.make_url(url).set(drivername="postgresql+psycopg", username=role)
        self._options = _OPTIONS + _KEYED.get(role, "")
        self._pool_size = pool_size
        self._pools: dict[str, _Pool] = {}  # the one used last stands last
        self._choosing = Lock()
        self._first: Engine | None = None

    @contextmanager
    def snapshot(self, controller_id: str) -> Iterator[Connection]:
        """Yield a read-only connection in autocommit: each statement is its own snapshot, no BEGIN is sent."""
        with _ours(), self._using(controller_id) as engine, engine.connect() as connection, _noticed(connection):
            yield connection

    def read(self, controller_id: str, statement: Executable, parameters: Mapping[str, Any]) -> Sequence[Row[Any]]:
        """Return the rows of one reading statement; retried once when the connection turned out dead."""

        def reading() -> Sequence[Row[Any]]:
            with self.snapshot(controller_id) as rows:
                return rows.execute(statement, parameters).all()

        return _twice(reading)

    def fetch(self, controller_id: str, reading: Reading, parameters: Mapping[str, bytes]) -> Sequence[tuple[Any, ...]]:
        """Return the rows of a prepared reading statement, as the driver decodes them; retried once likewise.

        For the disclosing statement alone: Core and the driver's cursor take six times as long as what they are asked to do.
        """
        return _twice(lambda: self._fetched(controller_id, reading, parameters))

    def _fetched(self, controller_id: str, reading: Reading, parameters: Mapping[str, bytes]) -> Sequence[tuple[Any, ...]]:
        with self.snapshot(controller_id) as connection:
            driver: psycopg.Connection[Any] = connection.connection.driver_connection  # type: ignore[assignment]  # the only one
            if reading.name not in connection.info:
                prepared = driver.pgconn.prepare(reading.name, reading.sql)
                if prepared.error_field(pq.DiagnosticField.SQLSTATE) != _PREPARED:
                    _expect(prepared, pq.ExecStatus.COMMAND_OK)
                connection.info[reading.name] = True
            values = [parameters[name] for name in reading.parameters]
            result = driver.pgconn.exec_prepared(reading.name, values, result_format=pq.Format.BINARY)
            _expect(result, pq.ExecStatus.TUPLES_OK)
            decoded = Transformer(driver)
            decoded.set_pgresult(result)
            return decoded.load_rows(0, result.ntuples, tuple)

    @contextmanager
    def transaction(self, controller_id: str) -> Iterator[Connection]:
        """Yield a connection in a transaction that commits at the end of the block, or rolls back."""
        with (
            _ours(),
            self._using(controller_id) as engine,
            engine.execution_options(isolation_level="READ COMMITTED").begin() as connection,
        ):
            commits = False
            try:
                yield connection
                commits = True
            finally:
                if not commits:  # with a rollback the driver may let go of every prepared statement, ours too
                    connection.info.clear()

    def dedicated(self, controller_id: str) -> "psycopg.Connection[Any]":
        """Return an autocommit connection of the driver, owned and closed by the caller (lanes)."""
        with _ours():
            return psycopg.connect(
                autocommit=True, prepare_threshold=0, connect_timeout=CONNECT_S, **self._arguments(controller_id)
            )

    def controllers(self) -> list[str]:
        """Return the ids in the register of controllers."""
        return [row.controller_id for row in self.read(EVERY_CONTROLLER, _IDS, {})]

    def close(self) -> None:
        """Close every pool."""
        with self._choosing:
            pools, self._pools = list(self._pools.values()), {}
        for pool in pools:
            pool.engine.dispose()

    def _arguments(self, controller_id: str) -> dict[str, Any]:
        if controller_id != EVERY_CONTROLLER and not CONTROLLER_ID.fullmatch(controller_id):
            raise DatabaseUnavailable
        options = self._options.format(controller=controller_id)
        return {**self._url.translate_connect_args(username="user", database="dbname"), **self._url.query, "options": options}

    @contextmanager
    def _using(self, controller_id: str) -> Iterator[Engine]:
        """Yield the controller's pool; beyond the most that are kept, those nobody uses are closed, the longest unused first."""
        with self._choosing:
            pool = self._pools.pop(controller_id, None) or _Pool(self._make(self._arguments(controller_id)))
            self._pools[controller_id] = pool
            pool.users += 1
            unused = [one for one, other in self._pools.items() if other.users == 0]
            surplus = [self._pools.pop(one) for one in unused[: max(0, len(self._pools) - MOST_POOLS)]]
        for one in surplus:
            one.engine.dispose()
        try:
            yield pool.engine
        finally:
            with self._choosing:
                pool.users -= 1

    def _make(self, arguments: dict[str, Any]) -> Engine:
        """Make an engine. All share one dialect: what was compiled for one controller, or asked of the server, serves all."""

        def connect() -> Any:
            return psycopg.connect(autocommit=True, prepare_threshold=0, connect_timeout=CONNECT_S, **arguments)

        pool = QueuePool(
            connect,
            pool_size=self._pool_size,
            max_overflow=0,
            timeout=1,
            use_lifo=True,  # the connection used last has its plans and pages at hand
            reset_on_return=None,  # every block ends what it began; a reset would be a round trip
        )
        if self._first is not None and hasattr(self._first.dialect, "default_isolation_level"):  # it has asked the server
            engine = copy(self._first)
            engine.pool = pool
            return engine
        url, hidden = "postgresql+psycopg://", {"hide_parameters": True, "echo": False}
        self._first = sqlalchemy.create_engine(url, pool=pool, isolation_level="AUTOCOMMIT", use_native_hstore=False, **hidden)
        return self._first


def _twice(act: Callable[[], _Rows]) -> _Rows:
    """Do it once more when the connection turned out dead. That shows at once: what was waited for in vain is not waited for again.

    Somebody waits for the answer, for three seconds whole; a lock alone takes two of them.
    """
    began = monotonic()
    try:
        return act()
    except DatabaseUnavailable:
        if monotonic() - began > AT_ONCE_S:
            raise
        return act()


def _expect(result: "pq.abc.PGresult", status: pq.ExecStatus) -> None:
    if result.status != status:
        raise pg.error_from_result(result)


@contextmanager
def _ours() -> Iterator[None]:
    """Turn what the driver raises into ours, without its text."""
    try:
        yield
    except DBAPIError as error:
        raise _translated(error.orig) from None
    except (psycopg.Error, SQLAlchemyError) as error:
        raise _translated(error) from None


@contextmanager
def _noticed(connection: Connection) -> Iterator[None]:
    """Let Core notice a connection that died in the driver's own hands: it then replaces all those that died with it.

    In autocommit nothing else tells it, and the dead would go back to the pool for ever.
    """
    try:
        yield
    except psycopg.Error:
        driver = connection.connection.driver_connection
        if driver is not None and driver.closed:
            with suppress(DBAPIError):
                connection.exec_driver_sql("SELECT")
        raise


def _translated(error: BaseException | None) -> VaultError:
    state = getattr(error, "sqlstate", None)
    constraint = getattr(getattr(error, "diag", None), "constraint_name", None)
    log.error("database_error", sqlstate=state, constraint=constraint, kind=type(error).__name__)
    return Conflict() if isinstance(error, pg.UniqueViolation) else DatabaseUnavailable(retry_after_s=5)
