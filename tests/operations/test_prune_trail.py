"""What is left of a pruned trail is proved as before; and nothing but proper pruning passes for it.

One log of seventy thousand entries, older than two years, pruned once and shared by what is asked of it afterwards.
"""

import json
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection

from benchmarks.trail_log import Keys, Made, load
from tests.conftest import making_controllers
from tests.tampered import Tampered, other_octet, tampered
from vault import breaches
from vault.audit import entry, prune_records
from vault.audit.affected_records import evidence, first_position
from vault.audit.chain_records import own_entry
from vault.audit.checkpoint import Checkpoint, Note, origin, parse_note, signed_by
from vault.audit.entry import Draft
from vault.audit.eras import kept_of
from vault.audit.filters import Place, Window
from vault.audit.merkle import Tree, leaf_hash
from vault.audit.proofs import extends, includes
from vault.audit.pruned import OPERATION, STEP, Pruned
from vault.audit.receipts import Promises, Receipt, receipt_message
from vault.audit.records import Head, entry_by_id, head, leaf_at, leaves, policy_leaves, pruned_eras, pruned_log, tile_reader
from vault.audit.review import Asked, Proposed, proposals
from vault.audit.scan import GivenNote, Report
from vault.audit.signer import stand
from vault.audit.verify import verify_log
from vault.breaches import ListRow, PartRow
from vault.database import Database
from vault.errors import Conflict, DatabaseUnavailable, InvalidValue, Unreadable
from vault.fitting import CHECKPOINT_KEY
from vault.notes import VerifierKey
from vault.opening import Opened
from vault.operations import prune_trail as pruning
from vault.operations.in_force import _archived, in_force
from vault.operations.prune_trail import Pruning
from vault.operations.verify_trail import scrub_keys
from vault.policy.retention import BEFORE

ENTRIES = STEP + 4_000
KEPT = BEFORE["trail"].days
LONG_AGO = KEPT + timedelta(days=2)


@dataclass(frozen=True)
class Long:
    """A controller's log before and after it is pruned."""

    opened: Opened
    controller_id: str
    archive: Path
    before: list[bytes]  # every leaf, in order
    notes: list[str]
    pruned: Pruning | None = None

    @property
    def origin(self) -> str:
        return origin(self.opened.vault.settings.host, self.controller_id, 1)

    def note(self) -> Note:
        text = self.opened.state.last(self.origin)
        assert text is not None
        return parse_note(text)

    def verify(self, read: Database | None = None, *, beside: bool = False, promises: Promises | None = None) -> Report:
        """Verify all but what is sealed: the loader fills that with random bytes. `beside`: look-up rows and details too."""
        keyring = self.opened.keyring
        notes = [GivenNote("kept", one) for one in self.opened.state.notes(self.origin)]
        with (read or self.opened.sequencing).transaction(self.controller_id) as rows:
            return verify_log(
                rows, self.controller_id, origin_host=self.opened.vault.settings.host, notes=notes,
                vkey=lambda name: VerifierKey(name, keyring.public_key(CHECKPOINT_KEY)),
                mac=lambda name, message: keyring.mac(name, [message])[0], alone=True,
                keys=scrub_keys(self.opened.vault, self.controller_id) if beside else None, promises=promises,
            )  # fmt: skip

    def tampered(self, *statements: str, role: str = "riserbo_sequencer") -> AbstractContextManager[Tampered]:
        return tampered(self.opened, self.controller_id, *statements, role=role)

    def attack(self, *statements: str) -> None:
        with psycopg.connect(self.opened.addresses.url, autocommit=True) as connection:
            connection.execute("SET session_replication_role = replica")
            for statement in statements:
                connection.execute(statement.replace("@", f"controller_id = '{self.controller_id}'").encode())


def leaves_of(opened: Opened, controller_id: str) -> list[bytes]:
    with psycopg.connect(opened.addresses.url) as connection:
        found = connection.execute(
            "SELECT leaf FROM vault.audit_entry WHERE controller_id = %s ORDER BY position", (controller_id,)
        ).fetchall()
    return [bytes(leaf) for (leaf,) in found]


