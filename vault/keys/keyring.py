"""The keyring port: who holds the root keys, and what may be asked of them. Adapters are in `connectors/keyrings/`.

A `KeyName` is `<kind>/<number>`: `root/<epoch>` and `custody/<n>` wrap; `index/<n>`, `ledger/<n>` and `audit-mac/<n>` make MACs;
`audit-sign/<n>`, `audit-receipt/<n>` and `document-sign/<n>` sign. A `Context` is a flat map of strings, authenticated with what is
wrapped as its RFC 8785 JSON and not kept in the blob. Providers may log it, so no subject is named in one.

Error contract: a wrong context, a tampered blob and a wrong key are one answer, Unreadable; whatever else prevents an answer is
KeysUnavailable.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

import rfc8785

from vault.errors import KeysUnavailable, Unreadable
from vault.octets import lp

KeyName = str
Context = Mapping[str, str]
KeyState = Literal["enabled", "disabled", "pending", "destroyed", "absent"]
KeyUse = Literal["wrap", "mac", "sign"]

PAYLOAD_BYTES = 4096  # what the narrowest provider takes

_USES: Mapping[str, KeyUse] = {
    "root": "wrap",
    "custody": "wrap",
    "index": "mac",
    "ledger": "mac",
    "audit-mac": "mac",
    "audit-sign": "sign",
    "audit-receipt": "sign",
    "document-sign": "sign",
}
_NAME = re.compile(rf"({'|'.join(_USES)})/(0|[1-9][0-9]{{0,9}})")


@dataclass(frozen=True, slots=True)
class Destruction:
    """What became of a root key: gone at `at`, or scheduled to be. `evidence` is the provider's own word for it."""

    state: Literal["scheduled", "destroyed"]
    at: datetime
    evidence: str


@dataclass(frozen=True, slots=True)
class Health:
    """Whether the keyring answers now; `code` says why not."""

    provider: str
    remote: bool
    answers: bool
    code: str = ""


@dataclass(frozen=True, slots=True)
class Blob:
    """What `wrap` answers, taken apart: the provider and key it needs, and the provider's own bytes."""

    provider: str
    key: KeyName
    octets: bytes


class Keyring(Protocol):
    """A holder of root keys. Batches keep their order; a bad item spoils no other."""

    provider: str
    remote: bool  # keys live outside this process

    def wrap(self, key: KeyName, items: Sequence[tuple[bytes, Context]]) -> list[bytes]:
        """Return a blob for each payload of at most 4,096 bytes, bound to its context."""
        ...

    def unwrap(self, items: Sequence[tuple[bytes, Context]]) -> list[bytes | Unreadable]:
        """Return the payload of each blob, or Unreadable in its place."""
        ...

    def rewrap(self, to: KeyName, items: Sequence[tuple[bytes, Context]]) -> list[bytes | Unreadable]:
        """Return each blob made anew under `to`, with the same context."""
        ...

    def mac(self, key: KeyName, messages: Sequence[bytes]) -> list[bytes]:
        """Return HMAC-SHA256 of each message, 32 bytes."""
        ...

    def sign(self, key: KeyName, message: bytes) -> bytes:
        """Return the Ed25519 signature, 64 bytes (RFC 8032)."""
        ...

    def public_key(self, key: KeyName) -> bytes:
        """Return the Ed25519 public key, 32 bytes."""
        ...

    def ensure(self, key: KeyName) -> None:
        """Make the key where there is none. Raises KeysUnavailable for one that was destroyed: a name is never given again."""
        ...

    def create_root(self, epoch: int) -> KeyName:
        """Make the root key of an epoch where there is none, and return its name."""
        ...

    def destroy_root(self, epoch: int) -> Destruction:
        """Destroy the root key of an epoch, for ever: what makes an erasure final. Repeating it changes nothing."""
        ...

    def state(self, key: KeyName) -> KeyState:
        """Return what the keyring knows of a key."""
        ...

    def health(self) -> Health:
        """Return whether the keyring answers. Never raises."""
        ...


def root_name(epoch: int) -> KeyName:
    """Return the name of an epoch's root key."""
    return f"root/{epoch}"


def use_of(key: KeyName) -> KeyUse:
    """Return what a key of this name is for. Raises KeysUnavailable for what is no `KeyName`."""
    match = _NAME.fullmatch(key)
    if match is None:
        raise KeysUnavailable
    return _USES[match[1]]


def context_bytes(context: Context) -> bytes:
    """Return the canonical JSON of a context (RFC 8785)."""
    return rfc8785.dumps(dict(context))


def encode_blob(blob: Blob) -> bytes:
    """Return `01 ‖ lp(provider) ‖ lp(key reference) ‖ provider's bytes`."""
    return b"\x01" + lp(blob.provider) + lp(blob.key) + blob.octets


def decode_blob(octets: bytes) -> Blob:
    """Return the parts of a blob. Raises Unreadable for any other form."""
    if octets[:1] != b"\x01":
        raise Unreadable
    provider, rest = _part(octets[1:])
    key, rest = _part(rest)
    return Blob(provider, key, rest)


def _part(octets: bytes) -> tuple[str, bytes]:
    end = 2 + int.from_bytes(octets[:2], "big")
    if len(octets) < max(end, 2):
        raise Unreadable
    try:
        return octets[2:end].decode(), octets[end:]
    except UnicodeDecodeError:
        raise Unreadable from None
