"""Erase a person: keys, then rows, everywhere, provably (GDPR 17). What a duty to keep covers is sealed anew and held for it alone.

1. A plan is made, and again now; executed is what was accepted, by one person, and approved by another.
2. The erasure is on record first. Its permit opens identifiers, of which keyed hashes are left, and what is to be sealed anew:
   for the last time, and in memory.
3. Everything their recipients received is known by then, up to the erasure's own entry: each is told in a task of its own.
4. One transaction takes everything away and commits only after the ledger's line is durable (`on_ledger`).
5. Then everything is looked for again, and nothing may be found; the certificate is signed; the line is closed. Data keys are in
   no memory between two requests, so none is left to drop.
6. Each step can be repeated: an act the ledger tells of and nothing closes is carried out at the next start.

Nothing here is told of a value, and the account names no field that is kept from the person. Source: `rights.md` 6.
"""

import hmac
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import structlog

from vault.assembly import Vault
from vault.erasure import records as erasures
from vault.erasure.ledger import REQUEST, Line, Said
from vault.erasure.plan import Plan, spelt
from vault.erasure.records import ErasureRow
from vault.errors import Conflict, DatabaseUnavailable, Erased, Fault, InvalidValue, Unavailable, Unreadable
from vault.keys import epochs
from vault.keys import records as keys
from vault.keys.data_keys import open_fields
from vault.operations.acting import (
    Acting,
    is_gone,
    prepare,
    record,
    refuse,
    require_in_person,
    require_permission,
    require_person,
    telling,
)
from vault.operations.callers import CALLER_ID
from vault.operations.certify import certify
from vault.operations.erasing import (
    Case,
    end_exports,
    ended_agreements,
    final_by,
    insert_archive,
    kept_after,
    left_of,
    outcome,
    read_case,
    resealed,
)
from vault.operations.facts import sealed_classes
from vault.operations.on_ledger import carrying_out_on_ledger, close, said_of
from vault.operations.project_disclosures import catch_up, read_off
from vault.operations.tasking import tasks_of, told_of
from vault.outbox import announce
from vault.permit import Clear, ReadPermit
from vault.policy.model import Context
from vault.recipients import task_records
from vault.recipients.tasks import Owed, owed

DIGEST: Final = 64  # hexadecimal digits

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Order:
    """Who decided that a person is erased. `plan` is the digest, in hex, of the plan that was accepted."""

    request_id: str
    accepted_by: str
    approved_by: str
    plan: str


@dataclass(frozen=True, slots=True)
class Planned:
    """The answer to a preview: what would be destroyed and kept, its digest, and the entry."""

    account: Mapping[str, Any]
    digest: str
    entry_id: str


@dataclass(frozen=True, slots=True)
class Done:
    """The answer: the account, and the certificate that says the same, signed."""

    result: Mapping[str, Any]
    certificate_id: str
    certificate: bytes
    entry_id: str


def plan_erasure(vault: Vault, context: Context, subject_id: str) -> Planned:
    """Say what erasing a person would come to. Nothing is opened. Raises NotFound, AccessDenied, Erased."""
    acting = _prepared(vault, context, subject_id)
    require_person(vault, acting)
    if is_gone(acting.person):
        raise refuse(vault, acting, Erased())
    case = read_case(vault, acting)
    record(vault, acting, outcome="allowed", details={"result": "planned"}, internal={"plan": case.plan.digest.hex()})
    return Planned(outcome(vault, case), case.plan.digest.hex(), acting.entry_id)


def erase(vault: Vault, context: Context, subject_id: str, order: Order) -> Done:
    """Erase a person. Repeated with the same request it answers what was done.

    Raises InvalidValue, NotFound, AccessDenied, Conflict (`same-person`, `plan-changed`), Erased for another request, Stale where
    the person was changed meanwhile; AuditUnavailable, LedgerUnavailable, DatabaseUnavailable: then nothing was destroyed.
    """
    if faults := _faults(order):
        raise InvalidValue(faults=faults)
    acting = _prepared(vault, context, subject_id)
    if is_gone(acting.person):
        return _repeated(vault, acting, order)
    require_person(vault, acting)
    require_in_person(vault, acting)
    if order.accepted_by == order.approved_by:
        raise refuse(vault, acting, Conflict("same-person"))
    case = read_case(vault, acting)
    if not hmac.compare_digest(case.plan.digest.hex(), order.plan):
        raise refuse(vault, acting, Conflict("plan-changed"))
    return carry_out(vault, acting, case, order)


