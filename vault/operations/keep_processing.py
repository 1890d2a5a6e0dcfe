"""Keep the records of processing activities as they change (GDPR 30(1), 5(2)): a job each night makes them, signed.

They are written where they differ from those that were written last, so that the files tell what was processed since when. What
changes every day tells nothing of it (`vault.processing.differences`) and makes no new file.
"""

from datetime import datetime
from typing import Protocol

import structlog

from vault.assembly import Vault
from vault.notes import signed_text
from vault.operations.show_processing import show_processing_in_house
from vault.operations.signing import document_key
from vault.processing.differences import Difference, differences, read_document

log = structlog.get_logger()


class Kept(Protocol):
    """Where they are kept."""

    def newest(self, controller_id: str, at: datetime) -> bytes | None:
        """Return what was written last until then, None where nothing was. Raises Unavailable."""

    def keep(self, controller_id: str, at: datetime, octets: bytes) -> None:
        """Write what was made at an instant. Raises Unavailable."""


def keep_processing(vault: Vault, controller_id: str, kept: Kept) -> int:
    """Make them, on record, and return 1 where they were written. Raises Unavailable, AuditUnavailable; what lies there stays."""
    before = kept.newest(controller_id, vault.now())
    shown = show_processing_in_house(vault, controller_id, "note")
    changed = None if before is None else _changed(vault, controller_id, before, shown.line)
    if changed is not None and not changed:
        return 0
    kept.keep(controller_id, vault.now(), shown.octets)
    parts = sorted({one.part for one in changed or ()})
    log.info("processing_changed", controller_id=controller_id, parts=parts, errors=shown.errors, entry_id=shown.entry_id)
    return 1


def _changed(vault: Vault, controller_id: str, before: bytes, line: bytes) -> list[Difference] | None:
    """Return what differs; None where what lies there is not ours, or was cut: the next begins anew, and the log tells."""
    try:
        ours = signed_text(document_key(vault, controller_id), before)
        return differences(read_document(ours.encode()), read_document(line))
    except ValueError:
        log.warning("processing_not_ours", controller_id=controller_id)
        return None
