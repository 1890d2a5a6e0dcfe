"""States of a person: restriction, objection, obscured health data, death. Each is in force with the next read."""

from collections.abc import Callable
from datetime import date, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field, StringConstraints

from api.call import call_of
from api.context import AccessContext, Guarded, RunningVault
from api.described import IDEMPOTENCY, answers, headers
from api.idempotency import Idempotent
from api.routes.requests import Right
from api.routes.reveals import OwnWords
from api.shapes import Body, FieldName, Instant, PersonalBody, SubjectId
from vault.errors import Fault, InvalidValue
from vault.operations.forbid_after_death import Forbidden, forbid_after_death, show_forbidden
from vault.operations.object_to import object_to, overrule_objection, withdraw_objection
from vault.operations.obscure import lift_obscuring, obscure
from vault.operations.record_death import record_death
from vault.operations.remember import Answered
from vault.operations.restrict import Changed, lift_restriction, restrict

router = APIRouter(prefix="/v1", tags=["states"], route_class=Guarded)

Fields = Annotated[list[FieldName], Field(min_length=1, max_length=64)]
Day = Annotated[str, StringConstraints(pattern=r"^\d{4}-\d\d-\d\d$")]


class ChangedOut(BaseModel):
    """The person's new version, and the entry."""

    version: int
    entry_id: str


class RestrictionIn(Body):
    """Which fields, all of them if none are named, and on which ground of Art. 18(1): (a), (b), (c) or (d)."""

    ground: Literal["accuracy", "unlawful", "claims", "objection"]
    fields: Fields | None = None


class LiftingIn(Body):
    """Which fields, all of them if none are named, and when the person was told: before (Art. 18(3))."""

    notified_at: Instant | None = None
    fields: Fields | None = None


class ObjectionIn(Body):
    """To what: marketing, or all that rests on a legitimate interest or a public task."""

    to: Literal["marketing", "interests"]


class BalancingIn(PersonalBody):
    """The compelling legitimate grounds, in the officer's words (20 characters)."""

    balancing: OwnWords


class ObscuringIn(PersonalBody):
    """Fields of special categories: what they hold now, not what is written later."""

    fields: Fields


class ProhibitionIn(Body):
    """Which rights nobody may exercise after somebody's death; none: whoever has standing may."""

    rights: Annotated[list[Right], Field(max_length=6)]


class ProhibitionOut(BaseModel):
    """What somebody forbade, on what evidence, since when; null for never."""

    rights: list[str]
    evidence: Literal["own-session", "document-seen"] | None
    recorded_at: str | None
    entry_id: str


class DeathIn(PersonalBody):
    """The day, and what shows it. Without a day: it was recorded by error."""

    on: Day | None
    evidence: Literal["death-certificate", "civil-registry", "notary", "court"]


@router.post(
    "/subjects/{subject_id}/restrictions",
    operation_id="restrict",
    responses=answers(ChangedOut, "Restricted.", 403, 409, body=True),
    openapi_extra=headers(IDEMPOTENCY),
)
def restrict_processing(
    subject_id: SubjectId, body: RestrictionIn, context: AccessContext, vault: RunningVault, once: Idempotent
) -> Response:
    """Restrict the processing of a person's fields."""
    return _done(once, vault, context, subject_id, lambda: restrict(vault, context, subject_id, body.ground, body.fields))


@router.post(
    "/subjects/{subject_id}/restrictions:lift",
    operation_id="liftRestriction",
    responses=answers(ChangedOut, "No longer restricted.", 403, 409, body=True),
    openapi_extra=headers(IDEMPOTENCY),
)
def lift_a_restriction(
    subject_id: SubjectId, body: LiftingIn, context: AccessContext, vault: RunningVault, once: Idempotent
) -> Response:
    """Lift a restriction of which the person was told that it would be."""
    told_at = _instant(body.notified_at)
    return _done(once, vault, context, subject_id, lambda: lift_restriction(vault, context, subject_id, told_at, body.fields))


@router.post(
    "/subjects/{subject_id}/objections",
    operation_id="object",
    responses=answers(ChangedOut, "Objected.", 403, 409, body=True),
    openapi_extra=headers(IDEMPOTENCY),
)
def make_objection(
    subject_id: SubjectId, body: ObjectionIn, context: AccessContext, vault: RunningVault, once: Idempotent
) -> Response:
    """Object. Against marketing a word suffices; the rest asks for proof of who objects."""
    return _done(once, vault, context, subject_id, lambda: object_to(vault, context, subject_id, body.to))


@router.post(
    "/subjects/{subject_id}/objections:withdraw",
    operation_id="withdrawObjection",
    responses=answers(ChangedOut, "Taken back.", 403, 409, body=True),
    openapi_extra=headers(IDEMPOTENCY),
)
def take_objection_back(
    subject_id: SubjectId, body: ObjectionIn, context: AccessContext, vault: RunningVault, once: Idempotent
) -> Response:
    """Take an objection back, as the person's own will."""
    return _done(once, vault, context, subject_id, lambda: withdraw_objection(vault, context, subject_id, body.to))


