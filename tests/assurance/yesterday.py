"""A database of a test's own that can be copied, and the copy put back while processes run on it: what a restore does."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import sql
from sqlalchemy import make_url

from vault.connectors.embedded_postgres import PostgresServer, admin_url


@dataclass(frozen=True, slots=True)
class Restorable:
    """A migrated database, reached at `url`, and its copies."""

    server: PostgresServer
    name: str

    @property
    def url(self) -> str:
        """The superuser's address."""
        return admin_url(self.server, self.name)

    def keep(self, copy: str) -> None:
        """Copy it as it is now. Who is connected loses the connection."""
        self._copied(self.name, f"{self.name}_{copy}")

    def restore(self, copy: str) -> None:
        """Put a copy in its place."""
        self._closed(self.name)
        self._admin("DROP DATABASE {}", self.name)
        self._copied(f"{self.name}_{copy}", self.name)

    def drop(self, *copies: str) -> None:
        """Remove it and its copies."""
        for name in (self.name, *(f"{self.name}_{copy}" for copy in copies)):
            self._admin("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)

    def _copied(self, name: str, to: str) -> None:
        self._closed(name)
        self._admin("CREATE DATABASE {} TEMPLATE {}", to, name)
        self._admin("ALTER DATABASE {} ALLOW_CONNECTIONS true", name)

    def _closed(self, name: str) -> None:
        self._admin("ALTER DATABASE {} ALLOW_CONNECTIONS false", name)
        with psycopg.connect(self.server.get_uri("postgres"), autocommit=True) as connection:
            connection.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", (name,))

    def _admin(self, statement: str, *names: str) -> None:
        with psycopg.connect(self.server.get_uri("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


@contextmanager
def restorable(server: PostgresServer, url: str, *copies: str) -> Iterator[Restorable]:
    """Yield a migrated database of the server's that is there; it and the named copies go at the end."""
    made = Restorable(server, str(make_url(url).database))
    try:
        yield made
    finally:
        made.drop(*copies)
