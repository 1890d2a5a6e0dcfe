"""Correct what is held about somebody, as they asked (GDPR 16): proposed, verified, accepted as proposed, and then carried out.

What is proposed is sealed under the key of its class and taken away when the request ends, however it does. How somebody is reached
or paid takes its place a day after whoever is reached there now was told, and nobody can make that shorter. What was there goes to
the history; where the new value came from stays on record: who asked, who verified them and how, on what evidence, when.
Source: `rights.md` 5.
"""

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from vault.assembly import Vault
from vault.errors import Conflict, Fault, InvalidValue, NotFound
from vault.keys import records as keys
from vault.keys.data_keys import AmendedClass, NewValue
from vault.keys.drafts import Draft, open_drafts, seal_drafts
from vault.keys.frame import Frame
from vault.operations.acting import Acting, carrying_out, prepare, record, refuse, require_in_person, require_permission, telling
from vault.operations.enrolment import normalised
from vault.operations.facts import as_known, sealed_classes, subject_facts
from vault.operations.proposals import change_proposal, last_proposal, marked_proposal
from vault.outbox import announce
from vault.policy.masks import show
from vault.policy.model import Context
from vault.rights import correction_records as corrections
from vault.rights import records
from vault.rights.correcting import EVIDENCE, digest
from vault.rights.correction_records import CorrectionRow, DraftRow
from vault.rights.kinds import REACHED, TOLD_BY
from vault.rights.records import RequestRow

