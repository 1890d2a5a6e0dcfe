"""Who looked at somebody's data: shown to the person, page by page, and handed over with what proves it whole."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request, Response
from pydantic import BaseModel, Field

from api.call import call_of
from api.context import AccessContext, Guarded, RunningVault
from api.described import answers, documents, headers
from api.shapes import SubjectId
from vault.assembly import Vault
from vault.errors import InvalidValue
from vault.operations.hand_over_accesses import hand_over_accesses
from vault.operations.show_accesses import show_accesses
from vault.policy.model import Context

ZIP = "application/zip"
LIMIT, MOST = 50, 200
NOBODY = "-"  # whose own data a token speaks of that is no customer's
router = APIRouter(prefix="/v1", tags=["accesses"], route_class=Guarded)

Limit = Annotated[int, Query(ge=1, le=MOST, description=f"entries on a page, at most {MOST}")]
Cursor = Annotated[str | None, Query(pattern=r"^[A-Za-z0-9_-]{88}$", description="`next` of the page before")]
Until = Annotated[
    str | None,
    Query(
        pattern=r"^ent_[a-z2-7]{26}$",
        description="the list up to an earlier request for it: the `entry_id` of a 503 that said `checkpoint-pending`",
    ),
]


Naming = Annotated[
    str | None, Query(pattern=r"^nam_[a-z2-7]{26}$", description="an approved naming, for this one report: see /v1/namings")
]


class AccessOut(BaseModel):
    """One access. What would tell of somebody else is left out, and `month` stands in the place of `at`."""

    entry_id: str
    operation: str
    outcome: str
    position: int | None = None
    at: str | None = None
    month: str | None = None
    purpose: str | None = None
    basis: list[str] | None = Field(None, description="lawful bases the access rested on")
    agreement: list[str] | None = Field(None, description="agreements the access rested on, or was about")
    fields: dict[str, str] | None = Field(
        None, description="how clearly each was answered: clear, masked:<mask>, token, withheld, absent"
    )
    reason: str | None = None
    role: list[str] | None = None
    team: str | None = None
    agent: str | None = Field(None, description="`you`, or `operator` and six characters: one person, in this list alone")
    system: str | None = None
    channel: str | None = None
    ticket: str | None = None
    recipient: str | None = None


class AccessesOut(BaseModel):
    """A page of accesses, the newest first; `next` is null at the end. The first page begins with this very request."""

    model_config = {"json_schema_extra": {"x-has-pii": True}}

    accesses: list[AccessOut]
    next: str | None
    entry_id: str


@router.get(
    "/me/accesses",
    operation_id="listMyAccesses",
    responses=answers(AccessesOut, "Who looked, when and why.", 403),
    openapi_extra=headers(),
)
def list_my_accesses(
    context: AccessContext, vault: RunningVault, request: Request, response: Response, limit: Limit = LIMIT, cursor: Cursor = None
) -> AccessesOut:
    """List who looked at the caller's own data. The reading is on record, and listed."""
    return _page(vault, context, context.caller.subject_id or NOBODY, (request, response), limit, cursor)


@router.get(
    "/subjects/{subject_id}/accesses",
    operation_id="listAccesses",
    responses=answers(AccessesOut, "Who looked, when and why, as the person sees it.", 403),
    openapi_extra=headers(),
)
def list_accesses(
    subject_id: SubjectId, context: AccessContext, vault: RunningVault, request: Request, response: Response, limit: Limit = LIMIT,
    cursor: Cursor = None,
) -> AccessesOut:  # fmt: skip
    """List who looked at somebody's data, for whoever answers their request. The person sees that it was listed."""
    return _page(vault, context, subject_id, (request, response), limit, cursor)


@router.get(
    "/me/accesses/bundle",
    operation_id="downloadMyAccesses",
    response_class=Response,
    responses=documents("The whole list, with proofs and the program that checks them.", ZIP, statuses=(403,)),
    openapi_extra=headers(),
)
def download_my_accesses(context: AccessContext, vault: RunningVault, request: Request, until: Until = None) -> Response:
    """Download the list of who looked at the caller's own data, to be checked without the vault."""
    return _bundle(vault, context, context.caller.subject_id or NOBODY, request, until)


@router.get(
    "/subjects/{subject_id}/accesses/bundle",
    operation_id="downloadAccesses",
    response_class=Response,
    responses=documents("The whole list, with proofs and the program that checks them.", ZIP, statuses=(403, 409)),
    openapi_extra=headers(),
)
def download_accesses(
    subject_id: SubjectId,
    context: AccessContext,
    vault: RunningVault,
    request: Request,
    until: Until = None,
    naming: Naming = None,
) -> Response:
    """Download the list of who looked at somebody's data, to be handed to them."""
    return _bundle(vault, context, subject_id, request, until, naming)


def _page(
    vault: Vault, context: Context, subject_id: str, edge: tuple[Request, Response], limit: int, cursor: str | None
) -> AccessesOut:
    request, response = edge
    try:
        shown = show_accesses(vault, context, subject_id, limit, cursor)
    except InvalidValue:  # a cursor of another list, or made up: a query that means nothing
        raise HTTPException(400) from None
    call_of(request).entry_id = shown.entry_id
    response.headers.update({"Vault-Entry": shown.entry_id, "Cache-Control": "no-store"})
    return AccessesOut(accesses=[AccessOut(**one) for one in shown.accesses], next=shown.next, entry_id=shown.entry_id)


def _bundle(
    vault: Vault, context: Context, subject_id: str, request: Request, until: str | None, naming: str | None = None
) -> Response:
    made = hand_over_accesses(vault, context, subject_id, until, naming)
    call_of(request).entry_id = made.entry_id
    told = {
        "Vault-Entry": made.entry_id,
        "Cache-Control": "no-store",
        "Content-Disposition": 'attachment; filename="accesses.zip"',
        "X-Content-Type-Options": "nosniff",
    }
    return Response(made.package, headers=told, media_type=ZIP)
