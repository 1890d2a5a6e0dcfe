"""Several processes read at once while what gives their entries positions is killed: nothing is lost, doubled or out of place."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

import orjson
import psycopg
import pytest

from tests.makers import EVERYTHING, make_subject, make_ticket, register
from vault.audit.scan import Report
from vault.opening import Addresses, Opened, assembled, open_keyring
from vault.settings import Settings, environment_with

ROOT = Path(__file__).parents[2]
CONTROLLER = "killed"
WAIT_S = 600


@pytest.mark.parametrize(
    ("processes", "reads", "kills", "pause_s"),
    [(2, 100, 3, 0.3), pytest.param(4, 1000, 20, 1.0, marks=pytest.mark.drill)],
    ids=["small", "whole"],
)
def test_what_was_answered_is_in_the_log_whatever_is_killed(
    processes: int, reads: int, kills: int, pause_s: float, clone: Callable[[], str], tmp_path: Path
) -> None:
    url, settings = clone(), Settings(home=tmp_path / "home")
    with assembled(settings, Addresses(url, None), open_keyring(settings)) as opened:
        subject_id, ticket = _somebody(opened)
        opened.trail.stop()  # from here on those sequence that are killed
        environment = environment_with(settings.model_copy(update={"database_url": url}))
        answered = _read_and_kill(
            tmp_path / "stop", environment, (subject_id, ticket, str(reads)), processes, (str(kills), str(pause_s))
        )
        opened.trail.settle(CONTROLLER)
        report = opened.verify(CONTROLLER)
    assert len(answered) > 0.9 * processes * reads
    _expect_whole(url, report, answered)


def test_a_process_killed_between_commit_and_answer_has_shown_nothing_and_is_on_record(
    clone: Callable[[], str], tmp_path: Path
) -> None:
    url, settings = clone(), Settings(home=tmp_path / "home")
    with assembled(settings, Addresses(url, None), open_keyring(settings)) as opened:
        environment = environment_with(settings.model_copy(update={"database_url": url}))
        line = [sys.executable, "-m", "tests.assurance.reading", "die", CONTROLLER, *_somebody(opened)]
        died = subprocess.run(line, cwd=ROOT, env=environment, stdout=subprocess.PIPE, timeout=WAIT_S, check=False)
        opened.trail.settle(CONTROLLER)
        report = opened.verify(CONTROLLER)
    assert (died.returncode, died.stdout) == (-signal.SIGKILL, b"")
    assert report.ok, report
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT leaf FROM vault.audit_entry WHERE controller_id = %s", (CONTROLLER,)).fetchall()
    read = [members for (leaf,) in found if (members := orjson.loads(leaf))["operation"] == "disclose"]
    assert [set(one["fields"]) for one in read] == [{"email", "given_name"}]


def _somebody(opened: Opened) -> tuple[str, str]:
    opened.add_controller(CONTROLLER)
    register(opened.vault, CONTROLLER, "t2", "system")
    person = make_subject(opened.vault, CONTROLLER, {name: EVERYTHING[name] for name in ("given_name", "email")})
    return person.subject_id, make_ticket(opened.vault, CONTROLLER, person.subject_id, "t2")


def _read_and_kill(
    stop: Path, environment: dict[str, str], asked: Sequence[str], processes: int, killing: Sequence[str]
) -> list[str]:
    """Run the readers beside the sequencers that are killed; return the entries of what was answered."""
    program = [sys.executable, "-m", "tests.assurance.reading"]
    killer = subprocess.Popen(
        [*program, "sequence", CONTROLLER, *killing, str(stop)], cwd=ROOT, env=environment, stdout=subprocess.PIPE
    )
    readers = [
        subprocess.Popen([*program, "read", CONTROLLER, *asked], cwd=ROOT, env=environment, stdout=subprocess.PIPE)
        for _ in range(processes)
    ]
    try:
        answered = [entry_id for one in readers for entry_id in json.loads(one.communicate(timeout=WAIT_S)[0])]
        stop.touch()
        assert killer.communicate(timeout=WAIT_S)[0].split() == [killing[0].encode()]
    finally:
        stop.touch()
        for one in (killer, *readers):
            if one.poll() is None:
                one.kill()
                one.wait()
    return answered


def _expect_whole(url: str, report: Report, answered: Sequence[str]) -> None:
    """Expect positions without a gap, no entry twice, the root of the leaves, and an entry for each answer."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT position, leaf FROM vault.audit_entry WHERE controller_id = %s ORDER BY position", (CONTROLLER,)
        ).fetchall()
    assert [position for position, _ in rows] == list(range(len(rows)))
    members = [orjson.loads(leaf) for _, leaf in rows]
    ids = {one["id"]: one for one in members}
    assert len(ids) == len(rows)
    assert len(set(answered)) == len(answered)
    assert {ids[entry_id]["operation"] for entry_id in answered} == {"disclose"}
    assert (report.ok, report.size) == (True, len(rows))
    assert report.root == _naive_root([sha256(b"\0" + leaf).digest() for _, leaf in rows])


def _naive_root(hashes: Sequence[bytes]) -> bytes:
    """Return the root as RFC 9162, section 2.1.1 defines it."""
    if len(hashes) == 1:
        return hashes[0]
    half = 1 << ((len(hashes) - 1).bit_length() - 1)
    return sha256(b"\x01" + _naive_root(hashes[:half]) + _naive_root(hashes[half:])).digest()
