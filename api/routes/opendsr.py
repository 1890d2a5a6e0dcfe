"""What recipients say by OpenDSR of what they were asked. They have no token: a callback is believed by its signature alone.

Not one byte of it is parsed before that holds, and whoever's does not hears the same, whatever the task.
"""

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Path, Request, Response

from api.routes.trail import ControllerId
from vault.assembly import Vault
from vault.operations.take_callback import take_callback

router = APIRouter(prefix="/opendsr", tags=["recipients"])

TaskId = Annotated[str, Path(pattern="^tsk_[a-z2-7]{26}$", description="tsk_ and 26 characters")]
Domain = Annotated[str | None, Header(alias="X-OpenDSR-Processor-Domain", description="whose certificate signed it")]
Signature = Annotated[str | None, Header(alias="X-OpenDSR-Signature", description="base64, RSA and SHA-256 over the body's bytes")]


async def octets(request: Request) -> bytes:
    """Return the body as it came."""
    return await request.body()


@router.post(
    "/{controller_id}/{task_id}",
    operation_id="takeCallback",
    status_code=202,
    response_class=Response,
    responses={
        202: {"description": "Noted.", "content": {"application/json": {"schema": {"type": "object"}}}},
        403: {"description": "The signature does not hold, or there is no such task."},
        409: {"description": "The task has ended otherwise."},
        422: {"description": "Signed, and about something else."},
    },
)
def take(
    controller_id: ControllerId,
    task_id: TaskId,
    request: Request,
    body: Annotated[bytes, Depends(octets)],
    domain: Domain = None,
    signature: Signature = None,
) -> Response:
    """Take a status callback (OpenDSR 2.0, 8.6)."""
    vault: Vault = request.app.state.vault
    take_callback(vault, controller_id, task_id, domain, signature, body)
    return Response(b"{}", 202, media_type="application/json")
