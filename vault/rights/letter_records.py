"""Rows of letters: which was made of which fact, how far it came. Neither address nor text is ever in one."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from vault import tables
from vault.rights.letters import About

AT_ONCE: Final = 100
FACTS: Final = ("request:received", "request:moved", "contact:changing")  # of the outbox: what people are written of

_L, _E = tables.letter.c, tables.event.c
_OF: Final[sa.BindParameter[str]] = sa.bindparam("of_controller")
_TOLD = (
    sa.select(_E.event_id, _E.name, _E.data, _E.at)
    .where(_E.controller_id == _OF, _E.sent_at.is_(None), _E.name.in_([sa.literal_column(f"'{name}'") for name in FACTS]))
    .order_by(_E.at, _E.event_id)
    .limit(AT_ONCE)
)
_DUE = (
    sa.select(*(one for one in _L if one.name != "controller_id"))
    .where(_L.controller_id == _OF, _L.next_at <= sa.bindparam("now"))
    .order_by(_L.next_at, _L.letter_id)
    .limit(AT_ONCE)
)

_ABOUT = (
    sa.select(*(one for one in _L if one.name != "controller_id"))
    .where(_L.controller_id == _OF, _L.request_id == sa.bindparam("of_request"))
    .order_by(_L.made_at, _L.letter_id)
)
_SENT = sa.select(sa.func.count()).where(  # by requests: letters have no index of their own by person
    _L.controller_id == _OF,
    _L.request_id.in_(
        sa.select(tables.request.c.request_id).where(
            tables.request.c.controller_id == _OF, tables.request.c.subject_id == sa.bindparam("of_subject")
        )
    ),
    _L.sent_at > sa.bindparam("since"),
)


class Fact(NamedTuple):
    """One fact of the outbox people are to be written of."""

    event_id: str
    name: str
    data: Any
    at: datetime


@dataclass(frozen=True, slots=True)
class LetterRow:
    """One letter. `next_at`: when it is to be sent; None once it was, or never will be."""

    letter_id: str
    request_id: str
    subject_id: str
    about: About
    state: str
    code: str | None
    made_at: datetime
    attempts: int
    next_at: datetime | None
    sent_at: datetime | None
    entry_id: str


def facts(rows: sa.Connection, controller_id: str) -> list[Fact]:
    """Return the first facts nobody was written of."""
    return [Fact(*one) for one in rows.execute(_TOLD, {"of_controller": controller_id})]


def take_over(rows: sa.Connection, controller_id: str, event_id: str, at: datetime, made: Sequence[LetterRow]) -> None:
    """Keep the letters of a fact, and that they were made; nothing where somebody else did it first."""
    these = (_E.controller_id == controller_id, _E.event_id == event_id, _E.sent_at.is_(None))
    if rows.execute(sa.update(tables.event).where(*these).values(sent_at=at)).rowcount == 1:
        for one in made:
            rows.execute(sa.insert(tables.letter), {"controller_id": controller_id, **asdict(one)})


def of_request(rows: sa.Connection, controller_id: str, request_id: str) -> list[LetterRow]:
    """Return the letters about a request, first to last."""
    found = rows.execute(_ABOUT, {"of_controller": controller_id, "of_request": request_id}).mappings()
    return [LetterRow(**one) for one in found]


def due(rows: sa.Connection, controller_id: str, now: datetime) -> list[LetterRow]:
    """Return the first letters whose turn has come."""
    return [LetterRow(**one) for one in rows.execute(_DUE, {"of_controller": controller_id, "now": now}).mappings()]


def sent_since(rows: sa.Connection, controller_id: str, subject_id: str, since: datetime) -> int:
    """Return how many letters a person was sent since then."""
    asked = {"of_controller": controller_id, "of_subject": subject_id, "since": since}
    return int(rows.execute(_SENT, asked).scalar_one())


def claim(rows: sa.Connection, controller_id: str, one: LetterRow, until: datetime) -> bool:
    """Say that an attempt is being made, and count it, whatever becomes of it; False where another process makes it."""
    these = (_L.controller_id == controller_id, _L.letter_id == one.letter_id, _L.next_at == one.next_at)
    return rows.execute(sa.update(tables.letter).where(*these).values(next_at=until, attempts=one.attempts + 1)).rowcount == 1


def change(rows: sa.Connection, controller_id: str, one: LetterRow, **to: Any) -> None:
    """Keep what an attempt came to."""
    rows.execute(sa.update(tables.letter).where(_L.controller_id == controller_id, _L.letter_id == one.letter_id).values(**to))
