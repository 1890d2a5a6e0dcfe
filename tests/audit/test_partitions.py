"""Partitions come before they are needed, by whoever sequences; where one is missing nothing stops and nothing is lost."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
import sqlalchemy
from alembic import command

from tests.audit.makers import Log, draft, log_on, now
from tests.test_migrations import partitions_of
from vault.audit import sequencer as sequencing
from vault.audit.sequencer import Sequencer
from vault.database import EVERY_CONTROLLER, Database
from vault.errors import DatabaseUnavailable
from vault.operations import examine
from vault.operations.examine import HEAD
from vault.operations.migrate import configuration, owner_url
from vault.tables import audit_entry, audit_lookup

STRETCH = 1 << 20
MONTHS = ("audit_detail", "audit_lookup")
IN_A_YEAR = timedelta(days=365)


def months_ahead(count: int) -> list[str]:
    first = datetime.now(UTC).replace(day=15)
    return [f"{(first + timedelta(days=30.5 * n)):%Y_%m}" for n in range(1, count + 1)]


def change_to(url: str, version: str, change: Callable[..., None] = command.downgrade) -> None:
    with psycopg.connect(url, autocommit=True) as connection:  # a clone has the tables, not the rights on the database
        connection.execute("DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO riserbo_owner', current_database()); END $$")
    engine = sqlalchemy.create_engine(owner_url(url))
    with engine.connect() as connection:
        change(configuration(connection), version)
    engine.dispose()


def written(log: Log, count: int = 5, **other: object) -> None:
    recorder = log.recorder(**other)
    recorder.record_all(log.controller_id, [draft(f"sub-{n}") for n in range(count)])
    recorder.close()


def place_of(log: Log, table: str) -> list[str]:
    """Return the partitions this log's rows lie in."""
    found = log.ask(
        f"SELECT DISTINCT tableoid::regclass::text FROM vault.{table} WHERE controller_id = %s ORDER BY 1", log.controller_id
    )
    return [name.removeprefix("vault.") for (name,) in found]


@pytest.fixture
def log(clone: Callable[[], str], tmp_path: Path) -> Iterator[Log]:
    """A database of its own: partitions are everybody's."""
    with log_on(clone(), tmp_path / "state") as made:
        yield made


def test_three_months_stand_ready_and_one_stretch(log: Log) -> None:
    for table in MONTHS:
        assert partitions_of(log.url, table) == [f"{table}_{one}" for one in (*months_ahead(3), "first", "rest")]
    assert partitions_of(log.url, "audit_entry") == ["audit_entry_first", "audit_entry_rest"]


def test_a_stretch_in_use_makes_the_next(log: Log) -> None:
    sequencer = log.sequencer()
    assert sequencer.make_room() == 0
    written(log)
    sequencer.drain(log.controller_id)
    assert [sequencer.make_room() for _ in range(2)] == [1, 0]
    assert partitions_of(log.url, "audit_entry") == ["audit_entry_000001", "audit_entry_first", "audit_entry_rest"]


def test_a_month_that_was_not_made_stops_nothing(log: Log) -> None:
    """Nobody has made partitions for a year: rows lie in the rest, and that month stays there."""
    written(log, now=lambda: now() + IN_A_YEAR)
    log.sequencer().drain(log.controller_id)
    assert [place_of(log, table) for table in MONTHS] == [["audit_detail_rest"], ["audit_lookup_rest"]]
    assert log.settle().checkpoint.size == 7
    assert log.verify().ok


def test_a_stretch_whose_rows_lie_in_the_rest_is_passed_over(log: Log) -> None:
    written(log)
    log.sequencer().drain(log.controller_id)
    log.attack(
        f"UPDATE vault.audit_entry SET position = position + {STRETCH} WHERE controller_id = '{log.controller_id}' AND position > 2"
    )
    assert place_of(log, "audit_entry") == ["audit_entry_first", "audit_entry_rest"]
    assert [log.sequencer().make_room() for _ in range(2)] == [1, 0]
    assert partitions_of(log.url, "audit_entry") == ["audit_entry_000002", "audit_entry_first", "audit_entry_rest"]


def test_a_row_in_the_rest_makes_no_stretches(log: Log) -> None:
    """One row far ahead, as whoever holds the rights of `riserbo_sequencer` can write it."""
    with log.sequencing.transaction(log.controller_id) as rows:
        row = {"era": 1, "position": 10**15, "leaf": b"", "leaf_hash": b"", "mac": b""}
        rows.execute(sqlalchemy.insert(audit_entry), {"controller_id": log.controller_id, **row})
    assert place_of(log, "audit_entry") == ["audit_entry_rest"]
    assert [log.sequencer().make_room() for _ in range(5)] == [0] * 5
    with log.app.snapshot(EVERY_CONTROLLER) as rows:
        assert list(rows.execute(examine._BEHIND).scalars()) == ["audit_entry_rest holds rows"]


