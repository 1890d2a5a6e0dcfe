"""Check a package somebody took away: the signature under its manifest, every file against it. Needs a key, and no vault. Pure.

What a package holds beside the manifest's list, or lacks of it, is named, and so is what is other than it says. The list of who
looked is checked by `offline.py`, which is in the package.
"""

from base64 import b64decode
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256

from vault.exports.manifest import MANIFEST, NOTE, checked_manifest, differences
from vault.notes import KEY_BYTES, VerifierKey, parse_vkey

Pieces = Callable[[str], Iterable[bytes]]


@dataclass(frozen=True, slots=True)
class Checked:
    """What a package turned out to be. `wrong`: paths that are not as signed; none where it is whole."""

    set: str
    snapshot_at: str
    files: int
    wrong: tuple[str, ...]


def check_package(names: Iterable[str], read: Pieces, key: VerifierKey) -> Checked:
    """Return how a package stands. `read` yields a file's bytes.

    Raises ValueError (`manifest`, `signature`, `form`) where nothing is signed, or not by this key.
    """
    there = list(names)
    if NOTE not in there or MANIFEST not in there:
        raise ValueError("manifest")
    note = b"".join(read(NOTE))
    said = checked_manifest(note, key)
    found = {name: _measured(read(name)) for name in there if name not in (MANIFEST, NOTE)}
    wrong = differences(said, found) + sorted({name for name in there if there.count(name) > 1})
    if not note.startswith(b"".join(read(MANIFEST)) + b"\n\n"):
        wrong.append(MANIFEST)
    return Checked(str(said["set"]), str(said["snapshot_at"]), len(found), tuple(wrong))


def key_given(text: str) -> VerifierKey:
    """Return a key of documents: NAME and PUBLIC KEY as `/.well-known/riserbo` has them, or a verifier key. Raises ValueError."""
    name, _, public = text.strip().partition(" ")
    if not public:
        return parse_vkey(text)
    octets = b64decode(public.strip(), validate=True)
    if len(octets) != KEY_BYTES:
        raise ValueError("not an Ed25519 key")
    return VerifierKey(name, octets)


def _measured(pieces: Iterable[bytes]) -> tuple[int, bytes]:
    digest, size = sha256(), 0
    for piece in pieces:
        digest.update(piece)
        size += len(piece)
    return size, digest.digest()


def in_pieces(read: Callable[[int], bytes], size: int = 65_536) -> Iterator[bytes]:
    """Yield what a file yields, so many bytes at a time."""
    while piece := read(size):
        yield piece
