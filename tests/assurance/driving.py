"""Canaries driven through a vault that serves: every route as every role, and whatever a careless caller may send instead."""

import json
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Thread
from typing import Any

import httpx2
import psycopg

from tests.assurance.canaries import CHANGED, FIELDS, HEALTH, SOUGHT, STRAYS, UNSHARED
from tests.makers import TOPICS, evidence
from vault.connectors.demo_issuer import HELPDESK, IDENTITIES, DemoIssuer
from vault.opening import new_id, now

RETAIL = {**FIELDS, "gender": "female", "preferred_language": "it", "marketing_choice": "opted-in"}
PATIENT = {**RETAIL, **HEALTH, "customer_number": "ZQ-7731905-K"}
NOBODY = "sub_" + "z" * 26


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer as it came: `asked` is method and path, without what they were asked with."""

    asked: str
    status: int
    headers: bytes = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(slots=True)
class Outside:
    """Everybody of the demo, calling over the wire. Every answer is kept."""

    http: httpx2.Client
    issuer: DemoIssuer
    controller_id: str
    answers: list[Answer] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)

    def token(self, role: str, subject_id: str | None = None, **claims: Any) -> str:
        """Return the role's token; `claims` are said beside its own, or instead."""
        token = self.issuer.sign(role, self.controller_id, now(), new_id("jti"), subject_id)
        if claims:
            header, payload = (json.loads(_decoded(part)) for part in token.split(".")[:2])
            token = self.issuer._signed(header, payload | claims)
        self.tokens.append(token)
        return token

    def headers(self, role: str, subject_id: str | None = None, **stated: str | None) -> dict[str, str]:
        """Return the headers of the role's own work. What is `stated` is added or put in their place; None leaves one out."""
        identity = IDENTITIES[role]
        said: dict[str, str | None] = {
            "Authorization": f"Bearer {self.token(role, subject_id)}", "Vault-Purpose": identity.purpose,
            "Vault-Channel": identity.channel, **{name.replace("_", "-"): value for name, value in stated.items()},
        }  # fmt: skip
        return {name: value for name, value in said.items() if value is not None}

    def send(self, expected: int, method: str, path: str, headers: Mapping[str, str], **sent: Any) -> httpx2.Response:
        """Send a request and keep its answer, which must have the expected status."""
        answer = self.http.request(method, path, headers=dict(headers), **sent)
        raw = b"\r\n".join(name + b": " + value for name, value in answer.headers.raw)
        self.answers.append(Answer(f"{method} {path.partition('?')[0]}", answer.status_code, raw, answer.content))
        assert answer.status_code == expected, (method, expected, answer.status_code, [*answer.json()])
        return answer

    def call(
        self, expected: int, method: str, path: str, role: str, body: Any = None, subject_id: str | None = None,
        **stated: str | None,
    ) -> Any:  # fmt: skip
        """Call as a role with a JSON body, and return the answer's."""
        return self.send(expected, method, path, self.headers(role, subject_id, **stated), json=body).json()


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody enrolled, with the tickets about them by role."""

    subject_id: str
    agreement_id: str
    tickets: Mapping[str, str]
    values: Mapping[str, Any] = field(repr=False)

    @property
    def path(self) -> str:
        """Where they are."""
        return f"/v1/subjects/{self.subject_id}"


def _decoded(part: str) -> bytes:
    from base64 import urlsafe_b64decode

    return urlsafe_b64decode(part + "=" * (-len(part) % 4))


def agreed(template: str, **said: Any) -> dict[str, Any]:
    """Return the body of an agreement made on the phone, its evidence a canary."""
    return {"template": template, "language": "it", "evidence": evidence(template, call_id=STRAYS["evidence"], **said)}


def enrol(outside: Outside, template: str, values: Mapping[str, Any], **stated: str) -> Person:
    """Enrol somebody, and let the helpdesk tell of a ticket for each role that needs one."""
    body = {"fields": values, "agreements": [agreed(template, channel="phone")]}
    made = outside.call(201, "POST", "/v1/subjects", "system", body, **stated)
    tickets = {}
    for role in ("t1", "t2", "billing", "medical", "dsr-officer"):
        tickets[role] = f"TCK-{role}-{made['subject_id'][-6:]}"
        facts = {
            "subject_id": made["subject_id"], "state": "open", "assignee": IDENTITIES[role].caller_id, "team": IDENTITIES[role].team,
            "topic": TOPICS.get(role),
        }  # fmt: skip
        outside.call(200, "PUT", f"/v1/tickets/{tickets[role]}", "system", facts)
    return Person(made["subject_id"], made["agreements"][0], tickets, values)


def enrol_everybody(outside: Outside) -> tuple[Person, Person]:
    """Enrol two people, one of them twice by one key; then refuse others, for every reason there is."""
    named = {"Idempotency_Key": STRAYS["key"].replace(" ", "-")}
    first = enrol(outside, "retail", RETAIL, **named)
    again = {"fields": RETAIL, "agreements": [agreed("retail", channel="phone")]}
    outside.call(422, "POST", "/v1/subjects", "system", again, **named)  # another body under the same key: its evidence differs
    outside.call(409, "POST", "/v1/subjects", "system", again)
    patient = enrol(outside, "health-insurance", PATIENT)
    everything = {**PATIENT, **UNSHARED, "customer_number": "ZQ-7731906-K"}
    outside.call(422, "POST", "/v1/subjects", "system", {"fields": everything, "agreements": [agreed("retail", channel="phone")]})
    bad = {"iban": "bad iban", "tax_code": "bad tax code", "email": "bad mail", "mobile": "bad phone", "date_of_birth": "bad date",
           "given_name": "card number", "gender": "wrong type", "balance": "wrong type"}  # fmt: skip
    unfit = {name: STRAYS[stray] for name, stray in bad.items()}
    outside.call(422, "POST", "/v1/subjects", "system", {"fields": unfit, "agreements": [agreed("retail", channel="phone")]})
    unproven = agreed("marketing", channel=STRAYS["wrong type"])
    outside.call(422, "POST", "/v1/subjects", "system", {"fields": FIELDS, "agreements": [unproven]})
    outside.call(422, "POST", "/v1/subjects", "system", {"fields": FIELDS, "agreements": [agreed("retail") | {"template": "canarino"}]})
    outside.call(403, "POST", "/v1/subjects", "t1", {"fields": FIELDS, "agreements": [agreed("retail")]}, Vault_Ticket="TCK-0")
    return first, patient


def read_as_everybody(outside: Outside, people: tuple[Person, ...]) -> None:
    """Read each person as each role, all fields and the default set, with and without a right to."""
    every = ",".join([*FIELDS, *HEALTH, *UNSHARED, "gender", "credit_score", "identity_scan"])
    for person in people:
        for role in IDENTITIES:
            officer, subject_id = role in ("dpo", "operator"), person.subject_id if role == "customer" else None
            ticket = person.tickets.get(role, "TCK-0" if officer else None)
            for path in (f"{person.path}/profile", f"{person.path}/profile?fields={every}"):
                outside.call(404 if officer else 200, "GET", path, role, subject_id=subject_id, Vault_Ticket=ticket)
        outside.call(404, "GET", f"{person.path}/profile", "customer", subject_id=NOBODY)
    outside.call(404, "GET", f"/v1/subjects/{NOBODY}/profile", "t1", Vault_Ticket="TCK-0")


def search(outside: Outside, person: Person) -> None:
    """Look up what is there, what is not, and what is no value at all, until the budget is spent."""
    ticket = person.tickets["t2"]
    found = [*((name, FIELDS[name]) for name in ("email", "mobile", "customer_number")), *SOUGHT.items()]
    for by, value in found:
        asked = {"by": by, "value": value}
        outside.send(200 if by != "iban" else 403, "POST", "/v1/subjects:search", outside.headers("t2", Vault_Ticket=ticket), json=asked)
    outside.call(200, "POST", "/v1/subjects:search", "billing", {"by": "iban", "value": FIELDS["iban"]}, Vault_Ticket=ticket)
    for by, value in (("email", STRAYS["bad mail"]), ("membro_canarino", STRAYS["wrong type"]), ("given_name", FIELDS["given_name"])):
        outside.call(422, "POST", "/v1/subjects:search", "t2", {"by": by, "value": value}, Vault_Ticket=ticket)
    for _ in range(2):
        last = {"by": "tax_code", "value": FIELDS["tax_code"]}
        outside.send(200 if _ == 0 else 429, "POST", "/v1/subjects:search", outside.headers("t2", Vault_Ticket=ticket), json=last)
