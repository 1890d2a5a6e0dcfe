"""Checking proofs that someone else made: inclusion and consistency (RFC 9162), and the text they travel in (C2SP tlog-proof).

An inclusion proof alone does not bind the tree's size: other pairs of index and size take the same turns. So size and root are
taken from a signed checkpoint, the leaf from its content, and only index and path from the bearer. Pure.
"""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass

from vault.audit.merkle import EMPTY_ROOT, HASH_BYTES, node_hash

LONGEST = 63  # hashes: no tree is deeper
_HEADER = "c2sp.org/tlog-proof@v1"


def includes(root: bytes, size: int, position: int, hashed: bytes, path: Sequence[bytes]) -> bool:
    """Return whether `path` proves that leaf hash `hashed` is leaf `position` of the tree of `size` leaves with this root.

    Source: RFC 9162, section 2.1.3.2.
    """
    if not 0 <= position < size:
        return False
    at, last, node = position, size - 1, hashed
    for sibling in path:
        if last == 0:
            return False
        if at & 1 or at == last:
            node = node_hash(sibling, node)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            node = node_hash(node, sibling)
        at, last = at >> 1, last >> 1
    return last == 0 and node == root


def extends(old_root: bytes, old_size: int, root: bytes, size: int, path: Sequence[bytes]) -> bool:
    """Return whether `path` proves that the tree of `old_size` leaves is the beginning of the tree of `size`.

    Source: RFC 9162, section 2.1.4.2. Every tree extends the empty one; a tree extends itself by no hashes.
    """
    if not 0 <= old_size <= size:
        return False
    if old_size in (0, size):
        beginning = EMPTY_ROOT if old_size == 0 else root
        return not path and old_root == beginning
    if not path:
        return False
    hashes = [old_root, *path] if old_size & (old_size - 1) == 0 else list(path)
    at, last = old_size - 1, size - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    old_node = node = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            old_node, node = node_hash(sibling, old_node), node_hash(sibling, node)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            node = node_hash(node, sibling)
        at, last = at >> 1, last >> 1
    return last == 0 and old_node == old_root and node == root


@dataclass(frozen=True, slots=True)
class LogProof:
    """A proof as it travels: the leaf's index, the path, and the note of the checkpoint it leads to."""

    index: int
    path: tuple[bytes, ...]
    note: str

    @property
    def text(self) -> str:
        """The `.tlog-proof`: header, index, one hash a line from the leaf's sibling up, blank line, note."""
        hashes = "".join(hash_line(one) for one in self.path)
        return f"{_HEADER}\nindex {self.index}\n{hashes}\n{self.note}"


def parse_proof(text: str) -> LogProof:
    """Return the proof in a `.tlog-proof`; its note is not yet verified. Raises ValueError for any irregularity."""
    head, blank, note = text.partition("\n\n")
    lines = head.split("\n")
    if not blank or len(lines) < 2 or lines[0] != _HEADER or len(lines) > 2 + LONGEST:
        raise ValueError("not a log proof")
    word, _, digits = lines[1].partition(" ")
    if word != "index" or not (digits.isascii() and digits.isdigit()) or str(int(digits)) != digits:
        raise ValueError("not an index")
    return LogProof(int(digits), tuple(hash_of(line) for line in lines[2:]), note)


def hash_line(one: bytes) -> str:
    """Return a hash as the texts of C2SP hold it: base64, on a line of its own."""
    return f"{base64.b64encode(one).decode()}\n"


def hash_of(line: str) -> bytes:
    """Return the 32 bytes of one canonical base64 line. Raises ValueError for anything else."""
    try:
        octets = base64.b64decode(line, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("not base64") from None
    if len(octets) != HASH_BYTES or base64.b64encode(octets).decode() != line:
        raise ValueError("not a hash")
    return octets
