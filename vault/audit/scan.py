"""Scanning a log from its leaves: positions, writers' chains and MACs, the tree, its tiles, and every checkpoint known.

Everything is recomputed from leaf bytes; no stored hash or tile is trusted. A missing MAC, an empty log, and a log shorter than any
known checkpoint are failures. Where a chain, a MAC, a hash or a tile differs, the first position is named; where all of these were
made to fit, the interval between the last checkpoint that holds and the first that does not.

Fed row by row in log order, so memory does not depend on the log's length but on the number of writers. Pure.
"""

import hmac
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from vault.audit import entry
from vault.audit.checkpoint import Note, parse_note, signed_by
from vault.audit.merkle import EMPTY_ROOT, HASH_BYTES, TILE_BYTES, TILE_WIDTH, Frontier, fold, leaf_hash, split
from vault.audit.pruned import OPERATION as PRUNING
from vault.audit.pruned import STEP, STEP_HEIGHT, Crossing, Pruned
from vault.notes import VerifierKey
from vault.octets import b64u

Tiles = Callable[[int, int], bytes | None]
FirstKey = Callable[[int, str], bytes | None]  # (version of the MAC root, writer) -> K_1, None where there is no such root


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing wrong. `position` is the first entry it touches; `interval` (from, before) where only checkpoints tell."""

    check: str
    what: str
    position: int | None = None
    interval: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class GivenNote:
    """A checkpoint somebody holds: where it comes from, and its text."""

    source: str
    text: str


@dataclass(frozen=True, slots=True)
class Report:
    """What verifying a log has shown. `not_checked` are the checks this run could not make."""

    origin: str
    size: int
    root: bytes
    checkpoints: int
    findings: tuple[Finding, ...]
    not_checked: tuple[str, ...] = ()
    unkeyed: int = 0  # entries of people without an audit key: never enrolled after all, or erased
    before: tuple["Report", ...] = ()  # of the eras that ended, oldest first
    lost: int = 0  # signed entries that a recovery of this era's beginning gave up
    first: int = 0  # where the reading began: what is before was taken as the tiles have it

    @property
    def ok(self) -> bool:
        """Whether everything was checked and nothing found, in every era."""
        return not self.findings and not self.not_checked and all(one.ok for one in self.before)

    @property
    def first_bad(self) -> int | None:
        """The first position anything is wrong at, None when only an interval is known or nothing is wrong."""
        return min((one.position for one in self.findings if one.position is not None), default=None)

    @property
    def interval(self) -> tuple[int, int] | None:
        """The stretch of the log a wrong checkpoint points to: from its last good neighbour to it."""
        return next((one.interval for one in self.findings if one.interval is not None), None)


class Findings:
    """Collects findings: of each check the first, by position."""

    def __init__(self) -> None:
        self._first: dict[str, Finding] = {}

    def add(self, check: str, what: str, position: int | None = None, interval: tuple[int, int] | None = None) -> None:
        """Take one finding, unless an earlier one of the same check is known."""
        known = self._first.get(check)
        if known is None or (position is not None and (known.position is None or position < known.position)):
            self._first[check] = Finding(check, what, position, interval)

    def all(self) -> tuple[Finding, ...]:
        """Return them, those with the lowest position first."""
        return tuple(sorted(self._first.values(), key=lambda one: (one.position is None, one.position or 0, one.check)))


@dataclass(slots=True)
class Link:
    """The last entry seen of a writer; it moves on with each. `key` is that of its next MAC, None where MACs cannot be checked.

    `leaf_hash` is None, and `secret_version` 0, where its entries before were not read.
    """

    number: int
    leaf_hash: bytes | None
    position: int | None
    secret_version: int
    key: bytes | None = field(repr=False)


class WriterChains:
    """Follows each writer's chain: number after number, each with the hash before it and its MAC."""

    def __init__(self, origin: str, first_key: FirstKey | None, findings: Findings) -> None:
        self._origin = origin
        self._first_key = first_key
        self.findings = findings
        self.links: dict[str, Link] = {}
        self.begun: Mapping[str, int] = {}  # of writers that may have begun before what is read: the version of their MAC root

    def take(self, members: Mapping[str, Any], leaf: bytes, hashed: bytes, mac: bytes | None, position: int | None) -> None:
        """Check one entry against its writer's chain. `position` is None for a pending entry."""
        writer_id, number = members.get("writer"), members.get("number")
        if not isinstance(writer_id, str) or not isinstance(number, int) or number < 1:
            self.findings.add("writer-chain", "an entry names no writer", position)
            return
        link = self.links.get(writer_id)
        if link is None:
            link = self.links[writer_id] = self._opened(members, writer_id, number, position)
        is_next = number == link.number + 1
        key = link.key if is_next else self._key_of(link, number)
        is_genuine = self._first_key is None or self._mac_holds(key, leaf, mac, position, writer_id, number)
        if not is_next:
            self.findings.add("writer-chain", f"{writer_id} goes from {link.number} to {number}", position)
        elif link.leaf_hash is not None and members.get("previous") != (b64u(link.leaf_hash) if link.leaf_hash else ""):
            # An entry whose MAC holds is believed when it says that the one before was another.
            blamed = link.position if is_genuine and link.position is not None else position
            self.findings.add("writer-chain", f"{writer_id} {number} follows another entry than the one before it", blamed)
        link.number, link.leaf_hash, link.position = number, hashed, position
        link.key = entry.ratchet(key) if key is not None else None

    def carry(self, writer_id: str, at: Crossing) -> None:
        """Take up a writer's chain where a pruning left it."""
        key = self._key_after(at.number, at.mac_key, writer_id)
        self.links[writer_id] = Link(at.number, at.leaf_hash, None, at.audit_secret, key)

    def _key_after(self, number: int, mac_key: int, writer_id: str) -> bytes | None:
        key = self._first_key(mac_key, writer_id) if self._first_key is not None else None
        for _ in range(min(number, 1 << 20)):  # a writer rolls over before that
            key = entry.ratchet(key) if key is not None else None
        return key

    def _opened(self, members: Mapping[str, Any], writer_id: str, number: int, position: int | None) -> Link:
        """Return the beginning of a writer's chain. Its first entry names this log and the keys in use."""
        if number > 1 and writer_id in self.begun:
            return Link(number - 1, None, None, 0, self._key_after(number - 1, self.begun[writer_id], writer_id))
        about = members.get("about")
        named = about if isinstance(about, dict) else {}
        mac_key, version = named.get("mac_key"), named.get("audit_secret")
        if number != 1 or members.get("operation") != "writer-open" or named.get("origin") != self._origin:
            self.findings.add("writer-chain", f"{writer_id} does not begin in this log", position)
        key = self._first_key(mac_key, writer_id) if self._first_key is not None and isinstance(mac_key, int) else None
        return Link(0, b"", None, version if isinstance(version, int) else 0, key)

    @staticmethod
    def _key_of(link: Link, number: int) -> bytes | None:
        key = link.key
        for _ in range(link.number + 1, min(number, link.number + (1 << 20))):  # entries are missing: the key moved on with them
            key = entry.ratchet(key) if key is not None else None
        return key

    def _mac_holds(
        self, key: bytes | None, leaf: bytes, mac: bytes | None, position: int | None, writer_id: str, number: int
    ) -> bool:
        if key is not None and mac is not None and hmac.compare_digest(entry.leaf_mac(key, leaf), mac):
            return True
        self.findings.add("mac", f"the MAC of {writer_id} {number} is missing or does not hold", position)
        return False


