"""Many rows at once, under row-level security; and what is known of a customer number."""

from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from vault import tables
from vault.database import Database
from vault.errors import DatabaseUnavailable
from vault.importing import records
from vault.importing.records import KnownLine
from vault.keys.records import lock_value

AT = datetime(2026, 11, 22, 9, tzinfo=UTC)


def index_rows(controller_id: str, count: int) -> list[dict[str, Any]]:
    return [
        {
            "controller_id": controller_id,
            "index_name": "customer_number",
            "version": 1,
            "bidx": bytes([n]) * 16,
            "subject_id": f"sub_{n}",
        }
        for n in range(count)
    ]


def test_rows_of_every_type_arrive_as_they_were(app: Database) -> None:
    subject = {
        "controller_id": "copy-1", "subject_id": "sub_1", "version": 1, "state": "active", "restricted": ["email", "iban"],
        "objected": True, "objected_marketing": False, "time_barred_at": None, "minor": "adult", "created_at": AT,
        "entry_id": "ent_1",
    }  # fmt: skip
    event = {
        "controller_id": "copy-1", "event_id": "evt_1", "name": "subject:enrolled", "data": {"subject_id": "sub_1"}, "at": AT,
        "sent_at": None, "entry_id": "ent_1",
    }  # fmt: skip
    agreement = {
        "controller_id": "copy-1", "subject_id": "sub_1", "agreement_id": "agr_1", "template_id": "retail", "template_version": 1,
        "template_digest": b"\x00\xff", "text_language": "it", "text_sha256": b"", "valid_from": AT, "valid_until": None,
        "supersedes": None, "entry_id": "ent_1",
    }  # fmt: skip
    made = {tables.subject: subject, tables.event: event, tables.agreement: agreement}
    with app.transaction("copy-1") as transaction:
        for table, row in made.items():
            records.insert_many(transaction, table, [row])
        records.insert_many(transaction, tables.blind_index, [])
    with app.snapshot("copy-1") as rows:
        for table, row in made.items():
            (found,) = rows.execute(sa.select(table)).mappings()
            assert {name: found[name] for name in row} == row


def test_no_row_of_another_controller_can_be_slipped_in(app: Database) -> None:
    with pytest.raises(DatabaseUnavailable), app.transaction("copy-2") as transaction:
        records.insert_many(transaction, tables.blind_index, index_rows("copy-3", 1))
    for controller_id in ("copy-2", "copy-3"):
        with app.snapshot(controller_id) as rows:
            assert not rows.execute(sa.select(tables.blind_index)).all()


def test_what_fails_leaves_nothing(app: Database) -> None:
    twice = [*index_rows("copy-4", 3), *index_rows("copy-4", 1)]
    with pytest.raises(Exception), app.transaction("copy-4") as transaction:  # noqa: B017 whatever the driver calls it
        records.insert_many(transaction, tables.blind_index, twice)
    with app.snapshot("copy-4") as rows:
        assert not rows.execute(sa.select(tables.blind_index)).all()


def test_a_known_number_tells_whose_it_is_and_what_an_import_last_said(app: Database) -> None:
    said = {
        "controller_id": "copy-5", "subject_id": "sub_0", "digest_version": 1, "digest": b"d" * 32, "file_sha256": b"f" * 32,
        "line": 7, "entry_id": "ent_1",
    }  # fmt: skip
    with app.transaction("copy-5") as transaction:
        records.insert_many(transaction, tables.blind_index, index_rows("copy-5", 2))
        records.insert_many(transaction, tables.import_line, [said])

    def known() -> dict[bytes, KnownLine]:
        with app.snapshot("copy-5") as rows:
            return records.known_lines(rows, "copy-5", "customer_number", 1, [bytes([n]) * 16 for n in range(3)])

    assert known() == {bytes(16): KnownLine("sub_0", 1, b"d" * 32, b"f" * 32, 7), b"\x01" * 16: KnownLine("sub_1")}
    with app.transaction("copy-5") as transaction:
        records.mark_seen(transaction, "copy-5", b"g" * 32, {"sub_0": 9, "sub_1": 10})
        records.mark_seen(transaction, "copy-5", b"g" * 32, {})
    assert known()[bytes(16)] == KnownLine("sub_0", 1, b"d" * 32, b"g" * 32, 9)
    with app.snapshot("copy-5") as rows:
        assert records.known_lines(rows, "copy-5", "customer_number", 2, [bytes(16)]) == {}


def test_an_import_and_an_enrolment_of_one_number_wait_for_each_other(app: Database) -> None:
    numbers = [bytes([n]) * 16 for n in range(5)]
    with app.transaction("copy-6") as importing:
        records.lock_values(importing, "copy-6", "customer_number", numbers)
        with pytest.raises(DatabaseUnavailable), app.transaction("copy-6") as enrolling:  # noqa: PT012 the second one waits
            enrolling.execute(sa.text("SET LOCAL lock_timeout = '100ms'"))
            lock_value(enrolling, "copy-6", "customer_number", numbers[3])
    with app.transaction("copy-6") as enrolling:
        lock_value(enrolling, "copy-6", "customer_number", numbers[3])
