"""Show the register of recipients to officers: each with its terms, and whether data may go there now."""

from datetime import datetime
from typing import Any

from vault.assembly import Vault
from vault.operations.acting import prepare, record, require_permission
from vault.policy.model import Context
from vault.recipients import records
from vault.recipients.records import RecipientRow
from vault.recipients.register import contract_holds


def show_recipients(vault: Vault, context: Context) -> tuple[list[dict[str, Any]], str]:
    """Return every line by name, also those that ended, and the entry. Raises AccessDenied."""
    acting = prepare(vault, "show_recipients", context)
    require_permission(vault, acting)
    with vault.database.snapshot(context.controller_id) as rows:
        found = records.recipients(rows, context.controller_id)
    record(vault, acting, count=len(found), details={"result": "listed"})
    return [told(one, acting.at) for one in found.values()], acting.entry_id


def told(one: RecipientRow, at: datetime) -> dict[str, Any]:
    """Return one line as it is told; `contract_valid` says whether data may go there, as far as Art. 28 is concerned."""
    open_ = one.ended_at is None
    return {
        "recipient_id": one.recipient_id, "name": one.name, "party": one.party, "role": one.role, "country": one.country,
        "transfer_tool": one.transfer_tool, "contract": one.contract, "contract_from": _spelt(one.contract_from),
        "contract_until": _spelt(one.contract_until),
        "contract_valid": open_ and contract_holds(one.role, one.contract_from, one.contract_until, at),
        "instructions": one.instructions, "subprocessors": list(one.subprocessors), "channel": one.channel, "days": one.days,
        "disabled_at": _spelt(one.disabled_at), "registered_at": one.registered_at.isoformat(), "ended_at": _spelt(one.ended_at),
    }  # fmt: skip


def _spelt(at: datetime | None) -> str | None:
    return at.isoformat() if at is not None else None
