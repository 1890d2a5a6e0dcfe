"""Change the epoch of a controller: a new key, every wrap made anew under it, the old key gone. Killed anywhere, it goes on.

1. A new root and controller key are made and opened again before anything rests on them; then the old key is closing.
2. Wraps and audit keys are made anew, some people at a time, each wholly or not at all; and the controller's secrets.
3. Once no process can hold the old key as the one to wrap with, and nothing is wrapped under it, it is deleted.

Each step is on record before it is taken. What the old key opened in old backups it opens until its root is destroyed
(`destroy_epochs`). Source: `cryptography.md` 6.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from threading import Event
from typing import Final, Literal, TypeVar

import structlog
from sqlalchemy import Connection

from vault.assembly import Vault
from vault.errors import KeysUnavailable, Unreadable
from vault.keys import epochs
from vault.keys.controller_keys import RELOAD_S, new_controller_key
from vault.keys.envelope import audit_key_place, scope, secret_place, wrap_epoch, wrap_place
from vault.keys.epochs import ChangeRow, EpochRow, WrapRow
from vault.keys.keyring import Keyring
from vault.operations.acting import HOUSE, carrying_out, prepare, record
from vault.policy.model import Caller, Context

_CALLER: Final = Caller(id="job:keys", kind="job", roles=frozenset(), client_id="riserbo")

log = structlog.get_logger()
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a controller's change of epoch is. `rewrapped`: wraps and audit keys made anew by this call."""

    epoch: int
    state: Literal["open", "closing"]
    rewrapped: int


def change_epochs(vault: Vault, keyring: Keyring, *, at_once: bool = False) -> dict[str, Standing]:
    """Bring every controller to the epoch that is due, or to the next one `at_once`; return where each of them is.

    An epoch is one for the whole installation, so none begins before all have come to the one before. Raises KeysUnavailable,
    AuditUnavailable, DatabaseUnavailable: repeated, it goes on.
    """
    known = {one: _epochs(vault, one) for one in vault.database.controllers()}
    newest = max((rows[-1].epoch for rows in known.values()), default=0)
    level = all(len(rows) == 1 and rows[-1].epoch == newest for rows in known.values())
    days = vault.settings.epoch_days
    due = any(epochs.is_over(rows[-1].created_at, vault.now(), days) for rows in known.values())
    to = newest + 1 if level and (at_once or due) else newest
    behind = [one for one, rows in known.items() if rows[-1].epoch < to]
    for one in behind:
        _begin(vault, keyring, one, to)
    if behind:  # who loaded keys just before may not ask for the new one sooner, and would find wraps it cannot open
        Event().wait(RELOAD_S)
    return {one: change_epoch(vault, keyring, one, to) for one in known}


def change_epoch(vault: Vault, keyring: Keyring, controller_id: str, to: int) -> Standing:
    """Bring one controller to an epoch, as far as it goes now."""
    known = _epochs(vault, controller_id)
    if known[-1].epoch < to:
        _begin(vault, keyring, controller_id, to)
        known = _epochs(vault, controller_id)
    rewrapped = 0
    for one in (one for one in known if one.state == "closing"):
        rewrapped += rewrap(vault, controller_id, one.epoch)
        _close(vault, controller_id, one.epoch)
    return Standing(to, "closing" if len(_epochs(vault, controller_id)) > 1 else "open", rewrapped)


def changes(vault: Vault, controller_id: str) -> list[ChangeRow]:
    """Return every change of epoch of a controller, first to last."""
    with vault.database.snapshot(controller_id) as rows:
        return epochs.changes_of(rows, controller_id)


def rewrap(vault: Vault, controller_id: str, epoch: int) -> int:
    """Make anew what is wrapped under an epoch that closes; return how many wraps and audit keys that were."""
    done = 0
    with vault.database.transaction(controller_id) as transaction:
        _rewrap_secrets(vault, transaction, controller_id, epoch)
    after = ""
    while people := _people(vault, controller_id, epoch, after):
        with vault.database.transaction(controller_id) as transaction:
            made = _rewrap_people(vault, transaction, controller_id, epoch, people)
            epochs.advance(transaction, controller_id, epoch, made)
        done, after = done + made, people[-1]
    return done


