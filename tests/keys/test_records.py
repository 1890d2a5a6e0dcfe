"""The rows of schema `keys`, on the real server, as the application's role."""

import secrets
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from tests.keys.makers import INSTALLATION, make_permit
from vault import tables
from vault.connectors.keyrings.file import FileKeyring
from vault.database import Database
from vault.errors import Conflict, KeysUnavailable, Stale
from vault.keys import records
from vault.keys.controller_keys import ControllerKeyRows, ControllerKeys, new_controller
from vault.keys.data_keys import (
    AmendedClass,
    Changes,
    NewClass,
    NewValue,
    NewWrap,
    SealedClass,
    amend_classes,
    open_fields,
    seal_class,
)
from vault.keys.records import DataKeyRow, IndexEntry, KeyName, TokenRow

INSTANT = datetime(2026, 10, 1, 9, 30, tzinfo=UTC)
SUBJECT = "sub-1"


@pytest.fixture
def here() -> str:
    """A controller of this test's own."""
    return f"ctl-{secrets.token_hex(8)}"


@pytest.fixture
def own_keys(app: Database, keyring: FileKeyring, here: str) -> Iterator[ControllerKeys]:
    """Keys of a controller that is in the tables."""
    made = new_controller(keyring, INSTALLATION, here, 7)
    with app.transaction(here) as rows:
        records.insert_controller(rows, here, made, INSTANT)
    keys = keys_of(app, keyring)
    yield keys
    keys.close()


def keys_of(app: Database, keyring: FileKeyring) -> ControllerKeys:
    def reserve(controller_id: str, epoch: int, count: int) -> int:
        with app.transaction(controller_id) as rows:
            return records.reserve_wraps(rows, controller_id, epoch, count)

    def load(controller_id: str) -> ControllerKeyRows:
        with app.snapshot(controller_id) as rows:
            return records.load_controller(rows, controller_id)

    return ControllerKeys(keyring, load, lambda: 0.0, installation=INSTALLATION, reserve=reserve)


def sealed(keys: ControllerKeys, here: str, *holders: str, class_name: str = "contact", generation: int = 1) -> NewClass:
    values = [NewValue("email", "ada@example.org", holders[0], 1)]
    return seal_class(keys, here, SUBJECT, class_name, f"dk_{class_name}_{generation}", values, holders, generation)


def kept(app: Database, here: str, *classes: NewClass) -> None:
    with app.transaction(here) as rows:
        records.insert_classes(rows, here, SUBJECT, classes)


def begun(app: Database, here: str, epoch: int) -> None:
    """Have a controller key of another epoch in the tables; nothing opens with it."""
    with app.transaction(here) as rows:
        rows.execute(
            sa.insert(tables.controller_key),
            {
                "controller_id": here,
                "epoch": epoch,
                "state": "open",
                "blob": b"-",
                "commit": b"-",
                "wraps_reserved": 0,
                "created_at": INSTANT,
            },
        )


def holders(app: Database, here: str) -> list[tuple[str, str]]:
    wrap = tables.data_key_wrap.c
    asking = sa.select(wrap["class"], wrap.holder_id).where(wrap.controller_id == here).order_by(wrap["class"], wrap.holder_id)
    with app.snapshot(here) as rows:
        return [(row[0], row[1]) for row in rows.execute(asking)]


def classes(app: Database, here: str) -> list[str]:
    with app.transaction(here) as rows:
        return [row.class_name for row in records.lock_data_keys(rows, here, SUBJECT)]


# --- controllers ---


def test_a_controllers_rows_come_back_and_open(app: Database, own_keys: ControllerKeys, here: str):
    with app.snapshot(here) as rows:
        found = records.load_controller(rows, here)
    assert [(row.epoch, row.state, row.wraps_reserved) for row in found.keys] == [(7, "open", 7)]
    assert own_keys.current(here)[0] == 7
    assert own_keys.secret(here, "index").version == 1


def test_wraps_are_reserved_in_the_row(app: Database, own_keys: ControllerKeys, here: str):
    with app.transaction(here) as rows:
        assert records.reserve_wraps(rows, here, 7, 65_536) == 65_543
        assert records.reserve_wraps(rows, here, 7, 65_536) == 131_079
        with pytest.raises(KeysUnavailable):
            records.reserve_wraps(rows, here, 8, 65_536)


def test_another_controllers_rows_are_not_there(app: Database, own_keys: ControllerKeys, here: str):
    with app.snapshot(f"{here}-other") as rows:
        found = records.load_controller(rows, here)
    assert (list(found.keys), list(found.secrets)) == ([], [])


