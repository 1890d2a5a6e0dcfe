"""Canaries driven through a vault that serves: every route as every role, and whatever a careless or hostile caller may send."""

import json
import socket
from base64 import b64encode, urlsafe_b64decode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import httpx2
import psycopg

from tests.assurance.canaries import CHANGED, FIELDS, HEALTH, SOUGHT, STRAYS, UNSHARED
from tests.makers import TOPICS, evidence
from tests.recipients.certificates import signature
from vault.connectors.demo_issuer import IDENTITIES, DemoIssuer
from vault.opening import new_id, now
from vault.recipients.inbound import target
from vault.recipients.opendsr import request_id

RETAIL = {**FIELDS, "gender": "female", "preferred_language": "it", "marketing_choice": "opted-in"}
PATIENT = {**RETAIL, **HEALTH, "customer_number": "ZQ-7731905-K"}
EVERY_FIELD = ",".join([*PATIENT, *UNSHARED, "credit_score", "medical_certificate", "identity_scan", "correspondence"])
NOBODY = "sub_" + "z" * 26


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer as it came. `asked` is the method and the path without its query."""

    asked: str
    status: int
    headers: bytes = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(slots=True)
class Outside:
    """Everybody of the demo, calling over the wire. Every token sent and every answer is kept."""

    http: httpx2.Client
    issuer: DemoIssuer
    controller_id: str
    answers: list[Answer] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    passphrases: list[str] = field(default_factory=list)  # of exports

    def token(self, role: str, person: str | None = None, header: Mapping[str, Any] | None = None, **claims: Any) -> str:
        """Return the role's token, with other members of its header and other claims where they are named."""
        token = self.issuer.sign(role, self.controller_id, now(), new_id("jti"), person)
        if header or claims:
            head, payload = (json.loads(urlsafe_b64decode(part + "==")) for part in token.split(".")[:2])
            token = self.issuer._signed({**head, **(header or {})}, {**payload, **claims})
        self.tokens.append(token)
        return token

    def headers(self, role: str, subject_id: str | None = None, **stated: str | None) -> dict[str, str]:
        """Return the headers of the role's own work; what is `stated` is added or put in their place, None leaves one out."""
        identity = IDENTITIES[role]
        said: dict[str, str | None] = {"Vault-Purpose": identity.purpose, "Vault-Channel": identity.channel}
        said |= {name.replace("_", "-"): value for name, value in stated.items()}
        if "Authorization" not in said:
            said["Authorization"] = f"Bearer {self.token(role, subject_id)}"
        return {name: value for name, value in said.items() if value is not None}

    def send(self, expected: int, method: str, path: str, headers: Any, **sent: Any) -> Any:
        """Send a request and keep its answer, which must have the expected status; return its document, or its bytes."""
        answer = self._sent(expected, method, path, headers, **sent)
        return answer.json() if "json" in answer.headers["Content-Type"] else answer.content

    def stream(self, expected: int, path: str, headers: Any, body: Any) -> bytes:
        """Post for an answer that is no single document, and return it."""
        return self._sent(expected, "POST", path, headers, json=body).content

    def _sent(self, expected: int, method: str, path: str, headers: Any, **sent: Any) -> httpx2.Response:
        answer = self.http.request(method, path, headers=headers, **sent)
        raw = b"\r\n".join(name + b": " + value for name, value in answer.headers.raw)
        self.answers.append(Answer(f"{method} {path.partition('?')[0]}", answer.status_code, raw, answer.content))
        assert answer.status_code == expected, (len(self.answers), method, expected, answer.status_code)
        return answer

    def call(
        self, expected: int, method: str, path: str, role: str, body: Any = None, subject_id: str | None = None,
        **stated: str | None,
    ) -> Any:  # fmt: skip
        """Call as a role with a JSON body, and return the answer's document."""
        return self.send(expected, method, path, self.headers(role, subject_id, **stated), json=body)


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody enrolled, with the tickets about them by role."""

    subject_id: str
    agreement_id: str
    tickets: Mapping[str, str]

    @property
    def path(self) -> str:
        """Where they are."""
        return f"/v1/subjects/{self.subject_id}"


def agreed(template: str, **said: Any) -> dict[str, Any]:
    """Return the body of an agreement made on the phone, its evidence a canary."""
    return {
        "template": template,
        "language": "it",
        "evidence": evidence(template, call_id=STRAYS["evidence"].replace(" ", "-"), **said),
    }


def enrol(outside: Outside, template: str, values: Mapping[str, Any]) -> Person:
    """Enrol somebody by a key that is used again, and let the helpdesk tell of a ticket for each role that needs one."""
    key = {"Idempotency_Key": f"{STRAYS['key']}-{template}"}
    body = {"fields": values, "agreements": [agreed(template, channel="phone")]}
    made = outside.call(201, "POST", "/v1/subjects", "system", body, **key)
    assert outside.call(201, "POST", "/v1/subjects", "system", body, **key) == made
    outside.call(422, "POST", "/v1/subjects", "system", {**body, "agreements": [*body["agreements"], agreed("retail")]}, **key)
    tickets = {}
    for role in ("t1", "t2", "billing", "medical"):
        who, tickets[role] = IDENTITIES[role], f"TCK-{role}-{made['subject_id'][-6:]}"
        about = {"subject_id": made["subject_id"], "state": "open", "assignee": who.caller_id, "team": who.team}
        outside.call(200, "PUT", f"/v1/tickets/{tickets[role]}", "system", {**about, "topic": TOPICS.get(role)})
        outside.call(422, "PUT", f"/v1/tickets/{tickets[role]}", "system", {**about, "topic": "request"})
    tickets["dsr-officer"] = accepted_request(outside, made["subject_id"])
    return Person(made["subject_id"], made["agreements"][0], tickets)


def accepted_request(outside: Outside, subject_id: str) -> str:
    """Let somebody ask for something, and the request officer accept it: from then on they may see what they hold."""
    asked = {"kind": "restriction", "said": STRAYS["justification"]}
    made = outside.call(201, "POST", "/v1/me/requests", "customer", asked, subject_id=subject_id)["request_id"]
    why = {"Vault_Purpose": "rights-fulfilment"}
    outside.call(200, "POST", f"/v1/requests/{made}:accept", "dsr-officer", {"said": STRAYS["justification"]}, **why)
    outside.call(200, "POST", f"/v1/requests/{made}:take", "dsr-officer", {}, **why)
    return str(made)


def refuse_enrolments(outside: Outside) -> None:
    """Enrol nobody: known already, not shared, no value, no proof, no such template, no right to."""
    path, terms = "/v1/subjects", [agreed("retail", channel="phone")]
    outside.call(409, "POST", path, "system", {"fields": RETAIL, "agreements": terms})
    outside.call(422, "POST", path, "system", {"fields": {**PATIENT, **UNSHARED}, "agreements": terms})
    bad = {
        "iban": "bad iban", "tax_code": "bad tax code", "email": "bad mail", "mobile": "bad phone", "date_of_birth": "bad date",
        "customer_number": "broken body", "given_name": "card number", "gender": "wrong type", "balance": "wrong type",
        "address": "wrong type", "credit_score": "wrong type",
    }  # fmt: skip
    outside.call(422, "POST", path, "system", {"fields": {name: STRAYS[stray] for name, stray in bad.items()}, "agreements": terms})
    outside.call(422, "POST", path, "system", {"fields": {STRAYS["unknown member"]: STRAYS["wrong type"]}, "agreements": terms})
    for terms in (
        [agreed("marketing")],
        [{**agreed("retail"), "template": "contratto-canarino"}],
        [{**agreed("retail"), "language": "xx"}],
    ):
        outside.call(422, "POST", path, "system", {"fields": FIELDS, "agreements": terms})
    outside.call(
        422, "POST", path, "system", {"fields": FIELDS, "agreements": [{**agreed("retail"), "excluded": ["membro_canarino"]}]}
    )
    outside.call(403, "POST", path, "t1", {"fields": FIELDS, "agreements": terms}, Vault_Ticket="TCK-0")


def read_as_everybody(outside: Outside, person: Person) -> None:
    """Read a person as each role: all fields and the default set."""
    for role in IDENTITIES:
        officer = role in ("dpo", "operator")
        stated = {"Vault_Ticket": person.tickets.get(role, "TCK-0" if officer else None)}
        for query in ("", f"?fields={EVERY_FIELD}"):
            subject_id = person.subject_id if role == "customer" else None
            path = f"{person.path}/profile{query}"
            outside.call(404 if officer else 200, "GET", path, role, subject_id=subject_id, **stated)
    outside.call(404, "GET", f"{person.path}/profile", "customer", subject_id=NOBODY)
    outside.call(404, "GET", f"/v1/subjects/{NOBODY}/profile", "t1", Vault_Ticket="TCK-0")


def look_up(outside: Outside, person: Person) -> None:
    """Look up who is there, who is not, and what is no value at all, until the budget is spent."""
    path, ticket = "/v1/subjects:search", {"Vault_Ticket": person.tickets["t2"]}
    sought = [("email", FIELDS["email"]), ("mobile", FIELDS["mobile"]), ("iban", FIELDS["iban"]), *SOUGHT.items()]
    for by, value in sought:
        found = outside.call(200, "POST", path, "t2", {"by": by, "value": value}, **ticket)["matches"]
        assert bool(found) == (value in FIELDS.values())
    unfit = [("email", "bad mail"), ("membro_canarino", "wrong type"), ("given_name", "wrong type"), ("mobile", "bad phone")]
    for by, stray in unfit:
        outside.call(422, "POST", path, "t2", {"by": by, "value": STRAYS[stray]}, **ticket)
    outside.call(429, "POST", path, "t2", {"by": "tax_code", "value": FIELDS["tax_code"]}, **ticket)
    outside.call(403, "POST", path, "dpo", {"by": "tax_code", "value": FIELDS["tax_code"]}, **ticket)


def look_closer(outside: Outside, person: Person) -> None:
    """Reveal rightly, wrongly, and until the budget is spent."""
    path, desk = f"{person.path}/reveals", {"Vault_Ticket": person.tickets["t2"]}
    wish = {"fields": ["given_name", "email"], "reason": "OTHER", "justification": STRAYS["justification"]}
    outside.call(200, "POST", path, "t2", wish, **desk)
    outside.call(404, "POST", path, "t2", wish, Vault_Ticket="TCK-0")
    outside.call(403, "POST", f"/v1/subjects/{NOBODY}/reveals", "t2", wish, **desk)
    outside.call(403, "POST", path, "t2", wish, Vault_Ticket=person.tickets["billing"])
    for unfit in (
        {"reason": STRAYS["wrong type"]}, {"justification": STRAYS["short words"]}, {"justification": STRAYS["justification"] * 60},
        {"fields": [STRAYS["query"]]}, {"fields": STRAYS["wrong type"]}, {STRAYS["unknown member"]: 1},
    ):  # fmt: skip
        outside.call(422, "POST", path, "t2", {**wish, **unfit}, **desk)
    outside.call(200, "POST", path, "t2", {**wish, "fields": ["family_name", "mobile", "iban"]}, **desk)
    outside.call(429, "POST", path, "t2", wish, **desk)
    verify_until_capped(outside, person)


def break_glass(outside: Outside, person: Person) -> None:
    """Open a grant, have it approved and reviewed; and fail to."""
    path, words = f"{person.path}/break-glass", STRAYS["justification"]
    plea = {"fields": ["passport"], "reason": "FRAUD_IN_PROGRESS", "justification": words}
    factor: dict[str, Any] = {"acr": "phr", "auth_time": int(now().timestamp())}
    stated: dict[str, str] = {"Vault_Ticket": person.tickets["billing"], "Vault_Purpose": "fraud-prevention"}

    def signed(caller_id: str, role: str) -> dict[str, str]:
        return {**stated, "Authorization": f"Bearer {outside.token('t2', sub=caller_id, roles=['t2', role], **factor)}"}

    lead, approver = signed("demo-lead", "break-glass-eligible"), signed("demo-approver", "break-glass-approver")
    officer = {**stated, "Authorization": f"Bearer {outside.token('dpo', **factor)}"}
    for unfit in ({"justification": STRAYS["short words"]}, {"fields": [STRAYS["query"]]}, {"reason": STRAYS["wrong type"]}):
        outside.call(422, "POST", path, "t2", {**plea, **unfit}, **lead)
    outside.call(403, "POST", path, "t2", plea, **stated)
    grant = f"/v1/break-glass/{outside.call(201, 'POST', path, 't2', plea, **lead)['grant_id']}"
    outside.call(404, "POST", f"{grant}:approve", "t2", {}, **lead)
    outside.call(200, "POST", f"{grant}:approve", "t2", {}, **approver)
    outside.call(409, "POST", f"{grant}:approve", "t2", {}, **approver)
    outside.call(200, "POST", f"{person.path}/reveals", "t2", {"fields": ["passport"], "reason": "LEGAL_DUTY"}, **lead)
    outside.call(422, "POST", f"{grant}:review", "dpo", {"verdict": "BREACH", "why_not": STRAYS["wrong type"] * 50}, **officer)
    outside.call(200, "POST", f"{grant}:review", "dpo", {"verdict": "BREACH", "tell_subject": False, "why_not": words}, **officer)
    outside.call(404, "POST", f"{grant}:review", "t2", {"verdict": "BREACH"}, **lead)


def verify_until_capped(outside: Outside, person: Person) -> None:
    """Check what somebody says: rightly, wrongly, what is no value, and until right and wrong answers are refused alike."""
    path, desk = f"{person.path}/verifications", {"Vault_Ticket": person.tickets["t2"]}
    right = {"field": "date_of_birth", "value": FIELDS["date_of_birth"]}
    assert outside.call(200, "POST", path, "t2", right, **desk) == {"match": True}
    phrase = {"field": "verification_phrase", "value": FIELDS["verification_phrase"]}
    assert outside.call(200, "POST", path, "t2", phrase, **desk) == {"match": True}
    for unfit in ({"value": STRAYS["bad date"]}, {"field": "tax_code"}, {"field": STRAYS["query"]}, {STRAYS["unknown member"]: 1}):
        outside.call(422, "POST", path, "t2", {**right, **unfit}, **desk)
    outside.call(404, "POST", path, "t2", right, Vault_Ticket="TCK-0")
    for _ in range(3):
        assert outside.call(200, "POST", path, "t2", {**right, "value": "1893-11-28"}, **desk) == {"match": False}
    outside.call(429, "POST", path, "t2", right, **desk)


def change(outside: Outside, person: Person, version: int) -> int:
    """Amend as the second tier and as billing, wrongly and rightly; return the version then."""
    path, desk = f"{person.path}/fields", {"Vault_Ticket": person.tickets["t2"]}
    by_desk = {name: CHANGED[name] for name in ("email", "mobile", "contact_hours", "support_note")}
    body = {"agreement_id": person.agreement_id, "fields": by_desk}
    outside.call(428, "PATCH", path, "t2", body, **desk)
    for stale in (f'"{STRAYS["if match"]}"', STRAYS["if match"], '"99"'):
        outside.call(412, "PATCH", path, "t2", body, If_Match=stale, **desk)
    at = {**desk, "If_Match": f'"{version}"'}
    outside.call(403, "PATCH", path, "t2", {**body, "fields": {"iban": CHANGED["iban"]}}, **at)
    for fields in (
        {"email": STRAYS["bad mail"]}, {STRAYS["unknown member"]: STRAYS["wrong type"]}, {"email": [STRAYS["wrong type"]]},
        {"address": {STRAYS["unknown member"]: STRAYS["wrong type"]}}, STRAYS["wrong type"],
    ):  # fmt: skip
        outside.call(422, "PATCH", path, "t2", {**body, "fields": fields}, **at)
    outside.call(422, "PATCH", path, "t2", {**body, "agreement_id": STRAYS["wrong type"]}, **at)
    outside.call(404, "PATCH", path, "t2", {**body, "agreement_id": "agr_" + "a" * 26}, **at)
    version = outside.call(200, "PATCH", path, "t2", body, **at)["version"]
    money = {**body, "fields": {"iban": CHANGED["iban"]}}
    stated = {"Vault_Ticket": person.tickets["billing"], "If_Match": f'"{version}"', "Idempotency_Key": f"{STRAYS['key']}-iban"}
    for _ in range(2):
        version = outside.call(200, "PATCH", path, "billing", money, **stated)["version"]
    return int(version)


def change_health(outside: Outside, person: Person) -> None:
    """Amend what only care may."""
    stated = {"Vault_Ticket": person.tickets["medical"], "If_Match": '"1"'}
    body = {"agreement_id": person.agreement_id, "fields": {"health_note": CHANGED["health_note"], "allergies": None}}
    outside.call(200, "PATCH", f"{person.path}/fields", "medical", body, **stated)


def ask_of_decisions(outside: Outside, person: Person) -> None:
    """Have decisions explained, simulated and evaluated, as everybody, rightly and wrongly."""
    ticket, stray = {"Vault_Ticket": person.tickets["t1"]}, STRAYS["wrong type"]
    decision_id = outside.call(200, "GET", f"{person.path}/profile?fields={EVERY_FIELD}", "t1", **ticket)["decision_id"]
    path = f"/v1/decisions/{decision_id}"
    for role in IDENTITIES:
        status = 200 if role in ("t1", "dpo", "customer") else 404
        subject_id = person.subject_id if role == "customer" else None
        outside.call(status, "GET", path, role, subject_id=subject_id, **({} if subject_id else ticket))
    outside.call(404, "GET", f"/v1/decisions/{STRAYS['path']}", "t1", **ticket)
    supposed = {"roles": ["t1"], "purpose": "customer-care", "channel": "phone", "agreements": [{"template": "retail@1"}]}
    path = "/v1/decisions:simulate"
    outside.call(200, "POST", path, "t1", supposed, **ticket)
    outside.call(200, "POST", path, "dpo", {**supposed, "agreements": [], "subject_id": person.subject_id})
    outside.call(404, "POST", path, "t1", {**supposed, "agreements": [], "subject_id": person.subject_id}, **ticket)
    outside.call(403, "POST", path, "system", supposed)
    for unfit in ({"purpose": "curiosita-canarina"}, {"roles": [stray]}, {"fields": [stray]}, {STRAYS["unknown member"]: stray}):
        outside.call(422, "POST", path, "t1", {**supposed, **unfit}, **ticket)
    question = {
        "subject": {"type": "agent", "id": IDENTITIES["t1"].caller_id},
        "action": {"name": "view"},
        "resource": {"type": "field", "id": f"{person.subject_id}/email"},
        "context": {"purpose": "customer-care", "channel": "phone", "ticket": person.tickets["t1"]},
    }
    path = "/access/v1/evaluation"
    outside.call(200, "POST", path, "t1", question)
    outside.call(403, "POST", path, "t1", {**question, "resource": {"type": "field", "id": f"{NOBODY}/email"}})
    outside.call(422, "POST", path, "t1", {**question, "resource": {"type": "field", "id": f"{person.subject_id}/membro_canarino"}})
    outside.call(422, "POST", path, "t1", {**question, "action": {"name": stray}})
    outside.call(400, "POST", path, "t1", {**question, "context": {"purpose": STRAYS["header"], "channel": "phone"}})
    several = {**question, "evaluations": [{}, {"action": {"name": "view_clear"}}, {"subject": {"type": "system", "id": "x"}}]}
    outside.call(200, "POST", f"{path}s", "t1", several)
    outside.call(422, "POST", f"{path}s", "t1", {"evaluations": [{}]})


def handle_a_breach(outside: Outside) -> None:
    """Open a breach, do all that is done about one, and ask whose data it touched; rightly, wrongly, and as others."""
    path, words, stray = "/v1/breaches", STRAYS["justification"], STRAYS["wrong type"]
    at, why = now().isoformat(), {"Vault_Purpose": "legal-compliance"}
    report = {"aware_at": at, "aware_because": words, "summary": words, "kinds": ["confidentiality"]}
    breach = f"{path}/{outside.call(201, 'POST', path, 'dpo', report, **why)['breach_id']}"
    outside.call(422, "POST", path, "dpo", {**report, "kinds": [stray]}, **why)
    outside.call(422, "POST", path, "dpo", {**report, "aware_at": "2026-02-30T00:00:00Z"}, **why)
    done: dict[str, Any] = {
        "assess": {"risk": "high", "consequences": words, "measures": words, "exposed_keys": ["contact"]},
        "notify": {"regime": "breach-gdpr", "notice": "initial", "sent_at": at, "said": words, "reference": "GAR-2026-1"},
        "tell-subjects": {"how": "individual", "at": at, "said": words, "count": 2},
        "close": {"reasons": words},
    }
    for verb, body in done.items():
        outside.call(422, "POST", f"{breach}:{verb}", "dpo", {**body, STRAYS["unknown member"]: stray}, **why)
        outside.call(200, "POST", f"{breach}:{verb}", "dpo", body, **why)
    outside.call(409, "POST", f"{breach}:close", "dpo", done["close"], **why)
    for where in (path, breach):
        outside.call(200, "GET", where, "dpo", **why)
        outside.call(403, "GET", where, "t1", Vault_Ticket="TCK-0", **why)
    query = f"caller={IDENTITIES['t1'].caller_id}"
    for form in ("json", "note", "csv"):
        outside.send(200, "GET", f"{breach}/affected?{query}&format={form}", outside.headers("dpo", **why))
    for unfit in (
        f"caller={STRAYS['query']} x",
        f"field={STRAYS['query']}",
        f"from={STRAYS['query']}",
        "from=2026-02-30T00:00:00Z",
        "",
    ):
        outside.call(400, "GET", f"{breach}/affected?{unfit}", "dpo", **why)
    asked = outside.call(202, "POST", f"{breach}/affected", "dpo", {"caller": IDENTITIES["t1"].caller_id}, **why)
    outside.call(422, "POST", f"{breach}/affected", "dpo", {"caller": stray}, **why)
    outside.call(200, "GET", f"{breach}/affected/{asked['list_id']}", "dpo", **why)
    outside.call(404, "GET", f"{breach}/affected/lst_{'a' * 26}", "dpo", **why)


def ask_for_rights(outside: Outside, person: Person, put_back: Callable[[str], None]) -> None:
    """Ask for oneself and for another, and move it through everything that may happen; rightly, wrongly, and as others."""
    words, stray, own = STRAYS["justification"], STRAYS["wrong type"], {"subject_id": person.subject_id}
    officer, asked = {"Vault_Purpose": "rights-fulfilment"}, {"kind": "access", "said": words}
    path = f"/v1/requests/{outside.call(201, 'POST', '/v1/me/requests', 'customer', asked, **own)['request_id']}"
    outside.call(422, "POST", "/v1/me/requests", "customer", {**asked, "kind": stray}, **own)
    outside.call(422, "POST", "/v1/me/requests", "customer", {**asked, STRAYS["unknown member"]: stray}, **own)
    heard = {**asked, "subject_id": person.subject_id}
    agent: dict[str, Any] = {"Vault_Ticket": person.tickets["t1"]}
    second = f"/v1/requests/{outside.call(201, 'POST', '/v1/requests', 't1', heard, **agent)['request_id']}"
    outside.call(404, "POST", "/v1/requests", "dsr-officer", {**heard, "subject_id": NOBODY}, **officer)
    for where in ("/v1/requests", "/v1/requests?every=true&skip=1", path, second):
        outside.call(200, "GET", where, "dsr-officer", **officer)
    outside.call(400, "GET", f"/v1/requests?skip={STRAYS['query']}", "dsr-officer", **officer)
    outside.call(200, "GET", "/v1/me/requests", "customer", **own)
    outside.call(403, "GET", "/v1/me/requests", "system")
    outside.call(404, "GET", f"/v1/requests/req_{'a' * 26}", "dpo", **officer)
    outside.call(200, "GET", path, "customer", **own)
    outside.call(200, "GET", second, "t1", **agent)
    outside.call(409, "POST", f"{path}:refuse", "dsr-officer", {"code": "excessive", "said": words}, **officer)
    outside.call(422, "POST", f"{path}:refuse", "dpo", {"code": stray, "said": words}, **officer)
    outside.call(200, "POST", f"{path}:ask", "dsr-officer", {"waiting": "clarification", "said": words}, **officer)
    outside.call(200, "POST", f"{path}:answer", "customer", {"said": words}, **own)
    outside.call(200, "POST", f"{path}:extend", "dsr-officer", {"by_months": 1, "because": "complexity", "said": words}, **officer)
    outside.call(200, "POST", f"{path}:refuse", "dpo", {"code": "excessive", "said": words}, **officer)
    outside.call(200, "POST", f"{path}:reopen", "dpo", {"ordered_by": words, "said": words}, **officer)
    outside.call(200, "POST", f"{path}:fulfil", "dsr-officer", {"outcome": "nothing-held", "said": words}, **officer)
    outside.call(422, "POST", f"{second}:send-code", "t1", {"through": stray}, **agent)
    outside.call(202, "POST", f"{second}:send-code", "t1", {"through": "email"}, **agent)
    outside.call(422, "POST", f"{second}:answer-code", "t1", {"code": stray}, **agent)
    outside.call(200, "POST", f"{second}:answer-code", "t1", {"code": "123456"}, **agent)
    outside.call(200, "POST", f"{second}:verify", "dsr-officer", {"level": 3, "method": "in-branch", "said": words}, **officer)
    outside.call(200, "POST", f"{second}:accept", "dsr-officer", {"said": words}, **officer)
    outside.call(200, "POST", f"{second}:withdraw", "customer", {}, **own)
    third, fourth = (
        f"/v1/requests/{outside.call(201, 'POST', '/v1/requests', 't1', heard, **agent)['request_id']}" for _ in range(2)
    )
    repeats = {"same_as": third.rpartition("/")[2], "said": words}
    outside.call(200, "POST", f"{fourth}:duplicate", "dsr-officer", repeats, **officer)
    outside.call(200, "POST", f"{third}:ask", "dsr-officer", {"waiting": "identity", "said": words}, **officer)
    outside.call(409, "POST", f"{third}:unidentify", "dsr-officer", {"said": words}, **officer)
    put_back(repeats["same_as"])
    outside.call(200, "POST", f"{third}:unidentify", "dsr-officer", {"said": words}, **officer)
    for verb in ("verify", "ask", "answer", "extend", "accept", "fulfil", "withdraw", "duplicate", "unidentify", "reopen", "take"):
        outside.call(422, "POST", f"{third}:{verb}", "dsr-officer", {STRAYS["unknown member"]: stray}, **officer)


def look_at_a_plan(outside: Outside, person: Person) -> None:
    """Ask for erasure, look at what it would come to, and take it back; rightly, wrongly, and as others."""
    own, why = {"subject_id": person.subject_id}, {"Vault_Purpose": "rights-fulfilment"}
    made = {
        kind: outside.call(201, "POST", "/v1/me/requests", "customer", {"kind": kind}, **own)["request_id"]
        for kind in ("erasure", "dispute")
    }
    path = f"/v1/requests/{made['erasure']}"
    outside.call(200, "GET", f"{path}/plan", "dpo", **why)
    outside.call(409, "GET", f"/v1/requests/{made['dispute']}/plan", "dpo", **why)
    outside.call(404, "GET", f"/v1/requests/req_{'a' * 26}/plan", "dpo", **why)
    outside.call(403, "GET", f"{path}/plan", "t1", Vault_Ticket=person.tickets["t1"])
    outside.call(403, "GET", f"{path}/plan", "customer", **own)
    for one in made.values():
        outside.call(200, "POST", f"/v1/requests/{one}:withdraw", "customer", {}, **own)


def correct(outside: Outside, person: Person) -> None:
    """Propose what is right, tell where somebody is reached, look at it, carry it out; rightly, wrongly, and as others."""
    stray, own, why = STRAYS["short words"], {"subject_id": person.subject_id}, {"Vault_Purpose": "rights-fulfilment"}
    asked = {"kind": "rectification", "fields": ["contact_hours"]}
    path = f"/v1/requests/{outside.call(201, 'POST', '/v1/me/requests', 'customer', asked, **own)['request_id']}"
    outside.call(409, "GET", f"{path}/proposal", "dsr-officer", **why)
    wish = {"fields": {"contact_hours": stray}}
    outside.call(403, "POST", f"{path}:propose", "t1", wish, Vault_Ticket=person.tickets["t1"])
    for wrong in ({"fields": {"iban": STRAYS["bad iban"]}}, {**wish, "evidence": stray}, {"fields": {STRAYS["wrong type"]: stray}}):
        outside.call(422, "POST", f"{path}:propose", "customer", wrong, **own)
    made = outside.call(201, "POST", f"{path}:propose", "customer", wish, **own)
    outside.call(200, "GET", f"{path}/proposal", "customer", **own)
    outside.call(404, "GET", f"/v1/requests/req_{'a' * 26}/proposal", "dpo", **why)
    outside.call(422, "POST", f"{path}:tell-contact", "system", {"through": stray}, **why)
    outside.call(403, "POST", f"{path}:tell-contact", "customer", {"through": "email"}, **own)
    outside.call(200, "POST", f"{path}:tell-contact", "system", {"through": "email"}, **why)
    words = {"said": STRAYS["justification"]}
    outside.call(409, "POST", f"{path}:accept", "dsr-officer", {**words, "plan": "0" * 64}, **why)
    outside.call(200, "POST", f"{path}:accept", "dsr-officer", {**words, "plan": made["digest"]}, **why)
    outside.call(200, "GET", f"{path}/proposal", "dsr-officer", **why)
    outside.call(200, "POST", f"{path}:fulfil", "dsr-officer", {**words, "outcome": "complete"}, **why)


def hold_back(outside: Outside, person: Person) -> None:
    """Hold somebody's data back from destruction, and let go of them; rightly, wrongly, and as others."""
    words, stray, why = STRAYS["justification"], STRAYS["wrong type"], {"Vault_Purpose": "legal-compliance"}
    soon = (now() + timedelta(days=30)).date().isoformat()
    wish = {"subject_id": person.subject_id, "fields": ["email"], "law": "c.c. 2946", "why": words, "review_at": soon}
    path = f"/v1/holds/{outside.call(201, 'POST', '/v1/holds', 'dpo', wish, **why)['hold_id']}"
    outside.call(422, "POST", "/v1/holds", "dpo", {**wish, STRAYS["unknown member"]: stray}, **why)
    outside.call(422, "POST", "/v1/holds", "dpo", {**wish, "review_at": "2026-02-30"}, **why)
    outside.call(200, "GET", "/v1/holds", "dpo", **why)
    outside.call(403, "GET", "/v1/holds", "t1", Vault_Ticket="TCK-0")
    outside.call(409, "POST", f"{path}:approve", "dpo", {}, **why)
    other = outside.headers("dpo", **why, Authorization=f"Bearer {outside.token('dpo', sub='demo-dpo-2')}")
    outside.send(200, "POST", f"{path}:approve", other, json={})
    outside.call(200, "POST", f"{path}:release", "dpo", {}, **why)
    outside.call(409, "POST", f"{path}:release", "dpo", {}, **why)
    outside.send(200, "POST", f"{path}:release", other, json={})


