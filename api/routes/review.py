"""The officer's review of the log: pages of entries, one opened for a reason, and what is written of it."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from api.call import call_of
from api.context import AccessContext, Guarded, RunningVault
from api.described import IDEMPOTENCY, answers, headers
from api.idempotency import Idempotent
from api.routes.reveals import OwnWords
from api.shapes import AgreementIdText, CallerId, FieldName, Instant, PersonalBody, Slug, SubjectIdText
from vault.operations.annotate import Remark, annotate
from vault.operations.open_entry import open_entry
from vault.operations.remember import Answered
from vault.operations.review import MOST, USUAL, EntryFilter, Page, review

router = APIRouter(prefix="/v1/audit", tags=["review"], route_class=Guarded)

EntryId = Annotated[str, Path(pattern="^ent_[a-z2-7]{26}$", description="ent_ and 26 characters")]
Verb = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z_:-]{0,63}$")]
Ticket = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$")]
UrlCaller = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:|+=/~-]{0,254}$")]
Outcome = Literal["allowed", "partial", "refused", "failed", "done"]
Flag = Literal["any", "break-glass", "special-in-clear"]
Reason = Literal["COMPLAINT", "SUSPICION", "BREACH", "RIGHTS_REQUEST", "AUTHORITY", "SAMPLE", "REVIEW"]
NAMES = {"begins": "from", "ends": "to"}


class FilterIn(PersonalBody):
    """What is asked for; all that is stated must be so. `caller` and `ticket`: an id, or the label officers read."""

    begins: Annotated[Instant | None, Field(alias="from", description="from when; 90 days before `to` if unsaid")] = None
    ends: Annotated[Instant | None, Field(alias="to", description="until before when; now if unsaid")] = None
    caller: CallerId | None = None
    system: Slug | None = Field(None, description="the recipient, of the policy's register")
    role: Slug | None = None
    subject_id: SubjectIdText | None = None
    field: FieldName | None = None
    purpose: Slug | None = None
    ticket: Ticket | None = None
    agreement: AgreementIdText | None = None
    outcome: Outcome | None = None
    operation: Verb | None = None
    flag: Flag | None = None

    def asked(self) -> EntryFilter:
        """Return the operation's argument."""
        said: dict[str, Any] = {name: getattr(self, name) for name in type(self).model_fields if name in EntryFilter.__slots__}
        return EntryFilter(**(said | {name: instant_ms(said[name]) for name in NAMES}))


class PageIn(FilterIn):
    """A filter, how many entries, and where the page before ended. Without person, caller, ticket or flag: 92 days at most.

    An id that is somebody's address does not go into a URL: keep a filter with it, and take the label from there.
    """

    caller: UrlCaller | None = None
    limit: Annotated[int, Field(ge=1, le=MOST, strict=False)] = USUAL
    cursor: Annotated[str | None, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,128}$")] = None


class CallerOut(BaseModel):
    """Who it was: a pseudonym, the same all through this log. Null where the entry does not confirm the look-up row."""

    kind: str | None
    label: str | None
    roles: list[str]
    team: str | None


class TicketOut(BaseModel):
    """A ticket's label, and what was found of the ticket."""

    label: str
    state: str | None


class StandingOut(BaseModel):
    """How the review of an entry stands."""

    state: str
    verdict: str | None


class EntryRowOut(BaseModel):
    """One entry: metadata, never a value. `differs`: the look-up row does not say what the entry says; an alarm."""

    entry_id: str
    era: int
    position: int
    at: str
    operation: str | None
    outcome: str | None
    caller: CallerOut
    subject_id: str | None
    recipient: str | None
    purpose: str | None
    channel: str | None
    ticket: TicketOut | None
    fields: dict[str, str]
    flags: list[str]
    sequenced: bool
    held: bool = Field(description="in the stream the person is not told of")
    own: bool = Field(description="the reader's own act: another officer reviews it")
    differs: bool
    review: StandingOut | None


class WindowOut(BaseModel):
    """From when until before when."""

    begins: str = Field(serialization_alias="from")
    ends: str = Field(serialization_alias="to")


class HeadOut(BaseModel):
    """How long the log is, how much of it the newest checkpoint covers, and when a witness last signed one, if known."""

    size: int
    checkpoint_size: int | None
    witnessed_at: str | None = None

    @classmethod
    def of(cls, size: int, checkpoint: int | None, witnessed_s: int | None) -> "HeadOut":
        """Return it, with the instant spelt out."""
        at = datetime.fromtimestamp(witnessed_s, UTC).isoformat() if witnessed_s is not None else None
        return cls(size=size, checkpoint_size=checkpoint, witnessed_at=at)


