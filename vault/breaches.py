"""The breach register (GDPR 33(5)): breaches, what was done about them, what is due until when. Rows are only ever added.

A deadline is computed once, when what it starts from is known, and stored with that beginning; nothing moves it afterwards.
Lists of whose data was touched belong to a breach, each with the parts by which a pass over the log confirms it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any, Literal

import orjson
import sqlalchemy as sa

from vault import tables
from vault.octets import expand, lp, mac

Phase = Literal["assessed", "notified", "subjects-told", "closed"]
DeadlineState = Literal["running", "overdue", "in-time", "late", "not-needed"]


@dataclass(frozen=True, slots=True)
class BreachRow:
    """One breach, as it was opened."""

    breach_id: str
    kinds: Sequence[str]
    regimes: Sequence[str]  # name@version
    detected_at: datetime | None
    aware_at: datetime
    opened_at: datetime
    opened_by: str
    secret_version: int
    sealed: bytes = field(repr=False)
    entry_id: str


@dataclass(frozen=True, slots=True)
class PhaseRow:
    """One thing done about a breach. `stated` holds closed lists, numbers and instants; words are sealed."""

    number: int
    phase: Phase
    stated: Mapping[str, Any]
    at: datetime
    by: str
    secret_version: int
    sealed: bytes = field(repr=False)
    entry_id: str


@dataclass(frozen=True, slots=True)
class DeadlineRow:
    """One computed instant, and what it was computed from."""

    regime: str
    step: int
    notice: str
    since: str
    since_at: datetime
    due_at: datetime


@dataclass(frozen=True, slots=True)
class Register:
    """One breach with everything that is on the register of it."""

    breach: BreachRow
    phases: Sequence[PhaseRow]
    deadlines: Sequence[DeadlineRow]

    @property
    def closed(self) -> bool:
        """Whether it is closed."""
        return any(one.phase == "closed" for one in self.phases)

    @property
    def assessment(self) -> Mapping[str, Any] | None:
        """What was stated at the last assessment."""
        return next((one.stated for one in reversed(self.phases) if one.phase == "assessed"), None)

    @property
    def state(self) -> str:
        """How far it has come."""
        return "closed" if self.closed else self.phases[-1].phase if self.phases else "open"

    def sent(self, regime: str) -> dict[str, datetime]:
        """Return when each notice of a regime was first sent."""
        found: dict[str, datetime] = {}
        for one in self.phases:
            if one.phase == "notified" and one.stated["regime"] == regime:
                found.setdefault(one.stated["notice"], datetime.fromisoformat(one.stated["sent_at"]))
        return found

    def due(self, regime: str, notice: str) -> datetime | None:
        """Return the earliest deadline of a notice."""
        return min((one.due_at for one in self.deadlines if (one.regime, one.notice) == (regime, notice)), default=None)

    def state_of(self, deadline: DeadlineRow, at: datetime) -> DeadlineState:
        """Return how a deadline stands at an instant."""
        sent = self.sent(deadline.regime).get(deadline.notice)
        if sent is not None:
            return "in-time" if sent <= deadline.due_at else "late"
        if deadline.regime in (self.assessment or {}).get("not_needed", ()):
            return "not-needed"
        return "running" if at <= deadline.due_at else "overdue"

    def unsent(self, at: datetime) -> list[DeadlineRow]:
        """Return the deadlines whose notice is still wanted."""
        return [one for one in self.deadlines if self.state_of(one, at) in ("running", "overdue")]


@dataclass(frozen=True, slots=True)
class ListRow:
    """What was asked for, frozen at a size and root of the log."""

    breach_id: str
    list_id: str
    criteria: Mapping[str, Any]
    era: int
    size: int
    root: bytes
    checkpoint: str | None
    asked_at: datetime
    by: str
    entry_id: str


@dataclass(frozen=True, slots=True)
class PartRow:
    """How far the pass has come in an era: leaves read, from `begun` on, and the entries that count since the part before.

    `follows` stands in the part that met the leaf saying what the era follows: the era before, its size, its root in hex, and how
    many signed entries were lost between the two.
    """

    number: int
    era: int
    begun: int
    reached: int
    frontier: bytes = field(repr=False)
    positions: Sequence[int] = field(repr=False)
    verdict: str | None
    at: datetime
    secret_version: int = 0
    mac: bytes = field(default=b"", repr=False)
    follows: Mapping[str, Any] | None = None


def part_mac(secret: bytes, controller_id: str, asked: ListRow, part: PartRow, previous: bytes) -> bytes:
    """Return the MAC of a part, which binds it to what was asked for and to the MAC of the part before, b"" for the first.

    So a verdict, or a stretch passed over, that somebody without the controller's keys put into the table counts for nothing, and
    nobody else says what an earlier era must come to. A part of the list's own era that met nothing of it is said as ever.
    """
    earlier = [] if (part.era, part.follows) == (asked.era, None) else [part.era, part.follows]
    said = {
        "list": [controller_id, asked.breach_id, asked.list_id, asked.era, asked.size, asked.root.hex(), asked.checkpoint],
        "criteria": dict(asked.criteria),
        "part": [part.number, part.begun, part.reached, part.frontier.hex(), list(part.positions), part.verdict, *earlier],
    }
    return mac(expand(secret, lp("riserbo.affected-part.v1")), lp(previous) + orjson.dumps(said, option=orjson.OPT_SORT_KEYS))


_B, _P, _D = tables.breach.c, tables.breach_phase.c, tables.breach_deadline.c
_L, _A = tables.affected_list.c, tables.affected_part.c
_CONTROLLER: sa.BindParameter[str] = sa.bindparam("controller_id")
_BREACH: sa.BindParameter[str] = sa.bindparam("breach_id")
_LIST: sa.BindParameter[str] = sa.bindparam("list_id")
_EVERY = tuple(
    sa.select(*table.c).where(table.c.controller_id == _CONTROLLER).order_by(*order)
    for table, order in (
        (tables.breach, (_B.opened_at.desc(), _B.breach_id)),
        (tables.breach_phase, (_P.breach_id, _P.number)),
        (tables.breach_deadline, (_D.due_at, _D.regime, _D.step)),
    )
)
_ONE = tuple(
    statement.where(key == _BREACH) for statement, key in zip(_EVERY, (_B.breach_id, _P.breach_id, _D.breach_id), strict=True)
)
_OF_LIST = sa.select(*_L).where(_L.controller_id == _CONTROLLER, _L.breach_id == _BREACH, _L.list_id == _LIST)
_PARTS = sa.select(*_A).where(_A.controller_id == _CONTROLLER, _A.list_id == _LIST).order_by(_A.number)
_HOLD = sa.select(sa.func.pg_advisory_xact_lock(sa.bindparam("lists")))
_SHARE = sa.select(sa.func.pg_advisory_xact_lock_shared(sa.bindparam("lists")))
_UNFINISHED = (
    sa.select(*_L)
    .where(
        _L.controller_id == _CONTROLLER,
        ~sa.exists().where(_A.controller_id == _L.controller_id, _A.list_id == _L.list_id, _A.verdict.is_not(None)),
    )
    .order_by(_L.asked_at, _L.list_id)
)


def registers(rows: sa.Connection, controller_id: str) -> list[Register]:
    """Return every breach on the register, the newest first."""
    return _read(rows, _EVERY, {"controller_id": controller_id})


def register(rows: sa.Connection, controller_id: str, breach_id: str) -> Register | None:
    """Return one breach, None when there is none."""
    found = _read(rows, _ONE, {"controller_id": controller_id, "breach_id": breach_id})
    return found[0] if found else None


def add_breach(rows: sa.Connection, controller_id: str, breach: BreachRow) -> None:
    """Put a breach on the register."""
    rows.execute(sa.insert(tables.breach), {"controller_id": controller_id, **asdict(breach)})


def add_phase(rows: sa.Connection, controller_id: str, breach_id: str, phase: PhaseRow) -> None:
    """Add what was done. Raises Conflict when somebody else was faster: the number is taken."""
    rows.execute(sa.insert(tables.breach_phase), {"controller_id": controller_id, "breach_id": breach_id, **asdict(phase)})


def add_deadlines(rows: sa.Connection, controller_id: str, breach_id: str, deadlines: Iterable[DeadlineRow], entry_id: str) -> None:
    """Store deadlines that were not known before."""
    place = {"controller_id": controller_id, "breach_id": breach_id, "entry_id": entry_id}
    if made := [{**place, **asdict(one)} for one in deadlines]:
        rows.execute(sa.insert(tables.breach_deadline), made)


def add_list(rows: sa.Connection, controller_id: str, asked: ListRow) -> None:
    """Keep what was asked for, once nobody prunes this controller's log. Raises DatabaseUnavailable if that takes long."""
    rows.execute(_SHARE, {"lists": _lists_of(controller_id)})
    rows.execute(sa.insert(tables.affected_list), {"controller_id": controller_id, **asdict(asked)})