def look_at_recipients(outside: Outside) -> None:
    """Look at the register of recipients and at the records of processing, rightly and as others."""
    outside.call(200, "GET", "/v1/recipients", "dpo", Vault_Purpose="legal-compliance")
    outside.call(403, "GET", "/v1/recipients", "t1", Vault_Ticket="TCK-0")
    records = "/v1/records-of-processing"
    for form in ("jsonld", "note", "csv"):
        outside.call(200, "GET", f"{records}?format={form}", "dpo", Vault_Purpose="legal-compliance")
    outside.call(403, "GET", records, "t1", Vault_Ticket="TCK-0")
    outside.call(400, "GET", f"{records}?format=pdf", "dpo", Vault_Purpose="legal-compliance")


def answer_for_tasks(outside: Outside, make_tasks: Callable[[], None]) -> None:
    """Say what came of what recipients were to be told: rightly, wrongly, and as others."""
    make_tasks()
    words, stray, why = STRAYS["justification"], STRAYS["wrong type"], {"Vault_Purpose": "rights-fulfilment"}
    tasks = outside.call(200, "GET", "/v1/recipient-tasks", "dpo", **why)["tasks"]
    first, second = (f"/v1/recipient-tasks/{one['task_id']}" for one in tasks[:2])
    outside.call(403, "GET", "/v1/recipient-tasks", "t1", Vault_Ticket="TCK-0")
    call_back(outside, tasks[0]["task_id"])
    outside.call(200, "POST", f"{first}:acknowledge", "system", {"state": "completed", "said": words}, **why)
    outside.call(409, "POST", f"{first}:declare", "dpo", {"state": "excused", "said": words}, **why)
    outside.call(200, "POST", f"{second}:declare", "dpo", {"state": "completed", "said": words, "evidence": words[:99]}, **why)
    outside.call(422, "POST", f"{second}:declare", "dpo", {"state": "refused", STRAYS["unknown member"]: stray}, **why)
    outside.call(422, "POST", f"{second}:acknowledge", "system", {"state": stray}, **why)
    outside.call(200, "GET", second, "dpo", **why)
    outside.call(200, "GET", first, "system", **why)
    outside.call(404, "GET", first, "t1", Vault_Ticket="TCK-0")


