"""Answer for a context that is only supposed: what would be shown, and why. No value is opened, and the asking is on record.

Staff may suppose persons; only the officer and the request officer may ask about a real one, with the agreements they have now.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from vault.assembly import Vault
from vault.errors import AccessDenied, Fault, InvalidValue, NotFound
from vault.operations.acting import NOBODY, Acting, prepare, record, refuse
from vault.operations.disclosure import decision_of
from vault.operations.facts import as_known, subject_facts
from vault.operations.receiving import recipient_terms
from vault.policy.lexicon import ROLES, TRAINING
from vault.policy.model import (
    Act,
    AgreementFacts,
    Caller,
    CallerFacts,
    Channel,
    Context,
    Decision,
    MinorBand,
    PartyTerms,
    Permission,
    Phase,
    SubjectFacts,
    TicketFacts,
    TicketState,
)

SUPPOSED: Final = "sub_" + "a" * 26
OFFICERS: Final = frozenset({"dpo", "dsr-officer"})
_STAFF: Final = Permission(allowed=True, because="staff")
Outcome = Literal["answered", "restricted", "denied", "not-found"]
Consent = Literal["valid", "withdrawn", "expired"]


@dataclass(frozen=True, slots=True)
class Supposed:
    """One agreement that is supposed. `template` is `id@version`; `consent` only where the basis is one."""

    template: str
    phase: Phase = "in"
    consent: Consent | None = None
    excluded: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Supposition:
    """Who would ask what, of whom. With `subject_id` a real person's state and agreements, which then cannot be supposed."""

    kind: Literal["agent", "system", "subject"]
    roles: frozenset[str]
    purpose: str
    channel: Channel
    act: Act = "profile"
    training: frozenset[str] = frozenset()
    recipient: str = "helpdesk"
    region: str = "IT"
    ticket: TicketState = "none"
    assigned: bool = False
    in_care: bool = False
    caller_verified: bool = False
    level: int = 0
    minor: MinorBand = "adult"
    restricted: frozenset[str] = frozenset()
    objected: bool = False
    objected_marketing: bool = False
    agreements: tuple[Supposed, ...] = ()
    fields: tuple[str, ...] = ()
    subject_id: str | None = None


@dataclass(frozen=True, slots=True)
class Simulated:
    """What would be answered. `templates` names for each shown field what it would rest on; `policies` are for the officer."""

    decision_id: str
    entry_id: str
    outcome: Outcome
    decision: Decision
    templates: Mapping[str, str]
    policies: bool


def simulate(vault: Vault, context: Context, supposed: Supposition) -> Simulated:
    """Decide on a supposition.

    Raises InvalidValue naming each member of no closed list, AccessDenied for whoever is not staff, NotFound for a real person who
    is not there or not this caller's to ask about.
    """
    about = supposed.subject_id or NOBODY
    asking = prepare(vault, "simulate", context, about, vault.catalogue.classes if about != NOBODY else (), _STAFF)
    _require_right(vault, asking, supposed)
    terms = recipient_terms(vault, context.controller_id, supposed.recipient)
    if faults := list(_faults(vault, supposed, registered=terms is not None)):
        raise InvalidValue(faults=faults)
    person = _person(vault, asking, supposed)
    decision = _decided(vault, context, supposed, terms, person)
    record(vault, asking, details={"result": "simulated"}, internal={"decision": dict(decision.record)})
    reference = {one.agreement_id: one.template for one in person.agreements}
    templates = {name: reference[one] for one, names in decision.resting.items() for name in names}
    outcome: Outcome = "restricted" if decision.restricted else "answered"
    if decision.hidden:
        outcome = "not-found" if decision.told is None else "denied"
    officer = "dpo" in asking.caller.roles
    return Simulated(decision_of(asking.entry_id), asking.entry_id, outcome, decision, templates, officer)


def _require_right(vault: Vault, asking: Acting, supposed: Supposition) -> None:
    roles = asking.caller.roles if asking.context.caller.kind in ("agent", "dpo") else frozenset[str]()
    if supposed.subject_id is not None and (not roles & OFFICERS or asking.person.subject is None):
        raise refuse(vault, asking, NotFound())
    if not roles:
        raise refuse(vault, asking, AccessDenied("role"))


def _faults(vault: Vault, supposed: Supposition, *, registered: bool) -> Iterator[Fault]:
    """Yield what is of no closed list, by member."""
    policy, known = vault.policy, vault.catalogue.fields.keys()
    lists = {
        "roles": supposed.roles <= {*ROLES, "customer"},
        "training": supposed.training <= {*TRAINING},
        "recipient": registered or supposed.recipient in policy.recipients,
        "region": supposed.region in policy.lexicon.regions,
        "purpose": supposed.purpose in policy.purposes,
        "restricted": supposed.restricted <= known,
        "fields": known >= set(supposed.fields),
    }
    yield from (Fault(f"/{member}", "unknown") for member, ok in lists.items() if not ok)
    if supposed.subject_id is not None and supposed.agreements:
        yield Fault("/agreements", "subject.has-their-own")
    for number, one in enumerate(supposed.agreements):
        template = vault.templates.get(one.template)
        if template is None:
            yield Fault(f"/agreements/{number}/template", "unknown")
        elif one.consent is not None and template.basis != "consent":
            yield Fault(f"/agreements/{number}/consent", "basis.not-consent")
        if not one.excluded <= known:
            yield Fault(f"/agreements/{number}/excluded", "unknown")


def _person(vault: Vault, asking: Acting, supposed: Supposition) -> SubjectFacts:
    """Return the person: the real one as they stand now, or the one who is supposed."""
    if supposed.subject_id is not None:
        person, frames = as_known(asking.context, supposed.subject_id, asking.person)
        return subject_facts(supposed.subject_id, person, asking.at, frames.values())
    return SubjectFacts(
        subject_id=SUPPOSED,
        agreements=tuple(_agreement(vault, one, number) for number, one in enumerate(supposed.agreements)),
        restricted=supposed.restricted,
        objected=supposed.objected,
        objected_marketing=supposed.objected_marketing,
        minor=supposed.minor,
    )


def _agreement(vault: Vault, one: Supposed, number: int) -> AgreementFacts:
    rests_on_consent = vault.templates[one.template].basis == "consent"
    consent = (one.consent or "valid") if rests_on_consent else "none"
    return AgreementFacts(f"agr_{number}", one.template, one.phase, 0, consent, excluded=one.excluded)


def _decided(vault: Vault, context: Context, supposed: Supposition, terms: PartyTerms | None, person: SubjectFacts) -> Decision:
    own = person.subject_id if supposed.kind == "subject" else None
    caller = Caller("supposed", supposed.kind, supposed.roles, "supposed", subject_id=own, level=supposed.level)
    recipient = "subject" if supposed.kind == "subject" else supposed.recipient
    facts = CallerFacts(supposed.roles, supposed.training, recipient, supposed.region, terms=terms)
    ticket = TicketFacts(
        supposed.ticket, assigned=supposed.assigned, in_care=supposed.in_care, caller_verified=supposed.caller_verified
    )
    there = Context(context.controller_id, caller, supposed.purpose, supposed.channel)
    fields = supposed.fields or vault.policy.default_fields(supposed.roles)
    return vault.policy.decide(there, supposed.act, facts, ticket, person, fields)
