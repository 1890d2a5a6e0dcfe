"""How long a verification takes tells nothing of the answer, nor a refusal of whether the person is here.

What is answered is measured at the operation, in this process on a real database: what the network would add is noise, and noise
hides. A refusal is measured at the application's edge, which lets it go at the stroke of a clock. `DRILL_SAMPLES` and
`DRILL_MINUTES` bound each: a t is worth the samples it rests on, so their number is printed beside it.
"""

import gc
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from fastapi.testclient import TestClient

from api.main import create_app
from tests.assurance.desk import Desk as Counter
from tests.assurance.desk import Keys, register_identities
from tests.drills.timing import TOLD_APART, interleaved, side_by_side, told_apart
from tests.makers import EVERYTHING, make_context, make_subject, make_ticket, register
from tests.policy.makers import seeded
from tests.recipients.certificates import certificate, signature
from vault.assembly import Vault
from vault.connectors.demo_issuer import DemoIssuer
from vault.opening import Opened
from vault.operations.register_recipient import register_recipient
from vault.operations.verify import verify
from vault.policy.limits import Rate
from vault.policy.model import Context
from vault.recipients.opendsr import request_id
from vault.recipients.register import Entry

pytestmark = pytest.mark.drill

SAMPLES = int(os.environ.get("DRILL_SAMPLES", "100000"))
MINUTES = float(os.environ.get("DRILL_MINUTES", "15"))
CALLERS = 4
GROUND = {name: EVERYTHING[name] for name in ("given_name", "family_name", "email", "customer_number", "verification_phrase")}
NUMBERS = {"mobile": "+393331234567", "phone": "+390212345678"}
NEVER = (Rate(10**9, 86_400),)


@dataclass(frozen=True)
class Desk:
    """Two people with one telephone each, of the other sort, and an agent with a ticket about each."""

    vault: Vault
    agent: Context
    people: Mapping[str, str]  # the field that is there -> subject
    tickets: Mapping[str, str]

    def check(self, has: str, field: str, value: str) -> bool:
        return verify(self.vault, replace(self.agent, ticket_id=self.tickets[has]), self.people[has], field, value).match


@pytest.fixture
def desk(vault: Vault, controller_id: str) -> Iterator[Desk]:
    """A desk without caps: past one nothing is compared, and there would be nothing to measure."""
    register(vault, controller_id, "t2")
    people, tickets = {}, {}
    for number, (field, value) in enumerate(NUMBERS.items()):
        values = {**GROUND, field: value, "customer_number": f"C000000{number}"}
        people[field] = make_subject(vault, controller_id, values).subject_id
        tickets[field] = make_ticket(vault, controller_id, people[field], "t2", f"TCK-{number}")
    limits = vault.policy.limits
    vault.policy.limits = replace(limits, misses_per_subject_and_field=NEVER, misses_per_subject=NEVER, misses_per_caller=NEVER)
    gc.collect()
    gc.freeze()
    gc.disable()
    yield Desk(vault, make_context(controller_id, "t2"), people, tickets)
    gc.enable()
    gc.unfreeze()
    vault.policy.limits = limits


Pairs = Mapping[tuple[str, str], float]


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Callable[[Mapping[str, list[int]], Pairs], None]:
    """Print each sort's count and median, and each pair's t, whatever comes of it."""

    def told(samples: Mapping[str, list[int]], pairs: Pairs) -> None:
        with capsys.disabled():
            print()
            for name, took in samples.items():
                print(f"  {name}: {len(took)} samples, median {sorted(took)[len(took) // 2] / 1e3:.1f} us")
            for (one, other), t in pairs.items():
                print(f"  |t| {one} / {other}: {t:.2f}")

    return told


def test_match_miss_and_absent_take_the_same_time(desk: Desk, tell: Any) -> None:
    """Each sort asks for either field of either person, so that only the answer differs."""
    draw = seeded(8)
    other = {"mobile": "phone", "phone": "mobile"}

    def check(field: Callable[[str], str], value: Callable[[str], str], *, matches: bool) -> Callable[[], None]:
        def act() -> None:
            has = draw.choice(("mobile", "phone"))
            assert desk.check(has, field(has), value(has)) is matches

        return act

    acts = {
        "match": check(lambda has: has, NUMBERS.__getitem__, matches=True),
        "miss": check(lambda has: has, lambda _: "+393339999999", matches=False),
        "absent": check(other.__getitem__, lambda _: "+393339999999", matches=False),
    }
    samples = interleaved(acts, SAMPLES, MINUTES, draw)
    pairs = told_apart(samples)
    tell(samples, pairs)
    assert max(pairs.values()) < TOLD_APART, pairs


