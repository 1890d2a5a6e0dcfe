"""One company's connection reaches no row of another, whatever the statement says, on every table there is.

The rights of a role are one layer and row security is another, so the owner, who has every right, is tried as well as the roles of
the application. "Here" is a controller without a single row: whatever a statement without WHERE reaches is a neighbour's.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from psycopg import errors, sql

from tests.conftest import Controllers
from vault import tables
from vault.database import Database
from vault.errors import DatabaseUnavailable

ROLES = ("riserbo_owner", "riserbo_app", "riserbo_sequencer", "riserbo_signer")
TABLES = sorted(f"{one.schema}.{one.name}" for one in tables.metadata.sorted_tables)
HERE = "ctl-without-a-row"
SEALED = (
    *("vault.audit_entry", "vault.agreement", "vault.agreement_event", "vault.template", "vault.template_text"),
    *("vault.policy_bundle", "vault.policy_activation", "vault.audit_pruned", "vault.review_remark"),
    *("vault.breach", "vault.breach_phase", "vault.breach_deadline", "vault.affected_list", "vault.affected_part"),
    *("vault.request_step", "vault.recipient_task_step"),
    *("vault.erasure", "vault.certificate", "vault.notice_text", "vault.notice_served", "vault.prohibition"),
)
GUARDED = (*SEALED, "vault.audit_checkpoint", "vault.audit_witnessed")  # a trigger refuses even the owner
EVERY_TABLE = """
    SELECT n.nspname || '.' || c.relname, c.relrowsecurity, c.relforcerowsecurity, pg_get_userbyid(c.relowner)
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname IN ('vault', 'keys') AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relname <> 'migration'
       AND c.relispartition = %s"""
PARTS_OF = ("vault.audit_detail", "vault.audit_entry", "vault.audit_lookup")
RAISED = {"make_audit_partitions()"}  # what runs with the owner's rights


@contextmanager
def session(url: str, role: str | None, controller_id: str | None = None) -> Iterator["psycopg.Connection[Any]"]:
    """Open a connection as the application does: the controller is fixed by a start-up option. None: not set at all."""
    address = sa.make_url(url)
    arguments: dict[str, Any] = {**address.translate_connect_args(username="user", database="dbname"), **address.query}
    if role is not None:
        arguments["user"] = role
    if controller_id is not None:
        arguments["options"] = f"-c riserbo.controller={controller_id}"
    with psycopg.connect(autocommit=True, **arguments) as connection:
        yield connection


@pytest.fixture(scope="module")
def neighbour(shared_controllers: Controllers, database_url: str) -> str:
    """A controller with at least one row in every table: what it has by itself, and made-up rows where it has none."""
    controller_id = shared_controllers()
    with session(database_url, None) as connection:
        for table in tables.metadata.sorted_tables:
            values = {column.name: made_up(column) for column in table.columns} | {"controller_id": controller_id}
            query = sql.SQL("INSERT INTO {} ({}) VALUES ({}) ON CONFLICT DO NOTHING").format(
                sql.Identifier(str(table.schema), table.name),
                sql.SQL(", ").join(map(sql.Identifier, values)),
                sql.SQL(", ").join([sql.Placeholder()] * len(values)),
            )
            connection.execute(query, list(values.values()))
    return controller_id


def made_up(column: "sa.Column[Any]") -> Any:
    """Return a value of a column's type that no key in use has."""
    if isinstance(column.type, sa.ARRAY) and isinstance(column.type.item_type, sa.DateTime):
        return [datetime(2000, 1, 1, tzinfo=UTC)]
    if isinstance(column.type, sa.ARRAY) and isinstance(column.type.item_type, sa.BigInteger):
        return [7]
    kinds: Mapping[type[Any], Any] = {
        sa.Text: f"made-up {column.name}", sa.LargeBinary: b"\x00", sa.Boolean: True, sa.ARRAY: ["made-up"],
        sa.DateTime: datetime(2000, 1, 1, tzinfo=UTC), sa.Date: date(2000, 1, 1), sa.JSON: psycopg.types.json.Jsonb({}),
    }  # fmt: skip
    number = 987_654 if column.name == "epoch" else 7
    return next((value for kind, value in kinds.items() if isinstance(column.type, kind)), number)


