"""The table of attacks, carried out by the database's owner: each check fires where the table says, and nowhere else.

The officer's checkpoint is at 60, another holder's at 90, the log at 100, ten entries pending; edits are below 60 unless said.
Erasure is done as `details-shred` will do it, with its entry in the log; proper pruning, of a log long enough to be pruned, in
`tests/operations/test_prune_trail.py`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson
import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.assurance.trail_checks import CUSTOMER, Held, fired, root_of
from tests.audit.makers import KEYS, SIGNING, Log, audit_key, draft, log_on, unseal
from tests.audit.tampering import Row, on, refit_writers, refused, relinked, rows_of, store
from tests.audit.test_health import Clock
from vault.audit import entry
from vault.audit.checkpoint import Checkpoint, note_text
from vault.audit.merkle import leaf_hash
from vault.audit.scrub import ScrubKeys
from vault.connectors.embedded_postgres import PostgresServer, admin_url, ensure_database
from vault.notes import VerifierKey
from vault.operations.migrate import migrate
from vault.permit import ReadPermit

TABLES = ("entry", "detail", "lookup", "tile", "writer", "head", "checkpoint", "pending", "rejected", "daily", "subject_head")
OTHERS, MINE = 10, 13  # below 60: somebody else's entry, and one of the customer's, whose last entry of that writer follows
LATE = 70  # after the officer's checkpoint
ELSEWHERE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


@dataclass
class Scene:
    """The log and what is held outside it; `old` are the tables as they were at 75 entries."""

    log: Log
    held: Held


@pytest.fixture(scope="module")
def scene(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Two living writers: one whose last entry is the customer's at 14, one that goes on to 100 and ten beyond."""
    with log_on(database_url, tmp_path_factory.mktemp("state")) as log:
        clock = Clock()
        recorder = log.recorder(monotonic=clock)
        idle, busy = (recorder.open_lane(log.controller_id) for _ in range(2))
        permits: list[ReadPermit] = []

        def write(lane, *people: str) -> None:
            permits.extend(lane.record_all([draft(one) for one in people]))
            log.sequencer().drain(log.controller_id)

        write(idle, *("sub-1" if n % 2 else "" for n in range(12)), CUSTOMER, CUSTOMER)  # 0 … 14
        write(busy, *(CUSTOMER if n in (3, 9) else f"sub-{n % 3}" for n in range(44)))  # 15 … 59
        dpo = log.settle()
        write(busy, *(f"sub-{n % 3}" for n in range(15)))
        keep(log, "old")
        write(busy, *(f"sub-{n % 3}" for n in range(15)))
        holder = log.settle()
        write(busy, *(f"sub-{n % 3}" for n in range(10)))
        assert (dpo.checkpoint.size, holder.checkpoint.size, log.settle().checkpoint.size) == (60, 90, 100)
        marks = recorder.acknowledged(log.controller_id)
        log.watch(acknowledged=recorder.acknowledged).look(log.controller_id)  # the process has looked, as it does each second
        permits.extend(busy.record_all([draft(f"sub-{n % 3}") for n in range(10)]))
        log.ask("DELETE FROM vault.controller WHERE controller_id = %s", log.controller_id)  # nobody else shall look after this one
        keep(log, "now")
        yield Scene(log, Held(dpo, holder, [one.leaf_hash for one in permits], marks, clock))
        restore(log, "now")
        for lane in (idle, busy):
            lane.close()


@pytest.fixture
def whole(scene: Scene) -> Scene:
    """The scene as it was, after each attack."""
    restore(scene.log, "now")
    return Scene(scene.log, scene.held.copy())


@pytest.fixture(scope="module")
def database_url(postgres: PostgresServer) -> str:
    """The database of the trail's own tests: no running vault looks after the logs there."""
    ensure_database(postgres, "logs")
    migrate(admin_url(postgres, "logs"), admin_url(postgres, "logs"))
    return admin_url(postgres, "logs")


def keep(log: Log, name: str) -> None:
    for table in TABLES:
        log.ask(f"DROP TABLE IF EXISTS public.{name}_{table}")
        log.ask(
            f"CREATE TABLE public.{name}_{table} AS SELECT * FROM vault.audit_{table} WHERE controller_id = %s", log.controller_id
        )


def restore(log: Log, name: str) -> None:
    on(log, *(f"DELETE FROM vault.audit_{table} WHERE @" for table in TABLES))
    log.attack(*(f"INSERT INTO vault.audit_{table} SELECT * FROM public.{name}_{table}" for table in TABLES))


# --- what an attacker does ---


def drop_pending(log: Log) -> None:
    on(log, "DELETE FROM vault.audit_pending WHERE @")