@pytest.fixture(scope="module")
def long(opened: Opened, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Long]:
    with making_controllers(opened) as make:
        controller_id = make()
        opened.trail.settle(controller_id)
        known = [leaf_hash(leaf) for leaf in leaves_of(opened, controller_id)]
        secret = opened.vault.keys.secret(controller_id, "audit")
        keys = Keys(
            controller_id,
            origin(opened.vault.settings.host, controller_id, 1),
            lambda writer: opened.keyring.mac("audit-mac/1", [entry.first_mac_message(controller_id, writer)])[0],
            secret.key,
            secret.version,
        )
        made = Made(keys, ENTRIES, known, datetime.now(UTC) - LONG_AGO)
        with psycopg.connect(opened.addresses.url, autocommit=True) as connection:
            load(connection, made, made.total, lambda _: None)
        opened.trail.settle(controller_id)
        yield Long(opened, controller_id, tmp_path_factory.mktemp("archive"), leaves_of(opened, controller_id), [])


@pytest.fixture(scope="module")
def pruned(long: Long) -> Long:
    assert long.verify().ok
    with pytest.raises(InvalidValue):
        long.opened.prune(long.controller_id, datetime.now(UTC) - KEPT + timedelta(days=1), long.archive)
    assert long.opened.prune(long.controller_id, datetime.now(UTC) - 2 * LONG_AGO, long.archive) is None
    crossing = f"UPDATE vault.audit_detail SET chain_number = 4 WHERE @ AND position > {STEP} AND position < {STEP + 3000}"
    long.attack(crossing + " AND stream = 'open'")  # the loader begins a chain with each entry
    _expect_no_list_cut_short(long)
    done = long.opened.prune(long.controller_id, datetime.now(UTC) - KEPT - timedelta(seconds=1), long.archive)
    long.opened.trail.settle(long.controller_id)
    with psycopg.connect(long.opened.addresses.url, autocommit=True) as owner:  # as the server does by itself within a minute
        owner.execute("VACUUM (ANALYZE) vault.audit_entry, vault.audit_lookup, vault.audit_detail, vault.audit_tile")
    assert long.opened.trail_health.state(long.controller_id).closed == ()  # L, before anybody attacks what is left
    with long.opened.vault.database.snapshot(long.controller_id) as rows:
        assert not breaches.unfinished_lists(rows, long.controller_id)
        assert [one.bound for one in pruned_eras(rows, long.controller_id)] == [STEP]
    return Long(long.opened, long.controller_id, long.archive, long.before, long.notes, done)