def call_back(outside: Outside, task_id: str) -> None:
    """Say by OpenDSR that a task is on its way: signed, signed by another, and not at all."""
    path = f"/opendsr/{outside.controller_id}/{task_id}"
    said = {
        "subject_request_id": request_id(task_id), "request_status": "pending", "controller_id": STRAYS["unknown member"],
        "status_callback_url": f"https://localhost{path}",
    }  # fmt: skip
    body, domain = json.dumps(said).encode(), {"X-OpenDSR-Processor-Domain": "desk.example"}
    outside.send(202, "POST", path, {**domain, "X-OpenDSR-Signature": signature(body)}, content=body)
    outside.send(403, "POST", path, {**domain, "X-OpenDSR-Signature": signature(body, "other.example")}, content=body)
    outside.send(403, "POST", path, {**domain, "X-OpenDSR-Signature": STRAYS["claim"]}, content=STRAYS["broken body"].encode())
    broken = STRAYS["broken body"].encode()
    outside.send(422, "POST", path, {**domain, "X-OpenDSR-Signature": signature(broken)}, content=broken)
    ask_from_outside(outside, domain)


def ask_from_outside(outside: Outside, domain: dict[str, str]) -> None:
    """Ask by OpenDSR for somebody, look, and take it back: signed, signed by another, and not at all."""
    path, asked_id = f"/opendsr/{outside.controller_id}", request_id(STRAYS["unknown member"])
    identity = {"identity_type": "email", "identity_value": STRAYS["ended mail"], "identity_format": "raw"}
    said = {
        "regulation": "gdpr", "subject_request_id": asked_id, "subject_request_type": "access", "api_version": "2.0",
        "submitted_time": "2026-10-20T08:00:00Z", "subject_identities": [identity], STRAYS["unknown member"]: STRAYS["claim"],
    }  # fmt: skip
    for status, body in ((201, json.dumps(said).encode()), (422, STRAYS["broken body"].encode())):
        outside.send(403, "POST", f"{path}/requests", domain, content=body)
        outside.send(403, "POST", f"{path}/requests", {**domain, "X-OpenDSR-Signature": STRAYS["claim"]}, content=body)
        answer = outside.send(status, "POST", f"{path}/requests", {**domain, "X-OpenDSR-Signature": signature(body)}, content=body)
        if status == 201:  # the specification has the sender told its own bytes again (7.3), and nobody else
            again = answer["encoded_request"]
            assert again == b64encode(body).decode()
            last = outside.answers.pop()
            outside.answers.append(replace(last, body=last.body.replace(again.encode(), b"")))
    other = json.dumps({**said, "subject_request_type": "erasure"}).encode()
    outside.send(409, "POST", f"{path}/requests", {**domain, "X-OpenDSR-Signature": signature(other)}, content=other)
    outside.send(200, "GET", f"{path}/discovery", {})
    for status, method in ((200, "GET"), (202, "DELETE")):
        at = int(now().timestamp())
        held = signature(target(method, f"https://localhost{path}/requests/{asked_id}", at))
        outside.send(403, method, f"{path}/requests/{asked_id}", domain)
        signed = {**domain, "X-OpenDSR-Signature": held, "X-OpenDSR-Timestamp": str(at)}
        outside.send(status, method, f"{path}/requests/{asked_id}", signed)


