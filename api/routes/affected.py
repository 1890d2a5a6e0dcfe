"""Whose data a breach touched: at once from look-up rows, and as a frozen list that a pass over the whole log confirms."""

from datetime import datetime
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from api.call import call_of
from api.context import AccessContext, Guarded, RunningVault
from api.described import IDEMPOTENCY, answers, headers
from api.idempotency import Idempotent
from api.routes.breaches import BreachId
from api.routes.review import UrlCaller
from api.shapes import Body, CallerId, FieldName, Instant, Slug
from vault.errors import ContextIncomplete, Fault, InvalidValue
from vault.operations.affected_query import Query as Sought
from vault.operations.list_affected import Form, Listed, ask_confirmation, list_affected, show_affected
from vault.operations.remember import Answered

router = APIRouter(prefix="/v1", tags=["breaches"], route_class=Guarded)

ListId = Annotated[str, Path(pattern="^lst_[a-z2-7]{26}$", description="lst_ and 26 characters")]
Format = Annotated[Form, Query(alias="format", description="JSON, one signed line, or CSV")]
Position = Annotated[int, Field(ge=0, le=1 << 60)]
Digest = Annotated[str, Field(pattern="^sha256:[0-9a-f]{64}$")]
Station = Annotated[str, Field(pattern=r"^[\x21-\x7e]{1,64}$")]
_MEDIA: dict[str, str] = {"json": "application/json", "note": "text/plain; charset=utf-8", "csv": "text/csv; charset=utf-8"}


class AffectedIn(Body):
    """Which accesses count; all that is stated must be so. Instants and positions are half-open."""

    caller: CallerId | None = None
    system: Slug | None = None
    field: FieldName | None = None
    class_name: FieldName | None = Field(None, alias="class")
    policy: Digest | None = None
    since: Instant | None = Field(None, alias="from")
    until: Instant | None = Field(None, alias="to")
    first: Position | None = None
    end: Position | None = None

    def query(self) -> Sought:
        """Return the operation's argument."""
        said = self.model_dump(exclude_none=True)
        for name, pointer in (("since", "/from"), ("until", "/to")):
            if name in said:
                said[name] = _instant(said[name], InvalidValue(faults=[Fault(pointer, "date.invalid")]))
        return Sought(**said)


class AskedOut(BaseModel):
    """The list every entry of the log is read for: `size` entries, and those of the eras that a recovery ended before."""

    list_id: str
    size: int
    entry_id: str


class LogOut(BaseModel):
    """The log the list speaks of: its size, its root, and the newest signed checkpoint up to there."""

    origin: str
    size: int
    root: str
    checkpoint: str | None


class PersonOut(BaseModel):
    """One person: which fields were shown, at which levels, when first and last, by which entries."""

    subject_id: str
    fields: list[str]
    levels: dict[str, list[str]]
    first_at: str
    last_at: str
    entry_ids: list[str]


class TotalsOut(BaseModel):
    """How many.

    `unattributed`: about somebody, but the row that names them is gone or not borne out. `refused`: nothing was shown.
    `about_nobody`: a search without a hit. `dropped`: proposed by a look-up row, and not so by the entry itself.
    """

    subjects: int
    entries: int
    unattributed: int
    refused: int
    about_nobody: int
    dropped: int


class ProgressOut(BaseModel):
    """How many entries were read, of how many."""

    done: int
    total: int


class EraReadOut(BaseModel):
    """An era that a recovery ended: what its entries must come to, from where they were read, how many signed ones were lost."""

    era: int
    size: int
    root: str
    read_from: int
    lost: int


class AffectedOut(BaseModel):
    """Every person whose data was touched, never a sample. `confirmed`: every entry of the log was read for it."""

    model_config = ConfigDict(json_schema_extra={"x-has-pii": True})

    breach_id: str
    list_id: str | None = None
    entry_id: str
    query: dict[str, str | int]
    confirmed: bool
    eras_not_read: list[int] = Field(description="eras ended by a recovery whose entries were not read: nothing is confirmed then")
    eras_read: list[EraReadOut] | None = Field(None, description="eras before the log's that were come to, the newest first")
    state: Literal["running", "confirmed", "eras-not-read", "gone-since", "differs"] | None = None
    progress: ProgressOut | None = None
    read_from: int | None = Field(None, description="the first entry there still was: what lies before was pruned")
    note: dict[str, str]
    log: LogOut
    subjects: list[PersonOut] | None = None
    unattributed_entry_ids: list[str] | None = None
    totals: TotalsOut | None = None


