"""Migrations up, down and up again, and the tables those of the code. What roles may: `assurance/test_row_security.py`."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
import sqlalchemy
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from psycopg import errors, sql

from vault.connectors.embedded_postgres import admin_url, ensure_database
from vault.database import Database
from vault.operations.migrate import configuration, migrate, owner_url
from vault.tables import OPTIONS, UNCOMPRESSED, metadata
from vault.trail_tables import PARTITION

SCHEMAS = frozenset({"vault", "keys"})
TABLES = sorted((str(table.schema), table.name) for table in metadata.sorted_tables)


@pytest.fixture
def fresh(postgres) -> Iterator[str]:
    """An empty database of this test's own, as its superuser reaches it."""
    ensure_database(postgres, "migrations")
    yield admin_url(postgres, "migrations")
    with psycopg.connect(postgres.get_uri("postgres"), autocommit=True) as connection:
        connection.execute("DROP DATABASE migrations WITH (FORCE)")


def _ours(name: str | None, kind: str, _parents: object) -> bool:
    if kind == "table":
        return not PARTITION.fullmatch(name or "")
    return kind != "schema" or name in SCHEMAS


def drift(url: str) -> list[Any]:
    """Return what differs between the database and `vault.tables`."""
    engine = sqlalchemy.create_engine(owner_url(url))
    with engine.connect() as connection:
        options = {
            "include_schemas": True,
            "include_name": _ours,
            "version_table": "migration",
            "version_table_schema": "vault",
            "compare_type": True,
        }
        found = compare_metadata(MigrationContext.configure(connection, opts=options), metadata)
    engine.dispose()
    return [one for one in found if not _is_the_version_table(one)]


def _is_the_version_table(change: Any) -> bool:
    return change[0] == "remove_table" and change[1].name == "migration"


def test_up_down_and_up_again_gives_the_tables_of_the_code(fresh) -> None:
    migrate(fresh, fresh)
    assert drift(fresh) == []
    engine = sqlalchemy.create_engine(owner_url(fresh))
    with engine.connect() as connection:
        command.downgrade(configuration(connection), "base")
    engine.dispose()
    with psycopg.connect(fresh) as connection:
        left = connection.execute(
            "SELECT nspname || '.' || relname FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace"
            " WHERE nspname IN ('vault', 'keys', 'jobs') AND relkind IN ('r', 'p') AND relname <> 'migration'"
        ).fetchall()
    assert left == []
    migrate(fresh, None)
    assert drift(fresh) == []


def test_drift_is_seen(fresh) -> None:
    """The check above would be worth nothing if it could not fail."""
    migrate(fresh, fresh)
    with psycopg.connect(fresh, autocommit=True) as connection:
        connection.execute("ALTER TABLE vault.subject ADD COLUMN email text")
        connection.execute("ALTER TABLE vault.budget ALTER COLUMN spent TYPE bigint")
    assert len(drift(fresh)) == 2


def stored(url: str) -> tuple[dict[str, Any], set[Any]]:
    """Return each table's options, and the columns whose values are moved aside but never compressed."""
    with psycopg.connect(url) as connection:
        options = connection.execute(
            "SELECT relname, reloptions FROM pg_class WHERE reloptions IS NOT NULL AND relnamespace = 'vault'::regnamespace"
        ).fetchall()
        columns = connection.execute(
            "SELECT c.relname, attname FROM pg_attribute JOIN pg_class c ON c.oid = attrelid AND relkind IN ('r', 'p')"
            " WHERE attstorage = 'e' AND relnamespace = 'vault'::regnamespace"
        ).fetchall()
    whole = {table for table, _ in columns if not PARTITION.fullmatch(table)}
    assert {one for one in columns if one[0] not in whole} == {  # a partition's rows lie as its parent's
        (part, column) for parent, column in columns if parent in whole for part in partitions_of(url, parent)
    }
    return {name: dict(one.split("=") for one in found) for name, found in options}, {one for one in columns if one[0] in whole}


def partitions_of(url: str, table: str) -> list[str]:
    with psycopg.connect(url) as connection:
        found = connection.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = to_regclass(%s) ORDER BY 1", (f"vault.{table}",)
        ).fetchall()
    return [name.removeprefix("vault.") for (name,) in found]


