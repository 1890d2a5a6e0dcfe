"""Object to marketing, or to what rests on a legitimate interest or a public task (Art. 21); take it back; overrule it.

It is in force with the next read. Against marketing nobody weighs anything, whatever the basis, and only a consent given later
stands against it. The other stops those two bases, which is their restriction (18(1)(d)), until the officer's recorded balancing
finds compelling grounds, or the person takes it back.
"""

from typing import Any, Final, Literal

import sqlalchemy as sa

from vault.assembly import Vault
from vault.erasure.ledger import Line, Op
from vault.errors import Conflict, Fault, InvalidValue
from vault.operations.acting import Acting, carrying_out, prepare, record, refuse, require_permission, require_person
from vault.operations.burying import silence
from vault.operations.leave_request import leave_request
from vault.operations.on_ledger import carrying_out_on_ledger, close, said_of
from vault.operations.restrict import Changed
from vault.operations.reveal import text_fault
from vault.outbox import announce
from vault.policy.model import Context
from vault.profiles import states

What = Literal["marketing", "interests"]
_VERBS: Final[dict[What, str]] = {"marketing": "object_to_marketing", "interests": "object"}
_OPS: Final[dict[What, Op]] = {"marketing": "suppress", "interests": "object"}


def object_to(vault: Vault, context: Context, subject_id: str, what: What) -> Changed:
    """Object. Saying it twice is no error. Raises NotFound, AccessDenied."""
    acting = _prepared(vault, _VERBS[what], context, subject_id)
    record(vault, acting, details={"result": "objected", "to": what})
    return object_recorded(vault, acting, what)


def object_recorded(vault: Vault, acting: Acting, what: What, line: Line | None = None) -> Changed:
    """Carry an objection out whose entry is committed; the ledger knows it, or a restored backup would forget it."""
    with carrying_out_on_ledger(vault, acting, line) as kept:
        version = _changed(vault, kept.rows, acting, what, objects=True)
        if line is None:
            leave_request(vault, kept.rows, acting, "objection-marketing" if what == "marketing" else "objection")
        kept.tell(said_of(vault, _OPS[what], acting.context.controller_id, acting.subject_id, request=acting.entry_id))
    close(vault, kept.line)
    return Changed(version, acting.entry_id)


def withdraw_objection(vault: Vault, context: Context, subject_id: str, what: What) -> Changed:
    """Take an objection back, as the person's own will. Raises NotFound, AccessDenied, Conflict `not-objected`."""
    acting = _prepared(vault, "withdraw_objection", context, subject_id)
    _require_objected(vault, acting, what)
    record(vault, acting, details={"result": "objection-withdrawn", "to": what})
    return _change(vault, acting, what, objects=False)


def overrule_objection(vault: Vault, context: Context, subject_id: str, balancing: str) -> Changed:
    """End an objection by compelling grounds, in the officer's own words; never one to marketing.

    Raises InvalidValue, NotFound, AccessDenied, Conflict `not-objected`.
    """
    if (wrong := text_fault(balancing, needed=True)) is not None:
        raise InvalidValue(faults=[Fault("/balancing", wrong)])
    acting = _prepared(vault, "overrule_objection", context, subject_id)
    _require_objected(vault, acting, "interests")
    record(vault, acting, details={"result": "objection-overruled", "to": "interests"}, internal={"balancing": balancing})
    return _change(vault, acting, "interests", objects=False)


def _prepared(vault: Vault, verb: str, context: Context, subject_id: str) -> Acting:
    acting = prepare(vault, verb, context, subject_id)
    require_permission(vault, acting)
    require_person(vault, acting)
    return acting


def _require_objected(vault: Vault, acting: Acting, what: What) -> None:
    row = acting.person.subject
    if row is None or not (row.objected_marketing if what == "marketing" else row.objected):
        raise refuse(vault, acting, Conflict("not-objected"))


def _change(vault: Vault, acting: Acting, what: What, *, objects: bool) -> Changed:
    with carrying_out(vault, acting) as transaction:
        return Changed(_changed(vault, transaction, acting, what, objects=objects), acting.entry_id)


def _changed(vault: Vault, rows: sa.Connection, acting: Acting, what: What, *, objects: bool) -> int:
    controller_id, subject_id = acting.context.controller_id, acting.subject_id
    stored: dict[str, Any] = {"objected": objects}
    if what == "marketing":
        stored = {"objected_marketing": objects, "objected_at": acting.at if objects else None}
    name = "subject:objected" if objects else "subject:objection-ended"
    version, _ = states.locked(rows, controller_id, subject_id)
    states.change(rows, controller_id, subject_id, **stored)
    if what == "marketing":
        silence(vault, rows, acting, quiet=objects, at=acting.at)
    announce(rows, vault, controller_id, name, acting.entry_id, acting.at, subject_id=subject_id, to=what)
    return version
