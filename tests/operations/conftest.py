"""A look at the log that operations leave behind."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson
import psycopg
import pytest

from tests.assurance.desk import Desk
from vault.audit.reading import ReadEntry
from vault.opening import Opened


@dataclass(frozen=True, slots=True)
class Ledger:
    """One controller's log, and its tables as their owner sees them."""

    opened: Opened
    controller_id: str

    def leaves(self, operation: str) -> list[dict[str, Any]]:
        """Return the leaves of an operation, in log order, the pending ones sequenced first."""
        self.opened.trail.settle(self.controller_id)
        found = self.rows("vault.audit_entry", "true ORDER BY position", "leaf")
        return [leaf for leaf in (orjson.loads(one) for (one,) in found) if leaf["operation"] == operation]

    def outcomes(self, operation: str) -> list[str]:
        """Return how each act of an operation ended."""
        return [leaf["outcome"] for leaf in self.leaves(operation)]

    def rows(self, table: str, where: str = "true", columns: str = "*") -> list[tuple[Any, ...]]:
        """Return rows of a table of this controller."""
        with psycopg.connect(self.opened.addresses.url) as owner:
            asked = f"SELECT {columns} FROM {table} WHERE controller_id = %s AND {where}"
            return owner.execute(asked.encode(), (self.controller_id,)).fetchall()

    def owner(self, statement: str) -> None:
        """Run a statement as the database's owner."""
        with psycopg.connect(self.opened.addresses.url, autocommit=True) as owner:
            owner.execute(statement.encode())


@pytest.fixture
def ledger(opened: Opened, controller_id: str) -> Ledger:
    """The log of this test's controller."""
    return Ledger(opened, controller_id)


@pytest.fixture
def opened_entry(opened: Opened, controller_id: str) -> Callable[[str], ReadEntry]:
    """Return an entry by its id, with what was sealed beside it, as an officer reads it."""
    return Desk(None, None, opened, controller_id).entry_named  # type: ignore[arg-type]  # nobody calls the application
