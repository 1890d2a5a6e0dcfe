"""A bundle comes into force while two processes serve: within five seconds, no request fails, and no answer mixes the two."""

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from threading import Event, Thread

import httpx2
import psycopg
import pytest

from tests.assurance.alone import alone
from tests.assurance.desk import Desk as House
from tests.assurance.desk import register_identities
from tests.makers import terms
from tests.policy.deciders import KNOWN, digest_of, follows, renamed
from tests.policy.makers import bundle
from vault.connectors.demo_issuer import DemoIssuer, run_demo_issuer
from vault.opening import Addresses, Opened, assembled, open_keyring
from vault.operations.activate import activate, roll_back
from vault.operations.enroll import enroll
from vault.policy.files import read_files
from vault.settings import Settings, environment_with

CONTROLLER, TICKET = "reload", "TCK-1"
FIELDS = ("email", "mobile", "contact_hours")
VALUES = {"given_name": "Giulia", "email": "g@example.it", "mobile": "+39 333 1234567", "contact_hours": "dopo le 18"}
SHIPPED = bundle().digest
WITHIN_S = 5.0
PATIENCE_S = 90.0


@dataclass(slots=True)
class Seen:
    """One answer: when it was asked and had, its status, the bundle it names and the reasons it gives."""

    asked_at: float
    had_at: float
    status: int
    policy: str
    reasons: frozenset[str]


@dataclass(slots=True)
class Desk:
    """One agent before one process, asking all the time."""

    url: str
    headers: dict[str, str]
    subject_id: str
    seen: list[Seen] = field(default_factory=list)

    def ask(self, until: Event) -> None:
        with httpx2.Client(base_url=self.url, headers=self.headers, timeout=20) as client:
            while not until.is_set():
                at = time.monotonic()
                answer = client.get(f"/v1/subjects/{self.subject_id}/profile?fields={','.join(FIELDS)}")
                body = answer.json()
                reasons = frozenset(one["because"] for one in body.get("fields", {}).values())
                self.seen.append(Seen(at, time.monotonic(), answer.status_code, body.get("policy", body.get("type")), reasons))
                time.sleep(0.02)


@dataclass(slots=True)
class Served:
    """A vault opened here, and two processes that serve it."""

    opened: Opened
    issuer: DemoIssuer
    urls: list[str]
    environment: dict[str, str]
    subject_id: str

    def headers(self) -> dict[str, str]:
        vault = self.opened.vault
        token = self.issuer.sign("t1", CONTROLLER, vault.now(), vault.new_id("jti"), None)
        stated = {"Vault-Purpose": "customer-care", "Vault-Channel": "phone", "Vault-Ticket": TICKET}
        return {"Authorization": f"Bearer {token}", **stated}

    @contextmanager
    def asked(self) -> Iterator[list[Desk]]:
        """Let four agents ask until the block ends, two of each process."""
        ended, desks = Event(), [Desk(url, self.headers(), self.subject_id) for url in self.urls * 2]
        threads = [Thread(target=desk.ask, args=(ended,)) for desk in desks]
        for one in threads:
            one.start()
        try:
            yield desks
        finally:
            ended.set()
            for one in threads:
                one.join()


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with ExitStack() as closing:
        own = closing.enter_context(alone())
        issuer = closing.enter_context(run_demo_issuer(own.home / "issuer", "riserbo"))
        settings = Settings(home=own.home, token_issuer=issuer.issuer, jwks_url=issuer.jwks_url, unbound_systems=True)
        opened = closing.enter_context(assembled(settings, Addresses(own.url, None), open_keyring(settings)))
        opened.add_controller(CONTROLLER)
        vault = opened.vault
        register_identities(vault, CONTROLLER)
        desk = House(None, issuer, opened, CONTROLLER)  # type: ignore[arg-type]  # it calls nobody here
        made = enroll(vault, desk.context("system"), VALUES, (terms("retail"),))
        desk.ticket(made.subject_id, "t1", TICKET)
        environment = environment_with(settings.model_copy(update={"database_url": own.url}))
        urls = [closing.enter_context(serving(environment, own.home / f"serve-{number}.log")) for number in range(2)]
        yield Served(opened, issuer, urls, environment, made.subject_id)


