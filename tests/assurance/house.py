"""A vault with all that runs around it, as processes: database, server, worker, commands; and the callers outside."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import psycopg

from tests.assurance.alone import Alone, alone
from tests.assurance.canaries import Canary
from tests.assurance.desk import register_identities
from tests.assurance.driving import Outside
from tests.publishers import describe
from vault.connectors.demo_issuer import DemoIssuer, run_demo_issuer
from vault.jobs import job_app
from vault.keys.controller_keys import PURPOSES
from vault.opening import Addresses, Opened, assembled, open_keyring
from vault.operations.callers import Registration, register_caller
from vault.settings import Settings, environment_with

CONTROLLER = "canaries"
PATIENCE_S = 60.0


@dataclass(slots=True)
class House:
    """Everything under one home. `secrets` are canaries too; `watched` are the processes whose open files are searched."""

    alone: Alone
    outside: Outside
    port: int
    environment: Mapping[str, str]
    secrets: list[Canary]
    watched: list[int] = field(default_factory=list)

    @property
    def home(self) -> Path:
        """The directory all of it lives in."""
        return self.alone.home

    @property
    def data(self) -> Path:
        """The database's own directory."""
        return self.home / "data"

    @contextmanager
    def running(self, name: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run a command of the operator's until the block ends; what it prints is kept in a file of its name."""
        line = [sys.executable, "-m", "vault", *arguments]
        with (self.home / "out" / f"{name}.log").open("ab") as out:
            process = subprocess.Popen(line, env=self.environment, stdout=out, stderr=subprocess.STDOUT)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(timeout=PATIENCE_S)

    def await_ready(self) -> None:
        """Wait until the server says it is ready."""
        until(lambda: self.outside.http.get("/readyz").status_code == 200)

    def postmaster(self) -> int:
        """Return the process id of the database server."""
        return int((self.data / "postmaster.pid").read_text().split()[0])

    def kill(self, pid: int) -> None:
        """Kill a process of the database, with nothing left to it to tidy up."""
        assert f"PPid:\t{self.postmaster()}" in Path(f"/proc/{pid}/status").read_text() or pid == self.postmaster()
        os.kill(pid, signal.SIGKILL)


def until(holds: Callable[[], bool]) -> None:
    """Wait until it holds. Who cannot be reached says no."""
    ends_at = time.monotonic() + PATIENCE_S
    while True:
        with suppress(httpx2.TransportError, psycopg.OperationalError):
            if holds():
                return
        assert time.monotonic() < ends_at
        time.sleep(0.05)


@contextmanager
def keeping_house() -> Iterator[House]:
    """Start everything, and end it with the block."""
    with ExitStack() as closing:
        own = closing.enter_context(alone())
        for name in ("tmp", "out", "inbox"):
            (own.home / name).mkdir()
        issuer = closing.enter_context(run_demo_issuer(own.home / "issuer", "riserbo"))
        settings = Settings(home=own.home, token_issuer=issuer.issuer, jwks_url=issuer.jwks_url, unbound_systems=True)
        secrets = settled(settings, own, issuer)
        served = settings.model_copy(update={"database_url": own.url})
        environment = {**environment_with(served), "TMPDIR": str(own.home / "tmp"), "PYTHONUNBUFFERED": "1"}
        port = free_port()
        http = closing.enter_context(httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=20))
        house = House(own, Outside(http, issuer, CONTROLLER), port, environment, secrets)
        served_by = closing.enter_context(house.running("serve", "serve", "--port", str(port)))
        worked_by = closing.enter_context(house.running("worker", "worker"))
        house.await_ready()
        house.watched = [served_by.pid, worked_by.pid, house.postmaster()]
        yield house


def settled(settings: Settings, own: Alone, issuer: DemoIssuer) -> list[Canary]:
    """Make keyring, controller and register, leave a job to the worker, and return the keys nobody may meet."""
    del issuer
    with assembled(settings, Addresses(own.url, None), open_keyring(settings)) as opened:
        opened.add_controller(CONTROLLER)
        register_identities(opened.vault, CONTROLLER)
        register_caller(opened.vault, CONTROLLER, Registration("demo-dpo-2", ("dpo",), recipient="controller"))
        describe(settings, CONTROLLER)
        app = job_app(opened.vault, own.url, opened.scrub, opened.tend_keys)
        with app.open():
            app.tasks["expire_agreements"].defer(timestamp=0)
        return list(_keys(opened, settings))


def _keys(opened: Opened, settings: Settings) -> Iterator[Canary]:
    keys = opened.vault.keys
    yield Canary.of("credential of the keyring", settings.credential.read_bytes())
    yield Canary.of("controller key", keys.current(CONTROLLER)[1])
    for purpose in PURPOSES:
        yield Canary.of(f"secret {purpose}", keys.secret(CONTROLLER, purpose).key)


def free_port() -> int:
    """Return a port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
