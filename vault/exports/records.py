"""Rows of exports: who asked for what, how far it is, its sealed bytes. An export ends once; with its end bytes and wrap go.

building ─▶ ready ─▶ taken | spent (three downloads begun, none finished) | expired      either ─▶ replaced, failed, erased
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

import sqlalchemy as sa

from vault import tables
from vault.exports.manifest import Set

End = Literal["taken", "spent", "expired", "replaced", "failed", "erased"]
MOST_STARTS: Final = 3

_E, _P = tables.export.c, tables.export_part.c
_OF = _E.controller_id == sa.bindparam("of_controller")
_ONE = sa.and_(_OF, _E.export_id == sa.bindparam("of_export"))
_MINE = sa.and_(_ONE, _E.state == "building", _E.attempt == sa.bindparam("of_attempt"))
_LIVE = _E.state.in_(["building", "ready"])
_AT = sa.bindparam("now", type_=sa.DateTime(timezone=True))
_UNTIL = sa.bindparam("until", type_=sa.DateTime(timezone=True))
_READ = sa.select(*_E).where(_ONE)
_WAITING = (
    sa.select(_E.export_id)
    .where(_OF, _E.state == "building", sa.or_(_E.leased_until.is_(None), _E.leased_until < _AT))
    .order_by(_E.asked_at, _E.export_id)
    .limit(1)
    .with_for_update(skip_locked=True)
)
_CLAIM = sa.update(tables.export).where(_ONE).values(attempt=_E.attempt + 1, leased_until=_UNTIL).returning(*_E)
_ADVANCE = (
    sa.update(tables.export).where(_MINE).values(done=sa.bindparam("is_done"), total=sa.bindparam("in_all"), leased_until=_UNTIL)
)
_FINISH = (
    sa.update(tables.export)
    .where(_MINE)
    .values(
        state="ready", public=None, leased_until=None, wrap=sa.bindparam("new_wrap"), size=sa.bindparam("new_size"),
        special=sa.bindparam("is_special"), expires_at=_UNTIL, done=_E.total,
    )
)  # fmt: skip
_BEGIN = (
    sa.update(tables.export)
    .where(_ONE, _E.state == "ready", _E.starts < MOST_STARTS, _E.expires_at > _AT)
    .values(starts=_E.starts + 1, started_at=_AT)
    .returning(_E.starts)
)
_END = (
    sa.update(tables.export)
    .where(_ONE, _LIVE)
    .values(state=sa.bindparam("new_state"), public=None, wrap=None, salt=None, leased_until=None)
)
_OVER = sa.select(*_E).where(
    _OF, _LIVE, sa.or_(_E.expires_at <= _AT, sa.and_(_E.starts >= MOST_STARTS, _E.started_at <= sa.bindparam("stalled")))
)
_OTHERS = sa.select(_E.export_id).where(
    _OF, _LIVE, _E.subject_id == sa.bindparam("of_subject"), _E.set.in_(sa.bindparam("of_sets", expanding=True))
)
_MADE = sa.select(_E.export_id).where(
    _OF, _E.subject_id == sa.bindparam("of_subject"), _E.set == sa.bindparam("of_set"), _E.asked_at >= sa.bindparam("since"),
    _E.state.in_(["ready", "taken", "spent", "expired"]),
).limit(1)  # fmt: skip
_PARTS_OF = sa.and_(_P.controller_id == sa.bindparam("of_controller"), _P.export_id == sa.bindparam("of_export"))
_DROP = sa.delete(tables.export_part).where(_PARTS_OF)
_DROP_OTHERS = _DROP.where(_P.attempt != sa.bindparam("of_attempt"))
_OF_ATTEMPT = sa.and_(_PARTS_OF, _P.attempt == sa.bindparam("of_attempt"))
_SIZE = sa.select(sa.func.coalesce(sa.func.sum(sa.func.length(_P.octets)), 0)).where(_OF_ATTEMPT)
PART: Final = sa.select(_P.octets).where(_OF_ATTEMPT, _P.number == sa.bindparam("of_number"))


@dataclass(frozen=True, slots=True)
class ExportRow:
    """One export. `public` wraps its key while it is made, `wrap` is that key once it was; `size` is sealed, in bytes."""

    export_id: str
    subject_id: str
    set: Set
    language: str
    request_id: str | None
    asker: Mapping[str, Any]
    channel: str
    ticket_id: str | None
    state: str
    done: int
    total: int
    attempt: int
    leased_until: datetime | None
    salt: bytes | None = field(repr=False)
    public: bytes | None = field(repr=False)
    asked: bytes | None = field(repr=False)
    wrap: bytes | None = field(repr=False)
    special: bool
    size: int
    starts: int
    started_at: datetime | None
    asked_at: datetime
    expires_at: datetime
    entry_id: str


def add(rows: sa.Connection, controller_id: str, made: ExportRow) -> None:
    """Keep that somebody asked."""
    rows.execute(sa.insert(tables.export), {"controller_id": controller_id, **asdict(made)})


def read(rows: sa.Connection, controller_id: str, export_id: str) -> ExportRow | None:
    """Return one export, None where there is none."""
    return next(_rows(rows.execute(_READ, _one(controller_id, export_id))), None)


def made_since(rows: sa.Connection, controller_id: str, subject_id: str, which: str, since: datetime) -> bool:
    """Say whether an export of a set, asked for since then, was made for a person: fetched by now or not."""
    asked = {"of_controller": controller_id, "of_subject": subject_id, "of_set": which, "since": since}
    return rows.execute(_MADE, asked).first() is not None


def live_of(rows: sa.Connection, controller_id: str, subject_id: str, *sets: Set) -> list[str]:
    """Return a person's exports of these sets that have not ended."""
    asked = {"of_controller": controller_id, "of_subject": subject_id, "of_sets": sets}
    return [str(one) for one in rows.execute(_OTHERS, asked).scalars()]