def test_rows_lie_as_the_code_says_and_as_before_when_taken_back(fresh) -> None:
    migrate(fresh, fresh)
    assert stored(fresh) == (OPTIONS, UNCOMPRESSED)
    engine = sqlalchemy.create_engine(owner_url(fresh))
    with engine.connect() as connection:
        command.downgrade(configuration(connection), "0002")
    engine.dispose()
    assert stored(fresh) == ({}, set())
    migrate(fresh, None)
    assert stored(fresh) == (OPTIONS, UNCOMPRESSED)


def test_what_only_a_hold_keeps_is_archived_when_the_version_comes(fresh) -> None:
    """Of two customers before the change, one whose contract is over: its companion alone holds the key."""
    migrate(fresh, fresh)
    engine = sqlalchemy.create_engine(owner_url(fresh))
    with engine.connect() as connection:
        command.downgrade(configuration(connection), "0003")
    with psycopg.connect(fresh) as connection:
        connection.execute("INSERT INTO vault.controller VALUES ('one', 'UTC', '{it}', now()), ('two', 'UTC', '{it}', now())")
        for controller, kind in (("one", "hold"), ("one", "agreement"), ("two", "hold")):
            place = (controller, f"sub_{kind}", "contact", 1)
            connection.execute("INSERT INTO keys.data_key VALUES (%s, %s, %s, %s, 'dk_', '', '', 0, 'current')", place)
            connection.execute("INSERT INTO keys.data_key_wrap VALUES (%s, %s, %s, %s, %s, 'agr_', 1, '')", (*place, kind))
    seen = []
    for change, version in ((command.upgrade, "0004"), (command.downgrade, "0003")):
        with engine.connect() as connection:
            change(configuration(connection), version)
        with psycopg.connect(fresh) as connection:
            found = connection.execute("SELECT state FROM keys.data_key ORDER BY controller_id, subject_id").fetchall()
            seen.append([state for (state,) in found])
    engine.dispose()
    assert seen == [["current", "archived", "archived"], ["current"] * 3]


def test_what_was_left_out_when_agreeing_is_told_by_its_event_when_the_version_comes(fresh) -> None:
    """The event is what the derived row is compared with from then on; nobody may change an event after that."""
    migrate(fresh, fresh)
    engine = sqlalchemy.create_engine(owner_url(fresh))
    with engine.connect() as connection:
        command.downgrade(configuration(connection), "0005")
    with psycopg.connect(fresh) as connection:
        connection.execute("INSERT INTO vault.controller VALUES ('one', 'UTC', '{it}', now()), ('two', 'UTC', '{it}', now())")
        for controller, excluded in (("one", ["email", "phone"]), ("two", [])):
            place = (controller, "sub_", "agr_")
            state = "INSERT INTO vault.agreement_state VALUES (%s, %s, %s, 'retail@1', 'in_force', 'none', %s, now(), null, '')"
            connection.execute(state, (*place, excluded))
            for number, kind in enumerate(("requested", "given"), 1):
                event = "INSERT INTO vault.agreement_event VALUES (%s, %s, %s, %s, %s, now(), now(), '', '', '', '', '')"
                connection.execute(event, (*place, number, kind))
    with engine.connect() as connection:
        command.upgrade(configuration(connection), "0007")
    engine.dispose()
    with psycopg.connect(fresh) as connection:
        found = connection.execute("SELECT excluded FROM vault.agreement_event ORDER BY controller_id, number").fetchall()
        assert [one for (one,) in found] == [[], ["email", "phone"], [], []]
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
            connection.execute("UPDATE vault.agreement_event SET excluded = '{iban}'")