def _expect_no_list_cut_short(long: Long) -> None:
    """While a list of people affected waits for its verdict nothing is pruned: it would differ, and nobody did anything.

    Nor when it was asked for after the look for such, before anything is deleted: seen failing while that was looked for once. Then
    an entry says that the pruning on record did not happen: seen failing without.
    """
    settle = long.opened.trail.settle

    def settle_and_ask(controller_id: str) -> None:
        settle(controller_id)
        _ask(long, "lst_y")

    _ask(long, "lst_x")
    for list_id, meanwhile in (("lst_x", settle), ("lst_y", settle_and_ask)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(long.opened.trail, "settle", meanwhile)
            with pytest.raises(Conflict, match="lists-pending"):
                long.opened.prune(long.controller_id, datetime.now(UTC) - KEPT - timedelta(seconds=1), long.archive)
        long.opened.trail.settle(long.controller_id)
        left = leaves_of(long.opened, long.controller_id)
        assert left[: len(long.before)] == long.before
        said = [one for one in map(json.loads, left[len(long.before) :]) if one["operation"] == OPERATION]
        assert [one["outcome"] for one in said] == {"lst_x": [], "lst_y": ["done", "failed"]}[list_id]
        assert not said or (said[1]["ref"], "about" in said[1]) == (said[0]["id"], False)
        part = PartRow(0, 1, 0, STEP + 1, b"", (), "confirmed", datetime.now(UTC))
        with long.opened.vault.database.transaction(long.controller_id) as rows:
            breaches.add_part(rows, long.controller_id, list_id, part)


def _ask(long: Long, list_id: str) -> None:
    asked = ListRow("bre_x", list_id, {}, 1, STEP + 1, bytes(32), None, datetime.now(UTC), "dpo", "ent_x")
    with long.opened.vault.database.transaction(long.controller_id) as rows:
        breaches.add_list(rows, long.controller_id, asked)


def test_whole_stretches_go_and_the_rest_is_verified(pruned: Long) -> None:
    assert pruned.pruned is not None
    assert (pruned.pruned.first, pruned.pruned.bound) == (0, STEP)
    pruned.opened.trail.settle(pruned.controller_id)
    left = leaves_of(pruned.opened, pruned.controller_id)
    assert left[: len(pruned.before) - STEP] == pruned.before[STEP:]
    report = pruned.verify()
    assert report.ok, report.findings
    assert report.size == STEP + len(left)
    assert report.root == pruned.note().checkpoint.root


def test_proper_pruning_is_accused_by_no_check(pruned: Long) -> None:
    """The checks of the table of attacks; what is sealed (C, X) `tests/audit/test_pruned.py` follows over a bound."""
    opened, signing = pruned.opened, pruned.opened.vault.signing
    opened.trail.settle(pruned.controller_id)
    key = VerifierKey(pruned.origin, signing.checkpoint_key)
    officers = next(one for one in map(parse_note, opened.state.notes(pruned.origin)) if one.checkpoint.size > STEP).checkpoint
    with opened.vault.database.snapshot(pruned.controller_id) as rows:
        standing = stand(rows, pruned.controller_id, opened.vault.settings.host, opened.state, lambda _: key)
        assert standing is not None
        tree = Tree(standing.head.size, tile_reader(rows, pruned.controller_id, standing.head))
        root, path = tree.root(), tree.consistency(officers.size)
    assert officers.size < standing.head.size
    assert signed_by(pruned.note(), key)  # S
    assert extends(officers.root, officers.size, root, standing.head.size, path)  # D, H
    assert standing.fault is None  # T
    for leaf, not_checked in ((pruned.before[STEP + 40], ()), (pruned.before[40], ("receipts",))):  # the archive answers for these
        at, hashed = json.loads(leaf)["at"], leaf_hash(leaf)
        held = Receipt(at, hashed, signing.sign_receipt(receipt_message(pruned.origin, hashed, at))).text
        report = pruned.verify(promises=Promises((pruned.origin,), signing.receipt_key, int(time.time() * 1000)).hold([held]))
        assert (report.findings, report.not_checked) == ((), not_checked)  # R, W, P


def test_a_pruning_whose_end_was_not_heard_of_is_not_said_to_have_failed(pruned: Long) -> None:
    """Its transaction committed, and the connection was lost. Seen failing without the look whether it happened."""
    draft = Draft(entry_id="ent_x", operation=OPERATION, outcome="done", kind="operator")
    for bound, more in ((STEP, 0), (2 * STEP, 1)):
        was = _failed(pruned)
        telling = pruning._telling(pruned.opened.vault, pruned.controller_id, 1, draft, bound)
        with pytest.raises(DatabaseUnavailable), telling:
            raise DatabaseUnavailable
        assert _failed(pruned) == was + more


def _failed(long: Long) -> int:
    long.opened.trail.settle(long.controller_id)
    said = [json.loads(leaf) for leaf in leaves_of(long.opened, long.controller_id) if OPERATION.encode() in leaf]
    return sum(one["outcome"] == "failed" for one in said)


def test_it_goes_on_as_before(pruned: Long) -> None:
    pruned.opened.trail.settle(pruned.controller_id)
    before = pruned.note()
    pruned.opened.vault.audit.record(
        pruned.controller_id, Draft(entry_id=pruned.opened.vault.new_id("ent"), operation="evaluate", outcome="done", kind="job")
    )
    pruned.opened.trail.settle(pruned.controller_id)
    assert pruned.note().checkpoint.size > before.checkpoint.size
    assert pruned.verify().ok
    assert in_force(pruned.opened.vault.database, pruned.opened.vault.keys, pruned.controller_id).sequence == 1
    assert pruned.opened.prune(pruned.controller_id, datetime.now(UTC) - LONG_AGO, pruned.archive) is None


def test_every_entry_above_is_proved_and_none_below(pruned: Long) -> None:
    note = pruned.note().checkpoint
    with pruned.opened.vault.database.snapshot(pruned.controller_id) as rows:
        at = head(rows, pruned.controller_id)
        assert at is not None
        tree = Tree(note.size, tile_reader(rows, pruned.controller_id, at))
        for position in (*range(STEP, STEP + 300), *range(STEP + 300, note.size, 97), note.size - 1):
            leaf = leaf_at(rows, pruned.controller_id, 1, position)
            assert leaf is not None
            assert includes(note.root, note.size, position, leaf_hash(leaf), tree.inclusion(position))
        for position in (0, 1, 255, STEP - 257, STEP - 1):
            assert leaf_at(rows, pruned.controller_id, 1, position) is None
            with pytest.raises(ValueError):
                tree.inclusion(position)
        gone = json.loads(pruned.before[40])["id"]
        assert entry_by_id(rows, pruned.controller_id, gone) is None


def test_what_lies_below_the_bound_is_not_shown(pruned: Long) -> None:
    leaf = leaves_of(pruned.opened, pruned.controller_id)[0]
    moved = [f"UPDATE vault.audit_{one} SET position = 7 WHERE @ AND position = {STEP}" for one in ("entry", "detail", "lookup")]
    with pruned.tampered(*moved, role="riserbo_app") as read, read.snapshot(pruned.controller_id) as rows:
        assert leaf_at(rows, pruned.controller_id, 1, 7) is None
        assert leaves(rows, pruned.controller_id, 1, 0, 8) == []
        assert list(evidence(rows, pruned.controller_id, 1, [7])) == []
        assert [one.leaf for one in _proposed(rows, pruned.controller_id, leaf)] == [None]
        assert entry_by_id(rows, pruned.controller_id, json.loads(leaf)["id"]) is None
        assert first_position(rows, pruned.controller_id, Head(1, 2 * STEP)) == STEP + 1
    with pruned.opened.vault.database.snapshot(pruned.controller_id) as rows:
        assert entry_by_id(rows, pruned.controller_id, json.loads(leaf)["id"]) is not None


def test_nor_is_it_told_to_whom_it_is_about(pruned: Long) -> None:
    asked = """SELECT position, subject_id, entry_id FROM vault.audit_detail WHERE controller_id = %s AND stream = 'open'
        ORDER BY position LIMIT 1"""
    with psycopg.connect(pruned.opened.addresses.url) as connection:
        ((position, *who),) = connection.execute(asked, (pruned.controller_id,)).fetchall()
    moved = [
        f"UPDATE vault.audit_{one} SET position = 7 WHERE @ AND position = {position}" for one in ("entry", "detail", "lookup")
    ]

    def told(database: Database) -> bool:
        with database.snapshot(pruned.controller_id) as rows:
            return own_entry(rows, pruned.controller_id, *who) is not None

    assert told(pruned.opened.vault.database)
    with pruned.tampered(*moved, role="riserbo_app") as read:
        assert not told(read)


def test_nor_does_policy_rest_on_it(pruned: Long) -> None:
    """Seen failing with the activation counted twice: once as archived, once as there."""
    was = next(leaf for leaf in pruned.before[:STEP] if b'"policy:activated"' in leaf)
    members = json.loads(was)
    said = f"'{pruned.controller_id}', 1, 7, '\\x{was.hex()}', '', ''"
    statements = (
        f"INSERT INTO vault.audit_entry VALUES ({said})",
        "CREATE TEMPORARY TABLE lookup_below ON COMMIT DROP AS SELECT * FROM vault.audit_lookup WHERE @ LIMIT 1",
        f"UPDATE lookup_below SET at = {members['at']}, position = 7, operation = 'policy:activated'",
        "INSERT INTO vault.audit_lookup SELECT * FROM lookup_below",
    )
    with pruned.tampered(*statements, role="riserbo_app") as read, read.snapshot(pruned.controller_id) as rows:
        assert policy_leaves(rows, pruned.controller_id) == []


def _proposed(rows: Connection, controller_id: str, leaf: bytes) -> list[Proposed]:
    """Return what officers are shown of the look-up row that was moved to position 7."""
    at = json.loads(leaf)["at"]
    return proposals(rows, controller_id, Asked(Window(at, at + 1)), Place(at, 8), 25)


def test_what_policy_was_archived_is_counted_over_all_eras(pruned: Long) -> None:
    """A recovery begins an era of which nothing was pruned."""
    later = (
        "INSERT INTO vault.audit_pruned SELECT controller_id, 2, bound, about, pruned_at, entry_id FROM vault.audit_pruned WHERE @"
    )
    with pruned.opened.vault.database.snapshot(pruned.controller_id) as rows:
        assert _archived(rows, pruned.controller_id) == 1
    with pruned.tampered(later, role="riserbo_app") as read, read.snapshot(pruned.controller_id) as rows:
        assert _archived(rows, pruned.controller_id) == 2


def test_a_recovery_keeps_all_of_a_pruned_log(pruned: Long) -> None:
    """Checkpoints from below the bound have no tree any more to be compared with: they are no sign of a loss."""
    with pruned.opened.vault.database.snapshot(pruned.controller_id) as rows:
        at = head(rows, pruned.controller_id)
        assert at is not None
        tree = Tree(at.size, tile_reader(rows, pruned.controller_id, at))
        points = [Checkpoint("log", size, bytes(32)) for size in (9, STEP - 1)] + [Checkpoint("log", STEP + 5, tree.root(STEP + 5))]
        assert kept_of(at.size, tree.root, points, STEP) == at.size
        assert kept_of(at.size, tree.root, [*points, Checkpoint("log", STEP + 9, bytes(32))], STEP) == STEP + 5


def test_any_two_checkpoints_above_are_consistent(pruned: Long) -> None:
    with pruned.opened.vault.database.snapshot(pruned.controller_id) as rows:
        at = head(rows, pruned.controller_id)
        assert at is not None
        tree = Tree(at.size, tile_reader(rows, pruned.controller_id, at))
        for old in (STEP, STEP + 1, STEP + 255, STEP + 256, STEP + 3_001, at.size):
            for new in (STEP + 256, STEP + 3_001, at.size):
                if old <= new:
                    path = Tree(new, tile_reader(rows, pruned.controller_id, at)).consistency(old)
                    assert extends(tree.root(old), old, tree.root(new), new, path)


def test_the_archive_holds_the_leaves_and_says_what_they_are(pruned: Long) -> None:
    assert pruned.pruned is not None
    path = pruned.pruned.archive
    assert [bytes.fromhex(line) for line in path.read_text().splitlines()] == pruned.before[:STEP]
    told = json.loads(path.with_suffix(".json").read_text())
    assert told == {
        "origin": pruned.origin, "first": 0, "bound": STEP, "root": told["root"], "sha256": sha256(path.read_bytes()).hexdigest()
    }  # fmt: skip
    assert told["root"] == Tree(STEP, _plain(pruned.before[:STEP])).root().hex()
    assert {stat.S_IMODE(one.stat().st_mode) for one in pruned.archive.iterdir()} == {0o600}


def _plain(leaves: list[bytes]) -> Callable[[int, int], bytes]:
    from vault.audit.merkle import fold  # noqa: PLC0415 - said where it is used

    rows = [[leaf_hash(leaf) for leaf in leaves]]
    for _ in range(2):
        rows.append([fold(rows[-1][at : at + 256]) for at in range(0, len(rows[-1]), 256)])
    return lambda level, index: b"".join(rows[level][index * 256 : (index + 1) * 256])


ATTACKS = {
    "the row is gone": ("DELETE FROM vault.audit_pruned WHERE @", "position"),
    "another bound": ("UPDATE vault.audit_pruned SET bound = bound + 256 WHERE @", "prune"),
    "not in whole tiles": (
        "UPDATE vault.audit_pruned SET bound = bound + 256, about = jsonb_set(about, '{bound}', to_jsonb(bound + 256)) WHERE @",
        "prune",
    ),
    "another root": ("UPDATE vault.audit_pruned SET about = jsonb_set(about, '{root}', '\"AAAA\"') WHERE @", "prune"),
    "nothing said": ("UPDATE vault.audit_pruned SET about = '{}' WHERE @", "prune"),
    "a writer left out": ("UPDATE vault.audit_pruned SET about = jsonb_set(about, '{writers}', '{}') WHERE @", "prune"),
    "where people's chains stood left out": (
        "UPDATE vault.audit_pruned SET about = jsonb_set(about, '{people}', '[0, \"\"]') WHERE @", "prune",
    ),
    "somebody's first row filed under another": (
        f"""UPDATE vault.audit_detail SET subject_id = 'sub_x' WHERE @ AND chain_number = 4 AND position =
        (SELECT min(position) FROM vault.audit_detail WHERE @ AND chain_number = 4 AND position > {STEP})""", "prune",
    ),
    "somebody's first row gone": (
        f"DELETE FROM vault.audit_detail WHERE @ AND chain_number = 4 AND position < {STEP + 100}", "prune",
    ),
    "an entry forged below": (
        """INSERT INTO vault.audit_entry SELECT controller_id, era, 7, leaf, leaf_hash, mac FROM vault.audit_entry
        WHERE @ ORDER BY position LIMIT 1""", "prune",
    ),
    "a look-up row below": (
        f"UPDATE vault.audit_lookup SET position = 7 WHERE @ AND position = {STEP + 7}", "prune",
    ),
    "a detail row below": (f"UPDATE vault.audit_detail SET position = 7 WHERE @ AND position = {STEP + 3500}", "prune"),
    "a tile below": (
        "INSERT INTO vault.audit_tile SELECT controller_id, era, 0, 3, hashes FROM vault.audit_tile WHERE @ LIMIT 1", "prune",
    ),
    "look-up rows gone": (f"DELETE FROM vault.audit_lookup WHERE @ AND position < {STEP + 100}", "lookup"),
    "the tree below edited": (
        f"UPDATE vault.audit_tile SET hashes = {other_octet('hashes', 32)} WHERE @ AND level = 1 AND idx = 0", "prune"
    ),
    "the tree below gone": ("DELETE FROM vault.audit_tile WHERE @ AND level = 1 AND idx = 0", "tile"),
    "more deleted": (f"DELETE FROM vault.audit_entry WHERE @ AND position < {STEP + 10}", "position"),
    "the entry edited": (
        """UPDATE vault.audit_entry SET leaf = replace(encode(leaf, 'escape'), '"bound"', '"bounb"')::bytea WHERE @""",
        "prune",
    ),
}  # fmt: skip


OF_EACH_KIND = {  # each is a verification of the whole log: the others are for the drill
    *("the row is gone", "not in whole tiles", "another root", "nothing said", "somebody's first row gone"),
    *("an entry forged below", "look-up rows gone", "the tree below gone"),
}


@pytest.mark.parametrize(
    "attack", [pytest.param(one, marks=() if one in OF_EACH_KIND else pytest.mark.drill, id=one) for one in ATTACKS]
)
def test_nothing_but_proper_pruning_passes(pruned: Long, attack: str) -> None:
    statement, check = ATTACKS[attack]
    with pruned.tampered(statement) as read:
        report = pruned.verify(read, beside=check == "lookup")
    assert check in {one.check for one in report.findings}, report.findings


def test_only_below_the_bound_are_entries_deleted(pruned: Long) -> None:
    """Not even by the owner: the trigger asks where the log begins."""
    owner = Database(pruned.opened.addresses.url, "riserbo_owner")
    with owner.dedicated(pruned.controller_id) as connection, pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
        connection.execute("DELETE FROM vault.audit_entry WHERE position = %s", (STEP + 1,))
    owner.close()


def test_leaves_the_tree_was_not_made_of_are_not_archived_as_if_they_were(long: Long, tmp_path: Path) -> None:
    with making_controllers(long.opened) as make:
        other = make()
        long.opened.trail.settle(other)
        with pytest.raises(Unreadable), long.opened.vault.database.transaction(other) as rows:
            pruning._archived(rows, "host", other, Head(1, 2), (Pruned(0, b""), STEP), tmp_path, "mark")
    assert not list(tmp_path.glob("*.leaves"))


def test_an_archive_is_a_new_file_of_nobody_elses(tmp_path: Path) -> None:
    """Neither what lies there nor where a link leads is written to, and the name is there when the leaves are."""
    path = tmp_path / "kept.leaves"
    (tmp_path / "kept.leaves.part").symlink_to(tmp_path / "elsewhere")
    path.write_bytes(b"another's")
    path.chmod(0o666)
    with pruning._replacing(path, "mark") as out:
        out.write(b"leaves")
    assert not (tmp_path / "elsewhere").exists()
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"leaves", 0o600)
    pruning._expect_kept(path, sha256(b"leaves").hexdigest())
    assert [one.name for one in tmp_path.glob("*.leaves")] == ["kept.leaves"]
    with pytest.raises(Unreadable):
        pruning._expect_kept(path, sha256(b"what was written").hexdigest())


