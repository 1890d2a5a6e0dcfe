"""The Merkle tree of RFC 9162, kept in tiles of 256 hashes (C2SP tlog-tiles).

Tile n of level l holds the hashes of the subtrees of leaves `(n·256+i)·256^l …`; level 0 holds leaf hashes. Only full tiles are
final. A root or proof reads at most two tiles a level. Pure: tiles are read through a callable.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

HASH_BYTES = 32
TILE_WIDTH = 256
TILE_BYTES = TILE_WIDTH * HASH_BYTES
EMPTY_ROOT = sha256(b"").digest()

TileReader = Callable[[int, int], bytes]  # (level, index) -> the hashes kept there, joined; b"" when there are none


def leaf_hash(leaf: bytes) -> bytes:
    """Return SHA-256(0x00 ‖ leaf) (RFC 9162, section 2.1.1)."""
    return sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return SHA-256(0x01 ‖ left ‖ right); the prefix keeps a node from passing as a leaf."""
    return sha256(b"\x01" + left + right).digest()


def fold(hashes: Sequence[bytes]) -> bytes:
    """Return the root over a power of two of hashes, pairwise up."""
    row = list(hashes)
    while len(row) > 1:
        row = [node_hash(row[at], row[at + 1]) for at in range(0, len(row), 2)]
    return row[0]


def split(hashes: bytes) -> list[bytes]:
    """Return the hashes of joined bytes. Raises ValueError when the length is not a multiple of 32."""
    if len(hashes) % HASH_BYTES:
        raise ValueError("a tile is cut")
    return [hashes[at : at + HASH_BYTES] for at in range(0, len(hashes), HASH_BYTES)]


@dataclass(frozen=True, slots=True)
class Tile:
    """One tile to be stored: 1 to 256 hashes, joined."""

    level: int
    index: int
    hashes: bytes

    @property
    def full(self) -> bool:
        """Whether it is final."""
        return len(self.hashes) == TILE_BYTES


def grown(size: int, unfinished: Callable[[int], bytes], leaves: Sequence[bytes]) -> Iterator[Tile]:
    """Yield the tiles that change when `leaves` (their hashes) are appended to a tree of `size`.

    `unfinished(level)` returns the hashes of that level's last tile where it is not full at `size`. Level 0 yields full tiles only:
    its last one is read from the entries. A higher level's last tile is yielded unfinished too, at most once for 256 entries.
    """
    level, count, added = 0, size, b"".join(leaves)
    while added:
        first, held = divmod(count, TILE_WIDTH)
        row = (unfinished(level) if held else b"") + added
        if len(row) != held * HASH_BYTES + len(added):
            raise ValueError("the unfinished tile does not fit the size")
        complete, rest = divmod(len(row), TILE_BYTES)
        tiles = [Tile(level, first + at, row[at * TILE_BYTES : (at + 1) * TILE_BYTES]) for at in range(complete)]
        yield from tiles
        if rest and level:
            yield Tile(level, first + complete, row[-rest:])
        level, count, added = level + 1, first, b"".join(fold(split(tile.hashes)) for tile in tiles)


class Tree:
    """The tree of the first `size` leaves, read out of tiles. Raises ValueError when a tile lacks what the size needs."""

    def __init__(self, size: int, read: TileReader) -> None:
        self.size = size
        self._read = read
        self._tiles: dict[tuple[int, int], bytes] = {}

    def root(self, size: int | None = None) -> bytes:
        """Return the root of the first `size` leaves, of all without."""
        end = self.size if size is None else size
        if not 0 <= end <= self.size:
            raise ValueError("outside the tree")
        return self._range(0, end) if end else EMPTY_ROOT

    def parts(self, size: int) -> list[bytes]:
        """Return the roots of the perfect parts of the first `size` leaves, the largest first: what a `Frontier` goes on from.

        Raises ValueError outside the tree.
        """
        if not 0 <= size <= self.size:
            raise ValueError("outside the tree")
        found, low = [], 0
        for height in reversed(range(size.bit_length())):
            if size >> height & 1:
                found.append(self._range(low, low + (1 << height)))
                low += 1 << height
        return found

    def inclusion(self, position: int) -> list[bytes]:
        """Return the sibling hashes that prove a leaf is in the tree, lowest first (RFC 9162, section 2.1.3.1).

        Raises ValueError outside the tree.
        """
        if not 0 <= position < self.size:
            raise ValueError("outside the tree")
        path: list[bytes] = []
        low, high = 0, self.size
        while high - low > 1:
            middle = low + _half(high - low)
            if position < middle:
                path.append(self._range(middle, high))
                high = middle
            else:
                path.append(self._range(low, middle))
                low = middle
        return path[::-1]

    def consistency(self, old: int) -> list[bytes]:
        """Return the hashes that prove the first `old` leaves are this tree's beginning (RFC 9162, section 2.1.4.1).

        Raises ValueError outside the tree; from the empty tree and to itself the proof is empty.
        """
        if not 0 <= old <= self.size:
            raise ValueError("outside the tree")
        if old in (0, self.size):
            return []
        path: list[bytes] = []
        low, high = 0, self.size
        while old != high:
            middle = low + _half(high - low)
            if old <= middle:
                path.append(self._range(middle, high))
                high = middle
            else:
                path.append(self._range(low, middle))
                low = middle
        if low:  # the old tree is no subtree from the left edge: its last part is sent too
            path.append(self._range(low, high))
        return path[::-1]

    def _range(self, low: int, high: int) -> bytes:
        """Return the root over leaves low … high - 1, where low is a multiple of the largest power of two inside."""
        width = high - low
        if width & (width - 1) == 0:
            return self._perfect(width.bit_length() - 1, low >> (width.bit_length() - 1))
        middle = low + _half(width)
        return node_hash(self._range(low, middle), self._range(middle, high))

    def _perfect(self, height: int, index: int) -> bytes:
        """Return the root of the perfect subtree `index` of 2^height leaves, folded from one tile."""
        level, up = divmod(height, 8)
        number, at = divmod(index << up, TILE_WIDTH)
        hashes = self.tile(level, number)[at * HASH_BYTES : (at + (1 << up)) * HASH_BYTES]
        if len(hashes) != HASH_BYTES << up:
            raise ValueError("a tile lacks hashes")
        return fold(split(hashes))

    def tile(self, level: int, index: int) -> bytes:
        """Return a tile as it was read the first time."""
        if (level, index) not in self._tiles:
            self._tiles[level, index] = self._read(level, index)
        return self._tiles[level, index]