# --- data keys and their wraps ---


def test_what_was_sealed_opens_from_its_rows(app: Database, own_keys: ControllerKeys, here: str):
    made = sealed(own_keys, here, "agr-1", "agr-2")
    kept(app, here, made)
    with app.transaction(here) as rows:
        assert records.lock_data_keys(rows, here, SUBJECT) == [
            DataKeyRow("contact", 1, "dk_contact_1", made.manifest, 1, "current")
        ]
        wrap = tables.data_key_wrap
        found = {row.holder_id: (row.epoch, row.wrap) for row in rows.execute(sa.select(wrap).where(wrap.c.controller_id == here))}
    read = SealedClass(here, SUBJECT, "contact", 1, made.commit, made.manifest, made.frame, found)
    opened = open_fields(own_keys, make_permit({"email": "agr-2"}, controller_id=here), [read], at=0.0)
    assert opened["email"].value == "ada@example.org"


def test_nothing_to_keep_is_no_statement(app: Database, here: str):
    with app.transaction(here) as rows:
        records.insert_classes(rows, here, SUBJECT, [])
        records.insert_wraps(rows, here, SUBJECT, [])
        records.insert_indexes(rows, here, SUBJECT, [])
    assert classes(app, here) == []


def test_ending_an_agreement_deletes_its_wraps_in_every_epoch_and_no_others(app: Database, own_keys: ControllerKeys, here: str):
    kept(app, here, sealed(own_keys, here, "agr-1", "agr-2"), sealed(own_keys, here, "agr-1", class_name="financial"))
    begun(app, here, 8)
    with app.transaction(here) as rows:
        records.insert_wraps(rows, here, SUBJECT, [NewWrap("contact", 1, "agreement", "agr-1", 8, bytes(67))])
        records.insert_wraps(rows, here, SUBJECT, [NewWrap("contact", 1, "hold", "agr-1", 7, bytes(67))])
    with app.transaction(here) as rows:
        assert records.delete_wraps(rows, here, SUBJECT, "agr-1") == 3
    assert holders(app, here) == [("contact", "agr-1"), ("contact", "agr-2")]


def test_a_data_key_goes_with_its_last_wrap(app: Database, own_keys: ControllerKeys, here: str):
    kept(app, here, sealed(own_keys, here, "agr-1", "agr-2"), sealed(own_keys, here, "agr-1", class_name="financial"))
    with app.transaction(here) as rows:
        records.delete_wraps(rows, here, SUBJECT, "agr-1")
        assert records.delete_unheld(rows, here, SUBJECT) == [KeyName("financial", 1, "dk_financial_1")]
    assert classes(app, here) == ["contact"]


def test_a_dependent_agreement_keeps_no_key_alive(app: Database, own_keys: ControllerKeys, here: str):
    kept(app, here, sealed(own_keys, here, "agr-1", "agr-9"), sealed(own_keys, here, "agr-2", "agr-9", class_name="financial"))
    with app.transaction(here) as rows:
        records.delete_wraps(rows, here, SUBJECT, "agr-1")
        assert records.delete_unheld(rows, here, SUBJECT, ["agr-9"]) == [KeyName("contact", 1, "dk_contact_1")]
    assert holders(app, here) == [("financial", "agr-2"), ("financial", "agr-9")]


def test_a_hold_keeps_a_key_alive(app: Database, own_keys: ControllerKeys, here: str):
    kept(app, here, sealed(own_keys, here, "agr-1"))
    with app.transaction(here) as rows:
        records.insert_wraps(rows, here, SUBJECT, [NewWrap("contact", 1, "hold", "hld-1", 7, bytes(67))])
        records.delete_wraps(rows, here, SUBJECT, "agr-1")
        assert records.delete_unheld(rows, here, SUBJECT, ["hld-1"]) == []


def test_what_only_holds_keep_is_archived_and_loses_its_dependent_wraps(app: Database, own_keys: ControllerKeys, here: str):
    kept(app, here, sealed(own_keys, here, "agr-9"), sealed(own_keys, here, "agr-2", "agr-9", class_name="financial"))
    with app.transaction(here) as rows:
        records.insert_wraps(rows, here, SUBJECT, [NewWrap("contact", 1, "hold", "agr-7", 7, bytes(67))])
        assert records.archive_held(rows, here, SUBJECT, ["agr-9"]) == [KeyName("contact", 1, "dk_contact_1")]
        assert records.archive_held(rows, here, SUBJECT, ["agr-9"]) == []  # once is enough
        assert records.latest_generations(rows, here, SUBJECT) == {"contact": 1, "financial": 1}
    assert holders(app, here) == [("contact", "agr-7"), ("financial", "agr-2"), ("financial", "agr-9")]


