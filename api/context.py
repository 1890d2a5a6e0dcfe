"""Who asks, why and where: from a verified token and three headers to a `Context`. For a bank two more say on what.

A route of class `Guarded` verifies its caller before it reads a body, so that a stranger's body is never parsed and no route of
such a router can forget to ask who is there. `Vault-Purpose`, `Vault-Channel` and `Vault-Ticket` say the rest; what is missing,
unknown or said twice is a 400 that names the header, never its value. Whoever works for a bank also says from which workstation and
on what kind of relationship (Garante 192/2011): without, there is no access, so no row of its register can lack them.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import replace
from functools import lru_cache
from typing import Annotated, cast

from fastapi import Depends, HTTPException, Request, Response
from fastapi.routing import APIRoute

from api.authentication import Claims, Guard
from api.call import call_of
from api.problems import Handler, Unauthenticated
from api.sender import Sent
from vault.assembly import Vault
from vault.errors import ContextIncomplete, Fault
from vault.policy.model import CHANNELS, Caller, CallerKind, Channel, Context

PURPOSE, CHANNEL, TICKET = "Vault-Purpose", "Vault-Channel", "Vault-Ticket"
STATION, RELATIONSHIP = "Vault-Station", "Vault-Relationship"
_STATED = {name.lower().encode(): place for place, name in enumerate((PURPOSE, CHANNEL, TICKET, STATION, RELATIONSHIP))}
_OF_THE_LOG = "/v1/audit/"  # reading the log is an act on no relationship
_IN_CHARGE = frozenset({"agent", "system", "dpo"})
RawHeaders = Iterable[tuple[bytes, bytes]]  # as ASGI hands them over, names in lower case
TICKET_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")
_STATION = TICKET_ID
_RELATIONSHIP = re.compile(r"[a-z][a-z0-9-]{0,63}")
_STEP_UP_S = 300
_JSON = frozenset({"application/json", "application/merge-patch+json"})
_WITH_A_BODY = frozenset({"POST", "PUT", "PATCH"})
_ALONE = frozenset({"dpo", "customer", "operator", "system"})  # a token that says more than one of these, or one and an agent's

# Identity assurance of a customer's session: SPID and CIE levels, eIDAS levels of assurance.
LEVELS = {
    "https://www.spid.gov.it/SpidL1": 1,
    "https://www.spid.gov.it/SpidL2": 2,
    "https://www.spid.gov.it/SpidL3": 3,
    "http://eidas.europa.eu/LoA/low": 1,
    "http://eidas.europa.eu/LoA/substantial": 2,
    "http://eidas.europa.eu/LoA/high": 3,
}
_RESISTANT = frozenset({"phr", "phrh"})  # OpenID Connect EAP ACR Values: phishing-resistant


def caller_of(claims: Claims, at: float) -> Caller:
    """Return the party a token names; `at` is seconds since 1970. Raises Unauthenticated for roles that exclude each other.

    A system acts for agents alone: an officer, an operator or a customer for whom one would act is refused. Whether it may is the
    register's to say, at each call.

    A token without a person behind it (`sub` is `client_id`) is a system and sees what role `system` sees, whatever roles it lists.
    """
    since = claims.authenticated_at
    return _caller(claims, since is not None and 0 <= at - since <= _STEP_UP_S)


@lru_cache(maxsize=1_024)
def _caller(claims: Claims, recent: bool) -> Caller:
    alone = claims.subject == claims.client_id
    roles = frozenset({"system"}) if alone else claims.roles
    if (_ALONE & roles and len(roles) > 1) or ("system" in roles and not alone):
        raise Unauthenticated("roles-conflict")
    kind = _kind(roles)
    if claims.actor is not None and kind != "agent":
        raise Unauthenticated("act")
    subject_id = _bound_to(claims) if kind == "subject" else None
    level = LEVELS.get(claims.acr or "", 0)
    return Caller(
        id=claims.subject,
        kind=kind,
        roles=roles,
        client_id=claims.client_id,
        team=claims.team,
        subject_id=subject_id,
        level=level if kind == "subject" else 0,
        step_up=recent and (level >= 2 or claims.acr in _RESISTANT),
        actor=claims.actor,
    )


def _kind(roles: frozenset[str]) -> CallerKind:
    kinds: dict[str, CallerKind] = {"dpo": "dpo", "customer": "subject", "operator": "operator", "system": "system"}
    return next((kinds[role] for role in roles if role in kinds), "agent")


def _bound_to(claims: Claims) -> str:
    if claims.subject_id is not None:
        return claims.subject_id
    if claims.subject.startswith("sub_"):
        return claims.subject
    raise Unauthenticated("subject_id")


def read_context(
    headers: RawHeaders, claims: Claims, caller: Caller, purposes: Collection[str], request_id: str, *, of_a_bank: bool = False
) -> Context:
    """Return the context a request states. Raises ContextIncomplete naming each header at fault."""
    stated: tuple[list[str], ...] = ([], [], [], [], [])
    for name, value in headers:
        if name in _STATED:
            stated[_STATED[name]].append(value.decode("latin-1"))
    purpose, channel, ticket, station, relationship = stated
    faults = [
        _fault(PURPOSE, purpose, known=bool(purpose) and purpose[0] in purposes),
        _fault(CHANNEL, channel, known=bool(channel) and channel[0] in CHANNELS),
    ]
    if ticket or _needs_a_ticket(caller):
        faults.append(_fault(TICKET, ticket, known=bool(ticket) and TICKET_ID.fullmatch(ticket[0]) is not None))
    for header, said, form in ((STATION, station, _STATION), (RELATIONSHIP, relationship, _RELATIONSHIP)):
        if said or (of_a_bank and caller.kind in _IN_CHARGE):
            faults.append(_fault(header, said, known=bool(said) and form.fullmatch(said[0]) is not None))
    if found := [fault for fault in faults if fault is not None]:
        raise ContextIncomplete(faults=found)
    return Context(
        controller_id=claims.controller_id,
        caller=caller,
        purpose=purpose[0],
        channel=cast(Channel, channel[0]),
        ticket_id=ticket[0] if ticket else None,
        request_id=request_id,
        station=station[0] if station else None,
        relationship=relationship[0] if relationship else None,
    )


def keeps_a_register(vault: Vault, claims: Claims, path: str) -> bool:
    """Return whether an access must say workstation and relationship: of a bank's customers, not of its log."""
    return claims.controller_id in vault.settings.banks and not path.startswith(_OF_THE_LOG)


