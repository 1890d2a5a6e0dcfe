"""Withdraw an agreement: nothing rests on it from the next read on, and its wraps are gone, so nothing could."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import sqlalchemy as sa

from vault.agreements import records as agreements
from vault.assembly import Vault
from vault.erasure.ledger import Line
from vault.errors import Conflict, NotFound
from vault.keys import records as keys
from vault.operations.acting import Acting, carrying_out, prepare, record, refuse, require_permission
from vault.operations.ending import Kind, end_within, require_level
from vault.operations.leave_request import leave_request
from vault.operations.on_ledger import carrying_out_on_ledger, close, said_of
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
    """Withdraw. Of a consent it asks no more than giving it did.

    Raises NotFound, Conflict (`agreement-not-in-force`), AccessDenied.
    """
    with vault.database.snapshot(context.controller_id) as rows:
        subject_id = agreements.whose(rows, context.controller_id, agreement_id)
    acting = prepare(vault, "withdraw", context, subject_id or agreement_id)
    require_permission(vault, acting)
    _require_in_force(vault, acting, agreement_id)
    record(vault, acting, details={"agreements": {"*": agreement_id}})
    return withdraw_recorded(vault, acting, agreement_id, orjson.dumps({**evidence, "channel": context.channel}))


def withdraw_recorded(vault: Vault, acting: Acting, agreement_id: str, evidence: bytes, line: Line | None = None) -> Withdrawn:
    """Carry a withdrawal out whose entry is committed; the ledger knows it, or a restored backup would revive the agreement."""
    controller_id, subject_id = acting.context.controller_id, acting.subject_id
    with carrying_out_on_ledger(vault, acting, line) as kept:
        ended = _ended(vault, kept.rows, acting, agreement_id, "withdrawn", evidence)
        if line is None:
            leave_request(vault, kept.rows, acting, "withdrawal")
        agreed = (vault.ledger.name(controller_id, agreement_id),)
        kept.tell(said_of(vault, "withdraw", controller_id, subject_id, agreements=agreed, classes=ended.emptied))
    close(vault, kept.line)
    return ended


def end_agreement(vault: Vault, acting: Acting, agreement_id: str, kind: Kind, evidence: bytes) -> Withdrawn:
    """End an agreement in force, in one transaction. Raises Conflict (`agreement-not-in-force`)."""
    with carrying_out(vault, acting) as transaction:
        return _ended(vault, transaction, acting, agreement_id, kind, evidence)


def _ended(vault: Vault, rows: sa.Connection, acting: Acting, agreement_id: str, kind: Kind, evidence: bytes) -> Withdrawn:
    controller_id, subject_id = acting.context.controller_id, acting.subject_id
    keys.lock_data_keys(rows, controller_id, subject_id)  # first: the re-wrap job must not bring a wrap back
    version = versions.raise_version(rows, controller_id, subject_id)
    emptied = end_within(vault, rows, acting, agreement_id, kind, evidence)
    return Withdrawn(agreement_id, subject_id, version, emptied, acting.entry_id)


def _require_in_force(vault: Vault, acting: Acting, agreement_id: str) -> None:
    if acting.person.subject is None:
        raise refuse(vault, acting, NotFound())
    held = next((one for one in acting.person.agreements if one.agreement_id == agreement_id), None)
    if held is None or held.status != "in_force":
        raise refuse(vault, acting, Conflict("agreement-not-in-force"))
    require_level(vault, acting, held.template)