def test_each_generation_is_held_on_its_own(app: Database, own_keys: ControllerKeys, here: str):
    kept(app, here, sealed(own_keys, here, "agr-1"), sealed(own_keys, here, "agr-2", generation=2))
    with app.transaction(here) as rows:
        records.delete_wraps(rows, here, SUBJECT, "agr-1")
        assert records.delete_unheld(rows, here, SUBJECT) == [KeyName("contact", 1, "dk_contact_1")]


def test_a_withdrawal_that_waits_for_a_rewrap_leaves_no_wrap(app: Database, own_keys: ControllerKeys, here: str):
    kept(app, here, sealed(own_keys, here, "agr-1"))
    begun(app, here, 8)
    locked, waited = threading.Event(), threading.Event()

    def rewrap() -> None:
        with app.transaction(here) as rows:
            records.lock_data_keys(rows, here, SUBJECT)
            locked.set()
            waited.wait(0.3)  # the withdrawal is at the lock by then
            records.delete_wraps(rows, here, SUBJECT, "agr-1")
            records.insert_wraps(rows, here, SUBJECT, [NewWrap("contact", 1, "agreement", "agr-1", 8, bytes(67))])

    job = threading.Thread(target=rewrap)
    job.start()
    assert locked.wait(10)
    with app.transaction(here) as rows:
        records.lock_data_keys(rows, here, SUBJECT)
        assert records.delete_wraps(rows, here, SUBJECT, "agr-1") == 1
    job.join(10)
    assert holders(app, here) == []


# --- amending ---


def amending(keys: ControllerKeys, here: str, made: NewClass) -> AmendedClass:
    wraps = {wrap.holder_id: (wrap.epoch, wrap.wrap) for wrap in made.wraps}
    read = SealedClass(here, SUBJECT, "contact", 1, made.commit, made.manifest, made.frame, wraps)
    change = Changes([NewValue("phone", "+390212345678", "agr-1", 2)])
    (amended,) = amend_classes(
        keys, make_permit({"~contact": "agr-1"}, controller_id=here), [read], {"contact": change}, {"contact": "agr-1"}, at=0.0
    )
    return amended


def test_amending_moves_manifest_and_count(app: Database, own_keys: ControllerKeys, here: str):
    made = sealed(own_keys, here, "agr-1")
    kept(app, here, made)
    amended = amending(own_keys, here, made)
    with app.transaction(here) as rows:
        records.amend_data_key(rows, here, SUBJECT, amended)
        (row,) = records.lock_data_keys(rows, here, SUBJECT)
    assert (row.manifest, row.seals) == (amended.manifest, 2)


def test_of_two_amendments_of_one_frame_the_second_is_stale(app: Database, own_keys: ControllerKeys, here: str):
    made = sealed(own_keys, here, "agr-1")
    kept(app, here, made)
    one, other = amending(own_keys, here, made), amending(own_keys, here, made)
    with app.transaction(here) as rows:
        records.amend_data_key(rows, here, SUBJECT, one)
        with pytest.raises(Stale):
            records.amend_data_key(rows, here, SUBJECT, other)


def test_a_key_that_is_not_current_seals_no_more(app: Database, own_keys: ControllerKeys, here: str):
    made = sealed(own_keys, here, "agr-1")
    kept(app, here, made)
    with app.transaction(here) as rows:
        rows.execute(sa.update(tables.data_key).where(tables.data_key.c.controller_id == here).values(state="draining"))
        with pytest.raises(Stale):
            records.amend_data_key(rows, here, SUBJECT, amending(own_keys, here, made))


def test_a_data_key_stops_at_2_to_the_24_seals(app: Database, own_keys: ControllerKeys, here: str):
    made = replace(sealed(own_keys, here, "agr-1"), seals=2**24 - 1)
    kept(app, here, made)
    amended = amending(own_keys, here, made)

    def write() -> None:
        with app.transaction(here) as rows:
            records.amend_data_key(rows, here, SUBJECT, replace(amended, seals=2))

    with pytest.raises(Conflict):
        write()
    with app.transaction(here) as rows:
        records.amend_data_key(rows, here, SUBJECT, amended)
        assert records.lock_data_keys(rows, here, SUBJECT)[0].seals == 2**24


