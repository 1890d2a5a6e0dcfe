"""Everybody of the demo, calling the API in this process; and a look at what their calls left in the log."""

import json
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx2
import psycopg
from fastapi.testclient import TestClient
from psycopg.rows import dict_row

from tests.makers import TOPICS, make_context, push_ticket
from vault.assembly import Vault
from vault.audit.reading import ReadEntry, open_details
from vault.audit.records import entry_by_id
from vault.audit.scrub import ScrubKeys
from vault.connectors.demo_issuer import HELPDESK, IDENTITIES, DemoIssuer
from vault.keys.data_keys import open_bytes, unwrap_audit_key
from vault.opening import Opened
from vault.operations.callers import Registration, register_caller
from vault.operations.tickets import TicketFactsIn
from vault.policy.model import Caller, Context

NOBODY = "sub_" + "z" * 26
LEADS = {
    "demo-lead": "break-glass-eligible",
    "demo-approver": "break-glass-approver",
    "demo-namer": "unmask-approver",
}  # of tests alone
_HEADERS = {"purpose": "Vault-Purpose", "channel": "Vault-Channel", "ticket": "Vault-Ticket", "if_match": "If-Match"}


@dataclass(frozen=True)
class Keys:
    """A key source whose set is already there."""

    documents: tuple[Mapping[str, Any], ...]

    def held(self, kid: str) -> tuple[Mapping[str, Any], ...]:
        del kid
        return self.documents

    fetched = held


def register_identities(vault: Vault, controller_id: str) -> None:
    """Put everybody of the demo on the register, as the demo does."""
    for one in IDENTITIES.values():
        if one.caller_id:
            register_caller(vault, controller_id, Registration(one.caller_id, one.roles, one.team, one.training, one.recipient))
    for caller_id, role in LEADS.items():
        register_caller(vault, controller_id, Registration(caller_id, ("t2", role), "second-line"))


@dataclass(frozen=True, slots=True)
class Desk:
    """One controller's callers before the application. A role is a name of the demo's identities."""

    client: TestClient
    issuer: DemoIssuer
    opened: Opened
    controller_id: str

    @property
    def vault(self) -> Vault:
        """The vault behind the application."""
        return self.opened.vault

    def headers(self, role: str, subject_id: str | None = None, **stated: str | None) -> dict[str, str]:
        """Return the headers of the role's own work. `purpose`, `channel`, `ticket` say otherwise, None leaves one out."""
        identity, vault = IDENTITIES[role], self.vault
        token = self.issuer.sign(role, self.controller_id, vault.now(), vault.new_id("jti"), subject_id)
        said = {"purpose": identity.purpose, "channel": identity.channel, "ticket": None, "if_match": None, **stated}
        return {"Authorization": f"Bearer {token}", **{_HEADERS[name]: value for name, value in said.items() if value is not None}}

    def lead(self, caller_id: str, ticket: str) -> dict[str, str]:
        """Return the headers of somebody of LEADS, or of the officer (`dpo`), who has just shown a second factor."""
        role = "dpo" if caller_id == "dpo" else "t2"
        said: dict[str, Any] = {"acr": "phr", "auth_time": int(self.vault.now().timestamp())}
        said |= {} if role == "dpo" else {"sub": caller_id, "roles": ["t2", LEADS[caller_id]]}
        return self._saying(self.headers(role, ticket=ticket, purpose="fraud-prevention"), said)

    def signed_on(self, caller_id: str, role: str, **stated: str | None) -> dict[str, str]:
        """Return the headers of somebody whose token says the role, whatever the register says of them."""
        return self._saying(self.headers(role, **stated), {"sub": caller_id})

    def _saying(self, headers: dict[str, str], claims: Mapping[str, Any]) -> dict[str, str]:
        head, payload = (json.loads(urlsafe_b64decode(part + "==")) for part in headers["Authorization"][7:].split(".")[:2])
        return {**headers, "Authorization": f"Bearer {self.issuer._signed(head, {**payload, **claims})}"}

    def call(
        self, method: str, path: str, role: str, body: Any = None, subject_id: str | None = None, **stated: str | None
    ) -> httpx2.Response:
        """Call as a role; `subject_id` is the person a customer's token names."""
        return self.client.request(method, path, headers=self.headers(role, subject_id, **stated), json=body)

    def profile(self, role: str, subject_id: str, *fields: str, **stated: str | None) -> httpx2.Response:
        """Read a profile as a role; a customer reads their own."""
        query = f"?fields={','.join(fields)}" if fields else ""
        return self.call("GET", f"/v1/subjects/{subject_id}/profile{query}", role, subject_id=subject_id, **stated)

    def context(self, role: str, subject_id: str | None = None) -> Context:
        """Return the context the API would make of the role's own work, for calling an operation directly."""
        identity, made = IDENTITIES[role], make_context(self.controller_id, role, subject_id=subject_id)
        caller = Caller(
            identity.caller_id or subject_id or "", made.caller.kind, made.caller.roles, HELPDESK, identity.team, subject_id,
            made.caller.level,
        )  # fmt: skip
        return Context(self.controller_id, caller, made.purpose, made.channel, None, "req-test")

    def ticket(self, subject_id: str, role: str, ticket_id: str | None = None, **facts: Any) -> str:
        """Push an open ticket about the person, the role's own, and return its id."""
        identity, name = IDENTITIES[role], ticket_id or f"TCK-{role}-{subject_id[-6:]}"
        stated = {"state": "open", "assignee": identity.caller_id, "team": identity.team, "topic": TOPICS.get(role), **facts}
        push_ticket(self.vault, self.context("system"), name, TicketFactsIn(subject_id, **stated))
        return name

    def entry(self, entry_id: str) -> ReadEntry:
        """Return a sequenced entry with what was sealed beside it opened, as an officer reads it."""
        with self.vault.database.snapshot(self.controller_id) as rows:
            stored = entry_by_id(rows, self.controller_id, entry_id)
        assert stored is not None, entry_id
        return open_details(stored, self.controller_id, self._audit_keys(), 1)

    def entry_named(self, entry_id: str) -> ReadEntry:
        """Return an entry, sequenced now if it was not yet."""
        self.opened.trail.settle(self.controller_id)
        return self.entry(entry_id)

    def entry_of(self, answer: httpx2.Response) -> ReadEntry:
        """Return the entry an answer names."""
        return self.entry_named(answer.headers["Vault-Entry"])

    def entries(self) -> list[str]:
        """Sequence what is pending and return the ids of all entries of callers, in log order."""
        self.opened.trail.settle(self.controller_id)
        with psycopg.connect(self.opened.addresses.url) as connection:
            found = connection.execute(
                "SELECT entry_id FROM vault.audit_lookup WHERE controller_id = %s AND caller_id IS NOT NULL ORDER BY position",
                (self.controller_id,),
            )
            return [str(one) for (one,) in found]

    def _audit_keys(self) -> ScrubKeys:
        return ScrubKeys(
            self._audit_key, lambda version: self.vault.keys.secret(self.controller_id, "audit", version).key, open_bytes
        )

    def _audit_key(self, subject_id: str) -> bytes | None:
        with psycopg.connect(self.opened.addresses.url, row_factory=dict_row) as connection:
            found = connection.execute(
                "SELECT epoch, wrap FROM keys.subject_audit_key WHERE controller_id = %s AND subject_id = %s",
                (self.controller_id, subject_id),
            ).fetchone()
        if found is None:
            return None
        return unwrap_audit_key(self.vault.keys, self.controller_id, subject_id, found["epoch"], found["wrap"])
