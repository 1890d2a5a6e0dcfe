"""Show the breach register (GDPR 33(5)): every breach with its deadlines, one with what was written about it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vault import breaches
from vault.assembly import Vault
from vault.breaches import Register
from vault.operations.acting import Acting, prepare, record, require_permission, telling
from vault.operations.report_breach import required_breach
from vault.operations.sealed_words import opened_words
from vault.policy.model import Context


@dataclass(frozen=True, slots=True)
class Shown:
    """The answer, and the entry that recorded it."""

    document: dict[str, Any]
    entry_id: str


def show_breaches(vault: Vault, context: Context) -> Shown:
    """Show what is on the register, the newest first, without anybody's words. Raises AccessDenied."""
    acting = prepare(vault, "show_breach", context)
    require_permission(vault, acting)
    with vault.database.snapshot(context.controller_id) as rows:
        found = breaches.registers(rows, context.controller_id)
    record(vault, acting, count=len(found), details={"result": "listed"})
    return Shown({"breaches": [_told(one, acting) for one in found]}, acting.entry_id)


def show_breach(vault: Vault, context: Context, breach_id: str) -> Shown:
    """Show one breach with what was written about it. Raises NotFound, AccessDenied."""
    acting = prepare(vault, "show_breach", context)
    require_permission(vault, acting)
    found = required_breach(vault, acting, breach_id)
    record(vault, acting, count=1, details={"result": "shown", "breach": breach_id})
    with telling(vault, acting):
        place = (vault, context.controller_id, breach_id)
        said = opened_words(*place, 0, found.breach.secret_version, found.breach.sealed)
        phases = [
            {
                "number": one.number, "phase": one.phase, "at": one.at.isoformat(), "by": one.by, "stated": dict(one.stated),
                "words": opened_words(*place, one.number, one.secret_version, one.sealed), "entry_id": one.entry_id,
            }
            for one in found.phases
        ]  # fmt: skip
    return Shown({**_told(found, acting), "words": said, "phases": phases}, acting.entry_id)


def _told(one: Register, acting: Acting) -> dict[str, Any]:
    breach = one.breach
    return {
        "breach_id": breach.breach_id,
        "state": one.state,
        "kinds": list(breach.kinds),
        "regimes": list(breach.regimes),
        "detected_at": breach.detected_at.isoformat() if breach.detected_at is not None else None,
        "aware_at": breach.aware_at.isoformat(),
        "opened_at": breach.opened_at.isoformat(),
        "opened_by": breach.opened_by,
        "risk": (one.assessment or {}).get("risk"),
        "deadlines": _deadlines(one, acting),
    }


def _deadlines(one: Register, acting: Acting) -> Sequence[dict[str, Any]]:
    return [
        {
            "regime": due.regime, "notice": due.notice, "since": due.since, "since_at": due.since_at.isoformat(),
            "due_at": due.due_at.isoformat(), "state": one.state_of(due, acting.at),
        }
        for due in one.deadlines
    ]  # fmt: skip
