"""`Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): a repeated request is answered, not carried out again."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import orjson
from fastapi import Depends, Request, Response

from api.call import call_of
from vault.assembly import Vault
from vault.errors import ContextIncomplete, Fault
from vault.operations.remember import HEADER, Answered, Asked, remember
from vault.policy.model import Context

REPLAYED = "Idempotency-Replayed"
_KEY = re.compile(r"[\x21-\x7e]{1,255}")


@dataclass(frozen=True, slots=True)
class Once:
    """A request that changes something, with the name its sender gave it, if any."""

    asked: Asked | None
    request: Request

    def answer(self, vault: Vault, context: Context, act: Callable[[], Answered]) -> Response:
        """Return the answer of `act`, now or from the first time. It may hold ids only, for it is stored."""
        done = act() if self.asked is None else remember(vault, context, self.asked, act)
        headers = {"Cache-Control": "no-store"}
        if done.replayed:
            headers[REPLAYED] = "true"
        if "version" in done.answer:
            headers["ETag"] = f'"{done.answer["version"]}"'
        call = call_of(self.request)
        if (entry_id := done.answer.get("entry_id")) is not None:
            call.entry_id = headers["Vault-Entry"] = entry_id
        return Response(orjson.dumps(done.answer), done.status, headers, media_type="application/json")


async def once(request: Request) -> Once:
    """Return the request with its idempotency key. Raises ContextIncomplete for a key that is none. Only computes."""
    sent = request.headers.getlist(HEADER)
    if not sent:
        return Once(None, request)
    if len(sent) > 1 or not _KEY.fullmatch(sent[0]):
        raise ContextIncomplete("malformed", faults=[Fault(HEADER, "invalid")])
    path = request.scope["path"]
    return Once(Asked(sent[0], request.method, path, await request.body()), request)


Idempotent = Annotated[Once, Depends(once)]
