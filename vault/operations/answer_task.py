"""Answer for a task: the recipient itself, or an officer who states what came of it, with evidence (GDPR 19).

A recipient answers for its own tasks alone; of another's it hears what it hears of one that is not there. An officer does so in
person. What is written is sealed; every step stays.
"""

from dataclasses import dataclass, field
from typing import Final, Literal

from vault.assembly import Vault
from vault.errors import AccessDenied, Conflict, Fault, InvalidValue, NotFound
from vault.operations.acting import (
    Acting,
    carrying_out,
    prepare,
    record,
    refuse,
    require_in_person,
    require_permission,
)
from vault.operations.sealed_words import word_faults
from vault.operations.tasking import step_of
from vault.policy.model import Context
from vault.recipients import task_records as tasks
from vault.recipients.task_records import TaskRow
from vault.recipients.tasks import By, State, may_move

VERB: Final = "answer_task"
Answer = Literal["acknowledged", "completed", "refused"]
Statement = Literal["completed", "refused", "excused", "manual"]
LONGEST_EVIDENCE: Final = 255


@dataclass(frozen=True, slots=True)
class Stated:
    """What an officer states of a task: why or how, and what shows it (a reference to a document, a message, a call)."""

    state: Statement
    said: str = field(repr=False)
    evidence: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer: where the task stands."""

    task_id: str
    state: State
    entry_id: str


def acknowledge_task(vault: Vault, context: Context, task_id: str, answer: Answer, said: str | None = None) -> Answered:
    """Take a recipient's own answer. Raises InvalidValue, NotFound for a task of another, AccessDenied, Conflict `task-state`."""
    acting, task = required_task(vault, context, VERB, task_id)
    if context.caller.kind != "system":
        raise refuse(vault, acting, AccessDenied("role"))
    if faults := list(word_faults({"said": said})):
        raise refuse(vault, acting, InvalidValue(faults=faults))
    return _moved(vault, acting, task, answer, "recipient", said)


def declare_task(vault: Vault, context: Context, task_id: str, stated: Stated) -> Answered:
    """Take an officer's statement. Raises InvalidValue (completed: evidence), NotFound, AccessDenied, Conflict `task-state`."""
    acting, task = required_task(vault, context, VERB, task_id)
    if context.caller.kind == "system":
        raise refuse(vault, acting, AccessDenied("role"))
    require_in_person(vault, acting)
    faults = list(word_faults({"said": stated.said}, "said"))
    evidence = (stated.evidence or "").strip()
    if (stated.state == "completed" and not evidence) or len(evidence) > LONGEST_EVIDENCE:
        faults.append(Fault("/evidence", "text.length"))
    if faults:
        raise refuse(vault, acting, InvalidValue(faults=faults))
    return _moved(vault, acting, task, stated.state, "officer", stated.said, evidence or None)


def required_task(vault: Vault, context: Context, verb: str, task_id: str) -> tuple[Acting, TaskRow]:
    """Return a task, and who acts on it. Raises the recorded 404 where there is none, and to a recipient whose it is not."""
    with vault.database.snapshot(context.controller_id) as rows:
        found = tasks.read(rows, context.controller_id, task_id)
    acting = prepare(vault, verb, context, found.subject_id if found is not None else task_id)
    require_permission(vault, acting)
    if found is None or (context.caller.kind == "system" and found.recipient != acting.caller.recipient):
        raise refuse(vault, acting, NotFound())
    return acting, found


def _moved(
    vault: Vault, acting: Acting, task: TaskRow, to: State, by: By, said: str | None, evidence: str | None = None
) -> Answered:
    if not may_move(task.state, to, by):
        raise refuse(vault, acting, Conflict("task-state"))
    controller_id = acting.context.controller_id
    record(vault, acting, details={"result": to, "task": task.task_id})
    step = step_of(vault, acting, task, task.version + 1, to, by, said, evidence=evidence)
    with carrying_out(vault, acting) as transaction:
        tasks.move(transaction, controller_id, task, step, next_at=None)
    return Answered(task.task_id, to, acting.entry_id)
