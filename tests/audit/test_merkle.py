"""Every root and proof up to 130 leaves against the naive recursion of RFC 9162, and every mutation of them refused."""

import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vault.audit.merkle import (
    EMPTY_ROOT,
    TILE_BYTES,
    TILE_WIDTH,
    Frontier,
    Rooted,
    Tile,
    Tree,
    fold,
    grown,
    leaf_hash,
    node_hash,
    split,
)
from vault.audit.proofs import LogProof, extends, hash_of, includes, parse_proof

MOST = 130
LEAVES = [leaf_hash(b"%d" % number) for number in range(70_000)]
ALTERED = bytes(32)


@cache
def naive_root(low: int, high: int) -> bytes:
    """MTH of RFC 9162, section 2.1.1, over leaves low … high - 1."""
    if high == low:
        return sha256(b"").digest()
    if high - low == 1:
        return LEAVES[low]
    half = 1
    while half * 2 < high - low:
        half *= 2
    return node_hash(naive_root(low, low + half), naive_root(low + half, high))


def naive_path(position: int, low: int, high: int) -> list[bytes]:
    if high - low == 1:
        return []
    half = 1
    while half * 2 < high - low:
        half *= 2
    if position < half:
        return [*naive_path(position, low, low + half), naive_root(low + half, high)]
    return [*naive_path(position - half, low + half, high), naive_root(low, low + half)]


def naive_consistency(old: int, low: int, high: int, whole: bool) -> list[bytes]:
    if old == high - low:
        return [] if whole else [naive_root(low, high)]
    half = 1
    while half * 2 < high - low:
        half *= 2
    if old <= half:
        return [*naive_consistency(old, low, low + half, whole), naive_root(low + half, high)]
    return [*naive_consistency(old - half, low + half, high, False), naive_root(low, low + half)]


class Kept:
    """Tiles as the database keeps them: level 0 full ones only, its last one from the leaf hashes."""

    def __init__(self) -> None:
        self.size = 0
        self.tiles: dict[tuple[int, int], bytes] = {}
        self.leaves: list[bytes] = []

    def unfinished(self, level: int) -> bytes:
        if level == 0:
            return b"".join(self.leaves[self.size // TILE_WIDTH * TILE_WIDTH :])
        return self.tiles[level, (self.size >> (8 * level)) // TILE_WIDTH]

    def append(self, leaves: Sequence[bytes]) -> list[Tile]:
        changed = list(grown(self.size, self.unfinished, leaves))
        self.tiles.update({(tile.level, tile.index): tile.hashes for tile in changed})
        self.leaves += leaves
        self.size += len(leaves)
        return changed

    def read(self, level: int, index: int) -> bytes:
        if (level, index) in self.tiles:
            return self.tiles[level, index]
        return b"".join(self.leaves[index * TILE_WIDTH : (index + 1) * TILE_WIDTH]) if level == 0 else b""


def tree_of(size: int) -> Tree:
    def read(level: int, index: int) -> bytes:
        return b"".join(LEAVES[:size]) if (level, index) == (0, 0) else b""

    return Tree(size, read)


def test_every_root_and_inclusion_proof_equals_the_naive_recursion() -> None:
    for size in range(1, MOST + 1):
        tree, root = tree_of(size), naive_root(0, size)
        assert tree.root() == root
        for position in range(size):
            path = tree.inclusion(position)
            assert path == naive_path(position, 0, size)
            assert includes(root, size, position, LEAVES[position], path)


def test_every_consistency_proof_equals_the_naive_recursion() -> None:
    for size in range(1, MOST + 1):
        tree = tree_of(size)
        for old in range(1, size + 1):
            path = tree.consistency(old)
            assert path == naive_consistency(old, 0, size, True)
            assert extends(naive_root(0, old), old, naive_root(0, size), size, path)


def mutations(path: Sequence[bytes]) -> Iterator[list[bytes]]:
    for at in range(len(path)):
        yield [*path[:at], *path[at + 1 :]]
        yield [*path[:at], ALTERED, *path[at + 1 :]]
        yield [*path[:at], ALTERED, *path[at:]]
        yield [*path[:at], path[at], *path[at:]]
    yield [*path, ALTERED]


def test_no_mutated_inclusion_proof_is_taken() -> None:
    for size in range(1, 66):
        tree, root = tree_of(size), naive_root(0, size)
        for position in range(size):
            path = tree.inclusion(position)
            assert not any(includes(root, size, position, LEAVES[position], other) for other in mutations(path))
            assert not includes(root, size, position, LEAVES[position + 1], path)
            assert not includes(root, size, position + 1, LEAVES[position], path)
            assert not includes(root, size, position - 1, LEAVES[position], path)
            for other in (size - 1, size + 1):
                assert not includes(naive_root(0, other), other, position, LEAVES[position], path)


def test_no_mutated_consistency_proof_is_taken() -> None:
    for size in range(2, 66):
        tree, root = tree_of(size), naive_root(0, size)
        for old in range(1, size):
            path, old_root = tree.consistency(old), naive_root(0, old)
            assert not any(extends(old_root, old, root, size, other) for other in mutations(path))
            for near in (old - 1, old + 1):
                assert not extends(naive_root(0, near), near, root, size, path)
            for near in (size - 1, size + 1):
                assert not extends(old_root, old, naive_root(0, near), near, path)
            assert not extends(ALTERED, old, root, size, path)
            assert not extends(old_root, old, ALTERED, size, path)


def test_the_edges_of_consistency() -> None:
    root = naive_root(0, 5)
    assert extends(EMPTY_ROOT, 0, root, 5, [])
    assert extends(root, 5, root, 5, [])
    assert not extends(root, 0, root, 5, [])
    assert not extends(EMPTY_ROOT, 0, root, 5, [ALTERED])
    assert not extends(naive_root(0, 4), 5, root, 5, [])
    assert not extends(root, 5, naive_root(0, 4), 4, [])
    assert not extends(naive_root(0, 4), 4, root, 5, [])
    assert not extends(root, -1, root, 5, [])


def test_the_empty_tree_is_the_hash_of_nothing() -> None:
    assert tree_of(0).root() == EMPTY_ROOT == Frontier().root()
    assert tree_of(3).consistency(0) == []


@pytest.mark.parametrize("ask", [lambda tree: tree.root(4), lambda tree: tree.inclusion(3), lambda tree: tree.consistency(4)])
def test_outside_the_tree_there_is_no_proof(ask: Callable[[Tree], object]) -> None:
    with pytest.raises(ValueError, match="outside"):
        ask(tree_of(3))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 700), max_size=6))