class Rooted:
    """What lies under a root, by tiles that need not be believed: each that is read is folded into the hash above it.

    `is_known`: the tiles make the root. Where they do not nothing is known of any leaf. Of level 0 the present tile alone is kept:
    ask in order of position, and each is read once.
    """

    def __init__(self, size: int, root: bytes, read: TileReader) -> None:
        self._tree = Tree(size, read)
        self._read = read
        self._present: dict[tuple[int, int], bytes] = {}
        self._above: dict[tuple[int, int], bytes] = {}
        try:
            self.is_known = self._tree.root() == root
        except ValueError:
            self.is_known = False

    def holds(self, position: int, hashed: bytes) -> bool:
        """Return whether the leaf at a position has this hash; never where the tiles do not make the root."""
        try:
            return self.is_known and 0 <= position < self._tree.size and self._hash(0, position) == hashed
        except ValueError:
            return False

    def _hash(self, level: int, index: int) -> bytes:
        """Return the hash of a subtree of 256^level leaves. Raises ValueError where the tile it stands in does not fit."""
        number, at = divmod(index, TILE_WIDTH)
        return self._tile(level, number)[at * HASH_BYTES : (at + 1) * HASH_BYTES]

    def _tile(self, level: int, number: int) -> bytes:
        """Return a tile that fits. Raises ValueError where it does not."""
        if (number + 1) << 8 * (level + 1) > self._tree.size:  # there is none above: the root was made of it
            return self._tree.tile(level, number)
        kept, place = self._above if level else self._present, (level, number)
        if place not in kept:
            tile = self._read(level, number)
            if len(tile) != TILE_BYTES or fold(split(tile)) != self._hash(level + 1, number):
                raise ValueError("a tile does not fit the one above")
            self._present.clear()
            kept[place] = tile
        return kept[place]


def _half(width: int) -> int:
    """Return the largest power of two below `width`."""
    return 1 << ((width - 1).bit_length() - 1)


class Frontier:
    """A tree growing leaf by leaf, keeping only the roots of its perfect parts: what a verifier needs of any length of log."""

    def __init__(self) -> None:
        self.size = 0
        self._parts: list[bytes] = []

    @classmethod
    def resumed(cls, size: int, parts: Sequence[bytes]) -> "Frontier":
        """Return a frontier that has taken `size` leaves, from its `parts`. Raises ValueError where they are of another size."""
        if len(parts) != size.bit_count() or any(len(one) != HASH_BYTES for one in parts):
            raise ValueError("the parts do not fit the size")
        found = cls()
        found.size, found._parts = size, list(parts)
        return found

    @property
    def parts(self) -> tuple[bytes, ...]:
        """The roots of its perfect parts, the largest first: enough to go on from."""
        return tuple(self._parts)

    def append(self, hashed: bytes) -> list[bytes]:
        """Take one leaf hash; return the roots of the subtrees of 256, 65,536 … leaves that it completed, lowest first."""
        return self.append_subtree(hashed, 0)

    def append_subtree(self, root: bytes, height: int) -> list[bytes]:
        """Take the root of the next 2^height leaves; the size so far is a multiple of that. Returns what `append` does."""
        completed: list[bytes] = []
        size, node = self.size >> height, root
        self.size += 1 << height
        while size & 1:
            node = node_hash(self._parts.pop(), node)
            size >>= 1
            height += 1
            if height % 8 == 0:
                completed.append(node)
        self._parts.append(node)
        return completed

    def root(self) -> bytes:
        """Return the root of all taken so far."""
        if not self._parts:
            return EMPTY_ROOT
        node = self._parts[-1]
        for part in reversed(self._parts[:-1]):
            node = node_hash(part, node)
        return node
