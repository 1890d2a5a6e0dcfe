"""Prove that an entry is in the log: a `.tlog-proof` (C2SP), which its holder can check with the log's public key alone.

The officer may have any entry proved, the person each that concerns them and is theirs to know of. Who names an entry names an
access, so this is on record before the proof is made, in the person's chain: who asked about their accesses is theirs to know. Of
an entry they are not to know of yet (the held stream) it is in nobody's, for that would tell them.
"""

from dataclasses import dataclass

import structlog

from vault.assembly import Vault
from vault.audit import records as audit
from vault.audit.checkpoint import Checkpoint
from vault.audit.merkle import Tree, leaf_hash
from vault.audit.proofs import LogProof, includes
from vault.audit.records import Head, StoredEntry, tile_reader
from vault.audit.scan import members_of
from vault.errors import Conflict, NotFound, Unreadable
from vault.operations.acting import NOBODY, Acting, prepare, record, refuse, telling
from vault.operations.facts import is_self
from vault.operations.show_accesses import shows_month_only
from vault.operations.show_log import OFFICE, is_officer, newest_note, served
from vault.policy.model import Context

log = structlog.get_logger()
SIGNED_WITHIN_S = 60


@dataclass(frozen=True, slots=True)
class Proved:
    """The proof's text, and the entry that recorded the asking."""

    proof: str
    entry_id: str


def prove(vault: Vault, context: Context, entry_id: str) -> Proved:
    """Prove one entry.

    Raises NotFound for whoever may not know of it, and before it has its position; Conflict `entry-not-signed` until a checkpoint
    covers it; Unreadable after an alarm when the log no longer proves it.
    """
    with vault.database.snapshot(context.controller_id) as rows:
        stored = audit.entry_by_id(rows, context.controller_id, entry_id)
    asking = prepare(vault, "prove", context, permission=OFFICE)
    if stored is None or not _may(asking, stored):
        raise refuse(vault, asking, NotFound())
    # Read again even about nobody: one's own 404 takes the same work whether or not the person is here.
    about = stored.subject_id if stored.stream != "held" else NOBODY
    acting = prepare(vault, "prove", context, about, permission=OFFICE)
    if context.caller.kind == "subject":
        # Where the list shows its month only, its place in the log would date it.
        own = is_self(context, stored.subject_id, acting.person)
        if not own or shows_month_only(vault, acting, entry_id):
            raise refuse(vault, asking, NotFound())
    record(vault, acting, details={"proved": entry_id})
    with telling(vault, acting):
        return Proved(_proof(vault, acting, stored, entry_id).text, acting.entry_id)


def _may(asking: Acting, stored: StoredEntry) -> bool:
    caller = asking.context.caller
    if caller.kind == "subject":
        return stored.subject_id == caller.subject_id and stored.stream == "open"
    return is_officer(asking)


def _proof(vault: Vault, acting: Acting, stored: StoredEntry, entry_id: str) -> LogProof:
    """Return the proof, checked as its holder will check it: size and root are the signed ones, the leaf is the entry's own."""
    controller_id = acting.context.controller_id
    with vault.database.snapshot(controller_id) as rows:
        note = newest_note(vault, rows, controller_id, stored.era)
        point = note.checkpoint
        if stored.position >= point.size:
            raise Conflict("entry-not-signed", entry_id=acting.entry_id, retry_after_s=SIGNED_WITHIN_S)
        try:
            path = Tree(point.size, tile_reader(rows, controller_id, Head(stored.era, point.size))).inclusion(stored.position)
        except ValueError:  # a tile is cut or missing
            path = []
        text = served(vault, rows, controller_id, note)
    if not _holds(point, stored, entry_id, path):
        log.error("unreadable", code="proof-differs", entry_id=entry_id)
        raise Unreadable("proof-differs", entry_id=acting.entry_id)
    return LogProof(stored.position, tuple(path), text)


def _holds(point: Checkpoint, stored: StoredEntry, entry_id: str, path: list[bytes]) -> bool:
    """Return whether it proves this entry: who can change look-up rows must not have another proved in its place."""
    own = (members_of(stored.leaf) or {}).get("id") == entry_id
    return own and includes(point.root, point.size, stored.position, leaf_hash(stored.leaf), path)
