"""Take what a recipient says of a request by OpenDSR (8.5 to 8.8): signed, or nobody reads it.

Whoever calls has no token: the signature over the bytes is all that is believed. A task that is not there, one of a recipient that
is told otherwise, and a signature that does not hold are refused alike, and leave nothing but a line in the log: else anybody could
fill the trail.
"""

from typing import Final

import structlog

from vault.assembly import Vault
from vault.errors import AccessDenied, Conflict, Fault, InvalidValue
from vault.operations.acting import HOUSE, carrying_out, prepare, record
from vault.operations.tasking import callback_of, step_of
from vault.policy.model import Caller, Context
from vault.recipients import opendsr, records
from vault.recipients import task_records as tasks
from vault.recipients.tasks import may_move

VERB: Final = "take_callback"

log = structlog.get_logger()


def take_callback(vault: Vault, controller_id: str, task_id: str, domain: str | None, signature: str | None, body: bytes) -> None:
    """Move the task as a callback says. What it says again changes nothing.

    Raises AccessDenied `signature`, InvalidValue for signed words that are none of ours, Conflict `task-state`.
    """
    if controller_id not in vault.database.controllers():
        raise AccessDenied("signature")
    with vault.database.snapshot(controller_id) as rows:
        task = tasks.read(rows, controller_id, task_id)
        to = records.recipients(rows, controller_id).get(task.recipient) if task is not None else None
    if task is None or to is None or to.certificate is None or to.endpoint is None:
        raise AccessDenied("signature")
    if not opendsr.signed(to.certificate, to.endpoint, domain, signature, body):
        log.warning("callback_refused", controller_id=controller_id, code="signature")
        raise AccessDenied("signature")
    try:
        said = opendsr.read(body)
    except ValueError:
        raise InvalidValue(faults=[Fault("/request_status", "callback.syntax")]) from None
    if said.request_id != opendsr.request_id(task_id) or said.address != callback_of(vault, controller_id, task_id):
        raise InvalidValue(faults=[Fault("/status_callback_url", "callback.not-ours")])
    if task.state == said.status:
        return
    if not may_move(task.state, said.status, "recipient"):
        raise Conflict("task-state")
    caller = Caller(id=task.recipient, kind="system", roles=frozenset(), client_id="riserbo")
    acting = prepare(vault, VERB, Context(controller_id, caller, "rights-fulfilment", "api"), task.subject_id, permission=HOUSE)
    record(vault, acting, details={"result": said.status, "task": task_id})
    step = step_of(vault, acting, task, task.version + 1, said.status, "recipient")
    with carrying_out(vault, acting) as transaction:
        tasks.move(transaction, controller_id, task, step, next_at=None)
