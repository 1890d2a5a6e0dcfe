"""A writer: entries numbered 1, 2, 3 … in one unbroken chain, each with the hash of the one before and a MAC whose key moves on.

Building a batch changes nothing: it returns the statements and the writer as it will be once they are committed. So a batch that
fails leaves no gap, and one that is built again gets the same numbers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from vault.audit import batch, entry
from vault.audit.batch import Batch, Move
from vault.audit.exchange import Call
from vault.audit.merkle import leaf_hash
from vault.audit.prepared import Prepared
from vault.octets import b64u

DECOY = "decoy"  # the stream of heads that entries without subject move: unknown and forbidden then cost the same
MOST_ENTRIES = 1 << 20
LONGEST_S = 24 * 3600.0

Place = tuple[str, str]
Head = tuple[int, bytes]  # number and tag of a person's newest entry in a stream


@dataclass(frozen=True, slots=True)
class Writer:
    """What a writer knows of itself after its last acknowledged entry; `number` 0 before the first. Replaced, never changed."""

    controller_id: str
    writer_id: str
    era: int
    secret_version: int
    mac_key: int
    opened_at: float  # monotonic
    key: bytes = field(repr=False)  # of the next entry's MAC
    number: int = 0
    previous: bytes = b""
    at: int = 0
    decoys: tuple[int, ...] = ()  # what each of its decoy heads counts

    def spent(self, monotonic: float) -> bool:
        """Whether it must close: the ratchet has to be replayed from the start by whoever checks."""
        return self.number >= MOST_ENTRIES or monotonic - self.opened_at > LONGEST_S

    def decoy(self, at: int) -> Place:
        """Return the head that entry `at` (from 0) without subject of a batch moves: each its own, as each person has theirs."""
        return (f"{self.writer_id}.{at}" if at else self.writer_id, DECOY)


@dataclass(frozen=True, slots=True)
class Built:
    """A batch ready to be committed: the statements, the leaf hash of each entry, and the writer afterwards."""

    calls: list[Call]
    hashes: list[bytes]
    writer: Writer


def build(writer: Writer, drafts: Sequence[Prepared], heads: Mapping[Place, Head], now_ms: int) -> Built:
    """Number, tag, serialise, MAC and hash a batch. `heads` are the chain heads of its people in this era; others have none yet."""
    at, after = max(now_ms, writer.at), writer
    known = dict(heads)
    calls: list[Call] = []
    hashes: list[bytes] = []
    for first in range(0, len(drafts), batch.MOST):
        made, after = _written(after, at, drafts[first : first + batch.MOST], known, hashes)
        calls.append(made.call())
    return Built(calls, hashes, after)


def _written(
    writer: Writer, at: int, drafts: Sequence[Prepared], known: dict[Place, Head], hashes: list[bytes]
) -> tuple[Batch, Writer]:
    """Return what one statement writes, and the writer afterwards; heads in `known` move on, leaf hashes are added to `hashes`."""
    number, previous, key, decoys = writer.number, writer.previous, writer.key, list(writer.decoys)
    entries: dict[Place, int] = {}  # heads in the order of the drafts, with how many of them are each one's
    rows: list[batch.Row] = []
    nobodys = 0
    for one in drafts:
        number += 1
        own: dict[str, Any] = {
            **one.leaf, "at": at, "number": number, "writer": writer.writer_id,
            "previous": b64u(previous) if previous else "",
        }  # fmt: skip
        if one.chain_key:
            place = one.place
            counted, before = known.get(place, (0, b""))
            tag = entry.subject_tag(one.chain_key, one.draft.entry_id, counted + 1, before)
            known[place] = (counted + 1, tag)
            own["subject"] = b64u(tag)
            chain = (b"%d" % (counted + 1), before)
        else:
            place = writer.decoy(nobodys)
            known[place] = (writer.decoys[nobodys] if nobodys < len(writer.decoys) else 0) + 1, b""
            decoys[nobodys : nobodys + 1] = [known[place][0]]
            nobodys += 1
            chain = (b"0", b"")
        entries[place] = entries.get(place, 0) + 1
        leaf = entry.encode(own)
        previous = leaf_hash(leaf)
        rows.append((leaf, entry.leaf_mac(key, leaf), *chain, *one.columns))
        key = entry.ratchet(key)
        hashes.append(previous)
    moves = [Move(*place, count, known[place][1], known[place][0]) for place, count in entries.items()]
    made = Batch(writer.controller_id, writer.writer_id, writer.number, at, writer.era, moves, rows)
    return made, replace(writer, at=at, number=number, previous=previous, key=key, decoys=tuple(decoys))


def heads_as_read(drafts: Sequence[Prepared], era: int) -> dict[Place, Head]:
    """Return the chain heads as the drafts' snapshots saw them, the newest where two saw different ones."""
    heads: dict[Place, Head] = {}
    for one in drafts:
        chain = one.draft.chain
        if chain is not None and chain.era == era and chain.number > heads.get(one.place, (0, b""))[0]:
            heads[one.place] = (chain.number, chain.tag)
    return heads
