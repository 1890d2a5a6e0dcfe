"""Show a controller's log as foreign log checkers read it (C2SP tlog-tiles): checkpoint, tiles, bundles of entries, consistency.

Nothing is served beyond the newest signed checkpoint: what is not signed yet may still be lost with its database, and a tile is
kept by whoever fetched it for ever. A checkpoint is served only once its signature holds: its copy beside the log is a row like any
other, and what is public must not carry whatever somebody wrote there.

**What of this is on record.** Who reads entries is (`log-export`, before the leaves are read), although a leaf holds no personal
data and leaves cannot be linked: a page of the log is a page of the log. Checkpoints, tiles of hashes and consistency proofs are
not: they are digests and say nothing of any access, and a monitor that looks each minute would make the log grow by watching it.
Whoever is refused is on record in either case.
"""

from dataclasses import dataclass

import structlog
from sqlalchemy import Connection

from vault.assembly import Vault
from vault.audit import records as audit
from vault.audit.checkpoint import Note, origin, parse_note, signed_by
from vault.audit.eras import era_of
from vault.audit.merkle import HASH_BYTES, Tree
from vault.audit.proofs import hash_line
from vault.audit.records import Head, tile_reader
from vault.audit.tiles import Place, bundle, place_of
from vault.audit.witness import Doubt, cosignatures
from vault.errors import AccessDenied, NotFound, Unreadable, VaultError
from vault.notes import VerifierKey
from vault.operations.acting import Acting, prepare, record, refuse, telling
from vault.policy.model import Context, Permission

log = structlog.get_logger()
OFFICE = Permission(allowed=True, because="office")
EXPORT = "log-export"


@dataclass(frozen=True, slots=True)
class Part:
    """A tile or a bundle of entries; `full`: it can never change. `entry_id` where the reading is on record."""

    octets: bytes
    full: bool
    entry_id: str | None


def show_public_checkpoint(vault: Vault, controller_id: str, era: int) -> str:
    """Show the newest checkpoint of a log to anybody, where the settings let it. Raises NotFound, Unreadable."""
    if not vault.settings.public_checkpoints or controller_id not in vault.database.controllers():
        raise NotFound  # whoever guesses names is given no connection of that name
    with vault.database.snapshot(controller_id) as rows:
        return served(vault, rows, controller_id, newest_note(vault, rows, controller_id, era))


def show_checkpoint(vault: Vault, context: Context) -> str:
    """Show an officer the newest checkpoint of their controller's log. Raises AccessDenied, NotFound, Unreadable."""
    asking = office(vault, "show_log", context)
    with vault.database.snapshot(context.controller_id) as rows:
        note = _note_for(vault, asking, rows, present_era(rows, context.controller_id))
        return served(vault, rows, context.controller_id, note)


def show_tile(vault: Vault, context: Context, level: str, index: str, log_of: tuple[str, int] | None = None) -> Part:
    """Show an officer a tile or a bundle of entries. `log_of`: controller and era, where they are named.

    Raises AccessDenied, NotFound for a log of another controller and for what no checkpoint covers, Unreadable.
    """
    place = _place(level, index)
    asking = office(vault, EXPORT if place.level is None else "show_log", context)
    controller_id, named = log_of or (context.controller_id, None)
    if controller_id != context.controller_id:
        raise refuse(vault, asking, NotFound())
    with vault.database.snapshot(controller_id) as rows:
        era = present_era(rows, controller_id) if named is None else named
        size = _note_for(vault, asking, rows, era).checkpoint.size
    if not place.within(size):
        raise refuse(vault, asking, NotFound())
    return _leaves(vault, asking, era, place) if place.level is None else _hashes(vault, asking, Head(era, size), place)


