"""The tasks of one act: what each recipient is to be told, by when and how. Shared by the verbs that make them."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa

from vault.assembly import Vault
from vault.erasure.plan import spelt
from vault.keys.tokens import token_text
from vault.operations.acting import Acting
from vault.operations.sealed_words import sealed_words
from vault.recipients import records
from vault.recipients.task_records import StepRow, TaskRow
from vault.recipients.tasks import By, Kind, Owed, State

DAYS: Final = 30  # for a recipient that is not on the register


def tasks_of(
    vault: Vault, rows: sa.Connection, acting: Acting, kind: Kind, told: Iterable[Owed], cause: str, request_id: str | None = None
) -> list[TaskRow]:
    """Return the tasks of an act on the person of `acting`. What the vault does not send is a person's to do from the beginning."""
    register = records.recipients(rows, acting.context.controller_id)
    made = []
    for one in told:
        line = register.get(one.recipient)
        sent = line is not None and line.disabled_at is None and line.ended_at is None and may_leave(line.channel, kind, one)
        days = line.days if line is not None else DAYS
        made.append(
            TaskRow(
                task_id=vault.new_id("tsk"), subject_id=acting.subject_id, recipient=one.recipient,
                recipient_id=line.recipient_id if line is not None else None, kind=kind, fields=list(one.fields), whole=one.whole,
                handle=_handle(vault, acting, one.recipient), cause=cause, request_id=request_id,
                state="pending" if sent else "manual", made_at=acting.at, due_at=acting.at + timedelta(days=days),
                moved_at=acting.at, attempts=0, next_at=acting.at if sent else None, alarmed_at=None, version=0,
                entry_id=acting.entry_id,
            )
        )  # fmt: skip
    return made


def may_leave(channel: str, kind: Kind, one: Owed) -> bool:
    """Return whether the vault tells it itself: OpenDSR knows the erasure of everything alone."""
    return channel == "webhook" or (channel == "opendsr" and kind == "erasure" and one.whole)


def callback_of(vault: Vault, controller_id: str, task_id: str) -> str:
    """Return where a recipient tells by OpenDSR what it did."""
    return f"https://{vault.settings.host}/opendsr/{controller_id}/{task_id}"


def step_of(
    vault: Vault, acting: Acting, task: TaskRow, number: int, to: State, role: By, said: str | None = None, code: str | None = None,
    evidence: str | None = None,
) -> StepRow:  # fmt: skip
    """Return a step of a task, what was written sealed."""
    place = (vault, acting.context.controller_id, task.task_id, number)
    version, sealed = sealed_words(*place, {"said": said, "evidence": evidence})
    return StepRow(number, to, role, acting.context.caller.id, code, acting.at, version, sealed, acting.entry_id)


def _handle(vault: Vault, acting: Acting, recipient: str) -> str:
    """Return by what a recipient knows a person: a token it was given, or one made for it alone. Nobody else can compare them."""
    secret = vault.keys.secret(acting.context.controller_id, "token").key
    given = sorted((name, serial) for (name, whose), (serial, _) in acting.person.tokens.items() if whose == recipient)
    field, serial = given[0] if given else ("*", 1)
    return token_text(secret, acting.subject_id, field, recipient, serial)


def told_of(made: Iterable[TaskRow], at: datetime) -> list[dict[str, Any]]:
    """Return what an account says of tasks: who was to be told, how that stands, and what is late."""
    return [
        {
            "recipient_id": one.recipient_id, "recipient": one.recipient, "task_id": one.task_id, "state": one.state,
            "overdue": one.is_overdue(at), "at": spelt(one.moved_at),
        }
        for one in sorted(made, key=lambda one: one.recipient)
    ]  # fmt: skip
