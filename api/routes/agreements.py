"""What was agreed with a person: made, read, narrowed, withdrawn. Withdrawing takes no more steps than agreeing."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException, Query, Request, Response
from pydantic import BaseModel

from api.call import call_of
from api.context import AccessContext, Guarded, RunningVault
from api.described import IDEMPOTENCY, answers, documents, headers
from api.idempotency import Idempotent
from api.shapes import AgreementId, NarrowingIn, SubjectId, TemplateId, TemplateVersion, TermsIn, WithdrawalIn
from vault.operations.agree import agree
from vault.operations.disclosure import decision_of
from vault.operations.narrow import narrow
from vault.operations.remember import Answered
from vault.operations.show_agreements import Agreement, show_agreements, show_history
from vault.operations.show_receipt import Form, show_receipt
from vault.operations.show_terms import show_terms
from vault.operations.withdraw import withdraw

LD_JSON, JSON, NOTE = "application/ld+json", "application/json", "text/plain"
_FORMS: dict[str, Form] = {LD_JSON: "dpv", NOTE: "note"}
router = APIRouter(prefix="/v1", tags=["agreements"], route_class=Guarded)


class TemplateOut(BaseModel):
    """A reviewed text from which agreements are made. `texts` are SHA-256 by language: what a person must have seen."""

    template: str
    version: int
    digest: str
    basis: str
    condition: str
    purposes: list[str]
    categories: list[str]
    recipients: list[str]
    validity: str
    texts: dict[str, str]


class TemplatesOut(BaseModel):
    """Every template in force."""

    templates: list[TemplateOut]


@router.get("/templates", operation_id="listTemplates", responses=answers(TemplatesOut, "The templates of the bundle."))
def list_templates(vault: RunningVault) -> TemplatesOut:
    """List the templates. They concern nobody in particular, so no context is asked."""
    return TemplatesOut(
        templates=[
            TemplateOut(
                template=one.id,
                version=one.version,
                digest=one.digest.hex(),
                basis=one.basis,
                condition=one.condition,
                purposes=list(one.purposes),
                categories=list(one.categories),
                recipients=list(one.recipients),
                validity=one.validity,
                texts={language: digest.hex() for language, digest in one.texts.items()},
            )
            for one in sorted(vault.templates.values(), key=lambda one: (one.id, one.version))
        ]
    )


@router.get(
    "/templates/{template}/{version}/odrl",
    operation_id="readTerms",
    response_class=Response,
    responses=documents("The terms as an ODRL 2.2 policy.", LD_JSON),
)
def read_terms(template: TemplateId, version: TemplateVersion, vault: RunningVault) -> Response:
    """Read the terms of a template for a machine to compare. They concern nobody in particular, so no context is asked."""
    return Response(show_terms(vault, template, int(version)), media_type=LD_JSON)


@router.get(
    "/agreements/{agreement_id}/receipt",
    operation_id="readReceipt",
    response_class=Response,
    responses=documents("The receipt of one event; as text, a signed note.", LD_JSON, NOTE, JSON, statuses=(403, 406, 409)),
    openapi_extra=headers(),
)
def read_receipt(
    request: Request,
    agreement_id: AgreementId,
    context: AccessContext,
    vault: RunningVault,
    form: Annotated[Literal["dpv", "kantara"], Query(alias="format", description="DPV 2.3, or Kantara 1.1 for a consent")] = "dpv",
    event: Annotated[int | None, Query(ge=1, le=1_000_000, description="the number of the event; without: the last")] = None,
) -> Response:
    """Read a receipt. The reading is on record before anything is shown."""
    media_type = acceptable(",".join(request.headers.getlist("accept")) or "*/*", (LD_JSON, NOTE) if form == "dpv" else (JSON,))
    shown = show_receipt(vault, context, agreement_id, _FORMS.get(media_type, "kantara"), event)
    call = call_of(request)
    call.entry_id, call.decision_id = shown.entry_id, decision_of(shown.entry_id)
    told = {"Vault-Decision": call.decision_id, "Vault-Entry": shown.entry_id, "Cache-Control": "no-store"}
    return Response(shown.receipt, headers=told, media_type=media_type)


def acceptable(accept: str, offered: tuple[str, ...]) -> str:
    """Return the first media type of `Accept` that is offered; weights but zero are not weighed. Raises HTTPException 406."""
    for one in accept.split(","):
        wanted, *parameters = (part.strip().lower() for part in one.split(";"))
        if any(part.replace(" ", "") in ("q=0", "q=0.0", "q=0.00", "q=0.000") for part in parameters):
            continue
        found = next((offer for offer in offered if wanted in (offer, f"{offer.partition('/')[0]}/*", "*/*")), None)
        if found is not None:
            return found
    raise HTTPException(406)


class AgreementOut(BaseModel):
    """One agreement as it stands. Validity is half-open; `excluded` are fields the person left out; no `consent`: another basis."""

    agreement_id: str
    template: str
    version: int
    status: Literal["none", "dormant", "in_force", "withdrawn", "superseded", "expired"]
    consent: Literal["valid", "withdrawn", "expired", "none"]
    excluded: list[str]
    valid_from: datetime
    valid_until: datetime | None

    @classmethod
    def of(cls, one: Agreement) -> "AgreementOut":
        """Return an agreement as answered."""
        return cls(**{name: getattr(one, name) for name in cls.model_fields})


class AgreementsOut(BaseModel):
    """Everything agreed with a person, oldest first: never cut, for nobody has many."""

    model_config = {"json_schema_extra": {"x-has-pii": True}}

    subject_id: str
    agreements: list[AgreementOut]
    entry_id: str


@router.get(
    "/subjects/{subject_id}/agreements",
    operation_id="listAgreements",
    responses=answers(AgreementsOut, "What was agreed; its ETag is the person's version.", 403),
    openapi_extra=headers(),
)
def list_agreements(
    subject_id: SubjectId, context: AccessContext, vault: RunningVault, request: Request, response: Response
) -> AgreementsOut:
    """List what was agreed with a person. The reading is on record."""
    shown = show_agreements(vault, context, subject_id)
    call_of(request).entry_id = shown.entry_id
    response.headers.update({"Vault-Entry": shown.entry_id, "Cache-Control": "no-store", "ETag": f'"{shown.version}"'})
    return AgreementsOut(
        subject_id=subject_id, agreements=[AgreementOut.of(one) for one in shown.agreements], entry_id=shown.entry_id
    )


class AgreementEventOut(BaseModel):
    """One thing that happened to an agreement: when it was recorded, since when it counts, and where it was said."""

    number: int
    kind: str
    recorded_at: datetime
    effective_at: datetime
    channel: str


class HistoryOut(BaseModel):
    """What became of an agreement. The evidence stays sealed."""

    model_config = {"json_schema_extra": {"x-has-pii": True}}

    subject_id: str
    agreement: AgreementOut
    events: list[AgreementEventOut]
    entry_id: str


@router.get(
    "/agreements/{agreement_id}/history",
    operation_id="readAgreementHistory",
    responses=answers(HistoryOut, "Its events, in order.", 403),
    openapi_extra=headers(),
)
def read_history(
    agreement_id: AgreementId, context: AccessContext, vault: RunningVault, request: Request, response: Response
) -> HistoryOut:
    """Read what happened to an agreement. The reading is on record."""
    shown = show_history(vault, context, agreement_id)
    call_of(request).entry_id = shown.entry_id
    response.headers.update({"Vault-Entry": shown.entry_id, "Cache-Control": "no-store"})
    events = [
        AgreementEventOut(
            number=one.number, kind=one.kind, recorded_at=one.recorded_at, effective_at=one.effective_at, channel=one.channel
        )
        for one in shown.events
    ]
    agreement = AgreementOut.of(shown.agreement)
    return HistoryOut(subject_id=shown.subject_id, agreement=agreement, events=events, entry_id=shown.entry_id)


class MadeOut(BaseModel):
    """The new agreement, and the person's new version."""

    agreement_id: str
    version: int
    entry_id: str