class PageOut(BaseModel):
    """A page, newest first. `next` is null at the end; a page that filters on leaves may hold less than asked and yet go on."""

    entries: list[EntryRowOut]
    next: str | None
    window: WindowOut
    head: HeadOut
    entry_id: str

    @classmethod
    def of(cls, page: Page) -> "PageOut":
        """Return it."""
        entries = [EntryRowOut(**one) for one in page.entries]
        window = WindowOut(begins=page.window[0], ends=page.window[1])
        head = HeadOut.of(page.length.size, page.length.checkpoint, page.length.witnessed_s)
        return cls(entries=entries, next=page.following, window=window, head=head, entry_id=page.entry_id)


@router.get(
    "/entries",
    operation_id="listEntries",
    responses=answers(PageOut, "The page; it is on record.", 403, 422),
    openapi_extra=headers(),
)
def list_entries(
    asked: Annotated[PageIn, Query()], context: AccessContext, vault: RunningVault, request: Request, response: Response
) -> PageOut:
    """List entries, newest first. Callers are pseudonyms; each page is an entry itself."""
    page = review(vault, context, asked.asked(), asked.limit, asked.cursor)
    call_of(request).entry_id = response.headers["Vault-Entry"] = page.entry_id
    response.headers["Cache-Control"] = "no-store"
    return PageOut.of(page)


class RemarkOut(BaseModel):
    """What an officer wrote about an entry; `by` is a pseudonym."""

    number: int
    at: str
    by: str
    state: str | None
    verdict: str | None
    note: str | None


class OpenedOut(BaseModel):
    """One entry with what was sealed beside it; who, where and in which session stay pseudonyms. `gone`: its keys are destroyed."""

    model_config = ConfigDict(json_schema_extra={"x-has-pii": True})  # in whatever somebody wrote in their own words

    of_entry_id: str
    era: int
    position: int
    leaf: dict[str, Any]
    subject_id: str | None
    held: bool
    details: dict[str, Any]
    internal: dict[str, Any]
    gone: bool
    reviews: list[RemarkOut]


@router.get(
    "/entries/{entry_id}",
    operation_id="openEntry",
    responses=answers(OpenedOut, "The entry; the opening is on record, and the person may learn of it.", 403),
    openapi_extra=headers(),
)
def open_one_entry(
    entry_id: EntryId, reason: Reason, context: AccessContext, vault: RunningVault, request: Request, response: Response
) -> OpenedOut:
    """Open one entry for a reason. Nobody opens their own."""
    opened = open_entry(vault, context, entry_id, reason)
    call_of(request).entry_id = response.headers["Vault-Entry"] = opened.entry_id
    response.headers["Cache-Control"] = "no-store"
    return OpenedOut(**opened.document)


class RemarkIn(PersonalBody):
    """A note in the officer's own words, a state, or both. A verdict goes with `closed`."""

    state: Literal["open", "in-review", "closed"] | None = None
    verdict: Literal["justified", "unjustified", "training", "breach", "false-alarm"] | None = None
    note: OwnWords | None = None


class RemarkedOut(BaseModel):
    """Which remark it is of that entry, and the entry that recorded it."""

    number: int
    entry_id: str


@router.post(
    "/entries/{entry_id}/reviews",
    operation_id="reviewEntry",
    status_code=201,
    responses=answers(RemarkedOut, "Written; it is never changed.", 403, 409, status=201, body=True),
    openapi_extra=headers(IDEMPOTENCY),
)
def review_entry(entry_id: EntryId, body: RemarkIn, context: AccessContext, vault: RunningVault, once: Idempotent) -> Response:
    """Write a note about an entry, or say how its review stands. Nobody writes about their own."""

    def act() -> Answered:
        done = annotate(vault, context, entry_id, Remark(body.state, body.verdict, body.note))
        return Answered(201, {"number": done.number, "entry_id": done.entry_id})

    return once.answer(vault, context, act)


def instant_ms(text: str | None) -> int | None:
    """Return an instant of a body or a query, as the log counts: ms since 1970, never before."""
    return None if text is None else max(0, int(datetime.fromisoformat(text).timestamp() * 1000))
