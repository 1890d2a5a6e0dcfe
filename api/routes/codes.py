"""One-time codes: have one sent to a contact on record, and give it back."""

from typing import Annotated, Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from api.context import AccessContext, Guarded, RunningVault
from api.described import IDEMPOTENCY, answers, headers
from api.idempotency import Idempotent
from api.routes.requests import RequestId
from api.shapes import Body, PersonalBody
from vault.operations.prove_contact import answer_code, ask_code
from vault.operations.remember import Answered

router = APIRouter(prefix="/v1", tags=["requests"], route_class=Guarded)


class SendCodeIn(Body):
    """To which contact on record, by its field: an address is never typed."""

    through: Literal["email"]


class SendingOut(BaseModel):
    """Until when a code could be answered. Whether there is such a contact, and whether a code leaves, is not told."""

    request_id: str
    expires_in_s: int
    entry_id: str


class CodeIn(PersonalBody):
    """The six digits."""

    code: Annotated[str, Field(pattern="^[0-9]{6}$")]


class ProofOut(BaseModel):
    """Whether it was the code; one that is wrong, over, spent, used or never sent is answered alike."""

    request_id: str
    proved: bool
    entry_id: str


@router.post(
    "/requests/{request_id}:send-code",
    operation_id="sendCode",
    status_code=202,
    responses=answers(SendingOut, "Asked for; it is sent if there is where to.", 403, 409, 412, 429, status=202, body=True),
    openapi_extra=headers(IDEMPOTENCY),
)
def send_a_code(request_id: RequestId, body: SendCodeIn, context: AccessContext, vault: RunningVault, once: Idempotent) -> Response:
    """Have a one-time code sent to a contact on record, in the place of the one before."""

    def answered() -> Answered:
        done = ask_code(vault, context, request_id, body.through)
        return Answered(202, {"request_id": done.request_id, "expires_in_s": done.expires_in_s, "entry_id": done.entry_id})

    return once.answer(vault, context, answered)


@router.post(
    "/requests/{request_id}:answer-code",
    operation_id="answerCode",
    responses=answers(ProofOut, "Compared, and counted.", 403, 409, 412, body=True),
    openapi_extra=headers(IDEMPOTENCY),
)
def answer_a_code(request_id: RequestId, body: CodeIn, context: AccessContext, vault: RunningVault, once: Idempotent) -> Response:
    """Give a one-time code back: the right one raises the level of this request to 1."""

    def answered() -> Answered:
        done = answer_code(vault, context, request_id, body.code)
        return Answered(200, {"request_id": done.request_id, "proved": done.proved, "entry_id": done.entry_id})

    return once.answer(vault, context, answered)
