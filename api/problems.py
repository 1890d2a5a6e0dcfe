"""Every error as an RFC 9457 document with constant text: the table, the handlers, and the shield behind them.

Nothing that was sent and nothing that was kept is ever repeated: no input, no context, no message of a framework, of the database
or of the key service. A pointer names only members this API declares; anything else is cut off where it stops being ours.
This is the only file that catches `Exception`.
"""

import re
import traceback
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import orjson
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.call import call_of
from vault import errors
from vault.errors import Fault, VaultError

TYPE = "https://riserbo.dev/problems/"
MEDIA_TYPE = "application/problem+json"
RETRY_S = 2
_CHALLENGE = 'Bearer realm="riserbo", error="invalid_token"'
_SLUG = re.compile(r"[a-z][a-z0-9_.-]{0,63}")

Result = TypeVar("Result")
Handler = Callable[[Request], Coroutine[Any, Any, Response]]
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Kind:
    """What every problem of one leaf has in common. `detail` tells the caller what to do next."""

    status: int
    title: str
    detail: str


TABLE: Mapping[type[VaultError], Kind] = {
    errors.AccessDenied: Kind(403, "Denied", "This caller may not do this here. The refusal is on record."),
    errors.NotFound: Kind(404, "Not found", "There is nothing here that this caller may know of."),
    errors.Restricted: Kind(423, "Restricted", "Processing of these data is restricted. Ask the data protection officer."),
    errors.Erased: Kind(410, "Erased", "The data are gone and stay gone."),
    errors.Held: Kind(409, "Held", "A legal hold keeps these data."),
    errors.TooMany: Kind(429, "Too many", "The budget for this is spent. Try again after the time given."),
    errors.ContextIncomplete: Kind(400, "Context incomplete", "State who asks, why and where: see `errors`."),
    errors.InvalidValue: Kind(422, "Invalid value", "Correct the members named in `errors`."),
    errors.Conflict: Kind(409, "Conflict", "The state does not allow it. Read it again."),
    errors.Stale: Kind(412, "Stale", "It was changed since it was read. Read it again and repeat with the new ETag."),
    errors.AuditUnavailable: Kind(503, "Audit trail unavailable", "Nothing was shown, since nothing could be recorded. Try again."),
    errors.KeysUnavailable: Kind(503, "Keys unavailable", "The key service does not answer. Try again."),
    errors.DatabaseUnavailable: Kind(503, "Database unavailable", "The database does not answer. Try again."),
    errors.LedgerUnavailable: Kind(503, "Erasure ledger unavailable", "The erasure ledger cannot do its part. Try again."),
    errors.PolicyUnavailable: Kind(503, "Policy unavailable", "Which policy is in force is not certain. Try again."),
    errors.Unreadable: Kind(500, "Unreadable", "What is stored does not open here. An alarm was raised."),
}
UNAUTHENTICATED = Kind(401, "Unauthenticated", "Send a valid access token of the configured issuer.")
PRECONDITION_REQUIRED = Kind(428, "Precondition required", "Send `If-Match` with the ETag that was read.")
INTERNAL = Kind(500, "Internal error", "Something went wrong here, and was reported.")
FRAMEWORK: Mapping[int, tuple[str, Kind]] = {
    400: ("malformed", Kind(400, "Malformed", "The request cannot be understood.")),
    404: ("not-found", TABLE[errors.NotFound]),
    405: ("method-not-allowed", Kind(405, "Method not allowed", "Use a method named in `Allow`.")),
    406: ("not-acceptable", Kind(406, "Not acceptable", "Accept one of the media types this answer has.")),
    413: ("too-large", Kind(413, "Too large", "A body holds at most 1 MiB.")),
    415: ("unsupported-media-type", Kind(415, "Unsupported media type", "Send JSON, as `application/json`.")),
}


class Unauthenticated(Exception):
    """No valid token. `check` says which rule refused it, for the log; the caller is never told."""

    def __init__(self, check: str) -> None:
        self.check = check
        super().__init__(check)


class PreconditionRequired(Exception):
    """A change without `If-Match`."""


def or_refuse(step: Callable[[], Result]) -> Result:
    """Return what `step` does; whatever it fails with, the token is refused, never the server at fault."""
    try:
        return step()
    except Unauthenticated:
        raise
    except Exception:  # noqa: BLE001 -- a fault in judging a token is the token's
        raise Unauthenticated("unexpected") from None


