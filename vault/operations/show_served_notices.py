"""Show which notices a person was given, when and by whom put down: to them, to who may put it down, to the officers."""

from typing import Any

from vault import notices
from vault.assembly import Vault
from vault.notices import ServedRow
from vault.operations.acting import prepare, record, require_permission, require_person
from vault.policy.model import Context

VERB = "show_served_notices"


def show_served_notices(vault: Vault, context: Context, subject_id: str) -> tuple[list[dict[str, Any]], str]:
    """Return what somebody was given, the first one first, and the entry. Raises NotFound, AccessDenied."""
    acting = prepare(vault, VERB, context, subject_id)
    require_permission(vault, acting)
    require_person(vault, acting)
    with vault.database.snapshot(context.controller_id) as rows:
        found = notices.served(rows, context.controller_id, subject_id)
    record(vault, acting, count=len(found))
    return [shown(one) for one in found], acting.entry_id


def shown(one: ServedRow) -> dict[str, Any]:
    """Return one as it is told; who put it down by their role, for staff have rights of their own."""
    return {
        "notice": one.notice, "version": one.version, "language": one.language, "sha256": one.sha256.hex(), "channel": one.channel,
        "given_at": one.given_at.isoformat(), "recorded_at": one.recorded_at.isoformat(), "role": one.role,
        "entry_id": one.entry_id,
    }  # fmt: skip
