"""Show requests: the list of those that are open, the next due first; one of them with its history; and to people, their own.

At the desk an agent sees how a request stands, and nothing of what was written about it. What the vault calls a state, others know
by the terms of DPV and OpenDSR, which are told with it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

import sqlalchemy as sa

from vault.assembly import Vault
from vault.errors import AccessDenied
from vault.operations.acting import HOUSE, Acting, prepare, record, refuse, require_permission, telling
from vault.operations.move_request import required_request
from vault.operations.open_request import local_day, role_of
from vault.operations.sealed_words import opened_words
from vault.policy.model import Caller, Context
from vault.policy.periods import alarms
from vault.rights import letter_records as letters
from vault.rights import records
from vault.rights.kinds import KINDS
from vault.rights.letter_records import LetterRow
from vault.rights.moves import OPEN, OPEN_DSR, dpv_terms
from vault.rights.records import RequestRow, StepRow

VERB: Final = "show_request"
LATE: Final = timedelta(days=2)


@dataclass(frozen=True, slots=True)
class Shown:
    """The answer, and the entry that recorded it."""

    document: dict[str, Any]
    entry_id: str


def show_requests(vault: Vault, context: Context, *, only_open: bool = True, skip: int = 0) -> Shown:
    """Show the officers' list: open requests, the next due first, or all of them, the newest first. Raises AccessDenied."""
    acting = prepare(vault, VERB, context)
    require_permission(vault, acting)
    if role_of(acting) not in ("request-officer", "dpo"):
        raise refuse(vault, acting, AccessDenied("role"))
    with vault.database.snapshot(context.controller_id) as rows:
        found = records.page(rows, context.controller_id, only_open=only_open, skip=skip)
        governed = _governed(rows, context.controller_id, found)
    record(vault, acting, count=len(found), details={"result": "listed"})
    today = local_day(vault, context.controller_id, acting.at)
    listed = [_told(vault, acting, one, governed[one.request_id], today) for one in found[: records.PAGE]]
    return Shown({"requests": listed, "more": len(found) > records.PAGE}, acting.entry_id)


def requests_for_operator(vault: Vault, controller_id: str) -> list[dict[str, Any]]:
    """Return the open requests, the next due first, as whoever runs the vault may know them: nobody's id and no words."""
    operator = Caller(id="operator", kind="operator", roles=frozenset({"operator"}), client_id="riserbo")
    acting = prepare(vault, VERB, Context(controller_id, operator, "legal-compliance", "api"), permission=HOUSE)
    with vault.database.snapshot(controller_id) as rows:
        found = records.open_ones(rows, controller_id)
    record(vault, acting, count=len(found), details={"result": "listed"})
    today = local_day(vault, controller_id, acting.at)
    return [
        {
            "request_id": one.request_id, "kind": one.kind, "state": one.state, "waiting": one.waiting,
            "base_due": one.base_due.isoformat(), "due": one.due.isoformat() if one.due is not None else None,
            "overdue": one.due is not None and today > one.due,
        }
        for one in found
    ]  # fmt: skip


def show_own_requests(vault: Vault, context: Context, subject_id: str) -> Shown:
    """Show a person their requests, first to last. Raises NotFound, AccessDenied."""
    acting = prepare(vault, VERB, context, subject_id)
    require_permission(vault, acting)
    with vault.database.snapshot(context.controller_id) as rows:
        found = records.of_subject(rows, context.controller_id, subject_id)
        governed = _governed(rows, context.controller_id, found)
    record(vault, acting, count=len(found), details={"result": "listed"})
    today = local_day(vault, context.controller_id, acting.at)
    return Shown(
        {"requests": [_told(vault, acting, one, governed[one.request_id], today) for one in found], "more": False}, acting.entry_id
    )


