"""Legal holds: two officers place one, and two release it."""

from collections.abc import Callable
from datetime import date
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from api.call import call_of
from api.context import AccessContext, Guarded, RunningVault
from api.described import IDEMPOTENCY, answers, headers
from api.idempotency import Idempotent
from api.routes.reveals import OwnWords
from api.shapes import Body, CallerId, FieldName, PersonalBody, SubjectIdText
from vault.errors import Fault, InvalidValue
from vault.operations.hold import Held, Wish, approve_hold, place_hold, release_hold, show_holds
from vault.operations.remember import Answered

router = APIRouter(prefix="/v1", tags=["holds"], route_class=Guarded)

HoldId = Annotated[str, Path(pattern="^hld_[a-z2-7]{26}$", description="hld_ and 26 characters")]
Day = Annotated[str, StringConstraints(pattern=r"^\d{4}-\d\d-\d\d$")]
State = Literal["proposed", "approved", "releasing", "released", "lapsed"]


class HoldIn(PersonalBody):
    """Whose data, which fields (none: everything), by what law and why; to be reviewed within six months."""

    subject_id: SubjectIdText
    fields: Annotated[list[FieldName], Field(max_length=64, default_factory=list)]
    law: Annotated[str, StringConstraints(min_length=1, max_length=255)]
    why: OwnWords
    review_at: Day
    until: Day | None = None


class DecisionIn(Body):
    """Nothing: who decides is in the token."""


class HeldOut(BaseModel):
    """Where a hold stands."""

    hold_id: str
    state: State
    entry_id: str


class HoldOut(BaseModel):
    """One hold that has not ended."""

    model_config = ConfigDict(json_schema_extra={"x-has-pii": True})

    hold_id: str
    subject_id: str
    fields: list[str]
    law: str
    state: State
    placed_at: str
    placed_by: CallerId
    approved_by: CallerId | None
    release_asked_by: CallerId | None
    review_at: str
    review_missed: bool
    until: str | None
    why: str | None


class HoldsOut(BaseModel):
    """The holds that have not ended, in the order they were placed."""

    model_config = ConfigDict(json_schema_extra={"x-has-pii": True})

    holds: list[HoldOut]
    entry_id: str


@router.post(
    "/holds",
    operation_id="placeHold",
    status_code=201,
    responses=answers(HeldOut, "Proposed; it holds at once, and lapses after 72 hours.", 403, 410, 412, status=201, body=True),
    openapi_extra=headers(IDEMPOTENCY),
)
def place_a_hold(body: HoldIn, context: AccessContext, vault: RunningVault, once: Idempotent) -> Response:
    """Propose a hold on somebody's data."""
    until = _day(body.until, "until") if body.until is not None else None
    wish = Wish(body.law, _day(body.review_at, "review_at"), body.why, body.fields, until)
    return _done(once, vault, context, lambda: place_hold(vault, context, body.subject_id, wish), 201)


@router.get("/holds", operation_id="listHolds", responses=answers(HoldsOut, "Those that stand.", 403), openapi_extra=headers())
def list_holds(context: AccessContext, vault: RunningVault, request: Request, response: Response) -> HoldsOut:
    """List the holds that have not ended, with why."""
    found, entry_id = show_holds(vault, context)
    call_of(request).entry_id = response.headers["Vault-Entry"] = entry_id
    response.headers["Cache-Control"] = "no-store"
    return HoldsOut.model_validate({"holds": found, "entry_id": entry_id})


@router.post(
    "/holds/{hold_id}:approve",
    operation_id="approveHold",
    responses=answers(HeldOut, "Approved.", 403, 409, 412, body=True),
    openapi_extra=headers(IDEMPOTENCY),
)
def approve_a_hold(hold_id: HoldId, _: DecisionIn, context: AccessContext, vault: RunningVault, once: Idempotent) -> Response:
    """Approve a hold another officer proposed."""
    return _done(once, vault, context, lambda: approve_hold(vault, context, hold_id))


@router.post(
    "/holds/{hold_id}:release",
    operation_id="releaseHold",
    responses=answers(HeldOut, "To be released by another officer, or released.", 403, 409, 412, body=True),
    openapi_extra=headers(IDEMPOTENCY),
)
def release_a_hold(hold_id: HoldId, _: DecisionIn, context: AccessContext, vault: RunningVault, once: Idempotent) -> Response:
    """Ask to release a hold; asked by another officer, release it: what only it kept is destroyed."""
    return _done(once, vault, context, lambda: release_hold(vault, context, hold_id))


def _done(once: Idempotent, vault: RunningVault, context: AccessContext, act: Callable[[], Held], status: int = 200) -> Response:
    def answered() -> Answered:
        done = act()
        return Answered(status, {"hold_id": done.hold_id, "state": done.state, "entry_id": done.entry_id})

    return once.answer(vault, context, answered)


def _day(text: str, name: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InvalidValue(faults=[Fault(f"/{name}", "date.invalid")]) from None
