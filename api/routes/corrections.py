"""Corrections somebody asks for: what is to stand in the place of what is held, and who was told of it before."""

from typing import Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict

from api.call import call_of
from api.context import AccessContext, Guarded, RunningVault
from api.described import IDEMPOTENCY, answers, headers
from api.idempotency import Idempotent
from api.routes.requests import RequestId
from api.shapes import Body, PersonalBody, Values
from vault.operations.rectify import Proposed, Wanted, propose_correction, show_correction, tell_contact
from vault.operations.remember import Answered

router = APIRouter(prefix="/v1", tags=["requests"], route_class=Guarded)

Evidence = Literal["own-statement", "document-seen", "public-register", "issuer"]


class ProposalIn(PersonalBody):
    """The values that are right, by field, and what shows it: a kind, never a copy."""

    fields: Values
    evidence: Evidence = "own-statement"


class ToldIn(Body):
    """By which contact, as it was before, the person was told: a field."""

    through: Literal["email", "mobile", "phone", "address"]


class ProposedOut(BaseModel):
    """What was proposed, without a value. `digest`: what is accepted; `from_when`: when it may be carried out, null for not yet."""

    request_id: str
    number: int
    replaces: dict[str, int]
    evidence: Evidence
    asked_by: str
    asked_at: str
    digest: str
    told_through: str | None
    told_at: str | None
    from_when: str | None
    applied_at: str | None
    applied_version: int | None
    entry_id: str


class ProposalOut(ProposedOut):
    """The same with the values, each as clearly as the caller may see the field; none once it has ended."""

    model_config = ConfigDict(json_schema_extra={"x-has-pii": True})

    values: dict[str, Any]


@router.post(
    "/requests/{request_id}:propose",
    operation_id="proposeCorrection",
    status_code=201,
    responses=answers(ProposedOut, "Proposed, in the place of what was before.", 403, 409, 410, status=201, body=True),
    openapi_extra=headers(IDEMPOTENCY),
)
def propose_a_correction(
    request_id: RequestId, body: ProposalIn, context: AccessContext, vault: RunningVault, once: Idempotent
) -> Response:
    """Propose what is right, until the request is accepted."""
    wanted = Wanted(body.fields, body.evidence)
    return once.answer(vault, context, lambda: _answered(propose_correction(vault, context, request_id, wanted), 201))


@router.post(
    "/requests/{request_id}:tell-contact",
    operation_id="tellContact",
    responses=answers(ProposedOut, "Noted; from now on it waits a day.", 403, 409, 410, body=True),
    openapi_extra=headers(IDEMPOTENCY),
)
def tell_of_a_change(
    request_id: RequestId, body: ToldIn, context: AccessContext, vault: RunningVault, once: Idempotent
) -> Response:
    """Note that whoever is reached now was told that they are to be reached elsewhere."""
    return once.answer(vault, context, lambda: _answered(tell_contact(vault, context, request_id, body.through), 200))


@router.get(
    "/requests/{request_id}/proposal",
    operation_id="readProposal",
    responses=answers(ProposalOut, "What is proposed.", 403, 409, 410),
    openapi_extra=headers(),
)
def read_proposal(
    request_id: RequestId, context: AccessContext, vault: RunningVault, request: Request, response: Response
) -> ProposalOut:
    """Read what is proposed."""
    shown = show_correction(vault, context, request_id)
    call_of(request).entry_id = response.headers["Vault-Entry"] = shown.entry_id
    response.headers["Cache-Control"] = "no-store"
    return ProposalOut(**shown.told, values=dict(shown.values), entry_id=shown.entry_id)


def _answered(done: Proposed, status: int) -> Answered:
    return Answered(status, {**done.told, "entry_id": done.entry_id})
