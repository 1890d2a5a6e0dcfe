"""Retention: what the next run removes, what waits and why. The officers'."""

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from api.call import call_of
from api.context import AccessContext, Guarded, RunningVault
from api.described import IDEMPOTENCY, answers, headers
from api.idempotency import Idempotent
from api.shapes import Body, Digest
from vault.operations.remember import Answered
from vault.operations.retain import approve_retention, preview_retention

router = APIRouter(prefix="/v1", tags=["retention"], route_class=Guarded)


class RetentionRuleOut(BaseModel):
    """How many duties rest on one rule of one template: over, still kept, and the last day of the next."""

    template: str
    law: str
    period: str | None
    due: int
    kept: int
    next: str | None


class LastRunOut(BaseModel):
    """The last run that removed something."""

    at: str
    removed: int


class RetentionOut(BaseModel):
    """What the next run would remove; nobody is in it. `late`: due before last night. `waits`: until `digest` is approved."""

    today: str
    people: int
    due: int
    late: int
    whole: int
    rules: list[RetentionRuleOut]
    blocked: dict[str, int]
    digest: str
    waits: bool
    last: LastRunOut | None
    difference: int
    entry_id: str


class ApprovalIn(Body):
    """The digest of the preview that is approved: that and nothing else is removed."""

    digest: Digest


class ApprovalOut(BaseModel):
    """Approved; the next run makes it."""

    digest: str
    entry_id: str


@router.get(
    "/retention:preview",
    operation_id="previewRetention",
    responses=answers(RetentionOut, "The preview.", 403),
    openapi_extra=headers(),
)
def preview(context: AccessContext, vault: RunningVault, request: Request, response: Response) -> RetentionOut:
    """Say what the next run would remove. Nothing is changed."""
    found, entry_id = preview_retention(vault, context)
    call_of(request).entry_id = response.headers["Vault-Entry"] = entry_id
    response.headers["Cache-Control"] = "no-store"
    return RetentionOut.model_validate({**found, "entry_id": entry_id})


@router.post(
    "/retention:approve",
    operation_id="approveRetention",
    responses=answers(ApprovalOut, "Approved.", 403, 409, body=True),
    openapi_extra=headers(IDEMPOTENCY),
)
def approve(body: ApprovalIn, context: AccessContext, vault: RunningVault, once: Idempotent) -> Response:
    """Approve a run that waits because it is out of proportion. For the data protection officer."""

    def answered() -> Answered:
        entry_id = approve_retention(vault, context, body.digest)
        return Answered(200, {"digest": body.digest, "entry_id": entry_id})

    return once.answer(vault, context, answered)
