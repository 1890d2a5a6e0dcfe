"""Destroy the root keys of epochs that are over, and say of erasures that nothing can bring back what they took.

A root goes once no controller has a key of its epoch, a newer key export was made, and those it could open are past their days.
Then every copy of a wrap of that epoch, in old backups, archived logs and pages nobody overwrote, is worth nothing.
An erasure is final when the roots of all epochs up to its own are destroyed and physical backups from before it have had their age.
Source: `cryptography.md` 6, `rights.md` 6.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

import structlog

from vault.assembly import Vault
from vault.erasure import records as erasures
from vault.erasure.ledger import Line
from vault.erasure.records import ErasureRow
from vault.errors import Conflict, Fault, NotFound, Unreadable
from vault.keys import epochs
from vault.keys.epochs import ChangeRow
from vault.keys.keyring import Keyring, KeyState, root_name
from vault.operations.acting import HOUSE, prepare, record, tell_outcome
from vault.operations.certify import account_of, certified, certify
from vault.operations.change_epoch import house

Why = Literal["destroyed", "in-use", "exports-live", "no-newer-export"]

log = structlog.get_logger()
_ON_THE_WAY: Final[tuple[KeyState, ...]] = ("pending", "destroyed")


@dataclass(frozen=True, slots=True)
class Root:
    """The root key of one epoch: what the keyring says of it, and when it may be destroyed (None: not foreseen), or why not yet."""

    epoch: int
    state: KeyState
    why: Why
    due_at: datetime | None


@dataclass(frozen=True, slots=True)
class _Of:
    """What one controller knows of epochs."""

    controller_id: str
    living: Sequence[int]
    changes: Sequence[ChangeRow]
    exports: Sequence[tuple[datetime, int]]


def roots(vault: Vault, keyring: Keyring) -> list[Root]:
    """Return every root key up to the newest, and how far each is from its end."""
    known = [_known(vault, one) for one in vault.database.controllers()]
    newest = max((one.living[-1] for one in known), default=0)
    return [_root(vault, keyring, known, epoch) for epoch in range(1, newest + 1)]


def destroy_epoch(vault: Vault, keyring: Keyring, epoch: int) -> Root:
    """Destroy the root key of an epoch, for ever. Raises NotFound, Conflict (`epoch-needed`, with why and from when)."""
    found = next((one for one in roots(vault, keyring) if one.epoch == epoch), None)
    if found is None:
        raise NotFound("epoch-not-found")
    if found.state in _ON_THE_WAY:
        return found
    if found.why != "destroyed" or found.due_at is None or found.due_at > vault.now():
        since = f": from {found.due_at.date().isoformat()}" if found.due_at is not None else ""
        raise Conflict("epoch-needed", faults=[Fault(f"epoch {epoch}", found.why + since)])
    told = [prepare(vault, "epoch-destroy", house(one), permission=HOUSE) for one in vault.database.controllers()]
    for acting in told:
        record(vault, acting, internal={"epoch": epoch})
    gone = keyring.destroy_root(epoch)
    for acting in told:
        tell_outcome(vault, acting, "done", gone.state)
    log.info("epoch_destroyed", count=epoch, code=gone.state)
    return Root(epoch, keyring.state(root_name(epoch)), "destroyed", gone.at)


def destroy_due(vault: Vault, keyring: Keyring) -> list[int]:
    """Destroy every root that may be, and return their epochs."""
    due = [
        one.epoch
        for one in roots(vault, keyring)
        if one.state not in _ON_THE_WAY and one.why == "destroyed" and one.due_at is not None and one.due_at <= vault.now()
    ]
    return [destroy_epoch(vault, keyring, one).epoch for one in due]


def finish_erasures(vault: Vault, keyring: Keyring, controller_id: str) -> int:
    """Certify the erasures of a controller that have become final; return how many.

    When, of which epochs and what: by the ledger and the first certificate, which are signed, and not by the row of the erasure.
    """
    with vault.database.snapshot(controller_id) as rows:
        waiting = erasures.not_final(rows, controller_id)
        notes = {one.erasure_id: erasures.certificate_of(rows, controller_id, one.erasure_id, "live") for one in waiting}
    done = 0
    for one in waiting:
        note = notes[one.erasure_id]
        if note is None:
            continue  # the erasure itself has not ended: the next start carries it on
        try:
            line = _line_of(vault, controller_id, one)
            said = certified(vault, controller_id, note[1], line)
        except Unreadable as error:
            log.error("unreadable", controller_id=controller_id, code=error.code, entry_id=one.entry_id)
            continue
        if _is_final(vault, keyring, said, line):
            _finish(vault, controller_id, replace(one, result=account_of(said), epoch=max(said["epochs"])), line)
            done += 1
    return done


def _line_of(vault: Vault, controller_id: str, one: ErasureRow) -> Line:
    """Return the line of the ledger an erasure names. Raises Unreadable where that is another act, or another person's."""
    line = next(iter(vault.ledger.lines(one.ledger_number - 1)), None)
    said = line.said if line is not None else None
    named = vault.ledger.name(controller_id, one.subject_id)
    if line is None or said is None or (said.op, said.controller_id, said.subject) != ("intent", controller_id, named):
        raise Unreadable("erasure-differs")
    return line


def _finish(vault: Vault, controller_id: str, one: ErasureRow, line: Line) -> None:
    """Tell the ledger first, once: what is killed in between is certified the next time."""
    acting = prepare(vault, "erasure-final", house(controller_id), one.subject_id, permission=HOUSE)
    record(vault, acting, details={"result": "final"})
    if not any(other.said.op == "final" and other.said.act == line.said.act for other in vault.ledger.lines(line.number)):
        vault.ledger.append(line.said.closed("final", int(vault.now().timestamp() * 1000)))
    certify(vault, controller_id, one, line, "final")


def _is_final(vault: Vault, keyring: Keyring, said: Mapping[str, Any], line: Line) -> bool:
    begun_at = datetime.fromtimestamp(line.said.at_ms / 1000, UTC)
    if vault.now() < begun_at + timedelta(days=vault.settings.physical_backup_days):
        return False
    return all(keyring.state(root_name(epoch)) == "destroyed" for epoch in range(1, max(said["epochs"]) + 1))


def _root(vault: Vault, keyring: Keyring, known: Sequence[_Of], epoch: int) -> Root:
    state = keyring.state(root_name(epoch))
    if state in _ON_THE_WAY:
        return Root(epoch, state, "destroyed", None)
    ends = [change.ended_at for one in known for change in one.changes if change.epoch == epoch]
    if any(min(one.living) <= epoch for one in known) or not ends or None in ends:
        return Root(epoch, state, "in-use", None)
    ended = max(one for one in ends if one is not None)
    due = ended + timedelta(days=vault.settings.key_export_days)
    if not all(any(made > ended and of > epoch for made, of in one.exports) for one in known):
        return Root(epoch, state, "no-newer-export", None)
    return Root(epoch, state, "destroyed" if due <= vault.now() else "exports-live", due)


def _known(vault: Vault, controller_id: str) -> _Of:
    with vault.database.snapshot(controller_id) as rows:
        living = [one.epoch for one in epochs.epochs_of(rows, controller_id)]
        return _Of(controller_id, living, epochs.changes_of(rows, controller_id), epochs.exports_of(rows, controller_id))
