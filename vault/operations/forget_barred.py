"""Let an old cancer be forgotten (L. 193/2023): what is held of it goes, with its history, once a certificate was accepted.

The house carries out what the officer decided. Recipients are told to erase what they received of it. The data key lives on, for it
holds other values: what lies in old backups of this one goes with them.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

import sqlalchemy as sa

from vault import tables
from vault.assembly import Vault
from vault.erasure import holds
from vault.erasure import records as erasures
from vault.erasure.ledger import Line
from vault.errors import Conflict, Held
from vault.keys import frame
from vault.keys import records as keys
from vault.keys.data_keys import Changes, amend_classes
from vault.operations.acting import HOUSE, Acting, prepare, record, refuse, telling
from vault.operations.amend import write_changes
from vault.operations.facts import sealed_classes
from vault.operations.on_ledger import carrying_out_on_ledger, close, said_of
from vault.outbox import announce
from vault.permit import ReadPermit
from vault.policy.model import Caller, Context
from vault.profiles import ages, versions

VERB: Final = "forget_barred"
_CALLER: Final = Caller(id="job:oblivion", kind="job", roles=frozenset(), client_id="riserbo")
_H = tables.field_history.c


def forget_barred(
    vault: Vault, controller_id: str, subject_id: str, request_id: str, also: Callable[[sa.Connection], None] | None = None
) -> bool:
    """Remove what is held of an old cancer and was; return False where nothing is. `also` is done in the same transaction.

    Raises Held where a legal hold keeps it, Conflict `no-agreement-covers`, Stale.
    """
    barred = {one.name: one.class_name for one in vault.catalogue.fields.values() if one.time_barred}
    context = Context(controller_id, _CALLER, "rights-fulfilment", "api")
    acting = prepare(vault, VERB, context, subject_id, set(barred.values()), permission=HOUSE)
    present = sorted(barred.keys() & {name for row in acting.person.frames.values() for name in frame.read(row.frame).entries})
    gone = _to_forget(vault, acting, barred.keys(), present)
    if not gone:
        return False
    through = _through(vault, acting, present)
    if through.keys() != set(present):
        raise refuse(vault, acting, Conflict("no-agreement-covers"))
    permit = record(vault, acting, opens=through, count=len(gone), details={"result": "erased", "request": request_id})
    _forget(vault, acting, permit, gone, through, None, also)
    return True


def forget_again(vault: Vault, acting: Acting, line: Line) -> None:
    """Do what the erasure ledger tells of in a database from before: what cannot be opened any more is barred all the same."""
    named = set(line.said.fields)
    present = sorted(named & {name for row in acting.person.frames.values() for name in frame.read(row.frame).entries})
    through = _through(vault, acting, present)
    permit = record(vault, acting, opens=through, count=len(named), details={"result": "erased"})
    _forget(vault, acting, permit, sorted(named), through, line)


def _forget(
    vault: Vault,
    acting: Acting,
    permit: ReadPermit,
    gone: Sequence[str],
    opens: Mapping[str, str],
    line: Line | None,
    also: Callable[[sa.Connection], None] | None = None,
) -> None:
    """Take it away: of what is there through the agreement named. The ledger knows it, or a restored backup would bring it back."""
    controller_id, subject_id = acting.context.controller_id, acting.subject_id
    classes = {name: vault.catalogue.fields[name].class_name for name in opens}
    changes = {one: Changes((), frozenset(name for name in opens if classes[name] == one)) for one in set(classes.values())}
    through = {classes[name]: agreement_id for name, agreement_id in opens.items()}
    with telling(vault, acting):
        sealed = sealed_classes(controller_id, subject_id, acting.person)
        changed = amend_classes(vault.keys, permit, sealed, changes, through, vault.monotonic())
    read = acting.person.subject.version if acting.person.subject is not None else 0
    with carrying_out_on_ledger(vault, acting, line) as kept:
        keys.lock_data_keys(kept.rows, controller_id, subject_id)
        versions.raise_version(kept.rows, controller_id, subject_id, read)  # a hold placed meanwhile has raised it
        write_changes(kept.rows, acting, changed, [])
        place = (_H.controller_id == controller_id, _H.subject_id == subject_id, _H.field.in_(gone))
        kept.rows.execute(sa.delete(tables.field_history).where(*place))
        ages.set_barred(kept.rows, controller_id, subject_id, acting.at)
        if also is not None:
            also(kept.rows)
        announce(kept.rows, vault, controller_id, "field:erased", acting.entry_id, acting.at,
                 subject_id=subject_id, fields=list(gone))  # fmt: skip
        kept.tell(said_of(vault, "forget", controller_id, subject_id, fields=tuple(gone), request=acting.entry_id))
    close(vault, kept.line)


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


def _through(vault: Vault, acting: Acting, present: Collection[str]) -> dict[str, str]:
    """Return for each field that can be taken out the agreement through whose wrap that is done.

    No value is opened and none is shown, so whoever holds the key of its class will do, also one that covers the field no more.
    """
    theirs = {one.agreement_id for one in acting.person.agreements}
    held = {name: sorted(theirs & acting.person.wraps_of(vault.catalogue.fields[name].class_name).keys()) for name in present}
    return {name: holders[0] for name, holders in held.items() if holders}
