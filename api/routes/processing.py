"""The records of processing activities (GDPR 30). The officers'."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from api.call import call_of
from api.context import AccessContext, Guarded, RunningVault
from api.described import documents, headers
from api.routes.agreements import LD_JSON, NOTE, acceptable
from vault.operations.show_processing import Form, show_processing

router = APIRouter(prefix="/v1", tags=["recipients"], route_class=Guarded)

CSV = "text/csv"
_MEDIA: dict[Form, str] = {"jsonld": LD_JSON, "note": NOTE, "csv": CSV}


@router.get(
    "/records-of-processing",
    operation_id="readProcessing",
    response_class=Response,
    responses=documents("The register: JSON-LD, the same as a signed note, or a table.", LD_JSON, NOTE, CSV, statuses=(403, 406)),
    openapi_extra=headers(),
)
def read_processing(
    request: Request,
    context: AccessContext,
    vault: RunningVault,
    form: Annotated[
        Form | None, Query(alias="format", description="DPV 2.3, the same signed, or CSV; without: as `Accept` says")
    ] = None,
) -> Response:
    """Read the records of processing, made anew from what is in force. The reading is on record before anything is shown."""
    wanted = form or _accepted(request)
    shown = show_processing(vault, context, wanted)
    call_of(request).entry_id = shown.entry_id
    return Response(shown.octets, headers={"Vault-Entry": shown.entry_id, "Cache-Control": "no-store"}, media_type=_MEDIA[wanted])


def _accepted(request: Request) -> Form:
    media_type = acceptable(",".join(request.headers.getlist("accept")) or "*/*", tuple(_MEDIA.values()))
    return next(form for form, offered in _MEDIA.items() if offered == media_type)