async def stated_query(  # only computes
    caller: Annotated[
        UrlCaller | None, Query(description="who, as the token's `sub` names them; an address stands in no URL: POST it")
    ] = None,
    system: Annotated[Slug | None, Query(description="the party that received the data")] = None,
    station: Annotated[Station | None, Query(description="the workstation")] = None,
    field: Annotated[FieldName | None, Query(description="a field that was shown")] = None,
    class_name: Annotated[FieldName | None, Query(alias="class", description="a class of which a field was shown")] = None,
    policy: Annotated[Digest | None, Query(description="the bundle that decided")] = None,
    since: Annotated[Instant | None, Query(alias="from", description="from this instant on")] = None,
    until: Annotated[Instant | None, Query(alias="to", description="before this instant")] = None,
    first: Annotated[Position | None, Query(description="from this position on")] = None,
    end: Annotated[Position | None, Query(description="before this position")] = None,
) -> Sought:
    """Return the query a URL states. Raises ContextIncomplete for an instant there is not."""
    begins, ends = (
        None if text is None else _instant(text, ContextIncomplete("malformed", faults=[Fault(name, "date.invalid")]))
        for name, text in (("from", since), ("to", until))
    )
    return Sought(caller, system, station, field, class_name, policy, begins, ends, first, end)


_ANSWERS = answers(AffectedOut, "Who was touched; in the form asked for.", 403, 409)
_ANSWERS[200]["content"] = {media.partition(";")[0]: {} for media in _MEDIA.values()}


@router.get("/breaches/{breach_id}/affected", operation_id="listAffected", responses=_ANSWERS, openapi_extra=headers())
def list_whose_data(
    breach_id: BreachId,
    query: Annotated[Sought, Depends(stated_query)],
    context: AccessContext,
    vault: RunningVault,
    request: Request,
    form: Format = "json",
) -> Response:
    """List whose data was touched, from look-up rows, each judged by its entry. On record before it is told."""
    return _told(request, list_affected(vault, context, breach_id, query, form), form)


@router.post(
    "/breaches/{breach_id}/affected",
    operation_id="confirmAffected",
    status_code=202,
    responses=answers(AskedOut, "Every entry of the log will be read for it.", 403, 409, status=202, body=True),
    openapi_extra=headers(IDEMPOTENCY),
)
def confirm_whose_data(
    breach_id: BreachId, body: AffectedIn, context: AccessContext, vault: RunningVault, once: Idempotent
) -> Response:
    """Freeze a query at the log as it stands, and have every entry read for it. Not a station: it stands in no leaf."""

    def act() -> Answered:
        asked = ask_confirmation(vault, context, breach_id, body.query())
        return Answered(202, {"list_id": asked.list_id, "size": asked.size, "entry_id": asked.entry_id})

    return once.answer(vault, context, act)


@router.get("/breaches/{breach_id}/affected/{list_id}", operation_id="readAffected", responses=_ANSWERS, openapi_extra=headers())
def read_whose_data(
    breach_id: BreachId, list_id: ListId, context: AccessContext, vault: RunningVault, request: Request, form: Format = "json"
) -> Response:
    """Read a frozen list: how far the reading has come, then whom it found. On record before it is told."""
    return _told(request, show_affected(vault, context, breach_id, list_id, form), form)


def _told(request: Request, listed: Listed, form: str) -> Response:
    call_of(request).entry_id = listed.entry_id
    headers = {"Vault-Entry": listed.entry_id, "Cache-Control": "no-store"}
    content: Any = orjson.dumps(listed.told) if listed.octets is None else listed.octets
    return Response(content, headers=headers, media_type=_MEDIA[form])


def _instant(text: str, wrong: ContextIncomplete | InvalidValue) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise wrong from None
