"""Tell recipients by webhook what they are to hear of (GDPR 19): a job over the tasks whose turn has come.

Each attempt is on record before it is made. A task is claimed first, so that two processes do not both send it; whoever is killed
meanwhile delays it by the claim. Accepted is not erased: a 2xx acknowledges and nothing more. What was tried often enough, and what
an endpoint that is gone was to hear, is for a person to do.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

import structlog

from vault.assembly import Vault
from vault.errors import Stale, VaultError
from vault.operations.acting import HOUSE, Acting, carrying_out, prepare, record
from vault.operations.sealed_words import PURPOSE
from vault.operations.tasking import callback_of, step_of
from vault.outbox import announce
from vault.policy.model import Caller, Context
from vault.recipients import opendsr, records
from vault.recipients import task_records as tasks
from vault.recipients.delivery import GONE, OVERLAP, Posted, headers, message, next_attempt, signing_key
from vault.recipients.records import RecipientRow
from vault.recipients.task_records import TaskRow
from vault.recipients.tasks import TYPES, State

AT_ONCE: Final = 100
CLAIM: Final = timedelta(minutes=5)
_CALLER: Final = Caller(id="job:recipients", kind="job", roles=frozenset(), client_id="riserbo")
Post = Callable[[str, Mapping[str, str], bytes, int], Posted]  # address, headers, body, how much to read; never raises
CREATED: Final = 201

log = structlog.get_logger()


def deliver_tasks(vault: Vault, controller_id: str, post: Post) -> int:
    """Make each attempt that is due; return how many were made. One that cannot be made waits, and keeps nobody else waiting."""
    with vault.database.snapshot(controller_id) as rows:
        due = tasks.to_send(rows, controller_id, vault.now(), AT_ONCE)
        register = {one.recipient_id: one for one in records.recipients(rows, controller_id).values()}
    made = 0
    for one in due:
        try:
            made += _attempted(vault, controller_id, one, register.get(one.recipient_id or ""), post)
        except VaultError as error:
            log.error("job_put_off", controller_id=controller_id, code=error.code, entry_id=one.entry_id)
    return made


def tell_tasks(vault: Vault, controller_id: str) -> int:
    """Raise the alarm of each task whose deadline came before it ended; return how many. Each is on record and announced once."""
    with vault.database.snapshot(controller_id) as rows:
        late = tasks.to_alarm(rows, controller_id, vault.now())
    return sum(_alarmed(vault, controller_id, one) for one in late)


def _alarmed(vault: Vault, controller_id: str, one: TaskRow) -> bool:
    """Raise one alarm; one that cannot be raised keeps no other from being."""
    try:
        acting = _acting(vault, controller_id, one, "task-alarm")
        record(vault, acting, details={"result": "overdue", "task": one.task_id})
        with carrying_out(vault, acting) as transaction:
            tasks.alarmed(transaction, controller_id, [one.task_id], acting.at)
            announce(transaction, vault, controller_id, "task:overdue", acting.entry_id, acting.at, task_id=one.task_id)
    except VaultError as error:
        log.error("job_put_off", controller_id=controller_id, code=error.code, entry_id=one.entry_id)
        return False
    log.warning("task_overdue", controller_id=controller_id, code=one.state, entry_id=acting.entry_id)
    return True


def _attempted(vault: Vault, controller_id: str, one: TaskRow, to: RecipientRow | None, post: Post) -> int:
    with vault.database.transaction(controller_id) as transaction:
        if not tasks.claim(transaction, controller_id, one, vault.now() + CLAIM):
            return 0
    one = replace(one, version=one.version + 1)  # claimed: what it says is not changed any more
    acting = _acting(vault, controller_id, one, "deliver_task")
    number = one.attempts + 1
    if to is None or to.endpoint is None or to.disabled_at is not None or to.ended_at is not None:
        record(vault, acting, details={"result": "manual", "task": one.task_id})
        return _kept(vault, acting, one, "manual", Posted(None, "disabled"), one.attempts)
    record(vault, acting, details={"result": "sent", "task": one.task_id}, internal={"attempt": number})
    answer = _told(vault, acting, one, to, to.endpoint, post)
    if answer.status == GONE:
        with vault.database.transaction(controller_id) as transaction:
            records.disable(transaction, controller_id, to.name, to.endpoint, acting.at)
        log.warning("endpoint_disabled", controller_id=controller_id, entry_id=acting.entry_id)
    if answer.taken:
        return _kept(vault, acting, one, "acknowledged", answer, number)
    again = next_attempt(number, acting.at, one.task_id, answer.wait_s) if answer.status != GONE else None
    return _kept(vault, acting, one, "sent" if again is not None else "manual", answer, number, again)


def _told(vault: Vault, acting: Acting, one: TaskRow, to: RecipientRow, endpoint: str, post: Post) -> Posted:
    """Make one attempt, in the way this recipient is told."""
    controller_id = acting.context.controller_id
    if to.channel == "opendsr":
        asked = opendsr.request(one.task_id, one.handle, one.made_at, callback_of(vault, controller_id, one.task_id))
        answer = post(f"{endpoint.rstrip('/')}/requests", {}, asked, opendsr.LONGEST)
        took = answer.status == CREATED and opendsr.repeats(asked, answer.body)
        return answer if took or not answer.taken else Posted(None, "answer-differs")
    body = _message(one)
    return post(endpoint, headers(one.task_id, acting.at, body, _keys(vault, controller_id, to, acting)), body, 0)


def _message(one: TaskRow) -> bytes:
    told = {
        "task_id": one.task_id, "handle": one.handle, "fields": list(one.fields), "whole": one.whole,
        "reply_by": one.due_at.date().isoformat(),
    }  # fmt: skip
    return message(TYPES[one.kind], one.made_at, told)


def _keys(vault: Vault, controller_id: str, to: RecipientRow, acting: Acting) -> list[bytes]:
    """Return what to sign with: the key there is, and for a while the one before it."""
    secret = vault.keys.secret(controller_id, PURPOSE, to.secret_version).key
    serials = [to.secret_serial]
    if to.secret_at is not None and acting.at < to.secret_at + OVERLAP:
        serials.append(to.secret_serial - 1)
    return [signing_key(secret, to.recipient_id, serial) for serial in serials]


def _kept(
    vault: Vault, acting: Acting, one: TaskRow, to: State, answer: Posted, attempts: int, next_at: datetime | None = None
) -> int:
    step = step_of(vault, acting, one, one.version + 1, to, "job", code=answer.code)
    with suppress(Stale), vault.database.transaction(acting.context.controller_id) as transaction:
        # whoever it was for, or an officer, may have answered meanwhile: that stands
        tasks.move(transaction, acting.context.controller_id, one, step, attempts=attempts, next_at=next_at)
    return 1


def _acting(vault: Vault, controller_id: str, one: TaskRow, verb: str) -> Acting:
    return prepare(vault, verb, Context(controller_id, _CALLER, "rights-fulfilment", "api"), one.subject_id, permission=HOUSE)
