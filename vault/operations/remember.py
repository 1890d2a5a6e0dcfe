"""Do a thing once for each `Idempotency-Key`: whoever repeats a request gets the first answer, and nothing happens twice.

The key is taken in a transaction of its own before the act, the answer stored in one after it. A refusal frees the key. When nobody
knows whether the act happened (the database was lost at its commit, the process died) the key stays taken for its day: asking again
is 409, and a caller who must know reads the state. That way round a person is never enrolled twice.
"""

import hmac
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import Any

from vault import answers
from vault.assembly import Vault
from vault.errors import Conflict, DatabaseUnavailable, Fault, InvalidValue, Unavailable, VaultError
from vault.octets import lp, mac
from vault.policy.model import Context

KEPT = timedelta(hours=24)
HEADER = "Idempotency-Key"


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it came: `key` is what its sender named it."""

    key: str
    method: str
    path: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer that may be stored: ids only. `replayed`: it is the first one's."""

    status: int
    answer: Mapping[str, Any]
    subject_id: str | None = None
    replayed: bool = False


def remember(vault: Vault, context: Context, asked: Asked, act: Callable[[], Answered]) -> Answered:
    """Return what `act` answers, or what it answered when this key was first used by this caller.

    Raises Conflict (`request-in-flight`) while the first is unanswered, InvalidValue for another request under the same key.
    """
    controller_id = context.controller_id
    request_key, digest = _names(vault, context, asked)
    now = vault.now()
    with vault.database.transaction(controller_id) as transaction:
        mine = answers.claim(transaction, controller_id, request_key, digest, now, now + KEPT)
        found = None if mine else answers.find(transaction, controller_id, request_key)
    if not mine:
        return _first(found, digest)
    done = _act(vault, controller_id, request_key, act)
    with suppress(Unavailable), vault.database.transaction(controller_id) as transaction:  # it is done, and answered
        answers.keep(transaction, controller_id, request_key, done.status, done.answer, done.subject_id)
    return done


def _act(vault: Vault, controller_id: str, request_key: bytes, act: Callable[[], Answered]) -> Answered:
    try:
        return act()
    except DatabaseUnavailable:  # it may have happened
        raise
    except VaultError:
        with suppress(Unavailable), vault.database.transaction(controller_id) as transaction:
            answers.release(transaction, controller_id, request_key)
        raise


def _names(vault: Vault, context: Context, asked: Asked) -> tuple[bytes, bytes]:
    """Return the key's name in the table and the digest of the request: keyed, so that neither can be guessed from the rows."""
    secret = vault.keys.secret(context.controller_id, "web").key
    caller = lp(context.caller.client_id) + lp(context.caller.id)
    name = lp("riserbo.request.v1") + caller + lp(asked.key)
    request = lp("riserbo.request-digest.v1") + lp(asked.method) + lp(asked.path) + sha256(asked.body).digest()
    return mac(secret, name), mac(secret, request)


def _first(found: answers.StoredAnswer | None, digest: bytes) -> Answered:
    if found is not None and not hmac.compare_digest(found.request_digest, digest):
        raise InvalidValue("idempotency-mismatch", faults=[Fault(HEADER, "used-for-another-request")])
    if found is None or found.status is None:
        raise Conflict("request-in-flight", faults=[Fault(HEADER, "in-flight")], retry_after_s=1)
    return Answered(found.status, found.answer or {}, replayed=True)
