"""Prune a controller's trail: its oldest leaves go to an archive, and every proof of what is left stays as it was.

In this order: the stretch is chosen, whole tiles of level 1 below the last checkpoint; its leaves are written to the archive and
hashed on the way, must be those the tree was made of, and are read back; the entry `log-prune` says what goes; only when that is in
the log and signed are rows deleted, in one transaction, before which no list of people affected waits. Partitions that hold
nobody's rows any more are dropped. Interrupted anywhere, it may be run again.
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any, BinaryIO

import orjson
import sqlalchemy as sa

from vault import breaches, tables
from vault.assembly import Vault
from vault.audit import prune_records, verify_records
from vault.audit.checkpoint import origin
from vault.audit.entry import Draft
from vault.audit.eras import beginning_of
from vault.audit.merkle import TILE_BYTES, Frontier, Tree, fold, leaf_hash, split
from vault.audit.pruned import OPERATION, STEP, Crossing, People, Pruned
from vault.audit.records import Head, head, leaf_at, pruned_log, tile_reader
from vault.database import Database
from vault.errors import Conflict, DatabaseUnavailable, Fault, InvalidValue, Unavailable, Unreadable, VaultError

_P = tables.policy_activation.c
_ACTIVATIONS = sa.select(_P.entry_id).where(_P.controller_id == sa.bindparam("controller"))


@dataclass(frozen=True, slots=True)
class Pruning:
    """What was pruned: the entries from `first` to `bound`, where they are archived, and the partitions that were dropped."""

    first: int
    bound: int
    archive: Path
    entry_id: str
    dropped: tuple[str, ...]


@dataclass(slots=True)
class _Stretch:
    """What is learnt of the leaves on their way to the archive."""

    frontier: Frontier = field(default_factory=Frontier)
    roots: list[bytes] = field(default_factory=list)  # of each whole stretch of 65,536
    root: bytes = b""  # of all up to the bound
    last_at: int = 0
    ids: set[str] = field(default_factory=set)  # of entries on policy
    writers: dict[str, Crossing] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    begins: dict[str, Any] = field(default_factory=dict)

    def take(self, leaf: bytes) -> None:
        """Take the next leaf."""
        members: dict[str, Any] = orjson.loads(leaf)
        hashed = leaf_hash(leaf)
        self.frontier.append(hashed)
        if self.frontier.size == STEP:
            self.roots.append(self.frontier.root())
            self.frontier = Frontier()
        self.last_at = max(self.last_at, members["at"])
        writer_id, about = members["writer"], members.get("about", {})
        known = self.writers.get(writer_id, Crossing(0, b"", about.get("mac_key", 0), about.get("audit_secret", 0)))
        self.writers[writer_id] = Crossing(members["number"], hashed, known.mac_key, known.audit_secret)
        if members["operation"] == "writer-close":
            self.ended.add(writer_id)
        if members["operation"] == "policy:activated":
            self.ids.add(members["id"])
        beginning = beginning_of(members)
        if beginning is not None and not self.begins:  # the second entry is the first that may say so
            self.begins = beginning.about


def prune_trail(
    vault: Vault,
    owner: Database,
    controller_id: str,
    before: datetime,
    archive: Path,
    *,
    signed: int,
    settle: Callable[[str], None],
) -> Pruning | None:
    """Prune what was recorded before an instant; None when that is not one whole stretch. `owner` is the owner's pool.

    `signed` is the size of the last checkpoint; `settle` sequences and signs what is pending. Raises InvalidValue for an instant
    the bundle in force keeps the log from, Conflict `lists-pending` while a list of people affected has no verdict, Unreadable when
    the leaves are not those of the tree: verify first.
    """
    if before > vault.now() - vault.governed(controller_id).policy.keeping["trail"].days:
        raise InvalidValue(faults=[Fault("--before", "kept-by-law")])
    with vault.database.snapshot(controller_id) as rows:
        at = head(rows, controller_id) or Head(0, 0)
        old = pruned_log(rows, controller_id, at.era) or Pruned(0, b"")
        if breaches.unfinished_lists(rows, controller_id):
            raise Conflict("lists-pending")  # each leaf they were asked over must be read first
        bound = _bound(rows, controller_id, at, old.bound, signed, int(before.timestamp() * 1000))
    if bound <= old.bound:
        return None
    entry_id = vault.new_id("ent")
    with owner.transaction(controller_id) as rows:
        stretch, path = _archived(rows, vault.settings.host, controller_id, at, (old, bound), archive, entry_id)
        pruned = _pruned(rows, controller_id, at, (old, bound), stretch)
    draft = Draft(entry_id=entry_id, operation=OPERATION, outcome="done", kind="operator", about=pruned.about)
    vault.audit.record(controller_id, draft)
    with _telling(vault, controller_id, at.era, draft, bound):
        settle(controller_id)
        with owner.transaction(controller_id) as rows:
            breaches.hold_lists(rows, controller_id)
            if breaches.unfinished_lists(rows, controller_id):  # asked for since
                raise Conflict("lists-pending")
            prune_records.remove(rows, controller_id, at.era, pruned, stretch.last_at, draft.entry_id, vault.now())
    return Pruning(old.bound, bound, path, draft.entry_id, tuple(_dropped(owner, controller_id, bound, stretch.last_at)))


@contextmanager
def _telling(vault: Vault, controller_id: str, era: int, said: Draft, bound: int) -> Iterator[None]:
    """If a pruning whose entry is committed fails in this block, write an entry that says that it did not happen."""
    try:
        yield
    except VaultError:
        with suppress(Unavailable):  # the log over-reports then
            with vault.database.snapshot(controller_id) as rows:
                stands = pruned_log(rows, controller_id, era)
            if stands is None or stands.bound < bound:  # else it happened, and only its end was not heard of
                failed = replace(said, entry_id=vault.new_id("ent"), outcome="failed", ref=said.entry_id, about={})
                vault.audit.record(controller_id, failed)
        raise


def _bound(rows: sa.Connection, controller_id: str, at: Head, first: int, signed: int, before_ms: int) -> int:
    """Return where the last whole stretch ends whose last entry was recorded before the instant."""
    bound = first
    while bound + STEP <= min(signed, at.size):
        leaf = leaf_at(rows, controller_id, at.era, bound + STEP - 1)
        if leaf is None or orjson.loads(leaf)["at"] >= before_ms:
            break
        bound += STEP
    return bound


def _archived(
    rows: sa.Connection, host: str, controller_id: str, at: Head, stretch: tuple[Pruned, int], archive: Path, mark: str
) -> tuple[_Stretch, Path]:  # fmt: skip
    """Write the leaves of the stretch, one line of hex each, and beside them what they are; return what was learnt."""
    old, bound = stretch
    learnt = _Stretch(writers=dict(old.writers))
    path = archive / f"{controller_id}-{at.era}-{old.bound}-{bound}.leaves"
    written = sha256()
    with _replacing(path, mark) as out:
        for leaf in prune_records.leaves(rows, controller_id, at.era, old.bound, bound):
            line = leaf.hex().encode() + b"\n"
            out.write(line)
            written.update(line)
            learnt.take(leaf)
        read = tile_reader(rows, controller_id, at)
        if learnt.roots != [_root_in(read(1, index)) for index in range(old.bound // STEP, bound // STEP)]:
            raise Unreadable
    learnt.root = Tree(at.size, read).root(bound)
    told = {
        "origin": origin(host, controller_id, at.era),
        "first": old.bound,
        "bound": bound,
        "root": learnt.root.hex(),
        "sha256": written.hexdigest(),
    }
    with _replacing(path.with_suffix(".json"), mark) as out:
        out.write(json.dumps(told, indent=1).encode() + b"\n")
    _expect_kept(path, written.hexdigest())
    return learnt, path


def _root_in(tile: bytes) -> bytes:
    return fold(split(tile)) if len(tile) == TILE_BYTES else b""


def _pruned(rows: sa.Connection, controller_id: str, at: Head, stretch: tuple[Pruned, int], learnt: _Stretch) -> Pruned:
    """Return what the entry will say: root, activations of policy, and the writers and people that go on above the bound."""
    old, bound = stretch
    ends = prune_records.writer_ends(rows, controller_id)
    crossing = {
        name: one
        for name, one in learnt.writers.items()
        if name not in learnt.ended and name in ends and (ends[name].number > one.number or not ends[name].closed)
    }
    activations = sum(one in learnt.ids for one in rows.execute(_ACTIVATIONS, {"controller": controller_id}).scalars())
    people = People(at.size, verify_records.Log(rows, controller_id, at.era).people_crossing(bound, at.size))
    return Pruned(bound, learnt.root, old.activations + activations, crossing, people, old.begins or learnt.begins)


@contextmanager
def _replacing(path: Path, mark: str) -> Iterator[BinaryIO]:
    """Yield a new file that takes its name when all of it is on the disk; the name is there too then. Nobody else may read it.

    `mark` nobody knew before: what is written to is new, and no link.
    """
    part = path.with_name(f"{path.name}.{mark}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as out:
            os.fchmod(descriptor, 0o600)
            yield out
            out.flush()
            os.fsync(descriptor)
        part.rename(path)
    finally:
        part.unlink(missing_ok=True)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _expect_kept(path: Path, digest: str) -> None:
    """Read the archive back. Raises Unreadable when it is not what was written."""
    with path.open("rb") as kept:
        if file_digest(kept, "sha256").hexdigest() != digest:
            raise Unreadable


def _dropped(owner: Database, controller_id: str, bound: int, last_at: int) -> Iterator[str]:
    """Drop each partition below the bound that no company has a row in. One that is being read for long is left for later."""
    with owner.transaction(controller_id) as rows:
        old = prune_records.old_partitions(rows, bound, last_at)
    for parent, part in old:
        gone = False
        with suppress(DatabaseUnavailable), owner.transaction(controller_id) as rows:
            gone = prune_records.drop_if_empty(rows, parent, part)
        if gone:
            yield part
