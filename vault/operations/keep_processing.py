"""Keep the records of processing activities as they change (GDPR 30(1), 5(2)): a job each night makes them, signed.

They are written where they differ from those that were written last, so that the files tell what was processed since when. What
changes every day tells nothing of it (`vault.processing.differences`) and makes no new file.
"""

from datetime import datetime
from typing import Protocol

import structlog

from vault.assembly import Vault
from vault.operations.show_processing import show_processing_in_house
from vault.processing.differences import differences, read_document

log = structlog.get_logger()


class Kept(Protocol):
    """Where they are kept."""

    def newest(self, controller_id: str) -> bytes | None:
        """Return what was written last, None where nothing was. Raises Unavailable."""

    def keep(self, controller_id: str, at: datetime, octets: bytes) -> None:
        """Write what was made at an instant. Raises Unavailable."""


def keep_processing(vault: Vault, controller_id: str, kept: Kept) -> int:
    """Make them, on record, and return 1 where they were written. Raises Unavailable, AuditUnavailable; what lies there stays."""
    before = kept.newest(controller_id)
    shown = show_processing_in_house(vault, controller_id, "note")
    try:
        changed = None if before is None else differences(read_document(before), read_document(shown.line))
    except ValueError:  # somebody else's file, or one that was cut: the next begins anew
        changed = None
    if changed is not None and not changed:
        return 0
    kept.keep(controller_id, vault.now(), shown.octets)
    parts = sorted({one.part for one in changed or ()})
    log.info("processing_changed", controller_id=controller_id, parts=parts, errors=shown.errors, entry_id=shown.entry_id)
    return 1
