"""`Prefer: audit-receipt` (RFC 7240): an answer that names its entry brings a signed promise that the entry will be in the log.

Given at the edge, so that every route gives them, refusals and the route past the framework included. Who does not ask pays a look
at one more header.
"""

from collections.abc import Callable, Iterable

from anyio import to_thread
from starlette.types import Message

from api.call import Call

PREFER, WISH = b"prefer", b"audit-receipt"
HEADER = b"audit-receipt"
Promise = Callable[[str, bytes], str | None]  # controller, leaf hash


def wanted(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Return whether a request prefers a receipt: in any of its `Prefer` headers, beside whatever else it prefers."""
    return any(
        one.partition(b";")[0].strip().lower() == WISH for name, value in headers if name == PREFER for one in value.split(b",")
    )


async def add_receipt(message: Message, call: Call, promise: Promise) -> None:
    """Put the receipt of the entry an answer names into its headers. Signing may wait, so it is not done in the event loop."""
    hashed = (call.noted or {}).get(call.entry_id or "")
    if hashed is None or call.controller_id is None:
        return
    receipt = await to_thread.run_sync(promise, call.controller_id, hashed)
    if receipt is not None:
        message["headers"].append((HEADER, receipt.encode()))
