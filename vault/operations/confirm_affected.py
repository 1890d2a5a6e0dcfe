"""Confirm lists of whose data was touched: read every leaf of the frozen log again, so that no deleted row hides an access.

A job. Each leaf is hashed into the root and judged: for a caller by the tag recomputed. After the present era those before it are
read, each against what the one after it says. How far it has come is kept as it goes, so a pass that was killed goes on from
there, and two processes at it do no harm: of two parts with one number one is refused. It shows nothing, and opens nothing: who was
touched is worked out when somebody with a right to it asks.
"""

from collections.abc import Sequence
from dataclasses import replace
from hmac import compare_digest
from itertools import count
from typing import Final

import structlog

from vault import breaches
from vault.assembly import Vault
from vault.audit import affected_records, records
from vault.audit.affected import Judge, Pass
from vault.audit.checkpoint import Checkpoint, parse_note
from vault.audit.merkle import Tree
from vault.audit.records import Head
from vault.breaches import ListRow, PartRow
from vault.errors import Conflict, VaultError
from vault.operations.affected import audit_secrets, is_signed, judge_of
from vault.operations.affected_eras import EraRead, eras_of, goes_on_before, said_by
from vault.operations.affected_query import criteria_in, criteria_kept
from vault.operations.sealed_words import PURPOSE

AT_ONCE: Final = 8_192  # leaves in one statement
KEPT_EVERY: Final = 262_144  # leaves in one part
PRUNED_BY: Final = 65_536  # pruning raises the first position to a multiple of it

log = structlog.get_logger()


def confirm_affected(vault: Vault, controller_id: str) -> int:
    """Go on with every list that has no verdict; return how many leaves were read.

    One that cannot be read for now is gone on with next time, and keeps neither the others from it nor those of other controllers.
    """
    with vault.database.snapshot(controller_id) as rows:
        waiting = breaches.unfinished_lists(rows, controller_id)
    read = 0
    for one in waiting:
        try:
            read += _go_on(vault, controller_id, one)
        except VaultError as error:
            log.error("job_put_off", controller_id=controller_id, entry_id=one.entry_id, code=error.code)
    return read


def first_part(vault: Vault, controller_id: str, asked: ListRow) -> PartRow:
    """Return what is kept together with a list: its MAC says what was asked for, so nobody without the keys changes that."""
    (at,) = eras_of(asked, ())
    begun, frontier = _beginning(vault, controller_id, at)
    return _sealed(vault, controller_id, asked, (), PartRow(1, at.era, begun, begun, frontier, (), None, vault.now()))


def _go_on(vault: Vault, controller_id: str, asked: ListRow) -> int:
    """Read on from the last part to the end of the first era there is, and keep the verdict."""
    with vault.database.snapshot(controller_id) as rows:
        parts = breaches.parts(rows, controller_id, asked.list_id)
    if not are_ours(vault, controller_id, asked, parts):
        log.error("affected_list", entry_id=asked.entry_id, code="part-differs")
        taken = {one.number for one in parts}
        number = next(one for one in count(1) if one not in taken)  # after the last there may be none: it is anybody's
        # An end without a MAC: it differs, and holds up nothing any more.
        _keep(vault, controller_id, asked, PartRow(number, asked.era, 0, 0, b"", (), "differs", vault.now()))
        return 0
    criteria, secrets = criteria_kept(asked.criteria), audit_secrets(vault, controller_id)
    verdict, read = None, 0
    while verdict is None:
        eras = eras_of(asked, parts)
        at = next((one for one in eras if not one.is_whole), eras[-1])
        judge = judge_of(secrets, criteria_in(at.era, asked.era, criteria))
        part = _sealed(vault, controller_id, asked, parts, _read_part(vault, controller_id, asked, at, judge))
        read += part.reached - (at.reached or part.begun)
        verdict = part.verdict
        if not _keep(vault, controller_id, asked, part):
            return read
        parts.append(part)
    log.info("affected_list", entry_id=asked.entry_id, code=verdict)
    return read


def _keep(vault: Vault, controller_id: str, asked: ListRow, part: PartRow) -> bool:
    """Keep a part; return whether it was, for another process may be as far."""
    try:
        with vault.database.transaction(controller_id) as transaction:
            breaches.add_part(transaction, controller_id, asked.list_id, part)
    except Conflict:
        return False
    return True


