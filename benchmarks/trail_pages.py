"""What is asked of a long log: pages of the review, a proof, the counts of the days. The statements are the product's own.

Each is run on the application's own pool, by the generic plan it has there, and a page with the leaves it shows; the plan that was
carried out is read too, and a sequential scan of a partition with rows is counted.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import Any

import psycopg
import sqlalchemy as sa
from sqlalchemy import Connection

from benchmarks.trail_log import AGENTS, DAY_MS, PEOPLE, RARE_OPERATION
from vault import tables
from vault.audit import entry
from vault.audit.filters import Window
from vault.audit.merkle import Tree
from vault.audit.records import head, tile_reader
from vault.audit.review import Asked, Proposed, counts, first_place, page_statement, proposals
from vault.database import Database, Reading
from vault.operations.review import ANY_FLAG, USUAL

PAGES = ("subject", "caller", "ticket", "flag", "day", "rare")
PAGE = USUAL + 1  # what a page of the usual length reads
WINDOW_MS = 90 * DAY_MS
DAYS = 731
TRIES, FEW_TRIES = 100, 7
_L = tables.audit_lookup.c
_COUNTED = sa.select(sa.func.count()).where(_L.controller_id == sa.bindparam("controller"))


@dataclass(frozen=True, slots=True)
class Asker:
    """Asks one controller's log as the application does. `last_ms` is its newest entry's time."""

    database: Database
    controller_id: str
    last_ms: int
    lookup_key: bytes
    dice: random.Random

    def asked(self, page: str) -> Asked:
        """Return what one page is asked with: anybody, any agent, any ticket, any day, or the one rare thing."""
        ends = self.last_ms - (int(self.dice.random() * 700) * DAY_MS if page == "day" else 0)
        reach = {"day": DAY_MS, "subject": DAYS * DAY_MS, "ticket": DAYS * DAY_MS}.get(page, WINDOW_MS)
        drawn = self.dice.random()
        values: Mapping[str, dict[str, Any]] = {
            "subject": {"subject_id": f"sub_{int(PEOPLE * drawn**2):026d}"},
            "caller": {"caller": f"agent-{int(AGENTS * drawn**1.5)}"},
            "flag": {"flags": ANY_FLAG},
            "rare": {"operation": RARE_OPERATION},
        }
        ticket = entry.lookup_hash(self.lookup_key, "ticket", f"TCK-{int(100_000 * drawn)}")
        return Asked(Window(ends - reach, ends), values.get(page, {}), (ticket,) if page == "ticket" else ())

    def page(self, rows: Connection, asked: Asked) -> list[Proposed]:
        """Return a first page and one entry more."""
        return proposals(rows, self.controller_id, asked, first_place(asked.window), PAGE)

    def page_ms(self, page: str, tries: int) -> float:
        """Return the median milliseconds of a page, leaves fetched."""
        with self.database.snapshot(self.controller_id) as rows:
            asked = [self.asked(page) for _ in range(tries + 2)]
            took = [_ms(lambda one=one: self.page(rows, one)) for one in asked]  # type: ignore[misc]
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

    def counts_ratio(self, tries: int) -> float:
        """Return how much longer it takes to count the entries than to give a chart of two years its counts of each day."""
        last = self.last_ms // DAY_MS
        with self.database.snapshot(self.controller_id) as rows:
            whole = [_ms(lambda: rows.execute(_COUNTED, {"controller": self.controller_id}).all()) for _ in range(tries)]
            days = [_ms(lambda: counts(rows, self.controller_id, last - DAYS, last, ("day",))) for _ in range(tries)]
        return median(whole) / median(days)

    def sequential_scans(self, page: str) -> list[str]:
        """Return the lines of the page's generic plan, as carried out, that read a partition from end to end."""
        asked = self.asked(page)
        begins, place = asked.window.begins, first_place(asked.window)
        said = {
            "controller": self.controller_id,
            "begins": begins,
            "at": place.at,
            "position": place.position,
            "most": PAGE,
            **asked.values,
        }
        if asked.tickets:
            said["ticket"] = asked.tickets[0]
        names = frozenset(asked.values) | ({"ticket"} if asked.tickets else frozenset())
        reading = Reading.of("page", page_statement(names))  # type: ignore[arg-type]  # a Select is compiled likewise
        with self.database.dedicated(self.controller_id) as connection:
            connection.execute(b"PREPARE page AS " + reading.sql)
            cursor = psycopg.ClientCursor(connection)
            places = ", ".join(["%s"] * len(reading.parameters))
            values = [said[name] for name in reading.parameters]
            plan = cursor.execute(f"EXPLAIN (ANALYZE, TIMING OFF) EXECUTE page({places})".encode(), values).fetchall()
        return [line for (line,) in plan if "Seq Scan" in line and "never executed" not in line]


def _ms(act: Callable[[], object]) -> float:
    begun = perf_counter()
    act()
    return (perf_counter() - begun) * 1000
