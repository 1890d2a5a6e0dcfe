"""Legal holds: what must not be destroyed although somebody asked for it, or its time has come. Rows, and when one counts.

proposed ─approve (another person)▶ approved ─ask▶ releasing ─release (another person)▶ released
   └ after 72 hours without approval ▶ lapsed

A hold suspends destruction and nothing else: it holds a wrap of its own, through which nothing opens, and lifts no restriction.
Source: `rights.md` 6.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Final, Literal

import sqlalchemy as sa

from vault import tables
from vault.errors import Stale

State = Literal["proposed", "approved", "releasing", "released", "lapsed"]
LAPSES_AFTER: Final = timedelta(hours=72)
LONGEST_REVIEW: Final = timedelta(days=184)  # six months

_H = tables.legal_hold.c
_OF: sa.BindParameter[str] = sa.bindparam("of_controller")
_EVERY = sa.select(*(one for one in _H if one.name != "controller_id")).where(_H.controller_id == _OF).order_by(_H.placed_at)
_LIVE = _H.state.in_(["proposed", "approved", "releasing"])


@dataclass(frozen=True, slots=True)
class HoldRow:
    """One hold. `fields`: empty for everything; `until`: the day it ends by itself, if it has one."""

    hold_id: str
    subject_id: str
    fields: Sequence[str]
    law: str
    state: State
    placed_at: datetime
    placed_by: str
    approved_by: str | None
    release_asked_by: str | None
    released_by: str | None
    review_at: date
    until: date | None
    secret_version: int
    sealed: bytes = field(repr=False)
    version: int
    entry_id: str

    def counts(self, at: datetime) -> bool:
        """Whether it holds anything at an instant."""
        if self.state == "proposed":
            return at < self.placed_at + LAPSES_AFTER
        return self.state in ("approved", "releasing")

    def is_over(self, at: datetime, today: date) -> bool:
        """Whether it has ended by the clock, and is to be let go of."""
        if self.state in ("released", "lapsed"):
            return False
        return not self.counts(at) or (self.until is not None and today > self.until)


def add(rows: sa.Connection, controller_id: str, made: HoldRow) -> None:
    """Keep a hold."""
    rows.execute(sa.insert(tables.legal_hold), {"controller_id": controller_id, **asdict(made)})


def change(rows: sa.Connection, controller_id: str, before: HoldRow, **changed: Any) -> None:
    """Move a hold on. Raises Stale where somebody else did since it was read."""
    moving = (
        sa.update(tables.legal_hold)
        .where(_H.controller_id == controller_id, _H.hold_id == before.hold_id, _H.version == before.version)
        .values(**changed, version=before.version + 1)
    )
    if rows.execute(moving).rowcount != 1:
        raise Stale


def read(rows: sa.Connection, controller_id: str, hold_id: str) -> HoldRow | None:
    """Return one hold, None where there is none."""
    found = rows.execute(_EVERY.where(_H.hold_id == hold_id), {"of_controller": controller_id}).mappings().one_or_none()
    return None if found is None else _row(found)


def of_subject(rows: sa.Connection, controller_id: str, subject_id: str) -> list[HoldRow]:
    """Return a person's holds that have not ended."""
    found = rows.execute(_EVERY.where(_LIVE, _H.subject_id == subject_id), {"of_controller": controller_id}).mappings()
    return [_row(one) for one in found]


def live(rows: sa.Connection, controller_id: str) -> list[HoldRow]:
    """Return every hold that has not ended, in the order they were placed."""
    return [_row(one) for one in rows.execute(_EVERY.where(_LIVE), {"of_controller": controller_id}).mappings()]


def _row(found: Any) -> HoldRow:
    return HoldRow(**{**found, "sealed": bytes(found["sealed"])})