VERB: Final = "rectify"
TELL: Final = "tell_contact"
KIND: Final = "rectification"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody wants corrected: values by field, and what shows that they are right."""

    fields: Mapping[str, Any] = field(repr=False)
    evidence: str = "own-statement"


@dataclass(frozen=True, slots=True)
class Proposed:
    """The answer: what was proposed, never the values, and the entry."""

    row: CorrectionRow
    entry_id: str

    @property
    def told(self) -> dict[str, Any]:
        """What is told of it: never a value."""
        return _told(self.row)


@dataclass(frozen=True, slots=True)
class ProposalShown:
    """The answer to whoever looks: what was proposed, each value as clearly as they may see it, None where they may not."""

    row: CorrectionRow
    values: Mapping[str, Any] = field(repr=False)
    entry_id: str

    @property
    def told(self) -> dict[str, Any]:
        """What is told of it beside the values."""
        return _told(self.row)


def propose_correction(vault: Vault, context: Context, request_id: str, wanted: Wanted) -> Proposed:
    """Propose values, in the place of what was proposed before. Raises InvalidValue, NotFound, AccessDenied, Stale, Conflict.

    Conflict: `not-a-rectification`, `request-state` once it is accepted, `no-agreement-covers`.
    """
    acting, row = prepared(vault, VERB, context, request_id, wanted.fields)
    if context.caller.kind == "agent" and not REACHED.isdisjoint(wanted.fields):
        require_in_person(vault, acting)
    if row.state not in ("received", "verified") and not (row.state == "accepted" and row.plan is None):  # reopened, say
        raise refuse(vault, acting, Conflict("request-state"))
    person, frames = as_known(context, row.subject_id, acting.person)
    if faults := [*_faults(vault, row, wanted, frames.keys()), *_barred(vault, acting, wanted)]:
        raise refuse(vault, acting, InvalidValue(faults=faults))
    values, held = normalised(vault.catalogue, wanted.fields), versions(frames)
    agreement_id = _covering(vault, acting, values)
    before = last_proposal(vault, context.controller_id, request_id)
    number = 1 if before is None else before.number + 1
    permit = record(
        vault, acting, opens=dict.fromkeys(values, agreement_id), count=len(values),
        details={"result": "proposed", "request": request_id},
    )  # fmt: skip
    with telling(vault, acting):
        sealed = sealed_classes(context.controller_id, row.subject_id, person)
        new = _by_class(vault, values, agreement_id)
        made = seal_drafts(vault.keys, permit, sealed, new, agreement_id, f"{request_id}/{number}", vault.monotonic())
    kept = CorrectionRow(
        request_id=request_id, number=number, subject_id=row.subject_id, agreement_id=agreement_id,
        replaces={name: held.get(name, 0) for name in values}, evidence=wanted.evidence, asked_by=context.caller.id,
        asked_at=acting.at, contacts={name: held[name] for name in sorted(TOLD_BY & held.keys())},
        digest=digest(request_id, number, {one.class_name: one.frame for one in made}), told_by=None, told_through=None,
        told_at=None, applied_at=None, applied_version=None, entry_id=acting.entry_id,
    )  # fmt: skip
    _keep(vault, acting, row, marked_proposal(vault, context.controller_id, kept), made)
    return Proposed(kept, acting.entry_id)


def _by_class(vault: Vault, values: Mapping[str, Any], agreement_id: str) -> dict[str, list[NewValue]]:
    found: defaultdict[str, list[NewValue]] = defaultdict(list)
    for name in sorted(values):
        found[_class(vault, name)].append(NewValue(name, values[name], agreement_id, 1))
    return dict(found)


def _keep(vault: Vault, acting: Acting, row: RequestRow, kept: CorrectionRow, made: Sequence[Draft]) -> None:
    """Keep a proposal; request and classes must still be as they were read, and each key counts what it sealed. Raises Stale."""
    place = (acting.context.controller_id, kept.subject_id)
    manifests = {one.class_name: one.manifest for one in acting.person.frames.values()}
    with carrying_out(vault, acting) as transaction:
        records.keep_as_read(transaction, place[0], row)
        for one in made:
            at = manifests[one.class_name]
            keys.amend_data_key(transaction, *place, AmendedClass(one.class_name, one.generation, at, at, b"", one.seals, ()))
        corrections.add(transaction, place[0], kept, [DraftRow(one.class_name, one.generation, one.frame) for one in made])
        if kept.proposal.waits:
            announce(
                transaction, vault, place[0], "contact:changing", acting.entry_id, acting.at, subject_id=kept.subject_id,
                request_id=kept.request_id, fields=sorted(kept.replaces),
            )  # fmt: skip


def tell_contact(vault: Vault, context: Context, request_id: str, through: str) -> Proposed:
    """Note that whoever is reached by a contact as it was before was told of the change: from then on it waits a day.

    Raises InvalidValue, NotFound, AccessDenied, Conflict `nothing-proposed`, `already-told`.
    """
    acting, row = prepared(vault, TELL, context, request_id)
    if context.caller.kind == "agent":
        require_in_person(vault, acting)
    last = _last(vault, acting, request_id)
    if last.told_at is not None or last.applied_at is not None:
        raise refuse(vault, acting, Conflict("already-told"))
    if not last.reaches(through, versions(as_known(context, row.subject_id, acting.person)[1])):
        raise refuse(vault, acting, InvalidValue(faults=[Fault("/through", "field.nothing-held")]))
    record(vault, acting, details={"result": "told", "request": request_id})
    to: dict[str, Any] = {"told_by": context.caller.id, "told_through": through, "told_at": acting.at}
    keep = change_proposal(vault, context.controller_id, last, **to)
    with carrying_out(vault, acting) as transaction:
        keep(transaction)
    return Proposed(replace(last, **to), acting.entry_id)


def show_correction(vault: Vault, context: Context, request_id: str) -> ProposalShown:
    """Show what is proposed, each value as clearly as the caller may see the field. Raises NotFound, AccessDenied, Unreadable."""
    acting, row = prepared(vault, VERB, context, request_id, vault.catalogue.fields)
    last = _last(vault, acting, request_id)
    facts = subject_facts(row.subject_id, acting.person, acting.at)
    decided = vault.policy.decide(context, "profile", acting.caller, acting.ticket, facts, list(last.replaces)).fields
    with vault.database.snapshot(context.controller_id) as rows:
        drafts = [Draft(*one) for one in corrections.drafts(rows, context.controller_id, request_id)]
    shown = {name: one for name, one in decided.items() if one.level in ("clear", "masked") and drafts}
    told = {name: one.level if one.mask is None else f"masked:{one.mask}" for name, one in shown.items()}
    permit = record(
        vault, acting, outcome="allowed", opens=dict.fromkeys(shown, last.agreement_id), fields=told, count=len(shown),
        details={"result": "shown", "request": request_id},
    )  # fmt: skip
    sealed = sealed_classes(context.controller_id, row.subject_id, acting.person)
    opened = open_drafts(vault.keys, permit, sealed, drafts, last.place, vault.monotonic()) if shown else {}
    values = {name: opened[name].value if one.mask is None else show(one.mask, opened[name].value) for name, one in shown.items()}
    return ProposalShown(last, values, acting.entry_id)


def prepared(vault: Vault, verb: str, context: Context, request_id: str, fields: Iterable[str] = ()) -> tuple[Acting, RequestRow]:
    """Return who acts on which request, with the classes of these fields and of contacts.

    Raises the recorded 404, and Conflict `not-a-rectification`.
    """
    with vault.database.snapshot(context.controller_id) as rows:
        row = records.read(rows, context.controller_id, request_id)
    classes = {_class(vault, name) for name in (*fields, *TOLD_BY) if name in vault.catalogue.fields}
    acting = prepare(vault, verb, context, row.subject_id if row is not None else request_id, classes)
    require_permission(vault, acting)
    if row is None:
        raise refuse(vault, acting, NotFound())
    if row.kind != KIND:
        raise refuse(vault, acting, Conflict("not-a-rectification"))
    return acting, row


def _last(vault: Vault, acting: Acting, request_id: str) -> CorrectionRow:
    found = last_proposal(vault, acting.context.controller_id, request_id)
    if found is None:
        raise refuse(vault, acting, Conflict("nothing-proposed"))
    return found


def _faults(vault: Vault, row: RequestRow, wanted: Wanted, held: Container[str]) -> Sequence[Fault]:
    """Return what is wrong with a proposal: of fields the request is not of, its identity was not proved for."""
    theirs = vault.catalogue.fields.keys() - vault.catalogue.never_to_subject
    faults = [Fault("/evidence", "member.unfit")] if wanted.evidence not in EVIDENCE else []
    for name, value in wanted.fields.items():
        pointer = "/fields/" + name.replace("~", "~0").replace("/", "~1")
        wrong = {
            "field.unknown": name not in theirs,
            "field.not-asked": bool(row.fields) and name not in row.fields,
            "value.missing": value is None,
            "field.nothing-held": name in theirs and _class(vault, name) not in held,
        }
        faults += [Fault(pointer, code) for code, stands in wrong.items() if stands][:1]
    return faults


def _barred(vault: Vault, acting: Acting, wanted: Wanted) -> Iterable[Fault]:
    """Yield what is of an old cancer and barred: it is neither corrected nor kept as a proposal (L. 193/2023)."""
    facts = subject_facts(acting.subject_id, acting.person, acting.at)
    for name in wanted.fields:
        if facts.time_barred and name in vault.catalogue.fields and vault.catalogue.fields[name].time_barred:
            yield Fault(f"/fields/{name}", "value.time-barred")


def _covering(vault: Vault, acting: Acting, values: Mapping[str, Any]) -> str:
    """Return the agreement the new values are collected under: one in force that grants them all."""
    facts = subject_facts(acting.subject_id, acting.person, acting.at)
    for one in sorted(facts.agreements, key=lambda one: one.agreement_id):
        granted = vault.policy.granted_fields(one.template) - one.excluded
        if one.phase == "in" and one.consent not in ("withdrawn", "expired") and values.keys() <= granted:
            return one.agreement_id
    raise refuse(vault, acting, Conflict("no-agreement-covers"))


def _told(row: CorrectionRow) -> dict[str, Any]:
    instants = {"asked_at": row.asked_at, "told_at": row.told_at, "from_when": row.proposal.from_when, "applied_at": row.applied_at}
    return {
        "request_id": row.request_id, "number": row.number, "replaces": dict(row.replaces), "evidence": row.evidence,
        "asked_by": row.asked_by, "digest": row.digest.hex(), "told_through": row.told_through,
        "applied_version": row.applied_version,
        **{name: at.isoformat() if at is not None else None for name, at in instants.items()},
    }  # fmt: skip


def versions(frames: Mapping[str, Frame]) -> dict[str, int]:
    """Return the version of each value there is."""
    return {name: entry[0] for one in frames.values() for name, entry in one.entries.items()}


def _class(vault: Vault, name: str) -> str:
    return vault.catalogue.fields[name].class_name
