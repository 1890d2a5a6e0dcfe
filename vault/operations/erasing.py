"""What an erasure is made of: what lies there, what a duty keeps of it, what is sealed anew, and what is left of identifiers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
import sqlalchemy as sa

from vault import tables
from vault.agreements import records as agreements
from vault.agreements import retention_records
from vault.agreements.retention import Kept
from vault.agreements.terms import valid_until
from vault.assembly import Vault
from vault.erasure import holds
from vault.erasure import records as erasures
from vault.erasure.holds import HoldRow
from vault.erasure.plan import Duty, HeldClass, Plan, account, planned
from vault.erasure.records import Generation, Identifier
from vault.erasure.tombstones import BY_INDEX, NORMALISER
from vault.errors import Unreadable
from vault.exports import records as exports
from vault.exports.manifest import SETS
from vault.keys import epochs, frame
from vault.keys import records as keys
from vault.keys.data_keys import NewClass, NewValue, seal_class
from vault.operations.acting import Acting
from vault.operations.burying import KEPT, identifiers, indexed, objected_at, stones, suppressions, until_when
from vault.operations.ending import event_row
from vault.operations.open_request import local_day
from vault.operations.retaining import all_ended, duties_of
from vault.permit import Clear
from vault.profiles.records import AgreementRow


@dataclass(frozen=True, slots=True)
class Case:
    """What was read of a person for an erasure, and the plan. `stays`: classes and generations a duty holds as they are.

    `opens`: fields to be opened, each with the agreement through whose wrap; `untold`: fields the account does not name.
    `leaves`: fields that leave everybody's use, destroyed or kept by a duty alone: their recipients are to erase them. What a legal
    hold keeps is evidence there too.
    """

    plan: Plan
    newest: Mapping[str, int]
    stays: frozenset[tuple[str, int]]
    opens: Mapping[str, str]
    untold: frozenset[str]
    leaves: frozenset[str]


@dataclass(frozen=True, slots=True)
class Left:
    """The keyed hashes that are left of identifiers, and until when they and the details of accesses are kept."""

    tombstones: Sequence[Identifier]
    suppressions: Sequence[tuple[str, Identifier]]
    until: datetime
    details_until: datetime

    def keep(self, rows: sa.Connection, acting: Acting) -> None:
        """Store them in the erasure's transaction."""
        controller_id = acting.context.controller_id
        erasures.keep_tombstones(rows, controller_id, self.tombstones, acting.at, self.until, acting.entry_id)
        erasures.keep_suppressions(rows, controller_id, self.suppressions, objected_at(acting), acting.entry_id)
        erasures.shred_audit_key_after(rows, controller_id, acting.subject_id, self.details_until)


def read_case(vault: Vault, acting: Acting) -> Case:
    """Read what lies there of a person, and plan."""
    place = (acting.context.controller_id, acting.subject_id)
    with vault.database.snapshot(place[0]) as rows:
        there = erasures.generations(rows, *place)
        former = erasures.former_values(rows, *place)
        waiting = erasures.holders_for_later(rows, *place)
        agreed = retention_records.agreements(rows, *place)
        held_by = [one for one in holds.of_subject(rows, *place) if one.counts(acting.at)]
    by_id = {one.agreement_id: one for one in acting.person.agreements}
    kept = duties_of(vault, place[0], all_ended(agreed, acting.at), set[str]().union(*waiting.values()))
    today = local_day(vault, place[0], acting.at)
    duties = {id_: _duty(vault, by_id[id_], one) for id_, one in kept.items() if one.until is None or one.until >= today}
    duties |= {one.hold_id: _hold(vault, one) for one in held_by}
    held = [_held(one, former, [duties[id_] for id_ in waiting.get(one[:2], ()) if id_ in duties]) for one in there]
    plan = planned(held)
    stays = frozenset((one.class_name, one.generation) for one in held if one.archived and one.duties)
    newest = {one.class_name: max(other.generation for other in there if other.class_name == one.class_name) for one in there}
    held_back = {name for one in held_by for name in one.fields or vault.catalogue.fields}
    leaves = frozenset(one.name for one in plan.fields) - held_back
    return Case(plan, newest, stays, _opens(vault, acting, plan), _untold(vault, acting), leaves)


