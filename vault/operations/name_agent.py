"""Name one agent, by two people: an officer asks with a reason, another person approves within a day, and each look is on record.

Staff appear to officers and customers under pseudonyms (L. 300/1970, art. 4; GDPR 88). A name is told for one suspicion, for a
week; or in one report to a customer, where it is indispensable to them and was weighed against the agent's rights (C-579/21).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Literal

import sqlalchemy as sa

from vault import tables
from vault.assembly import Vault
from vault.audit.records import StoredEntry
from vault.audit.scan import members_of
from vault.errors import AccessDenied, Conflict, Fault, InvalidValue, NotFound
from vault.operations.acting import Acting, carrying_out, prepare, record, refuse, require_permission, telling
from vault.operations.break_glass import require_second_factor
from vault.operations.kept_entry import found_entry, opened_entry
from vault.operations.reveal import text_fault
from vault.policy.model import Context

TO_APPROVE: Final = timedelta(hours=24)
LAPSES: Final = timedelta(days=7)
Kind = Literal["suspicion", "report"]


@dataclass(frozen=True, slots=True)
class Plea:
    """Whose agent is to be named and why: `entry_id` is one access of theirs, `reference` the suspicion or the person's request.

    `why`: the officer's own words; for a report, the balancing.
    """

    entry_id: str
    kind: Kind
    reference: str
    why: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Naming:
    """A naming that was asked for; nothing is told yet."""

    naming_id: str
    approve_by: datetime
    entry_id: str


@dataclass(frozen=True, slots=True)
class Named:
    """Who it was, and the entry that recorded the look."""

    caller_id: str
    entry_id: str


@dataclass(frozen=True, slots=True)
class Pending:
    """What an approver decides by: what was asked for and why, and which fields that access showed; never whose it was."""

    plea: Plea
    fields: Mapping[str, str]
    entry_id: str


def ask_naming(vault: Vault, context: Context, plea: Plea) -> Naming:
    """Ask for a name. Raises InvalidValue, NotFound for an entry that is none of an agent, AccessDenied."""
    wrong = text_fault(plea.why, needed=True)
    if wrong is not None:
        raise InvalidValue(faults=[Fault("/why", wrong)])
    acting = prepare(vault, "ask_unmask", context)
    require_permission(vault, acting)
    stored = _entry(vault, context.controller_id, plea.entry_id)
    if stored is None or (plea.kind == "report" and stored.stream != "open"):
        raise refuse(vault, acting, NotFound("entry-not-found"))
    made = Naming(vault.new_id("nam"), acting.at + TO_APPROVE, acting.entry_id)
    said = {"naming": made.naming_id, "of": plea.entry_id, "reference": plea.reference, "why": plea.why}
    record(vault, acting, details={"result": plea.kind}, internal=said)
    row = {
        "controller_id": context.controller_id, "naming_id": made.naming_id, "kind": plea.kind, "of_entry_id": plea.entry_id,
        "subject_id": stored.subject_id, "reference": plea.reference, "asked_by": context.caller.id, "asked_at": acting.at,
        "approve_by": made.approve_by, "entry_id": acting.entry_id,
    }  # fmt: skip
    with carrying_out(vault, acting) as transaction:
        transaction.execute(_INSERT, row)
    return made


def approve_naming(vault: Vault, context: Context, naming_id: str) -> str:
    """Approve what somebody else asked for; return the entry's id.

    Raises NotFound, AccessDenied (`own-token-needed`, `step-up-needed`, `self-approval`), Conflict once it is too late or done.
    """
    acting, row = _prepared(vault, "approve_unmask", context, naming_id)
    if context.caller.actor is not None:
        raise refuse(vault, acting, AccessDenied("own-token-needed"))
    require_second_factor(vault, acting)
    if row.asked_by == context.caller.id:
        raise refuse(vault, acting, AccessDenied("self-approval"))
    if row.approver is not None or acting.at >= row.approve_by:
        raise refuse(vault, acting, Conflict("naming-closed"))
    record(vault, acting, details={"result": "approved"}, internal={"naming": naming_id})
    done = {"by": context.caller.id, "now": acting.at, "until": acting.at + LAPSES}
    with carrying_out(vault, acting) as transaction:
        if transaction.execute(_APPROVE, {**_place(context, naming_id), **done}).rowcount != 1:
            raise Conflict("naming-closed")
    return acting.entry_id


def see_plea(vault: Vault, context: Context, naming_id: str) -> Pending:
    """Tell an approver what waits for them. Raises NotFound, AccessDenied, Conflict once it is too late or done."""
    acting, row = _prepared(vault, "approve_unmask", context, naming_id)
    if row.approver is not None or acting.at >= row.approve_by:
        raise refuse(vault, acting, Conflict("naming-closed"))
    record(vault, acting, details={"result": "looked"}, internal={"naming": naming_id, "of": row.of_entry_id})
    with telling(vault, acting):
        asked, of = (found_entry(vault, context.controller_id, one) for one in (row.entry_id, row.of_entry_id))
        if asked is None or of is None:
            raise NotFound("entry-not-found", entry_id=acting.entry_id)
        said = opened_entry(vault, context.controller_id, asked).internal
    plea = Plea(row.of_entry_id, row.kind, row.reference, str(said["why"]))
    return Pending(plea, dict((members_of(of.leaf) or {}).get("fields", {})), acting.entry_id)


def see_name(vault: Vault, context: Context, naming_id: str) -> Named:
    """Tell the officer who asked whose access it was. Raises NotFound, AccessDenied, Conflict unless it is approved."""
    acting, row = _prepared(vault, "unmask", context, naming_id)
    if row.asked_by != context.caller.id or row.kind != "suspicion":
        raise refuse(vault, acting, NotFound("naming-not-found"))
    if row.approver is None or acting.at >= row.lapses_at:
        raise refuse(vault, acting, Conflict("naming-closed"))
    record(vault, acting, details={"result": "looked"}, internal={"naming": naming_id, "of": row.of_entry_id})
    return Named(named_caller(vault, context.controller_id, row.of_entry_id), acting.entry_id)


def for_report(vault: Vault, acting: Acting, naming_id: str) -> str:
    """Spend a naming approved for a report on this person, on record; return whose name it is.

    The entry names the report: beside which of its accesses the name stands follows from that.

    Raises NotFound, AccessDenied, Conflict.
    """
    context = acting.context
    rows = vault.database.read(context.controller_id, _BY_ID, {"controller_id": context.controller_id, "naming_id": naming_id})
    row = rows[0] if rows else None
    if row is None or (row.kind, row.subject_id, row.asked_by) != ("report", acting.subject_id, context.caller.id):
        raise NotFound("naming-not-found")
    if row.approver is None or row.used_at is not None or acting.at >= row.lapses_at:
        raise Conflict("naming-closed")
    telling_it = prepare(vault, "unmask", context)
    require_permission(vault, telling_it)
    said = {"naming": naming_id, "of": row.of_entry_id, "report": acting.entry_id}
    record(vault, telling_it, details={"result": "reported"}, internal=said)
    with carrying_out(vault, telling_it) as transaction:
        if transaction.execute(_SPEND, {**_place(context, naming_id), "now": acting.at}).rowcount != 1:
            raise Conflict("naming-closed")
    return named_caller(vault, context.controller_id, row.of_entry_id)


def named_caller(vault: Vault, controller_id: str, entry_id: str) -> str:
    """Return whose access an entry is. Raises NotFound where nobody's is known any more."""
    stored = _entry(vault, controller_id, entry_id)
    caller_id = opened_entry(vault, controller_id, stored).internal.get("caller_id") if stored is not None else None
    if caller_id is None:
        raise NotFound("entry-not-found")
    return str(caller_id)


