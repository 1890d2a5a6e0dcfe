"""Change values under a named agreement: the intent is recorded, the class's key is opened through that agreement's wrap alone.

Which fields were changed, but no value, is told the erasure ledger: what a restored backup brings back of them is contested then.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa

from vault import tables
from vault.assembly import Vault
from vault.errors import AccessDenied, Conflict, Fault, InvalidValue, NotFound, Stale
from vault.keys import frame
from vault.keys import records as keys
from vault.keys.data_keys import AmendedClass, Changes, NewClass, NewValue, amend_classes, seal_class
from vault.operations.acting import Acting, prepare, record, refuse, require_permission, require_person, telling
from vault.operations.burying import objected_at, silence
from vault.operations.enrolment import age, birth, index_entries, normalised, time_barred_at
from vault.operations.facts import as_known, is_self, sealed_classes, subject_facts
from vault.operations.on_ledger import carrying_out_on_ledger, close
from vault.operations.on_ledger import said_of as line_of
from vault.operations.sourcing import Sources, require_sources, said_of, source_rows
from vault.outbox import announce
from vault.permit import ReadPermit
from vault.policy.model import AgreementFacts, Context, Treatment
from vault.profiles import ages, versions
from vault.rights.kinds import REACHED
from vault.sources import add as add_sources


@dataclass(frozen=True, slots=True)
class Amended:
    """The answer: the person's new version (their ETag) and the entry."""

    version: int
    entry_id: str


def amend(
    vault: Vault,
    context: Context,
    subject_id: str,
    agreement_id: str,
    fields: Mapping[str, Any],
    if_match: int,
    sources: Sources = MappingProxyType({}),
    *,
    own: bool = False,
    also: Callable[[sa.Connection, int], None] | None = None,
    treatment: Treatment | None = None,
) -> Amended:
    """Set the given values; null removes. `sources`: of those that are not from the person; `own`: they said them all.

    `also` carries a correction out: it is done in the same transaction, given the person's new version; `treatment`: what is said
    of an old cancer, where a value is of one, and not kept.

    Raises InvalidValue, Stale, NotFound, Conflict (`by-correction`, `agreement-not-in-force`, `value-taken`): nothing half changed.
    """
    classes = {vault.catalogue.fields[name].class_name for name in fields if name in vault.catalogue.fields}
    acting = prepare(vault, "amend", context, subject_id, classes)
    require_permission(vault, acting)
    require_person(vault, acting)
    _require_changeable(vault, acting, fields)
    if also is None:
        _require_no_correction(vault, acting, fields)
    values = normalised(vault.catalogue, fields)
    require_sources(vault, values, sources, acting.at, own=own or is_self(context, subject_id, acting.person))
    removed = frozenset(name for name, value in fields.items() if value is None)
    barred_at = _barred_at(vault, acting, values, treatment)
    of_cancer = any(vault.catalogue.fields[name].time_barred for name in values)
    agreement = _in_force(vault, acting, agreement_id)
    _require_granted(vault, agreement, fields)
    _require_version(acting, if_match)
    from_others = source_rows(vault, context.controller_id, subject_id, if_match + 1, sources, acting.entry_id, acting.at)
    permit = record(
        vault, acting, opens=dict.fromkeys(fields, agreement_id), terms=(agreement.template,), count=len(fields),
        details={"agreements": {agreement_id: sorted(fields)}}, internal=said_of(sources),
    )  # fmt: skip
    with telling(vault, acting):
        changed, created = _seal(vault, acting, permit, agreement_id, values, removed)
    with carrying_out_on_ledger(vault, acting) as kept:
        transaction = kept.rows
        _refuse_taken(vault, transaction, acting, values)
        keys.lock_data_keys(transaction, context.controller_id, subject_id)  # keys before the person, as in `withdraw`: no deadlock
        version = versions.raise_version(transaction, context.controller_id, subject_id, if_match)
        write_changes(transaction, acting, changed, created)
        _reindex(vault, transaction, acting, values, removed)
        _set_age(vault, transaction, acting, values)
        if of_cancer:
            ages.set_barred(transaction, context.controller_id, subject_id, barred_at)
        add_sources(transaction, context.controller_id, from_others)
        announce(transaction, vault, context.controller_id, "subject:amended", acting.entry_id, acting.at,
                 subject_id=subject_id, fields=sorted(fields))  # fmt: skip
        if also is not None:
            also(transaction, version)
        kept.tell(line_of(vault, "amend", context.controller_id, subject_id, fields=tuple(sorted(fields)), request=acting.entry_id))
    close(vault, kept.line)
    return Amended(version, acting.entry_id)


