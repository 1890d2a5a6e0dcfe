"""Signed checkpoints: C2SP tlog-checkpoint in C2SP signed-note, and the port where the signer keeps its last.

A checkpoint is three lines (origin, size, root in base64), a blank line, and signature lines. Origin is
`<host>/audit/<controller>/<era>`: it names the log for as long as anybody keeps a note. No other text the key signs may begin with
an origin. Pure: signing is an argument.
"""

import base64
import binascii
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from vault.audit.merkle import HASH_BYTES
from vault.audit.proofs import hash_of
from vault.octets import u64

ED25519 = 0x01
COSIGNATURE = 0x04
_DASH = "— "
_SIGNATURE_BYTES = 64
_LARGEST = 1 << 63


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Size and root of one log at one moment."""

    origin: str
    size: int
    root: bytes

    @property
    def body(self) -> str:
        """The text that is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


@dataclass(frozen=True, slots=True)
class Signature:
    """One line under a note: who, the first four bytes of the key's hash, the rest."""

    name: str
    key_id: bytes
    octets: bytes


@dataclass(frozen=True, slots=True)
class Note:
    """A checkpoint with its signature lines, as parsed: nothing is verified yet."""

    checkpoint: Checkpoint
    signatures: tuple[Signature, ...]
    text: str


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """The public half by which a log's or witness's lines are checked."""

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


def origin(host: str, controller_id: str, era: int) -> str:
    """Return the name of a controller's log in one era."""
    return f"{host}/audit/{controller_id}/{era}"


def note_text(checkpoint: Checkpoint, lines: Sequence[str]) -> str:
    """Return the note: body, blank line, signature lines."""
    return f"{checkpoint.body}\n{''.join(lines)}"


def cosignature_text(body: str, seconds: int) -> bytes:
    """Return what a witness signs (C2SP tlog-cosignature): the time it stored this checkpoint, and its body."""
    return f"cosignature/v1\ntime {seconds}\n{body}".encode()


def cosignature_line(witness: VerifierKey, signature: bytes, seconds: int) -> str:
    """Return a witness's line: key id ‖ u64 time ‖ 64 bytes."""
    return witness.line(u64(seconds) + signature)


def parse_vkey(text: str) -> VerifierKey:
    """Return the key of a vkey text. Raises ValueError for anything but a well-formed Ed25519 key whose id fits."""
    name, _, rest = text.strip().partition("+")
    identity, _, encoded = rest.partition("+")
    octets = _decoded(encoded)
    if len(octets) != 1 + HASH_BYTES or octets[0] not in (ED25519, COSIGNATURE):
        raise ValueError("not an Ed25519 key")
    key = VerifierKey(name, octets[1:], octets[0])
    if not _name_fits(name) or key.key_id.hex() != identity:
        raise ValueError("the key's id does not fit")
    return key


def parse_note(text: str) -> Note:
    """Return a note as parsed. Raises ValueError for extension lines and every other irregularity."""
    body, blank, rest = text.partition("\n\n")
    lines = body.split("\n")
    if not blank or len(lines) != 3 or not rest.endswith("\n"):
        raise ValueError("not a checkpoint")
    name, digits, root = lines
    if not name or not (digits.isascii() and digits.isdigit()) or str(int(digits)) != digits or int(digits) >= _LARGEST:
        raise ValueError("not a checkpoint")
    checkpoint = Checkpoint(name, int(digits), hash_of(root))
    return Note(checkpoint, tuple(_signature(line) for line in rest[:-1].split("\n")), text)


def signed_by(note: Note, key: VerifierKey) -> bool:
    """Return whether this key signed the note. Lines of other keys count for nothing; a wrong line of this key is a no."""
    lines = [one for one in note.signatures if one.name == key.name and one.key_id == key.key_id]
    if not lines:
        return False
    return all(_holds(key, one.octets, note.checkpoint.body) for one in lines)


def _holds(key: VerifierKey, octets: bytes, body: str) -> bool:
    message, signature = body.encode(), octets
    if key.kind == COSIGNATURE:
        message, signature = cosignature_text(body, int.from_bytes(octets[:8], "big")), octets[8:]
    if len(signature) != _SIGNATURE_BYTES:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(key.public).verify(signature, message)
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


class SignerState(Protocol):
    """Where the signer keeps what it signed: outside the database, on another volume, and durable before a signature leaves.

    Who restores an old database cannot restore this with it, so a log that went back is seen.
    """

    def holding(self) -> AbstractContextManager[None]:
        """Keep every other signer of the installation out of the block."""
        ...

    def last(self, origin: str) -> str | None:
        """Return the newest note of this log, None when there never was one. Raises Unavailable when it cannot be read."""
        ...

    def keep(self, origin: str, note: str, at_ms: int) -> None:
        """Make the note durable as the newest and in the list of all. Raises Unavailable; then it must not be released."""
        ...

    def notes(self, origin: str) -> Iterator[str]:
        """Yield every note of this log, oldest first. Raises Unavailable when the list is damaged."""
        ...