def look_at_retention(outside: Outside, run: Callable[[], None]) -> None:
    """End what somebody agreed to, look at what retention would remove, approve it; rightly, wrongly, and as others."""
    why = {"Vault_Purpose": "legal-compliance"}
    body = {"fields": {"email": STRAYS["ended mail"]}, "agreements": [agreed("marketing", channel="phone")]}
    made = outside.call(201, "POST", "/v1/subjects", "system", body)
    said = {"call_id": STRAYS["evidence"].replace(" ", "-")}
    outside.call(200, "POST", f"/v1/agreements/{made['agreements'][0]}/withdrawal", "system", said)
    run()
    digest = outside.call(200, "GET", "/v1/retention:preview", "dpo", **why)["digest"]
    outside.call(403, "GET", "/v1/retention:preview", "t1", Vault_Ticket="TCK-0")
    outside.call(409, "POST", "/v1/retention:approve", "dpo", {"digest": "0" * 64}, **why)
    outside.call(200, "POST", "/v1/retention:approve", "dpo", {"digest": digest}, **why)
    run()
    outside.call(422, "POST", "/v1/retention:approve", "dpo", {"digest": STRAYS["wrong type"]}, **why)
    first = outside.call(200, "GET", "/v1/certificates", "dpo", **why)["certificates"][0]
    outside.call(403, "GET", "/v1/certificates", "t1", Vault_Ticket="TCK-0")
    outside.call(200, "GET", f"/v1/certificates/{first['certificate_id']}", "dpo", **why)
    outside.call(404, "GET", f"/v1/certificates/crt_{'a' * 26}", "dpo", **why)