def _require_changeable(vault: Vault, acting: Acting, fields: Mapping[str, Any]) -> None:
    """Refuse, on record, unless policy lets this caller change every one of these fields.

    Where no name is in the catalogue, the caller must be able to change some field: else a made-up name would tell a stranger, by
    another refusal than the uniform 404, that somebody is here.
    """
    known = [name for name in fields if name in vault.catalogue.fields]
    facts = subject_facts(acting.subject_id, acting.person, acting.at)
    decision = vault.policy.decide(acting.context, "amend", acting.caller, acting.ticket, facts, known or vault.policy.fields)
    faults = [Fault(f"/fields/{name}", one.because) for name, one in decision.fields.items() if one.level == "withheld"]
    if faults and (known or len(faults) == len(decision.fields)):
        known_person = acting.ticket.state == "verified" and not decision.failed
        raise refuse(vault, acting, AccessDenied(faults=faults if known else ()) if known_person else NotFound())


def _require_no_correction(vault: Vault, acting: Acting, fields: Mapping[str, Any]) -> None:
    """Refuse, on record, staff who fulfil rights where a contact or IBAN changes: that waits until the person was told."""
    fulfils = acting.context.caller.kind == "agent" and acting.context.purpose == "rights-fulfilment"
    if fulfils and not REACHED.isdisjoint(fields):
        raise refuse(vault, acting, Conflict("by-correction"))


def _barred_at(vault: Vault, acting: Acting, values: Mapping[str, Any], treatment: Treatment | None) -> datetime | None:
    """Return from when what is written of an old cancer is barred; what is barred already is not written anew."""
    row = acting.person.subject
    barred = [name for name in values if vault.catalogue.fields[name].time_barred]
    kept = row.time_barred_at if row is not None else None
    if barred and kept is not None and kept <= acting.at:
        raise InvalidValue(faults=[Fault(f"/fields/{name}", "value.time-barred") for name in barred])
    return time_barred_at(vault, acting.context.controller_id, values, treatment, acting.at, kept)


def _in_force(vault: Vault, acting: Acting, agreement_id: str) -> AgreementFacts:
    facts = subject_facts(acting.subject_id, acting.person, acting.at)
    found = next((one for one in facts.agreements if one.agreement_id == agreement_id), None)
    if found is None:
        raise refuse(vault, acting, NotFound("agreement-not-found"))
    if found.phase != "in" or found.consent in ("withdrawn", "expired"):
        raise refuse(vault, acting, Conflict("agreement-not-in-force"))
    return found


def _require_granted(vault: Vault, agreement: AgreementFacts, fields: Mapping[str, Any]) -> None:
    granted = vault.policy.granted_fields(agreement.template) - agreement.excluded
    faults = [Fault(f"/fields/{name}", "field.not-agreed") for name in sorted(fields) if name not in granted]
    if faults:
        raise InvalidValue(faults=faults)


def _require_version(acting: Acting, if_match: int) -> None:
    if acting.person.subject is not None and acting.person.subject.version != if_match:
        raise Stale


def _seal(
    vault: Vault, acting: Acting, permit: ReadPermit, agreement_id: str, values: Mapping[str, Any], removed: frozenset[str]
) -> tuple[list[AmendedClass], list[NewClass]]:
    """Seal the changes: into the classes that exist, and into new ones for classes the person has nothing in.

    What is archived counts as nothing: beside it the class begins anew, under its next generation. A value's version is the
    person's version that brought it: it grows for ever, so no place is ever used twice.
    """
    known = as_known(acting.context, acting.subject_id, acting.person)[1]
    held = {name for one in known.values() for name in one.entries}  # nobody removes what is not there for them
    next_version = (acting.person.subject.version if acting.person.subject else 0) + 1
    classes = {vault.catalogue.fields[name].class_name for name in (*values, *removed)}
    generations = _generations(vault, acting) if classes - acting.person.frames.keys() else {}
    changes: dict[str, Changes] = {}
    created: list[NewClass] = []
    for class_name in sorted(classes):
        new = [
            NewValue(name, value, agreement_id, next_version)
            for name, value in values.items()
            if vault.catalogue.fields[name].class_name == class_name
        ]
        gone = frozenset(name for name in removed if name in held and vault.catalogue.fields[name].class_name == class_name)
        if class_name in acting.person.frames:
            changes[class_name] = Changes(new, gone)
        elif new:
            created.append(_new_class(vault, acting, class_name, new, generations.get(class_name, 0) + 1))
    sealed = sealed_classes(acting.context.controller_id, acting.subject_id, acting.person)
    through = dict.fromkeys(changes, agreement_id)
    return amend_classes(vault.keys, permit, sealed, changes, through, vault.monotonic()), created


def _generations(vault: Vault, acting: Acting) -> dict[str, int]:
    controller_id = acting.context.controller_id
    with vault.database.snapshot(controller_id) as rows:
        return keys.latest_generations(rows, controller_id, acting.subject_id)