def carry_out(vault: Vault, acting: Acting, case: Case, order: Order | None, line: Line | None = None) -> Done:
    """Carry an erasure out, decided by people (`order`) or told by a line of the ledger. Nobody else calls this."""
    permit = _recorded(vault, acting, case, order, line)
    opened = _opened(vault, acting, permit, needed=line is None)
    with telling(vault, acting):
        archive = resealed(vault, acting, case, opened)
        told = _told(vault, acting, case, line)
    request_id = order.request_id if order is not None else line.said.request if line is not None else ""
    left = left_of(vault, acting, case, opened)
    with carrying_out_on_ledger(vault, acting, line) as kept:
        place = (acting.context.controller_id, acting.subject_id)
        keys.lock_data_keys(kept.rows, *place)
        version = acting.person.subject.version if acting.person.subject is not None else 0
        state = "archived" if case.plan.archived else "erased"
        erasures.take_out(kept.rows, *place, version, state, acting.entry_id)
        ended_agreements(vault, kept.rows, acting)
        end_exports(kept.rows, acting)
        erasures.delete_person(kept.rows, *place, case.stays)
        insert_archive(kept.rows, acting, archive)
        left.keep(kept.rows, acting)
        announce(
            kept.rows, vault, place[0], "subject:erased", acting.entry_id, acting.at, subject_id=place[1], request_id=request_id
        )
        owing = tasks_of(vault, kept.rows, acting, "erasure", told, acting.entry_id, request_id or None)
        task_records.add(kept.rows, place[0], owing)
        said = kept.tell(_said(vault, acting, case.plan, request_id))
        also = {"kept": kept_after(vault, acting, left), "recipients": told_of(owing, acting.at)}
        epoch = epochs.epochs_of(kept.rows, place[0])[-1].epoch  # what a process remembers may be a change behind
        made = _row(vault, acting, case, order, said, also, epoch)
        erasures.add_erasure(kept.rows, place[0], made)
    return finish(vault, acting, made, said, case.leaves)


def finish(vault: Vault, acting: Acting, made: ErasureRow, line: Line, leaves: Collection[str] | None = None) -> Done:
    """Look for what may be left, certify, and close the ledger's line. Raises DatabaseUnavailable `erasure-incomplete`."""
    place = (acting.context.controller_id, acting.subject_id)
    with telling(vault, acting):
        with vault.database.snapshot(place[0]) as rows:
            stays = {(one.class_name, one.generation) for one in erasures.generations(rows, *place) if one.state == "archived"}
            left = erasures.left_over(rows, *place, stays)
        if left:
            log.error("erasure_incomplete", controller_id=place[0], subject_id=place[1], entry_id=acting.entry_id)
            raise DatabaseUnavailable("erasure-incomplete", entry_id=acting.entry_id, retry_after_s=60)
        _tell_the_rest(vault, acting, made, line.said.fields if leaves is None else leaves)
        certificate_id, note = certify(vault, acting.context.controller_id, made, line, "live")
    close(vault, line)
    return Done({**made.result, "certificate_id": certificate_id}, certificate_id, note, made.entry_id)


def _prepared(vault: Vault, context: Context, subject_id: str) -> Acting:
    acting = prepare(vault, "erase", context, subject_id, vault.catalogue.classes)
    require_permission(vault, acting)
    return acting


def _faults(order: Order) -> list[Fault]:
    people = {"/accepted_by": order.accepted_by, "/approved_by": order.approved_by}
    faults = [Fault(pointer, "caller.syntax") for pointer, one in people.items() if not CALLER_ID.fullmatch(one)]
    if not REQUEST.fullmatch(order.request_id) or not order.request_id:
        faults.append(Fault("/request_id", "id.syntax"))
    if len(order.plan) != DIGEST or not order.plan.isascii():
        faults.append(Fault("/plan", "digest.syntax"))
    return faults


