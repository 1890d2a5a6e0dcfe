"""Tend the keys of an installation: what is due of epochs, exports and roots is done, and erasures that are final are certified.

An export is due a day after the last one, and whenever an epoch was closed since: only then may its root go.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Final

from vault.assembly import Vault
from vault.keys import epochs
from vault.keys.keyring import Keyring
from vault.operations.change_epoch import change_epochs
from vault.operations.destroy_epochs import destroy_due, finish_erasures

EXPORTED_EVERY: Final = timedelta(days=1)


def tend_keys(vault: Vault, keyring: Keyring, export: Callable[[], object]) -> int:
    """Do what is due; return how many wraps, exports, roots and certificates that were. Each step may be repeated.

    Raises KeysUnavailable, AuditUnavailable, DatabaseUnavailable, LedgerUnavailable: what was done stays done.
    """
    done = sum(one.rewrapped for one in change_epochs(vault, keyring).values())
    known = vault.database.controllers()
    if any(_export_due(vault, one) for one in known):
        export()
        done += 1
    done += len(destroy_due(vault, keyring))
    return done + sum(finish_erasures(vault.governed(one), keyring, one) for one in known)


def _export_due(vault: Vault, controller_id: str) -> bool:
    with vault.database.snapshot(controller_id) as rows:
        made = epochs.exports_of(rows, controller_id)
        ended = [one.ended_at for one in epochs.changes_of(rows, controller_id) if one.ended_at is not None]
    last = made[-1][0] if made else None
    return last is None or vault.now() >= last + EXPORTED_EVERY or any(one >= last for one in ended)
