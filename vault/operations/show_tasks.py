"""Show what recipients are to be told and what came of it: to officers all of it, to a recipient its own task."""

from datetime import datetime
from typing import Any

from vault.assembly import Vault
from vault.errors import AccessDenied
from vault.operations.acting import prepare, record, refuse, require_permission, telling
from vault.operations.answer_task import required_task
from vault.operations.sealed_words import opened_words
from vault.policy.model import Context
from vault.recipients import task_records as tasks
from vault.recipients.task_records import PAGE, TaskRow

VERB = "show_tasks"


def show_tasks(vault: Vault, context: Context, *, only_open: bool = True, skip: int = 0) -> tuple[list[dict[str, Any]], bool, str]:
    """Return a page of tasks, whether there are more, and the entry. For officers. Raises AccessDenied."""
    acting = prepare(vault, VERB, context)
    require_permission(vault, acting)
    if context.caller.kind == "system":
        raise refuse(vault, acting, AccessDenied("role"))
    with vault.database.snapshot(context.controller_id) as rows:
        found = tasks.page(rows, context.controller_id, only_open=only_open, skip=skip)
    record(vault, acting, count=len(found[:PAGE]), details={"result": "listed"})
    return [_told(one, acting.at) for one in found[:PAGE]], len(found) > PAGE, acting.entry_id


def show_task(vault: Vault, context: Context, task_id: str) -> tuple[dict[str, Any], str]:
    """Return one task and the entry: with its steps and what was written to officers, without them to the recipient it is of.

    Raises NotFound, AccessDenied.
    """
    acting, task = required_task(vault, context, VERB, task_id)
    with vault.database.snapshot(context.controller_id) as rows:
        steps = tasks.steps(rows, context.controller_id, task_id) if context.caller.kind != "system" else []
    record(vault, acting, count=1, details={"result": "shown", "task": task_id})
    with telling(vault, acting):
        said = [
            {
                "number": one.number, "state": one.state, "role": one.role, "by": one.by, "code": one.code,
                "at": one.at.isoformat(),
                "said": None, "evidence": None,
                **opened_words(vault, context.controller_id, task_id, one.number, one.secret_version, one.sealed),
            }
            for one in steps
        ]  # fmt: skip
    hidden = {"subject_id": None, "request_id": None} if context.caller.kind == "system" else {}  # it knows the handle
    return {**_told(task, acting.at), **hidden, "steps": said}, acting.entry_id


def _told(one: TaskRow, at: datetime) -> dict[str, Any]:
    return {
        "task_id": one.task_id, "subject_id": one.subject_id, "recipient": one.recipient, "recipient_id": one.recipient_id,
        "kind": one.kind, "fields": list(one.fields), "whole": one.whole, "handle": one.handle, "request_id": one.request_id,
        "state": one.state, "made_at": one.made_at.isoformat(), "due_at": one.due_at.isoformat(),
        "moved_at": one.moved_at.isoformat(), "overdue": one.is_overdue(at), "attempts": one.attempts,
        "next_at": one.next_at.isoformat() if one.next_at is not None else None,
    }  # fmt: skip
