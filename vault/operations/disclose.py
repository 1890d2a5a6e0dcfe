"""Show fields, each as clearly as policy allows; the reading is on record before anything is opened.

Order: one read statement, the decision, the committed entry, then the opening. A refusal is a value until its entry is committed,
so probing leaves its trace; unknown and forbidden subjects are decided, recorded and answered alike.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

import structlog

from vault.assembly import Vault
from vault.audit.entry import Draft
from vault.errors import AccessDenied, DatabaseUnavailable, Erased, KeysUnavailable, NotFound, Restricted, Unreadable, VaultError
from vault.keys.data_keys import open_fields
from vault.keys.frame import Frame
from vault.operations.acting import is_gone
from vault.operations.disclosure import Ask, Case, Profile, Shown, decision_of, disclosure_draft
from vault.operations.facts import (
    as_known,
    break_glass_state,
    caller_facts,
    is_self,
    parties,
    sealed_classes,
    subject_facts,
    ticket_facts,
)
from vault.operations.show_tokens import remember_tokens, shows_token, token_text
from vault.permit import Clear, ReadPermit
from vault.policy.masks import show
from vault.policy.model import FieldDecision
from vault.profiles.records import Snapshot, snapshot_all

log = structlog.get_logger()
Record = Callable[[Sequence[Draft]], Sequence[ReadPermit]]


def disclose(vault: Vault, ask: Ask) -> Profile:
    """Show the asked fields of one subject: `disclose_all` with a batch of one. Raises what it answers for a refusal."""
    answer = disclose_all(vault, [ask])[0]
    if isinstance(answer, VaultError):
        raise answer
    return answer


def disclose_all(vault: Vault, asks: Sequence[Ask], record: Record | None = None) -> list[Profile | VaultError]:
    """Answer asks of one controller, in order; each is refused or fails alone.

    One read statement, one audit commit. Raises AuditUnavailable or DatabaseUnavailable when the batch cannot be read or recorded:
    then nothing was opened. `record` is a lane's own recorder; without it the shared one is used.
    """
    controller_id = asks[0].context.controller_id
    now = vault.now()
    read = read_all(vault, controller_id, asks)
    cases = [decide_on(vault, ask, read, now) for ask in asks]
    drafts = [disclosure_draft(vault, case) for case in cases]
    permits = record(drafts) if record is not None else vault.audit.record_all(controller_id, drafts)
    answers = [answer_of(vault, case, permit) for case, permit in zip(cases, permits, strict=True)]
    try:
        remember_tokens(vault, controller_id, [case for case, one in zip(cases, answers, strict=True) if isinstance(one, Profile)])
    except (DatabaseUnavailable, KeysUnavailable) as error:
        return [error if shows_token(case) else one for case, one in zip(cases, answers, strict=True)]
    return answers


def read_all(vault: Vault, controller_id: str, asks: Sequence[Ask]) -> Snapshot:
    """Return what is known of everybody and everything these asks name, read in one statement."""
    known = vault.catalogue.fields
    everything = any(ask.fields is None for ask in asks)
    named = {known[name].class_name for ask in asks for name in ask.fields or ()}
    return snapshot_all(
        vault.database,
        controller_id,
        [ask.subject_id for ask in asks],
        [one for ask in asks for one in parties(ask.context.caller)],
        [ask.context.ticket_id for ask in asks if ask.context.ticket_id],
        vault.catalogue.classes if everything else named,
    )


def decide_on(vault: Vault, ask: Ask, read: Snapshot, now: datetime) -> Case:
    """Return the case of one ask: what was read of it, and what policy decides."""
    person = read.person(ask.subject_id)
    caller = caller_facts(vault.catalogue, ask.context, read, now)
    ticket = ticket_facts(vault.tickets, ask.context, caller, ask.subject_id, read, now)
    if grants := read.grants.get((ask.subject_id, ask.context.caller.id)):
        ticket = replace(ticket, break_glass=break_glass_state(grants, ask.context, caller, ask.act, ask.fields, now))
    names = ask.fields or vault.policy.default_fields(caller.roles)
    frames: dict[str, Frame] = {}
    fault = None
    try:
        person, frames = as_known(ask.context, ask.subject_id, person)
    except Unreadable as error:
        fault = error
    facts = subject_facts(ask.subject_id, person, now, frames.values())
    decision = vault.policy.decide(ask.context, ask.act, caller, ticket, facts, names)
    present = {name for one in frames.values() for name in one.entries}
    return Case(ask, person, caller, ticket, decision, frames, present, vault.new_id("ent"), now, fault)


def answer_of(vault: Vault, case: Case, permit: ReadPermit) -> Profile | VaultError:
    """Open what the permit covers and mask it, or return the refusal its entry has recorded."""
    if case.ask.noted is not None:
        case.ask.noted[permit.entry_id] = permit.leaf_hash
    decision, decision_id = case.decision, decision_of(case.entry_id)
    if decision.hidden and decision.told is not None:
        return AccessDenied(decision.told, decision_id=decision_id, entry_id=case.entry_id)
    if decision.hidden and is_gone(case.person) and is_self(case.ask.context, case.ask.subject_id, case.person):
        return Erased(decision_id=decision_id, entry_id=case.entry_id)
    if decision.hidden:
        return NotFound(decision_id=decision_id, entry_id=case.entry_id)
    if decision.restricted:
        return Restricted(decision_id=decision_id, entry_id=case.entry_id)
    subject = case.person.subject
    if case.fault is not None or subject is None:
        return _unreadable(case)
    sealed = sealed_classes(case.ask.context.controller_id, case.ask.subject_id, case.person, case.frames)
    try:
        opened = open_fields(vault.keys, permit, sealed, vault.monotonic(), _absent(vault, case))
        fields = {name: _shown(vault, case, name, one, opened) for name, one in decision.fields.items()}
    except Unreadable:
        return _unreadable(case)
    except KeysUnavailable as error:
        return error
    return Profile(
        case.ask.subject_id, subject.state, subject.version, decision_id, case.entry_id, decision.bundle,
        case.ask.context.purpose, tuple(sorted(decision.resting)), fields,
    )  # fmt: skip


def _absent(vault: Vault, case: Case) -> dict[str, str]:
    """Return the classes a field of which is answered as absent, each with the agreement that decision rests on."""
    fields, present = vault.catalogue.fields, case.present
    return {
        fields[name].class_name: agreement_id
        for agreement_id, names in case.decision.resting.items()
        for name in names
        if name not in present
    }


def _shown(vault: Vault, case: Case, name: str, one: FieldDecision, opened: Mapping[str, Clear]) -> Shown:
    """Return one field as answered; absent is said only to one who could see at least a mask."""
    level, mask, because, _ = one
    if level == "withheld":
        return Shown(level, None, None, because)
    if name not in case.present:
        return Shown("absent", None, None, because)
    if level == "token":
        return Shown(level, token_text(vault, case, name), None, because)
    value = opened[name].value
    return Shown(level, value if mask is None else show(mask, value), mask, because)


def _unreadable(case: Case) -> Unreadable:
    log.error("unreadable", subject_id=case.ask.subject_id, entry_id=case.entry_id)
    return Unreadable(decision_id=decision_of(case.entry_id), entry_id=case.entry_id)
