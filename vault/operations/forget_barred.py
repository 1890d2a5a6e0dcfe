"""Let an old cancer be forgotten (L. 193/2023): what is held of it goes, with its history, once a certificate was accepted.

The house carries out what the officer decided. Recipients are told to erase what they received of it. The data key lives on, for it
holds other values: what lies in old backups of this one goes with them.
"""

from collections.abc import Collection, Mapping
from typing import Final

import sqlalchemy as sa

from vault import tables
from vault.assembly import Vault
from vault.erasure import holds
from vault.erasure import records as erasures
from vault.errors import Conflict, Held
from vault.keys import frame
from vault.keys import records as keys
from vault.keys.data_keys import Changes, amend_classes
from vault.operations.acting import HOUSE, Acting, carrying_out, prepare, record, refuse, telling
from vault.operations.amend import write_changes
from vault.operations.facts import sealed_classes, subject_facts
from vault.outbox import announce
from vault.policy.model import Caller, Context
from vault.profiles import versions

VERB: Final = "forget_barred"
_CALLER: Final = Caller(id="job:oblivion", kind="job", roles=frozenset(), client_id="riserbo")
_H = tables.field_history.c


def forget_barred(vault: Vault, controller_id: str, subject_id: str, request_id: str) -> None:
    """Remove what is held of an old cancer and was; nothing where nothing is.

    Raises Held where a legal hold keeps it, Conflict `no-agreement-covers`, Stale.
    """
    barred = {one.name: one.class_name for one in vault.catalogue.fields.values() if one.time_barred}
    context = Context(controller_id, _CALLER, "rights-fulfilment", "api")
    acting = prepare(vault, VERB, context, subject_id, set(barred.values()), permission=HOUSE)
    present = sorted(barred.keys() & {name for row in acting.person.frames.values() for name in frame.read(row.frame).entries})
    gone = _to_forget(vault, acting, barred.keys(), present)
    if not gone:
        return
    through = _covering(vault, acting, present)
    permit = record(
        vault, acting, opens=dict.fromkeys(present, through), count=len(gone), details={"result": "erased", "request": request_id}
    )
    changes: Mapping[str, Changes] = {
        class_name: Changes((), frozenset(one for one in present if barred[one] == class_name))
        for class_name in {barred[one] for one in present}
    }
    with telling(vault, acting):
        sealed = sealed_classes(controller_id, subject_id, acting.person)
        changed = amend_classes(vault.keys, permit, sealed, changes, dict.fromkeys(changes, through), vault.monotonic())
    read = acting.person.subject.version if acting.person.subject is not None else 0
    with carrying_out(vault, acting) as transaction:
        keys.lock_data_keys(transaction, controller_id, subject_id)
        versions.raise_version(transaction, controller_id, subject_id, read)  # a hold placed meanwhile has raised it
        write_changes(transaction, acting, changed, [])
        place = (_H.controller_id == controller_id, _H.subject_id == subject_id, _H.field.in_(gone))
        transaction.execute(sa.delete(tables.field_history).where(*place))
        announce(
            transaction, vault, controller_id, "field:erased", acting.entry_id, acting.at, subject_id=subject_id, fields=gone
        )  # fmt: skip


def _to_forget(vault: Vault, acting: Acting, barred: Collection[str], present: Collection[str]) -> list[str]:
    """Return which fields are to go: those there, and those of which only what was there before is left. Raises Held."""
    place = (acting.context.controller_id, acting.subject_id)
    with vault.database.snapshot(place[0]) as rows:
        former = {name for _, _, name in erasures.former_values(rows, *place)}
        held_by = [one for one in holds.of_subject(rows, *place) if one.counts(acting.at)]
    gone = sorted({*present, *(former & set(barred))})
    if gone and any(not one.fields or not set(gone).isdisjoint(one.fields) for one in held_by):
        raise refuse(vault, acting, Held())
    return gone


def _covering(vault: Vault, acting: Acting, present: Collection[str]) -> str:
    """Return the agreement through which what is there is opened; of nothing there, none is asked for."""
    for one in sorted(subject_facts(acting.subject_id, acting.person, acting.at).agreements, key=lambda one: one.agreement_id):
        if one.phase == "in" and set(present) <= vault.policy.granted_fields(one.template) - one.excluded:
            return one.agreement_id
    if not present:
        return ""
    raise refuse(vault, acting, Conflict("no-agreement-covers"))