def count(connection: "psycopg.Connection[Any]", table: str) -> int:
    found = connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()
    assert found is not None
    return int(found[0])


def reached(connection: "psycopg.Connection[Any]", statement: str, *values: Any) -> int | str:
    """Return how many rows a statement reaches; `forbidden` where the role lacks the right. Whatever it does is undone."""
    try:
        with connection.transaction(force_rollback=True):
            return connection.execute(statement.encode(), values).rowcount
    except errors.InsufficientPrivilege:
        return "forbidden"


# --- how the tables stand


def test_every_table_and_partition_has_row_security_forced(database_url: str) -> None:
    with session(database_url, None) as connection:
        found = connection.execute(EVERY_TABLE, (False,)).fetchall()
        parts = connection.execute(EVERY_TABLE, (True,)).fetchall()
    assert {name for name, *_ in found} == set(TABLES)
    assert {name.rpartition("_")[0] for name, *_ in parts if name.endswith(("_first", "_rest"))} == set(PARTS_OF)
    assert [name for name, secured, forced, _ in (*found, *parts) if not (secured and forced)] == []


def test_every_policy_is_the_one_policy(database_url: str) -> None:
    """A second, permissive policy would be joined by OR."""
    with session(database_url, None) as connection:
        found = connection.execute(
            "SELECT schemaname || '.' || tablename, permissive, roles, cmd, qual, with_check FROM pg_policies"
        ).fetchall()
    own = "(controller_id = current_setting('riserbo.controller'::text, true))"
    register = f"({own} OR (current_setting('riserbo.controller'::text, true) = '*'::text))"
    assert sorted(found) == [
        (name, "PERMISSIVE", ["public"], "ALL", register if name == "vault.controller" else own, own) for name in TABLES
    ]


def test_no_role_of_the_application_stands_above_row_security(database_url: str) -> None:
    with session(database_url, None) as connection:
        found = connection.execute(
            "SELECT rolname, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication FROM pg_roles"
            " WHERE rolname = ANY(%s)",
            (list(ROLES),),
        ).fetchall()
        owners = {owner for part in (False, True) for *_, owner in connection.execute(EVERY_TABLE, (part,)).fetchall()}
        member = connection.execute(
            "SELECT m.rolname, g.rolname FROM pg_auth_members JOIN pg_roles m ON m.oid = member JOIN pg_roles g ON g.oid = roleid"
            " WHERE m.rolname = ANY(%s)",
            (list(ROLES),),
        ).fetchall()
    assert sorted(found) == sorted((name, False, False, False, False, False) for name in ROLES)
    assert owners == {"riserbo_owner"}
    assert member == []


