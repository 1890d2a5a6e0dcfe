"""A base backup with archived write-ahead log, rolled forward to before some acts and to between them: nobody comes back.

A server of its own is backed up by `pg_basebackup` while it runs and archives its log. Then somebody is erased, another withdraws,
a third objects. Each world below is that backup, rolled forward by PostgreSQL itself to a restore point and promoted, with keyring,
signer's state and erasure ledger as they were when the disaster came.
"""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import psycopg
import pytest

from api.problems import TABLE
from tests.drills.restoring import BIN, CONTROLLER, DATABASE, DECIDED, MEMORY, Drill, enrolled, refused
from tests.makers import make_context, register
from tests.operations.test_erase import House
from vault.connectors.embedded_postgres import PostgresServer, ensure_database, start_embedded
from vault.connectors.erasure_ledger import FILE_NAME
from vault.errors import LedgerUnavailable
from vault.operations.disclose import disclose
from vault.operations.disclosure import Ask
from vault.operations.migrate import migrate
from vault.operations.object_to import object_to
from vault.operations.withdraw import withdraw
from vault.policy.model import Context

pytestmark = pytest.mark.drill

BEFORE, BETWEEN, AFTER = "before", "between", "after"
ACTS = {BEFORE: {"intent": 1, "withdraw": 1, "suppress": 1}, BETWEEN: {"withdraw": 1, "suppress": 1}, AFTER: {}}


@dataclass(frozen=True)
class Disaster:
    """What was backed up, and of whom: `gone` was erased, `ended` withdrew, `quiet` objected to marketing."""

    root: Path
    user: str | None
    people: dict[str, str]

    @contextmanager
    def world(self, point: str) -> Iterator[Drill]:
        """Yield the backup rolled forward to a restore point, beside copies of what lay outside the database."""
        place = self.root / f"world-{point}"
        place.mkdir(mode=0o755)
        shutil.copytree(self.root / "home", place / "home")
        _as(None, "cp", "-a", self.root / "base", place / "data")
        for socket in (place / "data").glob(".s.PGSQL.*"):
            socket.unlink()  # it lies in the data directory here, so its lock was copied too
        conf = place / "data" / "riserbo.conf"
        lines = [one for one in conf.read_text().splitlines() if not one.startswith("archive_")]
        recovery = {
            "restore_command": f"cp {self.root / 'archive'}/%f %p", "recovery_target_timeline": "current",
            "recovery_target_name": point, "recovery_target_action": "promote", "hot_standby": "off",
        }  # fmt: skip
        conf.write_text("\n".join([*lines, *(f"{name} = '{value}'" for name, value in recovery.items())]) + "\n")
        _as(self.user, "touch", place / "data" / "recovery.signal")
        server = start_embedded(place / "data", MEMORY)
        try:
            yield Drill(server, place)
        finally:
            server.cleanup()


def _as(user: str | None, *command: object) -> None:
    """Run a program as the server's own user: what it makes is to be its own."""
    subprocess.run([str(one) for one in command], check=True, capture_output=True, user=user, cwd="/")


def _archiving(root: Path) -> PostgresServer:
    """Start a server that archives its log, and lets its own user take a base backup."""
    server = start_embedded(root / "data", MEMORY)
    with (root / "data" / "pg_hba.conf").open("a") as access:
        access.write("local replication all peer map=riserbo\n")
    with (root / "data" / "riserbo.conf").open("a") as settings:
        settings.write(f"archive_mode = 'on'\narchive_command = 'cp %p {root / 'archive'}/%f'\n")
    server.cleanup()
    server = start_embedded(root / "data", MEMORY)
    for name in ("archive", "base"):
        (root / name).mkdir(mode=0o700)
        if server.system_user is not None:
            shutil.chown(root / name, server.system_user)
    return server


def _mark(server: PostgresServer, point: str) -> None:
    """Name this moment in the log, and wait until what led to it is archived."""
    with psycopg.connect(server.get_uri("postgres"), autocommit=True) as owner:
        owner.execute("SELECT pg_create_restore_point(%s)", (point,))
        ((segment,),) = owner.execute("SELECT pg_walfile_name(pg_switch_wal())").fetchall()
        owner.execute("CHECKPOINT")
        waited = monotonic() + 30
        while monotonic() < waited:
            ((last,),) = owner.execute("SELECT last_archived_wal FROM pg_stat_archiver").fetchall()
            if last is not None and last >= segment:
                return
            owner.execute("SELECT pg_sleep(0.05)")
    raise AssertionError("the log was not archived")


