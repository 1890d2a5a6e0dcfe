"""Rows of requests: where each stands, and the steps it took. Every change names the version it saw."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime
from typing import Any, Final

import sqlalchemy as sa

from vault import tables
from vault.errors import Stale
from vault.rights.kinds import Kind, reaches
from vault.rights.moves import OPEN, State, Waiting, Where

PAGE: Final = 200

_R, _S = tables.request.c, tables.request_step.c
_OF: sa.BindParameter[str] = sa.bindparam("of_controller")
_ONE = sa.select(*(one for one in _R if one.name != "controller_id")).where(_R.controller_id == _OF)
_READ = _ONE.where(_R.request_id == sa.bindparam("of_request"))
_STEPS = (
    sa.select(*(one for one in _S if one.name not in ("controller_id", "request_id")))
    .where(_S.controller_id == _OF, _S.request_id == sa.bindparam("of_request"))
    .order_by(_S.number)
)
_SAME = sa.select(_S.stated["same_as"].astext).where(
    _S.controller_id == _OF, _S.request_id == sa.bindparam("of_request"), _S.verb == "duplicate"
)
_OF_SUBJECT = _ONE.where(_R.subject_id == sa.bindparam("of_subject")).order_by(_R.received_at, _R.request_id)
_OPEN = _ONE.where(_R.state.in_(sorted(OPEN))).order_by(_R.base_due, _R.request_id)
_EVERY = _ONE.order_by(_R.received_at.desc(), _R.request_id)


@dataclass(frozen=True, slots=True)
class RequestRow:
    """One request. `fields`: empty for everything; `base_due` no stop moves, `due` is None while the clock stands still."""

    request_id: str
    subject_id: str
    kind: Kind
    fields: Sequence[str]
    special: bool
    channel: str
    received_at: datetime
    registered_at: datetime
    registered_by: str
    regime: str
    base_due: date
    due: date | None
    state: State
    waiting: Waiting
    extended: int | None
    level: int
    accepted_by: str | None
    fulfilled_by: str | None
    plan: bytes | None
    begun: bool
    outcome: str | None
    alarm: str | None
    version: int
    entry_id: str

    @property
    def where(self) -> Where:
        """Where it stands, as its moves see it."""
        return Where(
            self.kind, self.state, self.waiting, self.extended is not None, self.level, self.special, reaches(self.fields),
            self.accepted_by or "", self.begun,
        )  # fmt: skip

    def after(self, to: Where, **other: Any) -> "RequestRow":
        """Return the row of a request that has moved."""
        return replace(
            self, state=to.state, waiting=to.waiting, level=to.level, accepted_by=to.accepted_by or None, begun=to.begun, **other
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class StepRow:
    """One step. `stated` holds nothing anybody wrote; that is sealed."""

    number: int
    verb: str
    stated: Mapping[str, Any]
    at: datetime
    by: str
    role: str
    secret_version: int
    sealed: bytes = field(repr=False)
    entry_id: str


def add(rows: sa.Connection, controller_id: str, made: RequestRow, steps: Sequence[StepRow]) -> None:
    """Keep a request and how it came to stand where it does."""
    rows.execute(sa.insert(tables.request), {"controller_id": controller_id, **asdict(made)})
    for one in steps:
        _add_step(rows, controller_id, made.request_id, one)


def move(rows: sa.Connection, controller_id: str, before: RequestRow, after: RequestRow, step: StepRow | None) -> None:
    """Keep a move, and its step. Raises Stale where somebody else moved it since it was read."""
    changed = {name: value for name, value in asdict(after).items() if name not in ("request_id", "version")}
    moving = (
        sa.update(tables.request)
        .where(_R.controller_id == controller_id, _R.request_id == before.request_id, _R.version == before.version)
        .values(**changed, version=before.version + 1)
    )
    if rows.execute(moving).rowcount != 1:
        raise Stale
    if step is not None:
        _add_step(rows, controller_id, before.request_id, step)


def keep_as_read(rows: sa.Connection, controller_id: str, one: RequestRow) -> None:
    """Let nobody move a request before this transaction has ended. Raises Stale where somebody moved it since it was read."""
    unmoved = sa.select(_R.version).where(_R.controller_id == controller_id, _R.request_id == one.request_id)
    if rows.execute(unmoved.with_for_update()).scalar_one_or_none() != one.version:
        raise Stale


def read(rows: sa.Connection, controller_id: str, request_id: str) -> RequestRow | None:
    """Return one request, None where there is none."""
    found = rows.execute(_READ, {"of_controller": controller_id, "of_request": request_id}).mappings().one_or_none()
    return None if found is None else RequestRow(**found)


def steps(rows: sa.Connection, controller_id: str, request_id: str) -> list[StepRow]:
    """Return the steps of a request, in order."""
    found = rows.execute(_STEPS, {"of_controller": controller_id, "of_request": request_id}).mappings()
    return [StepRow(**{**one, "sealed": bytes(one["sealed"])}) for one in found]


def governing(rows: sa.Connection, controller_id: str, one: RequestRow) -> RequestRow:
    """Return the request whose clock governs: this one, or the one it repeats, which was open then and so leads to an end."""
    while one.state == "duplicate":
        same_as = rows.execute(_SAME, {"of_controller": controller_id, "of_request": one.request_id}).scalar_one()
        one = RequestRow(**rows.execute(_READ, {"of_controller": controller_id, "of_request": same_as}).mappings().one())
    return one


def of_subject(rows: sa.Connection, controller_id: str, subject_id: str) -> list[RequestRow]:
    """Return a person's requests, first to last."""
    found = rows.execute(_OF_SUBJECT, {"of_controller": controller_id, "of_subject": subject_id}).mappings()
    return [RequestRow(**one) for one in found]


def open_ones(rows: sa.Connection, controller_id: str) -> list[RequestRow]:
    """Return every open request, the next due first."""
    return [RequestRow(**one) for one in rows.execute(_OPEN, {"of_controller": controller_id}).mappings()]


def page(rows: sa.Connection, controller_id: str, *, only_open: bool, skip: int) -> list[RequestRow]:
    """Return up to `PAGE` requests and one: the open ones, the next due first, or all of them, the newest first."""
    statement = (_OPEN if only_open else _EVERY).limit(PAGE + 1).offset(skip)
    return [RequestRow(**one) for one in rows.execute(statement, {"of_controller": controller_id}).mappings()]


def _add_step(rows: sa.Connection, controller_id: str, request_id: str, step: StepRow) -> None:
    rows.execute(sa.insert(tables.request_step), {"controller_id": controller_id, "request_id": request_id, **asdict(step)})