# --- audit keys, indexes, tokens ---


def test_an_audit_key_is_kept_once(app: Database, here: str):
    begun(app, here, 7)

    def keep() -> None:
        with app.transaction(here) as rows:
            records.insert_audit_key(rows, here, SUBJECT, 7, bytes(67))

    keep()
    with pytest.raises(Conflict):
        keep()


ENTRIES = [IndexEntry("email", 1, bytes(16)), IndexEntry("email", 2, b"2" * 16), IndexEntry("phone", 1, b"p" * 16)]


def test_a_value_is_found_by_any_of_its_versions(app: Database, here: str):
    with app.transaction(here) as rows:
        records.insert_indexes(rows, here, "sub-2", ENTRIES)
        records.insert_indexes(rows, here, SUBJECT, [*ENTRIES[:1], *ENTRIES[2:]])
        records.insert_indexes(rows, here, SUBJECT, ENTRIES[:1])
    with app.snapshot(here) as rows:
        assert records.look_up(rows, here, "email", {1: bytes(16), 2: b"2" * 16}) == ["sub-1", "sub-2"]
        assert records.look_up(rows, here, "email", {2: b"2" * 16}) == ["sub-2"]
        assert records.look_up(rows, here, "email", {1: b"2" * 16}) == []
        assert records.look_up(rows, here, "email", {}) == []


def test_indexes_go_by_name_and_subject(app: Database, here: str):
    with app.transaction(here) as rows:
        for subject_id in ("sub-1", "sub-2"):
            records.insert_indexes(rows, here, subject_id, ENTRIES)
        records.delete_indexes(rows, here, SUBJECT, ["email"])
        records.delete_indexes(rows, here, SUBJECT, [])
        assert records.look_up(rows, here, "email", {1: bytes(16), 2: b"2" * 16}) == ["sub-2"]
        assert records.look_up(rows, here, "phone", {1: b"p" * 16}) == ["sub-1", "sub-2"]


def test_a_unique_value_is_decided_by_one_transaction_at_a_time(app: Database, here: str):
    order: list[str] = []
    other_begun = threading.Event()

    def second() -> None:
        with app.transaction(here) as rows:
            other_begun.set()
            records.lock_value(rows, here, "tax_code", bytes(16))
            order.append("second")

    waiting = threading.Thread(target=second)
    with app.transaction(here) as rows:
        records.lock_value(rows, here, "tax_code", bytes(16))
        waiting.start()
        assert other_begun.wait(10)
        time.sleep(0.1)
        order.append("first")
        records.lock_value(rows, here, "tax_code", b"\1" * 16)
    waiting.join(10)
    assert order == ["first", "second"]


def a_token(serial: int, agreement_id: str = "agr-1", expires_at: datetime | None = None) -> TokenRow:
    return TokenRow(secrets.token_bytes(32), SUBJECT, "iban", "helpdesk", agreement_id, serial, expires_at)


def ends_of(app: Database, here: str) -> dict[int, datetime | None]:
    token = tables.token.c
    with app.snapshot(here) as rows:
        return {
            row[0]: row[1] for row in rows.execute(sa.select(token.serial, token.expires_at).where(token.controller_id == here))
        }


def test_a_token_is_kept_once_and_ends_with_its_agreement_its_serial_staying_taken(app: Database, here: str):
    shown = a_token(1)
    with app.transaction(here) as rows:
        records.keep_token(rows, here, shown)
        records.keep_token(rows, here, shown)
        records.keep_token(rows, here, a_token(2, "agr-2"))
    assert ends_of(app, here) == {1: None, 2: None}
    with app.transaction(here) as rows:
        records.end_tokens(rows, here, SUBJECT, "agr-1", INSTANT)
        records.end_tokens(rows, here, "sub-2", "agr-2", INSTANT)
    assert ends_of(app, here) == {1: INSTANT, 2: None}


def test_a_token_that_ended_before_keeps_its_end(app: Database, here: str):
    with app.transaction(here) as rows:
        records.keep_token(rows, here, a_token(1, expires_at=INSTANT))
        records.keep_token(rows, here, a_token(2, expires_at=INSTANT + timedelta(days=2)))
        records.end_tokens(rows, here, SUBJECT, "agr-1", INSTANT + timedelta(days=1))
    assert ends_of(app, here) == {1: INSTANT, 2: INSTANT + timedelta(days=1)}
