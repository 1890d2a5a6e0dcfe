"""Notices (GDPR 13, 14): what people are told of the processing of their data, and that they were."""

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel

from api.call import call_of
from api.context import AccessContext, Guarded, RunningVault
from api.described import IDEMPOTENCY, answers, headers
from api.idempotency import Idempotent
from api.shapes import GivenIn, SubjectId
from vault.operations.remember import Answered
from vault.operations.serve_notice import serve_notice
from vault.operations.show_notices import show_notice, show_notices
from vault.operations.show_served_notices import show_served_notices
from vault.operations.show_sources import show_sources

router = APIRouter(prefix="/v1", tags=["notices"], route_class=Guarded)

NoticeName = Annotated[str, Path(pattern=r"^[a-z][a-z0-9-]{0,63}$", description="the notice, such as customers")]
Skip = Annotated[int, Query(ge=0, le=1_000_000, description="how many to pass over: a page has 200")]
Language = Annotated[Literal["it", "en"], Query(description="in which language")]


class NoticeOut(BaseModel):
    """One version of a notice. `articles`: 13 for data from the person, 14 for others; `texts` are SHA-256 by language."""

    notice: str
    version: int
    articles: list[int]
    texts: dict[str, str]


class NoticesOut(BaseModel):
    """Every notice, with every version of it."""

    notices: list[NoticeOut]


class NoticeTextOut(NoticeOut):
    """A notice with its words: Markdown, whose SHA-256 in UTF-8 is the one named for this language."""

    language: str
    text: str


@router.get("/notices", operation_id="listNotices", responses=answers(NoticesOut, "The notices of the bundle."))
def list_notices(vault: RunningVault) -> NoticesOut:
    """List the notices. They concern nobody in particular, so no context is asked."""
    return NoticesOut.model_validate({"notices": show_notices(vault)})


@router.get("/notices/{notice}", operation_id="readNotice", responses=answers(NoticeTextOut, "The notice."))
def read_notice(
    notice: NoticeName,
    vault: RunningVault,
    language: Language = "it",
    version: Annotated[int | None, Query(ge=1, le=999_999, description="without: the newest")] = None,
) -> NoticeTextOut:
    """Read a notice as people read it. It concerns nobody in particular, so no context is asked."""
    return NoticeTextOut.model_validate(show_notice(vault, notice, version, language))


class ServedOut(BaseModel):
    """It is put down."""

    notice: str
    version: int
    language: str
    entry_id: str


@router.post(
    "/subjects/{subject_id}/notices",
    operation_id="serveNotice",
    status_code=201,
    responses=answers(ServedOut, "Put down.", 403, 409, 410, status=201, body=True),
    openapi_extra=headers(IDEMPOTENCY),
)
def post_served(subject_id: SubjectId, body: GivenIn, context: AccessContext, vault: RunningVault, once: Idempotent) -> Response:
    """Put down that a person was given a notice."""

    def act() -> Answered:
        done = serve_notice(vault, context, subject_id, body.given())
        answer = {
            "notice": done.row.notice,
            "version": done.row.version,
            "language": done.row.language,
            "entry_id": done.entry_id,
        }
        return Answered(201, answer, subject_id)

    return once.answer(vault, context, act)


class GivenOut(BaseModel):
    """A notice somebody was given. `sha256`: of its words; `role`: in which role somebody put it down."""

    notice: str
    version: int
    language: str
    sha256: str
    channel: str
    given_at: str
    recorded_at: str
    role: str
    entry_id: str


class ServedNoticesOut(BaseModel):
    """Every notice somebody was given, the first one first."""

    model_config = {"json_schema_extra": {"x-has-pii": True}}

    subject_id: str
    notices: list[GivenOut]
    entry_id: str


@router.get(
    "/subjects/{subject_id}/notices",
    operation_id="listServedNotices",
    responses=answers(ServedNoticesOut, "What they were given.", 403),
    openapi_extra=headers(),
)
def list_served(
    subject_id: SubjectId, context: AccessContext, vault: RunningVault, request: Request, response: Response
) -> ServedNoticesOut:
    """List the notices a person was given. The reading is on record."""
    found, entry_id = show_served_notices(vault, context, subject_id)
    call_of(request).entry_id = response.headers["Vault-Entry"] = entry_id
    response.headers["Cache-Control"] = "no-store"
    return ServedNoticesOut.model_validate({"subject_id": subject_id, "notices": found, "entry_id": entry_id})


class SourceOut(BaseModel):
    """A value that is not from the person. `because`: what its date comes from; no date where they must not learn of it."""

    subject_id: str
    field: str
    source: str
    obtained_at: str
    regime: str | None
    due_at: str | None
    because: Literal["obtained", "contacted", "disclosed"]
    told_at: str | None
    overdue: bool
    entry_id: str


class SourcesOut(BaseModel):
    """A page; `more`: there is another."""

    sources: list[SourceOut]
    more: bool
    entry_id: str


@router.get("/sources", operation_id="listSources", responses=answers(SourcesOut, "A page.", 403), openapi_extra=headers())
def list_sources(
    context: AccessContext, vault: RunningVault, request: Request, response: Response, every: bool = False, skip: Skip = 0
) -> SourcesOut:
    """List data that did not come from the person and of which they were not told, the next due first; with `every` all of them."""
    shown, entry_id = show_sources(vault, context, only_open=not every, skip=skip)
    call_of(request).entry_id = response.headers["Vault-Entry"] = entry_id
    response.headers["Cache-Control"] = "no-store"
    return SourcesOut.model_validate({**shown, "entry_id": entry_id})
