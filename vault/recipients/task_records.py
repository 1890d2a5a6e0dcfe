"""Rows of tasks, of their steps, and of the facts that make them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert as upsert

from vault import tables
from vault.errors import Stale
from vault.recipients.tasks import CAUSES, ENDED, Kind, State

PAGE: Final = 200
_MOST_FACTS: Final = 500
_T, _S, _E = tables.recipient_task.c, tables.recipient_task_step.c, tables.event.c
_CONTROLLER: sa.BindParameter[str] = sa.bindparam("of_controller")


@dataclass(frozen=True, slots=True)
class TaskRow:
    """One task. `next_at`: when it is to be sent; None where it is not for the vault to send."""

    task_id: str
    subject_id: str
    recipient: str
    recipient_id: str | None
    kind: Kind
    fields: Sequence[str]
    whole: bool
    handle: str
    cause: str
    request_id: str | None
    state: State
    made_at: datetime
    due_at: datetime
    moved_at: datetime
    attempts: int
    next_at: datetime | None
    alarmed_at: datetime | None
    version: int
    entry_id: str

    def is_overdue(self, at: datetime) -> bool:
        """Whether its deadline has come and it has not ended."""
        return self.state not in ENDED and at >= self.due_at


@dataclass(frozen=True, slots=True)
class StepRow:
    """One step. `code`: what an endpoint answered; what somebody wrote is sealed."""

    number: int
    state: State
    role: str
    by: str
    code: str | None
    at: datetime
    secret_version: int
    sealed: bytes = field(repr=False)
    entry_id: str


@dataclass(frozen=True, slots=True)
class Fact:
    """One event of the outbox that recipients are to hear of."""

    event_id: str
    name: str
    data: Mapping[str, Any]
    at: datetime
    entry_id: str


def add(rows: sa.Connection, controller_id: str, made: Sequence[TaskRow]) -> list[TaskRow]:
    """Keep tasks; return those that are new: for one act a recipient has one task of a kind."""
    new = []
    for one in made:
        statement = upsert(tables.recipient_task).on_conflict_do_nothing(
            index_elements=["controller_id", "cause", "kind", "recipient"]
        )
        kept = rows.execute(statement.returning(_T.task_id), {"controller_id": controller_id, **asdict(one)})
        if kept.one_or_none() is not None:
            new.append(one)
    return new


def widen(rows: sa.Connection, controller_id: str, made: Sequence[TaskRow]) -> None:
    """Add tasks, and to those nobody was told of yet the fields they lack."""
    fresh = {one.task_id for one in add(rows, controller_id, made)}
    for one in made:
        if one.task_id not in fresh:
            these = (_T.controller_id == controller_id, _T.cause == one.cause, _T.kind == one.kind, _T.recipient == one.recipient)
            rows.execute(sa.update(tables.recipient_task).where(*these, _T.version == 0).values(fields=one.fields, whole=one.whole))


def claim(rows: sa.Connection, controller_id: str, one: TaskRow, until: datetime) -> bool:
    """Keep a task from being sent by another until then, a version on; return whether it was still to be sent, as it was read."""
    these = (_T.controller_id == controller_id, _T.task_id == one.task_id, _T.version == one.version, _T.next_at == one.next_at)
    claimed = sa.update(tables.recipient_task).where(*these).values(next_at=until, version=_T.version + 1)
    return rows.execute(claimed).rowcount == 1


def to_alarm(rows: sa.Connection, controller_id: str, at: datetime) -> list[TaskRow]:
    """Return the tasks whose deadline came, that have not ended, and of which nobody was told yet."""
    quiet = sa.and_(_T.alarmed_at.is_(None), _T.state.not_in([sa.literal_column(f"'{name}'") for name in sorted(ENDED)]))
    statement = _EVERY.where(quiet, _T.due_at <= at).order_by(_T.due_at, _T.task_id).limit(_MOST_FACTS)
    return [TaskRow(**one) for one in rows.execute(statement, {"of_controller": controller_id}).mappings()]


def alarmed(rows: sa.Connection, controller_id: str, task_ids: Collection[str], at: datetime) -> None:
    """Say that somebody was told of them."""
    these = (_T.controller_id == controller_id, _T.task_id.in_(sorted(task_ids)))
    rows.execute(sa.update(tables.recipient_task).where(*these).values(alarmed_at=at))


def move(rows: sa.Connection, controller_id: str, before: TaskRow, step: StepRow, **changed: Any) -> None:
    """Keep a move, and its step. Raises Stale where somebody else moved it since it was read."""
    values = {"state": step.state, "moved_at": step.at, "entry_id": step.entry_id, "version": before.version + 1, **changed}
    moving = (
        sa.update(tables.recipient_task)
        .where(_T.controller_id == controller_id, _T.task_id == before.task_id, _T.version == before.version)
        .values(**values)
    )
    if rows.execute(moving).rowcount != 1:
        raise Stale
    rows.execute(sa.insert(tables.recipient_task_step), {"controller_id": controller_id, "task_id": before.task_id, **asdict(step)})


def read(rows: sa.Connection, controller_id: str, task_id: str) -> TaskRow | None:
    """Return one task, None where there is none."""
    found = rows.execute(_READ, {"of_controller": controller_id, "of_task": task_id}).mappings().one_or_none()
    return None if found is None else TaskRow(**found)


def steps(rows: sa.Connection, controller_id: str, task_id: str) -> list[StepRow]:
    """Return the steps of a task, in order."""
    found = rows.execute(_STEPS, {"of_controller": controller_id, "of_task": task_id}).mappings()
    return [StepRow(**{**one, "sealed": bytes(one["sealed"])}) for one in found]


def page(rows: sa.Connection, controller_id: str, *, only_open: bool, skip: int) -> list[TaskRow]:
    """Return up to `PAGE` tasks and one: the open ones, the next due first, or all of them, the newest first."""
    order = (_T.due_at, _T.task_id) if only_open else (_T.made_at.desc(), _T.task_id)
    statement = _EVERY.where(_T.state.not_in(sorted(ENDED))) if only_open else _EVERY
    found = rows.execute(statement.order_by(*order).limit(PAGE + 1).offset(skip), {"of_controller": controller_id})
    return [TaskRow(**one) for one in found.mappings()]


def caused_by(rows: sa.Connection, controller_id: str, cause: str) -> list[TaskRow]:
    """Return the tasks an act made, by recipient."""
    found = rows.execute(_EVERY.where(_T.cause == cause).order_by(_T.recipient, _T.kind), {"of_controller": controller_id})
    return [TaskRow(**one) for one in found.mappings()]


def erasures_told(rows: sa.Connection, controller_id: str, subject_id: str) -> list[tuple[str, Sequence[str], int]]:
    """Return of which erasures a person's recipients are told already: whom, of what, since when (ms)."""
    statement = _EVERY.where(_T.subject_id == subject_id, _T.kind == "erasure")
    found = rows.execute(statement, {"of_controller": controller_id}).mappings()
    return [(one["recipient"], one["fields"], int(one["made_at"].timestamp() * 1000)) for one in found]


