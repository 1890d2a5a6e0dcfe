"""The words a decision is made of: what goes in (context, facts), what comes out (decision). Pure; no database, no clock.

Purposes, channels, levels and reason codes are closed lists (docs/policy.md). Instants never enter:
time reaches a decision only as an agreement's phase, so a decision is a function of its inputs and can be cached for ever.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple

Level = Literal["clear", "masked", "token", "withheld"]
CallerKind = Literal["agent", "system", "dpo", "subject", "operator", "job"]
Act = Literal["profile", "reveal", "export", "find", "amend", "verify"]
Channel = Literal["phone", "email", "chat", "social", "front_office", "portal", "api"]
TicketState = Literal["none", "asserted", "verified", "closed", "of-another-person", "not-yours"]
BreakGlass = Literal["none", "open", "approved"]
Phase = Literal["before", "in", "after"]
MinorBand = Literal["under-14", "14-17", "adult", "unknown"]

EVERYTHING: Final = "*"  # among restricted fields: every field there is, those of later bundles too
CHANNELS: tuple[Channel, ...] = ("phone", "email", "chat", "social", "front_office", "portal", "api")


@dataclass(frozen=True, slots=True)
class Caller:
    """The authenticated party of one call, as its token names it."""

    id: str
    kind: CallerKind
    roles: frozenset[str]
    client_id: str  # the system the call came through
    team: str | None = None
    subject_id: str | None = None  # for a customer: the person they are
    level: int = 0  # identity assurance of a customer, 0–3
    step_up: bool = False
    actor: str | None = None  # the system that acts for this agent (RFC 8693, `act`)


@dataclass(frozen=True, slots=True)
class Context:
    """Caller, purpose, ticket and channel of one access; for a bank, workstation and kind of relationship too."""

    controller_id: str
    caller: Caller
    purpose: str
    channel: Channel
    ticket_id: str | None = None
    request_id: str | None = None
    station: str | None = None
    relationship: str | None = None


class PartyTerms(NamedTuple):
    """What the register of recipients says now of the company a caller works for: as which party agreements name it, on what terms.

    `country` is where data go, ISO 3166-1 alpha-2; `transfer_tool` the ground on which they may go there, or `none`.
    """

    party: str
    contract_valid: bool
    transfer_tool: str
    country: str


@dataclass(frozen=True, slots=True)
class CallerFacts:
    """What the register of callers says now. Empty `roles`: not registered, or not any more; `unfit` says which, for officers.

    `denied` are fields an emergency denial withholds from this caller here, whatever the rules say. `terms` are those of a
    recipient on the register; of one that is not there the bundle's own count.
    """

    roles: frozenset[str] = frozenset()
    training: frozenset[str] = frozenset()
    recipient: str = "helpdesk"
    region: str = "IT"
    team: str | None = None
    denied: frozenset[str] = frozenset()
    unfit: str | None = None
    terms: PartyTerms | None = None

    @property
    def party(self) -> str:
        """As which party of the policy the caller's recipient is known."""
        return self.recipient if self.terms is None else self.terms.party


@dataclass(frozen=True, slots=True)
class TicketFacts:
    """What is known of the ticket an access states, and of the relation between this caller and this person."""

    # The last three justify nothing, and say why: theirs but closed; theirs but about somebody else; not theirs, and nothing more.
    state: TicketState = "none"
    assigned: bool = False  # to this caller, or for t1 to their team
    in_care: bool = False  # an open ticket of topic `care` about this subject is assigned to this caller
    request_assigned: bool = False  # the same with topic `request`: the accepted request of the dsr-officer
    request_fields: frozenset[str] = frozenset()  # what those requests are of; empty: everything
    break_glass: BreakGlass = "none"  # a grant of this caller on this ticket that covers what is asked
    caller_verified: bool = False  # the person proved who they are, to this caller, on this ticket, within 30 minutes
    age_s: int | None = None  # since the ticket was so, as far as is known; no rule rests on it


class AgreementFacts(NamedTuple):
    """One agreement at one instant. `template` is `id@version`."""

    agreement_id: str
    template: str
    phase: Phase
    valid_from_ms: int  # orders deciding agreements: the latest wins
    consent: Literal["valid", "withdrawn", "expired", "none"]  # none: the basis is not consent
    superseded: bool = False
    excluded: frozenset[str] = frozenset()  # fields the person excluded
    foreign: frozenset[str] = frozenset()  # fields collected under another consent (Art. 6(4))
    after_restriction: bool = False
    after_objection: bool = False


class SubjectFacts(NamedTuple):
    """What gate 1 and gate 2 may know of the person: states and agreements, never a value."""

    subject_id: str
    agreements: tuple[AgreementFacts, ...]
    restricted: frozenset[str] = frozenset()  # fields whose processing is restricted; EVERYTHING: all
    objected: bool = False  # Art. 21(1)
    objected_marketing: bool = False  # Art. 21(2)
    minor: MinorBand = "adult"
    time_barred: bool = False
    deceased: bool = False


@dataclass(frozen=True, slots=True)
class Treatment:
    """What is said of a treatment, and not kept. `ended_on`: None where it goes on; `before_21`: the illness began before."""

    ended_on: date | None
    before_21: bool = False
    kind: str | None = None


class FieldDecision(NamedTuple):
    """How one field may be shown, and why. `because` is a reason code the caller may see; `by` are policy ids, for officers."""

    level: Level
    mask: str | None
    because: str
    by: tuple[str, ...] = ()


class Decision(NamedTuple):
    """The answer for one context over the asked fields.

    `hidden`: no field has a rung and no verified ticket of the caller's own is about this subject: the uniform 404, or where
    `told` gives a reason that one, which follows from the ticket and the caller alone. `restricted`: everything is
    withheld by a restriction from one who otherwise had a right: 423. `failed`: the policy engine reported an error, so the whole
    request is refused (and `hidden` is set, so that nobody who overlooks it shows anything). `record` is the compact form kept in
    the entry's details; `levels` says each field's level as an entry does (`masked:<mask>`), and `resting` which fields are shown
    under which agreement.
    """

    bundle: str  # sha256:<hex>
    fields: Mapping[str, FieldDecision]
    hidden: bool
    restricted: bool
    record: Mapping[str, Any] = MappingProxyType({})
    levels: Mapping[str, str] = MappingProxyType({})
    resting: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    failed: bool = False
    told: str | None = None

    def agreement_of(self, field: str) -> str | None:
        """Return the agreement a shown field rests on."""
        return next((agreement_id for agreement_id, names in self.resting.items() if field in names), None)

    def opened(self) -> dict[str, str]:
        """Return the fields that will be opened (clear or masked), each with the agreement whose wrap must open it."""
        levels = self.levels
        return {name: agreement_id for agreement_id, names in self.resting.items() for name in names if levels[name] != "token"}


@dataclass(frozen=True, slots=True)
class Permission:
    """Whether a caller may use a verb that shows no field (enroll, amend, agree, withdraw, find, …), and the reason code.

    `ticket`: what may be told of the ticket whoever the verb would act on, as `Decision.told`.
    """

    allowed: bool
    because: str
    by: tuple[str, ...] = ()
    ticket: str | None = None
