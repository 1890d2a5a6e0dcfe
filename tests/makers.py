"""Real objects for tests: a controller, callers in their roles, a customer with everything, tickets. No mocks."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from vault.assembly import Vault
from vault.operations.callers import Registration, register_caller
from vault.operations.enroll import AgreementTerms, Enrolled, agreed, enroll
from vault.operations.enrolment import Author, Enrolment, new_subject, normalised
from vault.operations.tickets import REQUEST, TicketFactsIn, put_ticket, stand_for
from vault.policy.engine import Policy
from vault.policy.model import Caller, CallerKind, Channel, Context

TEXTS = Path(__file__).parents[1] / "policies" / "texts"
PURPOSES = {
    "t1": "customer-care", "t2": "customer-care", "billing": "billing", "medical": "health-service", "dpo": "rights-fulfilment",
    "dsr-officer": "rights-fulfilment", "customer": "rights-fulfilment", "system": "customer-care", "operator": "customer-care",
}  # fmt: skip
CHANNELS: Mapping[str, Channel] = {"customer": "portal", "system": "api"}
KINDS: Mapping[str, CallerKind] = {"dpo": "dpo", "customer": "subject", "system": "system", "operator": "operator"}
RECIPIENTS = {"medical": "care-unit", "dsr-officer": "controller", "dpo": "controller", "operator": "controller"}
TOPICS = {"medical": "care", "dsr-officer": REQUEST}

EVERYTHING: Mapping[str, Any] = {
    "customer_number": "C0000001", "given_name": "Giulia", "family_name": "Bianchi", "gender": "female",
    "date_of_birth": "1980-02-29", "birth_place": "Roma", "preferred_language": "it",
    "email": "giulia.bianchi@example.it", "mobile": "+39 333 1234567", "phone": "02 1234 5678",
    "address": {"street": "Via Roma 1", "postal_code": "20121", "city": "Milano", "province": "MI", "country": "IT"},
    "contact_hours": "dopo le 18", "marketing_choice": "opted-in", "support_note": "chiede rateizzazione",
    "verification_phrase": "il gatto dorme", "related_person": "Luca Bianchi", "tax_code": "RSSMRA85T10A562S",
    "vat_number": "00743110157", "identity_document": "CA12345AA", "passport": "YA1234567", "iban": "IT60X0542811101000000123456",
    "account_holder": "Giulia Bianchi",
    "card": {"reference": "crd-1", "bin": "411111", "last4": "1111", "expires": "2030-12"},
    "contract_number": "CN-4711", "policy_number": "POL-189117", "balance": {"amount": "1200.50", "currency": "EUR"},
    "annual_income": {"amount": "42000.00", "currency": "EUR"},
}  # fmt: skip
HEALTH: Mapping[str, Any] = {
    "health_note": "asma lieve", "allergies": "penicillina", "disability": "nessuna", "health_card_number": "80380000012345678901",
    "oncology_history": "guarita nel 2010", "union_membership": "iscritta",
}  # fmt: skip
UNSHARED: Mapping[str, Any] = {"credit_score": 712, "aml_note": "segnalata a marzo"}  # what no template grants
FILES: Mapping[str, Any] = {  # as an attachment leaves them; no route takes files
    name: {"media_type": "application/pdf", "bytes": 52_000, "received_on": "2026-03-01"}
    for name in ("medical_certificate", "identity_scan", "correspondence")
}


def make_caller(controller_id: str, role: str, subject_id: str | None = None) -> Caller:
    """Return the caller a token of this role would name."""
    level = 3 if role == "customer" else 0
    kind = KINDS.get(role, "agent")
    return Caller(f"{role}-1", kind, frozenset({role}), "zammad", team="support", subject_id=subject_id, level=level)


def make_context(
    controller_id: str, role: str, *, ticket: str | None = None, purpose: str | None = None, channel: Channel | None = None,
    subject_id: str | None = None,
) -> Context:  # fmt: skip
    """Return the context of the role's own work."""
    caller = make_caller(controller_id, role, subject_id)
    return Context(controller_id, caller, purpose or PURPOSES[role], channel or CHANNELS.get(role, "phone"), ticket, "req-test")


