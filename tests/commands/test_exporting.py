"""`riserbo audit export`: the whole log for anybody's own checker, written whole or not at all, and itself on record."""

import json
from pathlib import Path
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner, Result

from tests.audit.makers import draft
from tests.makers import make_subject
from tests.operations.conftest import Ledger
from vault.__main__ import app
from vault.audit import offline
from vault.opening import Opened

runner = CliRunner()
NAMES = ("leaves", "checkpoint", "key")


@pytest.fixture(autouse=True)
def environment(database_url: str, keyring_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings of a command: the shared database and keyring."""
    monkeypatch.setenv("RISERBO_DATABASE_URL", database_url)
    monkeypatch.setenv("RISERBO_HOME", str(keyring_home))


@pytest.fixture
def ledger(opened: Opened, controller_id: str) -> Ledger:
    return Ledger(opened, controller_id)


def export(place: Path, controller_id: str, *more: str) -> Result:
    line = [part for name in NAMES for part in (f"--{name}", str(place / name))]
    return runner.invoke(app, ["audit", "export", *line, "-c", controller_id, *more])


def checked(place: Path) -> int:
    return offline.main(["log", str(place / "leaves"), str(place / "checkpoint"), "--key", str(place / "key")])


def test_the_exported_log_is_checked_without_the_vault(opened: Opened, controller_id: str, ledger: Ledger, tmp_path: Path) -> None:
    make_subject(opened.vault, controller_id, {"given_name": "Giulia", "email": "g@example.it"})
    done = export(tmp_path, controller_id, "--json")
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    lines = (tmp_path / "leaves").read_text().splitlines()
    assert said["size"] == len(lines)
    assert checked(tmp_path) == 0
    leaves = [json.loads(bytes.fromhex(line)) for line in lines]
    (own,) = [one for one in leaves if one["operation"] == "log-export"]
    assert (own["id"], own["outcome"], own["kind"]) == (said["entry_id"], "done", "operator")
    assert ledger.outcomes("log-export") == ["done"]
    assert sorted(one.name for one in tmp_path.iterdir()) == sorted(NAMES)
    assert "g@example.it" not in "".join(bytes.fromhex(line).decode() for line in lines)


def test_files_that_are_there_stay_unless_told_otherwise(controller_id: str, tmp_path: Path, ledger: Ledger) -> None:
    (tmp_path / "leaves").write_text("mine")
    refused = export(tmp_path, controller_id, "--json")
    assert refused.exit_code == 1
    assert json.loads(refused.stdout)["errors"] == [{"pointer": "--leaves", "code": "exists"}]
    assert (tmp_path / "leaves").read_text() == "mine"
    assert ledger.outcomes("log-export") == []
    assert export(tmp_path, controller_id, "--force").exit_code == 0
    assert checked(tmp_path) == 0


@pytest.mark.parametrize(
    ("line", "codes"),
    [
        ([], [("--leaves", "missing"), ("--checkpoint", "missing"), ("--key", "missing")]),
        (["--leaves", "{}/a"], [("--checkpoint", "missing"), ("--key", "missing")]),
        (["--verifier", "{}/nowhere/offline.py"], [("--verifier", "no-such-directory")]),
        (["--leaves", "{}/a", "--checkpoint", "{}/a", "--key", "{}/b"], [("--leaves", "same-file-twice")]),
    ],
)
def test_what_is_missing_or_said_twice_is_named(tmp_path: Path, line: list[str], codes: list[tuple[str, str]]) -> None:
    refused = runner.invoke(app, ["audit", "export", *(part.format(tmp_path) for part in line), "--json"])
    assert refused.exit_code == 1
    assert [(one["pointer"], one["code"]) for one in json.loads(refused.stdout)["errors"]] == codes
    assert list(tmp_path.iterdir()) == []


def test_the_checker_is_written_without_a_vault_at_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RISERBO_DATABASE_URL", "postgresql://nowhere.invalid/x")
    done = runner.invoke(app, ["audit", "export", "--verifier", str(tmp_path / "offline.py")])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "offline.py").read_bytes() == Path(offline.__file__).read_bytes()
    assert "Written" in done.stderr


def owner(opened: Opened, statement: str, *values: Any) -> list[Any]:
    with psycopg.connect(opened.addresses.url, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        cursor = connection.execute(statement.encode(), values)
        return cursor.fetchall() if cursor.description else []


@pytest.fixture
def long_log(opened: Opened, controller_id: str) -> list[bytes]:
    """Write two full tiles of entries and more; return the leaves."""
    recorder = opened.vault.audit.open_lane(controller_id)
    for _ in range(10):
        recorder.record_all([draft() for _ in range(60)])
    recorder.close()
    opened.trail.settle(controller_id)
    kept = owner(opened, "SELECT leaf FROM vault.audit_entry WHERE controller_id = %s ORDER BY position", controller_id)
    return [bytes(leaf) for (leaf,) in kept]


def test_what_was_pruned_is_there_as_the_hashes_of_its_tiles(
    opened: Opened, controller_id: str, long_log: list[bytes], tmp_path: Path
) -> None:
    assert export(tmp_path, controller_id).exit_code == 0
    assert checked(tmp_path) == 0
    owner(opened, "DELETE FROM vault.audit_entry WHERE controller_id = %s AND position < 512", controller_id)
    assert export(tmp_path, controller_id, "--force").exit_code == 0
    lines = (tmp_path / "leaves").read_text().splitlines()
    assert [line[:2] for line in lines[:2]] == ["t:", "t:"]
    assert bytes.fromhex(lines[2]) == long_log[512]
    assert checked(tmp_path) == 0


@pytest.mark.parametrize(
    "lost",
    [
        "DELETE FROM vault.audit_entry WHERE controller_id = %s AND position = 100",
        "DELETE FROM vault.audit_entry WHERE controller_id = %s AND position < 100",
        (
            "DELETE FROM vault.audit_entry WHERE controller_id = %s AND position < 256;"
            " UPDATE vault.audit_tile SET hashes = '' WHERE level = 1"
        ),
        "DELETE FROM vault.audit_entry WHERE controller_id = %s",
    ],
    ids=["inside", "beginning", "tile", "all"],
)
@pytest.mark.usefixtures("long_log")
def test_a_log_that_lacks_entries_is_not_exported_and_no_file_is_left(
    opened: Opened, controller_id: str, ledger: Ledger, tmp_path: Path, lost: str
) -> None:
    for statement in lost.replace("%s", f"'{controller_id}'").split(";"):
        owner(opened, statement if "controller_id" in statement else f"{statement} AND controller_id = '{controller_id}'")
    refused = export(tmp_path, controller_id, "--json")
    assert refused.exit_code == 1
    assert json.loads(refused.stdout.splitlines()[-1])["error"] in ("entries-missing", "audit-unavailable")
    assert list(tmp_path.iterdir()) == []
