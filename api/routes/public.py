"""What everyone may ask: whether the process lives, whether it is ready, and how to talk to it. No host, version or error text."""

from collections.abc import Callable
from typing import cast

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from api.described import API_VERSION

router = APIRouter(tags=["public"])


class LiveOut(BaseModel):
    """The process answers."""

    live: bool


class CheckOut(BaseModel):
    """One line of readiness."""

    name: str
    ok: bool


class ReadyOut(BaseModel):
    """Whether every part the vault cannot work without does its part."""

    ready: bool
    checks: list[CheckOut]


class DiscoveryOut(BaseModel):
    """How to talk to this vault."""

    api: str
    issuer: str
    audience: str
    algorithms: list[str]


Health = Callable[[], list[CheckOut]]


@router.get("/livez", operation_id="live")
async def live() -> LiveOut:
    """Say that the process answers."""
    return LiveOut(live=True)


@router.get("/readyz", operation_id="ready", responses={503: {"model": ReadyOut, "description": "Something fails."}})
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
    rules = request.app.state.rules
    return DiscoveryOut(api=API_VERSION, issuer=rules.issuer, audience=rules.audience, algorithms=sorted(rules.algorithms))
