"""Notices (GDPR 13, 14): what people are told of the processing of their data, by version and language."""

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel

from api.context import Guarded, RunningVault
from api.described import answers
from vault.operations.show_notices import show_notice, show_notices

router = APIRouter(prefix="/v1", tags=["notices"], route_class=Guarded)

NoticeName = Annotated[str, Path(pattern=r"^[a-z][a-z0-9-]{0,63}$", description="the notice, such as customers")]
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
