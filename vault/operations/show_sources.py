"""Show officers which data are not from the person, where they are from, and until when the person is to be told (GDPR 14(3))."""

from datetime import datetime
from typing import Any

from vault import sources
from vault.assembly import Vault
from vault.operations.acting import prepare, record, require_permission
from vault.policy.model import Context
from vault.sources import SourceRow

VERB = "show_sources"


def show_sources(vault: Vault, context: Context, *, only_open: bool = True, skip: int = 0) -> tuple[dict[str, Any], str]:
    """Return a page, what nobody was told of yet and is due next first, or all; and the entry. Raises AccessDenied.

    What a person obscured is not there, nor is it counted.
    """
    acting = prepare(vault, VERB, context)
    require_permission(vault, acting)
    with vault.database.snapshot(context.controller_id) as rows:
        found = sources.page(rows, context.controller_id, only_open=only_open, skip=skip)
    record(vault, acting, count=len(found[: sources.PAGE]), details={"result": "listed"})
    shown = [_shown(one, acting.at) for one in found[: sources.PAGE]]
    return {"sources": shown, "more": len(found) > sources.PAGE}, acting.entry_id


def _shown(one: SourceRow, at: datetime) -> dict[str, Any]:
    return {
        "subject_id": one.subject_id, "field": one.field, "source": one.source, "obtained_at": one.obtained_at.isoformat(),
        "regime": one.regime, "due_at": _spelt(one.due_at), "because": one.because, "told_at": _spelt(one.told_at),
        "overdue": one.told_at is None and one.due_at is not None and at > one.due_at, "entry_id": one.entry_id,
    }  # fmt: skip


def _spelt(at: datetime | None) -> str | None:
    return at.isoformat() if at is not None else None