@router.post(
    "/subjects/{subject_id}/objections:overrule",
    operation_id="overruleObjection",
    responses=answers(ChangedOut, "Overruled.", 403, 409, body=True),
    openapi_extra=headers(IDEMPOTENCY),
)
def overrule_an_objection(
    subject_id: SubjectId, body: BalancingIn, context: AccessContext, vault: RunningVault, once: Idempotent
) -> Response:
    """Overrule an objection by compelling grounds; never one to marketing."""
    return _done(once, vault, context, subject_id, lambda: overrule_objection(vault, context, subject_id, body.balancing))


@router.post(
    "/subjects/{subject_id}/obscurings",
    operation_id="obscure",
    responses=answers(ChangedOut, "Obscured, if there was anything.", 403, 409, body=True),
    openapi_extra=headers(IDEMPOTENCY),
)
def obscure_fields(
    subject_id: SubjectId, body: ObscuringIn, context: AccessContext, vault: RunningVault, once: Idempotent
) -> Response:
    """Obscure what special fields hold: to all but the person it is as if it had never been there."""
    return _done(once, vault, context, subject_id, lambda: obscure(vault, context, subject_id, body.fields))


@router.post(
    "/subjects/{subject_id}/obscurings:lift",
    operation_id="liftObscuring",
    responses=answers(ChangedOut, "Obscured no more.", 403, 409, body=True),
    openapi_extra=headers(IDEMPOTENCY),
)
def lift_an_obscuring(
    subject_id: SubjectId, body: ObscuringIn, context: AccessContext, vault: RunningVault, once: Idempotent
) -> Response:
    """Let special fields be seen again by whoever may see them."""
    return _done(once, vault, context, subject_id, lambda: lift_obscuring(vault, context, subject_id, body.fields))


@router.put(
    "/subjects/{subject_id}/death",
    operation_id="recordDeath",
    responses=answers(ChangedOut, "Recorded.", 403, 409, body=True),
    openapi_extra=headers(IDEMPOTENCY),
)
def put_death(subject_id: SubjectId, body: DeathIn, context: AccessContext, vault: RunningVault, once: Idempotent) -> Response:
    """Record that a person has died, or that it was recorded by error."""
    on = _day(body.on)
    return _done(once, vault, context, subject_id, lambda: record_death(vault, context, subject_id, on, body.evidence))


@router.put(
    "/subjects/{subject_id}/prohibition",
    operation_id="forbidAfterDeath",
    responses=answers(ProhibitionOut, "Kept; what was said before no longer counts.", 403, 409, body=True),
    openapi_extra=headers(IDEMPOTENCY),
)
def put_prohibition(
    subject_id: SubjectId, body: ProhibitionIn, context: AccessContext, vault: RunningVault, once: Idempotent
) -> Response:
    """Forbid, for after one's death, that others exercise one's rights; or take that back."""

    def act() -> Answered:
        return Answered(200, _forbidden(forbid_after_death(vault, context, subject_id, body.rights)), subject_id)

    return once.answer(vault, context, act)


@router.get(
    "/subjects/{subject_id}/prohibition",
    operation_id="readProhibition",
    responses=answers(ProhibitionOut, "What was forbidden.", 403),
    openapi_extra=headers(),
)
def read_prohibition(
    subject_id: SubjectId, context: AccessContext, vault: RunningVault, request: Request, response: Response
) -> ProhibitionOut:
    """Read what somebody forbade for after their death."""
    shown = show_forbidden(vault, context, subject_id)
    call_of(request).entry_id = response.headers["Vault-Entry"] = shown.entry_id
    response.headers["Cache-Control"] = "no-store"
    return ProhibitionOut(**_forbidden(shown))


def _forbidden(one: Forbidden) -> dict[str, Any]:
    return {"rights": list(one.rights), "evidence": one.evidence, "recorded_at": one.recorded_at, "entry_id": one.entry_id}


def _done(
    once: Idempotent, vault: RunningVault, context: AccessContext, subject_id: str, change: Callable[[], Changed]
) -> Response:
    def act() -> Answered:
        changed = change()
        return Answered(200, {"version": changed.version, "entry_id": changed.entry_id}, subject_id)

    return once.answer(vault, context, act)


def _instant(text: str | None) -> datetime | None:
    """Return the instant; one there is not is a fault at its place."""
    try:
        return datetime.fromisoformat(text) if text is not None else None
    except ValueError:
        raise InvalidValue(faults=[Fault("/notified_at", "date.invalid")]) from None


def _day(text: str | None) -> date | None:
    """Return the day; one there is not is a fault at its place."""
    try:
        return date.fromisoformat(text) if text is not None else None
    except ValueError:
        raise InvalidValue(faults=[Fault("/on", "date.invalid")]) from None