def test_a_partition_goes_when_nobody_has_a_row_in_it(clone: Callable[[], str]) -> None:
    url = clone()
    owner = Database(url, "riserbo_owner")
    row = "INSERT INTO vault.audit_entry VALUES ('one', 1, 5, '', '', '')"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(row)
    with owner.transaction("another") as rows:
        assert prune_records.old_partitions(rows, STEP, 0) == []
        assert ("audit_entry", "audit_entry_first") in prune_records.old_partitions(rows, 1 << 20, 0)
    assert list(pruning._dropped(owner, "another", 1 << 20, 0)) == []
    with psycopg.connect(url) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("DELETE FROM vault.audit_entry")
    with psycopg.connect(url) as reader:
        reader.execute("SELECT count(*) FROM vault.audit_entry")
        assert list(pruning._dropped(owner, "another", 1 << 20, 0)) == []
    assert list(pruning._dropped(owner, "another", 1 << 20, 0)) == ["audit_entry_first"]
    with psycopg.connect(url, autocommit=True) as connection:
        forced = connection.execute(
            "SELECT count(*) FROM pg_class WHERE relispartition AND relkind = 'r' AND NOT relforcerowsecurity"
        )
        assert forced.fetchone() == (0,)
    with pytest.raises(DatabaseUnavailable), owner.transaction("another") as rows:
        prune_records.drop_if_empty(rows, "audit_entry", "audit_entry_first")
    owner.close()


def test_a_row_that_says_something_else_than_pruning_is_read_as_saying_nothing() -> None:
    said = Pruned(STEP, bytes(32), 1).about
    assert Pruned.read(STEP, said) == Pruned(STEP, bytes(32), 1)
    wrong: list[Any] = [
        {},
        [],
        None,
        said | {"writers": {"w": [1]}},
        said | {"root": 7},
        said | {"activations": "1"},
        said | {"a": 1},
    ]
    for other in wrong:
        assert Pruned.read(STEP, other) == Pruned(STEP, b"")
    assert Pruned.read(2 * STEP, said) == Pruned(2 * STEP, b"")


def test_a_log_that_was_never_pruned_begins_at_its_beginning(opened: Opened, controller_id: str) -> None:
    with opened.vault.database.snapshot(controller_id) as rows:
        assert pruned_log(rows, controller_id, 1) is None
