"""Rows of the log as officers read it: pages newest first, the counts kept beside it, and its length.

Look-up rows propose, by an index; leaves are what is shown. The indexes each statement expects (all begin with the controller):

- by subject (subject_id, at, position), by caller (caller_id, at, position), by ticket (ticket, at, position; partial);
- by flag (at, position; partial on `flags <> 0`, so that condition stands in the statement and not beside it);
- else the primary key (at, position, subject_id), read backwards.

Ordered by `at, position`, never by position alone, which walks another index; and bounded by `at`, for a row comparison prunes no
partition. Nothing is ever counted: a page asks for one row more than it shows.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Connection, Row

from vault import tables
from vault.audit.filters import Place, Window
from vault.audit.records import leaves_at

MOST_AT_ONCE: Final = 201  # rows of one statement: the longest page and one more
EXPORTED_AT_ONCE: Final = 1_000
DIMENSIONS: Final = ("day", "operation", "outcome", "purpose", "recipient")
MOST_GROUPS: Final = 20_000

_L = tables.audit_lookup.c
_D = tables.audit_daily.c
_H = tables.audit_head.c
_K = tables.audit_checkpoint.c
_W = tables.audit_witnessed.c
_C = tables.caller.c

_AT, _POSITION = (sa.bindparam(name, type_=sa.BigInteger) for name in ("at", "position"))
_MOST = sa.bindparam("most", type_=sa.BigInteger)
_BEGINS, _ENDS = (sa.bindparam(name, type_=sa.BigInteger) for name in ("begins", "ends"))
_NARROWED: Final[Mapping[str, ColumnElement[bool]]] = {
    "subject_id": _L.subject_id == sa.bindparam("subject_id"),
    "caller": _L.caller_id == sa.bindparam("caller"),
    "ticket": _L.ticket == sa.bindparam("ticket"),
    "flags": sa.and_(
        _L.flags != sa.literal_column("0"),
        _L.flags.bitwise_and(sa.bindparam("flags", type_=sa.Integer)) != sa.literal_column("0"),
    ),
    "system": _L.recipient == sa.bindparam("system"),
    "role": sa.bindparam("role", type_=sa.Text) == sa.any_(_L.roles),
    "purpose": _L.purpose == sa.bindparam("purpose"),
    "outcome": _L.outcome == sa.bindparam("outcome"),
    "operation": _L.operation == sa.bindparam("operation"),
}
_SHOWN = (
    *(_L.at, _L.position, _L.era, _L.subject_id, _L.entry_id, _L.operation, _L.outcome, _L.kind, _L.caller_id, _L.roles, _L.team),
    *(_L.recipient, _L.purpose, _L.channel, _L.ticket, _L.ticket_state, _L.station, _L.clear_classes, _L.flags, _L.stream),
)
_CHECKPOINT = (
    sa.select(_K.size)
    .where(_K.controller_id == sa.bindparam("controller"), _K.era == _H.era)
    .order_by(_K.size.desc())
    .limit(sa.literal_column("1"))
    .scalar_subquery()
)
_WITNESSED = (
    sa.select(sa.func.max(_W.seconds)).where(_W.controller_id == sa.bindparam("controller"), _W.era == _H.era).scalar_subquery()
)
_LENGTH = sa.select(_H.era, _H.size, _CHECKPOINT.label("checkpoint"), _WITNESSED.label("witnessed")).where(
    _H.controller_id == sa.bindparam("controller")
)
_REGISTERED = sa.select(_C.caller_id).where(_C.controller_id == sa.bindparam("controller"))

EXPORT_STATEMENT: Final[sa.Select[Any]] = (
    sa.select(*_SHOWN)
    .where(_L.controller_id == sa.bindparam("controller"), _L.at >= _AT, _L.at < _ENDS)
    .where(sa.tuple_(_L.at, _L.position) > sa.tuple_(_AT, _POSITION))
    .order_by(_L.at, _L.position)
    .limit(_MOST)
)


@dataclass(frozen=True, slots=True)
class Asked:
    """A filter in terms of columns: only what narrows, by name of the condition.

    `tickets` are the hashes one ticket has had, under each version of the secret: read one by one, for an index that is asked for
    several values gives no order.
    """

    window: Window
    values: Mapping[str, Any] = field(default_factory=dict)
    tickets: Sequence[bytes] = ()


@dataclass(frozen=True, slots=True)
class Proposed:
    """One look-up row with the leaf it points to; `leaf` is None where there is none (any more)."""

    row: Row[Any]
    leaf: bytes | None

    @property
    def place(self) -> Place:
        """Where it stands in the order of pages."""
        return Place(self.row.at, self.row.position)


@dataclass(frozen=True, slots=True)
class Length:
    """How long the log is, how much of it the newest checkpoint covers, and when (s since 1970) a witness signed one last."""

    era: int
    size: int
    checkpoint: int | None
    witnessed_s: int | None = None


def first_place(window: Window) -> Place:
    """Return where the first page begins."""
    return Place(window.ends, 0)


def proposals(rows: Connection, controller_id: str, asked: Asked, before: Place, most: int) -> list[Proposed]:
    """Return at most `most` entries before a place, newest first, each with its leaf."""
    said = {
        "controller": controller_id,
        "begins": asked.window.begins,
        "at": before.at,
        "position": before.position,
        "most": most,
        **asked.values,
    }
    tries = [{**said, "ticket": one} for one in asked.tickets] or [said]
    statement = page_statement(frozenset(asked.values) | ({"ticket"} if asked.tickets else frozenset()))
    found = [row for values in tries for row in rows.execute(statement, values)]
    found.sort(key=lambda row: (row.at, row.position), reverse=True)
    return _with_leaves(rows, controller_id, found[:most])


def following(rows: Connection, controller_id: str, ends: int, after: Place) -> list[Proposed]:
    """Return the next entries after a place and before an instant, oldest first, each with its leaf: what an export reads."""
    values = {"controller": controller_id, "ends": ends, "at": after.at, "position": after.position, "most": EXPORTED_AT_ONCE}
    found: Sequence[Row[Any]] = rows.execute(EXPORT_STATEMENT, values).all()
    return _with_leaves(rows, controller_id, found)


@cache
def page_statement(narrowed: frozenset[str]) -> sa.Select[Any]:
    """Return the statement of a page. One for each set of conditions: a condition that may be absent would use no index.

    How many rows is a parameter, so that the plan expects a tenth of them and reads each index in the order of the page. Where the
    number stood in the statement, all entries of an agent were fetched and sorted for fifty: 17 ms at ten million, and 0.6 so.
    """
    return (
        sa.select(*_SHOWN)
        .where(
            _L.controller_id == sa.bindparam("controller"),
            _L.at >= _BEGINS,
            _L.at <= _AT,
            sa.tuple_(_L.at, _L.position) < sa.tuple_(_AT, _POSITION),
            *(_NARROWED[name] for name in sorted(narrowed)),
        )
        .order_by(_L.at.desc(), _L.position.desc())
        .limit(_MOST)
    )


def counts(rows: Connection, controller_id: str, first_day: int, last_day: int, by: Iterable[str]) -> Sequence[Row[Any]]:
    """Return entries and clear values of these days (since 1970), grouped by some of DIMENSIONS. Reads the rollups alone.

    One group more than MOST_GROUPS says that there are too many to tell.
    """
    values = {"controller": controller_id, "first": first_day, "last": last_day}
    return rows.execute(_counts(tuple(one for one in DIMENSIONS if one in set(by))), values).all()


@cache
def _counts(by: tuple[str, ...]) -> sa.Select[Any]:
    grouped = [_D[name] for name in by]
    sums = (sa.func.sum(_D.entries).label("entries"), sa.func.sum(_D.clear_values).label("clear_values"))
    days = (_D.controller_id == sa.bindparam("controller"), _D.day >= sa.bindparam("first"), _D.day <= sa.bindparam("last"))
    return sa.select(*grouped, *sums).where(*days).group_by(*grouped).order_by(*grouped).limit(MOST_GROUPS + 1)


def length(rows: Connection, controller_id: str) -> Length:
    """Return how long the log is."""
    row = rows.execute(_LENGTH, {"controller": controller_id}).one_or_none()
    return Length(0, 0, None) if row is None else Length(row.era, row.size, row.checkpoint, row.witnessed)


def registered(rows: Connection, controller_id: str) -> list[str]:
    """Return the ids on the register of callers, former ones too: among them a label is looked for."""
    return list(rows.execute(_REGISTERED, {"controller": controller_id}).scalars())


def _with_leaves(rows: Connection, controller_id: str, found: Sequence[Row[Any]]) -> list[Proposed]:
    leaves: dict[tuple[int, int], bytes] = {}
    for era in sorted({row.era for row in found}):
        positions = [row.position for row in found if row.era == era]
        leaves.update(((era, position), leaf) for position, leaf in leaves_at(rows, controller_id, era, positions).items())
    return [Proposed(row, leaves.get((row.era, row.position))) for row in found]
