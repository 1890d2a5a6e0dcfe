"""Two officers and a log with something in it: what the tests of the review share."""

from dataclasses import dataclass, replace
from typing import Any

import orjson

from tests.makers import make_context, make_subject, make_ticket, register
from vault.assembly import Vault
from vault.opening import Opened
from vault.operations.callers import Registration, register_caller
from vault.operations.disclose import disclose
from vault.operations.disclosure import Ask
from vault.operations.review import EntryFilter, Page, review
from vault.policy.model import Context

VALUES = {"given_name": "Giulia", "email": "giulia@example.it", "iban": "IT60X0542811101000000123456"}


@dataclass(frozen=True, slots=True)
class Office:
    """A controller with agents, two customers, and officers who read the log."""

    opened: Opened
    controller_id: str
    person: str
    agreement: str
    other: str

    @property
    def vault(self) -> Vault:
        """The vault."""
        return self.opened.vault

    def officer(self, number: int = 1, **stated: Any) -> Context:
        """Return the context of an officer's work."""
        context = make_context(self.controller_id, "dpo", **{"purpose": "legal-compliance", **stated})
        return replace(context, caller=replace(context.caller, id=f"dpo-{number}"))

    def read(self, role: str = "t1", person: str | None = None, *fields: str) -> str:
        """Read somebody's profile as an agent, on a ticket of theirs; return the entry's id."""
        whom = person or self.person
        ticket = make_ticket(self.vault, self.controller_id, whom, role, f"TCK-{role}-{whom[-4:]}")
        context = make_context(self.controller_id, role, ticket=ticket)
        return disclose(self.vault, Ask(context, whom, fields or ("given_name", "email"))).entry_id

    def page(self, limit: int = 50, after: str | None = None, officer: int = 1, **asked: Any) -> Page:
        """Return a page of what has its position by now."""
        self.opened.trail.settle(self.controller_id)
        return review(self.vault, self.officer(officer), EntryFilter(**asked), limit, after)

    def ids(self, limit: int = 50, **asked: Any) -> list[str]:
        """Return the ids of a page's entries."""
        return [one["entry_id"] for one in self.page(limit, **asked).entries]


def make_office(opened: Opened, controller_id: str) -> Office:
    """Make it."""
    vault = opened.vault
    register(vault, controller_id, "t1", "t2", "dpo", "system", "operator")
    register_caller(vault, controller_id, Registration("dpo-2", ("dpo",), "privacy", (), "controller"))
    person = make_subject(vault, controller_id, {**VALUES, "customer_number": "C0000001"})
    other = make_subject(vault, controller_id, {"given_name": "Ada", "customer_number": "C0000002"})
    return Office(opened, controller_id, person.subject_id, person.agreements[0], other.subject_id)


def text_of(document: Any) -> str:
    """Return a document as text, to search."""
    return orjson.dumps(document, default=str).decode()
