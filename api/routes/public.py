"""What everyone may ask: whether the process lives, whether it is ready, and how to talk to it. No version or error text."""

from base64 import b64encode
from collections.abc import Callable
from typing import cast

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from api.described import API_VERSION
from vault.assembly import Vault

router = APIRouter(tags=["public"])


class LiveOut(BaseModel):
    """The process answers."""

    live: bool


class CheckOut(BaseModel):
    """One line of readiness.

    `warnings` are the limits of the trail of which half is passed: it will close unless somebody acts. `age_s`: for how many
    seconds nobody outside has signed a checkpoint; `do`: the command that helps.
    """

    name: str
    ok: bool
    warnings: list[str] = []
    age_s: int | None = None
    do: str | None = None


class ReadyOut(BaseModel):
    """Whether every part the vault cannot work without does its part."""

    ready: bool
    checks: list[CheckOut]


class SignsOut(BaseModel):
    """Who signs: the key's name with the controller left open, and the Ed25519 public key, 32 bytes in base64."""

    name: str
    public_key: str


class DiscoveryOut(BaseModel):
    """How to talk to this vault, and what to check its signatures by.

    `audit`: checkpoints of a log, whose origin is the name; `receipts`: those of its entries, which name the same origin.
    `documents`: receipts of agreements and all else the vault signs for people to keep.
    """

    api: str
    issuer: str
    audience: str
    algorithms: list[str]
    audit: SignsOut
    receipts: SignsOut
    documents: SignsOut


Health = Callable[[], list[CheckOut]]


@router.get("/livez", operation_id="live")
async def live() -> LiveOut:
    """Say that the process answers."""
    return LiveOut(live=True)


@router.get(
    "/readyz",
    operation_id="ready",
    response_model_exclude_none=True,
    responses={503: {"model": ReadyOut, "description": "Something fails."}},
)
def ready(request: Request, response: Response) -> ReadyOut:
    """Say whether the vault can serve: 503 when a line fails."""
    checks = cast(Health, request.app.state.health)()
    fine = all(check.ok for check in checks)
    if not fine:
        response.status_code = 503
        response.headers["Retry-After"] = "5"
    return ReadyOut(ready=fine, checks=checks)


@router.get("/.well-known/riserbo", operation_id="discover")
async def discover(request: Request) -> DiscoveryOut:
    """Say how to talk to this vault."""
    rules, vault = request.app.state.rules, cast(Vault, request.app.state.vault)
    host, signing = vault.settings.host, vault.signing
    log = f"{host}/audit/{{controller}}/{{era}}"  # of one controller and era
    return DiscoveryOut(
        api=API_VERSION,
        issuer=rules.issuer,
        audience=rules.audience,
        algorithms=sorted(rules.algorithms),
        # which controllers there are is nobody else's business, so their place is left open
        audit=SignsOut(name=log, public_key=b64encode(signing.checkpoint_key).decode()),
        receipts=SignsOut(name=log, public_key=b64encode(signing.receipt_key).decode()),
        documents=SignsOut(name=f"{host}/documents/{{controller}}", public_key=b64encode(signing.document_key).decode()),
    )
