"""What a witness checks and signs (C2SP tlog-witness, tlog-cosignature): that a log went on from where it was seen last.

In this order, as `add-checkpoint` has them: the note is signed by the pinned key; it is of the log that was seen; its size is not
below the last; at an equal size the root is equal; at a greater one a proof of at most 63 hashes shows that the old tree is the
beginning of the new. Whoever signs has made the checkpoint durable before. Pure: keys, times and what is held are arguments.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vault.audit.checkpoint import Checkpoint, Note, cosignature_line, cosignature_text, parse_note, signed_by
from vault.audit.eras import era_of
from vault.audit.proofs import LONGEST, extends, hash_of
from vault.notes import COSIGNATURE, VerifierKey


class Doubt(Exception):
    """The checkpoint is not signed: `code` says which check refused it."""

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(code)


@dataclass(frozen=True, slots=True)
class Cosignature:
    """One line of a witness whose signature holds: who, when (seconds since 1970), and the line."""

    witness: str
    seconds: int
    line: str


def seen_by(text: str, key: VerifierKey) -> Note:
    """Return a checkpoint signed by the pinned key, of its era or a later one of the same log. Raises Doubt.

    One key signs every era of a log, and only the last part of its name, the era, may differ.
    """
    try:
        note = parse_note(text)
    except ValueError:
        raise Doubt("not-a-checkpoint") from None
    name = note.checkpoint.origin
    if name.rpartition("/")[0] != key.name.rpartition("/")[0] or era_of(name) < era_of(key.name):
        raise Doubt("another-log")
    if not signed_by(note, VerifierKey(name, key.public)):
        raise Doubt("signature")
    return note


def expect_continued(point: Checkpoint, last: Checkpoint | None, path: Sequence[bytes]) -> None:
    """Expect that a checkpoint continues the last one of its era, None before the first. Raises Doubt."""
    if last is None:
        return  # any tree continues the empty one
    if point.origin != last.origin:
        raise Doubt("another-log")
    if point.size < last.size:
        raise Doubt("smaller")
    if point.size == last.size and point.root != last.root:
        raise Doubt("another-root")
    if len(path) > LONGEST:
        raise Doubt("proof-too-long")
    if not extends(last.root, last.size, point.root, point.size, path):
        raise Doubt("proof")


def cosigned(note: Note, witness: VerifierKey, sign: Callable[[bytes], bytes], seconds: int) -> str:
    """Return the note with the witness's line under it. The checkpoint must be durable by now."""
    signature = sign(cosignature_text(note.checkpoint.body, seconds))
    return note.text + cosignature_line(witness, signature, seconds)


def hashes_of(text: str) -> list[bytes]:
    """Return the hashes of a consistency proof, one a line. Raises Doubt."""
    try:
        return [hash_of(line) for line in text.splitlines()]
    except ValueError:
        raise Doubt("proof") from None


def cosignatures(note: Note, witnesses: Sequence[VerifierKey]) -> list[Cosignature]:
    """Return the lines of these witnesses under a note. Raises Doubt for a line of theirs that does not hold."""
    found = []
    for witness in witnesses:
        lines = [one for one in note.signatures if witness.made(one)]
        if not lines:
            continue
        if witness.kind != COSIGNATURE or not signed_by(note, witness):
            raise Doubt("cosignature")
        found += [Cosignature(witness.name, int.from_bytes(one.octets[:8], "big"), witness.line(one.octets)) for one in lines]
    return found
