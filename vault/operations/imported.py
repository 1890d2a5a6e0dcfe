"""One customer of a file, sealed: the agreement and consents the file claims, their evidence, the rows, the entry.

Nobody here saw anything signed. Evidence says so: it is marked as imported and holds the SHA-256 of the file, the line, and the
date and channel claimed. A consent is valid until the earlier of its own period and twelve months after the import, by when it
is to be renewed; one that is over already is kept as history and gets no wrap.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from typing import Any

from sqlalchemy import Table

from vault import tables
from vault.agreements.terms import Template, imported_until
from vault.assembly import Controller, Vault
from vault.audit.entry import Chain, Draft
from vault.errors import Fault, InvalidValue
from vault.importing.mapping import CUSTOMER_NUMBER
from vault.importing.mapping import Mapping as ImportMapping
from vault.importing.reading import Customer, Refusal
from vault.octets import b64u, expand, lp, mac, u16
from vault.operations.enroll import is_agreed_with
from vault.operations.enrolment import Agreed, Author, Enrolment, NewSubject, index_entries, new_subject
from vault.operations.known_again import NEVER_SEEN, KnownAgain
from vault.operations.sourcing import Sourced, source_rows
from vault.policy.model import Treatment
from vault.sources import columns

CALLER = "job:import"
PURPOSE = "customer-management"
_NO_CHANNEL = "api"  # of a contract: the file says when, not how


@dataclass(frozen=True, slots=True)
class Run:
    """One import: what every line of it has in common."""

    vault: Vault
    controller: Controller
    layout: ImportMapping
    templates: Mapping[str, Template]  # by id, the newest version
    file_sha256: bytes
    at: datetime


@dataclass(frozen=True, slots=True)
class Numbered:
    """A customer of the file with the blind index of the customer number."""

    customer: Customer
    bidx: bytes


@dataclass(frozen=True, slots=True)
class Newcomer:
    """A customer sealed and ready: the entry to record first, then the rows."""

    numbered: Numbered
    draft: Draft
    rows: Mapping[Table, list[dict[str, Any]]] = field(repr=False)


def templates_of(vault: Vault, layout: ImportMapping) -> dict[str, Template]:
    """Return the newest version of each template the mapping names. Raises InvalidValue where one is none, or is no consent."""
    known = {one.id: one for one in sorted(vault.templates.values(), key=lambda one: one.version) if is_agreed_with(one)}
    faults = [Fault("/agreement/template", "mapping.template_unknown") for name in layout.templates if name not in known]
    claimed = {consent.template for consent in layout.consents}
    faults += [Fault("/consents", "mapping.not_a_consent") for name in claimed if name in known and known[name].basis != "consent"]
    if faults:
        raise InvalidValue("invalid-mapping", faults=faults)
    return {name: known[name] for name in layout.templates}


def require_sources(vault: Vault, layout: ImportMapping, at: datetime) -> None:
    """Raise InvalidValue where a field of others' data says no source, and where a source is of no field, or of the future."""
    fields = vault.catalogue.fields
    lacking = [name for name in layout.fields if fields[name].origin == "third-party" and name not in layout.sources]
    faults = [Fault(f"/fields/{name}", "mapping.source_missing") for name in lacking]
    for name, one in layout.sources.items():
        if name not in layout.fields:
            faults.append(Fault("/sources", "mapping.field_unknown"))
        elif one.obtained_on is not None and one.obtained_on > at.date():
            faults.append(Fault(f"/sources/{name}", "mapping.instant_ahead"))
    if faults:
        raise InvalidValue("invalid-mapping", faults=faults)


def numbered(run: Run, customer: Customer) -> Numbered:
    """Return the customer with the index under which the number is found."""
    ((_, _, value),) = index_entries(run.vault, run.controller.controller_id, {CUSTOMER_NUMBER: customer.values[CUSTOMER_NUMBER]})
    return Numbered(customer, value)


def line_digest(run: Run, customer: Customer, version: int) -> bytes:
    """Return the keyed digest by which an equal line is known again and nothing else can be learnt."""
    secret = run.vault.keys.secret(run.controller.controller_id, "index", version)
    return mac(expand(secret.key, lp("riserbo.import-line.v1") + u16(version)), customer.digest())