@contextmanager
def serving(environment: dict[str, str], log: Path) -> Iterator[str]:
    """Serve in a process of its own; yield its address when it is ready."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with log.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "vault", "serve", "--port", str(port)], env=environment, stdout=out, stderr=subprocess.STDOUT
        )
    url, ends_at = f"http://127.0.0.1:{port}", time.monotonic() + PATIENCE_S
    try:
        while not ready(url):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < ends_at, log.read_text()
            time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=PATIENCE_S)


def readiness(url: str) -> int:
    """Return the status of /readyz. By the plainest client: others read every certificate there is each time they are made."""
    with closing(HTTPConnection(url.removeprefix("http://"), timeout=10)) as connection:
        connection.request("GET", "/readyz")
        return connection.getresponse().status


def ready(url: str) -> bool:
    with suppress(OSError, HTTPException):
        return readiness(url) == 200
    return False


def changed(served: Served, desks: list[Desk], bring: Callable[[], object], digest: str) -> float:
    """Bring a bundle into force and return after how long everybody was answered by it."""
    bring()
    begun = time.monotonic()
    while not all(desk.seen and desk.seen[-1].policy == digest for desk in desks):
        assert time.monotonic() < begun + PATIENCE_S, [desk.seen[-1] for desk in desks]
        time.sleep(0.02)
    return max(next(one.had_at for one in desk.seen if one.policy == digest) for desk in desks) - begun


def test_a_bundle_comes_into_force_under_load_and_goes_again(served: Served, tmp_path: Path) -> None:
    other, vault, settle = renamed(tmp_path), served.opened.vault, served.opened.trail.settle
    digest = digest_of(other)
    note, back = follows(CONTROLLER, digest, SHIPPED), follows(CONTROLLER, SHIPPED, digest, 3)
    with served.asked() as desks:
        time.sleep(2)
        there = changed(
            served, desks, lambda: activate(vault, CONTROLLER, note, read_files(other), KNOWN, settle, lambda _: ()), digest
        )
        again = [len(desk.seen) for desk in desks]
        time.sleep(1)
        first = [one for desk, until in zip(desks, again, strict=True) for one in desk.seen[:until]]
        for desk in desks:
            desk.seen.clear()
        here = changed(served, desks, lambda: roll_back(vault, CONTROLLER, back, KNOWN, settle), SHIPPED)
    seen = [*first, *(one for desk in desks for one in desk.seen)]
    assert [one for one in seen if one.status != 200] == []
    reasons = {SHIPPED: "support-t1-contact", digest: "support-t2-contact"}
    assert {one.policy for one in seen} == set(reasons)
    for one in seen:
        assert reasons[one.policy] in one.reasons
        assert not one.reasons & (set(reasons.values()) - {reasons[one.policy]})
    print(f"{len(seen)} answers; everybody after {there:.2f} s, and back after {here:.2f} s")
    assert max(there, here) <= WITHIN_S


def owner(served: Served, statement: str) -> None:
    with psycopg.connect(served.opened.addresses.url, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(statement.encode())


def test_an_edited_table_stops_those_who_serve_and_those_who_would(served: Served) -> None:
    place = f"WHERE controller_id = '{CONTROLLER}' AND sequence = (SELECT max(sequence) FROM vault.policy_activation)"
    with served.asked() as desks:
        owner(served, f"UPDATE vault.policy_activation SET previous = coalesce(previous, '') || 'x' {place}")
        begun = time.monotonic()
        while not all(desk.seen and desk.seen[-1].status == 503 for desk in desks):
            assert time.monotonic() < begun + WITHIN_S
            time.sleep(0.02)
        assert {desk.seen[-1].policy.rpartition("/")[2] for desk in desks} == {"policy-table-differs"}
        assert [readiness(url) for url in served.urls] == [503, 503]
        words = [sys.executable, "-m", "vault", "serve", "--port", "0"]
        refused = subprocess.run(words, env=served.environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        assert refused.returncode == 1
        assert f"{CONTROLLER}: policy-table-differs" in refused.stderr
    owner(served, f"UPDATE vault.policy_activation SET previous = nullif(left(previous, -1), '') {place}")
    begun = time.monotonic()
    while not all(ready(url) for url in served.urls):
        assert time.monotonic() < begun + PATIENCE_S
        time.sleep(0.1)
