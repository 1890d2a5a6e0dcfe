"""Housekeeping of agreements the clock has ended: every read refuses them already; here their wraps go, and an event is written."""

import structlog

from vault.agreements import records as agreements
from vault.assembly import Vault
from vault.errors import Conflict, Unavailable, VaultError
from vault.operations.acting import HOUSE, prepare, record
from vault.operations.withdraw import end_agreement
from vault.policy.model import Caller, Context

BATCH = 500

log = structlog.get_logger()


def expire(vault: Vault, controller_id: str) -> int:
    """End what is due, up to 500 agreements, one transaction each; return how many. Safe to kill and to repeat."""
    with vault.database.snapshot(controller_id) as rows:
        due = agreements.due(rows, controller_id, vault.now(), BATCH)
    caller = Caller(id="job:expire", kind="job", roles=frozenset(), client_id="riserbo")
    ended = 0
    for subject_id, agreement_id in due:
        acting = prepare(vault, "expire", Context(controller_id, caller, "legal-compliance", "api"), subject_id, permission=HOUSE)
        record(vault, acting, details={"agreements": {"*": agreement_id}})
        try:
            end_agreement(vault, acting, agreement_id, "expired", b"{}")
        except Conflict:
            continue  # withdrawn meanwhile: as ended as it can be
        except Unavailable:
            raise
        except VaultError as error:  # one that cannot be ended must not keep the others alive
            log.error("not_expired", controller_id=controller_id, subject_id=subject_id, code=error.code)
            continue
        ended += 1
    return ended
