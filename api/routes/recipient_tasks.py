"""Tasks of recipients: what each is to be told of a correction, a restriction, a withdrawal or an erasure, and what came of it."""

from collections.abc import Callable
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, ConfigDict, StringConstraints

from api.call import call_of
from api.context import AccessContext, Guarded, RunningVault
from api.described import IDEMPOTENCY, answers, headers
from api.idempotency import Idempotent
from api.routes.requests import Skip
from api.routes.reveals import OwnWords
from api.shapes import CallerId, PersonalBody
from vault.operations.answer_task import LONGEST_EVIDENCE, Stated, acknowledge_task, declare_task
from vault.operations.answer_task import Answered as Task
from vault.operations.remember import Answered
from vault.operations.show_tasks import show_task, show_tasks

router = APIRouter(prefix="/v1", tags=["recipients"], route_class=Guarded)

TaskId = Annotated[str, Path(pattern="^tsk_[a-z2-7]{26}$", description="tsk_ and 26 characters")]
State = Literal["pending", "sent", "acknowledged", "completed", "refused", "manual", "excused"]


class TaskOut(BaseModel):
    """One task: which fields, by which handle the recipient knows the person, until when. `whole`: they are all it received."""

    task_id: str
    subject_id: str | None
    recipient: str
    recipient_id: str | None
    kind: Literal["erasure", "rectification", "restriction", "lifting", "withdrawal"]
    fields: list[str]
    whole: bool
    handle: str
    request_id: str | None
    state: State
    made_at: str
    due_at: str
    moved_at: str
    overdue: bool
    attempts: int
    next_at: str | None


class TasksOut(BaseModel):
    """Tasks, and whether there are more."""

    tasks: list[TaskOut]
    more: bool
    entry_id: str


class TaskStepOut(BaseModel):
    """One step. `code`: what an endpoint answered, or that it did not."""

    number: int
    state: State
    role: Literal["job", "recipient", "officer"]
    by: CallerId
    code: str | None
    at: str
    said: str | None
    evidence: str | None


class WholeTaskOut(TaskOut):
    """One task with its steps; a recipient is told its own without them, and nobody's id."""

    model_config = ConfigDict(json_schema_extra={"x-has-pii": True})

    steps: list[TaskStepOut]
    entry_id: str


class AnswerIn(PersonalBody):
    """What the recipient did. Accepted is not erased: `completed` says that it is done."""

    state: Literal["acknowledged", "completed", "refused"]
    said: OwnWords | None = None


class StatementIn(PersonalBody):
    """What an officer states, and what shows it: a reference of a message, a call, a document; `completed` needs one."""

    state: Literal["completed", "refused", "excused", "manual"]
    said: OwnWords
    evidence: Annotated[str, StringConstraints(max_length=LONGEST_EVIDENCE)] | None = None


class MovedTaskOut(BaseModel):
    """Where the task stands."""

    task_id: str
    state: State
    entry_id: str


@router.get(
    "/recipient-tasks", operation_id="listRecipientTasks", responses=answers(TasksOut, "A page.", 403), openapi_extra=headers()
)
def list_tasks(
    context: AccessContext, vault: RunningVault, request: Request, response: Response, every: bool = False, skip: Skip = 0
) -> TasksOut:
    """List open tasks, the next due first; with `every` all of them, the newest first. For officers."""
    found, more, entry_id = show_tasks(vault, context, only_open=not every, skip=skip)
    _noted(request, response, entry_id)
    return TasksOut.model_validate({"tasks": found, "more": more, "entry_id": entry_id})


@router.get(
    "/recipient-tasks/{task_id}",
    operation_id="readRecipientTask",
    responses=answers(WholeTaskOut, "The task.", 403),
    openapi_extra=headers(),
)
def read_task(task_id: TaskId, context: AccessContext, vault: RunningVault, request: Request, response: Response) -> WholeTaskOut:
    """Read one task: officers every one, a recipient's system its own."""
    found, entry_id = show_task(vault, context, task_id)
    _noted(request, response, entry_id)
    return WholeTaskOut.model_validate({**found, "entry_id": entry_id})


@router.post(
    "/recipient-tasks/{task_id}:acknowledge",
    operation_id="acknowledgeRecipientTask",
    responses=answers(MovedTaskOut, "Noted.", 403, 409, body=True),
    openapi_extra=headers(IDEMPOTENCY),
)
def acknowledge(task_id: TaskId, body: AnswerIn, context: AccessContext, vault: RunningVault, once: Idempotent) -> Response:
    """Answer for a task: the recipient's own system."""
    return _moved(once, vault, context, lambda: acknowledge_task(vault, context, task_id, body.state, body.said))


@router.post(
    "/recipient-tasks/{task_id}:declare",
    operation_id="declareRecipientTask",
    responses=answers(MovedTaskOut, "Noted.", 403, 409, body=True),
    openapi_extra=headers(IDEMPOTENCY),
)
def declare(task_id: TaskId, body: StatementIn, context: AccessContext, vault: RunningVault, once: Idempotent) -> Response:
    """State what came of a task: an officer, with evidence."""
    stated = Stated(body.state, body.said, body.evidence)
    return _moved(once, vault, context, lambda: declare_task(vault, context, task_id, stated))


def _moved(once: Idempotent, vault: RunningVault, context: AccessContext, act: Callable[[], Task]) -> Response:
    def answered() -> Answered:
        done = act()
        return Answered(200, {"task_id": done.task_id, "state": done.state, "entry_id": done.entry_id})

    return once.answer(vault, context, answered)


def _noted(request: Request, response: Response, entry_id: str) -> None:
    call_of(request).entry_id = response.headers["Vault-Entry"] = entry_id
    response.headers["Cache-Control"] = "no-store"
