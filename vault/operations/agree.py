"""Make a new agreement with somebody who is enrolled: its wraps are made from one that already holds the keys.

What the clock has ended is ended in the same transaction: nothing of what it alone held is then left for the new one to miss.
Older versions of the same template are superseded there too: the new wraps are made from theirs before theirs go.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import sqlalchemy as sa

from vault import tables
from vault.agreements.terms import band_at, phase, require_guardian, valid_until
from vault.assembly import Vault
from vault.errors import Conflict, Stale
from vault.keys import records as keys
from vault.keys.data_keys import wraps_for
from vault.operations.acting import Acting, carrying_out, prepare, record, require_permission, require_person, telling
from vault.operations.ending import end_within, event_row
from vault.operations.enroll import AgreementTerms, agreed
from vault.operations.enrolment import Agreed, companions_of
from vault.operations.facts import sealed_classes
from vault.operations.keeping import keep_templates
from vault.outbox import announce
from vault.policy.model import Context
from vault.profiles import versions


@dataclass(frozen=True, slots=True)
class Made:
    """The answer: the new agreement and the person's new version."""

    agreement_id: str
    version: int
    entry_id: str


def agree(vault: Vault, context: Context, subject_id: str, terms: AgreementTerms) -> Made:
    """Make the agreement.

    Raises InvalidValue (template, evidence), NotFound, AccessDenied, Conflict (`changed-meanwhile`, `template-changed`).

    Where no agreement in force holds a class's key any more, that class must be shared again; the others are granted.
    """
    acting = prepare(vault, "agree", context, subject_id, vault.catalogue.classes)
    require_permission(vault, acting)
    require_person(vault, acting)
    new = agreed(vault, context, terms, acting.at, "")
    _require_guardian(acting, new)
    overdue, superseded = _overdue(acting), _superseded(vault, acting, new)
    through = _sources(vault, acting, new, overdue)
    opens = {f"~{class_name}": source for class_name, source in through.items()}  # whole classes: no field is shown
    permit = record(vault, acting, terms=(new.template.reference,), opens=opens, details=_ending(overdue, superseded))
    agreement_id = vault.new_id("agr")
    companions = {vault.new_id("agr"): one for one in companions_of(vault, [new])}
    held_for = {name: [made for made, one in companions.items() if name in _reach(vault, one)] for name in through}
    sealed = sealed_classes(context.controller_id, subject_id, acting.person)
    with telling(vault, acting):
        wraps = wraps_for(vault.keys, permit, sealed, through, agreement_id, vault.monotonic(), held_for)
    rows = _rows(vault, acting, new, agreement_id, superseded[-1] if superseded else None)
    rows += [row for companion_id, one in companions.items() for row in _rows(vault, acting, one, companion_id)]
    with carrying_out(vault, acting) as transaction:
        keys.lock_data_keys(transaction, context.controller_id, subject_id)
        version = _raise_version(transaction, acting)
        keep_templates(
            vault, transaction, context.controller_id, [row for table, row in rows if table is tables.agreement], acting.at
        )
        for table, row in rows:
            transaction.execute(sa.insert(table), row)
        keys.insert_wraps(transaction, context.controller_id, subject_id, wraps)
        for ended_id in overdue:
            end_within(vault, transaction, acting, ended_id, "expired", b"{}")
        for ended_id in superseded:
            end_within(vault, transaction, acting, ended_id, "superseded", orjson.dumps({"by": agreement_id}))
        announce(transaction, vault, context.controller_id, "agreement:given", acting.entry_id, acting.at,
                 subject_id=subject_id, agreement_id=agreement_id)  # fmt: skip
    return Made(agreement_id, version, acting.entry_id)


def _raise_version(transaction: sa.Connection, acting: Acting) -> int:
    """Raise the person's version, or Conflict when it is not the one that was read.

    The wraps were made from what was read. If the agreement they were made through has ended since, and its class with it, they
    would bring back a key that is gone.
    """
    read = acting.person.subject.version if acting.person.subject is not None else 0
    try:
        return versions.raise_version(transaction, acting.context.controller_id, acting.subject_id, read)
    except Stale:
        raise Conflict("changed-meanwhile") from None


