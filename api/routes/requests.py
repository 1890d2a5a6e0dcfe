"""Requests of people: put one down, move it on, and see where it stands. Each verb says what it takes."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from api.call import call_of
from api.context import AccessContext, Guarded, RunningVault
from api.described import IDEMPOTENCY, answers, headers
from api.idempotency import Idempotent
from api.routes.reveals import OwnWords
from api.shapes import CallerId, Day, Digest, FieldName, Instant, PersonalBody, Slug, SubjectIdText
from vault.operations.move_request import Step, move_request
from vault.operations.open_request import Asked, Stands, open_request
from vault.operations.remember import Answered
from vault.operations.show_requests import Shown, show_own_requests, show_request, show_requests

NOBODY = "-"  # whose own requests a token speaks of that is no customer's
router = APIRouter(prefix="/v1", tags=["requests"], route_class=Guarded)

RequestId = Annotated[str, Path(pattern="^req_[a-z2-7]{26}$", description="req_ and 26 characters")]
RequestIdText = Annotated[str, Field(pattern="^req_[a-z2-7]{26}$")]
Skip = Annotated[int, Query(ge=0, le=1_000_000, description="how many to pass over: a page has 200")]
Fields = Annotated[list[FieldName], Field(max_length=64, default_factory=list, description="none: of everything")]
Kind = Literal[
    "access", "portability", "rectification", "erasure", "restriction", "objection", "objection-marketing", "withdrawal",
    "human-review", "recipients", "access-log", "obscuring", "onco-oblivion", "deceased", "dispute",
]  # fmt: skip
State = Literal["received", "verified", "accepted", "fulfilled", "refused", "withdrawn", "duplicate", "unidentified"]
Waiting = Literal["nothing", "identity", "clarification", "fee"]
Right = Literal["access", "portability", "rectification", "erasure", "restriction", "objection"]
Outcome = Literal["complete", "partial", "nothing-held"]


class MyRequestIn(PersonalBody):
    """What the caller asks for themselves, and in their words, if they like."""

    kind: Kind
    fields: Fields
    said: OwnWords | None = None


class RequestIn(MyRequestIn):
    """The same of somebody else, as it was heard; `received_at`: when it arrived, on whatever channel."""

    subject_id: SubjectIdText
    received_at: Instant | None = None


class WordsIn(PersonalBody):
    """What is said of it; staff must say something."""

    said: OwnWords | None = None


class VerifyIn(WordsIn):
    """How who asks was identified: the level that was reached. A person's own session speaks for itself."""

    level: Annotated[int, Field(ge=0, le=3)] = 0
    method: Literal["call-back", "in-branch", "mandate", "document-seen"] | None = None


class AskIn(WordsIn):
    """What is needed of the person. Asked within five working days of receipt, it stops the clock; a fee does not."""

    waiting: Literal["identity", "clarification", "fee"]


class ExtendIn(WordsIn):
    """By how many months more, and why; once, and told by the first date."""

    by_months: Annotated[int, Field(ge=1, le=2)]
    because: Literal["complexity", "high-volume"]


class AcceptIn(WordsIn):
    """Of an erasure or a correction the digest of what is accepted: that and nothing else is carried out.

    Of somebody dead: who asks by what `standing`, for which `right`, and on what `ground` although they forbade it.
    Of an old cancer: who certified it (`certificate`), and on which day; never the certificate itself.
    """

    plan: Digest | None = None
    standing: Literal["own-interest", "mandate", "family-reasons"] | None = None
    right: Right | None = None
    ground: Literal["patrimonial", "defence"] | None = None
    certificate: Literal["health-facility", "specialist", "general-practitioner"] | None = None
    certified_on: Day | None = None


class RefuseIn(WordsIn):
    """Why: a code of the refusals, each with its law and text."""

    code: Slug


class FulfilIn(WordsIn):
    """What came of it. An erasure is carried out by this, and says itself."""

    outcome: Outcome | None = None


class DuplicateIn(WordsIn):
    """The request it repeats."""

    same_as: RequestIdText


class ReopenIn(WordsIn):
    """Who ordered it: a complaint, a court, the authority."""

    ordered_by: OwnWords


class StandsOut(BaseModel):
    """Where a request stands. `due`: until the end of which day it is in time; null while the person is waited for."""

    request_id: str
    state: State
    waiting: Waiting
    base_due: str
    due: str | None
    outcome: Outcome | None
    entry_id: str


class RequestOut(BaseModel):
    """One request as it is listed: nobody's words. `level` of identity, reached and needed; terms of DPV and OpenDSR."""

    request_id: str
    subject_id: str
    kind: Kind
    ground: str
    fields: list[str]
    channel: str
    received_at: str
    registered_at: str
    late_registered: bool
    regime: str
    base_due: str
    due: str | None
    state: State
    waiting: Waiting
    extended: bool
    overdue: bool
    level_needed: int
    level: int
    decided_by: Literal["request-officer", "dpo", "nobody"]
    outcome: Outcome | None
    alarms: list[str]
    dpv: list[str]
    open_dsr: str


class RequestsOut(BaseModel):
    """Requests, and whether there are more."""

    requests: list[RequestOut]
    more: bool
    entry_id: str


class RefusalOut(BaseModel):
    """Why it was refused, as the law calls it, and in each language."""

    code: str
    law: str | None = None
    dpv: str | None = None
    texts: dict[str, str] | None = None


class StepOut(BaseModel):
    """One step. Whose it was is told to staff, what was written to whom it concerns."""

    number: int
    verb: str
    at: str
    role: str
    stated: dict[str, Any]
    by: CallerId | None = None
    said: str | None = None
    ordered_by: str | None = None
    refusal: RefusalOut | None = None


