"""What one disclosure is made of: the ask, its case, the answer, and the entry that records it."""

from collections.abc import Collection, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import orjson

from vault.assembly import Vault
from vault.audit.entry import Chain, Draft
from vault.audit.filters import FLAGS
from vault.errors import VaultError
from vault.keys.frame import Frame
from vault.policy.model import Act, CallerFacts, Context, Decision, TicketFacts
from vault.profiles.records import Person

SPECIAL = "special"  # the class of GDPR Art. 9


@dataclass(frozen=True, slots=True)
class Ask:
    """One reading somebody asks for. Without `fields`: the role's default set."""

    context: Context
    subject_id: str
    fields: tuple[str, ...] | None = None
    act: Act = "profile"
    operation: str = "disclose"  # the verb its entry names
    reason: str | None = None  # a coded reason, which the person will see
    justification: str | None = field(default=None, repr=False)  # in the caller's words, for officers alone
    noted: MutableMapping[str, bytes] | None = field(default=None, repr=False, compare=False)  # takes the leaf hash, for a receipt


class Shown(NamedTuple):
    """One field as answered; `value` is None when withheld or absent."""

    state: str
    value: Any
    mask: str | None
    because: str


@dataclass(frozen=True, slots=True)
class Profile:
    """The answer of one disclosure."""

    subject_id: str
    state: str
    version: int
    decision_id: str
    entry_id: str
    policy: str
    purpose: str
    agreements: tuple[str, ...]
    fields: Mapping[str, Shown]

    def encoded(self, **more: int) -> bytes:
        """Return the JSON the API answers, with what a verb adds to it."""
        return orjson.dumps(
            {
                **more,
                "subject_id": self.subject_id,
                "state": self.state,
                "decision_id": self.decision_id,
                "entry_id": self.entry_id,
                "policy": self.policy,
                "purpose": self.purpose,
                "agreements": self.agreements,
                "fields": {
                    name: {"state": one.state, "value": one.value, "mask": one.mask, "because": one.because}
                    for name, one in self.fields.items()
                },
            }
        )


@dataclass(frozen=True, slots=True)
class Case:
    """One ask between its decision and its opening. `frames` are the person's, by class; `present` the fields with a value."""

    ask: Ask
    person: Person
    caller: CallerFacts
    ticket: TicketFacts
    decision: Decision
    frames: Mapping[str, Frame]
    present: Collection[str]
    entry_id: str
    at: datetime
    fault: VaultError | None = None


def decision_of(entry_id: str) -> str:
    """Return the id of the decision an entry records: the two share their random part."""
    return "dec_" + entry_id.removeprefix("ent_")


def disclosure_draft(vault: Vault, case: Case) -> Draft:
    """Return the entry of one disclosure: what is shown of whom, to whom, why, resting on which agreements. Never a value.

    An ask for nothing but what is kept from the person goes into the held chain: in theirs, an access to no field would tell them.
    """
    decision, context, present = case.decision, case.ask.context, case.present
    fields, kept_back = vault.catalogue.fields, vault.catalogue.never_to_subject
    levels = {name: level for name, level in decision.levels.items() if name not in kept_back}
    resting = {}
    for agreement_id, names in decision.resting.items():
        if missing := [name for name in names if name not in present]:
            levels.update((name, "absent") for name in missing if name in levels)
        if held := [name for name in names if name in present and name in levels]:
            resting[agreement_id] = held
    shown = [name for names in resting.values() for name in names]
    refused = decision.hidden or decision.restricted
    clear = tuple(sorted({fields[name].class_name for name in shown if levels[name] == "clear"}))
    return Draft(
        entry_id=case.entry_id,
        operation=case.ask.operation,
        outcome="refused" if refused else "allowed" if len(shown) == len(levels) else "partial",
        kind=context.caller.kind,
        caller_id=context.caller.id,
        roles=tuple(sorted(case.caller.roles)),
        recipient=case.caller.recipient,
        purpose=context.purpose,
        channel=context.channel,
        fields=levels,
        count=len(shown),
        terms=_terms(case, resting),
        bundle=bytes.fromhex(decision.bundle.removeprefix("sha256:")),
        details=_details(vault, case, resting),
        internal=_internal(case),
        chain=chain_of(case.ask.subject_id, case.person, held=bool(decision.levels) and kept_back.issuperset(decision.levels)),
        opens={} if refused or case.fault else {name: one for name, one in decision.opened().items() if name in present},
        subject_id=case.ask.subject_id if case.person.subject is not None else "",
        team=case.caller.team,
        ticket_id=context.ticket_id,
        ticket_state=case.ticket.state,
        classes=tuple(sorted({fields[name].class_name for name in shown})),
        clear_classes=clear,
        flags=_flags(case, clear),
    )


