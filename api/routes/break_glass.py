"""Break-glass: open a grant, approve somebody else's, review one."""

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, Field

from api.context import AccessContext, Guarded, RunningVault
from api.described import IDEMPOTENCY, answers, headers
from api.idempotency import Idempotent
from api.routes.reveals import OwnWords
from api.shapes import Body, EntryOut, FieldName, PersonalBody, SubjectId
from vault.operations.break_glass import Plea, break_glass
from vault.operations.oversee import Review, approve_break_glass, review_break_glass
from vault.operations.remember import Answered

router = APIRouter(prefix="/v1", tags=["break-glass"], route_class=Guarded)

GrantId = Annotated[str, Path(pattern="^bgl_[a-z2-7]{26}$", description="bgl_ and 26 characters")]


class PleaIn(PersonalBody):
    """Which fields, why, and for how long. The person will see the reason; the justification only officers."""

    fields: Annotated[list[FieldName], Field(min_length=1, max_length=64)]
    reason: Literal["EMERGENCY_SAFETY", "VITAL_INTEREST", "FRAUD_IN_PROGRESS", "AUTHORITY_ORDER", "SYSTEM_OUTAGE"]
    justification: OwnWords
    minutes: Annotated[int, Field(ge=15, le=60)] = 30


class GrantOut(BaseModel):
    """The grant. Fields of `needs_approval` stay closed until another person approves; a third reviews."""

    grant_id: str
    expires_at: str
    approve_by: str
    review_due_at: str
    needs_approval: list[str]
    entry_id: str


class ApprovalIn(Body):
    """Nothing but that it is approved: an empty object."""


class ReviewIn(PersonalBody):
    """What was found. The person is told, unless it is said why not (20 characters)."""

    verdict: Literal["JUSTIFIED", "UNJUSTIFIED", "TRAINING", "BREACH"]
    tell_subject: bool = True
    why_not: OwnWords | None = None


@router.post(
    "/subjects/{subject_id}/break-glass",
    operation_id="breakGlass",
    status_code=201,
    responses=answers(GrantOut, "Opened, and the officer told.", 403, 409, 423, status=201, body=True),
    openapi_extra=headers(IDEMPOTENCY),
)
def open_grant(subject_id: SubjectId, body: PleaIn, context: AccessContext, vault: RunningVault, once: Idempotent) -> Response:
    """Open a grant for named fields of one person; values are then read by a reveal on the same ticket and for the same purpose."""

    def act() -> Answered:
        grant = break_glass(vault, context, subject_id, Plea(tuple(body.fields), body.reason, body.justification, body.minutes))
        times = {name: getattr(grant, name).isoformat() for name in ("expires_at", "approve_by", "review_due_at")}
        answer = {"grant_id": grant.grant_id, **times, "needs_approval": list(grant.needs_approval), "entry_id": grant.entry_id}
        return Answered(201, answer, subject_id)

    return once.answer(vault, context, act)


@router.post(
    "/break-glass/{grant_id}:approve",
    operation_id="approveBreakGlass",
    responses=answers(EntryOut, "Approved.", 403, 409, body=True),
    openapi_extra=headers(IDEMPOTENCY),
)
def approve_grant(grant_id: GrantId, body: ApprovalIn, context: AccessContext, vault: RunningVault, once: Idempotent) -> Response:
    """Approve somebody else's grant, within 15 minutes."""
    del body  # it says nothing, and was refused if it did
    return once.answer(vault, context, lambda: Answered(200, {"entry_id": approve_break_glass(vault, context, grant_id)}))


@router.post(
    "/break-glass/{grant_id}:review",
    operation_id="reviewBreakGlass",
    responses=answers(EntryOut, "Reviewed; the grant is over.", 403, 409, body=True),
    openapi_extra=headers(IDEMPOTENCY),
)
def review_grant(grant_id: GrantId, body: ReviewIn, context: AccessContext, vault: RunningVault, once: Idempotent) -> Response:
    """Review a grant as a third person, within two working days."""
    review = Review(body.verdict, body.tell_subject, body.why_not)
    return once.answer(vault, context, lambda: Answered(200, {"entry_id": review_break_glass(vault, context, grant_id, review)}))
