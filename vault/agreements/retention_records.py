"""Rows by which retention decides: of people whose agreements are over, and of its own runs."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import aggregate_order_by

from vault import tables
from vault.agreements.retention import RUNS, Ended

PAGE: Final = 500
_CONTROLLER: sa.BindParameter[str] = sa.bindparam("of_controller")
_S, _A, _E, _R = tables.subject.c, tables.agreement_state.c, tables.agreement_event.c, tables.retention_run.c
_K, _W, _Q = tables.data_key.c, tables.data_key_wrap.c, tables.request.c
_ENDS: Final = ("withdrawn", "revoked", "invalidated", "ended", "superseded", "expired")
_CLOSED: Final = ("fulfilled", "refused", "withdrawn", "duplicate", "unidentified")


@dataclass(frozen=True, slots=True)
class PersonRow:
    """Somebody of whom something may be over. `waits`: who holds a key without opening it; `asked`: a request of theirs is open."""

    subject_id: str
    agreements: Sequence[Ended]
    waits: frozenset[str]
    restricted: bool
    asked: bool


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run. `state`: done, or waiting for somebody; `digest` is of whom it was due for."""

    run_id: str
    at: datetime
    state: str
    people: int
    due: int
    removed: int
    digest: bytes
    rules: Sequence[Any]
    approved_by: str | None
    approved_at: datetime | None
    entry_id: str


def people(rows: sa.Connection, controller_id: str) -> Iterator[PersonRow]:
    """Yield everybody whose agreements are over, or of whom a duty alone keeps something; the erased left out."""
    after = ""
    while found := list(rows.execute(_PEOPLE, {"of_controller": controller_id, "after": after, "most": PAGE})):
        yield from map(_person, found)
        after = found[-1].subject_id


def person(rows: sa.Connection, controller_id: str, subject_id: str) -> PersonRow | None:
    """Return one of those; None where that is no longer so."""
    found = rows.execute(_ONE, {"of_controller": controller_id, "of_subject": subject_id}).one_or_none()
    return None if found is None else _person(found)


def agreements(rows: sa.Connection, controller_id: str, subject_id: str) -> list[Ended]:
    """Return the agreements of one person, whatever they stand at."""
    found = rows.execute(_OF_PERSON, {"of_controller": controller_id, "of_subject": subject_id}).scalar_one_or_none()
    return [_ended(*one) for one in found or ()]


def how_many(rows: sa.Connection, controller_id: str) -> int:
    """Return how many people there are, the erased left out."""
    return int(rows.execute(_HOW_MANY, {"of_controller": controller_id}).scalar_one())


def runs(rows: sa.Connection, controller_id: str) -> list[RunRow]:
    """Return the runs that wait, and the latest that removed something, the newest first: neither pushes the other out."""
    found = [one for asked in (_WAITING, _DONE) for one in rows.execute(asked, {"of_controller": controller_id}).mappings()]
    return [RunRow(**{**one, "digest": bytes(one["digest"])}) for one in found]


def add_run(rows: sa.Connection, controller_id: str, made: RunRow) -> None:
    """Keep a run."""
    rows.execute(sa.insert(tables.retention_run), {"controller_id": controller_id, **asdict(made)})


def change_run(rows: sa.Connection, controller_id: str, run_id: str, **changed: Any) -> None:
    """Say what became of a run that waited."""
    rows.execute(sa.update(tables.retention_run).where(_R.controller_id == controller_id, _R.run_id == run_id).values(changed))


def _person(row: Any) -> PersonRow:
    agreements = [_ended(*one) for one in row.agreements]
    return PersonRow(row.subject_id, agreements, frozenset(row.waits), bool(row.restricted), bool(row.asked))


def _ended(agreement_id: str, template: str, status: str, began: str, until: str | None, ended: str | None) -> Ended:
    """Return an agreement: one that its own period ended did so then, whenever somebody noticed."""
    ends = [datetime.fromisoformat(one) for one in (until, ended) if one is not None]
    over = status not in ("in_force", "dormant")
    return Ended(agreement_id, template, datetime.fromisoformat(began), min(ends) if over and ends else None, status == "dormant")


def _own(table: sa.Table) -> sa.ColumnElement[bool]:
    return sa.and_(table.c.controller_id == _S.controller_id, table.c.subject_id == _S.subject_id)


def _agreed() -> sa.ScalarSelect[Any]:
    last = (
        sa.select(sa.func.max(_E.effective_at))
        .where(_own(tables.agreement_event), _E.agreement_id == _A.agreement_id, _E.kind.in_(_ENDS))
        .scalar_subquery()
    )
    one = sa.func.jsonb_build_array(_A.agreement_id, _A.template, _A.status, _A.valid_from, _A.valid_until, last)
    agreed = sa.select(sa.func.coalesce(sa.func.jsonb_agg(aggregate_order_by(one, _A.agreement_id)), sa.text("'[]'::jsonb")))
    return agreed.where(_own(tables.agreement_state)).scalar_subquery()


def _people() -> sa.Select[Any]:
    waits = sa.select(sa.func.array_agg(_W.holder_id.distinct())).where(_own(tables.data_key_wrap), _W.holder_kind == "hold")
    asked = sa.exists().where(_own(tables.request), _Q.state.not_in(_CLOSED))
    in_force = sa.exists().where(_own(tables.agreement_state), _A.status == "in_force")
    archived = sa.exists().where(_own(tables.data_key), _K.state == "archived")
    return sa.select(
        _S.subject_id,
        _agreed().label("agreements"),
        sa.func.coalesce(waits.scalar_subquery(), sa.cast([], sa.ARRAY(sa.Text))).label("waits"),
        (sa.func.cardinality(_S.restricted) > 0).label("restricted"),
        asked.label("asked"),
    ).where(
        _S.controller_id == _CONTROLLER,
        _S.state.not_in(("erased", "archived")),
        sa.or_(~in_force, archived),
    )


_PEOPLE = _people().where(_S.subject_id > sa.bindparam("after")).order_by(_S.subject_id).limit(sa.bindparam("most"))
_ONE = _people().where(_S.subject_id == sa.bindparam("of_subject"))
_OF_PERSON = sa.select(_agreed()).where(_S.controller_id == _CONTROLLER, _S.subject_id == sa.bindparam("of_subject"))
_HOW_MANY = (
    sa.select(sa.func.count())
    .select_from(tables.subject)
    .where(_S.controller_id == _CONTROLLER, _S.state.not_in(("erased", "archived")))
)
_RUNS = sa.select(*(_R[name] for name in RunRow.__slots__)).where(_R.controller_id == _CONTROLLER).order_by(_R.at.desc(), _R.run_id)
_WAITING = _RUNS.where(_R.state == "waiting")
_DONE = _RUNS.where(_R.state == "done", _R.removed > 0).limit(RUNS)