@router.post(
    "/subjects/{subject_id}/agreements",
    operation_id="makeAgreement",
    status_code=201,
    responses=answers(MadeOut, "Agreed.", 403, 409, 410, 423, status=201, body=True),
    openapi_extra=headers(IDEMPOTENCY),
)
def make_agreement(subject_id: SubjectId, body: TermsIn, context: AccessContext, vault: RunningVault, once: Idempotent) -> Response:
    """Make an agreement with somebody who is enrolled."""

    def act() -> Answered:
        done = agree(vault, context, subject_id, body.terms())
        answer = {"agreement_id": done.agreement_id, "version": done.version, "entry_id": done.entry_id}
        return Answered(201, answer, subject_id)

    return once.answer(vault, context, act)


class NarrowedOut(BaseModel):
    """What is left out now, all told. `emptied` names classes of data that nothing grants any more: they are gone."""

    agreement_id: str
    subject_id: str
    version: int
    excluded: list[str]
    emptied: list[str]
    entry_id: str


@router.post(
    "/agreements/{agreement_id}/narrowing",
    operation_id="narrowAgreement",
    responses=answers(
        NarrowedOut, "Narrowed: nothing rests on it for these fields from the next read on.", 403, 409, 410, body=True
    ),
    openapi_extra=headers(IDEMPOTENCY),
)
def narrow_agreement(
    agreement_id: AgreementId, body: NarrowingIn, context: AccessContext, vault: RunningVault, once: Idempotent
) -> Response:
    """Leave fields out of an agreement. To take them in again is a new agreement."""

    def act() -> Answered:
        done = narrow(vault, context, agreement_id, body.excluded, body.said())
        answer = {
            "agreement_id": done.agreement_id,
            "subject_id": done.subject_id,
            "version": done.version,
            "excluded": list(done.excluded),
            "emptied": list(done.emptied),
            "entry_id": done.entry_id,
        }
        return Answered(200, answer, done.subject_id)

    return once.answer(vault, context, act)


class WithdrawnOut(BaseModel):
    """What ended. `emptied` names classes of data that nothing grants any more: they are gone."""

    agreement_id: str
    subject_id: str
    version: int
    emptied: list[str]
    entry_id: str


@router.post(
    "/agreements/{agreement_id}/withdrawal",
    operation_id="withdrawAgreement",
    responses=answers(WithdrawnOut, "Withdrawn: nothing rests on it from the next read on.", 403, 409, 410, body=True),
    openapi_extra=headers(IDEMPOTENCY),
)
def withdraw_agreement(
    agreement_id: AgreementId, body: WithdrawalIn, context: AccessContext, vault: RunningVault, once: Idempotent
) -> Response:
    """Withdraw an agreement."""

    def act() -> Answered:
        done = withdraw(vault, context, agreement_id, body.said())
        answer = {
            "agreement_id": done.agreement_id,
            "subject_id": done.subject_id,
            "version": done.version,
            "emptied": list(done.emptied),
            "entry_id": done.entry_id,
        }
        return Answered(200, answer, done.subject_id)

    return once.answer(vault, context, act)
