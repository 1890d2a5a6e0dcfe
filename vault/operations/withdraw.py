"""Withdraw an agreement: nothing rests on it from the next read on, and its wraps are gone, so nothing could.

When the last wrap of a class goes, the class goes with it: data key, frame, history, blind indexes. Only agreements that hold data
alive on their own count; a dependent one (vital interest) never keeps data.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import sqlalchemy as sa

from vault import tables
from vault.agreements import records as agreements
from vault.assembly import Vault
from vault.errors import Conflict, NotFound
from vault.keys import records as keys
from vault.operations.acting import Acting, carrying_out, prepare, record, refuse, require_permission
from vault.operations.agree import event_row
from vault.outbox import announce
from vault.policy.model import Context
from vault.profiles import versions


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """The answer. `emptied` names classes that nothing grants any more: their data are gone."""

    agreement_id: str
    subject_id: str
    version: int
    emptied: tuple[str, ...]
    entry_id: str


def withdraw(vault: Vault, context: Context, agreement_id: str, evidence: Mapping[str, Any]) -> Withdrawn:
    """Withdraw. Asks no more than agreeing did. Raises NotFound, Conflict (`agreement-not-in-force`), AccessDenied."""
    with vault.database.snapshot(context.controller_id) as rows:
        subject_id = agreements.whose(rows, context.controller_id, agreement_id)
    acting = prepare(vault, "withdraw", context, subject_id or agreement_id)
    require_permission(vault, acting)
    _require_in_force(vault, acting, agreement_id)
    record(vault, acting, details={"agreements": {"*": agreement_id}})
    return end_agreement(vault, acting, agreement_id, "withdrawn", orjson.dumps({**evidence, "channel": context.channel}))


def end_agreement(vault: Vault, acting: Acting, agreement_id: str, kind: str, evidence: bytes) -> Withdrawn:
    """End an agreement in force, in one transaction: event, state, wraps, tokens, classes left without a holder, outbox."""
    controller_id, subject_id = acting.context.controller_id, acting.subject_id
    template = next((one.template for one in acting.person.agreements if one.agreement_id == agreement_id), "")
    known = vault.templates.get(template)
    consent = _ENDED_CONSENT[kind] if known is not None and known.basis == "consent" else "none"
    with carrying_out(vault, acting) as transaction:
        keys.lock_data_keys(transaction, controller_id, subject_id)  # first: the re-wrap job must not bring a wrap back
        status = "withdrawn" if kind == "withdrawn" else "ended"
        if not agreements.end(transaction, (controller_id, subject_id, agreement_id), status, consent, acting.entry_id):
            raise Conflict("agreement-not-in-force")
        number = agreements.next_number(transaction, controller_id, subject_id, agreement_id)
        transaction.execute(sa.insert(tables.agreement_event), event_row(vault, acting, agreement_id, number, kind, evidence))
        version = versions.raise_version(transaction, controller_id, subject_id)
        keys.delete_wraps(transaction, controller_id, subject_id, agreement_id)
        keys.end_tokens(transaction, controller_id, subject_id, agreement_id, acting.at)
        emptied = _empty_classes(vault, transaction, acting)
        announce(transaction, vault, controller_id, f"agreement:{kind}", acting.entry_id, acting.at,
                 subject_id=subject_id, agreement_id=agreement_id)  # fmt: skip
    return Withdrawn(agreement_id, subject_id, version, emptied, acting.entry_id)


_ENDED_CONSENT = {"withdrawn": "withdrawn", "expired": "expired"}


def _require_in_force(vault: Vault, acting: Acting, agreement_id: str) -> None:
    if acting.person.subject is None:
        raise refuse(vault, acting, NotFound())
    held = next((one for one in acting.person.agreements if one.agreement_id == agreement_id), None)
    if held is None or held.status != "in_force":
        raise refuse(vault, acting, Conflict("agreement-not-in-force"))


def _empty_classes(vault: Vault, transaction: sa.Connection, acting: Acting) -> tuple[str, ...]:
    """Delete every class that no agreement holds any more, dependent agreements aside, and return their names."""
    controller_id, subject_id = acting.context.controller_id, acting.subject_id
    dependent = [
        one.agreement_id
        for one in acting.person.agreements
        if one.template in vault.templates and vault.templates[one.template].dependent
    ]
    emptied = sorted({key.class_name for key in keys.delete_unheld(transaction, controller_id, subject_id, dependent)})
    if not emptied:
        return ()
    place = {"of_controller": controller_id, "of_subject": subject_id, "classes": emptied}
    transaction.execute(_DELETE_FRAMES, place)
    transaction.execute(_DELETE_HISTORY, place)
    indexes = {one.index for one in vault.catalogue.fields.values() if one.class_name in emptied and one.index is not None}
    keys.delete_indexes(transaction, controller_id, subject_id, sorted(indexes))
    announce(transaction, vault, controller_id, "class:emptied", acting.entry_id, acting.at, subject_id=subject_id, classes=emptied)
    return tuple(emptied)


def _of_classes(table: sa.Table) -> sa.Delete:
    return sa.delete(table).where(
        table.c.controller_id == sa.bindparam("of_controller"),
        table.c.subject_id == sa.bindparam("of_subject"),
        table.c["class"] == sa.any_(sa.bindparam("classes", type_=sa.ARRAY(sa.Text))),
    )


_DELETE_FRAMES = _of_classes(tables.profile_frame)
_DELETE_HISTORY = _of_classes(tables.field_history)
