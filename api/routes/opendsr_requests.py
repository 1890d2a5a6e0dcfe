"""Requests that others send by OpenDSR 2.0. They have no token: a sender is believed by its signature alone.

Not one byte of a body is parsed before that holds. Where there is none, what is asked is signed, where and when. Every answer
leaves at the stroke of a clock: to put a request down takes longer than to put down that it is nobody's.
"""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Header, Path, Request, Response

from api.call import call_of
from api.routes.opendsr import Signature
from api.routes.trail import ControllerId
from vault.assembly import Vault
from vault.errors import AccessDenied
from vault.operations.take_dsr_request import LONGEST_BODY, SUPPORTED, cancel_dsr_request, show_dsr_request, take_dsr_request

router = APIRouter(prefix="/opendsr", tags=["recipients"])

AskedId = Annotated[str, Path(pattern="^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", description="subject_request_id")]
Domain = Annotated[str | None, Header(alias="X-OpenDSR-Processor-Domain", description="of the sender's registered endpoint")]
SignedAt = Annotated[str | None, Header(alias="X-OpenDSR-Timestamp", description="seconds since 1970 that were signed")]
_OWN: Final = {"Cache-Control": "no-store"}


def _answers(status: int, what: str, **others: str) -> dict[int | str, dict[str, Any]]:
    found: dict[int | str, dict[str, Any]] = {int(code[1:]): {"description": text} for code, text in others.items()}
    found[status] = {"description": what, "content": {"application/json": {"schema": {"type": "object"}}}}
    found[403] = {"description": "The signature does not hold: whoever signed, whatever was asked."}
    return found


def unhurried(request: Request) -> None:
    """Have the answer leave at the stroke of a clock, whatever it is."""
    call_of(request).unhurried = True


async def bounded(request: Request) -> bytes:
    """Return the body as it came. Raises AccessDenied, as for a signature that does not hold, where it is too long to read."""
    read = bytearray()
    async for part in request.stream():
        read += part
        if len(read) > LONGEST_BODY:
            raise AccessDenied("signature")
    return bytes(read)


@router.get(
    "/{controller_id}/discovery",
    operation_id="discoverOpenDsr",
    response_class=Response,
    responses={200: {"description": "What is supported.", "content": {"application/json": {"schema": {"type": "object"}}}}},
)
def discover_requests(controller_id: ControllerId) -> Response:
    """Say what may be asked (OpenDSR 2.0, 6): the same for every company, and of one there is not."""
    del controller_id
    return Response(SUPPORTED, media_type="application/json")


@router.post(
    "/{controller_id}/requests",
    operation_id="takeDsrRequest",
    dependencies=[Depends(unhurried)],
    status_code=201,
    response_class=Response,
    responses=_answers(
        201, "Put down.", _409="That id stands for another request.", _422="Signed, and no request.", _429="Enough."
    ),
)
def take_request(
    controller_id: ControllerId,
    request: Request,
    body: Annotated[bytes, Depends(bounded)],
    domain: Domain = None,
    signature: Signature = None,
) -> Response:
    """Put down what a registered sender asks for somebody (OpenDSR 2.0, 7)."""
    vault: Vault = request.app.state.vault
    return Response(take_dsr_request(vault, controller_id, domain, signature, body), 201, _OWN, "application/json")


@router.get(
    "/{controller_id}/requests/{asked_id}",
    operation_id="readDsrRequest",
    dependencies=[Depends(unhurried)],
    response_class=Response,
    responses=_answers(200, "Where it stands.", _404="This sender asked nothing under that id."),
)
def read_request(
    controller_id: ControllerId,
    asked_id: AskedId,
    request: Request,
    domain: Domain = None,
    signature: Signature = None,
    at: SignedAt = None,
) -> Response:
    """Tell its sender where a request stands (OpenDSR 2.0, 8.3)."""
    vault: Vault = request.app.state.vault
    return Response(show_dsr_request(vault, controller_id, asked_id, domain, signature, at), 200, _OWN, "application/json")


@router.delete(
    "/{controller_id}/requests/{asked_id}",
    operation_id="cancelDsrRequest",
    dependencies=[Depends(unhurried)],
    status_code=202,
    response_class=Response,
    responses=_answers(202, "Taken back.", _404="This sender asked nothing under that id.", _409="It is pending no more."),
)
def cancel_request(
    controller_id: ControllerId,
    asked_id: AskedId,
    request: Request,
    domain: Domain = None,
    signature: Signature = None,
    at: SignedAt = None,
) -> Response:
    """Take a request back for its sender, while it is pending."""
    vault: Vault = request.app.state.vault
    return Response(cancel_dsr_request(vault, controller_id, asked_id, domain, signature, at), 202, _OWN, "application/json")
