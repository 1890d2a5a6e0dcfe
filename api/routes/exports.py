"""What a person takes away: asked for, watched while it is made, fetched once with the passphrase shown in the first answer."""

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field, StringConstraints

from api.call import call_of
from api.context import AccessContext, Guarded, RunningVault
from api.described import answers, documents, headers
from api.shapes import Body, PersonalBody, SubjectId
from vault.assembly import Vault
from vault.operations.download_export import download_export
from vault.operations.export_subject import export_subject, show_export
from vault.policy.model import Context

ZIP = "application/zip"
NOBODY = "-"  # whose own data a token speaks of that is no customer's
router = APIRouter(prefix="/v1", tags=["exports"], route_class=Guarded)

ExportId = Annotated[str, Path(pattern="^exp_[a-z2-7]{26}$", description="exp_ and 26 characters")]


class OrderIn(Body):
    """Everything (Art. 15) or the portable subset (Art. 20), and in which language the page begins."""

    set: Literal["access", "portability"] = "access"
    language: Literal["it", "en"] = "it"


class StartedOut(BaseModel):
    """What to ask for, and the passphrase: it is in this answer alone, and nobody can tell it again."""

    model_config = {"json_schema_extra": {"x-has-pii": True}}

    export_id: str
    passphrase: str = Field(description="20 characters; lost means: ask for another export")
    entry_id: str


class ExportOut(BaseModel):
    """How far it is. `done` of `total` fields, entries and proofs; `starts_left`: downloads that may still be begun."""

    export_id: str
    set: Literal["access", "portability"]
    state: Literal["building", "ready", "taken", "spent", "expired", "replaced", "failed", "erased"]
    done: int
    total: int
    starts_left: int
    expires_at: str


class PassphraseIn(PersonalBody):
    """The passphrase, as it was shown; blanks, hyphens and capitals mean nothing."""

    passphrase: Annotated[str, StringConstraints(min_length=20, max_length=64)]


@router.post(
    "/me/exports",
    status_code=202,
    operation_id="startMyExport",
    responses=answers(StartedOut, "It is being made.", 403, 429, status=202, body=True),
    openapi_extra=headers(),
)
def start_my_export(body: OrderIn, context: AccessContext, vault: RunningVault, request: Request, response: Response) -> StartedOut:
    """Have the caller's own data packed. Sent twice, it is done twice, and the second replaces the first: no answer is kept."""
    return _started(vault, context, context.caller.subject_id or NOBODY, body, (request, response))


@router.post(
    "/subjects/{subject_id}/exports",
    status_code=202,
    operation_id="startExport",
    responses=answers(StartedOut, "It is being made.", 403, 429, status=202, body=True),
    openapi_extra=headers(),
)
def start_export(
    subject_id: SubjectId, body: OrderIn, context: AccessContext, vault: RunningVault, request: Request, response: Response
) -> StartedOut:
    """Have somebody's data packed on their accepted request. Only they fetch it; the passphrase goes to them by another way."""
    return _started(vault, context, subject_id, body, (request, response))


@router.get(
    "/exports/{export_id}",
    operation_id="readExport",
    responses=answers(ExportOut, "How far it is.", 403),
    openapi_extra=headers(),
)
def read_export(export_id: ExportId, context: AccessContext, vault: RunningVault, response: Response) -> ExportOut:
    """Show how far an export is. Not on record, unless refused: it tells nothing of the person."""
    shown = show_export(vault, context, export_id)
    response.headers["Cache-Control"] = "no-store"
    one = shown.export
    return ExportOut.model_validate(
        {
            "export_id": one.export_id, "set": one.set, "state": one.state, "done": one.done, "total": one.total,
            "starts_left": shown.starts_left, "expires_at": one.expires_at.isoformat(timespec="seconds"),
        }
    )  # fmt: skip


@router.post(
    "/exports/{export_id}:download",
    operation_id="downloadExport",
    response_class=StreamingResponse,
    responses=documents("The package, opened on its way.", ZIP, statuses=(403, 409, 410, 413, 415, 422, 429)),
    openapi_extra=headers(),
)
def fetch_export(
    export_id: ExportId, body: PassphraseIn, context: AccessContext, vault: RunningVault, request: Request
) -> StreamingResponse:
    """Fetch a package: by the person, who proved themselves within five minutes. Once it was complete it is gone.

    An answer that breaks off, or is shorter than `Content-Length`, is not the whole package.
    """
    made = download_export(vault, context, export_id, body.passphrase)
    call_of(request).entry_id = made.entry_id
    sent = {
        "Vault-Entry": made.entry_id,
        "Cache-Control": "no-store",
        "Content-Length": str(made.size),
        "Content-Disposition": 'attachment; filename="export.zip"',
        "X-Content-Type-Options": "nosniff",
    }
    return StreamingResponse(made.pieces, headers=sent, media_type=ZIP)


def _started(vault: Vault, context: Context, subject_id: str, body: OrderIn, edge: tuple[Request, Response]) -> StartedOut:
    request, response = edge
    made = export_subject(vault, context, subject_id, body.set, body.language)
    call_of(request).entry_id = response.headers["Vault-Entry"] = made.entry_id
    response.headers["Cache-Control"] = "no-store"
    return StartedOut(export_id=made.export_id, passphrase=made.passphrase, entry_id=made.entry_id)