def sign_again(log: Log, key: Ed25519PrivateKey = SIGNING) -> None:
    """Serve a checkpoint of the log as it stands now, and none that is longer."""
    leaves = [leaf for leaf, _ in rows_of(log)]
    root = root_of(leaves, len(leaves))
    assert root is not None
    point = Checkpoint(log.origin, len(leaves), root)
    line = VerifierKey(log.origin, key.public_key().public_bytes_raw()).line(key.sign(point.body.encode()))
    on(log, f"DELETE FROM vault.audit_checkpoint WHERE @ AND size >= {len(leaves)}")
    with psycopg.connect(log.url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO vault.audit_checkpoint VALUES (%s, 1, %s, %s, now())",
            (log.controller_id, len(leaves), note_text(point, [line])),
        )


def rewrite(log: Log, change: Callable[[list[Row]], list[Row]], *, keys: bool = False) -> None:
    """Change the entries so that tiles and head fit, with the MAC keys the chains and what is known of each writer too; sign."""
    rows = change(rows_of(log))
    if keys:
        rows = relinked(log, rows, with_key=True)
        refit_writers(log, rows)
        drop_pending(log)
    store(log, rows)
    sign_again(log)


REFUSED = "SET leaf = replace(encode(leaf, 'escape'), 'allowed', 'refused')::bytea"
FIFTH = "number = (SELECT min(number) + 4 FROM vault.audit_pending WHERE @)"


def edit_leaf(log: Log) -> None:
    on(log, f"UPDATE vault.audit_entry {REFUSED} WHERE @ AND position = 14")


def edited(rows: list[Row], at: int) -> list[Row]:
    return [*rows[:at], refused(rows[at]), *rows[at + 1 :]]


def without(rows: list[Row], at: int) -> list[Row]:
    return rows[:at] + rows[at + 1 :]


def swapped(rows: list[Row]) -> list[Row]:
    return [*rows[:MINE], rows[MINE + 1], rows[MINE], *rows[MINE + 2 :]]


def with_forged(rows: list[Row]) -> list[Row]:
    forged = entry.encode({**orjson.loads(rows[OTHERS][0]), "id": "ent_forged", "outcome": "refused"})
    return [*rows[:OTHERS], (forged, bytes(32)), *rows[OTHERS:]]


def truncate(log: Log) -> None:
    """The last 30 go, and what would tell: pending entries that follow on them, and where each writer was."""
    drop_pending(log)
    rewrite(log, lambda rows: rows[:LATE])
    refit_writers(log, rows_of(log))


def insert_pending(log: Log) -> None:
    """An entry under a writer's name of the attacker's own, with a MAC that belongs to another."""
    leaf, code = rows_of(log)[0]
    members = orjson.loads(leaf)
    forged = entry.encode({**members, "id": "ent_forged", "writer": "wrt_forged"})
    with psycopg.connect(log.url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO vault.audit_pending"
            " (controller_id, writer_id, number, at, leaf, mac, subject_id, chain_number, chain_previous, entry_id)"
            " VALUES (%s, 'wrt_forged', 1, %s, %s, %s, '-', 0, '', 'ent_forged')",
            (log.controller_id, members["at"], forged, code),
        )


def run_on(log: Log) -> None:
    """Yesterday's database, and a process that knows nothing else writes forty more entries."""
    restore(log, "old")
    recorder = log.recorder()
    recorder.record_all(log.controller_id, [draft(f"sub-{n % 3}") for n in range(39)])
    assert log.sequencer().drain(log.controller_id) == 40
    for lane in recorder._groups.pop(log.controller_id)._lanes:  # killed: it writes no last entry
        lane._drop_connection()


def edit_pending(log: Log) -> None:
    on(log, f"UPDATE vault.audit_pending {REFUSED} WHERE @ AND {FIFTH}")


def delete_inside_pending(log: Log) -> None:
    on(log, f"DELETE FROM vault.audit_pending WHERE @ AND {FIFTH}")


