"""One exchange with the database: statements sent together, answered together, before a deadline.

The recorder's hot path speaks libpq through psycopg's own bindings: one message there, one back, whatever the number of entries,
and a wait that ends. A driver call that waits for ever would hold an agent, and the lane, for ever.

Several statements go in pipeline mode. A statement by itself does not: there the driver lets go of the interpreter lock while it
sends, which it does not in a pipeline, and a server woken on the sender's own processor works before the call comes back.
"""

import select
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import pq

TEXT, BINARY = 0, 1


@dataclass(frozen=True, slots=True)
class Statement:
    """A prepared statement: its name, and for each parameter whether it travels as text (0) or bytes (1)."""

    name: bytes
    sql: bytes
    formats: tuple[int, ...]


Call = tuple[Statement, Sequence[bytes | None]]


class Refusal(Exception):
    """The database answered no: nothing was committed. `sqlstate` says why."""

    def __init__(self, sqlstate: str) -> None:
        self.sqlstate = sqlstate
        super().__init__(sqlstate)


class Unanswered(Exception):
    """Connection lost, or no answer in time: whether the statements were carried out is not known."""


BEGIN = Statement(b"riserbo_begin", b"BEGIN", ())
COMMIT = Statement(b"riserbo_commit", b"COMMIT", ())
ROLLBACK = Statement(b"riserbo_rollback", b"ROLLBACK", ())


class Exchange:
    """One connection of the driver, made for exchanges. Not for two threads at once.

    After Unanswered it is `broken`: an answer may still be under way, and would be taken for that of the next statement.
    """

    def __init__(self, connection: "psycopg.Connection[Any]", monotonic: Callable[[], float]) -> None:
        self._connection = connection
        self._pg = connection.pgconn
        self._monotonic = monotonic
        self._prepared: set[bytes] = set()
        self.broken = False
        self._poll = select.poll()
        self._poll.register(self._pg.socket, select.POLLIN)

    def open(self, settings: Mapping[str, str], deadline: float) -> None:
        """Set what bounds the statements' time. Raises Unanswered or Refusal."""
        with self._pipeline(deadline) as results:
            for name, value in settings.items():
                self._pg.send_query_params(b"SELECT set_config($1, $2, false)", [name.encode(), value.encode()])
        _refuse_failed(results)

    def lost(self) -> bool:
        """Whether the server has closed the idle connection: then nothing was sent that it could have carried out."""
        try:
            self._poll.modify(self._pg.socket, select.POLLIN)  # the last wait may have been for room to send, of which there is now
            while not self.broken and self._poll.poll(0):  # its last words first, the end of the connection after them
                self._pg.consume_input()
                self.broken = self._pg.status != pq.ConnStatus.OK
            if not self.broken:
                self.broken = self._pg.transaction_status != pq.TransactionStatus.IDLE
        except (psycopg.Error, OSError):
            self.broken = True
        return self.broken

    def begin(self, call: Call, deadline: float) -> list[list[bytes | None]]:
        """Open a transaction with one statement and return its rows; `together` ends it. Raises Refusal or Unanswered."""
        try:
            return _rows(self._send([(BEGIN, ()), call], deadline)[1])
        except Refusal:
            with suppress(Unanswered):
                self._send([(ROLLBACK, ())], deadline)
            raise

    def together(self, calls: Sequence[Call], deadline: float, *, begun: bool = False) -> None:
        """Carry out all the statements or none. Raises Refusal: none; Unanswered: not known."""
        if len(calls) == 1 and not begun:  # a statement by itself is a transaction, committed when the exchange ends
            self.alone(calls[0], deadline)
            return
        opening = () if begun else ((BEGIN, ()),)
        try:
            results = self._send([*opening, *calls, (COMMIT, ())], deadline)
        except Refusal:
            with suppress(Unanswered):  # then `broken`, and the refusal stands: nothing was committed
                self._send([(ROLLBACK, ())], deadline)
            raise
        if results[-1].command_status != b"COMMIT":
            raise Refusal("25P02")

    def alone(self, call: Call, deadline: float) -> list[list[bytes | None]]:
        """Carry out one statement and return its rows, as bytes in text format. Raises Refusal or Unanswered."""
        return _rows(self._send([call], deadline)[0])

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _send(self, calls: Sequence[Call], deadline: float) -> list[pq.abc.PGresult]:
        """Return one result for each statement, once the server has said it is done with all. What is new is prepared first."""
        new = {statement.name: statement.sql for statement, _ in calls if statement.name not in self._prepared}
        if len(calls) == 1 and not new:
            results = self._single(*calls[0], deadline)
        else:
            with self._pipeline(deadline) as results:
                for name, sql in new.items():
                    self._pg.send_prepare(name, sql)
                for statement, values in calls:
                    self._pg.send_query_prepared(statement.name, values, statement.formats)
            self._prepared.update(name for name, one in zip(new, results, strict=False) if one.status == pq.ExecStatus.COMMAND_OK)
        _refuse_failed(results)
        return results[len(new) :]

    def _single(self, statement: Statement, values: Sequence[bytes | None], deadline: float) -> list[pq.abc.PGresult]:
        """Carry out one prepared statement; its commit, where that fails, answers too."""
        with self._breaking():
            self._pg.send_query_prepared(statement.name, values, statement.formats)
            results: list[pq.abc.PGresult] = []
            while (result := self._next(deadline)) is not None:
                results.append(result)
        return results

    @contextmanager
    def _pipeline(self, deadline: float) -> Iterator[list[pq.abc.PGresult]]:
        """Send what the block sends at its end, in one message; the list yielded then holds the results."""
        results: list[pq.abc.PGresult] = []
        with self._breaking():
            self._pg.enter_pipeline_mode()
            yield results
            self._pg.pipeline_sync()
            # An answer of a statement may come before its commit, that of the synchronisation cannot. What lies between is None.
            while (result := self._next(deadline)) is None or result.status != pq.ExecStatus.PIPELINE_SYNC:
                results += [result] if result is not None else ()
            self._pg.exit_pipeline_mode()

    @contextmanager
    def _breaking(self) -> Iterator[None]:
        if self.broken:
            raise Unanswered
        try:
            yield
        except (psycopg.Error, OSError, Unanswered):
            self.broken = True
            raise Unanswered from None

    def _next(self, deadline: float) -> pq.abc.PGresult | None:
        """Return the next result, None where libpq says that a statement has no more. On a session that ended this raises."""
        pg = self._pg
        unsent = pg.flush()
        while pg.is_busy():
            self._wait(unsent, deadline)
            pg.consume_input()
            unsent = pg.flush()
        return pg.get_result()

    def _wait(self, unsent: int, deadline: float) -> None:
        left = deadline - self._monotonic()
        self._poll.modify(self._pg.socket, select.POLLIN | (select.POLLOUT if unsent else 0))
        if left <= 0 or not self._poll.poll(left * 1000):
            raise Unanswered


def _refuse_failed(results: Sequence[pq.abc.PGresult]) -> None:
    for one in results:
        if one.status == pq.ExecStatus.FATAL_ERROR:
            raise Refusal((one.error_field(pq.DiagnosticField.SQLSTATE) or b"").decode())


def _rows(result: pq.abc.PGresult) -> list[list[bytes | None]]:
    return [[result.get_value(row, column) for column in range(result.nfields)] for row in range(result.ntuples)]
