"""A writer: entries numbered 1, 2, 3 … in one unbroken chain, each with the hash of the one before and a MAC whose key moves on.

Building a batch changes nothing: it returns the statements and the writer as it will be once they are committed. So a batch that
fails leaves no gap, and one that is built again gets the same numbers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from vault.audit import entry
from vault.audit.exchange import BINARY, TEXT, Call, Statement
from vault.audit.merkle import leaf_hash
from vault.audit.prepared import Prepared
from vault.octets import b64u

DECOY = "decoy"  # the stream of the head that entries without subject move: unknown and forbidden then cost the same
MOST_ENTRIES = 1 << 20
LONGEST_S = 24 * 3600.0

Place = tuple[str, str]
Head = tuple[int, bytes]  # number and tag of a person's newest entry in a stream

_REST = {  # the columns that do not depend on a chain, in the order of prepared.columns
    "sealed": "bytea",
    "subject_id": "text",
    "entry_id": "text",
    "stream": "text",
    "operation": "text",
    "outcome": "text",
    "kind": "text",
    "caller_id": "text",
    "roles": "text[]",
    "team": "text",
    "recipient": "text",
    "purpose": "text",
    "channel": "text",
    "ticket": "bytea",
    "station": "bytea",
    "ticket_state": "text",
    "classes": "text[]",
    "clear_classes": "text[]",
    "clear_count": "integer",
    "flags": "integer",
}
_CHAIN_FORMATS = (TEXT, TEXT, TEXT, TEXT, TEXT, BINARY, TEXT, TEXT, TEXT, BINARY, BINARY, TEXT, BINARY)


def _statement(name: str, move: str) -> Statement:
    """Return: move the head from the expected number to the next, and insert the pending row; fail if the head did not move.

    $1 controller, $2 $3 $4 the head's subject, stream and era, $5 its expected number, $6 its new tag; $7 writer, $8 number, $9 at,
    $10 leaf, $11 MAC, $12 $13 the entry's number in its chain and the tag before.
    """
    rest = ", ".join(f"${at}::{kind}" for at, kind in enumerate(_REST.values(), 14))
    sql = f"""
        WITH moved AS ({move} RETURNING 1)
        INSERT INTO vault.audit_pending
          (controller_id, writer_id, number, at, leaf, mac, chain_number, chain_previous, {", ".join(_REST)})
        SELECT $1::text, $7::text, $8::bigint, $9::bigint, $10::bytea, $11::bytea, $12::bigint, $13::bytea, {rest}
        WHERE 1 / (SELECT count(*) FROM moved) = 1
    """  # noqa: S608 - names of columns; every value is a parameter
    formats = tuple(BINARY if kind == "bytea" else TEXT for kind in _REST.values())
    return Statement(name.encode(), sql.encode(), _CHAIN_FORMATS + formats)


NEXT = _statement(
    "riserbo_next",
    """
        UPDATE vault.audit_subject_head SET number = $5::bigint + 1, tag = $6::bytea
        WHERE controller_id = $1::text AND subject_id = $2::text AND stream = $3::text AND era = $4::integer
          AND number = $5::bigint""",
)
FIRST = _statement(  # nobody has a head before the first entry; one of an older era counts as none
    "riserbo_first",
    """
        INSERT INTO vault.audit_subject_head AS head (controller_id, subject_id, stream, era, number, tag)
        VALUES ($1::text, $2::text, $3::text, $4::integer, $5::bigint + 1, $6::bytea)
        ON CONFLICT (controller_id, subject_id, stream) DO UPDATE
        SET era = EXCLUDED.era, number = EXCLUDED.number, tag = EXCLUDED.tag WHERE head.era < EXCLUDED.era""",
)
NOT_AS_EXPECTED = "22012"  # division by zero: the head had moved. Chosen because its message holds no row


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
    decoy: int = 0

    def spent(self, monotonic: float) -> bool:
        """Whether it must close: the ratchet has to be replayed from the start by whoever checks."""
        return self.number >= MOST_ENTRIES or monotonic - self.opened_at > LONGEST_S


@dataclass(frozen=True, slots=True)
class Built:
    """A batch ready to be committed: the statements, the leaf hash of each entry, and the writer afterwards."""

    calls: list[Call]
    hashes: list[bytes]
    writer: Writer


def build(writer: Writer, batch: Sequence[Prepared], heads: Mapping[Place, Head], now_ms: int) -> Built:
    """Number, tag, serialise, MAC and hash a batch. `heads` are the chain heads of its people in this era; others have none yet."""
    at = max(now_ms, writer.at)
    number, previous, key, decoy = writer.number, writer.previous, writer.key, writer.decoy
    known = dict(heads)
    fixed = (writer.controller_id.encode(), writer.writer_id.encode(), b"%d" % writer.era)
    calls: list[Call] = []
    hashes: list[bytes] = []
    for one in batch:
        number += 1
        own: dict[str, Any] = {
            **one.leaf, "at": at, "number": number, "writer": writer.writer_id, "previous": b64u(previous) if previous else "",
        }  # fmt: skip
        if one.chain_key:
            place = one.place
            expected, before = known.get(place, (0, b""))
            tag = entry.subject_tag(one.chain_key, one.draft.entry_id, expected + 1, before)
            known[place] = (expected + 1, tag)
            own["subject"] = b64u(tag)
            chain = (place[0].encode(), place[1].encode(), b"%d" % expected, tag, b"%d" % (expected + 1), before)
        else:
            chain = (fixed[1], DECOY.encode(), b"%d" % decoy, b"", b"0", b"")
            decoy += 1
        leaf = entry.encode(own)
        head, stream, was, tag, position, before = chain
        previous, mac = leaf_hash(leaf), entry.leaf_mac(key, leaf)
        key = entry.ratchet(key)
        values = (fixed[0], head, stream, fixed[2], was, tag, fixed[1], b"%d" % number, b"%d" % at, leaf, mac, position, before)
        calls.append((FIRST if was == b"0" else NEXT, (*values, *one.columns)))
        hashes.append(previous)
    return Built(calls, hashes, replace(writer, number=number, previous=previous, key=key, at=at, decoy=decoy))


def heads_as_read(batch: Sequence[Prepared], era: int) -> dict[Place, Head]:
    """Return the chain heads as the drafts' snapshots saw them, the newest where two saw different ones."""
    heads: dict[Place, Head] = {}
    for one in batch:
        chain = one.draft.chain
        if chain is not None and chain.era == era and chain.number > heads.get(one.place, (0, b""))[0]:
            heads[one.place] = (chain.number, chain.tag)
    return heads
