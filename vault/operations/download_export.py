"""Hand a package over: to the person themselves, who proved who they are within five minutes and typed the passphrase.

It is opened on its way and never kept in clear. Three downloads may be begun; once one is complete, or the third has ended, bytes
and wrap are gone. Each is on record before the first byte leaves, and so is that it was complete before anything is deleted.
"""

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

import structlog
from cryptography.exceptions import InvalidTag

from vault.assembly import Vault
from vault.budgets import Budget
from vault.errors import AccessDenied, Conflict, Erased, Fault, InvalidValue, NotFound, Unreadable
from vault.exports import records
from vault.exports.records import MOST_STARTS, ExportRow
from vault.keys.packages import clear_size, opening, package_key, package_place, typed
from vault.operations.acting import Acting, carrying_out, prepare, record, refuse, require_permission, tell_outcome
from vault.operations.break_glass import require_second_factor
from vault.operations.show_accesses import LEVEL_FOR_SPECIAL
from vault.operations.within_limits import within_limits
from vault.policy.model import Context

VERB: Final = "download_export"
_TRIES_AN_HOUR: Final = 10

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Download:
    """A package on its way: its size in bytes, and the bytes, to be taken once; they raise Unreadable where they were altered."""

    size: int
    pieces: Iterator[bytes] = field(repr=False)
    entry_id: str


def download_export(vault: Vault, context: Context, export_id: str, passphrase: str) -> Download:
    """Begin a download.

    Raises NotFound, AccessDenied (`level-needed`, `step-up-needed`), Conflict (`export-not-ready`), Erased (`export-gone`),
    TooMany, InvalidValue for a passphrase that is not this one's, Unreadable where bytes are missing.
    """
    controller_id = context.controller_id
    with vault.database.snapshot(controller_id) as rows:
        found = records.read(rows, controller_id, export_id)
    acting = prepare(vault, VERB, context, found.subject_id if found is not None else export_id)
    require_permission(vault, acting)
    if found is None:
        raise refuse(vault, acting, NotFound())
    require_second_factor(vault, acting)
    key = _key(vault, acting, found, passphrase)
    record(vault, acting, details={"result": "begun", "export": export_id})
    with carrying_out(vault, acting) as transaction:
        if records.size(transaction, controller_id, found) != found.size:
            log.error("unreadable", code="export-cut-off", entry_id=acting.entry_id)
            raise Unreadable("export-cut-off")
        started = records.begin_download(transaction, controller_id, export_id, acting.at)
    if started is None:
        raise Erased("export-gone", entry_id=acting.entry_id)
    return Download(clear_size(found.size), _pieces(vault, acting, found, key, last=started >= MOST_STARTS), acting.entry_id)


def _key(vault: Vault, acting: Acting, one: ExportRow, passphrase: str) -> bytes:
    """Return the key of a package that may be fetched now. Raises recorded refusals; each passphrase counts before it is tried."""
    controller_id = acting.context.controller_id
    if one.state == "building":
        raise refuse(vault, acting, Conflict("export-not-ready"))
    if one.salt is None or one.wrap is None or one.expires_at <= acting.at or one.starts >= MOST_STARTS:
        raise refuse(vault, acting, Erased("export-gone"))
    if one.special and acting.context.caller.level < LEVEL_FOR_SPECIAL:
        raise refuse(vault, acting, AccessDenied("level-needed"))
    tries = Budget(f"{one.subject_id}/exports", "passphrase", _TRIES_AN_HOUR, timedelta(hours=1))
    within_limits(vault, acting, [tries], "passphrase-budget")
    try:
        return package_key(typed(passphrase), one.salt, one.wrap, package_place(controller_id, one.subject_id, one.export_id))
    except Unreadable:
        raise refuse(vault, acting, InvalidValue(faults=[Fault("/passphrase", "passphrase.wrong")])) from None


def _pieces(vault: Vault, acting: Acting, one: ExportRow, key: bytes, *, last: bool) -> Iterator[bytes]:
    """Yield the package; having yielded all, end the export. The last of three ends it however it goes."""
    complete = False
    try:
        with closing(_opened(vault, acting, one, key)) as opened:
            yield from opened
        complete = True
    finally:
        if complete or last:
            state: records.End = "taken" if complete else "spent"
            tell_outcome(vault, acting, "done" if complete else "failed", state)
            with vault.database.transaction(acting.context.controller_id) as transaction:
                records.end(transaction, acting.context.controller_id, one.export_id, state)


def _opened(vault: Vault, acting: Acting, one: ExportRow, key: bytes) -> Generator[bytes, None, None]:
    controller_id = acting.context.controller_id
    under = opening(key, package_place(controller_id, one.subject_id, one.export_id))
    of = {"of_controller": controller_id, "of_export": one.export_id, "of_attempt": one.attempt}
    read = 0
    number = 0
    try:
        while read < one.size:
            found = vault.database.read(controller_id, records.PART, {**of, "of_number": number})
            if not found:  # somebody else's download was complete meanwhile
                raise Unreadable("export-gone")
            octets = bytes(found[0].octets)
            read, number = read + len(octets), number + 1
            if clear := bytes(under.update(octets)):
                yield clear
        if clear := bytes(under.finalize()):
            yield clear
    except InvalidTag:
        log.error("unreadable", code="export-altered", entry_id=acting.entry_id)
        raise Unreadable("export-altered") from None