def send_malformed(outside: Outside) -> None:
    """Send bodies that are none: broken, of another type, too large, with members nobody declared."""
    path, stray = "/v1/subjects", STRAYS["broken body"]
    headers = outside.headers("system", Content_Type="application/json")
    broken = [f'{{"fields": {{"given_name": "{stray}'.encode(), f'"{stray}"'.encode() + b"\xff", b"[" * 2_000 + stray.encode()]
    for body in broken:
        outside.send(400, "POST", path, headers, content=body)
    for unfit in (stray, [stray], {stray: stray}, {"fields": stray, "agreements": stray}, {"fields": {"email": {stray: 1}}}):
        outside.send(422, "POST", path, headers, json=unfit)
    outside.send(422, "POST", path, headers, json={"fields": FIELDS, "agreements": [], STRAYS["unknown member"]: stray})
    outside.send(415, "POST", path, {**headers, "Content-Type": "text/plain"}, content=stray.encode())
    large = STRAYS["large body"].encode() * 50_000
    outside.send(413, "POST", path, headers, content=large)
    outside.send(413, "POST", path, headers, content=iter([large]))  # says nothing of its length
    outside.call(422, "PUT", "/v1/tickets/TCK-9", "system", {"subject_id": STRAYS["wrong type"], "state": STRAYS["wrong type"]})
    outside.call(
        422, "PUT", "/v1/tickets/TCK-9", "system", {"subject_id": NOBODY, "state": "open", STRAYS["unknown member"]: stray}
    )
    outside.call(
        422, "POST", f"/v1/agreements/agr_{'a' * 26}/withdrawal", "t2", {"method": STRAYS["wrong type"]}, Vault_Ticket="TCK-0"
    )


