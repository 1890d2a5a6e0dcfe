"""The rows one enrolment makes: a person, what they agreed to, and their values sealed. Shared by `enroll` and `import_subjects`.

Each value is bound to the agreement it was collected under; each class gets one data key, wrapped once for every agreement that
grants it. Nothing here touches the database.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, tzinfo
from typing import Any

import orjson
from sqlalchemy import Table

from vault import tables
from vault.agreements.terms import Template, adult_at, minor_band, valid_until
from vault.assembly import Vault
from vault.errors import Fault, InvalidValue
from vault.keys.data_keys import NewValue, new_audit_key, seal_bytes, seal_class
from vault.octets import lp, u32
from vault.policy.model import Treatment
from vault.policy.onco import barred_from, treatment_faults
from vault.profiles.blind_index import bidx
from vault.profiles.catalogue import Catalogue, Field
from vault.profiles.normalise import index_text, normalise


@dataclass(frozen=True, slots=True)
class Agreed:
    """One agreement being made: `evidence` says how it was given; `signed_at` is when it is claimed to have been."""

    template: Template
    signed_at: datetime
    language: str
    channel: str
    evidence: Mapping[str, Any]
    excluded: frozenset[str] = frozenset()
    valid_until: datetime | None = None  # an imported consent ends earlier than its period
    companion: bool = False  # of a duty to keep: holds its wraps, and covers nothing until its trigger


@dataclass(frozen=True, slots=True)
class Enrolment:
    """A person to be: normalised values by field name, and the agreements they are shared under (the first collects).

    `treatment`: what was said of an old cancer, where a value is of one.
    """

    values: Mapping[str, Any]
    agreements: Sequence[Agreed]
    treatment: Treatment | None = None


@dataclass(frozen=True, slots=True)
class Author:
    """Who made the change, for the rows that say so."""

    caller_id: str
    role: str


@dataclass(frozen=True, slots=True)
class NewSubject:
    """The rows of one new person by table, and what the entry needs: audit key (epoch, wrap)."""

    subject_id: str
    agreement_ids: tuple[str, ...]
    audit_key: tuple[int, bytes]
    rows: Mapping[Table, list[dict[str, Any]]] = field(repr=False)


def normalised(catalogue: Catalogue, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the canonical values, or raise InvalidValue naming every field that has none, by code. Nulls are left out."""
    clean, faults = {}, []
    for name, value in values.items():
        if name not in catalogue.fields:
            faults.append(Fault("/fields/" + name.replace("~", "~0").replace("/", "~1"), "field.unknown"))
        elif value is not None:
            try:
                clean[name] = canonical(catalogue.fields[name], value)
            except InvalidValue as error:
                faults.extend(Fault(f"/fields/{name}{one.pointer}", one.code) for one in error.faults)
    if faults:
        raise InvalidValue(faults=faults)
    return clean


def canonical(field: Field, value: Any) -> Any:
    """Return the canonical value of one field. Raises InvalidValue by code, never with the value."""
    return normalise(field.type, value, "IT", field.values)


def new_subject(vault: Vault, controller_id: str, enrolment: Enrolment, author: Author, entry_id: str, at: datetime) -> NewSubject:
    """Seal everything of one enrolment. Raises InvalidValue for a value no agreement grants (`field.not-agreed`)."""
    subject_id = vault.new_id("sub")
    audit_key, epoch, wrap = new_audit_key(vault.keys, controller_id, subject_id)
    made = _Rows(controller_id, subject_id, entry_id)
    made.add(tables.subject_audit_key, epoch=epoch, wrap=wrap, shred_after=None)
    granted: dict[str, list[str]] = {}
    held: dict[str, list[str]] = {}  # by companions: kept from dying, opened by nobody until a companion is in force
    duties: dict[str, set[str]] = {}  # by companion: the classes of the agreements it comes with
    collected: list[tuple[str, Template, frozenset[str]]] = []
    for agreed in (*enrolment.agreements, *companions_of(vault, enrolment.agreements)):
        agreement_id = vault.new_id("agr")
        _agreement_rows(vault, made, agreed, agreement_id, author, at, audit_key)
        classes = {*vault.policy.held_classes(agreed.template.reference, agreed.excluded)}
        if agreed.companion:
            classes &= duties[agreed.template.reference]  # a duty keeps nothing that was shared under something else alone
        else:
            collected.append((agreement_id, agreed.template, agreed.excluded))
            for duty in agreed.template.companions:
                duties.setdefault(duty, set()).update(classes)
        for class_name in sorted(classes):
            (held if agreed.companion else granted).setdefault(class_name, []).append(agreement_id)
    _seal(vault, made, enrolment.values, collected, (granted, held), at)
    made.add(
        tables.subject, version=1, state="active", restricted=[], objected=False, objected_marketing=False, created_at=at,
        time_barred_at=time_barred_at(vault, controller_id, enrolment.values, enrolment.treatment, at),
        **age(birth(enrolment.values), at, vault.controller(controller_id).zone),
    )  # fmt: skip
    made.index(vault, enrolment.values)
    return NewSubject(subject_id, tuple(one for one, _, _ in collected), (epoch, wrap), made.rows)


