"""Break-glass: a grant that lifts role, assignment and caller verification, for one person's named fields and some minutes.

Steps (docs/policy.md): (1) denied, and eligible; (2) a second factor within five minutes; (3) a coded reason, words, a
ticket; (4) one person, listed fields, 15 to 60 minutes, never an export; (5) critical and special fields only once another person
approved; (6) the officer is told at once; (7) a third person reviews within two working days, and an overdue review blocks another
grant; (8) the person is told unless the officer records why not. It never lifts gate 1, restriction, obscuring, erasure, `never`
flags or channel caps: no agreement, no key, no exception. The grant is a row; whether it is still valid is worked out at each read.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa

from vault import tables
from vault.assembly import Vault
from vault.errors import AccessDenied, Conflict, Fault, InvalidValue, NotFound, Restricted, VaultError
from vault.operations.acting import Acting, carrying_out, prepare, record, refuse, require_permission, require_person
from vault.operations.facts import as_known, subject_facts
from vault.operations.reveal import text_fault
from vault.outbox import announce
from vault.policy.model import BreakGlass, Context, Decision

PURPOSES: Final[Mapping[str, str]] = {  # what an agreement must cover
    "EMERGENCY_SAFETY": "emergency",
    "VITAL_INTEREST": "emergency",
    "FRAUD_IN_PROGRESS": "fraud-prevention",
    "AUTHORITY_ORDER": "legal-compliance",
    "SYSTEM_OUTAGE": "customer-care",
}
MOST_FIELDS: Final = 10
MINUTES: Final = range(15, 61)
TO_APPROVE: Final = timedelta(minutes=15)
WORKING_DAYS_TO_REVIEW: Final = 2
_SATURDAY = 5


@dataclass(frozen=True, slots=True)
class Plea:
    """What somebody asks to see although they may not, why, and for how long."""

    fields: tuple[str, ...]
    reason: str
    justification: str = field(repr=False)
    minutes: int = 30


@dataclass(frozen=True, slots=True)
class Grant:
    """The answer. `needs_approval`: the fields that stay closed until another person approves."""

    grant_id: str
    expires_at: datetime
    approve_by: datetime
    review_due_at: datetime
    needs_approval: tuple[str, ...]
    entry_id: str


def break_glass(vault: Vault, context: Context, subject_id: str, plea: Plea) -> Grant:
    """Open a grant. Raises InvalidValue, AccessDenied with the step that is missing, Conflict, and what `disclose` raises."""
    fields = _fit(vault, context, plea)
    fields_of = vault.catalogue.fields
    acting = prepare(vault, "break_glass", context, subject_id, {fields_of[name].class_name for name in fields})
    require_permission(vault, acting)
    require_second_factor(vault, acting)
    _require_reviewed(vault, acting)
    if acting.ticket.state not in ("asserted", "verified"):
        raise refuse(vault, acting, NotFound())
    require_person(vault, acting)
    _require_denied_and_lawful(vault, acting, fields)
    alone = _decided(vault, acting, fields, "open")
    zone = vault.controller(context.controller_id).zone
    grant = Grant(
        grant_id=vault.new_id("bgl"),
        expires_at=acting.at + timedelta(minutes=plea.minutes),
        approve_by=acting.at + TO_APPROVE,
        review_due_at=working_days_after(acting.at.astimezone(zone), WORKING_DAYS_TO_REVIEW),
        needs_approval=tuple(name for name in fields if alone.fields[name].level != "clear"),
        entry_id=acting.entry_id,
    )
    _open(vault, acting, grant, fields, plea)
    return grant


def require_second_factor(vault: Vault, acting: Acting) -> None:
    """Refuse, on record, who has not proved themselves by a second factor within the last five minutes."""
    if not acting.context.caller.step_up:
        raise refuse(vault, acting, AccessDenied("step-up-needed"))


def working_days_after(start: datetime, days: int) -> datetime:
    """Return the same time so many working days later, Saturdays and Sundays left out. Public holidays are not known here."""
    due = start
    while days:
        due += timedelta(days=1)
        days -= due.weekday() < _SATURDAY
    return due


def _fit(vault: Vault, context: Context, plea: Plea) -> tuple[str, ...]:
    """Return the fields, once each. Raises InvalidValue by pointer and code, and says nothing of anybody."""
    fields = tuple(dict.fromkeys(plea.fields))
    faults = []
    if not 0 < len(fields) <= MOST_FIELDS:
        faults.append(Fault("/fields", "fields.count"))
    if any(name not in vault.catalogue.fields for name in fields):
        faults.append(Fault("/fields", "field.unknown"))
    if PURPOSES.get(plea.reason) != context.purpose:
        faults.append(Fault("/reason", "reason.unknown" if plea.reason not in PURPOSES else "reason.not-of-purpose"))
    if plea.minutes not in MINUTES:
        faults.append(Fault("/minutes", "minutes.range"))
    if (wrong := text_fault(plea.justification, needed=True)) is not None:
        faults.append(Fault("/justification", wrong))
    if faults:
        raise InvalidValue(faults=faults)
    return fields


def _require_reviewed(vault: Vault, acting: Acting) -> None:
    """Refuse, on record, whose last grant should have been reviewed by now."""
    found = vault.database.read(acting.context.controller_id, _OVERDUE, _asked(acting))
    if found:
        raise refuse(vault, acting, Conflict("review-overdue"))


def _asked(acting: Acting) -> dict[str, Any]:
    return {"controller_id": acting.context.controller_id, "requester": acting.context.caller.id, "at": acting.at}


def _require_denied_and_lawful(vault: Vault, acting: Acting, fields: tuple[str, ...]) -> None:
    """Refuse what the caller may reveal anyway, and what not even an approved grant would open."""
    most = _decided(vault, acting, fields, "approved")
    closed = [name for name, one in most.fields.items() if one.level != "clear"]
    if closed:
        raise refuse(vault, acting, _refusal(acting, most, closed))
    before = _decided(vault, acting, fields, "none")
    allowed = [name for name, one in before.fields.items() if one.level == "clear"]
    if allowed:
        raise refuse(vault, acting, Conflict("not-denied", faults=[Fault(f"/fields/{name}", "not-denied") for name in allowed]))


def _decided(vault: Vault, acting: Acting, fields: tuple[str, ...], state: BreakGlass) -> Decision:
    person, frames = as_known(acting.context, acting.subject_id, acting.person)
    facts = subject_facts(acting.subject_id, person, acting.at, frames.values())
    ticket = replace(acting.ticket, break_glass=state)
    return vault.policy.decide(acting.context, "reveal", acting.caller, ticket, facts, fields)


def _refusal(acting: Acting, decision: Decision, closed: list[str]) -> VaultError:
    if decision.restricted:
        return Restricted()
    if acting.ticket.state != "verified" or decision.failed:
        return NotFound()
    faults = [Fault(f"/fields/{name}", decision.fields[name].because) for name in closed]
    return AccessDenied(decision.fields[closed[0]].because, faults=faults)


def _open(vault: Vault, acting: Acting, grant: Grant, fields: tuple[str, ...], plea: Plea) -> None:
    context = acting.context
    said = {"grant": grant.grant_id, "reason": plea.reason, "minutes": plea.minutes, "fields": sorted(fields)}
    record(vault, acting, details=said, internal={"justification": plea.justification})
    row: dict[str, Any] = {
        "controller_id": context.controller_id, "subject_id": acting.subject_id, "grant_id": grant.grant_id,
        "requester": context.caller.id, "ticket_id": context.ticket_id, "purpose": context.purpose, "reason": plea.reason,
        "fields": sorted(fields), "minutes": plea.minutes, "opened_at": acting.at, "approve_by": grant.approve_by,
        "expires_at": grant.expires_at, "review_due_at": grant.review_due_at, "tell_subject": True, "entry_id": acting.entry_id,
    }  # fmt: skip
    with carrying_out(vault, acting) as transaction:
        transaction.execute(_INSERT, row)
        announce(transaction, vault, context.controller_id, "break-glass:opened", acting.entry_id, acting.at,
                 subject_id=acting.subject_id, grant_id=grant.grant_id, reason=plea.reason, fields=sorted(fields))  # fmt: skip


_INSERT = sa.insert(tables.break_glass)
_G = tables.break_glass.c
_OVERDUE = sa.select(_G.grant_id).where(
    _G.controller_id == sa.bindparam("controller_id"),
    _G.requester == sa.bindparam("requester"),
    _G.reviewed_at.is_(None),
    _G.review_due_at <= sa.bindparam("at"),
)
