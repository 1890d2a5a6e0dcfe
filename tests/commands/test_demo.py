"""The demo: the main job from an empty directory, lines to copy that work, and a home of another version left alone."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner

from vault.__main__ import app
from vault.commands.demo import invitation, riserbo
from vault.connectors.embedded_postgres import admin_url, shared_buffers_mib, start_embedded

runner = CliRunner()
SHOWN = {"clear", "masked", "token"}


@dataclass(frozen=True)
class Played:
    """One demo in one home: what it said the first time, from an empty directory, and the second, and who saw what by its lines."""

    home: Path
    first: dict[str, Any]
    documents: list[Any]
    lines: list[str]
    said: str
    seen: dict[str, set[str]]


@pytest.fixture(scope="module")
def played() -> Iterator[Played]:
    """Play it once for the tests of this file, which read what came of it: each start makes a server and imports everybody."""
    home = Path(tempfile.mkdtemp(prefix="rsbd"))  # a short path: a socket's name has little room
    home.chmod(0o755)  # PostgreSQL's own user walks there
    try:
        done = once(home)
        assert done.returncode == 0, done.stderr[-2000:]
        with playing(home) as (text, lines), pytest.MonkeyPatch.context() as environment:
            environment.setenv("RISERBO_HOME", str(home / "demo"))
            seen = dict(map(asked, (line for line in lines if " | " in line)))
        said = (home / "said").read_text()
        yield Played(home, json.loads(done.stdout.splitlines()[-1]), documents_in(text), lines, said, seen)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def test_the_demo_does_the_main_job_from_an_empty_directory_twice(played: Played) -> None:
    profile, entry = played.documents
    assert played.first["verified"]
    assert "The audit trail: verified" in played.said
    for shown, recorded in ((played.first["profile"], played.first["entry"]), (profile, entry)):
        assert shown["fields"]["email"]["state"] == "masked"
        assert recorded["leaf"]["fields"]["email"] == "masked:email_domain"
    assert played.first["import"]["unchanged"] == 0
    imported = re.search(r"Imported: (\d+) customers \((\d+) unchanged\)", played.said)
    assert imported is not None
    assert int(imported[2]) > 0


def test_each_printed_line_shows_what_its_role_may_see(played: Played) -> None:
    assert played.lines[0] == f"export RISERBO_HOME={played.home / 'demo'}"
    roles = {"t1", "t2", "billing", "medical", "dsr-officer", "customer", "system"}
    assert {role for role, states in played.seen.items() if states & SHOWN} == roles
    assert {role for role, states in played.seen.items() if not states} == {"dpo", "operator"}
    assert played.seen["customer"] >= {"clear"} <= played.seen["dsr-officer"]
    assert "clear" not in played.seen["system"]


def test_a_home_of_another_version_is_left_alone(played: Played) -> None:
    kept = played.home / "demo" / "policy.keys"
    kept.unlink()
    never_activated(played.home / "demo" / "data")
    refused = once(played.home)
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
def playing(home: Path) -> Iterator[tuple[str, list[str]]]:
    """Run the demo until the block ends; yield what it shows and the lines it prints to be copied. What it says lies beside."""
    command = [sys.executable, "-m", "vault", "demo", "--port", "0"]
    environment = {**os.environ, "RISERBO_HOME": str(home), "PYTHONUNBUFFERED": "1"}
    with (
        (home / "said").open("w") as said,
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=said, text=True) as process,
    ):
        assert process.stdout is not None
        try:
            shown, lines = "", list[str]()
            for line in process.stdout:
                if lines or line.startswith("export "):
                    lines.append(line.strip())
                else:
                    shown += line
                if "--role operator" in line:
                    break
            yield shown, lines
        finally:
            process.terminate()


def documents_in(text: str) -> list[Any]:
    """Return the JSON documents that stand in a text one after the other."""
    found, place = [], 0
    while place < len(text.rstrip()):
        document, place = json.JSONDecoder().raw_decode(text, place)
        found.append(document)
        place += len(text[place:]) - len(text[place:].lstrip())
    return found


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
            (pages,) = connection.execute("SELECT setting::integer FROM pg_settings WHERE name = 'shared_buffers'").fetchone() or (
                0,
            )
            assert pages * 8192 == shared_buffers_mib(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")) << 20
            connection.execute("SET session_replication_role = replica")
            connection.execute("DELETE FROM vault.policy_activation")
    finally:
        server.cleanup()
