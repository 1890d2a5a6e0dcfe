"""Export a controller's whole log for anybody's own checker: leaves line by line, the signed checkpoint, the verifier key.

The export is itself an entry (`log-export`), committed before anything is written, and among what is exported. Leaves hold nothing
personal. What was pruned is there as the hashes that stand for it.
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from vault.assembly import Vault
from vault.audit import chain_records, verify_records
from vault.audit.checkpoint import origin, parse_note
from vault.audit.merkle import HASH_BYTES, TILE_WIDTH, split
from vault.audit.records import Head, entry_by_id, head
from vault.errors import AuditUnavailable, Unreadable
from vault.notes import VerifierKey
from vault.operations.acting import HOUSE, Acting, prepare, record, telling
from vault.policy.model import Caller, Context

VERB: Final = "log-export"
_TELL_EVERY: Final = 1_000

Progress = Callable[[int, int], None]  # (lines written, lines in all)


@dataclass(frozen=True, slots=True)
class Export:
    """What was exported: how many entries, the checkpoint that covers them, the key it is checked by."""

    size: int
    note: str
    vkey: str
    entry_id: str


def export_log(vault: Vault, controller_id: str, write: Callable[[str], object], advance: Progress) -> Export:
    """Hand every line of the log to `write`, and return what belongs to it.

    Raises AuditUnavailable (`checkpoint-pending`) while no checkpoint covers the export's own entry, Unreadable where entries lack.
    """
    operator = Caller(id="operator", kind="operator", roles=frozenset({"operator"}), client_id="riserbo")
    acting = prepare(vault, VERB, Context(controller_id, operator, "legal-compliance", "api"), permission=HOUSE)
    record(vault, acting, details={"form": "leaves"})
    with telling(vault, acting):
        vault.settle(controller_id)
        with vault.database.transaction(controller_id) as rows:
            verify_records.begin(rows)
            at, size, note = _standing(rows, acting)
            log = verify_records.Log(rows, controller_id, at.era)
            for number, line in enumerate(_lines(log, size), 1):
                write(line)
                if number % _TELL_EVERY == 0:
                    advance(number, size)
        advance(size, size)
    name = origin(vault.settings.host, controller_id, at.era)
    return Export(size, note, VerifierKey(name, vault.signing.checkpoint_key).text, acting.entry_id)


def _standing(rows: Connection, acting: Acting) -> tuple[Head, int, str]:
    """Return where the log stands, and the newest checkpoint over this act's own entry."""
    controller_id = acting.context.controller_id
    at, own = head(rows, controller_id), entry_by_id(rows, controller_id, acting.entry_id)
    if at is None or own is None:
        raise AuditUnavailable("entry-pending", retry_after_s=1, entry_id=acting.entry_id)
    found = chain_records.newest_note(rows, controller_id, at.era, own.position)
    if found is None:
        raise AuditUnavailable("checkpoint-pending", retry_after_s=60, entry_id=acting.entry_id)
    return at, parse_note(found[1]).checkpoint.size, found[1]


def _lines(log: verify_records.Log, size: int) -> Iterator[str]:
    """Yield a line for each entry, and before the first one kept a line for each tile that was pruned."""
    expected = None
    with closing(log.entries()) as entries:
        for position, leaf, _, _ in entries:
            if expected is None:
                yield from _pruned(log, position)
            elif position != expected:
                raise Unreadable("entries-missing")
            if position >= size:
                return
            expected = position + 1
            yield leaf.hex()
    if expected != size:
        raise Unreadable("entries-missing")


def _pruned(log: verify_records.Log, first: int) -> Iterator[str]:
    """Yield the hash of each full tile of level 0 below the first entry kept: they are what level 1 keeps."""
    tiles, rest = divmod(first, TILE_WIDTH)
    if rest:
        raise Unreadable("entries-missing")
    for index in range(0, tiles, TILE_WIDTH):
        wanted = min(TILE_WIDTH, tiles - index)
        kept = (log.tile(1, index // TILE_WIDTH) or b"")[: wanted * HASH_BYTES]
        if len(kept) != wanted * HASH_BYTES:
            raise Unreadable("entries-missing")
        yield from (f"t:{one.hex()}" for one in split(kept))
