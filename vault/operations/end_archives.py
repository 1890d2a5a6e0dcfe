"""Destroy what duties kept of the erased once their last day is over: a job, unaided, for the erasure said until when.

A duty's wrap goes on the day after; a class goes with its last wrap, however many duties it was kept for.
"""

from collections.abc import Callable, Sequence
from datetime import date
from typing import Final

from sqlalchemy import Connection

from vault.assembly import Vault
from vault.erasure import records as erasures
from vault.erasure.records import ErasureRow
from vault.errors import Stale
from vault.keys import records as keys
from vault.operations.acting import HOUSE, carrying_out, prepare, record
from vault.operations.ending import close_classes
from vault.operations.open_request import local_day
from vault.policy.model import Caller, Context

VERB: Final = "end_archive"
_CALLER: Final = Caller(id="job:archives", kind="job", roles=frozenset(), client_id="riserbo")


def end_archives(vault: Vault, controller_id: str) -> int:
    """Let go of what no duty keeps any more; return for how many people."""
    today = local_day(vault, controller_id, vault.now())
    with vault.database.snapshot(controller_id) as rows:
        archived = erasures.archived(rows, controller_id)
        waiting = [erasures.holders_for_later(rows, controller_id, one.subject_id) for one in archived]
    held = [set[str]().union(*of.values()) for of in waiting]
    due = [(one, sorted(_over(one, today) & ids)) for one, ids in zip(archived, held, strict=True)]
    for one, duties in due:
        if duties:
            end_duties(vault, controller_id, one.subject_id, duties)
    return sum(bool(duties) for _, duties in due)


def _over(one: ErasureRow, today: date) -> set[str]:
    return {
        str(kept["agreement_id"])
        for kept in one.result["archived"]
        if kept["until"] is not None and date.fromisoformat(kept["until"]) < today
    }


def end_duties(
    vault: Vault, controller_id: str, subject_id: str, duties: Sequence[str], still: Callable[[Connection], bool] = lambda _: True
) -> None:
    """Take away the wraps by which these duties held keys, and what nothing holds any more.

    `still` is asked under the lock whoever writes wraps takes: whether they are over yet. Raises Stale where they are not.
    """
    context = Context(controller_id, _CALLER, "legal-compliance", "api")
    acting = prepare(vault, VERB, context, subject_id, vault.catalogue.classes, permission=HOUSE)
    record(vault, acting, details={"result": "archive-ended"}, internal={"agreements": list(duties)})
    with carrying_out(vault, acting) as transaction:
        keys.lock_data_keys(transaction, controller_id, subject_id)
        if not still(transaction):
            raise Stale
        for one in duties:
            keys.delete_hold_wraps(transaction, controller_id, subject_id, one)
        close_classes(vault, transaction, acting)
        erasures.settle(transaction, controller_id, subject_id)
