"""Show what was agreed with a person, and what became of it: ids, states and instants, never the evidence."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from vault.agreements import records as agreements
from vault.agreements.records import EventRow
from vault.agreements.terms import standing
from vault.assembly import Vault
from vault.operations.acting import prepare, record, require_permission, require_person
from vault.policy.model import Context
from vault.profiles.records import AgreementRow

VERB = "show_agreements"


@dataclass(frozen=True, slots=True)
class Agreement:
    """One agreement as it stands now. `status`: none dormant in_force withdrawn superseded expired; validity is half-open."""

    agreement_id: str
    template: str
    version: int
    status: str
    consent: str
    excluded: tuple[str, ...]
    valid_from: datetime
    valid_until: datetime | None


@dataclass(frozen=True, slots=True)
class Agreements:
    """Everything agreed with one person, oldest first; `version` is the person's."""

    subject_id: str
    version: int
    agreements: tuple[Agreement, ...]
    entry_id: str


@dataclass(frozen=True, slots=True)
class History:
    """What happened to one agreement, in order."""

    subject_id: str
    agreement: Agreement
    events: Sequence[EventRow]
    entry_id: str


def show_agreements(vault: Vault, context: Context, subject_id: str) -> Agreements:
    """Show everything agreed with a person, companions and ended ones too. Raises NotFound, AccessDenied."""
    acting = prepare(vault, VERB, context, subject_id)
    require_permission(vault, acting)
    require_person(vault, acting)
    found = sorted(
        (_standing(one, acting.at) for one in acting.person.agreements), key=lambda one: (one.valid_from, one.agreement_id)
    )
    record(vault, acting, details={"agreements": {one.agreement_id: [] for one in found}}, count=len(found))
    version = acting.person.subject.version if acting.person.subject is not None else 0
    return Agreements(subject_id, version, tuple(found), acting.entry_id)


def show_history(vault: Vault, context: Context, agreement_id: str) -> History:
    """Show what happened to an agreement. Raises NotFound, AccessDenied."""
    with vault.database.snapshot(context.controller_id) as rows:
        subject_id = agreements.whose(rows, context.controller_id, agreement_id)
    acting = prepare(vault, VERB, context, subject_id or agreement_id)
    require_permission(vault, acting)
    require_person(vault, acting)
    with vault.database.snapshot(context.controller_id) as rows:
        events = agreements.events(rows, context.controller_id, acting.subject_id)
    own = [one for one in events if one.agreement_id == agreement_id]
    agreement = next(_standing(one, acting.at) for one in acting.person.agreements if one.agreement_id == agreement_id)
    record(vault, acting, details={"agreements": {"*": agreement_id}}, count=len(own))
    return History(acting.subject_id, agreement, own, acting.entry_id)


def _standing(one: AgreementRow, at: datetime) -> Agreement:
    phase, consent = standing(one.status, one.consent, one.valid_from, one.valid_until, at)
    over = one.status == "ended" or (one.status == "in_force" and phase == "after")
    template, _, version = one.template.partition("@")
    status = "expired" if over else one.status
    return Agreement(
        one.agreement_id, template, int(version), status, consent, tuple(sorted(one.excluded)), one.valid_from, one.valid_until
    )
