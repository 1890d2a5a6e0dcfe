"""The trail, for whoever checks it: checkpoints, tiles and proofs in the forms of C2SP, so that any log checker can audit this one.

What a log checker reads concerns nobody in particular, so no context is asked for it; a proof of one entry is of one access, and
whoever asks for it says why. What of it is on record, and why, stands in `vault/operations/show_log.py`.
"""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import PlainTextResponse

from api.call import call_of
from api.context import AccessContext, Guarded, RunningVault, office_context
from api.described import documents, headers
from api.shapes import EntryId
from vault.assembly import Vault
from vault.errors import ContextIncomplete, Fault
from vault.operations.disclosure import decision_of
from vault.operations.prove import prove
from vault.operations.show_log import Part, show_checkpoint, show_consistency, show_public_checkpoint, show_tile

TEXT, OCTETS = "text/plain", "application/octet-stream"
FOREVER = "private, max-age=31536000, immutable"  # not for caches that others share: it is the officer's to read
router = APIRouter(prefix="/v1/audit", tags=["trail"], route_class=Guarded)
served = APIRouter(prefix="/audit", tags=["trail"], route_class=Guarded)
public = APIRouter(prefix="/audit", tags=["trail"])

ControllerId = Annotated[str, Path(pattern="^[a-z0-9][a-z0-9_-]{0,62}$", description="the controller, as in the log's origin")]
Era = Annotated[str, Path(pattern="^[1-9][0-9]{0,5}$", description="the era, as in the log's origin")]
Level = Annotated[str, Path(pattern="^(entries|[0-9]{1,2})$", description="0 to 63; `entries`: the entries themselves")]
Index = Annotated[
    str,
    Path(
        pattern=r"^[x0-9/.p]{3,40}$", description="three digits, groups before them as in `x001/x234/067`; `.p/<width>` for a part"
    ),
]
OldSize = Annotated[int, Query(alias="from", ge=0, lt=1 << 63, description="how many entries")]
NewSize = Annotated[int | None, Query(alias="to", ge=0, lt=1 << 63, description="how many; without: as last signed")]


@public.get(
    "/{controller_id}/{era}/checkpoint",
    operation_id="readLogCheckpoint",
    response_class=Response,
    responses={status: one for status, one in documents("The newest checkpoint: a signed note.", TEXT).items() if status != 401},
)
def read_log_checkpoint(controller_id: ControllerId, era: Era, request: Request) -> Response:
    """Read the newest checkpoint of a log: for everybody, unless the settings say otherwise."""
    vault: Vault = request.app.state.vault
    return PlainTextResponse(show_public_checkpoint(vault, controller_id, int(era)))


@served.get(
    "/{controller_id}/{era}/tile/{level}/{index:path}",
    operation_id="readLogTile",
    response_class=Response,
    responses=documents(
        "Hashes of the tree, 32 bytes each; or entries, each after its length in two bytes.", OCTETS, statuses=(403,)
    ),
)
def read_log_tile(
    controller_id: ControllerId, era: Era, level: Level, index: Index, vault: RunningVault, request: Request
) -> Response:
    """Read a tile, or a bundle of entries, of one era of the caller's own log."""
    return _part(request, show_tile(vault, office_context(request, vault), level, index, (controller_id, int(era))))


@router.get(
    "/checkpoint",
    operation_id="readCheckpoint",
    response_class=Response,
    responses=documents("The newest checkpoint: a signed note.", TEXT, statuses=(403,)),
)
def read_checkpoint(vault: RunningVault, request: Request) -> Response:
    """Read the newest checkpoint of the caller's log."""
    return PlainTextResponse(show_checkpoint(vault, office_context(request, vault)))


@router.get(
    "/tile/{level}/{index:path}",
    operation_id="readTile",
    response_class=Response,
    responses=documents(
        "Hashes of the tree, 32 bytes each; or entries, each after its length in two bytes.", OCTETS, statuses=(403,)
    ),
)
def read_tile(level: Level, index: Index, vault: RunningVault, request: Request) -> Response:
    """Read a tile, or a bundle of entries, of the caller's log as it is written now."""
    return _part(request, show_tile(vault, office_context(request, vault), level, index))


@router.get(
    "/consistency",
    operation_id="proveConsistency",
    response_class=Response,
    responses=documents(
        "The hashes in base64, one a line; nothing where the smaller tree is empty or the same.", TEXT, statuses=(403,)
    ),
)
def prove_consistency(vault: RunningVault, request: Request, old: OldSize, new: NewSize = None) -> Response:
    """Prove that a log of `from` entries is the beginning of that of `to` (RFC 9162, section 2.1.4)."""
    if new is not None and old > new:
        raise ContextIncomplete("malformed", faults=[Fault("from", "larger-than-to")])
    return PlainTextResponse(show_consistency(vault, office_context(request, vault), old, new))


@router.get(
    "/proofs/{entry_id}",
    operation_id="proveEntry",
    response_class=Response,
    responses=documents("A `.tlog-proof` (C2SP).", TEXT, statuses=(409,)),
    openapi_extra=headers(),
)
def prove_entry(entry_id: EntryId, context: AccessContext, vault: RunningVault, request: Request) -> Response:
    """Prove that an entry is in the log: any to the officer, to people those that concern them. Itself on record."""
    proved = prove(vault, context, entry_id)
    call = call_of(request)
    call.entry_id, call.decision_id = proved.entry_id, decision_of(proved.entry_id)
    return PlainTextResponse(proved.proof, headers={"Vault-Entry": proved.entry_id, "Vault-Decision": call.decision_id})


def _part(request: Request, part: Part) -> Response:
    sent = {"Cache-Control": FOREVER} if part.full else {}
    if part.entry_id is not None:
        call_of(request).entry_id = sent["Vault-Entry"] = part.entry_id
    return Response(part.octets, headers=sent, media_type=OCTETS)
