"""Make the tasks of what recipients are to hear of (GDPR 7(3), 16 to 19): a job over the facts of the outbox.

A fact is taken over once everything the person's recipients received before it is known, in one transaction with its tasks; until
then it stays where it is. Each recipient is told of exactly the fields it received, and of nothing it has right already. An erasure
makes its tasks itself, in its own transaction.
"""

from typing import Final

import structlog

from vault.assembly import Vault
from vault.audit.records import entry_by_id
from vault.errors import VaultError
from vault.operations.acting import HOUSE, carrying_out, prepare, record
from vault.operations.project_disclosures import read_off
from vault.operations.tasking import tasks_of
from vault.policy.model import EVERYTHING, Caller, Context
from vault.recipients import task_records as tasks
from vault.recipients.task_records import Fact
from vault.recipients.tasks import CAUSES, Owed, owed, unheard

VERB: Final = "notify_recipients"
_CALLER: Final = Caller(id="job:recipients", kind="job", roles=frozenset(), client_id="riserbo")

log = structlog.get_logger()


def notify_recipients(vault: Vault, controller_id: str) -> int:
    """Take over every fact that can be; return how many tasks it made."""
    with vault.database.snapshot(controller_id) as rows:
        waiting = tasks.facts(rows, controller_id)
    made = 0
    for one in waiting:
        try:
            made += _taken_over(vault, controller_id, one)
        except VaultError as error:  # this one waits, and keeps nobody else from hearing
            log.error("job_put_off", controller_id=controller_id, entry_id=one.entry_id, code=error.code)
    return made


def _taken_over(vault: Vault, controller_id: str, fact: Fact) -> int:
    with vault.database.snapshot(controller_id) as rows:
        if entry_by_id(rows, controller_id, fact.entry_id) is None:
            return 0  # it has no position yet, and nor may an access before it
    subject_id = str(fact.data["subject_id"])
    told = _told(vault, controller_id, fact, subject_id)
    if not told:
        with vault.database.transaction(controller_id) as transaction:
            tasks.taken_over(transaction, controller_id, [fact.event_id], vault.now())
        return 0
    context = Context(controller_id, _CALLER, "rights-fulfilment", "api")
    acting = prepare(vault, VERB, context, subject_id, permission=HOUSE)
    kind = CAUSES[fact.name]
    record(vault, acting, count=len(told), details={"result": kind})
    with carrying_out(vault, acting) as transaction:
        made = tasks.add(transaction, controller_id, tasks_of(vault, transaction, acting, kind, told, fact.entry_id))
        tasks.taken_over(transaction, controller_id, [fact.event_id], acting.at)
    return len(made)


def _told(vault: Vault, controller_id: str, fact: Fact, subject_id: str) -> list[Owed]:
    """Return who is to be told of a fact, by what it says and what went to whom before it."""
    lines = read_off(vault, controller_id, subject_id)
    classes = fact.data.get("classes")
    if classes is not None:
        with vault.database.snapshot(controller_id) as rows:
            lines = unheard(lines, tasks.erasures_told(rows, controller_id, subject_id))
    named = fact.data.get("fields")
    fields = None if named is None or EVERYTHING in named else set(named)
    if classes is not None:
        fields = {one.name for one in vault.catalogue.fields.values() if one.class_name in classes}
    return owed(lines, fields, fact.data.get("agreement_id"), int(fact.at.timestamp() * 1000))
