"""OpenDSR 2.0, by which some recipients take requests: what is sent, and what of an answer or a callback is believed. Pure.

1. It knows the erasure of everything alone: a part, a correction or a restriction never leaves as one, for a receiver may ignore
   what is said beside it.
2. An answer repeats the request whole (`encoded_request`, 7.3). It is compared, and kept nowhere.
3. A callback is believed once its signature holds over its bytes, by the certificate that was pinned when the recipient was
   registered: before that not one byte of it is parsed (8.8).

Source: OpenDSR 2.0, sections 7 and 8.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Final
from urllib.parse import urlsplit

import orjson
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from vault.recipients.tasks import State

LEAST_BITS: Final = 2048
LONGEST: Final = 65_536  # bytes of an answer or a callback
STATES: Final[Mapping[str, State]] = {
    "pending": "acknowledged", "in_progress": "acknowledged", "completed": "completed", "cancelled": "refused",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Callback:
    """What a callback says, of which request, and at which address it was sent."""

    request_id: str
    status: State
    address: str


def request_id(task_id: str) -> str:
    """Return the task's id as OpenDSR asks for it: a UUID of version 4 in lower case, always the same for one task."""
    octets = bytearray(sha256(b"riserbo.opendsr.v1" + task_id.encode()).digest()[:16])
    octets[6], octets[8] = octets[6] & 0x0F | 0x40, octets[8] & 0x3F | 0x80  # RFC 9562: version 4 and its variant
    text = octets.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def request(task_id: str, handle: str, at: datetime, callback: str) -> bytes:
    """Return the body of a request to erase all there is under this handle."""
    return orjson.dumps({
        "regulation": "gdpr", "subject_request_id": request_id(task_id), "subject_request_type": "erasure",
        "submitted_time": at.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "subject_identities": [
            {"identity_type": "controller_customer_id", "identity_value": handle, "identity_format": "raw"}
        ],
        "api_version": "2.0", "status_callback_urls": [callback],
    })  # fmt: skip


def repeats(sent: bytes, answer: bytes) -> bool:
    """Return whether an answer repeats what was sent, byte for byte, and names its id."""
    try:
        said = orjson.loads(answer)
        again = base64.b64decode(said["encoded_request"], validate=True)
        return bool(again == sent and said["subject_request_id"] == orjson.loads(sent)["subject_request_id"])
    except (ValueError, KeyError, TypeError):
        return False


def key_of(certificate: bytes) -> rsa.RSAPublicKey | None:
    """Return the key of a certificate in PEM; None for what is none, and for a key that is too weak."""
    try:
        key = x509.load_pem_x509_certificate(certificate).public_key()
    except ValueError:
        return None
    return key if isinstance(key, rsa.RSAPublicKey) and key.key_size >= LEAST_BITS else None


def signed(certificate: bytes, endpoint: str, domain: str | None, signature: str | None, body: bytes) -> bool:
    """Return whether the signature of a callback holds: RSA PKCS #1 v1.5 and SHA-256 over its bytes, for the endpoint's domain."""
    key = key_of(certificate)
    if key is None or signature is None or domain != urlsplit(endpoint).hostname:
        return False
    try:
        key.verify(base64.b64decode("".join(signature.split()), validate=True), body, padding.PKCS1v15(), SHA256())
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


def read(body: bytes) -> Callback:
    """Return what a callback says whose signature holds. Raises ValueError."""
    try:
        said = orjson.loads(body)
        return Callback(str(said["subject_request_id"]), STATES[said["request_status"]], str(said["status_callback_url"]))
    except (KeyError, TypeError):
        raise ValueError("callback") from None
