"""Check what a caller says about themselves: match or no match, and nothing is shown.

The whole normalised value is compared, as HMACs in constant time; what is not there is a miss at the same cost. Every attempt is
taken from its budgets before anything is compared, and only a match gives it back: so attempts side by side cannot pass the cap,
and past it right and wrong answers look alike. Both ways lead through the same statements.
"""

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from vault import budgets, tables
from vault.assembly import Vault
from vault.budgets import Budget
from vault.errors import AccessDenied, Fault, InvalidValue, NotFound, Restricted, VaultError
from vault.keys.data_keys import open_fields
from vault.keys.frame import Frame
from vault.operations.acting import (
    Acting,
    carrying_out,
    prepare,
    record,
    refuse,
    require_permission,
    require_person,
    tell_outcome,
    telling,
)
from vault.operations.enrolment import canonical
from vault.operations.facts import as_known, sealed_classes, subject_facts
from vault.operations.within_limits import within_limits
from vault.policy.model import Context, Decision
from vault.profiles.blind_index import matches
from vault.profiles.catalogue import Field
from vault.profiles.normalise import match_text


@dataclass(frozen=True, slots=True)
class Verified:
    """The answer, and the entry that says so."""

    match: bool
    entry_id: str


def verify(vault: Vault, context: Context, subject_id: str, field: str, value: Any) -> Verified:
    """Tell whether this is the person's value. Raises InvalidValue, TooMany with the seconds to wait, and refusals."""
    known = vault.catalogue.fields.get(field)
    acting = prepare(vault, "verify", context, subject_id, [known.class_name] if known is not None else ())
    require_permission(vault, acting)
    require_person(vault, acting)
    if known is None or known.verify == "none":
        raise InvalidValue(faults=[Fault("/field", "field.not-verifiable")])
    person, frames = as_known(context, subject_id, acting.person)
    acting = replace(acting, person=person)
    agreement_id = _deciding(vault, acting, field, frames)
    said = _said(known, value)
    taken = within_limits(vault, acting, _budgets(vault, acting, field), "verify-budget")
    match = _compare(vault, acting, known, agreement_id, frames, said)
    entry_id = tell_outcome(vault, acting, "allowed" if match else "refused", "match" if match else "no-match")
    with carrying_out(vault, acting) as transaction:
        budgets.give_back(transaction, context.controller_id, taken.of, 1 if match else 0)
        transaction.execute(_REMEMBER, _row(vault, acting, known, match))
    return Verified(match, entry_id)


def _deciding(vault: Vault, acting: Acting, field: str, frames: dict[str, Frame]) -> str:
    """Return the agreement the comparison rests on. Raises the recorded refusal."""
    facts = subject_facts(acting.subject_id, acting.person, acting.at, frames.values())
    decision = vault.policy.decide(acting.context, "verify", acting.caller, acting.ticket, facts, [field])
    agreement_id = decision.agreement_of(field)
    if agreement_id is None:
        raise refuse(vault, acting, _refusal(decision, field))
    return agreement_id


def _refusal(decision: Decision, field: str) -> VaultError:
    if decision.hidden:
        return NotFound() if decision.told is None else AccessDenied(decision.told)
    return Restricted() if decision.restricted else AccessDenied(decision.fields[field].because)


def _said(field: Field, value: Any) -> str:
    try:
        return match_text(field.type, canonical(field, value))
    except InvalidValue as error:
        raise InvalidValue(faults=[Fault("/value" + one.pointer, one.code) for one in error.faults]) from None


def _budgets(vault: Vault, acting: Acting, field: str) -> list[Budget]:
    """Return what an attempt is taken from, narrowest first."""
    limits, subject_id = vault.policy.limits, acting.subject_id
    found = budgets.budgets_of(subject_id, f"miss/{field}", limits.misses_per_subject_and_field)
    found += budgets.budgets_of(subject_id, "misses-of-subject", limits.misses_per_subject)
    return found + budgets.budgets_of(acting.context.caller.id, "misses", limits.misses_per_caller)


def _compare(vault: Vault, acting: Acting, field: Field, agreement_id: str, frames: dict[str, Frame], said: str) -> bool:
    """Record the act, open the value through the deciding agreement's wrap and compare."""
    one, controller_id = frames.get(field.class_name), acting.context.controller_id
    present = one is not None and field.name in one.entries
    permit = record(
        vault, acting, outcome="allowed", opens={field.name: agreement_id} if present else {}, fields={field.name: "verified"},
        details={"agreements": {agreement_id: [field.name]}}, count=0,
    )  # fmt: skip
    sealed = sealed_classes(controller_id, acting.subject_id, acting.person, frames)
    with telling(vault, acting):
        opened = open_fields(vault.keys, permit, sealed, vault.monotonic(), {field.class_name: agreement_id})
        kept = match_text(field.type, opened[field.name].value if field.name in opened else said)
        return matches(vault.keys.secret(controller_id, "index").key, field.name, said, kept, there=field.name in opened)


def _row(vault: Vault, acting: Acting, field: Field, match: bool) -> dict[str, Any]:
    """Return the row of this attempt. A miss takes an earlier match back: who did not know it now has not proved it."""
    until = acting.at + timedelta(seconds=vault.policy.limits.caller_verified_s)
    return {
        "controller_id": acting.context.controller_id, "subject_id": acting.subject_id, "caller_id": acting.context.caller.id,
        "ticket_id": acting.context.ticket_id or "", "field": field.name, "kind": field.verify, "tried_at": acting.at,
        "valid_until": until if match else None, "entry_id": acting.entry_id,
    }  # fmt: skip


def _remember() -> sa.Insert:
    new = insert(tables.verification)
    changed = {name: new.excluded[name] for name in ("kind", "tried_at", "valid_until", "entry_id")}
    return new.on_conflict_do_update(
        index_elements=["controller_id", "subject_id", "caller_id", "ticket_id", "field"], set_=changed
    )


_REMEMBER = _remember()