def _entry(vault: Vault, controller_id: str, entry_id: str) -> StoredEntry | None:
    """Return an entry of an agent's, once it has its position."""
    found = found_entry(vault, controller_id, entry_id)
    return found if found is not None and b'"kind":"agent"' in found.leaf else None


def _prepared(vault: Vault, verb: str, context: Context, naming_id: str) -> tuple[Acting, Any]:
    acting = prepare(vault, verb, context)
    require_permission(vault, acting)
    rows = vault.database.read(context.controller_id, _BY_ID, {"controller_id": context.controller_id, "naming_id": naming_id})
    if not rows:
        raise refuse(vault, acting, NotFound("naming-not-found"))
    return acting, rows[0]


def _place(context: Context, naming_id: str) -> dict[str, str]:
    return {"of_controller_id": context.controller_id, "of_naming_id": naming_id}


_N = tables.naming.c
_INSERT = sa.insert(tables.naming)
_BY_ID = sa.select(tables.naming).where(
    _N.controller_id == sa.bindparam("controller_id"), _N.naming_id == sa.bindparam("naming_id")
)
_THIS = sa.update(tables.naming).where(
    _N.controller_id == sa.bindparam("of_controller_id"), _N.naming_id == sa.bindparam("of_naming_id")
)
_APPROVE = _THIS.where(_N.approver.is_(None)).values(
    approver=sa.bindparam("by"), approved_at=sa.bindparam("now"), lapses_at=sa.bindparam("until")
)
_SPEND = _THIS.where(_N.used_at.is_(None)).values(used_at=sa.bindparam("now"))