class LetterOut(BaseModel):
    """One letter about it: sent and when, or why not; to whom stands nowhere."""

    about: str
    state: Literal["waiting", "sent", "failed"]
    made_at: str
    sent_at: str | None
    code: str | None


class WholeRequestOut(RequestOut):
    """One request with its steps and letters; at the desk without them."""

    model_config = ConfigDict(json_schema_extra={"x-has-pii": True})

    steps: list[StepOut]
    letters: list[LetterOut]
    entry_id: str


@router.post(
    "/requests",
    operation_id="openRequest",
    status_code=201,
    responses=answers(StandsOut, "Put down; the clock runs from when it arrived.", 403, 409, 429, status=201, body=True),
    openapi_extra=headers(IDEMPOTENCY),
)
def open_a_request(body: RequestIn, context: AccessContext, vault: RunningVault, once: Idempotent) -> Response:
    """Put down what somebody asks."""
    received = datetime.fromisoformat(body.received_at) if body.received_at is not None else None
    asked = Asked(body.kind, body.fields, received, body.said)
    return _done(once, vault, context, lambda: open_request(vault, context, body.subject_id, asked), 201)


@router.post(
    "/me/requests",
    operation_id="openMyRequest",
    status_code=201,
    responses=answers(StandsOut, "Put down.", 403, 409, 429, status=201, body=True),
    openapi_extra=headers(IDEMPOTENCY),
)
def open_my_request(body: MyRequestIn, context: AccessContext, vault: RunningVault, once: Idempotent) -> Response:
    """Ask for oneself."""
    asked = Asked(body.kind, body.fields, None, body.said)
    return _done(once, vault, context, lambda: open_request(vault, context, context.caller.subject_id or NOBODY, asked), 201)


@router.get("/requests", operation_id="listRequests", responses=answers(RequestsOut, "A page.", 403), openapi_extra=headers())
def list_requests(
    context: AccessContext, vault: RunningVault, request: Request, response: Response, every: bool = False, skip: Skip = 0
) -> RequestsOut:
    """List open requests, the next due first; with `every` all of them, the newest first. For officers."""
    shown = _read(request, response, show_requests(vault, context, only_open=not every, skip=skip))
    return RequestsOut(**shown.document, entry_id=shown.entry_id)


@router.get("/me/requests", operation_id="listMyRequests", responses=answers(RequestsOut, "Theirs.", 403), openapi_extra=headers())
def list_my_requests(context: AccessContext, vault: RunningVault, request: Request, response: Response) -> RequestsOut:
    """List the caller's own requests, first to last."""
    shown = _read(request, response, show_own_requests(vault, context, context.caller.subject_id or NOBODY))
    return RequestsOut(**shown.document, entry_id=shown.entry_id)


@router.get(
    "/requests/{request_id}",
    operation_id="readRequest",
    responses=answers(WholeRequestOut, "The request with its steps.", 403, 410),
    openapi_extra=headers(),
)
def read_request(
    request_id: RequestId, context: AccessContext, vault: RunningVault, request: Request, response: Response
) -> WholeRequestOut:
    """Read one request."""
    shown = _read(request, response, show_request(vault, context, request_id))
    return WholeRequestOut(**shown.document, entry_id=shown.entry_id)


def _moving(verb: Any, model: type[WordsIn], told: str) -> None:
    """Add the route of one verb."""

    def move(request_id: RequestId, body: Any, context: AccessContext, vault: RunningVault, once: Idempotent) -> Response:
        step = Step(verb, **body.model_dump())
        return _done(once, vault, context, lambda: move_request(vault, context, request_id, step))

    move.__annotations__["body"] = model
    move.__doc__ = told
    router.post(
        f"/requests/{{request_id}}:{verb}",
        operation_id=f"{verb}Request",
        responses=answers(StandsOut, "Moved.", 403, 409, 410, body=True),
        openapi_extra=headers(IDEMPOTENCY),
        name=f"{verb}_request",
    )(move)


_moving("verify", VerifyIn, "Say how who asks was identified; a person's own session is enough for the level it has.")
_moving("ask", AskIn, "Ask the person for what is needed.")
_moving("answer", WordsIn, "Note that the person answered.")
_moving("extend", ExtendIn, "Extend it, once.")
_moving("accept", AcceptIn, "Accept it.")
_moving("take", WordsIn, "Take an accepted request over: from then on its officer may see what it is about, until it has ended.")
_moving("refuse", RefuseIn, "Refuse it, with a code and reasons.")
_moving("fulfil", FulfilIn, "Say that it was carried out; of an erasure, carry it out, as another person than who accepted it.")
_moving("withdraw", WordsIn, "Take it back.")
_moving("duplicate", DuplicateIn, "Say that it repeats another that is open: the earlier clock governs.")
_moving("unidentify", WordsIn, "Close it, for nobody showed who they are.")
_moving("reopen", ReopenIn, "Open it again, on order.")


def _done(once: Idempotent, vault: RunningVault, context: AccessContext, act: Callable[[], Stands], status: int = 200) -> Response:
    def answered() -> Answered:
        done = act()
        row = done.request
        return Answered(
            status,
            {
                "request_id": row.request_id, "state": row.state, "waiting": row.waiting, "base_due": row.base_due.isoformat(),
                "due": row.due.isoformat() if row.due is not None else None, "outcome": row.outcome, "entry_id": done.entry_id,
            },
        )  # fmt: skip

    return once.answer(vault, context, answered)


def _read(request: Request, response: Response, shown: Shown) -> Shown:
    call_of(request).entry_id = response.headers["Vault-Entry"] = shown.entry_id
    response.headers["Cache-Control"] = "no-store"
    return shown
