"""Recipients: who receives data and on what terms. The officers'."""

from typing import Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from api.call import call_of
from api.context import AccessContext, Guarded, RunningVault
from api.described import answers, headers
from vault.operations.show_recipients import show_recipients

router = APIRouter(prefix="/v1", tags=["recipients"], route_class=Guarded)


class RecipientOut(BaseModel):
    """One line of the register: as which party agreements name it, its processing agreement, how it is told of erasures."""

    recipient_id: str
    name: str
    party: str
    role: Literal["processor", "joint-controller", "controller", "authority"]
    country: str
    transfer_tool: str
    contract: str | None
    contract_from: str | None
    contract_until: str | None
    contract_valid: bool
    instructions: str | None
    subprocessors: list[str]
    channel: Literal["webhook", "opendsr", "manual"]
    days: int
    disabled_at: str | None
    registered_at: str
    ended_at: str | None


class RecipientsOut(BaseModel):
    """The register, by name."""

    recipients: list[RecipientOut]
    entry_id: str


@router.get(
    "/recipients", operation_id="listRecipients", responses=answers(RecipientsOut, "The register.", 403), openapi_extra=headers()
)
def list_recipients(context: AccessContext, vault: RunningVault, request: Request, response: Response) -> RecipientsOut:
    """List the register of recipients, also those that ended."""
    found, entry_id = show_recipients(vault, context)
    call_of(request).entry_id = response.headers["Vault-Entry"] = entry_id
    response.headers["Cache-Control"] = "no-store"
    return RecipientsOut.model_validate({"recipients": found, "entry_id": entry_id})
