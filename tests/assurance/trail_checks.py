"""The ten checks of the table of attacks, each as somebody makes it who holds what they hold, and nothing else.

S signature, R root recomputed, D the officer's checkpoint, T the signer's state, W writers' chains and MACs, L lane watch,
P receipt, H another holder's checkpoint, C the subject's chain, X the scrub. P and C are small functions of their own here: a
receipt is a leaf hash somebody was given, and a subject's report is what the server shows of their chain.
"""

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import orjson

from tests.audit.makers import Log, audit_key, vkey
from tests.audit.tampering import rows_of
from tests.audit.test_health import Clock
from vault.audit import entry, recovering
from vault.audit.acknowledged import Acknowledged
from vault.audit.checkpoint import Checkpoint, Note, parse_note, signed_by
from vault.audit.health import TrailHealth
from vault.audit.merkle import Frontier, Tree, leaf_hash
from vault.audit.proofs import extends, includes
from vault.audit.records import head, tile_reader
from vault.audit.signer import stand
from vault.octets import b64u

CUSTOMER = "sub-customer"
Shown = tuple[bytes, int, bytes]  # leaf, its number in the chain, the tag before


@dataclass
class Held:
    """What is held outside the database: two checkpoints, receipts, the marks of a living process, and its clock."""

    dpo: Note
    holder: Note
    receipts: Sequence[bytes]
    marks: Acknowledged
    clock: Clock
    hidden: set[str] = field(default_factory=set)  # ids the server leaves out of the customer's report

    def copy(self) -> "Held":
        """Return it with marks of its own: comparing uses them up."""
        clock = Clock()
        clock.at = self.clock.at
        marks = Acknowledged(clock)
        with self.marks._lock:
            marks._marks = {name: deque(one) for name, one in self.marks._marks.items()}
            marks._seen, marks._eras, marks._ended = dict(self.marks._seen), dict(self.marks._eras), set(self.marks._ended)
        return Held(self.dpo, self.holder, self.receipts, marks, clock)


def fired(log: Log, held: Held) -> set[str]:
    """Start the vault on what is there, and return the checks that fire."""
    found = {"X"} if log.verify(notes=[]).findings else set()
    found |= {"W"} if writers_chains(log) else set()
    broken = sequenced(log)
    found |= {"W"} if broken else set()
    found |= {"L"} if lane_watch(log, held) else set()
    if broken:
        reject_and_go_on(log)
    leaves = [leaf for leaf, _ in rows_of(log)]
    served = served_note(log)
    checks = {
        "S": not signed_by(served, vkey(log.origin)),
        "R": root_of(leaves, served.checkpoint.size) != served.checkpoint.root,
        "D": not continues(log, leaves, held.dpo),
        "T": not continues_state(log, leaves),
        "P": any(not included(leaves, one) for one in held.receipts),
        "H": root_of(leaves, held.holder.checkpoint.size) != held.holder.checkpoint.root or not same_signer(served, held.holder),
        "C": not chain_holds(shown_to_customer(log, held.hidden)),
    }
    return found | {name for name, fires in checks.items() if fires}


def served_note(log: Log) -> Note:
    """The newest checkpoint the database serves."""
    rows = log.ask("SELECT note FROM vault.audit_checkpoint WHERE controller_id = %s ORDER BY size DESC LIMIT 1", log.controller_id)
    return parse_note(rows[0][0])


def root_of(leaves: Sequence[bytes], size: int) -> bytes | None:
    """The root of the first entries, from their bytes; None where there are fewer."""
    if len(leaves) < size:
        return None
    frontier = Frontier()
    for leaf in leaves[:size]:
        frontier.append(leaf_hash(leaf))
    return frontier.root()


def continues(log: Log, leaves: Sequence[bytes], kept: Note) -> bool:
    """D: whether the log, from its bytes and by the proof its tiles give, continues a checkpoint somebody kept."""
    old = kept.checkpoint
    if root_of(leaves, old.size) != old.root:
        return False
    with log.signing.snapshot(log.controller_id) as rows:
        at = head(rows, log.controller_id)
        assert at is not None
        tree = Tree(at.size, tile_reader(rows, log.controller_id, at))
        return extends(old.root, old.size, tree.root(), at.size, tree.consistency(old.size))


