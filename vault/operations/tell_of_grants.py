"""Tell people of break-glass nobody reviewed in time: a person is told unless the officer recorded why not; silence is no record.

A review tells at once, or says why not (`oversee`). What is overdue is told here, on a schedule. Telling is an event for whoever
sends messages, with ids and a coded reason; when and how depends on the controller.
"""

from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from vault import tables
from vault.assembly import Vault
from vault.operations.acting import HOUSE, Acting, carrying_out, prepare, record
from vault.outbox import announce
from vault.policy.model import Caller, Context

BATCH = 500


def tell_of_grants(vault: Vault, controller_id: str) -> int:
    """Tell of what is due, up to 500 grants, one transaction each; return how many. Safe to kill and to repeat."""
    caller = Caller(id="job:tell-of-grants", kind="job", roles=frozenset(), client_id="riserbo")
    context = Context(controller_id, caller, "legal-compliance", "api")
    due = vault.database.read(controller_id, _DUE, {"controller_id": controller_id, "at": vault.now(), "batch": BATCH})
    told = 0
    for grant in due:
        acting = prepare(vault, "tell_of_grants", context, grant.subject_id, permission=HOUSE)
        record(vault, acting, details={"grant": grant.grant_id, "result": "told"})
        with carrying_out(vault, acting) as transaction:
            told += tell_within(vault, transaction, acting, grant)
    return told


def tell_within(vault: Vault, transaction: Connection, acting: Acting, grant: Any) -> bool:
    """Announce that the person is to be told of a grant, once; return False where they have been."""
    place = {"of_controller_id": acting.context.controller_id, "of_subject_id": grant.subject_id, "of_grant_id": grant.grant_id}
    if transaction.execute(_TOLD, {**place, "now": acting.at}).rowcount != 1:
        return False
    announce(transaction, vault, acting.context.controller_id, "break-glass:notice-due", acting.entry_id, acting.at,
             subject_id=grant.subject_id, grant_id=grant.grant_id, reason=grant.reason, fields=sorted(grant.fields),
             opened_at=grant.opened_at.isoformat(timespec="seconds"))  # fmt: skip
    return True


_G = tables.break_glass.c
_DUE = (
    sa.select(_G.subject_id, _G.grant_id, _G.reason, _G.fields, _G.opened_at)
    .where(
        _G.controller_id == sa.bindparam("controller_id"),
        _G.told_at.is_(None),
        _G.reviewed_at.is_(None),
        _G.review_due_at <= sa.bindparam("at"),
    )
    .order_by(_G.review_due_at)
    .limit(sa.bindparam("batch"))
)
_TOLD = (
    sa.update(tables.break_glass)
    .where(
        _G.controller_id == sa.bindparam("of_controller_id"),
        _G.subject_id == sa.bindparam("of_subject_id"),
        _G.grant_id == sa.bindparam("of_grant_id"),
        _G.told_at.is_(None),
    )
    .values(told_at=sa.bindparam("now"))
)