def _new_class(vault: Vault, acting: Acting, class_name: str, new: Sequence[NewValue], generation: int) -> NewClass:
    """Seal a class under a new key, for each agreement in force that grants it and for the companions of those in force.

    The companion of a contract that is over keeps what was shared then, and nothing of what is shared now.
    """
    grants = [one for one in acting.person.agreements if class_name in vault.policy.held_classes(one.template, one.excluded)]
    in_force = [one for one in grants if one.status == "in_force"]
    duties = {duty for one in in_force if one.template in vault.templates for duty in vault.templates[one.template].companions}
    holders = [one.agreement_id for one in in_force]
    held_for = [one.agreement_id for one in grants if one.status == "dormant" and one.template in duties]
    place = (acting.context.controller_id, acting.subject_id, class_name)
    return seal_class(vault.keys, *place, vault.new_id("dk"), new, holders, generation, held_for)


def write_changes(transaction: sa.Connection, acting: Acting, changed: Sequence[AmendedClass], created: Sequence[NewClass]) -> None:
    """Write what was sealed: frames in the place of those that were read, what they held before as history. Raises Stale."""
    place = {"controller_id": acting.context.controller_id, "subject_id": acting.subject_id}
    for one in changed:
        keys.amend_data_key(transaction, acting.context.controller_id, acting.subject_id, one)
        at = {"class_name": one.class_name, "generation": one.generation, **place}
        transaction.execute(_REFRAME, {**{f"of_{k}": v for k, v in at.items()}, "frame": one.frame, "entry_id": acting.entry_id})
        for row in one.history:
            history = {"class": one.class_name, "generation": one.generation, "at": acting.at, "entry_id": acting.entry_id}
            transaction.execute(
                sa.insert(tables.field_history),
                {**place, **history, "field": row.field, "value_version": row.value_version, "agreement_id": row.agreement_id,
                 "envelope": row.envelope},
            )  # fmt: skip
    keys.insert_classes(transaction, acting.context.controller_id, acting.subject_id, created)
    for new in created:
        transaction.execute(
            sa.insert(tables.profile_frame),
            {**place, "class": new.class_name, "generation": new.generation, "frame": new.frame, "entry_id": acting.entry_id},
        )


def _refuse_taken(vault: Vault, transaction: sa.Connection, acting: Acting, values: Mapping[str, Any]) -> None:
    """Raise Conflict when a unique value is somebody else's; whoever wants the same one waits here, as in `enroll`."""
    controller_id, fields = acting.context.controller_id, vault.catalogue.fields
    unique = {name: value for name, value in values.items() if fields[name].unique}
    for index_name, version, bidx in index_entries(vault, controller_id, unique):
        keys.lock_value(transaction, controller_id, index_name, bidx)
        if set(keys.look_up(transaction, controller_id, index_name, {version: bidx})) - {acting.subject_id}:
            raise Conflict("value-taken")


def _reindex(vault: Vault, transaction: sa.Connection, acting: Acting, values: Mapping[str, Any], removed: frozenset[str]) -> None:
    """Replace the blind indexes of changed fields.

    Fields that share an index (phones) are indexed as a set whose other members stay sealed here, so an old value's row goes only
    when no other field of that index holds a value.
    """
    fields = vault.catalogue.fields
    held = {name for row in acting.person.frames.values() for name in frame.read(row.frame).entries}
    touched = {index for name in (*values, *removed) if (index := fields[name].index) is not None}
    shared = {index for index in touched if any(fields[n].index == index for n in held - set(values) - removed)}
    keys.delete_indexes(transaction, acting.context.controller_id, acting.subject_id, sorted(touched - shared))
    entries = [keys.IndexEntry(*one) for one in index_entries(vault, acting.context.controller_id, values)]
    keys.insert_indexes(transaction, acting.context.controller_id, acting.subject_id, entries)
    if acting.person.subject is not None and acting.person.subject.objected_marketing:
        silence(vault, transaction, acting, quiet=True, at=objected_at(acting))


def _set_age(vault: Vault, transaction: sa.Connection, acting: Acting, values: Mapping[str, Any]) -> None:
    """Let the band follow a date of birth that is written. One that is removed changes nothing: nobody comes of age by that."""
    born_on, controller_id = birth(values), acting.context.controller_id
    if born_on is not None:
        found = age(born_on, acting.at, vault.controller(controller_id).zone)
        ages.set_age(transaction, controller_id, acting.subject_id, found["minor"], found["adult_at"])


_FRAME = tables.profile_frame.c
_REFRAME = (
    sa.update(tables.profile_frame)
    .where(
        _FRAME.controller_id == sa.bindparam("of_controller_id"),
        _FRAME.subject_id == sa.bindparam("of_subject_id"),
        _FRAME["class"] == sa.bindparam("of_class_name"),
        _FRAME.generation == sa.bindparam("of_generation"),
    )
    .values(frame=sa.bindparam("frame"), entry_id=sa.bindparam("entry_id"))
)