def problem(
    request: Request | Scope,
    kind: Kind,
    code: str,
    *,
    faults: Iterable[Fault] = (),
    ids: Mapping[str, str | None] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return the document. `instance` is the request id; `errors` hold pointer and code."""
    call = call_of(request)
    call.problem = code
    document: dict[str, Any] = {
        "type": TYPE + code,
        "title": kind.title,
        "status": kind.status,
        "detail": kind.detail,
        "instance": call.request_id,
        **{name: value for name, value in (ids or {}).items() if value is not None},
    }
    if found := [{"pointer": fault.pointer, "code": fault.code} for fault in faults]:
        document["errors"] = found
    return Response(orjson.dumps(document), kind.status, {"Cache-Control": "no-store", **(headers or {})}, media_type=MEDIA_TYPE)


async def _of_vault(request: Request, error: Exception) -> Response:
    assert isinstance(error, VaultError)  # noqa: S101 -- registered for this type
    kind = next(TABLE[leaf] for leaf in type(error).__mro__ if leaf in TABLE)
    ids = {"decision_id": error.decision_id, "entry_id": error.entry_id}
    call = call_of(request)
    call.decision_id, call.entry_id = error.decision_id, error.entry_id
    if kind.status == 503 and error.retry_after_s is None:
        headers = {"Retry-After": str(RETRY_S)}
    else:
        headers = {} if error.retry_after_s is None else {"Retry-After": str(error.retry_after_s)}
    if error.decision_id is not None:
        headers["Vault-Decision"] = error.decision_id
    if error.entry_id is not None:
        headers["Vault-Entry"] = error.entry_id
    if kind.status >= 500:
        log.error("unavailable", code=error.code, request_id=call.request_id, entry_id=error.entry_id)
    known: frozenset[str] = request.app.state.declared_members()
    faults = [Fault(_own_pointer(fault.pointer, known), fault.code) for fault in error.faults]
    return problem(request, kind, error.code, faults=faults, ids=ids, headers=headers)


async def _unauthenticated(request: Request, error: Exception) -> Response:
    call_of(request).refusal = getattr(error, "check", None)
    return problem(request, UNAUTHENTICATED, "unauthenticated", headers={"WWW-Authenticate": _CHALLENGE})


async def _precondition(request: Request, _: Exception) -> Response:
    return problem(request, PRECONDITION_REQUIRED, "precondition-required", faults=[Fault("If-Match", "missing")])


async def _of_framework(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    sent = (error.headers if isinstance(error, HTTPException) else None) or {}
    code, kind = FRAMEWORK.get(status, ("internal", INTERNAL) if status >= 500 else FRAMEWORK[400])
    headers = {name: value for name, value in sent.items() if name.lower() == "allow"}
    if status == 413:
        headers["Connection"] = "close"
    return problem(request, kind, code, headers=headers)


async def _invalid(request: Request, error: Exception) -> Response:
    """Turn pydantic's findings into pointer and code; a bad path is a thing that does not exist."""
    found = error.errors() if isinstance(error, RequestValidationError) else []
    places = {str(one["loc"][0]) for one in found}
    if "path" in places:
        return problem(request, TABLE[errors.NotFound], "not-found")
    if any(one["type"] == "json_invalid" for one in found):
        return problem(request, FRAMEWORK[400][1], "malformed")
    declared = request.app.state.declared_members()
    faults = [Fault(_pointer(one["loc"], declared), _code(one["type"])) for one in found]
    if places == {"body"}:
        return problem(request, TABLE[errors.InvalidValue], "invalid-value", faults=faults)
    return problem(request, FRAMEWORK[400][1], "malformed", faults=faults)


def _pointer(location: tuple[Any, ...], declared: frozenset[str]) -> str:
    """Return an RFC 6901 pointer of declared names and indexes: it ends at the first other, which could be somebody's name."""
    place, *members = location
    known = []
    for member in members:
        if not isinstance(member, int) and member not in declared:
            break
        known.append(str(member))
    return "".join(f"/{member}" for member in known) if place == "body" else "".join(known[:1])


def _own_pointer(pointer: str, declared: frozenset[str]) -> str:
    """Return a verb's pointer, cut where it names a field that the catalogue does not."""
    start, fields, rest = pointer.partition("/fields/")
    return pointer if not fields or rest.partition("/")[0] in declared else f"{start}/fields"


def _code(kind: str) -> str:
    return kind.replace("_", "-") if _SLUG.fullmatch(kind) else "invalid"


_HANDLERS: Mapping[type[Exception], Callable[[Request, Exception], Coroutine[Any, Any, Response]]] = {
    VaultError: _of_vault,
    Unauthenticated: _unauthenticated,
    PreconditionRequired: _precondition,
    RequestValidationError: _invalid,
    HTTPException: _of_framework,
}


def install(app: FastAPI) -> None:
    """Let every error of this application leave as a problem."""
    for kind, handler in _HANDLERS.items():
        app.add_exception_handler(kind, handler)


async def answered(request: Request, handle: Handler) -> Response:
    """Return what `handle` answers, or the problem of its error, where the framework is not there to see to it."""
    try:
        return await handle(request)
    except tuple(_HANDLERS) as error:
        handler = next(_HANDLERS[kind] for kind in type(error).__mro__ if kind in _HANDLERS)
        return await handler(request, error)


class Shield:
    """What no handler knows becomes a 500 here, so that no server prints a traceback whose text may hold a value."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI)."""
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception as error:
            if scope["type"] != "http":
                raise
            log.error(  # never with the traceback: it may hold the value
                "unexpected", kind=type(error).__name__, where=_where(error), request_id=call_of(scope).request_id
            )
            if not started:  # else the server closes the connection: half an answer is never completed
                await problem(scope, INTERNAL, "internal")(scope, receive, send)


def _where(error: BaseException) -> str:
    """Return the last frame's file and line: never the text of the error."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno}" if frames else "-"