def test_tiles_grown_in_any_steps_give_the_tree_of_all_leaves(steps: list[int]) -> None:
    kept, frontier, completed = Kept(), Frontier(), []
    for step in steps:
        added = LEAVES[kept.size : kept.size + step]
        kept.append(added)
        completed += [node for leaf in added for node in frontier.append(leaf)[:1]]
    assert Tree(kept.size, kept.read).root() == naive_root(0, kept.size) == frontier.root()
    assert b"".join(completed) == b"".join(kept.tiles[1, index] for index in range(2) if (1, index) in kept.tiles)
    full = [index for level, index in kept.tiles if level == 0]
    assert full == list(range(kept.size // TILE_WIDTH))


def test_a_tree_of_seventy_thousand_leaves_has_the_tiles_the_format_says() -> None:
    kept = Kept()
    for start in range(0, 70_000, 10_000):
        kept.append(LEAVES[start : start + 10_000])
    widths = {level: [len(kept.tiles[key]) // 32 for key in sorted(kept.tiles) if key[0] == level] for level in (0, 1, 2)}
    assert widths == {0: [256] * 273, 1: [256, 17], 2: [1]}
    tree = Tree(70_000, kept.read)
    assert tree.root() == naive_root(0, 70_000)
    for position in (0, 255, 256, 65_535, 65_536, 69_999):
        assert includes(tree.root(), 70_000, position, LEAVES[position], tree.inclusion(position))
    for old in (1, 256, 65_536, 69_888, 69_999):
        assert extends(tree.root(old), old, tree.root(), 70_000, tree.consistency(old))
    assert Tile(0, 0, kept.tiles[0, 0]).full
    assert not Tile(2, 0, kept.tiles[2, 0]).full


@pytest.mark.parametrize(("size", "most"), [(10**7, 5), (10**8, 6)])
def test_a_proof_reads_few_tiles_however_long_the_log(size: int, most: int) -> None:
    """Two for each level at most: what a proof costs is how many tiles it reads."""
    read: set[tuple[int, int]] = set()

    def tile(level: int, index: int) -> bytes:
        read.add((level, index))
        return bytes(32 * min(TILE_WIDTH, (size >> (8 * level)) - index * TILE_WIDTH))

    tree, counts = Tree(size, tile), []
    for position in {0, 255, 256, size // 2, size // 3, size - 257, size - 1, *range(0, size, size // 97)}:
        read.clear()
        tree.inclusion(position)
        counts.append(len(read))
        assert len(read) <= 2 * len({level for level, _ in read})
    assert max(counts) <= most


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 700, 65_536, 70_000])
def test_what_lies_under_a_root_holds_and_nothing_else(size: int) -> None:
    """Seen failing without a tile folded into the one above, and without the root compared."""
    kept = Kept()
    kept.append(LEAVES[:size])
    positions = {0, 1, 254, 255, 256, size // 2, size - 2, size - 1} & set(range(size))
    rooted = Rooted(size, naive_root(0, size), kept.read)
    assert all(rooted.holds(one, LEAVES[one]) for one in positions)
    assert not any(rooted.holds(one, ALTERED) or rooted.holds(one, LEAVES[one - 1]) for one in positions)
    assert not any(rooted.holds(one, LEAVES[0]) for one in (-1, size))
    assert not Rooted(size, ALTERED, kept.read).holds(0, LEAVES[0])
    assert not Rooted(size, naive_root(0, size), lambda _level, _index: b"").holds(0, LEAVES[0])


@pytest.mark.parametrize("tile", [(0, 0), (1, 0), (1, 1), (2, 0)])
def test_a_tile_somebody_edited_says_nothing(tile: tuple[int, int]) -> None:
    kept = Kept()
    kept.append(LEAVES[:70_000])
    was = kept.tiles[tile]
    for edited in (ALTERED + was[32:], was[:-1], was[:-32]):
        kept.tiles[tile] = edited
        rooted = Rooted(70_000, naive_root(0, 70_000), kept.read)
        assert not any(rooted.holds(0, one) for one in (LEAVES[0], edited[:32], ALTERED))
        assert rooted.holds(300, LEAVES[300]) == (tile == (0, 0))


def test_of_the_leaves_one_tile_is_kept_and_read_once_where_they_are_asked_in_order() -> None:
    """Seen failing with every tile kept: eight kilobytes for each of many thousand leaves."""
    kept, read = Kept(), list[tuple[int, int]]()
    kept.append(LEAVES[:70_000])

    def tile(level: int, index: int) -> bytes:
        read.append((level, index))
        return bytes(bytearray(kept.read(level, index)))  # its own, as the database gives it

    rooted = Rooted(70_000, naive_root(0, 70_000), tile)
    tracemalloc.start()
    try:
        assert all(rooted.holds(one, LEAVES[one]) for one in range(0, 70_000, 100))
        made = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, __file__)])  # this process has other threads
    finally:
        tracemalloc.stop()
    assert sum(one.size for one in made.traces) < 20 * TILE_BYTES
    assert len([level for level, _ in read if level == 0]) == 274
    assert len([level for level, _ in read if level > 0]) <= 4


def test_a_tile_read_again_is_folded_again() -> None:
    """Seen failing with what was once found to fit believed for good."""
    kept = Kept()
    kept.append(LEAVES[:70_000])
    rooted = Rooted(70_000, naive_root(0, 70_000), kept.read)
    assert rooted.holds(0, LEAVES[0])
    assert rooted.holds(300, LEAVES[300])
    kept.tiles[0, 0] = ALTERED + kept.tiles[0, 0][32:]
    assert not rooted.holds(0, ALTERED)
    assert not rooted.holds(0, LEAVES[0])


def test_an_unfinished_tile_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="fit"):
        list(grown(5, lambda _level: bytes(32 * 4), LEAVES[:1]))