def to_send(rows: sa.Connection, controller_id: str, at: datetime, most: int) -> list[TaskRow]:
    """Return the tasks whose turn to be sent has come, the longest waiting first."""
    statement = _EVERY.where(_T.next_at <= at).order_by(_T.next_at, _T.task_id).limit(most)
    return [TaskRow(**one) for one in rows.execute(statement, {"of_controller": controller_id}).mappings()]


def facts(rows: sa.Connection, controller_id: str) -> list[Fact]:
    """Return the facts recipients have not been told of, first to last."""
    return [Fact(**one) for one in rows.execute(_FACTS, {"of_controller": controller_id}).mappings()]


def taken_over(rows: sa.Connection, controller_id: str, event_ids: Collection[str], at: datetime) -> None:
    """Say of facts that their tasks are made."""
    these = (_E.controller_id == controller_id, _E.event_id.in_(sorted(event_ids)))
    rows.execute(sa.update(tables.event).where(*these).values(sent_at=at))


_TASK = [_T[name] for name in TaskRow.__slots__]
_READ = sa.select(*_TASK).where(_T.controller_id == _CONTROLLER, _T.task_id == sa.bindparam("of_task"))
_EVERY = sa.select(*_TASK).where(_T.controller_id == _CONTROLLER)
_STEPS = (
    sa.select(*(_S[name] for name in StepRow.__slots__))
    .where(_S.controller_id == _CONTROLLER, _S.task_id == sa.bindparam("of_task"))
    .order_by(_S.number)
)
_FACTS = (
    sa.select(_E.event_id, _E.name, _E.data, _E.at, _E.entry_id)
    .where(_E.controller_id == _CONTROLLER, _E.sent_at.is_(None), _E.name.in_([sa.literal_column(f"'{name}'") for name in CAUSES]))
    .order_by(_E.at, _E.event_id)
    .limit(_MOST_FACTS)
)
