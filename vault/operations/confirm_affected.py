"""Confirm lists of whose data was touched: read every leaf of the frozen log again, so that no deleted row hides an access.

A job. Each leaf is hashed into the root and judged: for a caller by the tag recomputed. How far it has come is kept as it goes, so
a pass that was killed goes on from there, and two processes at it do no harm: of two parts with one number one is refused. It
shows nothing, and opens nothing: who was touched is worked out when somebody with a right to it asks.
"""

from collections.abc import Sequence
from dataclasses import replace
from hmac import compare_digest
from typing import Final

import structlog

from vault import breaches
from vault.assembly import Vault
from vault.audit import affected_records, records
from vault.audit.affected import Pass
from vault.audit.checkpoint import Checkpoint, parse_note
from vault.audit.merkle import Tree
from vault.audit.records import Head
from vault.breaches import ListRow, PartRow
from vault.errors import Conflict
from vault.operations.affected import audit_secrets, is_signed, judge_of
from vault.operations.affected_query import criteria_kept
from vault.operations.breach_words import PURPOSE

AT_ONCE: Final = 8_192  # leaves in one statement
KEPT_EVERY: Final = 262_144  # leaves in one part
PRUNED_BY: Final = 65_536  # pruning raises the first position to a multiple of it

log = structlog.get_logger()


def confirm_affected(vault: Vault, controller_id: str) -> int:
    """Go on with every list that has no verdict; return how many leaves were read."""
    with vault.database.snapshot(controller_id) as rows:
        waiting = breaches.unfinished_lists(rows, controller_id)
    return sum(_go_on(vault, controller_id, one) for one in waiting)


def _go_on(vault: Vault, controller_id: str, asked: ListRow) -> int:
    """Read on from the last part to the end of the frozen log, and keep the verdict."""
    with vault.database.snapshot(controller_id) as rows:
        parts = breaches.parts(rows, controller_id, asked.list_id)
    if not are_ours(vault, controller_id, asked, parts):
        log.error("affected_list", entry_id=asked.entry_id, code="part-differs")
        return 0
    criteria = {name: value for name, value in asked.criteria.items() if name != "stated"}
    judge = judge_of(audit_secrets(vault, controller_id), criteria_kept(criteria))
    last = parts[-1] if parts else _beginning(vault, controller_id, asked)
    going = Pass.resumed(judge, last.reached, last.frontier)
    verdict, begun, number, before = None, last.reached, last.number, last.mac
    secret = vault.keys.secret(controller_id, PURPOSE)
    while verdict is None:
        verdict = _read_part(vault, controller_id, asked, going)
        number += 1
        part = PartRow(number, last.begun, going.frontier.size, going.kept(), going.found, verdict, vault.now(), secret.version)
        before = breaches.part_mac(secret.key, controller_id, asked, part, before)
        try:
            with vault.database.transaction(controller_id) as transaction:
                breaches.add_part(transaction, controller_id, asked.list_id, replace(part, mac=before))
        except Conflict:  # another process is as far
            return going.frontier.size - begun
        going.found = []
    log.info("affected_list", entry_id=asked.entry_id, code=verdict)
    return going.frontier.size - begun


def are_ours(vault: Vault, controller_id: str, asked: ListRow, parts: Sequence[PartRow]) -> bool:
    """Return whether every part was kept by who holds the controller's keys, for this very list, and none is missing between."""
    before = b""
    for number, part in enumerate(parts, 1):
        secret = vault.keys.secret(controller_id, PURPOSE, part.secret_version)
        before = breaches.part_mac(secret.key, controller_id, asked, part, before)
        if part.number != number or not compare_digest(before, part.mac):
            return False
    return True


def _beginning(vault: Vault, controller_id: str, asked: ListRow) -> PartRow:
    """Return where a pass begins: at the first leaf there still is. The root over what was pruned is read out of the tiles kept."""
    at = Head(asked.era, asked.size)
    with vault.database.snapshot(controller_id) as rows:
        first = affected_records.first_position(rows, controller_id, at) or 0
        try:
            parts = Tree(asked.size, records.tile_reader(rows, controller_id, at)).parts(first)
        except ValueError:  # a tile is gone or cut
            parts = []
    if first % PRUNED_BY or not parts:  # nobody prunes there: begin at the first, which is not there or does not fit
        first, parts = 0, []
    return PartRow(0, first, first, b"".join(parts), (), None, asked.asked_at)


def _read_part(vault: Vault, controller_id: str, asked: ListRow, going: Pass) -> str | None:
    """Read leaves until a part is full; return the verdict once it is certain."""
    signed = _checkpoint(vault, controller_id, asked)
    end = min(going.frontier.size + KEPT_EVERY, asked.size)
    while (first := going.frontier.size) < end:
        stop = min(first + AT_ONCE, end)
        if first < signed.size < stop:  # to compare the root there
            stop = signed.size
        with vault.database.snapshot(controller_id) as rows:
            whole = going.take(affected_records.next_leaves(rows, controller_id, asked.era, first, stop))
        if not whole or going.frontier.size != stop or (stop == signed.size and going.frontier.root() != signed.root):
            return "differs"
    if going.frontier.size < asked.size:
        return None
    return "confirmed" if going.frontier.root() == asked.root else "differs"


def _checkpoint(vault: Vault, controller_id: str, asked: ListRow) -> Checkpoint:
    """Return the signed checkpoint the list keeps, checked again; the frozen root itself where it keeps none."""
    if asked.checkpoint is None or not is_signed(vault, controller_id, asked.era, asked.checkpoint):
        return Checkpoint("", asked.size, asked.root)
    return parse_note(asked.checkpoint).checkpoint
