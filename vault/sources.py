"""Rows of where values are from that are not from the person (GDPR 14(2)(f)), and of when the person is to be told of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from vault import tables

PAGE: Final = 200
TALKS: Final = ("phone", "email", "chat", "social", "front_office", "portal")  # where people are met; `api` is between machines
_NOTHING_HAPPENED: Final = ("refused", "failed")
_D, _L, _G, _S = tables.data_source.c, tables.audit_lookup.c, tables.disclosure.c, tables.subject.c
_CONTROLLER: sa.BindParameter[str] = sa.bindparam("of_controller")
_SUBJECT: sa.BindParameter[str] = sa.bindparam("of_subject")
_OPEN = (_D.controller_id == _CONTROLLER, _D.told_at.is_(None), _D.due_at.is_not(None))
_HIDDEN = sa.func.concat(_D.field, "@", _D.value_version) == sa.any_(_S.obscured)
_KEY = (_D.subject_id, _D.field, _D.value_version)
_SINCE_MS = sa.cast(sa.extract("epoch", _D.recorded_at) * 1000, sa.BigInteger)

_OF = sa.select(tables.data_source).where(_D.controller_id == _CONTROLLER, _D.subject_id == _SUBJECT)
_VISIBLE = sa.select(tables.data_source).join_from(
    tables.data_source, tables.subject, sa.and_(_S.controller_id == _D.controller_id, _S.subject_id == _D.subject_id)
).where(~_HIDDEN)  # fmt: skip
_UNTOLD = _VISIBLE.where(*_OPEN).order_by(_D.due_at, *_KEY)
_TOLD = (
    sa.update(tables.data_source)
    .where(*_OPEN, _D.subject_id == _SUBJECT, _D.obtained_at <= sa.bindparam("given_at"))
    .values(told_at=sa.bindparam("given_at"), told_by=sa.bindparam("by_entry"))
)
_CONTACTED = (
    sa.select(*_KEY, sa.func.min(_L.at))
    .join_from(
        tables.data_source, tables.audit_lookup, sa.and_(_L.controller_id == _D.controller_id, _L.subject_id == _D.subject_id)
    )
    .where(*_OPEN, _L.channel.in_(TALKS), _L.kind.in_(("agent", "subject")), _L.outcome.not_in(_NOTHING_HAPPENED))
    .where(_L.entry_id != _D.entry_id, _L.at >= _SINCE_MS)
    .group_by(*_KEY)
)
_DISCLOSED = (
    sa.select(*_KEY, sa.func.min(sa.func.greatest(_G.first_at, _SINCE_MS)))
    .join_from(
        tables.data_source,
        tables.disclosure,
        sa.and_(_G.controller_id == _D.controller_id, _G.subject_id == _D.subject_id, _G.field == _D.field),
    )
    .where(*_OPEN, _G.last_at >= _SINCE_MS)
    .group_by(*_KEY)
)

Key = tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class SourceRow:
    """Where one value is from. `due_at`: until when the person is to be told of it, None where they must not learn of it."""

    subject_id: str
    field: str
    value_version: int
    source: str
    obtained_at: datetime
    recorded_at: datetime
    regime: str | None
    due_at: datetime | None
    because: str
    told_at: datetime | None
    told_by: str | None
    alarm: str | None
    entry_id: str

    @property
    def key(self) -> Key:
        """Which value it is of."""
        return self.subject_id, self.field, self.value_version


class Happened(NamedTuple):
    """What makes some deadlines sooner, by value: the first contact with the person, the first disclosure of it."""

    contacted: dict[Key, datetime]
    disclosed: dict[Key, datetime]


def columns(controller_id: str, one: SourceRow) -> dict[str, Any]:
    """Return a row as it is inserted."""
    return {"controller_id": controller_id, **{name: getattr(one, name) for name in one.__slots__}}


def add(rows: sa.Connection, controller_id: str, made: Sequence[SourceRow]) -> None:
    """Keep where values are from."""
    if made:
        rows.execute(sa.insert(tables.data_source), [columns(controller_id, one) for one in made])


def of_subject(rows: sa.Connection, controller_id: str, subject_id: str) -> dict[tuple[str, int], SourceRow]:
    """Return where values of a person are from, by field and version of the value."""
    return {(one.field, one.value_version): one for one in _rows(rows, _OF, of_controller=controller_id, of_subject=subject_id)}


def page(rows: sa.Connection, controller_id: str, *, only_open: bool, skip: int) -> Sequence[SourceRow]:
    """Return a page and one more: what nobody was told of yet, the next due first, or all; nothing of what a person obscured."""
    these = _VISIBLE.where(*(_OPEN if only_open else (_D.controller_id == _CONTROLLER,)))
    order = (_D.due_at if only_open else _D.recorded_at.desc(), *_KEY)
    return _rows(rows, these.order_by(*order).offset(skip).limit(PAGE + 1), of_controller=controller_id)


def untold(rows: sa.Connection, controller_id: str) -> Sequence[SourceRow]:
    """Return everything somebody is still to be told of, the next due first; what they obscured they know of."""
    return _rows(rows, _UNTOLD, of_controller=controller_id)


def happened(rows: sa.Connection, controller_id: str) -> Happened:
    """Return what has happened meanwhile with what nobody was told of: the log and the list of disclosures say so."""
    found = (rows.execute(one, {"of_controller": controller_id}) for one in (_CONTACTED, _DISCLOSED))
    contacted, disclosed = ({(row[0], row[1], row[2]): _instant(row[3]) for row in one} for one in found)
    return Happened(contacted, disclosed)


def told(rows: sa.Connection, controller_id: str, subject_id: str, given_at: datetime, entry_id: str) -> None:
    """Say that a person was told of all that was obtained by then."""
    rows.execute(_TOLD, {"of_controller": controller_id, "of_subject": subject_id, "given_at": given_at, "by_entry": entry_id})


def move(rows: sa.Connection, controller_id: str, changed: Iterable[SourceRow]) -> None:
    """Store the dates and alarms of some, unless their person was told meanwhile."""
    for one in changed:
        this = (_D.controller_id == controller_id, _D.told_at.is_(None), sa.tuple_(*_KEY) == sa.tuple_(*map(sa.literal, one.key)))
        moved = {"due_at": one.due_at, "because": one.because, "alarm": one.alarm}
        rows.execute(sa.update(tables.data_source).where(*this).values(moved))


def forget(rows: sa.Connection, controller_id: str, subject_id: str, fields: Sequence[str]) -> None:
    """Delete where values are from that are no more: nobody is to be told of them."""
    ours = (_D.controller_id == controller_id, _D.subject_id == subject_id)
    rows.execute(sa.delete(tables.data_source).where(*ours, _D.field.in_(fields)))


def _instant(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def _rows(rows: sa.Connection, statement: "sa.Select[Any]", **said: Any) -> list[SourceRow]:
    found = rows.execute(statement, said).mappings()
    return [SourceRow(**{name: row[name] for name in SourceRow.__slots__}) for row in found]
