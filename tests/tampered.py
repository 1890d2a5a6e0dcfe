"""A log somebody tampers with, as whoever reads it finds it: in a transaction that nobody else sees and that ends with the block.

A running vault looks at its logs all the time. What an attack commits it may see too, report late, and stay closed when everything
is as it was again; of what is not committed it never hears.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import sqlalchemy
from sqlalchemy import Connection

from vault.database import _KEYED, Database
from vault.opening import Opened


class Tampered(Database):
    """One connection for everything, in the middle of a transaction: with the rights, the rows and the settings of a role."""

    rows: Connection

    @contextmanager
    def transaction(self, controller_id: str) -> Iterator[Connection]:
        assert f"riserbo.controller={controller_id} " in self._arguments(controller_id)["options"]
        yield self.rows.execution_options(stream_results=False)  # whoever read before may have left it streaming

    snapshot = transaction


@contextmanager
def tampered(opened: Opened, controller_id: str, *statements: str, role: str = "riserbo_sequencer") -> Iterator[Tampered]:
    """Do it as whoever owns the database, triggers off (`@` is the controller's own rows), and yield what a role then reads.

    Whoever verifies asks for one snapshot of its own and for reading alone: this transaction is one, and is made the other.
    """
    url = opened.addresses.url
    database = Tampered(url, str(sqlalchemy.make_url(url).username))
    with psycopg.connect(url) as still:  # nobody sequences meanwhile
        still.execute("SELECT FROM vault.audit_head WHERE controller_id = %s FOR UPDATE", (controller_id,))
        try:
            with database._using(controller_id) as engine, engine.connect() as connection:
                database.rows = connection.execution_options(isolation_level="REPEATABLE READ")
                with database.rows.begin() as transaction:
                    _say(connection, "SET LOCAL session_replication_role = replica")
                    _say(connection, *(one.replace("@", f"controller_id = '{controller_id}'") for one in statements))
                    _say(connection, "SET LOCAL session_replication_role = origin", f"SET LOCAL ROLE {role}")
                    _say(connection, *(f"SET LOCAL {one}" for one in _KEYED.get(role, "").split(" -c ")[1:]))
                    yield database
                    transaction.rollback()
        finally:
            database.close()


def _say(connection: Connection, *statements: str) -> None:
    for one in statements:
        connection.exec_driver_sql(one)


def other_octet(column: str, at: int) -> str:
    """Return SQL for a column with another byte at a place (from 0): whichever it was, it is not that one any more."""
    return f"set_byte({column}, {at}, get_byte({column}, {at}) # 1)"