def _held(one: Generation, former: Mapping[tuple[str, int, str], int], duties: Sequence[Duty]) -> HeldClass:
    """Return a generation by the fields its frame and history name. A frame that is none names nothing, and goes."""
    values = {name: count for (class_name, number, name), count in former.items() if (class_name, number) == one[:2]}
    try:
        current = frame.read(one.frame).entries if one.frame is not None else {}
    except Unreadable:
        current = {}
    for name in current:
        values[name] = values.get(name, 0) + 1
    return HeldClass(one.class_name, one.generation, one.data_key_id, values, tuple(duties), archived=one.state == "archived")


def _duty(vault: Vault, one: AgreementRow, kept: Kept) -> Duty:
    """Return a duty by the rule that decides; one without an end keeps for good."""
    fields = vault.policy.granted_fields(one.template) - one.excluded
    code, law = (kept.rule.code, kept.rule.law) if kept.rule is not None else ("legal-obligation", ())
    return Duty(one.agreement_id, fields, code, law, kept.until.isoformat() if kept.until is not None else "")


def _hold(vault: Vault, one: HoldRow) -> Duty:
    """Return a legal hold as what it is to an erasure: a duty to keep, until it is released."""
    until = one.until.isoformat() if one.until is not None else ""
    return Duty(one.hold_id, frozenset(one.fields or vault.catalogue.fields), "legal-claims", (one.law,), until)


def _last_day(at: datetime, period: str, zone: Any) -> str:
    end = valid_until(at, period, zone)
    return (end - timedelta(seconds=1)).astimezone(zone).date().isoformat() if end is not None else ""


def _opens(vault: Vault, acting: Acting, plan: Plan) -> dict[str, str]:
    """Return what must be opened once more, and through which agreement: identifiers, and what is sealed anew."""
    fields, person = vault.catalogue.fields, acting.person
    kept = {one.name for one in plan.archived}
    opens = {}
    for class_name, row in person.frames.items():
        through = sorted(person.wraps_of(class_name))
        try:
            named = frame.read(row.frame).entries
        except Unreadable:
            continue
        wanted = [name for name in named if name in kept or (name in fields and fields[name].index is not None)]
        opens.update(dict.fromkeys(wanted, through[0]) if through else {})
    return opens


def _untold(vault: Vault, acting: Acting) -> frozenset[str]:
    """Return what is kept from the person by law, and what they obscured: of that officers are not to know."""
    obscured = acting.person.subject.obscured if acting.person.subject is not None else frozenset()
    return vault.catalogue.never_to_subject | {one.partition("@")[0] for one in obscured}


def outcome(vault: Vault, case: Case) -> dict[str, Any]:
    """Return what an erasure by this plan comes to, as it is told."""
    categories = {name: one.category for name, one in vault.catalogue.fields.items()}
    return account(case.plan, categories, case.untold)


def final_by(vault: Vault, acting: Acting) -> str:
    """Return the day by which no backup can bring anything back: the epoch's end, the life of key exports, that of backups."""
    settings = vault.settings
    with vault.database.snapshot(acting.context.controller_id) as rows:
        begun = epochs.epochs_of(rows, acting.context.controller_id)[-1].created_at
    ends = max(acting.at, begun + timedelta(days=settings.epoch_days)) + timedelta(days=settings.key_export_days + 1)
    last = max(ends, acting.at + timedelta(days=settings.physical_backup_days))
    return last.astimezone(vault.controller(acting.context.controller_id).zone).date().isoformat()


def kept_after(vault: Vault, acting: Acting, left: Left) -> list[dict[str, Any]]:
    """Return what is not erased although everything was, until when, and why."""
    zone = vault.controller(acting.context.controller_id).zone
    there = ["audit-details", "agreement-history", *(["tombstones"] if left.tombstones else [])]
    kept: list[dict[str, Any]] = [
        {
            "what": name, "until": _last_day(acting.at, vault.policy.keeping[name].period, zone),
            **({"law": list(law)} if (law := vault.policy.keeping[name].law) else {}),
        }
        for name in there
    ]  # fmt: skip
    if left.suppressions:
        kept.append({"what": "marketing-suppression", "until": None})
    return kept


