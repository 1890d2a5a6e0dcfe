"""Signed checkpoints: C2SP tlog-checkpoint in C2SP signed-note, and the port where the signer keeps its last.

A checkpoint is three lines (origin, size, root in base64), a blank line, and signature lines. Origin is
`<host>/audit/<controller>/<era>`: it names the log for as long as anybody keeps a note. No other text the key signs may begin with
an origin. Pure: signing is an argument.
"""

import base64
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from vault.audit.proofs import hash_of
from vault.notes import COSIGNATURE, Signature, VerifierKey, holds, split_note
from vault.octets import u64

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
class Note:
    """A checkpoint with its signature lines, as parsed: nothing is verified yet."""

    checkpoint: Checkpoint
    signatures: tuple[Signature, ...]
    text: str


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


def parse_note(text: str) -> Note:
    """Return a note as parsed. Raises ValueError for extension lines and every other irregularity."""
    body, signatures = split_note(text)
    lines = body[:-1].split("\n")
    if len(lines) != 3:
        raise ValueError("not a checkpoint")
    name, digits, root = lines
    if not name or not (digits.isascii() and digits.isdigit()) or str(int(digits)) != digits or int(digits) >= _LARGEST:
        raise ValueError("not a checkpoint")
    return Note(Checkpoint(name, int(digits), hash_of(root)), signatures, text)


def signed_by(note: Note, key: VerifierKey) -> bool:
    """Return whether this key signed the note. Lines of other keys count for nothing; a wrong line of this key is a no."""
    lines = [one for one in note.signatures if key.made(one)]
    return bool(lines) and all(_holds(key, one.octets, note.checkpoint.body) for one in lines)


def _holds(key: VerifierKey, octets: bytes, body: str) -> bool:
    if key.kind == COSIGNATURE:
        return holds(key.public, octets[8:], cosignature_text(body, int.from_bytes(octets[:8], "big")))
    return holds(key.public, octets, body.encode())


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

    def notes(self, origin: str, since_ms: int = 0) -> Iterator[str]:
        """Yield the notes of this log kept since an instant, and first the one that stood then; oldest first.

        Raises Unavailable when the list is damaged.
        """
        ...
