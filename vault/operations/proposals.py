"""What was proposed last for a request, as it was proposed: a row that anybody else wrote or changed is nobody's proposal."""

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any, Final

import sqlalchemy as sa
import structlog

from vault.assembly import Vault
from vault.errors import Unreadable
from vault.operations.marking import is_as_marked, marked
from vault.rights import correction_records as corrections
from vault.rights.correction_records import CorrectionRow

LABEL: Final = "riserbo.correction.v1"

log = structlog.get_logger()


def last_proposal(vault: Vault, controller_id: str, request_id: str) -> CorrectionRow | None:
    """Return what was proposed last, None where nothing was. Raises Unreadable, after an alarm, for what is not as proposed."""
    with vault.database.snapshot(controller_id) as rows:
        found = corrections.last(rows, controller_id, request_id)
    if found is not None and not is_as_marked(vault, controller_id, LABEL, _said(found), found.mark):
        log.error("unreadable", code="correction-not-as-proposed", entry_id=found.entry_id)
        raise Unreadable("correction-not-as-proposed")
    return found


def marked_proposal(vault: Vault, controller_id: str, row: CorrectionRow) -> CorrectionRow:
    """Return a row with its mark: over who proposed what, what takes its place, who was told, and what came of it."""
    return replace(row, mark=marked(vault, controller_id, LABEL, _said(row)))


def change_proposal(vault: Vault, controller_id: str, row: CorrectionRow, **to: Any) -> Callable[[sa.Connection], None]:
    """Return what keeps that it was told, or carried out. It raises Stale where that was done meanwhile."""
    after = marked_proposal(vault, controller_id, replace(row, **to))
    return lambda rows: corrections.change(rows, controller_id, row, **to, mark=after.mark)


def _said(row: CorrectionRow) -> dict[str, Any]:
    return {name: value for name, value in asdict(row).items() if name != "mark"}