def companions_of(vault: Vault, agreements: Sequence[Agreed]) -> list[Agreed]:
    """Return one companion for each duty to keep that comes with these agreements."""
    made = []
    duties = {reference: a for a in reversed(agreements) for reference in a.template.companions}
    for reference, a in duties.items():
        evidence = {"method": "companion", "of": a.template.reference, "indicated_at": a.signed_at.isoformat()}
        made.append(Agreed(vault.templates[reference], a.signed_at, a.language, a.channel, evidence, companion=True))
    return made


def _agreement_rows(
    vault: Vault, made: "_Rows", agreed: Agreed, agreement_id: str, author: Author, at: datetime, audit_key: bytes
) -> None:
    template = agreed.template
    until = agreed.valid_until or valid_until(agreed.signed_at, template.validity, vault.controller(made.controller_id).zone)
    evidence = seal_bytes(
        audit_key, evidence_place(made.controller_id, made.subject_id, agreement_id, 1), orjson.dumps(agreed.evidence)
    )
    language = agreed.language if agreed.language in template.texts else next(iter(template.texts))
    made.add(
        tables.agreement, agreement_id=agreement_id, template_id=template.id, template_version=template.version,
        template_digest=template.digest, text_language=language, text_sha256=template.texts[language],
        valid_from=agreed.signed_at, valid_until=until, supersedes=None,
    )  # fmt: skip
    made.add(
        tables.agreement_event, agreement_id=agreement_id, number=1, kind="given", recorded_at=at, effective_at=agreed.signed_at,
        channel=agreed.channel, role=author.role, caller_id=author.caller_id, evidence=evidence, excluded=sorted(agreed.excluded),
    )  # fmt: skip
    made.add(
        tables.agreement_state, agreement_id=agreement_id, template=template.reference,
        status="dormant" if agreed.companion else "in_force", consent="valid" if template.basis == "consent" else "none",
        excluded=sorted(agreed.excluded), valid_from=agreed.signed_at, valid_until=until,
    )  # fmt: skip


def evidence_place(controller_id: str, subject_id: str, agreement_id: str, number: int) -> bytes:
    """Return the place an event's evidence is bound to."""
    return lp("riserbo.evidence.v1") + lp(controller_id) + lp(subject_id) + lp(agreement_id) + u32(number)


def _collecting(
    reach: Mapping[str, frozenset[str]], name: str, agreements: Sequence[tuple[str, Template, frozenset[str]]]
) -> str | None:
    """Return the agreement a value is collected under: the first that grants its field; None when none does."""
    for agreement_id, template, excluded in agreements:
        if name in reach[template.reference] and name not in excluded:
            return agreement_id
    return None


