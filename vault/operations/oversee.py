"""Break-glass by other eyes: another person approves a grant, and a third reviews it. Nobody does either for themselves."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

import sqlalchemy as sa

from vault import tables
from vault.assembly import Vault
from vault.errors import AccessDenied, Conflict, Fault, InvalidValue, NotFound
from vault.operations.acting import NOBODY, Acting, carrying_out, prepare, record, refuse
from vault.operations.break_glass import require_second_factor
from vault.operations.reveal import text_fault
from vault.operations.tell_of_grants import tell_within
from vault.outbox import announce
from vault.policy.model import Context

VERDICTS: Final = ("JUSTIFIED", "UNJUSTIFIED", "TRAINING", "BREACH")


@dataclass(frozen=True, slots=True)
class Review:
    """What a third person found. The person is told, unless the officer says in their own words why not."""

    verdict: str
    tell_subject: bool = True
    why_not: str | None = field(default=None, repr=False)


def approve_break_glass(vault: Vault, context: Context, grant_id: str) -> str:
    """Approve somebody else's grant, which then runs its minutes from now; return the entry's id.

    Raises NotFound, AccessDenied (`own-token-needed`, `step-up-needed`, `self-approval`), Conflict once it is too late or done.
    """
    acting, grant = _prepared(vault, "approve_break_glass", context, grant_id)
    _require_own_token(vault, acting)
    require_second_factor(vault, acting)
    if grant.requester == context.caller.id:
        raise refuse(vault, acting, AccessDenied("self-approval"))
    if grant.approver is not None or grant.reviewed_at is not None or acting.at >= min(grant.approve_by, grant.expires_at):
        raise refuse(vault, acting, Conflict("grant-closed"))
    record(vault, acting, details={"grant": grant_id, "result": "approved"})
    until = acting.at + timedelta(minutes=grant.minutes)
    with carrying_out(vault, acting) as transaction:
        done = transaction.execute(_APPROVE, {**_place(context, grant), "by": context.caller.id, "now": acting.at, "until": until})
        _tell(vault, transaction, acting, done.rowcount, "break-glass:approved", grant_id)
    return acting.entry_id


def review_break_glass(vault: Vault, context: Context, grant_id: str, review: Review) -> str:
    """Review a grant, which ends it; return the entry's id. Raises InvalidValue, NotFound, AccessDenied, Conflict."""
    wrong = text_fault(review.why_not, needed=not review.tell_subject)
    if review.verdict not in VERDICTS or wrong is not None:
        raise InvalidValue(faults=[Fault("/verdict", "verdict.unknown") if wrong is None else Fault("/why_not", wrong)])
    acting, grant = _prepared(vault, "review_break_glass", context, grant_id)
    require_second_factor(vault, acting)
    if context.caller.id in (grant.requester, grant.approver):
        raise refuse(vault, acting, AccessDenied("self-review"))
    if grant.reviewed_at is not None:
        raise refuse(vault, acting, Conflict("grant-closed"))
    said = {"why_not": review.why_not} if review.why_not is not None else {}
    record(vault, acting, details={"grant": grant_id, "result": review.verdict}, internal=said)
    found = {"by": context.caller.id, "now": acting.at, "found": review.verdict, "tell": review.tell_subject}
    with carrying_out(vault, acting) as transaction:
        done = transaction.execute(_REVIEW, {**_place(context, grant), **found})
        tell = "yes" if review.tell_subject else "no"
        _tell(
            vault, transaction, acting, done.rowcount, "break-glass:reviewed", grant_id, verdict=review.verdict, tell_subject=tell
        )
        if review.tell_subject:
            tell_within(vault, transaction, acting, grant)
    return acting.entry_id


def _prepared(vault: Vault, verb: str, context: Context, grant_id: str) -> tuple[Acting, Any]:
    """Return the act and the grant's row; a grant that is not there and one the caller has no say in are refused alike."""
    rows = vault.database.read(context.controller_id, _BY_ID, {"controller_id": context.controller_id, "grant_id": grant_id})
    acting = prepare(vault, verb, context, rows[0].subject_id if rows else NOBODY)
    if not rows or not acting.permission.allowed:
        raise refuse(vault, acting, NotFound("grant-not-found"))
    return acting, rows[0]


def _require_own_token(vault: Vault, acting: Acting) -> None:
    """Refuse, on record, an approval by a system that acts for the approver: holding two tokens, it would be both persons."""
    if acting.context.caller.actor is not None:
        raise refuse(vault, acting, AccessDenied("own-token-needed"))


def _place(context: Context, grant: Any) -> dict[str, str]:
    return {"of_controller_id": context.controller_id, "of_subject_id": grant.subject_id, "of_grant_id": grant.grant_id}


def _tell(vault: Vault, transaction: sa.Connection, acting: Acting, changed: int, name: str, grant_id: str, **more: str) -> None:
    """Announce what was done. Raises Conflict when somebody else was faster."""
    if changed != 1:
        raise Conflict("grant-closed")
    announce(transaction, vault, acting.context.controller_id, name, acting.entry_id, acting.at,
             subject_id=acting.subject_id, grant_id=grant_id, **more)  # fmt: skip


_G = tables.break_glass.c
_BY_ID = sa.select(tables.break_glass).where(
    _G.controller_id == sa.bindparam("controller_id"), _G.grant_id == sa.bindparam("grant_id")
)
_THIS = sa.update(tables.break_glass).where(
    _G.controller_id == sa.bindparam("of_controller_id"),
    _G.subject_id == sa.bindparam("of_subject_id"),
    _G.grant_id == sa.bindparam("of_grant_id"),
    _G.reviewed_at.is_(None),
)
_APPROVE = _THIS.where(_G.approver.is_(None)).values(
    approver=sa.bindparam("by"), approved_at=sa.bindparam("now"), expires_at=sa.bindparam("until")
)
_REVIEW = _THIS.values(
    reviewer=sa.bindparam("by"), reviewed_at=sa.bindparam("now"), verdict=sa.bindparam("found"), tell_subject=sa.bindparam("tell")
)