def send_bad_tokens(outside: Outside, person: Person) -> None:
    """Come as somebody else: canaries in claims, in headers of tokens, in what is no token. All are 401."""
    path, claim = f"{person.path}/profile", STRAYS["claim"]
    odd: list[dict[str, Any]] = [
        {"sub": f"{claim} "}, {"roles": [claim]}, {"controller": claim}, {"team": f"{claim} {claim}"}, {"subject_id": claim},
        {"aud": claim}, {"iss": claim}, {"acr": [claim]}, {"exp": claim}, {"cnf": {"jkt": claim, claim: claim}},
        {"exp": 1, "name": claim},
    ]  # fmt: skip
    tokens = [outside.token("t1", **claims) for claims in odd]
    tokens += [outside.token("t1", header=header) for header in ({"kid": claim}, {"typ": claim}, {"alg": claim}, {"jku": claim})]
    head, payload, signature = outside.token("t1", email=claim).split(".")
    tokens += [f"{head}.{payload}.{signature[:-4]}AAAA", f"{head}.{payload}.", f"{head}.{claim}.{signature}", claim]
    for token in tokens:
        outside.call(401, "GET", path, "t1", Authorization=f"Bearer {token}")
    outside.call(401, "GET", path, "t1", Authorization="Basic " + b64encode(claim.encode()).decode())
    outside.call(401, "POST", "/v1/subjects", "t1", {"fields": FIELDS}, Authorization=None)
    said_too_much = outside.token("t1", email=claim, name=FIELDS["family_name"], address={"formatted": FIELDS["address"]["street"]})
    outside.call(200, "GET", path, "t1", Authorization=f"Bearer {said_too_much}", Vault_Ticket=person.tickets["t1"])


def send_odd_requests(outside: Outside, person: Person) -> None:
    """Put canaries into headers, paths and queries."""
    path, odd, ticket = f"{person.path}/profile", STRAYS["header"], person.tickets["t1"]
    for stated in ({"Vault_Purpose": odd}, {"Vault_Channel": odd}, {"Vault_Ticket": f"{odd} {odd}"}, {"Vault_Ticket": None}):
        outside.call(400, "GET", path, "t1", **{"Vault_Ticket": ticket, **stated})
    outside.call(200, "GET", path, "t1", Vault_Ticket=odd)  # a case nobody has told of is asserted, not verified
    carried = {
        "Vault_Request_Id": odd, "traceparent": odd, "Cookie": f"id={STRAYS['cookie']}", "User_Agent": STRAYS["agent"],
        "Referer": f"https://{odd}.example/", "X_Forwarded_For": odd, "Accept_Language": odd, "Host": f"{odd}.example",
    }  # fmt: skip
    outside.call(200, "GET", path, "t1", Vault_Ticket=ticket, **carried)
    twice: Any = [*outside.headers("t1", Vault_Ticket=ticket).items(), ("Vault-Ticket", odd)]
    outside.send(400, "GET", path, twice)
    outside.call(400, "POST", "/v1/subjects", "system", {"fields": {}, "agreements": []}, Idempotency_Key=f"{odd} {odd}")
    outside.call(400, "GET", f"{path}?fields={STRAYS['query']}", "t1", Vault_Ticket=ticket)
    outside.call(400, "GET", f"{path}?fields={quote(FIELDS['email'])}", "t1", Vault_Ticket=ticket)
    for place in (STRAYS["path"], quote(FIELDS["email"]), quote(FIELDS["given_name"] + "/" + FIELDS["family_name"])):
        outside.call(404, "GET", f"/v1/subjects/{place}/profile", "t1", Vault_Ticket=ticket)
        outside.call(404, "GET", f"/v1/{place}?{STRAYS['query']}={place}", "t1")
        outside.call(404, "POST", f"/v1/agreements/{place}/withdrawal", "t1", {}, Vault_Ticket=ticket)
        outside.call(404, "GET", f"/v1/agreements/{place}/receipt", "t1", Vault_Ticket=ticket)
        outside.call(404, "GET", f"/v1/templates/{place}/1/odrl", "t1")
        outside.call(404, "GET", f"/v1/notices/{place}", "t1")
    outside.call(405, "DELETE", f"/v1/tickets/{STRAYS['path']}?{STRAYS['query']}", "t1")
    for public in ("/livez", "/readyz", "/.well-known/riserbo", "/v1/templates"):
        outside.call(200, "GET", f"{public}?{STRAYS['query']}={STRAYS['path']}", "t1")


def send_garbage(outside: Outside, port: int) -> None:
    """Write on the wire what is not HTTP."""
    stray = STRAYS["garbage"]
    for garbage in (f"{stray} {stray}\r\n\r\n", f"GET /{stray} HTTP/1.1\r\nHost: x\r\n{stray}\0: {stray}\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", port), timeout=5) as wire:
            wire.sendall(garbage.encode())
            answered = wire.recv(65_536)
        head, _, body = answered.partition(b"\r\n\r\n")
        assert b" 400 " in head
        outside.answers.append(Answer("garbage", 400, head, body))


