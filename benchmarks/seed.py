"""The world a benchmark runs in: a server of its own, one controller, its callers, customers, cases, and who signs the tokens."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from benchmarks import people
from benchmarks.load import write_requests
from benchmarks.people import WORKLOADS, Workload
from vault.connectors.demo_issuer import IDENTITIES, DemoIssuer, run_demo_issuer
from vault.connectors.embedded_postgres import admin_url, ensure_database, start_embedded
from vault.opening import new_id, now, open_keyring, open_vault
from vault.operations.callers import Registration, register_caller
from vault.operations.migrate import migrate
from vault.settings import Settings, environment_with, read_settings

CONTROLLER = "bench"
REFERENCE = "bench_reference"
AUDIENCE = "riserbo"
IMPORT_S = 240
_TICKETS = """
    INSERT INTO vault.ticket (controller_id, ticket_id, system, subject_id, state, assignee, team, topic, updated_at, entry_id)
    SELECT controller_id, %(role)s || '-' || line, 'bench', subject_id, 'open', %(assignee)s, NULL, %(topic)s, now(), entry_id
    FROM vault.import_line WHERE controller_id = %(controller)s"""
_ROWS = "SELECT line, subject_id FROM vault.import_line WHERE controller_id = %s ORDER BY line"


@dataclass(frozen=True, slots=True)
class World:
    """Where everything is. `environment` is what processes of the vault are started with; `home` goes when the run is over."""

    home: Path
    settings: Settings
    environment: Mapping[str, str]
    admin_url: str
    reference_url: str
    postgres_pid: int
    issuer: DemoIssuer


@dataclass(frozen=True, slots=True)
class Seeded:
    """The customers, as (row, subject id), and the file of requests of each workload."""

    subjects: tuple[tuple[int, str], ...]
    requests: Mapping[str, Path]


@contextmanager
def world(home: Path) -> Iterator[World]:
    """Yield an empty vault with one controller and its callers; stop its PostgreSQL at the end. `home` must exist and be empty."""
    with run_demo_issuer(home / "issuer", AUDIENCE) as issuer:
        server = start_embedded(home / "data")
        try:
            pid = server.get_pid()
            assert pid is not None
            for name in ("riserbo", REFERENCE):
                ensure_database(server, name)
            address = admin_url(server)
            _require_durable(address)
            migrate(address, address)
            settings = read_settings(
                home=home, token_issuer=issuer.issuer, token_audience=AUDIENCE, jwks_url=issuer.jwks_url, unbound_systems=True
            )
            open_keyring(settings)
            settings = settings.model_copy(update={"database_url": address})
            made = World(home, settings, environment_with(settings), address, admin_url(server, REFERENCE), pid, issuer)
            new_controllers(made, [CONTROLLER])
            yield made
        finally:
            server.cleanup()


def new_controllers(made: World, controller_ids: Sequence[str]) -> None:
    """Create controllers, each with the callers the workloads need: an import into an empty one starts from nothing."""
    with open_vault(made.settings) as opened:
        for controller_id in controller_ids:
            opened.add_controller(controller_id)
            for who in (IDENTITIES[one.role] for one in WORKLOADS):
                register_caller(
                    opened.vault, controller_id, Registration(who.caller_id, who.roles, who.team, who.training, who.recipient)
                )


def tokens(made: World, workload: Workload) -> list[str]:
    """Return access tokens of the workload's caller, good for an hour."""
    return [made.issuer.sign(workload.role, CONTROLLER, now(), new_id("jti")) for _ in range(people.TOKENS)]


def vault_command(*arguments: str) -> list[str]:
    """Return how `riserbo` is started as a process of its own."""
    return [sys.executable, "-m", "vault", *arguments]


def seed(made: World, subjects: int) -> Seeded:
    """Enrol the customers, open their cases, and write the requests of each workload.

    Customers go through `riserbo import`; cases, one of each workload for everybody, are inserted as the helpdesk would have
    pushed them, their entries left out.
    """
    file, mapping = made.home / "people.ndjson", made.home / "people.mapping.yaml"
    with file.open("w") as out:
        out.writelines(json.dumps(people.line(row)) + "\n" for row in range(1, subjects + 1))
    mapping.write_text(people.mapping())
    command = vault_command("import", str(file), "--mapping", str(mapping), "--controller", CONTROLLER, "--json")
    ran = subprocess.run(command, env=dict(made.environment), capture_output=True, timeout=IMPORT_S, check=False)
    result = json.loads(ran.stdout.splitlines()[-1]) if ran.returncode == 0 else {"error": ran.stderr[-2000:]}
    assert result.get("accepted") == subjects, result
    with psycopg.connect(made.admin_url, autocommit=True) as connection:
        for workload in WORKLOADS:
            assignee = IDENTITIES[workload.role].caller_id
            about = {"role": workload.role, "topic": workload.topic, "assignee": assignee, "controller": CONTROLLER}
            connection.execute(_TICKETS, about)
        connection.execute("VACUUM ANALYZE")
        rows = connection.execute(_ROWS, (CONTROLLER,)).fetchall()
    return Seeded(tuple(rows), {workload.name: _requests(made, workload, rows) for workload in WORKLOADS})


def hello_requests(made: World) -> Path:
    """Return the file of the reference's one request."""
    path = made.home / "hello.requests"
    write_requests(path, [b"GET /hello HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"])
    return path


def slow_commit(made: World, *, on: bool) -> None:
    """Make each commit wait 2 ms, as on a disk with a network behind it; or as it was."""
    with psycopg.connect(made.admin_url, autocommit=True) as connection:
        for name, slow in (("commit_delay", 2000), ("commit_siblings", 0)):
            value = sql.Literal(slow) if on else sql.SQL("DEFAULT")
            connection.execute(sql.SQL("ALTER SYSTEM SET {} = {}").format(sql.Identifier(name), value))
        connection.execute("SELECT pg_reload_conf()")


def _requests(made: World, workload: Workload, rows: Sequence[tuple[int, str]]) -> Path:
    signed = tokens(made, workload)
    path = made.home / f"{workload.name}.requests"
    write_requests(path, [people.request(workload, subject_id, row, signed[row % len(signed)]) for row, subject_id in rows])
    return path


def _require_durable(address: str) -> None:
    """Raise AssertionError on a server that forgets: its figures would be about another thing."""
    with psycopg.connect(address, autocommit=True) as connection:
        for name in ("fsync", "synchronous_commit", "full_page_writes"):
            row: Any = connection.execute(sql.SQL("SHOW {}").format(sql.Identifier(name))).fetchone()
            assert row[0] == "on", name