def edit_copy(log: Log) -> None:
    """One bit of the signature under the copy that is served."""
    text = log.ask("SELECT note FROM vault.audit_checkpoint WHERE controller_id = %s AND size = 100", log.controller_id)[0][0]
    end = text.rstrip("=\n")
    other = end[:-8] + ("A" if end[-8] != "A" else "B") + end[-7:] + text[len(end) :]
    with psycopg.connect(log.url, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(
            "UPDATE vault.audit_checkpoint SET note = %s WHERE controller_id = %s AND size = 100", (other, log.controller_id)
        )


def hide_from_report(_log: Log) -> None:
    """Nothing of the log is touched: the server leaves an entry out of what it shows to the customer."""


ATTACKS: dict[str, tuple[Callable[[Log], None], str]] = {
    "none": (lambda _log: None, ""),
    "edit sequenced, checkpoint left": (edit_leaf, "RDTWLPH"),
    "edit sequenced and its tiles, log signs on": (lambda log: rewrite(log, lambda rows: edited(rows, 14)), "DTWLPH"),
    "delete sequenced, re-sign": (lambda log: rewrite(log, lambda rows: without(rows, OTHERS)), "DTWLPH"),
    "swap two, re-sign": (lambda log: rewrite(log, swapped), "DTWLHC"),
    "insert forged, no MAC key": (lambda log: rewrite(log, with_forged), "DTWLH"),
    "truncate after the DPO's size, re-sign": (truncate, "TLPH"),
    "edit pending": (edit_pending, "WLP"),
    "delete inside pending": (delete_inside_pending, "WLP"),
    "delete the whole pending tail": (drop_pending, "LP"),
    "insert pending without the MAC key": (insert_pending, "WL"),
    "restore an old database, run on": (run_on, "TLPH"),
    "all keys stolen, rewrite after the DPO's size": (
        lambda log: rewrite(log, lambda rows: without(rows, LATE), keys=True),
        "TLPH",
    ),
    "all keys stolen, rewrite before it": (lambda log: rewrite(log, lambda rows: without(rows, MINE), keys=True), "DTLPHC"),
    "re-signed with another key": (lambda log: sign_again(log, ELSEWHERE), "SH"),
    "second history of equal size, real keys": (lambda log: rewrite(log, lambda rows: edited(rows, LATE), keys=True), "TLPH"),
    "entry hidden from the customer's report": (hide_from_report, "C"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_each_check_fires_where_the_table_says_and_nowhere_else(whole: Scene, attack: str) -> None:
    act, expected = ATTACKS[attack]
    act(whole.log)
    if act is hide_from_report:
        rows = rows_of(whole.log)
        whole.held.hidden = {orjson.loads(rows[MINE][0])["id"]}
    found = fired(whole.log, whole.held)
    assert found - {"X"} == set(expected), f"{attack}: {''.join(sorted(found))}"
    if not expected:
        assert "X" not in found


SCRUBBED: dict[str, tuple[str, str]] = {  # what is done at one position, and what fires
    "tile edited, leaves left": ("UPDATE vault.audit_entry SET leaf_hash = sha256(leaf_hash)", "XTD"),  # the last tile: it is read
    "details row edited": ("UPDATE vault.audit_detail SET sealed = sha256(sealed)", "X"),
    "details row deleted": ("DELETE FROM vault.audit_detail", "X"),
    "look-up row edited": ("UPDATE vault.audit_lookup SET outcome = 'refused'", "X"),
    "look-up row deleted": ("DELETE FROM vault.audit_lookup", "X"),
}


@pytest.mark.parametrize("attack", SCRUBBED)
def test_what_lies_beside_the_leaves_is_the_scrubs_to_find(whole: Scene, attack: str) -> None:
    statement, expected = SCRUBBED[attack]
    on(whole.log, f"{statement} WHERE @ AND position = 5")
    assert fired(whole.log, whole.held) == set(expected)


def test_an_edited_copy_of_a_checkpoint_is_seen_by_its_signature_alone(whole: Scene) -> None:
    edit_copy(whole.log)
    assert fired(whole.log, whole.held) == {"S"}


def test_a_proper_erasure_is_accused_by_no_check(whole: Scene) -> None:
    """The details of one person go, their audit key too, and an entry says so; leaves and proofs stay."""
    log = whole.log
    own = log.recorder()
    own.record(
        log.controller_id,
        draft(operation="details-shred", kind="job", caller_id=None, fields={}, details={}, internal={}, opens={}),
    )
    own.close()
    log.sequencer().drain(log.controller_id)
    on(
        log,
        "DELETE FROM vault.audit_detail WHERE @ AND subject_id = 'sub-1'",
        "UPDATE vault.audit_lookup SET subject_id = '-' WHERE @ AND subject_id = 'sub-1'",
        "DELETE FROM vault.audit_subject_head WHERE @ AND subject_id = 'sub-1'",
    )
    gone = ScrubKeys(lambda subject: None if subject == "sub-1" else audit_key(subject), KEYS.audit_secret, unseal)
    assert not log.verify(keys=gone).findings
    assert fired(log, whole.held) == set()


def test_an_entrys_hash_is_what_a_receipt_promises(whole: Scene) -> None:
    hashes = {leaf_hash(leaf) for leaf, _ in rows_of(whole.log)}
    assert sum(one in hashes for one in whole.held.receipts) == len(whole.held.receipts) - 10


def test_a_table_without_its_checks_would_fail(whole: Scene, tmp_path: Path) -> None:
    """Were a check blind, its rows would say so: here the officer's checkpoint is one of the attacked log itself."""
    rewrite(whole.log, lambda rows: without(rows, OTHERS))
    leaves = [leaf for leaf, _ in rows_of(whole.log)]
    root = root_of(leaves, 60)
    assert root is not None
    whole.held.dpo = type(whole.held.dpo)(Checkpoint(whole.log.origin, 60, root), (), "")
    assert "D" not in fired(whole.log, whole.held)
