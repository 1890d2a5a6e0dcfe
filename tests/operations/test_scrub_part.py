"""The nightly part of a long log: read from the last 65,536 on, what is before taken as its tiles have it.

One log: real entries, then 65,536 of the loader, then real ones by the same writers about the same person.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from benchmarks.trail_log import Keys, Made, load
from tests.conftest import making_controllers
from tests.operations.officers import Office, make_office
from tests.tampered import Tampered, other_octet, tampered
from vault.audit import entry
from vault.audit.checkpoint import origin
from vault.audit.merkle import leaf_hash
from vault.audit.pruned import STEP
from vault.audit.scan import Report
from vault.database import Database
from vault.fitting import CHECKPOINT_KEY, mac_of, mac_of_those_there
from vault.opening import Opened
from vault.operations.verify_trail import _size, verify_recent, verify_trail


@dataclass(frozen=True)
class Long:
    """A log of which the last few entries are of today."""

    opened: Opened
    office: Office
    since: datetime
    entry_id: str  # of a reading since then

    def read(self, read: Database | None = None) -> Report:
        """Verify what was sequenced since."""
        opened = self.opened
        key = opened.keyring.public_key(CHECKPOINT_KEY)
        return verify_recent(
            opened.vault, read or opened.sequencing, self.office.controller_id, opened.state, key,
            mac_of_those_there(opened.keyring), self.since,
        )  # fmt: skip

    def verify(self, read: Database) -> Report:
        """Verify everything."""
        opened, keyring = self.opened, self.opened.keyring
        key = keyring.public_key(CHECKPOINT_KEY)
        return verify_trail(opened.vault, read, self.office.controller_id, opened.state, key, mac_of_those_there(keyring))

    def tampered(self, statement: str) -> AbstractContextManager[Tampered]:
        """Do it as whoever owns the database."""
        return tampered(self.opened, self.office.controller_id, statement.replace("%", self.entry_id))


@pytest.fixture(scope="module")
def long(opened: Opened) -> Iterator[Long]:
    with making_controllers(opened) as make:
        office = make_office(opened, make())
        controller_id = office.controller_id
        office.read()
        opened.trail.settle(controller_id)
        with psycopg.connect(opened.addresses.url, autocommit=True) as owner:
            asked = "SELECT leaf FROM vault.audit_entry WHERE controller_id = %s ORDER BY position"
            known = [leaf_hash(bytes(leaf)) for (leaf,) in owner.execute(asked, (controller_id,))]
            secret = opened.vault.keys.secret(controller_id, "audit")
            name = origin(opened.vault.settings.host, controller_id, 1)
            mac = mac_of(opened.keyring)
            keys = Keys(
                controller_id, name, lambda writer: mac("audit-mac/1", entry.first_mac_message(controller_id, writer)), secret.key,
                secret.version,
            )  # fmt: skip
            made = Made(keys, STEP - len(known), known, datetime.now(UTC) - timedelta(days=2), people=200)
            load(owner, made, made.total, lambda _: None)
        opened.trail.settle(controller_id)
        since = datetime.now(UTC)
        entry_id = office.read()
        office.read("t2", office.other)
        opened.trail.settle(controller_id)
        yield Long(opened, office, since, entry_id)


def test_the_part_is_read_with_everything_there_is_and_holds(long: Long) -> None:
    report = long.read()
    assert (report.findings, report.not_checked, report.first) == ((), (), STEP)
    assert report.size > STEP
    assert report.checkpoints  # one judged what was taken from the tiles


def test_where_the_signers_state_does_not_say_how_long_it_was_everything_is_read() -> None:
    assert [_size(notes) for notes in ([], ["not a note"])] == [0, 0]


ATTACKS = {
    "details deleted": ("DELETE FROM vault.audit_detail WHERE @ AND entry_id = '%'", "details"),
    "details edited": ("UPDATE vault.audit_detail SET sealed = sha256(sealed) WHERE @ AND entry_id = '%'", "details"),
    "details moved to last year": ("UPDATE vault.audit_detail SET at = 5 WHERE @ AND entry_id = '%'", "details"),
    "a chain forged": ("UPDATE vault.audit_detail SET chain_previous = '\\x00' WHERE @ AND entry_id = '%'", "subject-chain"),
    "look-up row deleted": ("DELETE FROM vault.audit_lookup WHERE @ AND entry_id = '%'", "lookup"),
    "look-up row edited": ("UPDATE vault.audit_lookup SET caller_id = 'demo' WHERE @ AND entry_id = '%'", "lookup"),
    "a leaf edited": (f"UPDATE vault.audit_entry SET leaf = leaf || '\\x20' WHERE @ AND position = {STEP + 1}", "mac"),
    "a leaf deleted": (f"DELETE FROM vault.audit_entry WHERE @ AND position = {STEP}", "position"),
    "the tree before": ("UPDATE vault.audit_tile SET hashes = hashes || hashes WHERE @ AND level = 1", "tile"),
    "the tree before, made to fit": (
        f"UPDATE vault.audit_tile SET hashes = {other_octet('hashes', 39)} WHERE @ AND level = 1", "root",
    ),
    "a writer's key that is not there": ("UPDATE vault.audit_writer SET mac_key = 9 WHERE @", "mac"),
    "the version of a writer's key": ("DELETE FROM vault.audit_writer WHERE @", "writer-chain"),
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_was_done_to_the_part_is_found(long: Long, attack: str) -> None:
    statement, check = ATTACKS[attack]
    with long.tampered(statement) as read:
        assert check in {one.check for one in long.read(read).findings}


def test_what_lies_before_is_the_weekly_pass_to_find(long: Long) -> None:
    """Said in docs/trail.md, so held here."""
    edited = "UPDATE vault.audit_lookup SET outcome = 'failed' WHERE @ AND position = 7 AND outcome <> 'failed'"
    with long.tampered(edited) as read:
        assert long.read(read).findings == ()
        assert "lookup" in {one.check for one in long.verify(read).findings}
