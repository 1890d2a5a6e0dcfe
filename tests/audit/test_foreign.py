"""What we make, read by a checker that shares nothing with us: every tree to 130 leaves, sampled ones to a million."""

import ast
import base64
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from tests.audit import foreign
from tests.audit.makers import HOST, public_key, sign, vkey
from vault.audit.checkpoint import Checkpoint, note_text, origin, parse_note, signed_by
from vault.audit.merkle import TILE_WIDTH, Tree, grown, leaf_hash
from vault.audit.proofs import LogProof, extends, hash_line, includes, parse_proof
from vault.audit.tiles import bundle, place_of

NAME = origin(HOST, "ctl-1", 1)
KEY = public_key("")
MILLION = 1_000_000
SAMPLED = (131, 255, 256, 257, 511, 512, 65_535, 65_536, 65_537, 70_000, 131_073, 262_144, 555_555, 999_999, MILLION)


def entry(number: int) -> bytes:
    return b'{"number":%d}' % number


class Grown:
    """A log of ours as the database keeps it: full tiles of level 0, all of the others, leaf hashes."""

    def __init__(self) -> None:
        self.leaves: list[bytes] = []
        self.tiles: dict[tuple[int, int], bytes] = {}

    def grow(self, size: int) -> None:
        before = len(self.leaves)
        added = [leaf_hash(entry(number)) for number in range(before, size)]
        for tile in grown(before, self._unfinished, added):
            self.tiles[tile.level, tile.index] = tile.hashes
        self.leaves += added

    def _unfinished(self, level: int) -> bytes:
        if level == 0:
            return b"".join(self.leaves[len(self.leaves) // TILE_WIDTH * TILE_WIDTH :])
        return self.tiles[level, (len(self.leaves) >> (8 * level)) // TILE_WIDTH]

    def read(self, level: int, index: int) -> bytes:
        if (level, index) in self.tiles or level:
            return self.tiles.get((level, index), b"")
        return b"".join(self.leaves[index * TILE_WIDTH : (index + 1) * TILE_WIDTH])

    def tree(self, size: int) -> Tree:
        return Tree(size, self.read)

    def note(self, size: int) -> str:
        point = Checkpoint(NAME, size, self.tree(size).root())
        return note_text(point, [vkey(NAME).line(sign("", point.body.encode()))])

    def fetch(self, size: int) -> foreign.Fetch:
        def body(path: str) -> bytes:
            if path == "checkpoint":
                return self.note(size).encode()
            level, _, index = path.removeprefix("tile/").partition("/")
            place = place_of(level, index)
            assert place.within(size)
            if place.level is None:
                return bundle(entry(number) for number in range(place.first, place.first + place.width))
            return self.read(place.level, place.index)[: place.width * 32]

        return body


@pytest.fixture(scope="module")
def log() -> Grown:
    made = Grown()
    for size in range(1, 131):
        made.grow(size)
    for size in (*SAMPLED[:6], *range(10_000, MILLION + 1, 90_000)):
        made.grow(size)
    return made


def consistency(log: Grown, old: int, size: int) -> str:
    return "".join(hash_line(one) for one in log.tree(size).consistency(old))


def test_the_checker_shares_nothing_with_what_it_checks() -> None:
    tree = ast.parse(Path(foreign.__file__).read_text())
    imported = {one.name for node in ast.walk(tree) if isinstance(node, ast.Import) for one in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in imported} == {"base64", "hashlib", "collections", "dataclasses", "cryptography"}


def test_every_tree_to_130_leaves_is_what_a_foreign_checker_makes_of_its_entries(log: Grown) -> None:
    for size in range(1, 131):
        point, entries = foreign.check_log(log.fetch(size), NAME, KEY)
        assert point.size == size
        for number in range(size):
            proof = LogProof(number, tuple(log.tree(size).inclusion(number)), log.note(size)).text if size < 34 else None
            if proof is not None:  # signing each again is what takes long
                assert foreign.check_proof(proof, entries[number], NAME, KEY) == number
            path = log.tree(size).inclusion(number)
            assert foreign.root_by_path(foreign.leaf_digest(entries[number]), number, size, path) == point.root


def test_every_consistency_proof_to_130_leaves_is_taken_by_a_foreign_checker(log: Grown) -> None:
    points = [foreign.Checkpoint(NAME, size, log.tree(size).root()) for size in range(131)]
    for size in range(131):
        for old in range(size + 1):
            foreign.check_consistency(points[old], points[size], consistency(log, old, size))


def sampled(size: int) -> list[int]:
    """Edges of the tree's parts, and a few positions between them that are the same each time."""
    edges = {0, 1, size // 2, size - 1, *(one for at in range(8, 20) for one in ((1 << at) - 1, 1 << at) if one < size)}
    drawn = (int.from_bytes(sha256(b"%d %d" % (size, at)).digest()[:8], "big") % size for at in range(8))
    return sorted({*edges, *drawn})


def test_sampled_trees_to_a_million_leaves_are_what_a_foreign_checker_makes_of_them(log: Grown) -> None:
    leaves = foreign.Leaves([foreign.leaf_digest(entry(number)) for number in range(MILLION)])
    for size in SAMPLED:
        tree, note = log.tree(size), log.note(size)
        point = foreign.read_note(note, NAME, KEY)
        assert point.root == leaves.mth(0, size)
        for number in sampled(size):
            proof = LogProof(number, tuple(tree.inclusion(number)), note).text
            assert foreign.check_proof(proof, entry(number), NAME, KEY) == number
        for old in sampled(size):
            foreign.check_consistency(foreign.Checkpoint(NAME, old, leaves.mth(0, old)), point, consistency(log, old, size))
    foreign.check_tiles(log.fetch(70_000), leaves, 70_000)
    assert [foreign.tile_name(*one) for one in foreign.tiles_of(70_000)[-4:]] == [
        "tile/0/273.p/112", "tile/1/000", "tile/1/001.p/17", "tile/2/000.p/1",
    ]  # fmt: skip


# --- and what a bearer has changed is refused by both ---------------------------------------------------------------------------


def mutated(text: str) -> Iterator[tuple[str, str]]:
    """Yield what a bearer may have changed in a proof's text, each way once and at every place."""
    head, _, note = text.partition("\n\n")
    first, numbered, *path = head.split("\n")
    index = int(numbered.removeprefix("index "))

    def joined(number: int, lines: list[str], signed: str = note) -> str:
        return "\n".join([first, f"index {number}", *lines]) + f"\n\n{signed}"

    for at, line in enumerate(path):
        octets = bytearray(base64.b64decode(line))
        for bit in range(0, 256, 37):
            octets[bit // 8] ^= 1 << bit % 8
            yield "bit", joined(index, [*path[:at], hash_line(bytes(octets)).strip(), *path[at + 1 :]])
            octets[bit // 8] ^= 1 << bit % 8
        yield "dropped", joined(index, [*path[:at], *path[at + 1 :]])
        yield "added", joined(index, [*path[:at], line, *path[at:]])
    yield "added", joined(index, [*path, hash_line(bytes(32)).strip()])
    yield "index", joined(index + 1, path)
    yield "index", joined(index - 1, path)
    body, _, signatures = note.partition("\n\n")
    name, size, root = body.split("\n")
    for other in (int(size) + 1, int(size) - 1):
        yield "size", joined(index, path, f"{name}\n{other}\n{root}\n\n{signatures}")


def holds(text: str, leaf: bytes) -> bool:
    """What our own verifier says of a proof as text, as a holder checks it."""
    try:
        proof = parse_proof(text)
        note = parse_note(proof.note)
    except ValueError:
        return False
    point = note.checkpoint
    return signed_by(note, vkey(NAME)) and includes(point.root, point.size, proof.index, leaf_hash(leaf), proof.path)


def taken(text: str, leaf: bytes) -> bool:
    try:
        foreign.check_proof(text, leaf, NAME, KEY)
    except (foreign.Refused, ValueError):
        return False
    return True


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 9, 64, 65, 130, 70_000])
def test_no_mutated_proof_is_taken_by_either(log: Grown, size: int) -> None:
    note = log.note(size)
    for number in {0, size // 2, size - 1}:
        proof = LogProof(number, tuple(log.tree(size).inclusion(number)), note).text
        assert holds(proof, entry(number))
        assert taken(proof, entry(number))
        for what, other in mutated(proof):
            assert not holds(other, entry(number)), (size, number, what)
            assert not taken(other, entry(number)), (size, number, what)
        for near in (size - 1, size + 1):  # another checkpoint, itself genuine
            elsewhere = proof.replace(note, log.note(near)) if near else ""
            assert not holds(elsewhere, entry(number)), (size, number, near)
            assert not taken(elsewhere, entry(number)), (size, number, near)
        assert not holds(proof, entry(number + 1))
        assert not taken(proof, entry(number + 1))


def test_a_checkpoint_of_another_log_or_key_proves_nothing(log: Grown) -> None:
    note, path = log.note(9), tuple(log.tree(9).inclusion(4))
    point = Checkpoint(origin(HOST, "ctl-2", 1), 9, log.tree(9).root())
    theirs = note_text(point, [vkey(point.origin).line(sign("", point.body.encode()))])
    forged = note.replace(note.splitlines()[-1].rpartition(" ")[2], base64.b64encode(vkey(NAME).key_id + bytes(64)).decode())
    for other in (theirs, forged):
        proof = LogProof(4, path, other).text
        assert not holds(proof, entry(4))
        assert not taken(proof, entry(4))


def test_no_mutated_consistency_is_taken_by_either(log: Grown) -> None:
    for size in (2, 3, 8, 9, 65, 130, 70_000):
        new = foreign.Checkpoint(NAME, size, log.tree(size).root())
        for old_size in {1, size // 2, size - 1}:
            old = foreign.Checkpoint(NAME, old_size, log.tree(old_size).root())
            path = log.tree(size).consistency(old_size)
            others = [[*path[:at], *path[at + 1 :]] for at in range(len(path))] + [[*path, bytes(32)], [bytes(32), *path]]
            others += [[*path[:at], bytes([one[0] ^ 1]) + one[1:], *path[at + 1 :]] for at, one in enumerate(path)]
            for other in others:
                assert not extends(old.root, old_size, new.root, size, other)
                with pytest.raises(foreign.Refused):
                    foreign.check_consistency(old, new, "".join(hash_line(one) for one in other))