def show_consistency(vault: Vault, context: Context, old: int, new: int | None = None) -> str:
    """Show an officer that the log of `old` entries is the beginning of that of `new`, by default the one last signed.

    One hash a line. Raises AccessDenied, NotFound for what no checkpoint covers, or is no longer kept, Unreadable.
    """
    asking, controller_id = office(vault, "show_log", context), context.controller_id
    with vault.database.snapshot(controller_id) as rows:
        era = present_era(rows, controller_id)
        signed = _note_for(vault, asking, rows, era).checkpoint.size
        size = signed if new is None else new
        if not old <= size <= signed:
            raise refuse(vault, asking, NotFound())
        try:
            path = Tree(size, tile_reader(rows, controller_id, Head(era, signed))).consistency(old)
        except ValueError:  # pruned: no proof can be made from before the bound
            raise refuse(vault, asking, NotFound()) from None
    return "".join(hash_line(one) for one in path)


def office(vault: Vault, verb: str, context: Context) -> Acting:
    """Return an officer's act on the log itself. Raises the recorded refusal of everybody else's."""
    asking = prepare(vault, verb, context, permission=OFFICE)
    if not is_officer(asking):
        raise refuse(vault, asking, AccessDenied("role"))
    return asking


def is_officer(asking: Acting) -> bool:
    """Return whether the caller is a data protection officer, by their token and by the register."""
    return asking.context.caller.kind == "dpo" and "dpo" in asking.caller.roles


def present_era(rows: Connection, controller_id: str) -> int:
    """Return the era of a controller's log that is written now."""
    at = audit.head(rows, controller_id)
    return at.era if at is not None else audit.FIRST_ERA


def newest_note(vault: Vault, rows: Connection, controller_id: str, era: int) -> Note:
    """Return the newest checkpoint of a log. Raises NotFound before there is one, Unreadable after an alarm for one not its own."""
    name = origin(vault.settings.host, controller_id, era)
    text = audit.newest_copy(rows, controller_id, era)
    if text is None:
        raise NotFound("checkpoint-not-found")
    try:
        note = parse_note(text)
    except ValueError:
        raise _differing("checkpoint-differs") from None
    if note.checkpoint.origin != name or not signed_by(note, VerifierKey(name, vault.signing.checkpoint_key)):
        raise _differing("checkpoint-differs")
    return note


def served(vault: Vault, rows: Connection, controller_id: str, note: Note) -> str:
    """Return a checkpoint with what pinned witnesses signed of it, as it is handed out.

    A line that does not hold is a row somebody wrote: it is left out after an alarm. So is, without one, that of a witness who is
    pinned no more.
    """
    era, size = era_of(note.checkpoint.origin), note.checkpoint.size
    text = note.text
    for line in audit.witness_lines(rows, controller_id, era, size):
        try:
            text += "".join(one.line for one in cosignatures(parse_note(note.text + line), vault.signing.witnesses))
        except (ValueError, Doubt):
            log.error("unreadable", code="cosignature-differs")
    return text


def _differing(code: str) -> VaultError:
    log.error("unreadable", code=code)
    return Unreadable(code)


def _place(level: str, index: str) -> Place:
    """Return the place. What is none names nothing of the log, and is not put on record: it could be anything."""
    try:
        return place_of(level, index)
    except ValueError:
        raise NotFound from None


def _note_for(vault: Vault, asking: Acting, rows: Connection, era: int) -> Note:
    try:
        return newest_note(vault, rows, asking.context.controller_id, era)
    except NotFound as error:
        raise refuse(vault, asking, error) from None


def _hashes(vault: Vault, asking: Acting, at: Head, place: Place) -> Part:
    controller_id = asking.context.controller_id
    with vault.database.snapshot(controller_id) as rows:
        kept = tile_reader(rows, controller_id, at)(place.level or 0, place.index)
    hashes = kept[: place.width * HASH_BYTES]
    if len(hashes) != place.width * HASH_BYTES:  # pruned
        raise refuse(vault, asking, NotFound())
    return Part(hashes, place.full, None)


def _leaves(vault: Vault, asking: Acting, era: int, place: Place) -> Part:
    controller_id = asking.context.controller_id
    record(vault, asking, count=place.width, internal={"era": era, "first": place.first})
    with telling(vault, asking), vault.database.snapshot(controller_id) as rows:
        found = audit.leaves(rows, controller_id, era, place.first, place.first + place.width)
        if len(found) != place.width:  # pruned
            raise NotFound(entry_id=asking.entry_id)
    return Part(bundle(found), place.full, asking.entry_id)