def show_request(vault: Vault, context: Context, request_id: str) -> Shown:
    """Show one request with its steps; what was written to officers, and to the person what they wrote. Raises NotFound."""
    acting, row = required_request(vault, context, VERB, request_id)
    role = role_of(acting)
    with vault.database.snapshot(context.controller_id) as rows:
        steps = records.steps(rows, context.controller_id, request_id)
        governs = records.governing(rows, context.controller_id, row)
        written = letters.of_request(rows, context.controller_id, request_id) if role != "agent" else []
    record(vault, acting, count=1, details={"result": "shown", "request": request_id})
    with telling(vault, acting):
        told = [_step(vault, acting, row, one, role) for one in steps if role != "agent"]
    today = local_day(vault, context.controller_id, acting.at)
    letters_told = [_letter(one) for one in written]
    return Shown({**_told(vault, acting, row, governs, today), "steps": told, "letters": letters_told}, acting.entry_id)


def _governed(rows: sa.Connection, controller_id: str, found: Sequence[RequestRow]) -> dict[str, RequestRow]:
    return {one.request_id: records.governing(rows, controller_id, one) for one in found}


def _told(vault: Vault, acting: Acting, row: RequestRow, governs: RequestRow, today: date) -> dict[str, Any]:
    """Return how a request stands. `governs`: itself, or the one it repeats, whose words it goes by to others."""
    terms = KINDS[row.kind]
    overdue = row.state in OPEN and row.due is not None and today > row.due
    late = governs.state in OPEN and governs.due is not None and today > governs.due
    received = local_day(vault, acting.context.controller_id, row.received_at)
    return {
        "request_id": row.request_id, "subject_id": row.subject_id, "kind": row.kind, "ground": terms.ground,
        "fields": list(row.fields), "channel": row.channel, "received_at": row.received_at.isoformat(),
        "registered_at": row.registered_at.isoformat(), "late_registered": row.registered_at - row.received_at > LATE,
        "regime": row.regime, "base_due": row.base_due.isoformat(), "due": row.due.isoformat() if row.due is not None else None,
        "state": row.state, "waiting": row.waiting, "extended": row.extended is not None, "overdue": overdue,
        "level_needed": terms.level_for(special=row.special, contact=row.where.contact), "level": row.level,
        "decided_by": terms.decided_by,
        "outcome": row.outcome, "alarms": list(alarms(received, row.base_due, today)) if row.state in OPEN else [],
        "dpv": list(dpv_terms(governs.where, governs.outcome or "", late=late)), "open_dsr": OPEN_DSR[governs.state],
    }  # fmt: skip


def _step(vault: Vault, acting: Acting, row: RequestRow, step: StepRow, role: str) -> dict[str, Any]:
    """Return a step as this caller may know it: staff to staff, and to the person what they said and why they are refused."""
    told: dict[str, Any] = {"number": step.number, "verb": step.verb, "at": step.at.isoformat(), "role": step.role}
    told["stated"] = dict(step.stated)
    theirs = role != "customer" or step.role == "customer" or step.verb in ("ask", "extend", "refuse")
    if theirs:
        place = (vault, acting.context.controller_id, row.request_id, step.number, step.secret_version, step.sealed)
        told |= opened_words(*place)
    if role != "customer":
        told["by"] = step.by
    if step.verb == "refuse":
        told["refusal"] = _refusal(vault, step)
    return told


def _letter(one: LetterRow) -> dict[str, Any]:
    """Return what is told of a letter: that it was sent and when, or why it could not be."""
    sent_at = one.sent_at.isoformat() if one.sent_at is not None else None
    return {"about": one.about, "state": one.state, "made_at": one.made_at.isoformat(), "sent_at": sent_at, "code": one.code}


def _refusal(vault: Vault, step: StepRow) -> dict[str, Any]:
    """Return what a refusal is told by: its law, DPV term and texts, as the bundle in force has them."""
    code = str(step.stated.get("code", ""))
    found = vault.policy.refusals.get(code)
    return {"code": code} if found is None else {"code": code, "law": found.law, "dpv": found.dpv, "texts": dict(found.texts)}
