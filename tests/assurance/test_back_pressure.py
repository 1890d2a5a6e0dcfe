"""When nothing gives entries their positions, readiness warns first, showing stops at the stated limit, and resumes by itself.

The sequencer is kept from its work by a session that holds the log's head, as one that hangs would. The limits are constants that
no setting changes; the small tests make them smaller in the module, the drill waits for them as they are.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from fastapi.testclient import TestClient

from api.main import create_app
from tests.assurance.alone import alone
from tests.assurance.desk import Desk, Keys, register_identities
from tests.makers import EVERYTHING, make_subject
from vault.audit import health
from vault.audit.trail import LOOK_S
from vault.connectors.demo_issuer import DemoIssuer
from vault.opening import Addresses, assembled, open_keyring
from vault.settings import Settings

CONTROLLER = "pressed"
SLACK_S = 5.0  # two busy cores: a look is due each second and may come late, never early


@dataclass(frozen=True, slots=True)
class Seen:
    """What was found at one moment: how many entries waited and for how long before the read, its status, what `/readyz` said."""

    waiting: int
    oldest_s: float
    status: int
    ready: int
    warnings: tuple[str, ...]
    code: str


@dataclass(frozen=True, slots=True)
class Pressed:
    """A vault of its own with one person who is read over and over."""

    desk: Desk
    url: str
    subject_id: str
    ticket: str

    def look(self) -> Seen:
        """Count what waits, ask for readiness, and read."""
        with psycopg.connect(self.url) as connection:
            found: Any = connection.execute("SELECT count(*), min(at) FROM vault.audit_pending").fetchone()
        waiting, oldest = found
        ready = self.desk.client.get("/readyz")
        lines = {one["name"]: one for one in ready.json()["checks"]}
        oldest_s = time.time() - oldest / 1000 if oldest else 0.0  # as long as it had waited when it was read, at least
        answer = self.desk.profile("t2", self.subject_id, "email", ticket=self.ticket)
        line = lines[f"audit_trail of {CONTROLLER}"]
        code = answer.json().get("type", "").rpartition("/")[2]
        return Seen(waiting, oldest_s, answer.status_code, ready.status_code, tuple(line["warnings"]), code)

    @contextmanager
    def stuck(self) -> Iterator[None]:
        """Keep every sequencer from this log until the block ends."""
        with psycopg.connect(self.url) as connection:
            connection.execute("SELECT FROM vault.audit_head FOR UPDATE")
            yield

    def timeline(self, apart_s: float, within_s: float) -> list[Seen]:
        """Look again and again until reading is refused."""
        seen, until = [self.look()], time.monotonic() + within_s
        while seen[-1].status == 200:
            assert time.monotonic() < until, seen[-1]
            time.sleep(apart_s)
            seen.append(self.look())
        return seen


@pytest.fixture(scope="module")
def pressed() -> Iterator[Pressed]:
    with alone() as own:
        settings = Settings(
            home=own.home, token_issuer="https://issuer.example", jwks_url="http://127.0.0.1:1/jwks", unbound_systems=True
        )
        issuer = DemoIssuer("https://issuer.example", "http://127.0.0.1:1/jwks", "riserbo", ec.generate_private_key(ec.SECP256R1()))
        with assembled(settings, Addresses(own.url, None), open_keyring(settings)) as opened:
            opened.add_controller(CONTROLLER)
            register_identities(opened.vault, CONTROLLER)
            app = create_app(opened.vault, opened.health, keys=Keys(tuple(issuer.key_set()["keys"])))
            with TestClient(app, raise_server_exceptions=False) as client:
                desk = Desk(client, issuer, opened, CONTROLLER)
                person = make_subject(opened.vault, CONTROLLER, {name: EVERYTHING[name] for name in ("given_name", "email")})
                pressed = Pressed(desk, own.url, person.subject_id, desk.ticket(person.subject_id, "t2"))
                opened.trail.settle(CONTROLLER)
                yield pressed


def expect_warned_then_closed(seen: list[Seen], limit: str, passed: Callable[[Seen, float], bool]) -> None:
    """Expect that half the limit warned, that only beyond it reading stopped, and that both were said."""
    *before, refused = seen
    assert {one.status for one in before} == {200}
    assert passed(refused, 1.0), refused
    assert (refused.status, refused.code) == (503, "audit-unavailable")
    assert any(limit in one.warnings and one.ready == 200 for one in before), "no warning while reading went on"
    for one in seen:
        assert limit not in one.warnings or passed(one, 0.5), one
    assert {one.ready for one in before} <= {200, 503}


def expect_resumed(pressed: Pressed, within_s: float = 30.0) -> None:
    """Expect that, left alone, the vault is ready again and reads."""
    until = time.monotonic() + within_s
    while pressed.desk.client.get("/readyz").status_code != 200:
        assert time.monotonic() < until
        time.sleep(0.2)
    found = pressed.look()
    assert (found.status, found.ready, found.warnings) == (200, 200, ())


def run(pressed: Pressed, limit: str, passed: Callable[[Seen, float], bool], apart_s: float, within_s: float) -> None:
    expect_resumed(pressed)
    with pressed.stuck():
        seen = pressed.timeline(apart_s, within_s)
        expect_warned_then_closed(seen, limit, passed)
        waiting = pressed.look()
        assert (waiting.status, waiting.ready) == (503, 503)
        assert pressed.look().waiting == waiting.waiting, "what was refused was recorded"
    expect_resumed(pressed)


def too_many(most: int) -> Callable[[Seen, float], bool]:
    return lambda seen, part: seen.waiting > most * part


def too_old(longest_s: float) -> Callable[[Seen, float], bool]:
    return lambda seen, part: seen.oldest_s > longest_s * part


def test_too_many_entries_that_wait(pressed: Pressed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "MOST_PENDING", 60)
    run(pressed, "pending-count", too_many(60), 0.05, 60.0)


def test_an_entry_that_waits_too_long(pressed: Pressed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "OLDEST_PENDING_S", 4.0)
    run(pressed, "oldest-pending", too_old(4.0), 0.2, 4.0 + LOOK_S + SLACK_S)


@pytest.mark.drill
def test_an_entry_that_waits_for_a_minute(pressed: Pressed) -> None:
    run(pressed, "oldest-pending", too_old(health.OLDEST_PENDING_S), 0.5, health.OLDEST_PENDING_S + LOOK_S + SLACK_S)
