"""Beside the review of the log: counts without people, filters kept by name, and exports."""

from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from api.call import call_of
from api.context import AccessContext, Guarded, RunningVault
from api.described import IDEMPOTENCY, answers, documents, headers
from api.idempotency import Idempotent
from api.routes.review import NAMES, FilterIn, HeadOut, instant_ms
from api.shapes import Body, EntryOut, Instant, Slug
from vault.operations.export_entries import Wish, export_entries
from vault.operations.remember import Answered
from vault.operations.saved_filters import SavedFilter, list_filters, remove_filter, save_filter
from vault.operations.show_counts import Counts, show_counts

router = APIRouter(prefix="/v1/audit", tags=["review"], route_class=Guarded)

FilterName = Annotated[str, Path(pattern=r"^[a-z][a-z0-9-]{0,63}$", description="small letters, digits and hyphens")]
Dimension = Literal["day", "operation", "outcome", "purpose", "recipient"]


class CountsOut(BaseModel):
    """Entries and clear values by group, from counts kept beside the log; days are of UTC. Nobody is in them."""

    groups: list[dict[str, str | int]]
    begins_on: str = Field(serialization_alias="from")
    ends_on: str = Field(serialization_alias="to")
    head: HeadOut

    @classmethod
    def of(cls, found: Counts) -> "CountsOut":
        """Return them."""
        days = found.begins_on.isoformat(), found.ends_on.isoformat()
        head = HeadOut.of(found.length.size, found.length.checkpoint, found.length.witnessed_s)
        return cls(groups=list(found.groups), begins_on=days[0], ends_on=days[1], head=head)


@router.get("/counts", operation_id="countEntries", responses=answers(CountsOut, "The counts.", 403, 422), openapi_extra=headers())
def count_entries(
    context: AccessContext,
    vault: RunningVault,
    since: Annotated[date | None, Query(alias="from")] = None,
    until: Annotated[date | None, Query(alias="to")] = None,
    by: Annotated[list[Dimension] | None, Query(max_length=5)] = None,
) -> CountsOut:
    """Count entries by day, operation, outcome, purpose or recipient. The log is not read, so this is no entry."""
    return CountsOut.of(show_counts(vault, context, since, until, by or ("day",)))


class SavedFilterOut(BaseModel):
    """A filter that is kept. `owner` is a pseudonym."""

    name: str
    owner: str
    own: bool
    saved_at: str
    filter: dict[str, str]

    @classmethod
    def of(cls, one: SavedFilter) -> "SavedFilterOut":
        """Return it, with its instants spelt out."""
        said = {NAMES.get(name, name): _spelt(name, value) for name, value in one.asked.stated().items()}
        return cls(name=one.name, owner=one.owner, own=one.own, saved_at=one.saved_at.isoformat(), filter=said)


class SavedFiltersOut(BaseModel):
    """Every filter that is kept."""

    filters: list[SavedFilterOut]
    entry_id: str


@router.get(
    "/filters", operation_id="listFilters", responses=answers(SavedFiltersOut, "The filters.", 403), openapi_extra=headers()
)
def list_saved_filters(context: AccessContext, vault: RunningVault, request: Request, response: Response) -> SavedFiltersOut:
    """List the filters officers keep; every officer may use each."""
    found = list_filters(vault, context)
    call_of(request).entry_id = response.headers["Vault-Entry"] = found.entry_id
    return SavedFiltersOut(filters=[SavedFilterOut.of(one) for one in found.filters], entry_id=found.entry_id)


@router.put(
    "/filters/{name}",
    operation_id="saveFilter",
    responses=answers(EntryOut, "Kept.", 403, body=True),
    openapi_extra=headers(IDEMPOTENCY),
)
def keep_filter(name: FilterName, body: FilterIn, context: AccessContext, vault: RunningVault, once: Idempotent) -> Response:
    """Keep a filter by name, over one's own earlier one. Ids of callers and tickets are kept as labels."""
    return once.answer(vault, context, lambda: Answered(200, {"entry_id": save_filter(vault, context, name, body.asked())}))


@router.delete(
    "/filters/{name}",
    operation_id="removeFilter",
    responses=answers(EntryOut, "Removed.", 403),
    openapi_extra=headers(IDEMPOTENCY),
)
def drop_filter(name: FilterName, context: AccessContext, vault: RunningVault, once: Idempotent) -> Response:
    """Remove a filter of one's own."""
    return once.answer(vault, context, lambda: Answered(200, {"entry_id": remove_filter(vault, context, name)}))


class ExportIn(Body):
    """Which entries, in which form, and for whom: pseudonyms are the destination's own."""

    format: Literal["jsonl", "ocsf", "garante"]
    begins: Annotated[Instant, Field(alias="from")]
    ends: Annotated[Instant, Field(alias="to")]
    destination: Slug


@router.post(
    "/exports",
    operation_id="exportEntries",
    responses=documents("The export, as it is read.", "application/x-ndjson", "text/csv", statuses=(403, 409, 413, 415, 422)),
    openapi_extra=headers(),
    response_class=StreamingResponse,
)
def stream_entries(body: ExportIn, context: AccessContext, vault: RunningVault, request: Request) -> StreamingResponse:
    """Export entries as a stream, on record before its first line and before its end; `Vault-Expected` says about how many.

    An answer that breaks off is never completed: the log then says that the export failed.
    """
    export = export_entries(
        vault, context, Wish(body.format, instant_ms(body.begins) or 0, instant_ms(body.ends) or 0, body.destination)
    )
    call_of(request).entry_id = export.entry_id
    sent = {"Vault-Entry": export.entry_id, "Vault-Expected": str(export.expected), "Cache-Control": "no-store"}
    return StreamingResponse(export.lines(), headers=sent, media_type=export.media_type)


def _spelt(name: str, value: Any) -> str:
    return datetime.fromtimestamp(value / 1000, UTC).isoformat() if name in NAMES else str(value)
