"""The demo: the main job from an empty directory, lines to copy that work, and a home of another version left alone."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner

from vault.__main__ import app
from vault.commands.demo import invitation, riserbo
from vault.connectors.embedded_postgres import admin_url, start_embedded

runner = CliRunner()
SHOWN = {"clear", "masked", "token"}


@pytest.fixture
def empty_home() -> Iterator[Path]:
    """A directory PostgreSQL's own user may walk to, with a short path: a socket's name has little room."""
    home = Path(tempfile.mkdtemp(prefix="rsbd"))
    home.chmod(0o755)
    yield home
    shutil.rmtree(home, ignore_errors=True)


def test_the_demo_does_the_main_job_from_an_empty_directory_twice(empty_home: Path) -> None:
    for unchanged in (False, True):
        done = once(empty_home)
        assert done.returncode == 0, done.stderr[-2000:]
        document = json.loads(done.stdout.splitlines()[-1])
        assert document["verified"]
        assert document["profile"]["fields"]["email"]["state"] == "masked"
        assert document["entry"]["leaf"]["fields"]["email"] == "masked:email_domain"
        assert (document["import"]["unchanged"] > 0) is unchanged


def test_each_printed_line_shows_what_its_role_may_see(empty_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with playing(empty_home) as lines:
        assert lines[0] == f"export RISERBO_HOME={empty_home / 'demo'}"
        monkeypatch.setenv("RISERBO_HOME", str(empty_home / "demo"))
        seen = dict(map(asked, (line for line in lines if " | " in line)))
    roles = {"t1", "t2", "billing", "medical", "dsr-officer", "customer", "system"}
    assert {role for role, states in seen.items() if states & SHOWN} == roles
    assert {role for role, states in seen.items() if not states} == {"dpo", "operator"}
    assert seen["customer"] >= {"clear"} <= seen["dsr-officer"]
    assert "clear" not in seen["system"]

    kept = empty_home / "demo" / "policy.keys"
    kept.unlink()
    never_activated(empty_home / "demo" / "data")
    refused = once(empty_home)
    assert refused.returncode == 1, refused.stderr[-2000:]
    assert json.loads(refused.stdout)["error"] == "demo-of-another-version"
    assert "set RISERBO_HOME" in refused.stderr
    assert not kept.exists()


def test_lines_name_a_command_that_is_there() -> None:
    assert subprocess.run([*riserbo().split(), "--help"], capture_output=True, check=False).returncode == 0
    lines = invitation("/x/bin/riserbo", Path("/a b"), "http://127.0.0.1:8000", "sub_x")
    assert lines[0] == "export RISERBO_HOME='/a b'"
    assert Counter(line.count("/x/bin/riserbo") for line in lines)[2] == 9


def once(home: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vault", "demo", "--once", "--json"]
    environment = {**os.environ, "RISERBO_HOME": str(home)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=180, check=False)


@contextmanager
def playing(home: Path) -> Iterator[list[str]]:
    """Run the demo until the block ends; yield the lines it prints to be copied."""
    command = [sys.executable, "-m", "vault", "demo", "--port", "0"]
    environment = {**os.environ, "RISERBO_HOME": str(home), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        try:
            lines: list[str] = []
            for line in process.stdout:
                lines += [line.strip()] if lines or line.startswith("export ") else []
                if "--role operator" in line:
                    break
            yield lines
        finally:
            process.terminate()


def asked(line: str) -> tuple[str, set[str]]:
    """Run one printed line; return its role and the states of the fields it was answered."""
    first, second = (part.split("riserbo " if "riserbo " in part else "-m vault ")[1].split() for part in line.split(" | "))
    token = runner.invoke(app, first)
    assert token.exit_code == 0, token.output
    body = json.loads(runner.invoke(app, [*second, "--json"], input=token.stdout).stdout)
    return first[first.index("--role") + 1], {one["state"] for one in body.get("fields", {}).values()}


def never_activated(data: Path) -> None:
    """Leave the database as one from before there were activations: a controller without any."""
    server = start_embedded(data)
    try:
        with psycopg.connect(admin_url(server), autocommit=True) as connection:
            connection.execute("SET session_replication_role = replica")
            connection.execute("DELETE FROM vault.policy_activation")
    finally:
        server.cleanup()