def house(controller_id: str) -> Context:
    """Return the context in which the job acts."""
    return Context(controller_id, _CALLER, "legal-compliance", "api")


def _begin(vault: Vault, keyring: Keyring, controller_id: str, to: int) -> None:
    _, row = new_controller_key(keyring, vault.settings.installation, controller_id, to)
    acting = prepare(vault, "epoch-begin", house(controller_id), permission=HOUSE)
    record(vault, acting, internal={"epoch": to})
    with carrying_out(vault, acting) as transaction:
        epochs.begin(transaction, controller_id, row, acting.at)
    vault.keys.forget()  # this process asks the keyring again, and wraps under the new one
    if vault.keys.current(controller_id)[0] != to:
        raise KeysUnavailable


def _close(vault: Vault, controller_id: str, epoch: int) -> None:
    """Delete an epoch's key, if nobody can have it as the one to wrap with and nothing rests on it."""
    with vault.database.snapshot(controller_id) as rows:
        begun = next(one.begun_at for one in epochs.changes_of(rows, controller_id) if one.epoch == epoch)
        left = epochs.left_in(rows, controller_id, epoch)
    if left or vault.now() < begun + timedelta(seconds=vault.keys.lifetime_s):
        return
    acting = prepare(vault, "epoch-close", house(controller_id), permission=HOUSE)
    record(vault, acting, internal={"epoch": epoch})
    with carrying_out(vault, acting) as transaction:
        if any(wrap_epoch(wrap) == epoch for _, _, wrap in epochs.lock_secrets(transaction, controller_id)):
            raise KeysUnavailable
        epochs.end(transaction, controller_id, epoch, acting.at)
    log.info("epoch_closed", controller_id=controller_id, entry_id=acting.entry_id)


def _rewrap_people(vault: Vault, rows: Connection, controller_id: str, epoch: int, people: Sequence[str]) -> int:
    held = epochs.lock_wraps(rows, controller_id, epoch, people)
    wraps = _made(vault, controller_id, [(one, _place(controller_id, one), one.wrap) for one in held])
    epochs.move_wraps(rows, controller_id, epoch, wraps)
    held_keys = epochs.audit_keys_in(rows, controller_id, epoch, people)
    places = [(one, audit_key_place(controller_id, one), wrap) for one, wrap in held_keys]
    audit_keys = _made(vault, controller_id, places)
    epochs.move_audit_keys(rows, controller_id, epoch, audit_keys)
    return len(wraps) + len(audit_keys)


def _made(vault: Vault, controller_id: str, held: Sequence[tuple[_T, bytes, bytes]]) -> list[tuple[_T, int, bytes]]:
    """Make each wrap (what it is of, its place, the bytes) anew. One that does not open stays, and with it the old key."""
    made = []
    for of, place, wrap in held:
        try:
            made.append((of, *vault.keys.rewrap(controller_id, place, wrap)))
        except Unreadable:
            log.error("unreadable", controller_id=controller_id, step="rewrap")
    return made


def _place(controller_id: str, one: WrapRow) -> bytes:
    return wrap_place(scope(controller_id, one.subject_id, one.class_name, one.generation), one.holder_kind, one.holder_id)


def _rewrap_secrets(vault: Vault, rows: Connection, controller_id: str, epoch: int) -> None:
    for purpose, version, wrap in epochs.lock_secrets(rows, controller_id):
        if wrap_epoch(wrap) == epoch:
            _, made = vault.keys.rewrap(controller_id, secret_place(controller_id, purpose, version), wrap)
            epochs.move_secret(rows, controller_id, purpose, version, made)


def _people(vault: Vault, controller_id: str, epoch: int, after: str) -> list[str]:
    with vault.database.snapshot(controller_id) as rows:
        return epochs.people_in(rows, controller_id, epoch, after)


def _epochs(vault: Vault, controller_id: str) -> list[EpochRow]:
    with vault.database.snapshot(controller_id) as rows:
        return epochs.epochs_of(rows, controller_id)
