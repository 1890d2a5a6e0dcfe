"""What a decision depends on, and nothing else: the keys of the two tables, made from context and facts. Pure.

Cedar's requests are made from these same tuples, so what is not in a key cannot reach a policy. Numbers and ids stop here: time is
an agreement's phase, a person is the constant principal, and the ticket is its state.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from vault.policy.lexicon import RIGHTS
from vault.policy.model import (
    Act,
    AgreementFacts,
    CallerFacts,
    CallerKind,
    Channel,
    Context,
    PartyTerms,
    SubjectFacts,
    TicketFacts,
    TicketState,
)

PRINCIPALS: Final[Mapping[CallerKind, str]] = {
    "agent": "agent",
    "dpo": "agent",
    "operator": "agent",
    "system": "system",
    "job": "system",
    "subject": "subject",
}
MINORS: Final = ("under-14", "14-17")
OFFICE: Final = frozenset({"dpo", "operator"})  # they govern and run the vault; no ticket makes a person theirs to see
TICKET_REFUSALS: Final[Mapping[TicketState, str]] = {  # what a ticket that is known and justifies nothing is refused with
    "closed": "ticket-closed",
    "of-another-person": "ticket-of-another-person",
    "not-yours": "ticket-not-yours",
}
OPERATIONS: Final[Mapping[Act, str]] = {
    "profile": "consult",
    "reveal": "consult",
    "find": "consult",
    "export": "export",
    "amend": "store",
    "verify": "consult",
}


class Circumstance(NamedTuple):
    """What gate 1 knows of one request beside its agreements. A tuple, because keys are hashed on every read."""

    purpose: str
    operation: str
    recipient: str
    region: str
    acts_for_subject: bool
    restricted: frozenset[str]
    objected: bool
    objected_marketing: bool
    minor: bool
    time_barred: bool
    deceased: bool
    terms: PartyTerms | None = None  # of a registered recipient; None: those of the bundle


class LawKey(NamedTuple):
    """Everything gate 1 can see for one agreement: the key of the first table."""

    template: str
    consent: str
    phase: str
    excluded: frozenset[str]
    foreign: frozenset[str]
    after_restriction: bool
    after_objection: bool
    circumstance: Circumstance


class ViewKey(NamedTuple):
    """Everything gate 2 can see: the key of the second table. `lawful` and `after_restriction` are masks over fields."""

    principal: str  # agent, system, subject
    roles: frozenset[str]
    training: frozenset[str]
    act: Act
    purpose: str
    channel: Channel
    ticket: TicketState
    assigned: bool
    caller_verified: bool
    level: int
    step_up: bool
    break_glass: str  # none, open, approved
    minor: bool
    is_self: bool
    in_care: bool
    request_accepted: bool
    restricted: frozenset[str]
    lawful: int
    after_restriction: int
    request_fields: frozenset[str] = frozenset()  # what the accepted requests are of; empty: everything

    def accepted_of(self, name: str) -> bool:
        """Whether a request that was accepted is of this field."""
        return self.request_accepted and (not self.request_fields or name in self.request_fields)


def circumstance(context: Context, act: Act, caller: CallerFacts, ticket: TicketFacts, subject: SubjectFacts) -> Circumstance:
    """Return what gate 1 knows of this request."""
    kind = context.caller.kind
    return Circumstance(
        context.purpose,
        OPERATIONS[act],
        "subject" if kind == "subject" else caller.party,
        caller.region,
        (kind == "subject" and is_self(context, subject)) or (ticket.request_assigned and _on_request(context, caller)),
        subject.restricted,
        subject.objected,
        subject.objected_marketing,
        subject.minor in MINORS,
        subject.time_barred,
        subject.deceased,
        None if kind == "subject" else caller.terms,
    )


def law_key(one: AgreementFacts, shared: Circumstance) -> LawKey:
    """Return the first table's key for one agreement. A superseded one is over, whatever its dates say."""
    phase = "after" if one.superseded else one.phase
    return LawKey(one.template, one.consent, phase, one.excluded, one.foreign, one.after_restriction, one.after_objection, shared)


def view_key(
    context: Context, act: Act, caller: CallerFacts, ticket: TicketFacts, subject: SubjectFacts, lawful: int, after_restriction: int
) -> ViewKey:
    """Return the second table's key. The officer's accepted request counts as a verified ticket of theirs."""
    accepted = ticket.request_assigned and _on_request(context, caller)
    kind = context.caller.kind
    return ViewKey(
        PRINCIPALS[kind],
        caller.roles,
        caller.training,
        act,
        context.purpose,
        context.channel,
        "verified" if accepted else ticket.state,
        accepted or ticket.assigned,
        ticket.caller_verified,
        context.caller.level if kind == "subject" else 0,
        context.caller.step_up,
        ticket.break_glass,
        subject.minor in MINORS,
        kind == "subject" and is_self(context, subject),
        ticket.in_care,
        accepted,
        subject.restricted,
        lawful,
        after_restriction,
        ticket.request_fields if accepted else frozenset(),
    )


def is_self(context: Context, subject: SubjectFacts) -> bool:
    """Whether the caller is the person. The token of somebody who has died is nobody's."""
    caller = context.caller
    named = caller.kind == "subject" and bool(caller.subject_id) and caller.subject_id == subject.subject_id
    return named and not subject.deceased


def may_know(key: ViewKey) -> bool:
    """Whether the caller may be told that the person is here: the person, or who holds a verified ticket of their own about them.

    Whoever broke the glass on a colleague's ticket was told so when the grant was opened.
    """
    holds = key.ticket == "verified" and (key.assigned or key.break_glass != "none")
    return key.is_self or (holds and bool(key.roles) and not key.roles & OFFICE)


def ticket_refusal(key: ViewKey) -> str | None:
    """Return what an agent may be told is wrong with the ticket they named; None where only the uniform 404 may be told.

    It follows from the ticket's row, the caller and the id that was asked about, never from whether that person is here. Of a
    ticket that is not theirs they are told nothing else: neither that it is closed nor whether it is about this person.
    """
    if key.principal != "agent" or not key.roles:
        return None
    return "ticket-not-yours" if key.ticket == "verified" and not key.assigned else TICKET_REFUSALS.get(key.ticket)


def _on_request(context: Context, caller: CallerFacts) -> bool:
    return context.purpose == RIGHTS and "dsr-officer" in caller.roles