@pytest.fixture
def outside(opened: Opened) -> Iterator[tuple[TestClient, DemoIssuer]]:
    """The application as it is served, and who signs its tokens."""
    settings = opened.vault.settings
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = DemoIssuer(str(settings.token_issuer), str(settings.jwks_url), settings.token_audience, key)
    with TestClient(create_app(opened.vault, keys=Keys(tuple(issuer.key_set()["keys"])))) as client:
        yield client, issuer


@pytest.mark.parametrize("what", ["verification", "reveal", "profile", "request", "export"])
def test_without_a_right_somebody_here_and_nobody_take_the_same_time(
    opened: Opened, controller_id: str, outside: tuple[TestClient, DemoIssuer], what: str, tell: Any
) -> None:
    """Refused alike: on a ticket nobody has heard of, about who is here, and about nobody."""
    client, issuer = outside
    register_identities(opened.vault, controller_id)
    house = Counter(client, issuer, opened, controller_id)
    here = make_subject(
        opened.vault, controller_id, {"given_name": "Giulia", "email": EVERYTHING["email"], **NUMBERS}, ("marketing",)
    ).subject_id
    headers = house.headers("t2", ticket="TCK-unheard")
    bodies: dict[str, tuple[str, str, dict[str, Any] | None]] = {
        "verification": ("POST", "/verifications", {"field": "mobile", "value": NUMBERS["mobile"]}),
        "reveal": ("POST", "/reveals", {"fields": ["mobile"], "reason": "CALLBACK"}),
        "profile": ("GET", "/profile?fields=mobile,email", None),
        "request": ("POST", "", {"kind": "erasure", "said": "sono io, cancellate tutto di me"}),
        "export": ("POST", "/exports", {}),
    }
    method, path, body = bodies[what]

    def refused(subject_id: str) -> Callable[[], None]:
        where = f"/v1/subjects/{subject_id}{path}" if path else "/v1/requests"
        sent = body if path else {**(body or {}), "subject_id": subject_id}

        def act() -> None:
            assert client.request(method, where, headers=headers, json=sent).status_code == 404

        return act

    acts = {"here": refused(here), "nobody": refused("sub_" + "z" * 26)}
    samples = side_by_side(acts, SAMPLES, MINUTES, seeded(9), CALLERS)  # a refusal waits for its stroke nearly all the time
    pairs = told_apart(samples)
    tell(samples, pairs)
    assert max(pairs.values()) < TOLD_APART, pairs


def test_who_sends_requests_does_not_tell_by_time_whom_they_name(
    opened: Opened, controller_id: str, outside: tuple[TestClient, DemoIssuer], tell: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By OpenDSR, for somebody and for nobody, each with a new id; to sign is in both."""
    monkeypatch.setattr("vault.operations.take_dsr_request._AN_HOUR", 10**9)
    entry = Entry(
        "desk-d", "helpdesk", "processor", "IT", contract="DPA 1", contract_from=opened.vault.now(), channel="opendsr",
        certificate=certificate(), endpoint="https://desk.example/v2",
    )  # fmt: skip
    register_recipient(opened.vault, controller_id, entry)
    make_subject(opened.vault, controller_id, {"email": "here@example.it"})
    ids = count()

    def asked(email: str) -> Callable[[], None]:
        one = {"identity_type": "email", "identity_value": email, "identity_format": "raw"}
        said = {"regulation": "gdpr", "subject_request_type": "access", "submitted_time": "2026-10-19T08:00:00Z"}

        def act() -> None:
            body = json.dumps({**said, "subject_request_id": request_id(str(next(ids))), "subject_identities": [one]}).encode()
            headers = {"X-OpenDSR-Processor-Domain": "desk.example", "X-OpenDSR-Signature": signature(body)}
            assert outside[0].post(f"/opendsr/{controller_id}/requests", content=body, headers=headers).status_code == 201

        return act

    acts = {"here": asked("here@example.it"), "nobody": asked("none@example.it")}
    samples = side_by_side(acts, SAMPLES, MINUTES, seeded(9), CALLERS)
    pairs = told_apart(samples)
    tell(samples, pairs)
    assert max(pairs.values()) < TOLD_APART, pairs