def _repeated(vault: Vault, acting: Acting, order: Order) -> Done:
    """Return what this request did; whoever was erased by another is gone."""
    controller_id = acting.context.controller_id
    with vault.database.snapshot(controller_id) as rows:
        done = [one for one in erasures.erasures(rows, controller_id, acting.subject_id) if one.request_id == order.request_id]
        note = erasures.certificate_of(rows, controller_id, done[-1].erasure_id, "live") if done else None
    unfinished = [one for one in vault.ledger.unfinished(controller_id) if done and one.number == done[-1].ledger_number]
    if unfinished and note is None:
        record(vault, acting, outcome="allowed", details={"result": "erased-before"})
        return finish(vault, acting, done[-1], unfinished[0])
    if note is None:
        raise refuse(vault, acting, Erased())
    record(vault, acting, outcome="allowed", details={"result": "erased-before"})
    return Done({**done[-1].result, "certificate_id": note[0]}, *note, done[-1].entry_id)


def _recorded(vault: Vault, acting: Acting, case: Case, order: Order | None, line: Line | None) -> ReadPermit:
    decided = {"accepted_by": order.accepted_by, "approved_by": order.approved_by} if order is not None else {}
    told = {"ledger": line.number} if line is not None else {}
    return record(
        vault, acting, opens=case.opens, count=len(case.plan.fields), details={"result": "erased"},
        internal={"plan": case.plan.digest.hex(), **decided, **told},
    )  # fmt: skip


def _opened(vault: Vault, acting: Acting, permit: ReadPermit, *, needed: bool) -> Mapping[str, Clear]:
    """Open identifiers and what is to be sealed anew. What the ledger tells of is destroyed even where nothing opens any more."""
    sealed = sealed_classes(acting.context.controller_id, acting.subject_id, acting.person)
    try:
        return open_fields(vault.keys, permit, sealed, vault.monotonic())
    except Unreadable:
        log.error("unreadable", subject_id=acting.subject_id, entry_id=acting.entry_id)
        if not needed:
            return {}
        with telling(vault, acting):
            raise


def _said(vault: Vault, acting: Acting, plan: Plan, request_id: str) -> Said:
    classes = tuple(sorted({one.class_name for one in plan.destroyed}))
    fields = tuple(sorted({one.name for one in plan.destroyed}))
    return said_of(
        vault, "intent", acting.context.controller_id, acting.subject_id, keys=tuple(plan.keys), classes=classes, fields=fields,
        request=request_id,
    )  # fmt: skip


def _told(vault: Vault, acting: Acting, case: Case, line: Line | None) -> list[Owed]:
    """Return which recipients are to be told, and of what they received. What the ledger tells of waits for nobody's log."""
    lines = catch_up(vault, acting) if line is None else read_off(vault, acting.context.controller_id, acting.subject_id)
    return owed(lines, case.leaves)


def _tell_the_rest(vault: Vault, acting: Acting, made: ErasureRow, leaves: Collection[str]) -> None:
    """Tell those too who were shown something while the erasure was on its way: from its commit on nothing opens any more."""
    controller_id = acting.context.controller_id
    with suppress(Unavailable):
        vault.settle(controller_id)
    with vault.database.snapshot(controller_id) as rows:
        known = {one.recipient: list(one.fields) for one in task_records.caused_by(rows, controller_id, made.entry_id)}
    leaving = {*leaves, *(name for fields in known.values() for name in fields)}  # the ledger tells of what was destroyed alone
    told = owed(read_off(vault, controller_id, acting.subject_id), leaving)
    if any(known.get(one.recipient) != list(one.fields) for one in told):
        with vault.database.transaction(controller_id) as transaction:
            late = tasks_of(vault, transaction, acting, "erasure", told, made.entry_id, made.request_id or None)
            task_records.widen(transaction, controller_id, late)


def _row(
    vault: Vault, acting: Acting, case: Case, order: Order | None, line: Line, more: Mapping[str, Sequence[Mapping[str, Any]]],
    epoch: int,
) -> ErasureRow:  # fmt: skip
    """Return what is kept of an erasure: its account, and who decided it."""
    request_id = order.request_id if order is not None else line.said.request
    result = {
        "request_id": request_id, **outcome(vault, case), "completed_at": spelt(acting.at),
        **more, "backups": {"final_by": final_by(vault, acting)},
    }  # fmt: skip
    accepted_by, approved_by = (order.accepted_by, order.approved_by) if order is not None else (None, None)
    return ErasureRow(
        vault.new_id("ers"), acting.subject_id, request_id, accepted_by, approved_by, case.plan.digest, result, line.number,
        epoch, acting.at, acting.entry_id,
    )  # fmt: skip