def test_what_runs_with_the_owners_rights_takes_no_argument_and_has_its_own_path(database_url: str) -> None:
    """Whoever calls it says nothing but `now`, and can put no table or operator of their own in its way."""
    with session(database_url, None) as connection:
        found = connection.execute(
            "SELECT p.oid::regprocedure::text, proconfig, pg_get_userbyid(proowner), ARRAY(SELECT grantee::regrole::text"
            " FROM aclexplode(proacl) WHERE grantee <> proowner) FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace"
            " WHERE prosecdef AND nspname NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
    assert {name for name, *_ in found} == {f"vault.{one}" for one in RAISED}
    for _, settings, owner, callers in found:
        assert "search_path=pg_catalog, pg_temp" in settings
        assert (owner, callers) == ("riserbo_owner", ["riserbo_sequencer"])


def test_a_partition_named_by_itself_shows_nothing_to_anybody(neighbour: str, database_url: str) -> None:
    """Neither rights nor row security of the table hold for it: it has its own, and they admit nobody."""
    with session(database_url, None) as connection:
        parts = [name for name, *_ in connection.execute(EVERY_TABLE, (True,)).fetchall()]
        assert sum(count(connection, part) for part in parts) > 0
    for role in ROLES:
        with session(database_url, role, neighbour) as connection:
            for part in parts:
                for verb in (
                    f"SELECT 1 FROM {part}",
                    f"DELETE FROM {part}",
                    f"INSERT INTO {part} (controller_id) VALUES ('{HERE}')",
                ):
                    seen = reached(connection, verb)
                    assert seen == "forbidden" or (role == "riserbo_owner" and seen == 0), (role, verb)


def test_no_partition_of_entries_is_emptied_or_changed(neighbour: str, database_url: str) -> None:
    """By a superuser too, who passes rights and row security: a TRUNCATE trigger of the table alone would let a partition go."""
    with session(database_url, None) as connection:
        parts = [name for name, *_ in connection.execute(EVERY_TABLE, (True,)).fetchall() if "audit_entry" in name]
        held = next(part for part in parts if count(connection, part))
        statements = [f"TRUNCATE {part}" for part in parts] + [f"DELETE FROM {held}", f"UPDATE {held} SET leaf = leaf"]
        for statement in statements:
            with pytest.raises(errors.ObjectNotInPrerequisiteState):
                reached(connection, statement)


# --- what a connection reaches


@pytest.mark.parametrize("table", TABLES)
def test_the_neighbour_has_a_row_to_protect(neighbour: str, database_url: str, table: str) -> None:
    """What the zeros below are compared with."""
    with session(database_url, "riserbo_owner", neighbour) as connection:
        assert count(connection, table) > 0


@pytest.mark.parametrize("role", ROLES)
def test_a_statement_without_where_sees_and_writes_nothing_of_a_neighbour(neighbour: str, database_url: str, role: str) -> None:
    allowed: dict[str, list[str]] = {"read": [], "update": [], "delete": [], "insert": []}
    with session(database_url, role, HERE) as connection:
        for table in TABLES:
            answers = {
                "read": reached(connection, f"SELECT 1 FROM {table}"),
                "update": reached(connection, f"UPDATE {table} SET controller_id = controller_id"),
                "delete": reached(connection, f"DELETE FROM {table}"),
            }
            assert set(answers.values()) <= {0, "forbidden"}, (table, answers)
            for verb, answer in answers.items():
                if answer == 0:
                    allowed[verb].append(table)
    if role == "riserbo_owner":  # who may do everything, so it was row security that held
        assert allowed["read"] == allowed["update"] == allowed["delete"] == TABLES
    if role == "riserbo_app":
        assert {"vault.subject", "vault.profile_frame", "keys.data_key", "keys.data_key_wrap"} <= set(allowed["read"])
        assert "keys.data_key_wrap" in allowed["delete"]


@pytest.mark.parametrize("role", ["riserbo_owner", "riserbo_app"])
def test_no_row_is_written_for_a_neighbour(neighbour: str, database_url: str, role: str) -> None:
    with session(database_url, role, HERE) as connection:
        for table in tables.metadata.sorted_tables:
            values = {column.name: made_up(column) for column in table.columns} | {"controller_id": neighbour}
            names, marks = ", ".join(f'"{name}"' for name in values), ", ".join(["%s"] * len(values))
            statement = f"INSERT INTO {table.schema}.{table.name} ({names}) VALUES ({marks})"
            assert reached(connection, statement, *values.values()) == "forbidden", table.name


def test_no_row_of_ones_own_is_given_to_a_neighbour(neighbour: str, database_url: str) -> None:
    with session(database_url, "riserbo_owner", neighbour) as connection:
        for table in TABLES:
            if table not in GUARDED:  # a trigger refuses those first
                assert reached(connection, f"UPDATE {table} SET controller_id = '{HERE}'") == "forbidden", table


@pytest.mark.parametrize("controller_id", [None, "*", "x"], ids=["not-set", "every", "unknown"])
@pytest.mark.parametrize("role", ROLES)
def test_without_a_controller_nothing_is_seen(neighbour: str, database_url: str, role: str, controller_id: str | None) -> None:
    with session(database_url, role, controller_id) as connection:
        seen = {table: reached(connection, f"SELECT 1 FROM {table}") for table in TABLES}
    register = seen.pop("vault.controller")
    assert set(seen.values()) <= {0, "forbidden"}
    assert (register != 0) == (controller_id == "*")


@pytest.mark.parametrize(
    "disturbing",
    ["DISCARD ALL", "RESET ALL", "RESET riserbo.controller", "SELECT 1/0", "BEGIN; SET LOCAL riserbo.controller = 'x'; ROLLBACK"],
)
def test_the_controller_survives_whatever_a_statement_leaves_behind(app: Database, neighbour: str, disturbing: str) -> None:
    """A connection is used again after an error, an open transaction, a reset."""
    with app.dedicated(HERE) as connection:
        with suppress(errors.DivisionByZero):
            for statement in disturbing.split("; "):
                connection.execute(statement.encode())
        assert connection.execute("SHOW riserbo.controller").fetchone() == (HERE,)
        assert count(connection, "vault.subject") == 0


def test_a_pool_keeps_its_controller_after_an_error(app: Database, neighbour: str) -> None:
    statement = sa.text("SELECT controller_id FROM vault.subject")
    for _ in range(3):
        with pytest.raises(DatabaseUnavailable), app.transaction(HERE) as rows:
            rows.execute(sa.text("SELECT 1/0"))
        assert app.read(HERE, statement, {}) == []
        assert {row.controller_id for row in app.read(neighbour, statement, {})} == {neighbour}


def test_a_controller_that_would_end_the_option_is_refused(app: Database) -> None:
    for name in ("x -c role=postgres", "x'", "", "X", "*x", "a" * 64):
        with pytest.raises(DatabaseUnavailable):
            app.read(name, sa.text("SELECT 1"), {})


# --- what was agreed and what was recorded


@pytest.mark.parametrize("table", SEALED)
def test_the_application_changes_nothing_that_is_on_record(neighbour: str, database_url: str, table: str) -> None:
    with session(database_url, "riserbo_app", neighbour) as connection:
        assert count(connection, table) > 0
        columns = {
            "vault.audit_entry": "leaf", "vault.template": "digest", "vault.template_text": "text", "vault.policy_bundle": "digest",
            "vault.affected_part": "reached", "vault.notice_text": "text",
        }  # fmt: skip
        column = columns.get(table, "entry_id")
        for statement in (f"UPDATE {table} SET {column} = {column}", f"DELETE FROM {table}", f"TRUNCATE {table}"):
            assert reached(connection, statement) == "forbidden", statement


@pytest.mark.parametrize("table", GUARDED)
def test_not_even_the_owner_changes_it_by_mistake(neighbour: str, database_url: str, table: str) -> None:
    with session(database_url, "riserbo_owner", neighbour) as connection:
        for statement in (f"UPDATE {table} SET controller_id = controller_id", f"DELETE FROM {table}", f"TRUNCATE {table}"):
            with pytest.raises(errors.ObjectNotInPrerequisiteState):
                reached(connection, statement)


def test_the_application_writes_entries_only_where_they_wait(neighbour: str, database_url: str) -> None:
    """It adds what happens next, and what witnesses signed; positions, tiles and checkpoints are others' to write.

    What waits cannot be read back.
    """
    with session(database_url, "riserbo_app", neighbour) as connection:
        for table in TABLES:
            if "audit" not in table or table == "vault.audit_subject_head":
                continue
            statements = [f"UPDATE {table} SET controller_id = controller_id", f"DELETE FROM {table}"]
            if table not in ("vault.audit_pending", "vault.audit_head", "vault.audit_witnessed"):
                statements.append(f"INSERT INTO {table} (controller_id) VALUES ('{neighbour}')")
            for statement in statements:
                if table.startswith("vault."):
                    assert reached(connection, statement) == "forbidden", statement
        assert reached(connection, "SELECT leaf FROM vault.audit_pending") == "forbidden"
        assert reached(connection, "SELECT mac FROM vault.audit_pending") == "forbidden"
