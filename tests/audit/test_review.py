"""The statements of the review: each is answered by the index it is written for, whatever its values."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from sqlalchemy.dialects import postgresql

from vault.audit.review import page_statement

ROWS = 4_000


@pytest.fixture
def planned(database_url: str) -> Iterator["psycopg.Connection[Any]"]:
    """A connection that sees some thousand look-up rows of one controller; they are gone afterwards."""
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "INSERT INTO vault.audit_lookup (controller_id, at, position, subject_id, era, entry_id, operation, outcome,"
            " caller_id, roles, recipient, purpose, ticket, flags)"
            " SELECT 'ctl-plan', n * 1000, n, 'sub-' || n %% 97, 1, 'ent_' || n, 'disclose', 'allowed', 'agent-' || n %% 53,"
            " '{t1}', 'helpdesk', 'customer-care', convert_to('ticket' || lpad((n %% 89)::text, 2, '0'), 'UTF8'), 0"
            " FROM generate_series(1, %s) AS n",
            (ROWS,),
        )
        connection.execute("ANALYZE vault.audit_lookup")
        yield connection
        connection.rollback()


def plan(connection: "psycopg.Connection[Any]", *narrowed: str) -> str:
    """Return the plan every execution gets: connections of the vault ask for generic plans."""
    dialect = postgresql.dialect(paramstyle="numeric_dollar")
    statement = str(page_statement(frozenset(narrowed)).compile(dialect=dialect))
    result = connection.pgconn.exec_(f"EXPLAIN (GENERIC_PLAN) {statement}".encode())
    assert result.status == psycopg.pq.ExecStatus.TUPLES_OK, result.error_message
    return "\n".join(str(result.get_value(row, 0)) for row in range(result.ntuples))


@pytest.mark.parametrize(
    ("narrowed", "index"),
    [
        (("subject_id",), "audit_lookup_by_subject"),
        (("subject_id", "purpose"), "audit_lookup_by_subject"),
        (("caller",), "audit_lookup_by_caller"),
        (("ticket",), "audit_lookup_by_ticket"),
        ((), "audit_lookup_pkey"),
        (("purpose", "role"), "audit_lookup_pkey"),
        (("system", "operation", "outcome"), "audit_lookup_pkey"),
    ],
    ids=str,
)
def test_a_page_is_read_by_its_index(planned: "psycopg.Connection[Any]", narrowed: tuple[str, ...], index: str) -> None:
    said = plan(planned, *narrowed)
    where = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = %s::regclass"
    parts = [name.removeprefix("vault.") for (name,) in planned.execute(where, (f"vault.{index}",))]
    assert any(f"using {one} on audit_lookup_first" in said for one in parts), said
    assert "Seq Scan on audit_lookup_first" not in said  # where the rows are; a partition without any may be looked through