def test_who_reads_long_keeps_partitions_waiting_and_nothing_else(log: Log) -> None:
    written(log)
    log.sequencer().drain(log.controller_id)
    with psycopg.connect(log.url) as reader:
        reader.execute("SELECT count(*) FROM vault.audit_entry")
        with pytest.raises(DatabaseUnavailable):
            log.sequencer().make_room()
        written(log)
        assert log.sequencer().drain(log.controller_id) == 7
    assert log.sequencer().make_room() == 1


def test_another_who_is_at_it_is_left_alone(log: Log) -> None:
    written(log)
    log.sequencer().drain(log.controller_id)
    with psycopg.connect(log.url) as other:
        other.execute("SELECT pg_advisory_xact_lock(hashtext('riserbo.make_audit_partitions'))")
        assert log.sequencer().make_room() == 0


@pytest.mark.parametrize("role", ["riserbo_app", "riserbo_signer"])
def test_only_who_sequences_makes_partitions(log: Log, role: str) -> None:
    database = Database(log.url, role)
    with pytest.raises(DatabaseUnavailable):
        Sequencer(database, mac=lambda *_: b"", origin_host="", health=log.health).make_room()
    for function in ("add_audit_partition('audit_entry', 'x', 0, 1)", "last_audit_partition('audit_entry')"):
        for one in (database, log.sequencing):
            with one.dedicated(EVERY_CONTROLLER) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"SELECT vault.{function}")
    database.close()


def test_rows_that_were_there_are_there_after_up_and_down(log: Log) -> None:
    """Of companies that are in the register and of those no longer; and what was in several partitions is in one table again."""
    written(log, 40)
    log.settle()
    written(log, 40, now=lambda: now() + timedelta(days=45))
    log.settle()
    columns = "SELECT * FROM vault.{} ORDER BY position"
    before = {table: log.ask(columns.format(table)) for table in ("audit_entry", *MONTHS)}
    log.ask("DELETE FROM vault.controller WHERE controller_id = %s", log.controller_id)
    for version, change in (("0010", command.downgrade), (HEAD, command.upgrade)):
        change_to(log.url, version, change)
        assert {table: log.ask(columns.format(table)) for table in before} == before
    log.ask("INSERT INTO vault.controller VALUES (%s, 'UTC', '{it}', now())", log.controller_id)
    assert place_of(log, "audit_lookup") == ["audit_lookup_first"]
    assert log.verify().ok
    written(log)
    assert log.settle().checkpoint.size == 91
    assert log.verify().ok


def test_a_log_that_began_before_is_found_by_the_same_indexes(log: Log) -> None:
    written(log, 40)
    log.sequencer().drain(log.controller_id)
    change_to(log.url, "0010")
    change_to(log.url, HEAD, command.upgrade)
    indexes = log.ask(
        "SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = 'vault.audit_lookup'::regclass AND indisvalid ORDER BY 1"
    )
    parts = log.ask(
        "SELECT count(*), count(*) FILTER (WHERE indisvalid) FROM pg_index WHERE indrelid = 'vault.audit_lookup_first'::regclass"
    )
    all_of_them = len(audit_lookup.indexes) + 1  # and the primary key
    assert (len(indexes), parts) == (all_of_them, [(all_of_them, all_of_them)])


def test_a_batch_reads_the_newest_partition_alone(log: Log) -> None:
    """What the tree grows from is asked for by position: no other partition is touched."""
    about = {"controller": log.controller_id, "era": 1, "first": 256, "size": 300}
    with log.sequencing.transaction(log.controller_id) as rows:
        plan = sequencing._cursor(rows).execute("EXPLAIN (ANALYZE) " + sequencing._LAST_LEAVES, about).fetchall()
    scans = [line for (line,) in plan if "Scan" in line and "never executed" not in line]
    assert len(scans) == 1
    assert "audit_entry_first" in scans[0]


def test_the_doctor_says_when_partitions_are_behind(log: Log) -> None:
    def behind() -> list[str]:
        with log.app.snapshot(EVERY_CONTROLLER) as rows:
            return sorted(str(one) for one in rows.execute(examine._BEHIND).scalars())

    assert behind() == []
    written(log, now=lambda: now() + IN_A_YEAR)
    log.sequencer().drain(log.controller_id)
    assert behind() == ["audit_detail_rest holds rows", "audit_lookup_rest holds rows"]
    for month in months_ahead(3):
        log.ask(f"DROP TABLE vault.audit_lookup_{month}")
    assert "audit_lookup lacks the month to come" in behind()
