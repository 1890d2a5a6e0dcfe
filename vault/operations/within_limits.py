"""What counted verbs share: an act is taken from its budgets, and past them it is refused, on record, and told to those who review.

The first refusal of a window raises a suspicion, in the transaction that counts it, so it is raised once and never lost; the entry
of the refusal names it for officers. The event names no caller: whose act it was stands in the sealed part of the entry, and
reading it is on record.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from vault import budgets
from vault.assembly import Vault
from vault.budgets import Budget, Taken
from vault.errors import TooMany
from vault.operations.acting import NOBODY, Acting, refuse
from vault.outbox import announce


def within_limits(vault: Vault, acting: Acting, of: Sequence[Budget], code: str, count: int = 1) -> Taken:
    """Take an act from its budgets, in their order. Raises TooMany with the seconds to wait, alike whatever was asked."""
    with vault.database.transaction(acting.context.controller_id) as transaction:
        taken = budgets.take(transaction, acting.context.controller_id, of, acting.at, count)
        raised = _raise_suspicion(vault, transaction, acting, taken, code)
    if taken.wait_s is None:
        return taken
    raise refuse(vault, acting, TooMany(code, retry_after_s=taken.wait_s), internal=raised)


def _raise_suspicion(vault: Vault, transaction: Connection, acting: Acting, taken: Taken, code: str) -> Mapping[str, Any]:
    """Announce the first refusal of a window, and whose verification is closed by it; return what the entry says of it."""
    if taken.spent is None or taken.wait_s is None or not taken.first:
        return {}
    controller_id, budget = acting.context.controller_id, taken.spent
    about = {"subject_id": acting.subject_id} if acting.subject_id != NOBODY else {}
    suspicion = {"suspicion_id": vault.new_id("sus"), "rule": code, "budget": budget.kind}
    announce(transaction, vault, controller_id, "suspicion:raised", acting.entry_id, acting.at, **suspicion, **about)
    if budget.holder == acting.subject_id:  # nobody can prove to be this person until then: they are to know
        until = _spelt(acting.at + timedelta(seconds=taken.wait_s))
        announce(transaction, vault, controller_id, "verification:locked", acting.entry_id, acting.at, **about, until=until)
    return suspicion


def _spelt(instant: datetime) -> str:
    return instant.isoformat(timespec="seconds")