def _seal(
    vault: Vault, made: "_Rows", values: Mapping[str, Any], collected: Sequence[tuple[str, Template, frozenset[str]]],
    holders: tuple[Mapping[str, Sequence[str]], Mapping[str, Sequence[str]]], at: datetime,
) -> None:  # fmt: skip
    classes: dict[str, list[NewValue]] = {}
    reach = {template.reference: vault.policy.granted_fields(template.reference) for _, template, _ in collected}
    under = {name: _collecting(reach, name, collected) for name in values}
    faults = [Fault(f"/fields/{name}", "field.not-agreed") for name, agreement_id in under.items() if agreement_id is None]
    if faults:
        raise InvalidValue(faults=faults)
    for name, value in values.items():
        agreement_id = str(under[name])
        classes.setdefault(vault.catalogue.fields[name].class_name, []).append(NewValue(name, value, agreement_id, 1))
    for class_name, new in classes.items():
        key_id = vault.new_id("dk")
        granted, held = (by_class.get(class_name, ()) for by_class in holders)
        sealed = seal_class(vault.keys, made.controller_id, made.subject_id, class_name, key_id, new, granted, held_for=held)
        place = {"class": class_name, "generation": sealed.generation}
        made.add(tables.profile_frame, **place, frame=sealed.frame)
        made.add(
            tables.data_key,
            **place,
            data_key_id=key_id,
            commit=sealed.commit,
            manifest=sealed.manifest,
            seals=sealed.seals,
            state="current",
        )
        for wrap in sealed.wraps:
            made.add(
                tables.data_key_wrap,
                **place,
                holder_kind=wrap.holder_kind,
                holder_id=wrap.holder_id,
                epoch=wrap.epoch,
                wrap=wrap.wrap,
            )
        for row in sealed.history:
            made.add(
                tables.field_history, **place, field=row.field, value_version=row.value_version, agreement_id=row.agreement_id,
                envelope=row.envelope, at=at,
            )  # fmt: skip


class _Rows:
    """Rows by table, each with controller, subject and entry filled in."""

    def __init__(self, controller_id: str, subject_id: str, entry_id: str) -> None:
        self.controller_id, self.subject_id, self.entry_id = controller_id, subject_id, entry_id
        self.rows: dict[Table, list[dict[str, Any]]] = {}

    def add(self, table: Table, **columns: Any) -> None:
        row = {"controller_id": self.controller_id, "subject_id": self.subject_id, **columns}
        if "entry_id" in table.c:
            row["entry_id"] = self.entry_id
        self.rows.setdefault(table, []).append(row)

    def index(self, vault: Vault, values: Mapping[str, Any]) -> None:
        """Add the blind indexes of every searchable value."""
        for found in index_entries(vault, self.controller_id, values):
            self.add(tables.blind_index, index_name=found[0], version=found[1], bidx=found[2])


def index_entries(vault: Vault, controller_id: str, values: Mapping[str, Any]) -> list[tuple[str, int, bytes]]:
    """Return (index name, version, blind index) of every searchable value, each once."""
    secret = vault.keys.secret(controller_id, "index")
    fields = vault.catalogue.fields
    found = set()
    for name, value in values.items():
        index = fields[name].index
        if index is not None:
            text = index_text(fields[name].type, value)
            found.add((index, secret.version, bidx(secret.key, index, secret.version, text)))
    return sorted(found)


def age(born_on: date | None, at: datetime, zone: tzinfo) -> dict[str, Any]:
    """Return the columns that say how old somebody is: the band now, and of minors when the clock makes them adults."""
    band = minor_band(born_on, at.astimezone(zone).date())
    minor = born_on is not None and band in ("under-14", "14-17")
    return {"minor": band, "adult_at": adult_at(born_on, zone) if born_on is not None and minor else None}


def time_barred_at(
    vault: Vault, controller_id: str, values: Mapping[str, Any], said: Treatment | None, at: datetime, kept: datetime | None = None
) -> datetime | None:
    """Return from when what is written of an old cancer is barred (L. 193/2023 art. 2). Raises InvalidValue where it is already.

    `kept`: from when it is by what was said before; where nothing is said now it never gets later by that.
    """
    barred = sorted(name for name in values if vault.catalogue.fields[name].time_barred)
    terms = vault.policy.onco_terms
    if not barred or terms is None:
        return None
    zone = vault.controller(controller_id).zone
    today = at.astimezone(zone).date()
    if faults := list(treatment_faults(terms, said, today)) if said is not None else []:
        raise InvalidValue(faults=faults)
    begins = barred_from(terms, said, today)
    if begins is not None and begins <= today:
        raise InvalidValue(faults=[Fault(f"/fields/{name}", "value.time-barred") for name in barred])
    found = datetime.combine(begins, time.min, zone) if begins is not None else None
    return min(kept, found) if said is None and kept is not None and found is not None else found


def birth(values: Mapping[str, Any]) -> date | None:
    """Return the birth date among normalised values."""
    born = values.get("date_of_birth")
    return date.fromisoformat(born) if isinstance(born, str) else None