def _flags(case: Case, clear: Sequence[str]) -> int:
    """Return what makes an entry one to be looked at first."""
    broken = FLAGS["break-glass"] if case.ticket.break_glass != "none" else 0
    return broken | (FLAGS["special-in-clear"] if SPECIAL in clear else 0)


def chain_of(subject_id: str, person: Person, *, held: bool = False) -> Chain | None:
    """Return where the next entry of this person's chain goes; None for nobody.

    The head of the held stream is not among what every disclosure reads: its writer asks for it when it is not the first.
    """
    if person.subject is None or person.audit_key is None:
        return None
    epoch, wrap = person.audit_key
    era, number, tag = person.head if not held else (0, 0, b"")
    return Chain(subject_id, epoch, wrap, era, number, tag, "held" if held else "open")


def _terms(case: Case, resting: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    return tuple(sorted({one.template for one in case.person.agreements if one.agreement_id in resting}))


def _details(vault: Vault, case: Case, resting: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return the part the data subject may see; fields stand under the agreement they rest on."""
    context = case.ask.context
    basis = {one.agreement_id: vault.templates[one.template].basis for one in case.person.agreements if one.agreement_id in resting}
    details: dict[str, Any] = {"decision_id": decision_of(case.entry_id), "agreements": resting, "basis": basis}
    if case.person.subject is not None:
        details["subject_id"] = case.ask.subject_id
    if case.caller.team is not None:
        details["team"] = case.caller.team
    if context.ticket_id is not None:
        details["ticket"] = stated_ticket(context.ticket_id, case.ticket)
    if case.decision.told is not None:
        details["result"] = case.decision.told
    if case.ask.reason is not None:
        details["reason"] = case.ask.reason
    return details | stated_relationship(context)


def stated_relationship(context: Context) -> dict[str, Any]:
    """Return what an entry says of the relationship an access was for, where one was stated: its kind, never its number."""
    return {"relationship": {"type": context.relationship}} if context.relationship is not None else {}


def stated_ticket(ticket_id: str, ticket: TicketFacts) -> dict[str, Any]:
    """Return what an entry says of the ticket that was stated: what was found of it, and how old in seconds that finding was."""
    said: dict[str, Any] = {"id": ticket_id, "check": ticket.state}
    return said if ticket.age_s is None else {**said, "age_s": ticket.age_s}


def asking_parties(context: Context, unfit: str | None) -> dict[str, Any]:
    """Return who asked, as an entry tells officers: the caller, the system it came through, the one acting for them, and where.

    Of whom the register does not know (any more) it says so.
    """
    named: dict[str, Any] = {"caller_id": context.caller.id, "application": context.caller.client_id}
    if context.caller.actor is not None:
        named["actor"] = context.caller.actor
    if unfit is not None:
        named["unfit"] = unfit
    if context.station is not None:
        named["station"] = context.station
    return named


def _internal(case: Case) -> dict[str, Any]:
    """Return the part for officers."""
    context = case.ask.context
    internal = {**asking_parties(context, case.caller.unfit), "decision": dict(case.decision.record)}
    if context.request_id is not None:
        internal["request"] = context.request_id
    if case.person.subject is None:
        internal["asked"] = case.ask.subject_id
    if case.ask.justification is not None:
        internal["justification"] = case.ask.justification
    return internal