@pytest.fixture(scope="module")
def disaster() -> Iterator[Disaster]:
    root = Path(tempfile.mkdtemp(prefix="rsbw"))
    root.chmod(0o755)
    server = _archiving(root)
    try:
        drill = Drill(server, root)
        ensure_database(server, DATABASE)
        migrate(drill.url, drill.url)
        with drill.opened() as opened:
            opened.add_controller(CONTROLLER)
            register(opened.vault, CONTROLLER, "dpo", "system")
            vault = opened.vault.governed(CONTROLLER)
            people = {name: enrolled(vault, number, name) for number, name in enumerate(("gone", "ended", "quiet"))}
            _as(server.system_user, BIN / "pg_basebackup", "-D", root / "base", "-d", server.get_uri("postgres"), "-c", "fast")
            opened.trail.settle(CONTROLLER)
            _mark(server, BEFORE)
            House(opened, CONTROLLER).erased(people["gone"], "req_gone")
            opened.trail.settle(CONTROLLER)
            _mark(server, BETWEEN)
            house = House(opened, CONTROLLER)
            withdraw(house.vault, own(people["ended"]), house.agreement(people["ended"], "in_force"), {})
            object_to(house.vault, own(people["quiet"]), people["quiet"], "marketing")
            opened.trail.settle(CONTROLLER)
            _mark(server, AFTER)
        user = server.system_user
        server.cleanup()
        yield Disaster(root, user, people)
    finally:
        server.cleanup()
        shutil.rmtree(root, ignore_errors=True)


def objected(house: House, subject_id: str) -> bool:
    ((found,),) = house.ledger.rows("vault.subject", f"subject_id = '{subject_id}'", "objected_marketing")
    return bool(found)


def own(subject_id: str) -> Context:
    return make_context(CONTROLLER, "customer", subject_id=subject_id)


def ledger_files(drill: Drill) -> list[Path]:
    found = sorted((drill.root / "home").rglob(FILE_NAME))
    assert len(found) == 2
    return found


def refused_with(drill: Drill) -> tuple[str, str]:
    """Return with which codes a vault does not start here, and does not serve."""
    with drill.opened() as opened:
        errors = [refused(one) for one in (opened.require_ledger, lambda: opened.vault.governed(CONTROLLER))]
    starts, serves = (one.code if isinstance(one, LedgerUnavailable) else "" for one in errors)
    return starts, serves


@pytest.mark.parametrize("point", [BEFORE, BETWEEN])
def test_a_base_backup_rolled_forward_serves_nobody_before_the_replay_and_brings_nobody_back(
    disaster: Disaster, point: str
) -> None:
    began, people = monotonic(), disaster.people
    with disaster.world(point) as drill:
        started = monotonic() - began
        held = [(one, one.read_bytes()) for one in ledger_files(drill)]
        for place, _ in held:
            place.unlink()
        assert refused_with(drill) == ("ledger-behind", "ledger-behind")  # no ledger at all is no ledger that is level
        for place, octets in held:
            place.write_bytes(octets)
        assert refused_with(drill) == ("ledger-ahead", "ledger-ahead")
        with drill.opened() as opened:
            house = House(opened, CONTROLLER)
            assert bool(house.left(people["gone"])) is (point == BEFORE)  # the backup did bring them back
            assert house.left(people["ended"])
            assert not objected(house, people["quiet"])
            opened.recover(CONTROLLER, DECIDED)
            opened.trail.settle(CONTROLLER)
            began = monotonic()
            assert opened.replay(CONTROLLER).acts == ACTS[point]
            replayed = monotonic() - began
            opened.require_ledger()
            answer = refused(lambda: disclose(house.vault, Ask(own(people["gone"]), people["gone"], ("email",))))
            assert answer is not None
            assert TABLE[type(answer)].status == 410
            assert house.left(people["gone"]) == {}
            assert house.agreement(people["ended"], "withdrawn")
            assert house.left(people["ended"]) == {}
            assert objected(house, people["quiet"])
            assert opened.replay(CONTROLLER).acts == {}
        segments = len(list((disaster.root / "archive").iterdir()))
        print(f"\n{point}: {segments} files of log, restored and started in {started:.1f} s, replayed in {replayed:.2f} s")


def test_beside_a_ledger_cut_short_a_backup_rolled_forward_to_its_end_does_not_start(disaster: Disaster) -> None:
    with disaster.world(AFTER) as drill:
        with drill.opened() as opened:
            opened.require_ledger()
            assert House(opened, CONTROLLER).left(disaster.people["gone"]) == {}
        for place in ledger_files(drill):
            place.write_bytes(b"".join(place.read_bytes().splitlines(keepends=True)[:-2]))
        assert refused_with(drill) == ("ledger-behind", "ledger-behind")
        with drill.opened() as opened, pytest.raises(LedgerUnavailable):
            opened.replay(CONTROLLER)