def register(vault: Vault, controller_id: str, *roles: str) -> None:
    """Put one caller of each role on the register."""
    for role in roles:
        training = ("gdpr-art9",) if role == "medical" else ()
        recipient = RECIPIENTS.get(role, "helpdesk")
        register_caller(vault, controller_id, Registration(f"{role}-1", (role,), "support", training, recipient))


def evidence(template: str, language: str = "it", **said: Any) -> dict[str, Any]:
    """Return what shows that somebody agreed on the phone a month ago, to the text as it is."""
    text = (TEXTS / f"{template}.v1.{language}.md").read_bytes()
    month_ago = datetime.now(UTC) - timedelta(days=30)
    return {
        "method": "recorded-call", "indicated_at": month_ago.isoformat(timespec="seconds"), "affirmative_act": True,
        "text_sha256": sha256(text).hexdigest(), "call_id": "call-1", "agent": "t2-1", "script_version": "v1", **said,
    }  # fmt: skip


def terms(template: str, *, excluded: Iterable[str] = (), **said: Any) -> AgreementTerms:
    """Return what a customer agreed to on the phone a month ago, with evidence that suffices."""
    return AgreementTerms(template, None, "it", evidence(template, **said), frozenset(excluded))


def make_subject(vault: Vault, controller_id: str, values: Mapping[str, Any], agreed: Iterable[str] = ("retail",)) -> Enrolled:
    """Enrol somebody as the system of record does."""
    register(vault, controller_id, "system")
    context = make_context(controller_id, "system", channel="phone")
    return enroll(vault, context, values, tuple(terms(template) for template in agreed))


class Generous(Policy):
    """The policy, but every field of a class whose key a template gets counts as granted: to store what nobody agreed to share."""

    def granted_fields(self, reference: str) -> frozenset[str]:
        """Return the fields of the classes the template reaches."""
        fields = self._lexicon.fields
        classes = {one.class_name for one in fields if one.name in super(Generous, self).granted_fields(reference)}
        return frozenset(one.name for one in fields if one.class_name in classes)


def make_complete_subject(vault: Vault, controller_id: str, template: str, **other: Any) -> str:
    """Enrol somebody with a value in every field whose class the template's agreement holds the key of; return their id.

    Also in fields it does not grant, and in files: what is withheld is then withheld although it is there.
    """
    generous = replace(vault, policy=Generous(vault.policy._bundle))
    context = make_context(controller_id, "system", channel="phone")
    made = agreed(vault, context, terms(template), vault.now(), "")
    reach = generous.policy.granted_fields(made.template.reference)
    values = {**normalised(vault.catalogue, {**EVERYTHING, **HEALTH, **UNSHARED, **other}), **FILES}
    shared = Enrolment({name: value for name, value in values.items() if name in reach}, (made,))
    person = new_subject(generous, controller_id, shared, Author("system-1", "system"), vault.new_id("ent"), vault.now())
    with vault.database.transaction(controller_id) as transaction:
        for table, rows in person.rows.items():
            transaction.execute(sa.insert(table), rows)
    return person.subject_id


def make_ticket(vault: Vault, controller_id: str, subject_id: str, role: str, ticket: str = "TCK-1", **facts: Any) -> str:
    """Push a ticket about the person, open, assigned to this role's caller; return its id."""
    stated = {"state": "open", "assignee": f"{role}-1", "team": "support", "topic": TOPICS.get(role), **facts}
    push_ticket(vault, make_context(controller_id, "system", channel="api"), ticket, TicketFactsIn(subject_id, **stated))
    return ticket


def push_ticket(vault: Vault, context: Context, ticket: str, said: TicketFactsIn) -> None:
    """Push a ticket as the helpdesk does, or let one stand for a request that was accepted, which no helpdesk can say."""
    if said.topic != REQUEST:
        put_ticket(vault, context, ticket, said)
        return
    with vault.database.transaction(context.controller_id) as transaction:
        stand_for(transaction, context.controller_id, ticket, said, vault.now(), vault.new_id("ent"))


def years_before(today: date, years: int) -> str:
    """Return an ISO date about so many years ago."""
    return (today - timedelta(days=round(365.25 * years))).isoformat()