def test_counts_of_a_day_are_added_up_over_callers_when_the_version_comes_and_kept_when_it_goes(fresh) -> None:
    """Of two companies' rows, each row's own: row security must not hide any from whoever moves them."""
    migrate(fresh, fresh)
    engine = sqlalchemy.create_engine(owner_url(fresh))
    with engine.connect() as connection:
        command.downgrade(configuration(connection), "0015")
    with psycopg.connect(fresh) as connection:
        for controller, caller, entries in (("one", "a", 3), ("one", "b", 4), ("two", "a", 5), ("two", "-", 1)):
            row = (controller, "disclose", caller, entries, entries * 2)
            connection.execute(
                "INSERT INTO vault.audit_daily (controller_id, day, operation, outcome, purpose, recipient, caller_id, entries,"
                " clear_values) VALUES (%s, 20000, %s, 'allowed', '-', '-', %s, %s, %s)", row,
            )  # fmt: skip
    seen = []
    for change, version in ((command.upgrade, "0016"), (command.downgrade, "0015")):
        with engine.connect() as connection:
            change(configuration(connection), version)
        with psycopg.connect(fresh) as connection:
            found = "SELECT controller_id, entries, clear_values FROM vault.audit_daily ORDER BY 1"
            seen.append(connection.execute(found).fetchall())
            forced = "SELECT relforcerowsecurity FROM pg_class WHERE oid = 'vault.audit_daily'::regclass"
            assert connection.execute(forced).fetchone() == (True,)
    engine.dispose()
    assert seen == [[("one", 7, 14), ("two", 6, 12)]] * 2


def test_parts_of_lists_are_of_their_lists_era_when_the_version_comes(fresh) -> None:
    """Of three lists, one of a later era without a verdict begins again; going back takes what was read over several eras away."""
    migrate(fresh, fresh)
    engine = sqlalchemy.create_engine(owner_url(fresh))
    with engine.connect() as connection:
        command.downgrade(configuration(connection), "0016")
    with psycopg.connect(fresh) as connection:
        for controller, name, era, verdict in (("one", "a", 1, None), ("one", "b", 2, "confirmed"), ("two", "b", 2, None)):
            listed = (controller, "brc", name, era)
            connection.execute(
                "INSERT INTO vault.affected_list VALUES (%s, %s, %s, '{}', %s, 9, '', NULL, now(), '-', '-')", listed
            )
            part = "INSERT INTO vault.affected_part VALUES (%s, %s, %s, 0, 9, '', '{}', %s, now(), 1, '')"
            connection.execute(part, (controller, name, 1, None))
            connection.execute(part, (controller, name, 2, verdict))
    seen = []
    for change, version in ((command.upgrade, "0017"), (command.downgrade, "0016")):
        with engine.connect() as connection:
            change(configuration(connection), version)
        with psycopg.connect(fresh) as connection:
            column = "era" if version == "0017" else "0"
            found = f"SELECT controller_id, list_id, number, {column} FROM vault.affected_part ORDER BY 1, 2, 3"
            seen.append(connection.execute(found.encode()).fetchall())
            with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState), connection.transaction():
                connection.execute("DELETE FROM vault.affected_part")
            assert _forced(connection) == [True, True]
            if version == "0017":
                part = "INSERT INTO vault.affected_part VALUES ('one', 'b', 3, 0, 9, '', '{}', NULL, now(), 1, '', 2, '{}')"
                connection.execute(part)
    engine.dispose()
    assert seen == [
        [("one", "a", 1, 1), ("one", "a", 2, 1), ("one", "b", 1, 2), ("one", "b", 2, 2)],
        [("one", "a", 1, 0), ("one", "a", 2, 0)],
    ]


def _forced(connection: "psycopg.Connection[Any]") -> list[bool]:
    asked = "SELECT relforcerowsecurity FROM pg_class WHERE relname IN ('affected_list', 'affected_part') AND relkind = 'r'"
    return [forced for (forced,) in connection.execute(asked).fetchall()]


@pytest.mark.parametrize("table", metadata.sorted_tables, ids=lambda table: table.fullname)
def test_every_key_begins_with_the_controller(table) -> None:
    assert next(iter(table.primary_key.columns)).name == "controller_id"


def connected(url: str, role: str, controller_id: str) -> "psycopg.Connection[Any]":
    database = Database(url, role)
    try:
        return database.dedicated(controller_id)
    finally:
        database.close()


@pytest.mark.parametrize("role", ["riserbo_sequencer", "riserbo_signer"])
def test_who_keeps_the_trail_has_no_right_on_keys_or_values(database_url, controller_id, role) -> None:
    with connected(database_url, role, controller_id) as keeper:
        for schema, table in TABLES:
            if schema == "keys" or table in {"profile_frame", "field_history", "agreement", "subject"}:
                with pytest.raises(errors.InsufficientPrivilege):
                    keeper.execute(sql.SQL("SELECT 1 FROM {}").format(sql.Identifier(schema, table)))