@contextmanager
def broken(url: str, breaking: str, mending: str) -> Iterator[None]:
    """Break the database as its owner could, until the block ends."""
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute(breaking.encode())
    try:
        yield
    finally:
        with psycopg.connect(url, autocommit=True) as owner:
            owner.execute(mending.encode())


def fail_in_the_database(outside: Outside, person: Person, url: str, version: int) -> None:
    """Let statements fail after they were sent: a check, a unique index, the entry, a lock that does not come."""
    terms = [agreed("retail", channel="phone")]
    new: list[dict[str, Any]] = [
        {"fields": {**RETAIL, "customer_number": f"ZQ-773191{n}-K"}, "agreements": terms} for n in range(2)
    ]
    amendment: dict[str, Any] = {
        "agreement_id": person.agreement_id,
        "fields": {"email": CHANGED["email"], "support_note": CHANGED["support_note"]},
    }
    desk = {"Vault_Ticket": person.tickets["t2"], "If_Match": f'"{version}"'}
    table = "ALTER TABLE vault.profile_frame"
    with broken(url, f"{table} ADD CONSTRAINT canary CHECK (false) NOT VALID", f"{table} DROP CONSTRAINT canary"):
        outside.call(503, "PATCH", f"{person.path}/fields", "t2", amendment, **desk)
        outside.call(503, "POST", "/v1/subjects", "system", new[0])
    unique = (
        f"CREATE UNIQUE INDEX canary ON vault.agreement_event (subject_id) WHERE recorded_at > timestamptz '{now().isoformat()}'"
    )
    with broken(url, unique, "DROP INDEX vault.canary"):
        outside.call(409, "POST", "/v1/subjects", "system", new[1])  # two agreements in one enrolment: the second is one too many
    refusing = "CREATE FUNCTION vault.canary() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION '%', NEW; END $$;"
    refusing += " CREATE TRIGGER canary BEFORE INSERT ON vault.audit_pending FOR EACH ROW EXECUTE FUNCTION vault.canary()"
    with broken(url, refusing, "DROP TRIGGER canary ON vault.audit_pending; DROP FUNCTION vault.canary()"):
        outside.call(503, "PATCH", f"{person.path}/fields", "t2", amendment, **desk)
        outside.call(503, "GET", f"{person.path}/profile", "t2", Vault_Ticket=person.tickets["t2"])
    with psycopg.connect(url) as owner:
        owner.execute("LOCK TABLE vault.subject IN SHARE MODE")
        outside.call(503, "POST", "/v1/subjects", "system", new[0])


def read_receipts(outside: Outside, person: Person, marketing: str) -> None:
    """Read what was agreed in each form, and ask for forms, events and media types there are not."""
    own: dict[str, Any] = {"subject_id": person.subject_id}
    for query, status in {"": 200, "?format=kantara": 200, "?event=1": 200, "?event=2": 404}.items():
        outside.call(status, "GET", f"/v1/agreements/{marketing}/receipt{query}", "customer", **own)
    path = f"/v1/agreements/{person.agreement_id}/receipt"
    outside.call(409, "GET", f"{path}?format=kantara", "customer", **own)
    for query in (f"?format={STRAYS['query']}", f"?event={STRAYS['query']}"):
        outside.call(400, "GET", path + query, "customer", **own)
    outside.call(406, "GET", path, "customer", Accept=STRAYS["header"], **own)
    outside.call(404, "GET", path, "customer", subject_id=NOBODY)
    outside.call(200, "GET", "/v1/templates/marketing/1/odrl", "t1")
    outside.call(200, "GET", "/v1/notices", "t1")
    outside.call(200, "GET", "/v1/notices/customers", "t1")


def read_accesses(outside: Outside, person: Person) -> None:
    """Read who looked at somebody's data, as the person and as the officer, page by page and whole; and where it is not right.

    Before canaries are named as tickets: which ticket an agent stated is the person's to know.
    """
    own: dict[str, Any] = {"subject_id": person.subject_id}
    for path, role, stated in (("/v1/me", "customer", own), (person.path, "dpo", {})):
        page = outside.call(200, "GET", f"{path}/accesses?limit=1", role, **stated)
        outside.call(200, "GET", f"{path}/accesses?cursor={page['next']}", role, **stated)
        outside.call(200, "GET", f"{path}/accesses/bundle", role, **stated)
        for query in ("cursor", "limit"):
            outside.call(400, "GET", f"{path}/accesses?{query}={STRAYS['query']}", role, **stated)
        outside.call(400, "GET", f"{path}/accesses?cursor={'A' * 88}", role, **stated)
        outside.call(400, "GET", f"{path}/accesses/bundle?until={STRAYS['query']}", role, **stated)
    for path in ("/v1/me/accesses", "/v1/me/accesses/bundle"):
        outside.call(404, "GET", path, "customer", subject_id=NOBODY)
        outside.call(403, "GET", path, "system")


def take_away(outside: Outside, person: Person, make: Callable[[], object]) -> None:
    """Have somebody's data packed, fetch them, and fail to: as another, with another passphrase, and a second time."""
    proved: dict[str, Any] = {"acr": "https://www.spid.gov.it/SpidL3", "auth_time": int(now().timestamp())}
    own: dict[str, Any] = {"subject_id": person.subject_id}
    lately = {**own, "Authorization": f"Bearer {outside.token('customer', person.subject_id, **proved)}"}
    officer = {"Vault_Ticket": person.tickets["dsr-officer"]}
    outside.call(422, "POST", "/v1/me/exports", "customer", {"set": STRAYS["wrong type"]}, **own)
    other = outside.call(202, "POST", f"{person.path}/exports", "dsr-officer", {"set": "portability"}, **officer)
    outside.call(422, "POST", f"{person.path}/exports", "dsr-officer", {STRAYS["unknown member"]: "access"}, **officer)
    started = outside.call(202, "POST", "/v1/me/exports", "customer", {}, **own)
    path, typed = f"/v1/exports/{started['export_id']}", {"passphrase": started["passphrase"]}
    outside.passphrases += [other["passphrase"], started["passphrase"]]
    make()
    assert outside.call(200, "GET", path, "customer", **own)["state"] == "ready"
    outside.call(403, "GET", path, "t1", Vault_Ticket=person.tickets["t1"])
    outside.call(422, "POST", f"{path}:download", "customer", {"passphrase": STRAYS["wrong type"] + "x" * 20}, **lately)
    outside.send(200, "POST", f"{path}:download", outside.headers("customer", **lately), json=typed)
    outside.call(410, "POST", f"{path}:download", "customer", typed, **lately)


def read_the_log(outside: Outside, url: str) -> None:
    """Check the log from outside as the officer, as people and as nobody; and ask for what it does not have."""
    with psycopg.connect(url) as owner:
        found = owner.execute("SELECT entry_id FROM vault.audit_lookup ORDER BY position LIMIT 1").fetchone()
    (entry_id,), prefix = found or ("",), f"/audit/{outside.controller_id}/1"
    outside.send(200, "GET", f"{prefix}/checkpoint?{STRAYS['query']}={STRAYS['path']}", {})
    outside.send(404, "GET", f"/audit/{STRAYS['path']}/1/checkpoint", {})
    outside.send(404, "GET", "/audit/nobody-s/1/checkpoint", {})
    receipt = {"Prefer": f"{STRAYS['header']}, audit-receipt"}
    for path in (f"{prefix}/tile", "/v1/audit/tile"):
        for place, status in {"0/000.p/1": 200, "entries/000.p/2": 200, "0/999": 404, f"0/{STRAYS['path']}": 404}.items():
            outside.call(status, "GET", f"{path}/{place}", "dpo", **receipt)
        outside.call(403, "GET", f"{path}/entries/000.p/2", "t1")
        outside.call(404, "GET", f"{path}/{STRAYS['path']}/000", "dpo")
    outside.call(200, "GET", "/v1/audit/checkpoint", "dpo")
    outside.call(403, "GET", "/v1/audit/checkpoint", "system")
    outside.call(200, "GET", "/v1/audit/consistency?from=1", "dpo")
    for query in (f"?from={STRAYS['query']}", f"?{STRAYS['query']}=1"):
        outside.call(400, "GET", f"/v1/audit/consistency{query}", "dpo")
    outside.call(200, "GET", f"/v1/audit/proofs/{entry_id}", "dpo", **receipt)
    outside.call(404, "GET", f"/v1/audit/proofs/{entry_id}", "customer", subject_id=NOBODY)
    outside.call(404, "GET", f"/v1/audit/proofs/{STRAYS['path']}", "dpo")


