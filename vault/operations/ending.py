"""How an agreement ends, within the transaction of whoever ends it: event, state, wraps, tokens, and what is left without a holder.

When the last wrap of a class goes, the class goes with it: data key, frame, history, blind indexes. Only agreements that hold data
alive on their own count; a dependent one (vital interest) never keeps data. A class that from now on only a companion's hold keeps,
for a duty to keep, is archived: no decision sees it, it is found by nothing, and what is shared later is sealed beside it.
"""

from collections.abc import Collection
from typing import Any, Literal

import sqlalchemy as sa

from vault import sources, tables
from vault.agreements import records as agreements
from vault.assembly import Vault
from vault.errors import AccessDenied, Conflict
from vault.keys import frame
from vault.keys import records as keys
from vault.keys.data_keys import seal_bytes, unwrap_audit_key
from vault.operations.acting import Acting, refuse
from vault.operations.burying import bury_indexes
from vault.operations.enrolment import evidence_place
from vault.operations.facts import is_self
from vault.outbox import announce
from vault.profiles import ages, states

LEVEL = 2  # identity assurance of a customer
Kind = Literal["withdrawn", "expired", "superseded"]
_STATUS = {"withdrawn": "withdrawn", "expired": "ended", "superseded": "superseded"}
_CONSENT = {"withdrawn": "withdrawn", "expired": "expired", "superseded": "valid"}  # it was never taken back


def require_level(vault: Vault, acting: Acting, template: str) -> None:
    """Raise the recorded refusal of a customer who would end more than a consent without a second factor (level 2).

    A consent is withdrawn as easily as it was given (GDPR Art. 7(3)); to end a contract may destroy what nothing else holds.
    """
    terms, caller = vault.templates.get(template), acting.context.caller
    if caller.kind == "subject" and caller.level < LEVEL and (terms is None or terms.basis != "consent"):
        raise refuse(vault, acting, AccessDenied("level-needed"))


def end_within(
    vault: Vault, transaction: sa.Connection, acting: Acting, agreement_id: str, kind: Kind, evidence: bytes
) -> tuple[str, ...]:
    """End an agreement in force and return the classes nothing holds any more.

    The caller holds `lock_data_keys` and raises the person's version. Raises Conflict (`agreement-not-in-force`) when it has ended.
    """
    controller_id, subject_id = acting.context.controller_id, acting.subject_id
    template = next((one.template for one in acting.person.agreements if one.agreement_id == agreement_id), "")
    known = vault.templates.get(template)
    consent = _CONSENT[kind] if known is not None and known.basis == "consent" else "none"
    if not agreements.end(transaction, (controller_id, subject_id, agreement_id), _STATUS[kind], consent, acting.entry_id):
        raise Conflict("agreement-not-in-force")
    number = agreements.next_number(transaction, controller_id, subject_id, agreement_id)
    transaction.execute(sa.insert(tables.agreement_event), event_row(vault, acting, agreement_id, number, kind, evidence))
    keys.delete_wraps(transaction, controller_id, subject_id, agreement_id)
    keys.end_tokens(transaction, controller_id, subject_id, agreement_id, acting.at)
    emptied = close_classes(vault, transaction, acting)
    announce(transaction, vault, controller_id, f"agreement:{kind}", acting.entry_id, acting.at,
             subject_id=subject_id, agreement_id=agreement_id)  # fmt: skip
    return emptied


def event_row(
    vault: Vault, acting: Acting, agreement_id: str, number: int, kind: str, evidence: bytes, excluded: Collection[str] = ()
) -> dict[str, Any]:
    """Return one event of an agreement's history, its evidence sealed under the person's audit key."""
    controller_id = acting.context.controller_id
    epoch, wrap = acting.person.audit_key or (0, b"")
    audit_key = unwrap_audit_key(vault.keys, controller_id, acting.subject_id, epoch, wrap)
    place = evidence_place(controller_id, acting.subject_id, agreement_id, number)
    return {
        "controller_id": controller_id, "subject_id": acting.subject_id, "agreement_id": agreement_id, "number": number,
        "kind": kind, "recorded_at": acting.at, "effective_at": acting.at, "channel": acting.context.channel,
        "role": ",".join(sorted(acting.caller.roles)), "caller_id": acting.context.caller.id,
        "evidence": seal_bytes(audit_key, place, evidence), "excluded": sorted(excluded), "entry_id": acting.entry_id,
    }  # fmt: skip


