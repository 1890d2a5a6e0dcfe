"""What is asked of a long log, in the shapes of the review: pages by keyset, a proof, who was touched, counts.

The statements stand here alone, so that those of the product can take their place. Each is run on the application's own pool, by
the generic plan it has there; the plan that was carried out is read too, and a sequential scan of a partition with rows is counted.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import Any

import psycopg
import sqlalchemy as sa
from sqlalchemy import Connection

from benchmarks.trail_log import AGENTS, DAY_MS, PEOPLE, RARE_CHANNEL, SNOOP, SNOOPED
from vault import tables
from vault.audit import entry
from vault.audit.merkle import Tree
from vault.audit.records import head, tile_reader
from vault.database import Database, Reading

PAGE = 50
WINDOW_MS = 90 * DAY_MS
TWO_YEARS_MS = 731 * DAY_MS
TRIES, FEW_TRIES = 100, 7
_L = tables.audit_lookup.c
_DAYS = tables.audit_daily.c
_SHOWN = (
    _L.entry_id, _L.at, _L.position, _L.subject_id, _L.operation, _L.outcome, _L.kind, _L.caller_id, _L.roles, _L.team,
    _L.recipient, _L.purpose, _L.channel, _L.ticket, _L.flags,
)  # fmt: skip


def _page(*filters: sa.ColumnElement[bool]) -> sa.Select[Any]:
    """A page, newest first. The bounds on `at` are for pruning: a row comparison alone prunes no partition."""
    return (
        sa.select(*_SHOWN)
        .where(
            _L.controller_id == sa.bindparam("controller"),
            _L.at >= sa.bindparam("since"),
            _L.at <= sa.bindparam("until"),
            *filters,
        )
        .order_by(_L.at.desc(), _L.position.desc())
        .limit(PAGE)
    )


PAGES: Mapping[str, sa.Select[Any]] = {
    "subject": _page(_L.subject_id == sa.bindparam("subject")),
    "caller": _page(_L.caller_id == sa.bindparam("caller")),
    "ticket": _page(_L.ticket == sa.bindparam("ticket")),
    "flag": _page(_L.flags != sa.literal_column("0")),
    "day": _page(),
    "rare": _page(_L.channel == sa.bindparam("channel")),
}
AFFECTED = (
    sa.select(
        _L.subject_id,
        sa.func.count().label("entries"),
        sa.func.min(_L.at).label("first_at"),
        sa.func.max(_L.at).label("last_at"),
        sa.func.array_agg(_L.entry_id).label("entry_ids"),
    )
    .where(
        _L.controller_id == sa.bindparam("controller"),
        _L.caller_id == sa.bindparam("caller"),
        _L.at >= sa.bindparam("since"),
        _L.at <= sa.bindparam("until"),
    )
    .group_by(_L.subject_id)
)
COUNTED = sa.select(sa.func.count()).where(_L.controller_id == sa.bindparam("controller"))
SUMMED = sa.select(sa.func.sum(_DAYS.entries)).where(_DAYS.controller_id == sa.bindparam("controller"))


@dataclass(frozen=True, slots=True)
class Asker:
    """Asks one controller's log as the application does. `last_ms` is its newest entry's time."""

    database: Database
    controller_id: str
    last_ms: int
    lookup_key: bytes
    dice: random.Random

    def parameters(self, page: str) -> dict[str, Any]:
        """Return what one page is asked with: anybody, any agent, any ticket, any day, or the one rare thing."""
        until = self.last_ms - (int(self.dice.random() * 700) * DAY_MS if page == "day" else 0)
        asked: dict[str, Any] = {"controller": self.controller_id, "until": until, "since": until - WINDOW_MS}
        if page == "day":
            return asked | {"since": until - DAY_MS}
        if page in ("subject", "ticket"):
            asked["since"] = self.last_ms - TWO_YEARS_MS
        return asked | self._filters(page)

    def _filters(self, page: str) -> dict[str, Any]:
        drawn = self.dice.random()
        filters: dict[str, dict[str, Any]] = {
            "subject": {"subject": f"sub_{int(PEOPLE * drawn**2):026d}"},
            "caller": {"caller": f"agent-{int(AGENTS * drawn**1.5)}"},
            "ticket": {"ticket": entry.lookup_hash(self.lookup_key, "ticket", f"TCK-{int(100_000 * drawn)}")},
            "rare": {"channel": RARE_CHANNEL},
        }
        return filters.get(page, {})

    def page_ms(self, page: str, tries: int) -> float:
        """Return the median milliseconds of a page, rows fetched."""
        with self.database.snapshot(self.controller_id) as rows:
            asked = [self.parameters(page) for _ in range(tries + 2)]
            took = [_ms(lambda one=one: rows.execute(PAGES[page], one).all()) for one in asked]  # type: ignore[misc]
        return median(took[2:])

    def proof_ms(self, tries: int) -> float:
        """Return the median milliseconds of an inclusion proof of any entry, tiles read from the database."""
        with self.database.snapshot(self.controller_id) as rows:
            at = head(rows, self.controller_id)
            assert at is not None

            def prove() -> object:
                tree = Tree(at.size, tile_reader(rows, self.controller_id, at))
                return tree.inclusion(int(self.dice.random() * at.size))

            return median([_ms(prove) for _ in range(tries + 2)][2:])

    def affected(self, tries: int) -> tuple[float, int, int]:
        """Return the seconds of the list of whom one agent touched in two years, how many they are, and in how many entries."""
        asked = {"controller": self.controller_id, "caller": SNOOP, "since": self.last_ms - TWO_YEARS_MS, "until": self.last_ms}
        with self.database.snapshot(self.controller_id) as rows:
            found: Sequence[Any] = rows.execute(AFFECTED, asked).all()
            took = [_ms(lambda: rows.execute(AFFECTED, asked).all()) for _ in range(tries)]
        assert 0 < len(found) <= SNOOPED
        return median(took) / 1000, len(found), sum(one.entries for one in found)

    def counts_ratio(self, tries: int) -> float:
        """Return how much longer it takes to count the entries than to add up the counts of the days."""
        with self.database.snapshot(self.controller_id) as rows:
            whole, days = (_asked(rows, one, self.controller_id, tries) for one in (COUNTED, SUMMED))
        return whole / days

    def sequential_scans(self, page: str) -> list[str]:
        """Return the lines of the page's generic plan, as carried out, that read a partition from end to end."""
        reading = Reading.of("page", PAGES[page])  # type: ignore[arg-type]  # a Select is compiled likewise
        asked = self.parameters(page)
        with self.database.dedicated(self.controller_id) as connection:
            connection.execute(b"PREPARE page AS " + reading.sql)
            cursor = psycopg.ClientCursor(connection)
            places = ", ".join(["%s"] * len(reading.parameters))
            values = [asked.get(name, PAGE) for name in reading.parameters]
            plan = cursor.execute(f"EXPLAIN (ANALYZE, TIMING OFF) EXECUTE page({places})".encode(), values).fetchall()
        return [line for (line,) in plan if "Seq Scan" in line and "never executed" not in line]


def _asked(rows: Connection, statement: sa.Select[Any], controller_id: str, tries: int) -> float:
    return median([_ms(lambda: rows.execute(statement, {"controller": controller_id}).all()) for _ in range(tries)])


def _ms(act: Callable[[], object]) -> float:
    begun = perf_counter()
    act()
    return (perf_counter() - begun) * 1000