def _needs_a_ticket(caller: Caller) -> bool:
    """Return whether a case must be named. The accepted request assigned to a request officer is theirs."""
    return caller.kind == "agent" and "dsr-officer" not in caller.roles


def _fault(name: str, values: list[str], *, known: bool) -> Fault | None:
    if len(values) == 1 and known:
        return None
    return Fault(name, "missing" if not values else "repeated" if len(values) > 1 else "unknown")


class Guarded(APIRoute):
    """A route that verifies its caller before anything else of the request is looked at."""

    def handler(self) -> Handler:
        """Return what answers once the caller is known."""
        return super().get_route_handler()

    def get_route_handler(self) -> Handler:
        """Return the handler with the guard before it."""
        handle = self.handler()

        async def guarded(request: Request) -> Response:
            guard: Guard = request.app.state.guard
            raw_path = request.scope.get("raw_path") or request.url.path.encode()
            claims = await guard.authenticate(Sent.of(request.scope["headers"], request.method, raw_path))
            call_of(request).controller_id = claims.controller_id
            request.state.claims = claims
            if request.method in _WITH_A_BODY and _media_type(request) not in _JSON:
                raise HTTPException(415)
            return await handle(request)

        return guarded


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def running_vault(request: Request) -> Vault:
    """Return the vault this application serves, under the caller's controller's policy: the same one all through a request.

    Only computes. Raises PolicyUnavailable where it is not certain what is in force. Where a receipt is wanted, what it records is
    noted.
    """
    governed = getattr(request.state, "vault", None)
    if governed is None:
        governed = request.app.state.vault.governed(request.state.claims.controller_id)
        noted = call_of(request).noted
        if noted is not None:
            governed = replace(governed, audit=governed.audit.noting(noted))
        request.state.vault = governed
    return cast(Vault, governed)


async def access_context(request: Request) -> Context:
    """Return the context of a call that touches a data subject. Only computes."""
    vault, claims = await running_vault(request), request.state.claims
    caller = caller_of(claims, vault.now().timestamp())
    of_a_bank = keeps_a_register(vault, claims, request.scope["path"])
    return read_context(
        request.scope["headers"], claims, caller, vault.policy.purposes, call_of(request).request_id, of_a_bank=of_a_bank
    )


def office_context(request: Request, vault: Vault) -> Context:
    """Return the context of a call on the log itself, which concerns nobody: an officer's monitoring (GDPR 39(1)(b))."""
    claims = request.state.claims
    caller = caller_of(claims, vault.now().timestamp())
    return Context(claims.controller_id, caller, "legal-compliance", "api", request_id=call_of(request).request_id)


AccessContext = Annotated[Context, Depends(access_context)]
RunningVault = Annotated[Vault, Depends(running_vault)]
