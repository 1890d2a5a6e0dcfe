"""Migrations up, down and up again; the tables are those of the code; and the rights they hand out, tried as each role."""

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
from vault.tables import metadata

SCHEMAS = frozenset({"vault", "keys"})
ROLES = ("riserbo_owner", "riserbo_app", "riserbo_sequencer", "riserbo_signer")
TABLES = sorted((str(table.schema), table.name) for table in metadata.sorted_tables)
TRAIL = sorted(name for schema, name in TABLES if name.startswith("audit_"))


@pytest.fixture
def fresh(postgres) -> Iterator[str]:
    """An empty database of this test's own, as its superuser reaches it."""
    ensure_database(postgres, "migrations")
    yield admin_url(postgres, "migrations")
    with psycopg.connect(postgres.get_uri("postgres"), autocommit=True) as connection:
        connection.execute("DROP DATABASE migrations WITH (FORCE)")


def drift(url: str) -> list[Any]:
    """Return what differs between the database and `vault.tables`."""
    engine = sqlalchemy.create_engine(owner_url(url))
    with engine.connect() as connection:
        options = {
            "include_schemas": True,
            "include_name": lambda name, kind, _: kind != "schema" or name in SCHEMAS,
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


@pytest.mark.parametrize("role", ROLES)
def test_no_role_stands_above_row_security(database_url, role) -> None:
    with psycopg.connect(database_url) as connection:
        found = connection.execute(
            "SELECT rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication FROM pg_roles WHERE rolname = %s", (role,)
        ).fetchone()
    assert found == (False,) * 5


def test_row_security_is_forced_on_every_table(database_url) -> None:
    with psycopg.connect(database_url) as connection:
        forced = connection.execute(
            "SELECT nspname, relname FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace"
            " WHERE nspname IN ('vault', 'keys') AND relkind IN ('r', 'p') AND relrowsecurity AND relforcerowsecurity"
        ).fetchall()
    assert sorted(forced) == TABLES


@pytest.mark.parametrize("table", metadata.sorted_tables, ids=lambda table: table.fullname)
def test_every_key_begins_with_the_controller(table) -> None:
    assert next(iter(table.primary_key.columns)).name == "controller_id"


def connected(url: str, role: str, controller_id: str) -> "psycopg.Connection[Any]":
    database = Database(url, role)
    try:
        return database.dedicated(controller_id)
    finally:
        database.close()


@pytest.fixture
def neighbours(database_url, controllers) -> tuple[str, str]:
    """Two controllers with one caller each."""
    pair = controllers(), controllers()
    for controller_id in pair:
        with connected(database_url, "riserbo_app", controller_id) as app:
            app.execute(
                "INSERT INTO vault.caller (controller_id, caller_id, roles, recipient, region, valid_from, entry_id)"
                " VALUES (%s, 'agent', '{t1}', 'helpdesk', 'IT', now(), 'ent')",
                (controller_id,),
            )
    return pair


def test_a_statement_without_where_sees_its_own_controller_only(database_url, neighbours) -> None:
    with connected(database_url, "riserbo_app", neighbours[0]) as app:
        assert app.execute("SELECT DISTINCT controller_id FROM vault.caller").fetchall() == [(neighbours[0],)]


def test_a_statement_without_where_changes_its_own_controller_only(database_url, neighbours) -> None:
    with connected(database_url, "riserbo_app", neighbours[0]) as app:
        assert app.execute("UPDATE vault.caller SET team = 'mine'").rowcount == 1
    with connected(database_url, "riserbo_app", neighbours[1]) as app:
        assert app.execute("SELECT team FROM vault.caller").fetchall() == [(None,)]


def test_no_row_is_written_into_another_controller(database_url, neighbours) -> None:
    with connected(database_url, "riserbo_app", neighbours[0]) as app, pytest.raises(errors.InsufficientPrivilege):
        app.execute("UPDATE vault.caller SET controller_id = %s", (neighbours[1],))


def test_without_a_controller_nothing_is_seen(database_url, neighbours) -> None:
    address = sqlalchemy.make_url(database_url).set(username="riserbo_app")
    arguments = {**address.translate_connect_args(username="user", database="dbname"), **address.query}
    with psycopg.connect(**arguments) as app:
        assert app.execute("SELECT count(*) FROM vault.caller").fetchone() == (0,)


def test_the_controller_survives_a_reset_of_the_session(database_url, neighbours) -> None:
    with connected(database_url, "riserbo_app", neighbours[0]) as app:
        app.execute("DISCARD ALL")
        assert app.execute("SELECT DISTINCT controller_id FROM vault.caller").fetchall() == [(neighbours[0],)]


def test_the_owner_of_the_tables_sees_no_rows_of_others_either(database_url, neighbours) -> None:
    with connected(database_url, "riserbo_owner", neighbours[0]) as owner:
        assert owner.execute("SELECT DISTINCT controller_id FROM vault.caller").fetchall() == [(neighbours[0],)]


@pytest.mark.parametrize("table", ["audit_pending", "audit_entry", "audit_tile", "audit_head", "audit_checkpoint", "audit_detail"])
@pytest.mark.parametrize("attack", ["UPDATE {} SET controller_id = controller_id", "DELETE FROM {}", "TRUNCATE {}"])
def test_the_application_cannot_change_what_is_recorded(database_url, controller_id, table, attack) -> None:
    statement = sql.SQL(attack).format(sql.Identifier("vault", table))
    with connected(database_url, "riserbo_app", controller_id) as app, pytest.raises(errors.InsufficientPrivilege):
        app.execute(statement)


@pytest.mark.parametrize("table", ["agreement", "agreement_event"])
@pytest.mark.parametrize("attack", ["UPDATE {} SET controller_id = controller_id", "DELETE FROM {}", "TRUNCATE {}"])
def test_the_application_cannot_change_what_was_agreed(database_url, controller_id, table, attack) -> None:
    statement = sql.SQL(attack).format(sql.Identifier("vault", table))
    with connected(database_url, "riserbo_app", controller_id) as app, pytest.raises(errors.InsufficientPrivilege):
        app.execute(statement)


@pytest.mark.parametrize("role", ["riserbo_sequencer", "riserbo_signer"])
def test_who_keeps_the_trail_has_no_right_on_keys_or_values(database_url, controller_id, role) -> None:
    with connected(database_url, role, controller_id) as keeper:
        for schema, table in TABLES:
            if schema == "keys" or table in {"profile_frame", "field_history", "agreement", "subject"}:
                with pytest.raises(errors.InsufficientPrivilege):
                    keeper.execute(sql.SQL("SELECT 1 FROM {}").format(sql.Identifier(schema, table)))