def continues_state(log: Log, leaves: Sequence[bytes]) -> bool:
    """T: what every process and the signer compare, and the same from the bytes."""
    with log.signing.snapshot(log.controller_id) as rows:
        standing = stand(rows, log.controller_id, "vault.example", log.state, vkey)
    assert standing is not None
    last: Checkpoint = parse_note(log.state.last(log.origin) or "").checkpoint
    return standing.fault is None and root_of(leaves, last.size) == last.root


def same_signer(served: Note, kept: Note) -> bool:
    """H: who holds a checkpoint knows whose key signed it."""
    ids = {one.key_id for one in kept.signatures}
    return all(one.key_id in ids for one in served.signatures)


def writers_chains(log: Log) -> bool:
    """W, of what is stored: sequenced and pending."""
    report = log.verify(keys=None, notes=[])
    return bool({one.check for one in report.findings} & {"writer-chain", "mac", "writer-tail"})


def sequenced(log: Log) -> bool:
    """Sequence what is pending; return whether a chain broke."""
    sequencer = log.sequencer(health=TrailHealth(time.monotonic))
    sequencer.drain(log.controller_id)
    return sequencer.found_break(log.controller_id) is not None


def reject_and_go_on(log: Log) -> None:
    """What `riserbo audit recover --writer` does, until nothing is broken: what can still be sequenced is."""
    sequencer = log.sequencer(health=TrailHealth(time.monotonic))
    while not sequencer.drain(log.controller_id) and (found := sequencer.found_break(log.controller_id)) is not None:
        with log.sequencing.transaction(log.controller_id) as rows:
            moved = recovering.rejectable(rows, log.controller_id, found.writer_id, found.number)
            recovering.reject(rows, log.controller_id, moved)


def lane_watch(log: Log, held: Held) -> bool:
    """L: a minute later, whether the living process misses what it acknowledged."""
    held.clock.at += 61
    health = TrailHealth(time.monotonic)
    watch = log.watch(health=health, acknowledged=lambda _controller: held.marks)
    watch.look(log.controller_id)
    return bool({"lane-late", "lane-altered"} & set(health.state(log.controller_id).closed))


def included(leaves: Sequence[bytes], receipt: bytes) -> bool:
    """P: whether the log proves that the entry of a receipt is in it."""
    hashes = [leaf_hash(leaf) for leaf in leaves]
    if receipt not in hashes:
        return False
    at = hashes.index(receipt)
    tree = Tree(len(hashes), lambda level, index: b"".join(hashes[index * 256 : (index + 1) * 256]) if level == 0 else b"")
    return includes(tree.root(), len(hashes), at, receipt, tree.inclusion(at))


def shown_to_customer(log: Log, hidden: set[str]) -> list[Shown]:
    """The report: the customer's entries as the server has them, in log order, but for those it hides."""
    rows = log.ask(
        "SELECT e.leaf, d.chain_number, d.chain_previous FROM vault.audit_entry e JOIN vault.audit_detail d"
        " ON d.controller_id = e.controller_id AND d.era = e.era AND d.entry_id = (convert_from(e.leaf, 'UTF8')::jsonb)->>'id'"
        " WHERE e.controller_id = %s AND d.subject_id = %s ORDER BY e.position",
        log.controller_id, CUSTOMER,
    )  # fmt: skip
    return [(bytes(leaf), number, bytes(before)) for leaf, number, before in rows if orjson.loads(leaf)["id"] not in hidden]


def chain_holds(shown: Sequence[Shown]) -> bool:
    """C: whether the entries are number 1, 2, 3 … of the customer's chain, each tag made from the one before, in log order."""
    key, before = entry.chain_key(audit_key(CUSTOMER), "open"), b""
    for number, (leaf, _, _) in enumerate(shown, 1):
        members = orjson.loads(leaf)
        before = entry.subject_tag(key, members["id"], number, before)
        if members["subject"] != b64u(before):
            return False
    return True
