"""What one disclosure is made of: the ask, its case, the answer, and the entry that records it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from vault.assembly import Vault
from vault.audit.entry import Chain, Draft
from vault.errors import VaultError
from vault.policy.model import Act, CallerFacts, Context, Decision, FieldDecision, TicketFacts
from vault.profiles.records import Person


@dataclass(frozen=True, slots=True)
class Ask:
    """One reading somebody asks for. Without `fields`: the role's default set."""

    context: Context
    subject_id: str
    fields: tuple[str, ...] | None = None
    act: Act = "profile"
    operation: str = "disclose"  # the verb its entry names


@dataclass(frozen=True, slots=True)
class Shown:
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

    def encoded(self) -> bytes:
        """Return the JSON the API answers."""
        return orjson.dumps(
            {
                "subject_id": self.subject_id,
                "state": self.state,
                "decision_id": self.decision_id,
                "entry_id": self.entry_id,
                "policy": self.policy,
                "purpose": self.purpose,
                "agreements": self.agreements,
                "fields": self.fields,
            }
        )


@dataclass(frozen=True, slots=True)
class Case:
    """One ask between its decision and its opening. `present` names the fields that hold a value."""

    ask: Ask
    person: Person
    caller: CallerFacts
    ticket: TicketFacts
    decision: Decision
    present: frozenset[str]
    entry_id: str
    at: datetime
    fault: VaultError | None = None


def decision_of(entry_id: str) -> str:
    """Return the id of the decision an entry records: the two share their random part."""
    return "dec_" + entry_id.removeprefix("ent_")


def answered_level(case: Case, name: str, one: FieldDecision) -> str:
    """Return `clear`, `masked`, `token`, `withheld` or `absent`; absent is said only to one who could see at least a mask."""
    return one.level if one.level == "withheld" or name in case.present else "absent"


def disclosure_draft(vault: Vault, case: Case) -> Draft:
    """Return the entry of one disclosure: what is shown of whom, to whom, why, resting on which agreements. Never a value."""
    decision, context = case.decision, case.ask.context
    catalogue = vault.catalogue.fields
    named = {name: one for name, one in decision.fields.items() if not catalogue[name].never_to_subject}
    levels = {name: _level(case, name, one) for name, one in named.items()}
    shown = {name for name, level in levels.items() if level not in ("withheld", "absent")}
    clear = {name for name in shown if levels[name] == "clear"}
    refused = decision.hidden or decision.restricted
    exists = case.person.subject is not None
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
        terms=_terms(case, shown),
        bundle=bytes.fromhex(decision.bundle.removeprefix("sha256:")),
        details=_details(vault, case, shown),
        internal=_internal(case),
        chain=chain_of(case.ask.subject_id, case.person),
        opens={} if refused or case.fault else {n: a for n, a in decision.opened().items() if n in case.present},
        subject_id=case.ask.subject_id if exists else "",
        team=case.caller.team,
        ticket_id=context.ticket_id,
        ticket_state=case.ticket.state,
        classes=tuple(sorted({catalogue[name].class_name for name in shown})),
        clear_classes=tuple(sorted({catalogue[name].class_name for name in clear})),
    )


def chain_of(subject_id: str, person: Person) -> Chain | None:
    """Return where the next entry of this person's chain goes; None for nobody."""
    if person.subject is None or person.audit_key is None:
        return None
    epoch, wrap = person.audit_key
    era, number, tag = person.head
    return Chain(subject_id, epoch, wrap, era, number, tag)


def _level(case: Case, name: str, one: FieldDecision) -> str:
    level = answered_level(case, name, one)
    return f"masked:{one.mask}" if level == "masked" else level


def _terms(case: Case, shown: set[str]) -> tuple[str, ...]:
    templates = {one.agreement_id: one.template for one in case.person.agreements}
    resting = {case.decision.fields[name].agreement_id for name in shown}
    return tuple(sorted({templates[agreement] for agreement in resting if agreement in templates}))


def _details(vault: Vault, case: Case, shown: set[str]) -> dict[str, Any]:
    """Return the part the data subject may see."""
    context, templates = case.ask.context, {one.agreement_id: one.template for one in case.person.agreements}
    agreements = {name: one for name in sorted(shown) if (one := case.decision.fields[name].agreement_id) is not None}
    basis = {name: vault.templates[templates[one]].basis for name, one in agreements.items()}
    details: dict[str, Any] = {"decision_id": decision_of(case.entry_id), "agreements": agreements, "basis": basis}
    if case.person.subject is not None:
        details["subject_id"] = case.ask.subject_id
    if case.caller.team is not None:
        details["team"] = case.caller.team
    if context.ticket_id is not None:
        details["ticket"] = {"id": context.ticket_id, "check": case.ticket.state}
    return details


def _internal(case: Case) -> dict[str, Any]:
    """Return the part for officers."""
    context = case.ask.context
    internal: dict[str, Any] = {
        "caller_id": context.caller.id,
        "application": context.caller.client_id,
        "decision": dict(case.decision.record),
    }
    if context.request_id is not None:
        internal["request"] = context.request_id
    if case.person.subject is None:
        internal["asked"] = case.ask.subject_id
    return internal
