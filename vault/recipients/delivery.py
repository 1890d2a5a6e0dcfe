"""How a recipient is told by webhook (Standard Webhooks 1.0.0): what is sent, how it is signed, and when it is tried again. Pure.

A message names a handle that this recipient alone knows, and fields; never a value, and no id anybody else could join on. Its id is
the task's, the same at each attempt, so what arrives twice counts once.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final

import orjson

from vault.octets import expand, lp, mac, u32

PAUSES_S: Final = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)  # before the second attempt, the third …
ATTEMPTS: Final = len(PAUSES_S) + 1
SPREAD: Final = 0.2  # of a pause, so that what failed together is not tried again together
LONGEST_WAIT_S: Final = 86_400  # however long an endpoint asks for
OVERLAP: Final = timedelta(days=7)  # so long a message carries the old key's signature too
GONE: Final = 410


@dataclass(frozen=True, slots=True)
class Posted:
    """What came of one attempt: the status, or None and `because` where nothing answered. `wait_s`: for how long it asks."""

    status: int | None
    because: str = ""
    wait_s: int | None = None
    body: bytes = field(default=b"", repr=False)  # where it was asked for

    @property
    def taken(self) -> bool:
        """Whether it was accepted."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def code(self) -> str:
        """What a step says of it."""
        return str(self.status) if self.status is not None else self.because


def message(kind: str, at: datetime, data: Mapping[str, Any]) -> bytes:
    """Return the body: what happened, when, and to whom by the recipient's own handle."""
    return orjson.dumps({"type": kind, "timestamp": at.isoformat(), "data": dict(data)})


def signing_key(secret: bytes, recipient_id: str, serial: int) -> bytes:
    """Return the 32 bytes an endpoint's messages are signed with. `secret` is the controller's `settings` secret."""
    return expand(secret, lp("riserbo.webhook.v1") + lp(recipient_id) + u32(serial))


def key_text(key: bytes) -> str:
    """Return a signing key as a recipient is handed it."""
    return "whsec_" + base64.b64encode(key).decode()


def headers(message_id: str, at: datetime, body: bytes, keys: Sequence[bytes]) -> dict[str, str]:
    """Return the headers of one attempt, with a signature by each key."""
    seconds = str(int(at.timestamp()))
    signed = f"{message_id}.{seconds}.".encode() + body
    signatures = [f"v1,{base64.b64encode(mac(key, signed)).decode()}" for key in keys]
    return {"webhook-id": message_id, "webhook-timestamp": seconds, "webhook-signature": " ".join(signatures)}


def next_attempt(done: int, at: datetime, task_id: str, wait_s: int | None = None) -> datetime | None:
    """Return when to try again after `done` attempts, None where it was tried often enough; spread by the task's id."""
    if done >= ATTEMPTS:
        return None
    part = int.from_bytes(sha256(f"{task_id}.{done}".encode()).digest()[:4]) / 2**32
    pause = PAUSES_S[done - 1] * (1 + SPREAD * part)
    asked = min(wait_s or 0, LONGEST_WAIT_S)
    return at + timedelta(seconds=max(pause, asked))
