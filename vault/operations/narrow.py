"""Narrow an agreement: the person leaves fields out, and nothing rests on it for them from the next read on.

What is left out stays so: to take a field in again is a new agreement. Of a class of which nothing is left this agreement loses its
wrap; where it was the last, the data go as at an agreement's end (`ending`). In a class that goes on, a value that no agreement
covers any more is withheld from everybody but its person: the class is the grain of keys.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import sqlalchemy as sa

from vault import tables
from vault.agreements import records as agreements
from vault.agreements.terms import phase
from vault.assembly import Vault
from vault.erasure.ledger import Line
from vault.errors import Conflict, Fault, InvalidValue, NotFound, Stale
from vault.keys import records as keys
from vault.operations.acting import Acting, prepare, record, refuse, require_permission
from vault.operations.ending import close_classes, event_row, require_level
from vault.operations.on_ledger import carrying_out_on_ledger, close, said_of
from vault.outbox import announce
from vault.policy.model import Context
from vault.profiles import versions
from vault.profiles.records import AgreementRow


@dataclass(frozen=True, slots=True)
class Narrowed:
    """The answer. `excluded` is all that is left out now; `emptied` names classes nothing grants any more: their data are gone."""

    agreement_id: str
    subject_id: str
    version: int
    excluded: tuple[str, ...]
    emptied: tuple[str, ...]
    entry_id: str


def narrow(vault: Vault, context: Context, agreement_id: str, excluded: Collection[str], evidence: Mapping[str, Any]) -> Narrowed:
    """Leave fields out of an agreement. Of a consent asks no more than giving it did.

    Raises NotFound, AccessDenied, Conflict (`agreement-not-in-force`, `changed-meanwhile`), InvalidValue for a field that it does
    not cover.
    """
    with vault.database.snapshot(context.controller_id) as rows:
        subject_id = agreements.whose(rows, context.controller_id, agreement_id)
    acting = prepare(vault, "narrow", context, subject_id or agreement_id)
    require_permission(vault, acting)
    held = _in_force(vault, acting, agreement_id)
    _require_covered(vault, held, excluded)
    record(vault, acting, terms=(held.template,), count=len({*excluded}), details={"agreements": {agreement_id: sorted(excluded)}})
    said = orjson.dumps({**evidence, "channel": context.channel})
    return narrow_recorded(vault, acting, held, frozenset(excluded), said)


def narrow_recorded(
    vault: Vault, acting: Acting, held: AgreementRow, excluded: frozenset[str], evidence: bytes, line: Line | None = None
) -> Narrowed:
    """Carry out what is recorded already; the ledger knows it, or a restored backup would take the fields in again."""
    controller_id, subject_id = acting.context.controller_id, acting.subject_id
    left_out = held.excluded | excluded
    with carrying_out_on_ledger(vault, acting, line) as kept:
        keys.lock_data_keys(kept.rows, controller_id, subject_id)  # before the person, as in `withdraw`
        version = _raise_version(kept.rows, acting)
        emptied = _narrow_within(vault, kept.rows, acting, held, left_out, evidence)
        kept.tell(said_of(vault, "narrow", controller_id, subject_id, fields=tuple(sorted(excluded)), request=acting.entry_id,
                          agreements=(vault.ledger.name(controller_id, held.agreement_id),)))  # fmt: skip
    close(vault, kept.line)
    return Narrowed(held.agreement_id, subject_id, version, tuple(sorted(left_out)), emptied, acting.entry_id)


def _in_force(vault: Vault, acting: Acting, agreement_id: str) -> AgreementRow:
    """Return the agreement. What the clock has ended, or begins by a trigger, is not the person's to narrow."""
    if acting.person.subject is None:
        raise refuse(vault, acting, NotFound())
    held = next((one for one in acting.person.agreements if one.agreement_id == agreement_id), None)
    if held is None or held.status != "in_force" or phase(held.valid_from, held.valid_until, acting.at) == "after":
        raise refuse(vault, acting, Conflict("agreement-not-in-force"))
    require_level(vault, acting, held.template)
    return held


def _require_covered(vault: Vault, held: AgreementRow, excluded: Collection[str]) -> None:
    covered = vault.policy.granted_fields(held.template) - held.excluded
    if faults := [Fault(f"/excluded/{number}", "field.not-agreed") for number, name in enumerate(excluded) if name not in covered]:
        raise InvalidValue(faults=faults)


def _raise_version(transaction: sa.Connection, acting: Acting) -> int:
    """Raise the person's version, or Conflict when it is not the one that was read: what is left out adds up to what was then."""
    read = acting.person.subject.version if acting.person.subject is not None else 0
    try:
        return versions.raise_version(transaction, acting.context.controller_id, acting.subject_id, read)
    except Stale:
        raise Conflict("changed-meanwhile") from None


def _narrow_within(
    vault: Vault, transaction: sa.Connection, acting: Acting, held: AgreementRow, left_out: frozenset[str], evidence: bytes
) -> tuple[str, ...]:
    """Write event and state, take away wraps and tokens, and return the classes nothing holds any more."""
    place = (acting.context.controller_id, acting.subject_id, held.agreement_id)
    if not agreements.narrow(transaction, place, sorted(left_out), acting.entry_id):
        raise Conflict("agreement-not-in-force")
    new = left_out - held.excluded
    number = agreements.next_number(transaction, *place)
    event = event_row(vault, acting, held.agreement_id, number, "narrowed", evidence, new)
    transaction.execute(sa.insert(tables.agreement_event), event)
    keys.end_field_tokens(transaction, *place, new, acting.at)
    kept = {*vault.policy.held_classes(held.template, left_out)}
    gone = {*vault.policy.held_classes(held.template, held.excluded)} - kept
    keys.delete_class_wraps(transaction, *place, gone)
    emptied = close_classes(vault, transaction, acting)
    announce(transaction, vault, place[0], "agreement:narrowed", acting.entry_id, acting.at,
             subject_id=acting.subject_id, agreement_id=held.agreement_id, fields=sorted(new))  # fmt: skip
    return emptied