def claim(rows: sa.Connection, controller_id: str, now: datetime, until: datetime) -> ExportRow | None:
    """Return an export that is to be made and that nobody makes, now ours until then, a new attempt; its parts so far are gone."""
    found = rows.execute(_WAITING, {"of_controller": controller_id, "now": now}).scalar_one_or_none()
    if found is None:
        return None
    one = _one(controller_id, found)
    claimed = next(_rows(rows.execute(_CLAIM, {**one, "until": until})))
    rows.execute(_DROP_OTHERS, {**one, "of_attempt": claimed.attempt})
    return claimed


def add_part(rows: sa.Connection, controller_id: str, of: ExportRow, number: int, octets: bytes) -> None:
    """Keep the next sealed bytes of an attempt."""
    made = {"controller_id": controller_id, "export_id": of.export_id, "attempt": of.attempt, "number": number, "octets": octets}
    rows.execute(sa.insert(tables.export_part), made)


def advance(rows: sa.Connection, controller_id: str, of: ExportRow, so_far: tuple[int, int], until: datetime) -> bool:
    """Say how far an attempt is, (done, total), and that it lives; False where it is not ours any more."""
    said = {"is_done": so_far[0], "in_all": so_far[1], "until": until}
    return rows.execute(_ADVANCE, {**_mine(controller_id, of), **said}).rowcount == 1


def finish(
    rows: sa.Connection, controller_id: str, of: ExportRow, wrap: bytes, size: int, until: datetime, *, special: bool
) -> bool:
    """Have an attempt be the export, to be fetched until then; False where it is not ours any more."""
    said = {"new_wrap": wrap, "new_size": size, "is_special": special, "until": until}
    return rows.execute(_FINISH, {**_mine(controller_id, of), **said}).rowcount == 1


def begin_download(rows: sa.Connection, controller_id: str, export_id: str, now: datetime) -> int | None:
    """Count a download and return which one it is; None where there is nothing to fetch any more."""
    started: int | None = rows.execute(_BEGIN, {**_one(controller_id, export_id), "now": now}).scalar_one_or_none()
    return started


def end(rows: sa.Connection, controller_id: str, export_id: str, state: End) -> bool:
    """End an export: bytes, wrap and salt are gone. False where it had ended."""
    ended = rows.execute(_END, {**_one(controller_id, export_id), "new_state": state}).rowcount == 1
    rows.execute(_DROP, _one(controller_id, export_id))
    return ended


def over(rows: sa.Connection, controller_id: str, now: datetime, stalled: datetime) -> list[ExportRow]:
    """Return what has ended by the clock: too old, or last begun before `stalled` for the last time."""
    return list(_rows(rows.execute(_OVER, {"of_controller": controller_id, "now": now, "stalled": stalled})))


def size(rows: sa.Connection, controller_id: str, of: ExportRow) -> int:
    """Return how many bytes of an export there are."""
    return int(rows.execute(_SIZE, _mine(controller_id, of)).scalar_one())


def _one(controller_id: str, export_id: str) -> dict[str, Any]:
    return {"of_controller": controller_id, "of_export": export_id}


def _mine(controller_id: str, of: ExportRow) -> dict[str, Any]:
    return {**_one(controller_id, of.export_id), "of_attempt": of.attempt}


def _rows(found: "sa.CursorResult[Any]") -> Iterator[ExportRow]:
    for one in found.mappings():
        held: dict[str, Any] = {name: value for name, value in one.items() if name != "controller_id"}
        yield ExportRow(**held)