def _require_guardian(acting: Acting, new: Agreed) -> None:
    """Refuse an online service's consent of a child alone (GDPR Art. 8)."""
    row = acting.person.subject
    if row is not None:
        require_guardian(new.template, band_at(row.minor, row.adult_at, acting.at), new.evidence)


def _overdue(acting: Acting) -> list[str]:
    """Return the agreements the clock has ended and nobody has yet."""
    return [
        one.agreement_id
        for one in acting.person.agreements
        if one.status == "in_force" and phase(one.valid_from, one.valid_until, acting.at) == "after"
    ]


def _superseded(vault: Vault, acting: Acting, new: Agreed) -> list[str]:
    """Return the agreements still running whose place the new one takes: the same template in an older version, latest last.

    One that is over when it is written down takes nobody's place.
    """
    until = valid_until(new.signed_at, new.template.validity, vault.controller(acting.context.controller_id).zone)
    if phase(new.signed_at, until, acting.at) == "after":
        return []
    older = []
    for one in acting.person.agreements:
        template, _, version = one.template.partition("@")
        if one.status == "in_force" and template == new.template.id and int(version) < new.template.version:
            older.append((int(version), one.valid_from, one.agreement_id))
    overdue = _overdue(acting)
    return [agreement_id for _, _, agreement_id in sorted(older) if agreement_id not in overdue]


def _ending(overdue: Sequence[str], superseded: Sequence[str]) -> dict[str, Any]:
    """Return what the entry says of agreements that end with this one's making."""
    return {name: list(ids) for name, ids in (("expired", overdue), ("superseded", superseded)) if ids}


def _reach(vault: Vault, new: Agreed) -> Collection[str]:
    return vault.policy.held_classes(new.template.reference, new.excluded)


def _sources(vault: Vault, acting: Acting, new: Agreed, overdue: Collection[str]) -> dict[str, str]:
    """Return, for each class the new agreement grants, an agreement not over that holds its key; a dormant one is no source."""
    in_force = {one.agreement_id for one in acting.person.agreements if one.status == "in_force"} - set(overdue)
    through = {}
    for class_name in _reach(vault, new):
        sources = sorted(in_force & acting.person.wraps_of(class_name).keys())
        if class_name in acting.person.frames and sources:
            through[class_name] = sources[0]
    return through


def _rows(
    vault: Vault, acting: Acting, new: Agreed, agreement_id: str, supersedes: str | None = None
) -> list[tuple[sa.Table, dict[str, Any]]]:
    controller_id, template = acting.context.controller_id, new.template
    place = {
        "controller_id": controller_id,
        "subject_id": acting.subject_id,
        "agreement_id": agreement_id,
        "entry_id": acting.entry_id,
    }
    until = valid_until(new.signed_at, template.validity, vault.controller(controller_id).zone)
    language = new.language if new.language in template.texts else next(iter(template.texts))  # a companion's has its own
    agreement = {
        "template_id": template.id, "template_version": template.version, "template_digest": template.digest,
        "text_language": language, "text_sha256": template.texts[language], "valid_from": new.signed_at,
        "valid_until": until, "supersedes": supersedes,
    }  # fmt: skip
    event = event_row(vault, acting, agreement_id, 1, "given", orjson.dumps(new.evidence), new.excluded)
    event |= {"effective_at": new.signed_at}
    state = {
        "template": template.reference, "status": "dormant" if new.companion else "in_force",
        "consent": "valid" if template.basis == "consent" else "none",
        "excluded": sorted(new.excluded), "valid_from": new.signed_at, "valid_until": until,
    }  # fmt: skip
    return [(tables.agreement, place | agreement), (tables.agreement_event, place | event), (tables.agreement_state, place | state)]