def close_classes(vault: Vault, transaction: sa.Connection, acting: Acting) -> tuple[str, ...]:
    """Delete what nothing holds any more, dependent agreements aside; archive what only holds keep. Return the emptied classes."""
    place = (acting.context.controller_id, acting.subject_id)
    dependent = [
        one.agreement_id
        for one in acting.person.agreements
        if one.template in vault.templates and vault.templates[one.template].dependent
    ]
    unseen = _unseen(transaction, acting)
    gone = {(key.class_name, key.generation) for key in keys.delete_unheld(transaction, *place, dependent)}
    for class_name, generation in sorted(gone):
        at = {"of_controller": place[0], "of_subject": place[1], "of_class": class_name, "of_generation": generation}
        transaction.execute(_DELETE_FRAME, at)
        transaction.execute(_DELETE_HISTORY, at)
    archived = {(key.class_name, key.generation) for key in keys.archive_held(transaction, *place, dependent)}
    for class_name, generation in sorted(gone | archived):
        at = {"of_controller": place[0], "of_subject": place[1], "of_class": class_name, "of_generation": generation}
        transaction.execute(_DELETE_DRAFTS, at)
    left = keys.lock_data_keys(transaction, *place)
    emptied = {class_name for class_name, _ in gone} - {key.class_name for key in left}
    unread = {class_name for class_name, _ in gone | archived} - {key.class_name for key in left if key.state == "current"}
    unfound = _indexes(vault, emptied, unread)
    bury_indexes(vault, transaction, acting, unfound)
    keys.delete_indexes(transaction, *place, unfound)
    if emptied:
        sources.forget(transaction, *place, [name for name, one in vault.catalogue.fields.items() if one.class_name in emptied])
    if vault.catalogue.fields["date_of_birth"].class_name in emptied | unread:
        ages.forget_date(transaction, *place)
    for name, classes in (("class:emptied", emptied), ("class:archived", {class_name for class_name, _ in archived})):
        if told := sorted(classes - unseen):
            announce(transaction, vault, place[0], name, acting.entry_id, acting.at, subject_id=place[1], classes=told)
    return tuple(sorted(emptied if is_self(acting.context, acting.subject_id, acting.person) else emptied - unseen))


def _unseen(transaction: sa.Connection, acting: Acting) -> frozenset[str]:
    """Return the classes in which the person has obscured all there is and was: of their end only the person is told."""
    obscured = acting.person.subject.obscured if acting.person.subject is not None else ()
    if not obscured:
        return frozenset()
    place = (acting.context.controller_id, acting.subject_id)
    seen = {class_name for class_name, value in states.former(transaction, *place) if value not in obscured}
    held = states.frames(transaction, *place)
    return frozenset(name for name, octets in held.items() if not frame.read(octets).without(obscured).entries) - seen


def _indexes(vault: Vault, emptied: Collection[str], unread: Collection[str]) -> list[str]:
    """Return the indexes to delete: all of an emptied class, and of one that can no longer be read those that find people.

    A unique value stays taken while it is kept: an archived customer is not enrolled a second time by the next import.
    """
    fields = [one for one in vault.catalogue.fields.values() if one.index is not None]
    found = {one.index for one in fields if one.class_name in emptied or (one.class_name in unread and not one.unique)}
    return sorted(index for index in found if index is not None)


def _of_generation(table: sa.Table) -> sa.Delete:
    return sa.delete(table).where(
        table.c.controller_id == sa.bindparam("of_controller"),
        table.c.subject_id == sa.bindparam("of_subject"),
        table.c["class"] == sa.bindparam("of_class"),
        table.c.generation == sa.bindparam("of_generation"),
    )


_DELETE_FRAME = _of_generation(tables.profile_frame)
_DELETE_HISTORY = _of_generation(tables.field_history)
_DELETE_DRAFTS = _of_generation(tables.rectification_draft)