def hold_lists(rows: sa.Connection, controller_id: str) -> None:
    """Let nobody ask for a list of this controller until this transaction ends; others ask on, however long that is."""
    rows.execute(_HOLD, {"lists": _lists_of(controller_id)})


def _lists_of(controller_id: str) -> int:
    """Return the name of the lock; with a collision of these 64 bits one more controller waits."""
    return int.from_bytes(sha256(lp("riserbo.affected-lists.v1") + lp(controller_id)).digest()[:8], "big", signed=True)


def add_part(rows: sa.Connection, controller_id: str, list_id: str, part: PartRow) -> None:
    """Keep how far a pass has come. Raises Conflict when another process has come as far."""
    rows.execute(sa.insert(tables.affected_part), {"controller_id": controller_id, "list_id": list_id, **asdict(part)})


def affected_list(rows: sa.Connection, controller_id: str, breach_id: str, list_id: str) -> ListRow | None:
    """Return one list of a breach, None when there is none."""
    asked = {"controller_id": controller_id, "breach_id": breach_id, "list_id": list_id}
    found = rows.execute(_OF_LIST, asked).one_or_none()
    return _list(found) if found is not None else None


def unfinished_lists(rows: sa.Connection, controller_id: str) -> list[ListRow]:
    """Return the lists without a verdict, the oldest first."""
    return [_list(one) for one in rows.execute(_UNFINISHED, {"controller_id": controller_id})]