def sealed(run: Run, one: Numbered, before: KnownAgain = NEVER_SEEN) -> Newcomer | Refusal:
    """Seal a new customer. Refused: a value that no agreement of the line grants, and whoever was erased before."""
    vault, customer = run.vault, one.customer
    if before.erased_at is not None:
        return Refusal(customer.line, None, "previously-erased")
    entry_id = vault.new_id("ent")
    made = tuple(_agreements(run, customer))
    said = Treatment(customer.treatment_ended) if customer.treatment_ended is not None else None
    try:
        person = new_subject(
            vault, run.controller.controller_id, Enrolment(customer.values, made, said), Author(CALLER, "job"), entry_id, run.at
        )
    except InvalidValue as unfit:
        fault = unfit.faults[0]
        columns = run.layout.fields[fault.pointer.rsplit("/", 1)[-1]].columns()
        return Refusal(customer.line, columns[0] if columns else None, fault.code)
    for row in person.rows[tables.subject]:
        before.mark(row)
    version = vault.keys.secret(run.controller.controller_id, "index").version
    common = {"controller_id": run.controller.controller_id, "subject_id": person.subject_id, "entry_id": entry_id}
    rows = {
        **person.rows,
        tables.data_key_wrap: _living(run, person),
        tables.import_line: [
            {
                **common, "digest_version": version, "digest": line_digest(run, customer, version), "file_sha256": run.file_sha256,
                "line": customer.line,
            }
        ],
        tables.data_source: _sources(run, customer, person.subject_id, entry_id),
        tables.event: [
            {
                "controller_id": common["controller_id"], "event_id": vault.new_id("evt"), "name": "subject:enrolled",
                "data": {"subject_id": person.subject_id}, "at": run.at, "sent_at": None, "entry_id": entry_id,
            }
        ],
    }  # fmt: skip
    return Newcomer(one, _entry(run, customer, person.subject_id, person.audit_key, entry_id, made, rows), rows)


def _sources(run: Run, customer: Customer, subject_id: str, entry_id: str) -> list[dict[str, Any]]:
    """Return where the values of one customer are from, as the mapping says of its fields."""
    controller_id, zone = run.controller.controller_id, run.controller.zone
    stated = {
        name: Sourced(one.source, datetime.combine(one.obtained_on, time(), zone) if one.obtained_on is not None else None)
        for name, one in run.layout.sources.items()
        if name in customer.values
    }
    return [columns(controller_id, one) for one in source_rows(run.vault, controller_id, subject_id, 1, stated, entry_id, run.at)]


def _agreements(run: Run, customer: Customer) -> Iterator[Agreed]:
    yield _agreed(run, customer, customer.template, customer.signed_on, _NO_CHANNEL, None)
    for claim in customer.consents:
        yield _agreed(run, customer, claim.template, claim.given_on, claim.channel, claim.claimed_channel)


def _agreed(run: Run, customer: Customer, template_id: str, day: date, channel: str, claimed_channel: str | None) -> Agreed:
    template = run.templates[template_id]
    signed_at = datetime.combine(day, time(), run.controller.zone).astimezone(UTC)
    ends = imported_until(signed_at, template.validity, run.at, run.controller.zone) if template.basis == "consent" else None
    evidence: dict[str, Any] = {
        "method": "import", "imported": True, "channel": channel, "indicated_at": signed_at.isoformat(), "captured_by": CALLER,
        "file_sha256": run.file_sha256.hex(), "line": customer.line, "claimed": {"on": day.isoformat()},
    }  # fmt: skip
    if claimed_channel is not None:
        evidence["claimed"]["channel"] = claimed_channel
    return Agreed(template, signed_at, run.layout.file.language, channel, evidence, valid_until=ends)


def _living(run: Run, person: NewSubject) -> list[dict[str, Any]]:
    """Return the wraps without those of claimed consents that are over: an agreement that is not in force holds no key."""
    claimed = set(person.agreement_ids[1:])
    ends = {
        row["agreement_id"]: row["valid_until"] for row in person.rows[tables.agreement_state] if row["agreement_id"] in claimed
    }
    over = {agreement_id for agreement_id, at in ends.items() if at is not None and at <= run.at}
    return [wrap for wrap in person.rows.get(tables.data_key_wrap, []) if wrap["holder_id"] not in over]


def _entry(
    run: Run, customer: Customer, subject_id: str, audit_key: tuple[int, bytes], entry_id: str, made: tuple[Agreed, ...],
    rows: Mapping[Table, list[dict[str, Any]]],
) -> Draft:  # fmt: skip
    return Draft(
        entry_id=entry_id,
        operation="import",
        outcome="done",
        kind="job",
        caller_id=CALLER,
        recipient="controller",
        purpose=PURPOSE,
        count=len(customer.values),
        terms=tuple(sorted({one.template.reference for one in made})),
        bundle=_policy_digest(run.vault),
        details={
            "subject_id": subject_id,
            "manifests": {row["class"]: b64u(row["manifest"]) for row in rows.get(tables.data_key, [])},
        },
        internal={"caller_id": CALLER, "file_sha256": run.file_sha256.hex(), "line": customer.line, "mapping": run.layout.id},
        chain=Chain(subject_id, *audit_key),
        subject_id=subject_id,
    )


def run_entry(run: Run, outcome: str, counts: Mapping[str, int] | None = None, ref: str | None = None) -> Draft:
    """Return an entry about the import as a whole, or (`failed`, with `ref`) about one that did not happen after all."""
    return Draft(
        entry_id=run.vault.new_id("ent"),
        operation="import",
        outcome=outcome,
        kind="job",
        caller_id=CALLER,
        recipient="controller",
        purpose=PURPOSE,
        count=None if counts is None else counts["accepted"],
        bundle=_policy_digest(run.vault),
        internal={"caller_id": CALLER, "file_sha256": run.file_sha256.hex(), "mapping": run.layout.id, **(counts or {})},
        ref=ref,
    )


def _policy_digest(vault: Vault) -> bytes:
    return bytes.fromhex(vault.policy.digest.removeprefix("sha256:"))
