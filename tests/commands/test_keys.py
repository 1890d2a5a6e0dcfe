"""Commands for keys, on an installation of its own: each says what it did, and what stands in the way of what it did not."""

import json
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner

from tests.operations.test_destroy_epochs import CONTROLLER, Installation, installation  # noqa: F401 - a fixture
from vault.__main__ import app

runner = CliRunner()


@pytest.fixture
def environment(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> Installation:  # noqa: F811 - the fixture
    monkeypatch.setenv("RISERBO_DATABASE_URL", installation.url)
    monkeypatch.setenv("RISERBO_HOME", str(installation.opened.vault.settings.home))
    return installation


def test_epochs_and_exports_by_command(environment: Installation, tmp_path: Path) -> None:
    begun = json.loads(runner.invoke(app, ["keys", "rotate", "--json"]).stdout)
    assert begun["controllers"][CONTROLLER]["epoch"] == 2
    assert begun["controllers"][CONTROLLER]["state"] == "closing"
    exported = runner.invoke(app, ["keys", "export"])
    assert exported.exit_code == 0, exported.output
    assert "sealed by the root of epoch 2, opened again" in exported.stderr
    status = runner.invoke(app, ["keys", "status"])
    assert "epoch 1: enabled, a controller still has its key" in status.stderr
    document = json.loads(runner.invoke(app, ["keys", "status", "--json"]).stdout)
    assert [one["state"] for one in document["epochs"]] == ["enabled", "enabled"]
    (name,) = document["exports"]
    refused = runner.invoke(app, ["keys", "destroy-epoch", "1", "--yes"])
    assert (refused.exit_code, "in-use" in refused.stderr) == (1, True)
    assert runner.invoke(app, ["keys", "destroy-epoch", "1"], input="n\n").exit_code == 1
    there = runner.invoke(app, ["keys", "restore", str(environment.opened.vault.settings.exports_of_keys / name)])
    assert (there.exit_code, "keys-there" in there.stderr) == (1, True)
    (tmp_path / "none.rsx").write_bytes(b"RSX1")
    assert json.loads(runner.invoke(app, ["keys", "restore", str(tmp_path / "none.rsx"), "--json"]).stdout)["error"] == "unreadable"


def test_a_destroyed_epoch_and_restored_keys_by_command(environment: Installation) -> None:
    environment.close_epoch(2)
    environment.then.export_keys()
    with psycopg.connect(environment.url, autocommit=True) as owner:
        owner.execute("UPDATE keys.epoch_change SET ended_at = ended_at - interval '30 days'")
    document = json.loads(runner.invoke(app, ["keys", "destroy-epoch", "1", "--json"]).stdout.splitlines()[-1])
    assert (document["epoch"], document["state"]) == (1, "destroyed")
    assert "epoch 1: destroyed" in runner.invoke(app, ["keys", "status"]).stderr
    (path,) = environment.opened.key_exports.kept()
    with psycopg.connect(environment.url, autocommit=True) as owner:
        for one in ("subject_audit_key", "data_key_wrap", "controller_secret", "controller_key", "epoch_change", "key_export"):
            owner.execute(f"DELETE FROM keys.{one}".encode())
    done = runner.invoke(app, ["keys", "restore", str(path)])
    assert done.exit_code == 0, done.output
    assert "The keys are back" in done.stderr
