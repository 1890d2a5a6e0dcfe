"""Requests that others send us by OpenDSR: what is read of one, and what is answered. Pure.

1. Nothing here is reached before the sender's signature held, over the bytes of a request or over the line `target` returns: a
   question and a cancellation have no body, so their sender signs what is asked, where, and when.
2. What was never verified looks as if nobody were there: `pending` until the day it is due, then `cancelled`. What is true of a
   person shows once they proved who they are.

Source: OpenDSR 2.0, sections 5 to 8.
"""

import base64
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal

import orjson

from vault.errors import Fault, InvalidValue

SKEW_S: Final = 300  # so far a signed instant may lie from ours
MOST_IDENTITIES: Final = 10
LONGEST_VALUE: Final = 320  # characters
KINDS: Final = ("access", "erasure", "portability")
IDENTITIES: Final = ("controller_customer_id", "email")
DISCOVERY: Final = orjson.dumps({
    "api_version": "2.0", "supported_subject_request_types": list(KINDS),
    "supported_identities": [{"identity_type": name, "identity_format": "raw"} for name in IDENTITIES],
})  # fmt: skip
_UUID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_FORMS: Final[Mapping[str, tuple[str, ...]]] = {
    "regulation": ("gdpr",), "subject_request_type": KINDS, "api_version": ("2.0",),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request asks. `identities`: type and value of each, all of one person."""

    asked_id: str
    kind: Literal["access", "erasure", "portability"]
    identities: tuple[tuple[str, str], ...] = field(repr=False)


def target(method: str, address: str, at_s: int) -> bytes:
    """Return what is signed where there is no body. `address`: whole, with our host; `at_s`: seconds since 1970."""
    return f"riserbo.opendsr.v1\n{method}\n{address}\n{at_s}".encode()


def signed_at(stated: str | None, now: datetime) -> int | None:
    """Return the instant a question says it was signed at, in seconds; None for what is none or is not now."""
    if stated is None or re.fullmatch("[0-9]{1,12}", stated) is None:
        return None
    return int(stated) if abs(int(stated) - now.timestamp()) <= SKEW_S else None


def read_request(body: bytes) -> Asked:
    """Return what a request asks whose signature holds. Raises InvalidValue by pointer and code."""
    try:
        said = orjson.loads(body)
    except ValueError:
        raise InvalidValue(faults=[Fault("", "json.syntax")]) from None
    if not isinstance(said, dict):
        raise InvalidValue(faults=[Fault("", "json.syntax")])
    if faults := list(_faults(said)):
        raise InvalidValue(faults=faults)
    those = tuple((one["identity_type"], one["identity_value"]) for one in said["subject_identities"])
    return Asked(said["subject_request_id"], said["subject_request_type"], those)


def created(controller_id: str, asked_id: str, received_at: datetime, expected_at: datetime, body: bytes) -> bytes:
    """Return the answer to a request that was put down (7.3)."""
    said = {**_stated(controller_id, asked_id, expected_at), "received_time": _spelt(received_at)}
    return orjson.dumps({**said, "encoded_request": base64.b64encode(body).decode()})


def standing(controller_id: str, asked_id: str, expected_at: datetime, status: str) -> bytes:
    """Return the answer to a question after a request (8.3)."""
    return orjson.dumps({**_stated(controller_id, asked_id, expected_at), "request_status": status, "api_version": "2.0"})


def cancellation(controller_id: str, asked_id: str, received_at: datetime) -> bytes:
    """Return the answer to a cancellation."""
    said = {"controller_id": controller_id, "subject_request_id": asked_id, "received_time": _spelt(received_at)}
    return orjson.dumps({**said, "api_version": "2.0"})


def status_of(verified: str | None, *, cancelled: bool, expected_at: datetime, now: datetime) -> str:
    """Return what the sender is told. `verified`: where it stands by OpenDSR, None before anybody proved who they are."""
    if cancelled:
        return "cancelled"
    if verified is not None:
        return verified
    return "pending" if now <= expected_at else "cancelled"


def _faults(said: Mapping[str, Any]) -> Iterator[Fault]:
    asked_id = said.get("subject_request_id")
    if not isinstance(asked_id, str) or _UUID.fullmatch(asked_id) is None:
        yield Fault("/subject_request_id", "uuid.syntax")
    for name, known in _FORMS.items():
        if said.get(name, known[0] if name == "api_version" else None) not in known:
            yield Fault(f"/{name}", "opendsr.unknown")
    if not _is_instant(said.get("submitted_time")):
        yield Fault("/submitted_time", "instant.syntax")
    those = said.get("subject_identities")
    if not isinstance(those, list) or not 1 <= len(those) <= MOST_IDENTITIES:
        yield Fault("/subject_identities", "opendsr.identities")
    elif not all(_is_identity(one) for one in those):
        yield Fault("/subject_identities", "opendsr.identity")


def _is_identity(one: object) -> bool:
    if not isinstance(one, dict) or one.get("identity_type") not in IDENTITIES or one.get("identity_format") != "raw":
        return False
    value = one.get("identity_value")
    return isinstance(value, str) and 0 < len(value) <= LONGEST_VALUE and "\0" not in value  # PostgreSQL knows no NUL


def _is_instant(stated: object) -> bool:
    try:
        return isinstance(stated, str) and datetime.fromisoformat(stated).tzinfo is not None
    except ValueError:
        return False


def _stated(controller_id: str, asked_id: str, expected_at: datetime) -> dict[str, str]:
    return {"controller_id": controller_id, "subject_request_id": asked_id, "expected_completion_time": _spelt(expected_at)}


def _spelt(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
