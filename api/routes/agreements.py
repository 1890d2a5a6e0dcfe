"""What was agreed with a person: made, read, withdrawn. Withdrawing takes no more steps than agreeing."""

from fastapi import APIRouter, Response
from pydantic import BaseModel

from api.context import AccessContext, Guarded, RunningVault
from api.described import IDEMPOTENCY, answers, headers
from api.idempotency import Idempotent
from api.shapes import AgreementId, SubjectId, TermsIn, WithdrawalIn
from vault.operations.agree import agree
from vault.operations.remember import Answered
from vault.operations.withdraw import withdraw

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