def _sealed(vault: Vault, controller_id: str, asked: ListRow, before: Sequence[PartRow], part: PartRow) -> PartRow:
    """Return a part with its number and MAC, which follow those before it."""
    secret = vault.keys.secret(controller_id, PURPOSE)
    part = replace(part, number=len(before) + 1, secret_version=secret.version)
    return replace(part, mac=breaches.part_mac(secret.key, controller_id, asked, part, before[-1].mac if before else b""))


def are_ours(vault: Vault, controller_id: str, asked: ListRow, parts: Sequence[PartRow]) -> bool:
    """Return whether every part was kept by who holds the controller's keys, for this very list, and none is missing between.

    The first is kept as the list is asked for: of one that has none nobody can say any more what was. Raises KeysUnavailable, and
    Unreadable where a version of the secret does not open that there was: then it is not known.
    """
    before, newest = b"", vault.keys.secret(controller_id, PURPOSE).version
    for number, part in enumerate(parts, 1):
        if not 1 <= part.secret_version <= newest:  # a version there never was
            return False
        secret = vault.keys.secret(controller_id, PURPOSE, part.secret_version)
        try:
            before = breaches.part_mac(secret.key, controller_id, asked, part, before)
        except TypeError:  # what was asked for was edited into what nobody can write, a number over 64 bits
            return False
        if part.number != number or not compare_digest(before, part.mac):
            return False
    return bool(parts)


def _beginning(vault: Vault, controller_id: str, at: EraRead) -> tuple[int, bytes]:
    """Return where the reading of an era begins, and the frontier there: at the first leaf there still is.

    The root over what was pruned is read out of the tiles kept.
    """
    stands = Head(at.era, at.size)
    with vault.database.snapshot(controller_id) as rows:
        first = affected_records.first_position(rows, controller_id, stands) or 0
        try:
            parts = Tree(at.size, records.tile_reader(rows, controller_id, stands)).parts(first)
        except ValueError:  # a tile is gone or cut
            parts = []
    if first % PRUNED_BY or not parts:  # nobody prunes there: begin at the first, which is not there or does not fit
        first, parts = 0, []
    return first, b"".join(parts)


def _read_part(vault: Vault, controller_id: str, asked: ListRow, at: EraRead, judge: Judge) -> PartRow:
    """Read leaves of an era until a part is full, and return it; with the verdict, once that is certain."""
    first, frontier = (at.reached, at.parts[-1].frontier) if at.parts else _beginning(vault, controller_id, at)
    begun = first if at.begun is None else at.begun
    going, follows = Pass.resumed(judge, first, frontier), at.follows
    signed = _checkpoint(vault, controller_id, asked, at)
    end, whole = min(first + KEPT_EVERY, at.size), True
    while whole and (first := going.frontier.size) < end:
        stop = min(first + AT_ONCE, end)
        if first < signed.size < stop:  # to compare the root there
            stop = signed.size
        with vault.database.snapshot(controller_id) as rows:
            leaves = affected_records.next_leaves(rows, controller_id, at.era, first, stop)
        whole = going.take(leaves) and going.frontier.size == stop
        whole = whole and (stop != signed.size or going.frontier.root() == signed.root)
        if whole and follows is None:
            follows = said_by(vault, controller_id, asked, at, begun, leaves)
    is_told = follows is not None or not (begun or goes_on_before(asked, at.era))
    verdict = _verdict(asked, at, going, is_told=is_told) if whole else "differs"
    met = follows if at.follows is None else None
    return PartRow(0, at.era, begun, going.frontier.size, going.kept(), going.found, verdict, vault.now(), follows=met)


def _verdict(asked: ListRow, at: EraRead, going: Pass, *, is_told: bool) -> str | None:
    """Return the verdict at the end of a part, None while leaves are left to be read: of this era, or of one before.

    `is_told`: of what lies before the leaves of this era, if anything does, one of them has told.
    """
    if going.frontier.size < at.size:
        return None
    if going.frontier.root() != at.root or not is_told:
        return "differs"
    return None if goes_on_before(asked, at.era) else "confirmed"


def _checkpoint(vault: Vault, controller_id: str, asked: ListRow, at: EraRead) -> Checkpoint:
    """Return the signed checkpoint the list keeps, checked again; where it keeps none of this era, what the era must come to."""
    note = asked.checkpoint if at.era == asked.era else None
    if note is None or not is_signed(vault, controller_id, at.era, note):
        return Checkpoint("", at.size, at.root)
    return parse_note(note).checkpoint