def name_agents(outside: Outside, person: Person) -> None:
    """Have an agent named by two people, and fail to."""
    shown = outside.call(200, "GET", f"{person.path}/profile", "t1", Vault_Ticket=person.tickets["t1"])
    plea = {"entry_id": shown["entry_id"], "kind": "suspicion", "reference": f"sus_{'a' * 26}", "why": STRAYS["justification"]}
    made = outside.call(201, "POST", "/v1/namings", "dpo", plea)
    for unfit in ({"why": STRAYS["short words"]}, {"kind": STRAYS["wrong type"]}, {"reference": STRAYS["wrong type"]}):
        outside.call(422, "POST", "/v1/namings", "dpo", {**plea, **unfit})
    path = f"/v1/namings/{made['naming_id']}"
    factor: dict[str, Any] = {"acr": "phr", "auth_time": int(now().timestamp())}
    token = outside.token("t2", sub="demo-namer", roles=["t2", "unmask-approver"], **factor)
    approver = {"Vault_Ticket": person.tickets["t2"], "Authorization": f"Bearer {token}"}
    outside.call(409, "GET", path, "dpo")
    outside.call(403, "POST", f"{path}:approve", "t1", {}, Vault_Ticket=person.tickets["t1"])
    outside.call(200, "GET", path, "t2", **approver)
    outside.call(403, "GET", path, "t1", Vault_Ticket=person.tickets["t1"])
    outside.call(200, "POST", f"{path}:approve", "t2", {}, **approver)
    outside.call(409, "GET", path, "t2", **approver)
    outside.call(200, "GET", path, "dpo")
    outside.call(404, "GET", f"/v1/namings/nam_{'z' * 26}", "dpo")


def set_states(outside: Outside, person: Person) -> None:
    """Restrict, object, obscure, record a death, and take each back; try each where it is not right."""
    path, words = person.path, STRAYS["justification"]
    own: dict[str, Any] = {"subject_id": person.subject_id}
    restriction, lifting = {"ground": "accuracy", "fields": ["iban"]}, {"fields": ["iban"]}
    outside.call(200, "POST", f"{path}/restrictions", "dpo", restriction)
    outside.call(409, "POST", f"{path}/restrictions:lift", "dpo", lifting)
    outside.call(422, "POST", f"{path}/restrictions:lift", "dpo", {**lifting, "notified_at": "2026-02-30T00:00:00Z"})
    told = {**lifting, "notified_at": now().isoformat()}
    outside.call(200, "POST", f"{path}/restrictions:lift", "dpo", told)
    outside.call(422, "POST", f"{path}/restrictions", "dpo", {**restriction, "ground": STRAYS["wrong type"]})
    for to in ("marketing", "interests"):
        outside.call(200, "POST", f"{path}/objections", "customer", {"to": to}, **own)
    outside.call(200, "POST", f"{path}/objections:withdraw", "customer", {"to": "marketing"}, **own)
    outside.call(200, "POST", f"{path}/objections:overrule", "dpo", {"balancing": words})
    outside.call(409, "POST", f"{path}/objections:overrule", "dpo", {"balancing": words})
    outside.call(409, "POST", f"{path}/objections:withdraw", "customer", {"to": "marketing"}, **own)
    outside.call(422, "POST", f"{path}/objections", "customer", {"to": STRAYS["wrong type"]}, **own)
    for way in ("", ":lift"):
        outside.call(200, "POST", f"{path}/obscurings{way}", "customer", {"fields": ["health_note"]}, **own)
        outside.call(422, "POST", f"{path}/obscurings{way}", "customer", {"fields": ["iban"]}, **own)
    outside.call(200, "PUT", f"{path}/prohibition", "customer", {"rights": ["access"]}, **own)
    outside.call(422, "PUT", f"{path}/prohibition", "customer", {"rights": [STRAYS["wrong type"]]}, **own)
    outside.call(403, "PUT", f"{path}/prohibition", "t1", {"rights": []}, Vault_Ticket=person.tickets["t1"])
    outside.call(200, "GET", f"{path}/prohibition", "customer", **own)
    outside.call(404, "GET", f"/v1/subjects/{NOBODY}/prohibition", "dpo", Vault_Purpose="rights-fulfilment")
    for on, status in {"2026-01-02": 200, "2026-02-30": 422, "9999-01-01": 422, None: 200}.items():
        outside.call(status, "PUT", f"{path}/death", "dpo", {"on": on, "evidence": "notary"})


def end(outside: Outside, person: Person, marketing: str) -> None:
    """Withdraw: what marketing rests on, then the contract, then what is over."""
    own = {"session": STRAYS["evidence"].replace(" ", "-")}
    path, me = f"/v1/agreements/{marketing}/narrowing", {"subject_id": person.subject_id}
    for excluded in ([STRAYS["unknown member"]], [], ["membro_canarino"]):
        outside.call(422, "POST", path, "customer", {**own, "excluded": excluded}, **me)
    outside.call(404, "POST", path, "customer", {**own, "excluded": ["mobile"]}, subject_id=NOBODY)
    outside.call(200, "POST", path, "customer", {**own, "excluded": ["mobile"]}, **me)
    outside.call(200, "POST", f"/v1/agreements/{marketing}/withdrawal", "customer", own, subject_id=person.subject_id)
    desk = {"Vault_Ticket": person.tickets["t2"]}
    spoken = {"call_id": STRAYS["evidence"].replace(" ", "-")}
    outside.call(200, "POST", f"/v1/agreements/{person.agreement_id}/withdrawal", "t2", spoken, **desk)
    outside.call(409, "POST", f"/v1/agreements/{person.agreement_id}/withdrawal", "t2", spoken, **desk)
    told = {"notice": "customers", "language": "it"}
    outside.call(201, "POST", f"{person.path}/notices", "t2", told, **desk)
    outside.call(
        422, "POST", f"{person.path}/notices", "t2", {**told, "notice": STRAYS["unknown member"].replace(" ", "-")}, **desk
    )
    outside.call(404, "POST", f"/v1/subjects/{NOBODY}/notices", "customer", told, subject_id=person.subject_id)
    outside.call(200, "GET", f"{person.path}/notices", "customer", subject_id=person.subject_id)
    outside.call(404, "GET", f"{person.path}/notices", "customer", subject_id=NOBODY)
    outside.call(200, "GET", "/v1/sources?every=true", "dpo")
    outside.call(400, "GET", f"/v1/sources?skip={STRAYS['query']}", "dpo")
    for path in (f"{person.path}/agreements", f"/v1/agreements/{marketing}/history"):
        outside.call(200, "GET", path, "t2", **desk)
        outside.call(200, "GET", path, "customer", subject_id=person.subject_id)
        outside.call(404, "GET", path, "dpo")
