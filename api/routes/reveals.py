"""Looking closer: a few named fields in clear, each time for a reason the person will see, and checks that show nothing."""

from typing import Annotated, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field, StringConstraints

from api.call import call_of
from api.context import AccessContext, Guarded, RunningVault
from api.described import answers, headers
from api.routes.helpdesk import ProfileOut
from api.shapes import FieldName, PersonalBody, SubjectId, Value
from vault.operations.reveal import LONGEST_TEXT, Wish, reveal
from vault.operations.verify import verify

router = APIRouter(prefix="/v1", tags=["helpdesk"], route_class=Guarded)

Reason = Literal["CALLBACK", "ADDRESS_CHECK", "PAYMENT_CHECK", "DELIVERY", "LEGAL_DUTY", "OTHER"]
OwnWords = Annotated[str, StringConstraints(max_length=LONGEST_TEXT)]


class RevealIn(PersonalBody):
    """Which fields, and why. The person will see the reason; the justification only officers. OTHER needs 20 characters of it."""

    fields: Annotated[list[FieldName], Field(min_length=1, max_length=64)]
    reason: Reason
    justification: OwnWords | None = None


class RevealedOut(ProfileOut):
    """The named fields, each as clearly as policy allows now. What is shown is to be removed after `hide_after` seconds."""

    hide_after: int


@router.post(
    "/subjects/{subject_id}/reveals",
    operation_id="revealFields",
    responses=answers(RevealedOut, "The fields; to be hidden after `hide_after` seconds.", 403, 423, 429, body=True),
    openapi_extra=headers(),
)
def reveal_fields(request: Request, subject_id: SubjectId, body: RevealIn, context: AccessContext, vault: RunningVault) -> Response:
    """Reveal at most five named fields on the caller's own verified ticket; each reveal is on record first and counts."""
    shown = reveal(vault, context, subject_id, Wish(tuple(body.fields), body.reason, body.justification))
    profile, call = shown.profile, call_of(request)
    call.entry_id, call.decision_id = profile.entry_id, profile.decision_id
    sent = {"Vault-Decision": profile.decision_id, "Vault-Entry": profile.entry_id, "Cache-Control": "no-store"}
    return Response(profile.encoded(hide_after=shown.hide_after_s), headers=sent, media_type="application/json")


class VerificationIn(PersonalBody):
    """What the caller says about themselves: the whole value of one field."""

    field: FieldName
    value: Value


class VerifiedOut(BaseModel):
    """Whether it is the person's value. Never how near it came."""

    match: bool


@router.post(
    "/subjects/{subject_id}/verifications",
    operation_id="verifyField",
    responses=answers(VerifiedOut, "Match, or no match.", 403, 423, 429, body=True),
    openapi_extra=headers(),
)
def verify_field(
    request: Request, response: Response, subject_id: SubjectId, body: VerificationIn, context: AccessContext, vault: RunningVault
) -> VerifiedOut:
    """Check a value somebody said, without showing the one that is kept. Misses are few; past them every answer is 429."""
    done = verify(vault, context, subject_id, body.field, body.value)
    call_of(request).entry_id = response.headers["Vault-Entry"] = done.entry_id
    response.headers["Cache-Control"] = "no-store"
    return VerifiedOut(match=done.match)
