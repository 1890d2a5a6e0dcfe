"""A log checker of somebody else's, written from RFC 9162 (section 2.1) and C2SP (signed-note, tlog-checkpoint, tlog-tiles,
tlog-proof) alone: it shares nothing with what it checks.

It is as plain as the definitions, and as slow: roots are the recursion over leaves, proofs are checked by following it.
"""

import base64
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

Fetch = Callable[[str], bytes]  # a path under the log's prefix -> its body


class Refused(Exception):
    """It is not what the log's key stands for."""


@dataclass(frozen=True)
class Checkpoint:
    origin: str
    size: int
    root: bytes


def leaf_digest(entry: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + entry).digest()


def largest_power_below(count: int) -> int:
    power = 1
    while power * 2 < count:
        power *= 2
    return power


class Leaves:
    """MTH over slices of a list of leaf hashes; of slices of 256 and more it remembers the root."""

    def __init__(self, hashes: Sequence[bytes]) -> None:
        self.hashes = hashes
        self.known: dict[tuple[int, int], bytes] = {}

    def mth(self, start: int, end: int) -> bytes:
        if (start, end) in self.known:
            return self.known[start, end]
        if end == start:
            return hashlib.sha256().digest()
        if end - start == 1:
            return self.hashes[start]
        middle = start + largest_power_below(end - start)
        root = hashlib.sha256(b"\x01" + self.mth(start, middle) + self.mth(middle, end)).digest()
        if end - start >= 256:
            self.known[start, end] = root
        return root


def root_by_path(digest: bytes, index: int, size: int, path: list[bytes]) -> bytes:
    """Follow PATH(m, D_n) of section 2.1.3.1 from the root down; the last hash of a path is the highest sibling."""
    if size == 1:
        if path:
            raise Refused("the path is too long")
        return digest
    if not path:
        raise Refused("the path is too short")
    half, sibling = largest_power_below(size), path[-1]
    if index < half:
        return hashlib.sha256(b"\x01" + root_by_path(digest, index, half, path[:-1]) + sibling).digest()
    return hashlib.sha256(b"\x01" + sibling + root_by_path(digest, index - half, size - half, path[:-1])).digest()


def roots_by_subproof(old_root: bytes, old: int, size: int, path: list[bytes], whole: bool) -> tuple[bytes, bytes]:
    """Follow SUBPROOF(m, D_n, b) of section 2.1.4.1; return the root of the old tree and that of the new one."""
    if old == size:
        if whole and path:
            raise Refused("the path is too long")
        if whole:
            return old_root, old_root
        if len(path) != 1:
            raise Refused("the path does not end where it should")
        return path[0], path[0]
    if not path:
        raise Refused("the path is too short")
    half, other = largest_power_below(size), path[-1]
    if old <= half:
        before, now = roots_by_subproof(old_root, old, half, path[:-1], whole)
        return before, hashlib.sha256(b"\x01" + now + other).digest()
    before, now = roots_by_subproof(old_root, old - half, size - half, path[:-1], False)
    return (hashlib.sha256(b"\x01" + other + one).digest() for one in (before, now))  # type: ignore[return-value]


def check_consistency(old: Checkpoint, new: Checkpoint, lines: str) -> None:
    path = [base64.b64decode(line, validate=True) for line in lines.splitlines()]
    if old.size > new.size:
        raise Refused("the log became shorter")
    if old.size == 0:
        if path:
            raise Refused("nothing is proved by something")
        return
    before, now = roots_by_subproof(old.root, old.size, new.size, path, True)
    if (before, now) != (old.root, new.root):
        raise Refused("the old tree is not the beginning of the new one")


def read_note(note: str, name: str, public_key: bytes) -> Checkpoint:
    """Check the log's Ed25519 line of a signed note, and read the checkpoint it signs."""
    text, separator, signatures = note.rpartition("\n\n")
    body = text + "\n"
    key_id = hashlib.sha256(name.encode() + b"\x0a\x01" + public_key).digest()[:4]
    own = [line for line in signatures.splitlines() if line.startswith(f"\N{EM DASH} {name} ")]
    signed = [base64.b64decode(line.rsplit(" ", 1)[1], validate=True) for line in own]
    if not separator or not any(one[:4] == key_id for one in signed):
        raise Refused("not signed by this log")
    for one in signed:
        if one[:4] == key_id:
            try:
                Ed25519PublicKey.from_public_bytes(public_key).verify(one[4:], body.encode())
            except InvalidSignature:
                raise Refused("the signature does not hold") from None
    origin, size, root = body.splitlines()
    if origin != name or str(int(size)) != size:
        raise Refused("another log's")
    return Checkpoint(origin, int(size), base64.b64decode(root, validate=True))


def check_proof(proof: str, entry: bytes, name: str, public_key: bytes) -> int:
    """Check a `.tlog-proof` for an entry; return its index."""
    head, _, note = proof.partition("\n\n")
    first, numbered, *path = head.split("\n")
    if first != "c2sp.org/tlog-proof@v1" or not numbered.startswith("index "):
        raise Refused("not a proof")
    index, point = int(numbered.removeprefix("index ")), read_note(note, name, public_key)
    if not 0 <= index < point.size:
        raise Refused("outside the tree")
    hashes = [base64.b64decode(line, validate=True) for line in path]
    if root_by_path(leaf_digest(entry), index, point.size, hashes) != point.root:
        raise Refused("the root is another one")
    return index


def tile_name(level: int | str, index: int, width: int = 256) -> str:
    digits = f"{index:03d}"
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    return (
        f"tile/{level}/" + "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]]) + (f".p/{width}" if width < 256 else "")
    )


def tiles_of(size: int) -> list[tuple[int, int, int]]:
    """Level, index and width of every tile of a tree: those of tlog-tiles, "Partial Tiles"."""
    found, level = [], 0
    while size >> (8 * level):
        full, rest = divmod(size >> (8 * level), 256)
        found += [(level, index, 256) for index in range(full)]
        if rest:
            found.append((level, full, rest))
        level += 1
    return found


def fetch_entries(fetch: Fetch, size: int) -> list[bytes]:
    """Fetch every entry of a tree from its bundles."""
    entries: list[bytes] = []
    while len(entries) < size:
        index, width = len(entries) // 256, min(256, size - len(entries))
        body = fetch(tile_name("entries", index, width))
        while body:
            length = int.from_bytes(body[:2], "big")
            entries.append(body[2 : 2 + length])
            body = body[2 + length :]
    if len(entries) != size:
        raise Refused("more entries than were asked for")
    return entries


def check_tiles(fetch: Fetch, leaves: Leaves, size: int) -> None:
    """Check every tile of a tree against the leaves it must be made of."""
    for level, index, width in tiles_of(size):
        body, span = fetch(tile_name(level, index, width)), 256**level
        starts = [(index * 256 + at) * span for at in range(width)]
        if body != b"".join(leaves.mth(start, start + span) for start in starts):
            raise Refused(f"tile {level}/{index}")


def check_log(fetch: Fetch, name: str, public_key: bytes) -> tuple[Checkpoint, list[bytes]]:
    """Audit a whole log from its entries: checkpoint, bundles and tiles say the same, and the key signed it."""
    point = read_note(fetch("checkpoint").decode(), name, public_key)
    entries = fetch_entries(fetch, point.size)
    leaves = Leaves([leaf_digest(entry) for entry in entries])
    if leaves.mth(0, point.size) != point.root:
        raise Refused("the root is another one")
    check_tiles(fetch, leaves, point.size)
    return point, entries