def test_a_tile_that_lacks_hashes_is_refused() -> None:
    with pytest.raises(ValueError, match="lacks"):
        Tree(200, lambda _level, _index: bytes(TILE_BYTES // 2)).root()
    with pytest.raises(ValueError, match="cut"):
        split(bytes(33))
    assert fold([ALTERED]) == ALTERED


def test_a_proof_survives_its_text() -> None:
    proof = LogProof(2, tuple(tree_of(5).inclusion(2)), "note\n\n— a b\n")
    assert parse_proof(proof.text) == proof
    assert parse_proof(LogProof(0, (), "note\n").text) == LogProof(0, (), "note\n")


GOOD = LogProof(2, (ALTERED,), "note\n").text


@pytest.mark.parametrize(
    "text",
    [
        "",
        GOOD.replace("v1", "v2"),
        GOOD.replace("index 2", "index 02"),
        GOOD.replace("index 2", "index -2"),
        GOOD.replace("index 2", "place 2"),
        GOOD.replace("\n\n", "\n"),
        GOOD.replace("AAA=", "AAB="),
        GOOD.replace("AAA=", "AA=="),
        GOOD.replace("AAA=", "A?A="),
        LogProof(1, (ALTERED,) * 64, "note\n").text,
        "c2sp.org/tlog-proof@v1\n\nnote\n",
    ],
)
def test_an_irregular_proof_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_proof(text)


def test_a_line_of_another_length_is_no_hash() -> None:
    with pytest.raises(ValueError, match="hash"):
        hash_of("AAAA")