class Scan:
    """One pass over a log, row by row."""

    def __init__(
        self, origin: str, notes: Iterable[GivenNote], vkey: VerifierKey, tiles: Tiles, first_key: FirstKey | None
    ) -> None:
        self.findings = Findings()
        self.chains = WriterChains(origin, first_key, self.findings)
        self._origin = origin
        self._tiles = tiles
        self._frontier = Frontier()
        self._next = 0
        self._rows: list[bytearray] = [bytearray()]  # of each level the tile in the making
        self._tile_at: list[int] = [0]
        self._bad_tiles: set[tuple[int, int]] = set()
        self._notes = self._held(notes, vkey)
        self._good = 0
        self._checked_notes = 0
        self._pruned: Pruned | None = None
        self._told: set[str] = set()  # ids of entries that say that the log was pruned there, and were not taken back
        self.first = 0  # where the reading begins
        self._compare_notes()

    def begin_after(self, pruned: Pruned) -> None:
        """Begin where the log was pruned: the tree from level 1, and each writer's chain as its entry says it stood.

        The entry that says so must then be met among those that are left.
        """
        self._pruned = pruned
        if pruned.bound % STEP or pruned.bound < STEP:
            self.findings.add("prune", "a log is pruned by whole tiles alone", None, (0, pruned.bound))
        self._take_tiles(pruned.bound)
        if self._frontier.root() != pruned.root:
            self.findings.add("prune", "what was pruned had another root", None, (0, pruned.bound))
        for writer_id, at in pruned.writers.items():
            self.chains.carry(writer_id, at)
        self._compare_notes()

    def begin_at(self, bound: int, begun: Mapping[str, int]) -> None:
        """Begin at a multiple of 65,536: what is before is taken as the tiles have it, and checkpoints judge whether it is so.

        `begun` says of each writer the version of its MAC root: its chain is followed from the first entry that is met.
        """
        self.chains.begun = begun
        self._take_tiles(bound)
        self._compare_notes()

    def _take_tiles(self, bound: int) -> None:
        """Make the tree up to a bound of the tiles of level 1."""
        self.first = bound
        self._rows.append(bytearray())
        for index in range(bound // STEP):
            tile = self._tiles(1, index) or b""
            if len(tile) != TILE_BYTES:
                self.findings.add("tile", f"tile 1/{index} is missing", index * STEP)
            node = fold(split(tile)) if len(tile) == TILE_BYTES else bytes(HASH_BYTES)
            self._tile_at[:2] = [(index + 1) * TILE_WIDTH, index + 1]
            self._put(2, node)
            for level, root in enumerate(self._frontier.append_subtree(node, STEP_HEIGHT), 3):
                self._put(level, root)
        self._next = self._frontier.size

    @property
    def size(self) -> int:
        """How many entries were taken."""
        return self._frontier.size

    def take(self, position: int, leaf: bytes, stored_hash: bytes, mac: bytes | None) -> Mapping[str, Any]:
        """Check the next row of the log and return its members."""
        if position != self._next:
            self.findings.add("position", "positions are not contiguous", min(position, self._next))
        self._next = max(self._next, position + 1)
        hashed = leaf_hash(leaf)
        if not hmac.compare_digest(hashed, stored_hash):
            self.findings.add("leaf-hash", "the stored hash is another entry's", position)
        members = members_of(leaf)
        if members is None:
            self.findings.add("leaf", "not an entry", position)
            members = {}
        self.chains.take(members, leaf, hashed, mac, position)
        if members.get("operation") == PRUNING and self._pruned is not None:
            self._hear(members, self._pruned)
        self._grow(hashed)
        self._compare_notes()
        return members

    def _hear(self, members: Mapping[str, Any], pruned: Pruned) -> None:
        """Take what an entry says of the pruning: that it was to be, or of an earlier one that it did not happen."""
        if members.get("outcome") == "failed":
            self._told.discard(str(members.get("ref")))
        elif members.get("about") == pruned.about:
            self._told.add(str(members.get("id")))

    def finish(
        self, head_size: int, writers: Iterable[tuple[str, int, bytes]], tiles: Iterable[tuple[int, int]], eras: Sequence[int]
    ) -> Report:
        """Compare the whole with the head, with what is known of each writer, and with checkpoints of longer logs.

        `writers` are id, number and hash as sequenced; `tiles` the highest index stored at each level; `eras` those without a log.
        """
        size = self._frontier.size
        if self._pruned is not None and not self._told:
            self.findings.add("prune", "no entry says that the log was pruned there", None, (0, self._pruned.bound))
        self._compare_unfinished()
        self._refuse_surplus(tiles)
        if eras:
            self.findings.add("era", f"entries of era {eras[0]}, which has no log", size)
        if size == 0:
            self.findings.add("empty", "the log has no entry", 0)
        if head_size != size:
            self.findings.add("head", f"the head says {head_size} entries, there are {size}", min(size, head_size))
        longer = [one for one in self._notes if one > size]
        if longer:
            self.findings.add("truncated", f"a checkpoint covers {max(longer)} entries, there are {size}", size)
        for writer_id, number, hashed in writers:
            link = self.chains.links.get(writer_id)
            if link is None and self.first:
                continue  # it ended before that
            if link is None or link.number < number:
                self.findings.add("writer-tail", f"{writer_id} was sequenced up to {number}", size)
            elif link.number == number and link.leaf_hash != hashed:
                self.findings.add("writer-tail", f"{writer_id} {number} was another entry", link.position)
        return Report(
            self._origin, size, self._frontier.root(), self._checked_notes, self.findings.all(), first=self.first
        )  # fmt: skip

    # --- the tree ---

    def _grow(self, hashed: bytes) -> None:
        self._put(0, hashed)
        for level, node in enumerate(self._frontier.append(hashed), 1):
            self._put(level, node)

    def _put(self, level: int, node: bytes) -> None:
        if level == len(self._rows):
            self._rows.append(bytearray())
            self._tile_at.append(0)
        row = self._rows[level]
        row += node
        if len(row) == TILE_BYTES:
            self._compare_tile(level, self._tile_at[level], bytes(row))
            self._tile_at[level] += 1
            row.clear()

    def _compare_unfinished(self) -> None:
        for level, row in enumerate(self._rows[1:], 1):
            if row:
                self._compare_tile(level, self._tile_at[level], bytes(row))

    def _refuse_surplus(self, tiles: Iterable[tuple[int, int]]) -> None:
        for level, highest in tiles:
            made = self._tile_at[level] + bool(level and self._rows[level]) if 0 <= level < len(self._rows) else 0
            if highest >= made:
                self.findings.add("tile", f"tile {level}/{highest} is one too many", highest * TILE_WIDTH ** (level + 1))

    def _compare_tile(self, level: int, index: int, made: bytes) -> None:
        """Compare a tile with what was made of the entries.

        A hash of a higher tile is only blamed where the tile below it fits: otherwise it is the consequence, not the fault.
        """
        stored = self._tiles(level, index)
        if stored == made:
            return
        self._bad_tiles.add((level, index))
        kept = stored or b""
        slots = range(max(len(made), len(kept)) // HASH_BYTES)
        wrong = (n for n in slots if kept[n * HASH_BYTES :][:HASH_BYTES] != made[n * HASH_BYTES :][:HASH_BYTES])
        blamed = (index * TILE_WIDTH + n for n in wrong if (level - 1, index * TILE_WIDTH + n) not in self._bad_tiles)
        slot = next(blamed, None)
        if slot is not None:
            what = "is missing" if stored is None else "does not fit the entries"
            self.findings.add("tile", f"tile {level}/{index} {what}", slot * TILE_WIDTH**level)

    # --- checkpoints ---

    def _held(self, notes: Iterable[GivenNote], vkey: VerifierKey) -> dict[int, list[tuple[str, Note]]]:
        """Return the notes that are this log's and signed by its key, by size."""
        held: dict[int, list[tuple[str, Note]]] = {}
        for one in notes:
            try:
                note = parse_note(one.text)
            except ValueError:
                self.findings.add("signature", f"{one.source}: not a checkpoint")
                continue
            if note.checkpoint.origin != self._origin or not signed_by(note, vkey):
                self.findings.add("signature", f"{one.source}: not signed by this log's key")
                continue
            held.setdefault(note.checkpoint.size, []).append((one.source, note))
        return held

    def _compare_notes(self) -> None:
        size = self._frontier.size
        here = self._notes.get(size)
        if here is None:
            return
        root = self._frontier.root() if size else EMPTY_ROOT
        for source, note in here:
            self._checked_notes += 1
            if note.checkpoint.root == root:
                self._good = size
            else:
                self.findings.add("root", f"{source}: another root at size {size}", None, (self._good, size))


def members_of(leaf: bytes) -> Mapping[str, Any] | None:
    """Return the members of a leaf, None when it is not a JSON object, or has a member of another shape than an entry's."""
    try:
        members = orjson.loads(leaf)
    except orjson.JSONDecodeError:
        return None
    return members if isinstance(members, dict) and entry.is_shaped(members) else None


def with_findings(report: Report, findings: Sequence[Finding], not_checked: Sequence[str], unkeyed: int) -> Report:
    """Return the report with what a later pass found."""
    ordered = sorted((*report.findings, *findings), key=lambda one: (one.position is None, one.position or 0, one.check))
    return replace(report, findings=tuple(ordered), not_checked=tuple(not_checked), unkeyed=unkeyed)