def resealed(vault: Vault, acting: Acting, case: Case, opened: Mapping[str, Clear]) -> list[NewClass]:
    """Seal anew what duties keep, each class under its next generation, held for those duties and opened by nobody."""
    place = (acting.context.controller_id, acting.subject_id)
    made = []
    for class_name in case.plan.reseal:
        entries = frame.read(acting.person.frames[class_name].frame).unpacked()
        ours = [one for one in case.plan.archived if one.class_name == class_name and one.data_key_id in case.plan.keys]
        kept = [one for one in ours if one.name in opened and one.name in entries]
        sealed = [(one.name, entries[one.name]) for one in kept]
        values = [NewValue(name, opened[name].value, one.agreement_id, one.value_version) for name, one in sealed]
        duties = sorted({one.duty.agreement_id for one in kept if one.duty is not None})
        if values:
            made.append(
                seal_class(vault.keys, *place, class_name, vault.new_id("dk"), values, (), case.newest[class_name] + 1, duties)
            )
    return made


def insert_archive(rows: sa.Connection, acting: Acting, archive: Sequence[NewClass]) -> None:
    """Store what was sealed anew."""
    place = (acting.context.controller_id, acting.subject_id)
    keys.insert_classes(rows, *place, archive, "archived")
    for one in archive:
        rows.execute(
            sa.insert(tables.profile_frame),
            {"controller_id": place[0], "subject_id": place[1], "class": one.class_name, "generation": one.generation,
             "frame": one.frame, "entry_id": acting.entry_id},
        )  # fmt: skip


def ended_agreements(vault: Vault, rows: sa.Connection, acting: Acting) -> None:
    """End every agreement in force: nothing rests on any of them, and their history says why."""
    controller_id, subject_id = acting.context.controller_id, acting.subject_id
    for one in acting.person.agreements:
        consent = "withdrawn" if one.consent == "withdrawn" else "expired" if one.consent != "none" else "none"
        if agreements.end(rows, (controller_id, subject_id, one.agreement_id), "ended", consent, acting.entry_id):
            number = agreements.next_number(rows, controller_id, subject_id, one.agreement_id)
            evidence = orjson.dumps({"because": "erasure"})
            rows.execute(sa.insert(tables.agreement_event), event_row(vault, acting, one.agreement_id, number, "expired", evidence))


def end_exports(rows: sa.Connection, acting: Acting) -> None:
    """End what was packed for the person to take away, fetched or not: its sealed bytes go."""
    place = (acting.context.controller_id, acting.subject_id)
    for one in exports.live_of(rows, *place, *SETS):
        exports.end(rows, place[0], one, "erased")


def left_of(vault: Vault, acting: Acting, case: Case, opened: Mapping[str, Clear]) -> Left:
    """Return what is left of identifiers: tombstones, and where they objected to marketing, suppressions.

    Of those nothing opens any more, for their contract ended before, of the blind indexes there are.
    """
    place = (acting.context.controller_id, acting.subject_id)
    texts = identifiers(vault, {name: one.value for name, one in opened.items() if name in case.opens})
    unopened = {one.index for one in vault.catalogue.fields.values() if one.index is not None} - {index for index, _ in texts}
    with vault.database.snapshot(place[0]) as rows:
        unread = indexed(keys.indexes_of(rows, *place, unopened))
    row = acting.person.subject
    hashed = ((texts, NORMALISER), (unread, BY_INDEX))
    left = [one for these, how in hashed for one in stones(vault, place[0], these, None, how)]
    quiet = [one for these, how in hashed for one in suppressions(vault, place[0], these, None, how)]
    ends = (until_when(vault, acting, name) for name in (KEPT, "audit-details"))
    return Left(left, quiet if row is not None and row.objected_marketing else [], *ends)
