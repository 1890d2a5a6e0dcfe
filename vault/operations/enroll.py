"""Enrol a person: identity fields and the agreements they are shared under, in one call."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa

from vault import tables
from vault.agreements.terms import Template, check_evidence, minor_band, require_guardian
from vault.assembly import Vault
from vault.audit.entry import Chain
from vault.erasure import records as erasures
from vault.errors import Conflict, Fault, InvalidValue
from vault.keys import records as keys
from vault.operations.acting import carrying_out, draft, prepare, require_permission
from vault.operations.enrolment import Agreed, Author, Enrolment, NewSubject, birth, new_subject, normalised
from vault.operations.keeping import keep_templates
from vault.operations.known_again import known_again
from vault.operations.noticing import Given, keep_served, said_of, told
from vault.operations.sourcing import Sources, require_sources, source_rows
from vault.operations.sourcing import said_of as said_of_sources
from vault.outbox import announce
from vault.policy.model import Context, Treatment
from vault.sources import add as add_sources


@dataclass(frozen=True, slots=True)
class AgreementTerms:
    """What somebody agreed to, as it was sent: `version` None means the newest of the bundle."""

    template: str
    version: int | None
    language: str
    evidence: Mapping[str, Any]
    excluded: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Enrolled:
    """The answer: ids only."""

    subject_id: str
    version: int
    agreements: tuple[str, ...]
    entry_id: str


def enroll(
    vault: Vault,
    context: Context,
    fields: Mapping[str, Any],
    agreements: tuple[AgreementTerms, ...],
    given: Given | None = None,
    sources: Sources = MappingProxyType({}),
    *,
    treatment: Treatment | None = None,
) -> Enrolled:
    """Enrol; `given` is the notice the person was given, `sources` says where values are from that are not from them.

    `treatment`: what is said of an old cancer, where a value is of one; it is not kept.

    Raises InvalidValue (every field at fault, by code), AccessDenied, Conflict (`already-enrolled`, `previously-erased`,
    `template-changed`, `notice-changed`).
    """
    acting = prepare(vault, "enroll", context)
    require_permission(vault, acting)
    values = normalised(vault.catalogue, fields)
    require_sources(vault, values, sources, acting.at)
    made = tuple(agreed(vault, context, one, acting.at, f"/agreements/{n}") for n, one in enumerate(agreements))
    _require_guardians(vault, context.controller_id, values, made, acting.at)
    author = Author(context.caller.id, ",".join(sorted(acting.caller.roles)))
    notice = told(vault, given, acting.at, "/notice") if given is not None else None
    person = new_subject(vault, context.controller_id, Enrolment(values, made, treatment), author, acting.entry_id, acting.at)
    said = {"subject_id": person.subject_id, **(said_of(notice, given) if notice is not None and given is not None else {})}
    from_others = source_rows(vault, context.controller_id, person.subject_id, 1, sources, acting.entry_id, acting.at)
    entry = replace(
        draft(vault, acting, "done", details=said, count=len(values), internal=said_of_sources(sources)),
        chain=Chain(person.subject_id, *person.audit_key, 0, 0, b""),
        subject_id=person.subject_id,
        terms=tuple(sorted({one.template.reference for one in made})),
    )
    vault.audit.record(context.controller_id, entry)
    with carrying_out(vault, acting) as transaction:
        _refuse_known(vault, transaction, context.controller_id, person)
        _know_again(vault, transaction, context.controller_id, values, made, person)
        keep_templates(vault, transaction, context.controller_id, person.rows[tables.agreement], acting.at)
        for table, rows in person.rows.items():
            transaction.execute(sa.insert(table), rows)
        add_sources(transaction, context.controller_id, from_others)
        if notice is not None and given is not None:
            keep_served(vault, transaction, acting, person.subject_id, notice, given)
        announce(
            transaction, vault, context.controller_id, "subject:enrolled", acting.entry_id, acting.at, subject_id=person.subject_id
        )
    return Enrolled(person.subject_id, 1, person.agreement_ids, acting.entry_id)


def agreed(vault: Vault, context: Context, terms: AgreementTerms, at: datetime, pointer: str) -> Agreed:
    """Return the agreement these terms make, or raise InvalidValue: unknown template, or evidence that shows no agreement."""
    versions = [
        t for t in vault.templates.values() if t.id == terms.template and terms.version in (None, t.version) and is_agreed_with(t)
    ]
    if not versions:
        raise InvalidValue(faults=[Fault(f"{pointer}/template", "agreement.unknown_template")])
    if not terms.excluded <= vault.catalogue.fields.keys():  # they are kept as they are: a name nobody declared could be a value
        raise InvalidValue(faults=[Fault(f"{pointer}/excluded", "field.unknown")])
    template = max(versions, key=lambda one: one.version)
    try:
        signed_at = check_evidence(template, terms.language, context.channel, terms.evidence, at)
    except InvalidValue as error:
        raise _placed(error, pointer) from None
    # a system that enrols over `api` says where the person agreed
    channel = str(terms.evidence.get("channel", "api")) if context.channel == "api" else context.channel
    evidence = {**terms.evidence, "channel": channel, "language": terms.language, "captured_by": context.caller.id}
    return Agreed(template, signed_at, terms.language, channel, evidence, terms.excluded)


def is_agreed_with(template: Template) -> bool:
    """Return whether people can agree to it: a duty to keep begins by its trigger, vital interest is nobody's to sign."""
    return template.starts == "signature" and not template.dependent


def _placed(error: InvalidValue, pointer: str) -> InvalidValue:
    """Return the error with its pointers into the body: the language is beside the evidence, not in it."""
    beside = {"/language": f"{pointer}/language"}
    return InvalidValue(
        faults=[Fault(beside.get(one.pointer, f"{pointer}/evidence{one.pointer}"), one.code) for one in error.faults]
    )


def _require_guardians(vault: Vault, controller_id: str, values: Mapping[str, Any], made: tuple[Agreed, ...], at: datetime) -> None:
    """Refuse an online service's consent of a child alone (GDPR Art. 8)."""
    band = minor_band(birth(values), at.astimezone(vault.controller(controller_id).zone).date())
    for number, one in enumerate(made):
        try:
            require_guardian(one.template, band, one.evidence)
        except InvalidValue as error:
            raise _placed(error, f"/agreements/{number}") from None


def _refuse_known(vault: Vault, transaction: sa.Connection, controller_id: str, person: NewSubject) -> None:
    """Raise Conflict when a unique value is somebody's already: two simultaneous enrolments wait for each other here."""
    unique = {field.index for field in vault.catalogue.fields.values() if field.unique}
    for row in person.rows.get(tables.blind_index, []):
        if row["index_name"] in unique:
            keys.lock_value(transaction, controller_id, row["index_name"], row["bidx"])
            if keys.look_up(transaction, controller_id, row["index_name"], {row["version"]: row["bidx"]}):
                raise Conflict("already-enrolled")


def _know_again(
    vault: Vault, rows: sa.Connection, controller_id: str, values: Mapping[str, Any], made: tuple[Agreed, ...], person: NewSubject
) -> None:
    """Lift the tombstones of somebody who agreed after they were erased, or raise Conflict; what they objected to stays."""
    (known,) = known_again(vault, rows, controller_id, [values], vault.now())
    if known.erased_at is not None and not any(one.signed_at > known.erased_at for one in made):
        raise Conflict("previously-erased")
    erasures.lift_tombstones(rows, controller_id, known.tombstones)
    for row in person.rows[tables.subject]:
        known.mark(row)