def parts(rows: sa.Connection, controller_id: str, list_id: str) -> list[PartRow]:
    """Return the parts of a pass, in order."""
    found = rows.execute(_PARTS, {"controller_id": controller_id, "list_id": list_id})
    return [
        PartRow(
            one.number, one.era, one.begun, one.reached, bytes(one.frontier), one.positions, one.verdict, one.at,
            one.secret_version, bytes(one.mac), one.follows,
        )
        for one in found
    ]  # fmt: skip


def _list(row: Any) -> ListRow:
    return ListRow(
        row.breach_id, row.list_id, row.criteria, row.era, row.size, bytes(row.root), row.checkpoint, row.asked_at, row.by,
        row.entry_id,
    )  # fmt: skip


def _read(rows: sa.Connection, statements: Sequence[sa.Select[Any]], asked: Mapping[str, str]) -> list[Register]:
    breaches, phases, deadlines = (rows.execute(one, asked).all() for one in statements)
    done: dict[str, list[PhaseRow]] = {}
    for one in phases:
        made = PhaseRow(one.number, one.phase, one.stated, one.at, one.by, one.secret_version, bytes(one.sealed), one.entry_id)
        done.setdefault(one.breach_id, []).append(made)
    due: dict[str, list[DeadlineRow]] = {}
    for one in deadlines:
        due.setdefault(one.breach_id, []).append(DeadlineRow(one.regime, one.step, one.notice, one.since, one.since_at, one.due_at))
    return [Register(_breach(one), done.get(one.breach_id, []), due.get(one.breach_id, [])) for one in breaches]


def _breach(row: Any) -> BreachRow:
    return BreachRow(
        row.breach_id, row.kinds, row.regimes, row.detected_at, row.aware_at, row.opened_at, row.opened_by, row.secret_version,
        bytes(row.sealed), row.entry_id,
    )  # fmt: skip
