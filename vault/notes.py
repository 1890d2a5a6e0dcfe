"""C2SP signed notes: a text, a blank line, and signature lines `— <name> base64(key id 4 B ‖ signature)`. Pure.

Whoever keeps a note can check it with a public key alone. What the text says is the caller's: the audit trail signs checkpoints,
two people sign what policy is in force.
"""

import base64
import binascii
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

ED25519 = 0x01
COSIGNATURE = 0x04
KEY_BYTES = 32
SIGNATURE_BYTES = 64
_DASH = "— "


@dataclass(frozen=True, slots=True)
class Signature:
    """One line under a note: who, the first four bytes of the key's hash, the rest."""

    name: str
    key_id: bytes
    octets: bytes


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """The public half by which a signer's or witness's lines are checked."""

    name: str
    public: bytes
    kind: int = ED25519

    @property
    def key_id(self) -> bytes:
        """SHA-256(name ‖ 0x0A ‖ type ‖ public key), first four bytes."""
        return sha256(self.name.encode() + b"\n" + bytes([self.kind]) + self.public).digest()[:4]

    @property
    def text(self) -> str:
        """The vkey: `<name>+<key id in hex>+<base64 of type ‖ public key>`."""
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(bytes([self.kind]) + self.public).decode()}"

    def line(self, octets: bytes) -> str:
        """Return the signature line of this key with these bytes."""
        return f"{_DASH}{self.name} {base64.b64encode(self.key_id + octets).decode()}\n"

    def made(self, signature: Signature) -> bool:
        """Whether a line says that it is of this key; nothing is verified yet."""
        return (signature.name, signature.key_id) == (self.name, self.key_id)


def parse_vkey(text: str) -> VerifierKey:
    """Return the key of a vkey text. Raises ValueError for anything but a well-formed Ed25519 key whose id fits."""
    name, _, rest = text.strip().partition("+")
    identity, _, encoded = rest.partition("+")
    octets = _decoded(encoded)
    if len(octets) != 1 + KEY_BYTES or octets[0] not in (ED25519, COSIGNATURE):
        raise ValueError("not an Ed25519 key")
    key = VerifierKey(name, octets[1:], octets[0])
    if not _name_fits(name) or key.key_id.hex() != identity:
        raise ValueError("the key's id does not fit")
    return key


def split_note(text: str) -> tuple[str, tuple[Signature, ...]]:
    """Return the signed text, its last newline included, and the signature lines. Raises ValueError for every irregularity."""
    body, blank, rest = text.partition("\n\n")
    if not blank or not rest.endswith("\n"):
        raise ValueError("not a signed note")
    return f"{body}\n", tuple(_signature(line) for line in rest[:-1].split("\n"))


def signed_text(key: VerifierKey, note: bytes) -> str:
    """Return the text of a note that this key signed, its last newline included. Raises ValueError for any other."""
    text, signatures = split_note(note.decode())
    if not any(key.made(one) and holds(key.public, one.octets, text.encode()) for one in signatures):
        raise ValueError("signature")
    return text


def holds(public: bytes, signature: bytes, message: bytes) -> bool:
    """Whether an Ed25519 signature is of this message."""
    if len(signature) != SIGNATURE_BYTES:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _signature(line: str) -> Signature:
    name, _, encoded = line.removeprefix(_DASH).partition(" ")
    octets = _decoded(encoded)
    if not line.startswith(_DASH) or not _name_fits(name) or len(octets) < 5:
        raise ValueError("not a signature line")
    return Signature(name, octets[:4], octets[4:])


def _name_fits(name: str) -> bool:
    return bool(name) and "+" not in name and not any(one.isspace() for one in name)


def _decoded(encoded: str) -> bytes:
    try:
        octets = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("not base64") from None
    if base64.b64encode(octets).decode() != encoded:
        raise ValueError("not canonical base64")
    return octets
