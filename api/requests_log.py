"""The edge of every request: its id, the limit on its body, the headers of its answer, and one line in the log.

Plain ASGI, since the framework's middleware class costs more than a bare request. The line holds the route's template, never the
path: ids and codes only. uvicorn's own access log stays off, for it prints query strings.
"""

import re
from collections.abc import Callable, Iterable, Mapping

import structlog
from anyio import sleep
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.call import Call, begin_call
from api.problems import FRAMEWORK, problem
from api.receipts import PREFER, Promise, add_receipt, wanted

MAX_BODY = 1_048_576
NOT_FOUND = 404
SLOT_S = 0.025  # several times what a refusal takes; nobody waits for one
SLOTS_UNHURRIED = 10  # for what writes as well, and is asked by machines, seldom
# Closed forms, so that nobody's name fits: our own ids, a UUID (RFC 9562), a W3C trace context.
_OURS = re.compile(rb"[a-z]{2,8}_[a-z2-7]{26}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TRACE = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_READ = frozenset({b"content-length", b"vault-request-id", b"traceparent", PREFER})
_EVERY_ANSWER = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"strict-transport-security", b"max-age=63072000; includeSubDomains"),
    (b"cache-control", b"no-store"),
)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

log = structlog.get_logger()


class Edge:
    """The outermost part of the application. `new_id` makes request ids, `monotonic` seconds times them, `promise` signs receipts.

    A 404 leaves at the next full `slot_s` since its request was there whole, whatever it took: to read and record a refusal takes
    a tenth of a millisecond longer when there is somebody to read of, which would tell who is here. No thread waits meanwhile.
    So does every answer of a call that is `unhurried`, at every `SLOTS_UNHURRIED`th.
    """

    def __init__(
        self,
        app: ASGIApp,
        new_id: Callable[[str], str],
        monotonic: Callable[[], float],
        promise: Promise,
        slot_s: float = SLOT_S,
    ) -> None:
        self._app, self._promise, self._slot_s = app, promise, slot_s
        self._new_id = new_id
        self._monotonic = monotonic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        came, status = self._monotonic(), 0
        whole = came  # whoever sends slowly does not choose when the work begins
        sent = _sent(scope["headers"])
        call, trace = self._call(sent)
        if PREFER in sent and wanted(scope["headers"]):
            call.noted = {}
        begin_call(scope, call)

        async def answered(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if call.noted:
                    await add_receipt(message, call, self._promise)
                if status == NOT_FOUND or call.unhurried:
                    slot_s = self._slot_s * (SLOTS_UNHURRIED if call.unhurried else 1)
                    await sleep(slot_s - (self._monotonic() - whole) % slot_s)
                _dress(message, call, trace)
            await send(message)

        async def received() -> Message:
            nonlocal whole
            message = await receive()
            if message["type"] == "http.request" and not message.get("more_body", False):
                whole = self._monotonic()
            return message

        try:
            await self._serve(scope, sent.get(b"content-length", b"0"), received, answered)
        finally:
            _write(scope, call, status, (self._monotonic() - came) * 1_000)

    async def _serve(self, scope: Scope, length: bytes, receive: Receive, send: Send) -> None:
        if not length.isdigit() or len(length) > 7 or int(length) > MAX_BODY:
            code, kind = FRAMEWORK[413]
            await problem(scope, kind, code, headers={"Connection": "close"})(scope, receive, send)
            return
        read = 0

        async def limited() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > MAX_BODY:  # said nothing of its length, or too little
                raise HTTPException(413)
            return message

        await self._app(scope, limited, send)

    def _call(self, sent: Mapping[bytes, bytes]) -> tuple[Call, bytes | None]:
        """Return the call with its ids: the caller's own when they have the form, and the trace context to echo."""
        own, trace = sent.get(b"vault-request-id", b""), sent.get(b"traceparent", b"")
        found = _TRACE.fullmatch(trace)
        request_id = own.decode() if _OURS.fullmatch(own) else self._new_id("call")
        return Call(request_id, found[1].decode() if found else None), trace if found else None


def _sent(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    return {name: value for name, value in headers if name in _READ}


def _dress(message: Message, call: Call, trace: bytes | None) -> None:
    headers: list[tuple[bytes, bytes]] = message["headers"]
    there = {name for name, _ in headers}
    headers.extend(pair for pair in _EVERY_ANSWER if pair[0] not in there)
    headers.append((b"vault-request-id", call.request_id.encode()))
    if trace is not None:
        headers.append((b"traceparent", trace))


def _write(scope: Scope, call: Call, status: int, milliseconds: float) -> None:
    log.info(
        "request",
        method=scope["method"] if scope["method"] in _METHODS else "other",
        route=getattr(scope.get("route"), "path", "-"),
        status=status,
        ms=round(milliseconds, 2),
        request_id=call.request_id,
        trace_id=call.trace_id,
        controller=call.controller_id,
        entry_id=call.entry_id,
        decision_id=call.decision_id,
        problem=call.problem,
        refusal=call.refusal,
    )
