"""The witness and what it hands back: as commands, from an empty directory."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from tests.audit.makers import SIGNING, vkey
from tests.audit.test_witness import SECRET, WITNESS, note, proof
from tests.conftest import Controllers
from vault.__main__ import app
from vault.audit.checkpoint import Checkpoint, origin, parse_note
from vault.audit.records import witness_lines
from vault.audit.witness import cosigned
from vault.commands.anchoring import repeated
from vault.connectors.policy_keys import read_witnesses
from vault.errors import DatabaseUnavailable, Fault, InvalidValue
from vault.notes import VerifierKey, parse_vkey
from vault.opening import Opened, open_vault
from vault.operations.show_log import served
from vault.operations.witness import Witnessed
from vault.settings import read_settings
from vault.tables import audit_witnessed

runner = CliRunner()
LOG_KEY = vkey("vault.example/audit/ctl-1/1").text


def witness(*line: str) -> Any:
    return runner.invoke(app, ["audit", "witness", *line])


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A witness with a key of its own."""
    made = witness("--new-key", str(tmp_path / "witness"), "--name", "dpo.example/witness")
    assert made.exit_code == 0, made.output
    key = parse_vkey(made.stdout)
    assert (key.name, key.kind) == ("dpo.example/witness", 4)
    assert (tmp_path / "witness" / "witness.key").stat().st_mode & 0o777 == 0o600
    return tmp_path / "witness"


def test_a_witness_works_from_files_without_a_vault(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RISERBO_HOME", "/nowhere")
    monkeypatch.setenv("RISERBO_LANES", "many")  # a setting of a vault that would not even open
    checkpoint, consistency, out = tmp_path / "checkpoint", tmp_path / "consistency", tmp_path / "out"
    checkpoint.write_text(note(60))
    line = ["--dir", str(home), "--vkey", LOG_KEY, "--checkpoint", str(checkpoint)]
    first = witness(*line)
    assert first.exit_code == 0, first.output
    assert len(parse_note(first.stdout).signatures) == 2
    checkpoint.write_text(note(100))
    consistency.write_text(proof(60, 100))
    refused = witness(*line, "--json")
    assert refused.exit_code == 1
    assert json.loads(refused.stdout)["witnessed"][0]["doubt"] == "no-proof"
    assert "NOT WITNESSED" in refused.stderr
    assert witness(*line, "--consistency", str(consistency), "--out", str(out)).exit_code == 0
    assert parse_note(out.read_text()).checkpoint.size == 100


def test_a_new_era_is_told_and_ends_1(home: Path, tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint"
    checkpoint.write_text(note(10, era=2))
    line = ["--dir", str(home), "--vkey", LOG_KEY, "--checkpoint", str(checkpoint)]
    (tmp_path / "note").mkdir()
    for out, code, told in (("note", 1, True), ("whole", 1, True), ("whole", 0, False)):  # told is what was also handed out
        found = witness(*line, "--out", str(tmp_path / out))
        assert found.exit_code == code
        assert ("THE ERA CHANGED" in found.stderr, "--out" in found.stderr) == (told, out == "note")
    assert [one.name for one in tmp_path.glob("*whole*")] == ["whole"]


@pytest.mark.parametrize(
    ("line", "pointer"),
    [
        (["--vkey", "x", "--log", "https://vault.example/audit/ctl-1/1"], "--vkey"),
        (["--vkey", LOG_KEY], "--log"),
        (["--vkey", LOG_KEY, "--log", "https://a/audit/b/1", "--checkpoint", "x"], "--log"),
        (["--vkey", LOG_KEY, "--log", "http://a/audit/b/1"], "--log"),
        (["--vkey", LOG_KEY, "--log", "https://a/audit/b/1", "--token-file", "gone"], "--token-file"),
        (["--vkey", LOG_KEY, "--checkpoint", "gone"], "--checkpoint"),
        (["--vkey", LOG_KEY, "--log", "https://a/audit/b/1", "--every", "often"], "--every"),
    ],
)
def test_what_is_missing_is_named(home: Path, line: list[str], pointer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    refused = witness("--dir", str(home), *line, "--json")
    assert refused.exit_code == 1
    assert [one["pointer"] for one in json.loads(refused.stdout)["errors"]] == [pointer]


def test_a_key_is_made_once_and_under_a_name(home: Path, tmp_path: Path) -> None:
    assert witness("--new-key", str(home), "--name", "dpo.example/witness").exit_code == 1
    assert witness("--new-key", str(tmp_path / "other"), "--name", "no name").exit_code == 1
    assert witness("--dir", str(tmp_path / "gone"), "--vkey", LOG_KEY, "--log", "https://a/audit/b/1").exit_code == 1


def test_a_log_that_does_not_answer_is_looked_at_again() -> None:
    stopped = Event()
    told: list[list[Witnessed]] = []
    answers: list[Callable[[], list[Witnessed]]] = [lambda: [Witnessed("x", 1, "note")]]

    def look() -> list[Witnessed]:
        if answers:
            return answers.pop()()
        stopped.set()
        raise DatabaseUnavailable("log-unreachable")

    assert repeated(look, 0.01, stopped, told.append) == []
    assert [one[0].origin for one in told] == ["x"]

    def interrupted() -> list[Witnessed]:
        raise KeyboardInterrupt

    assert repeated(interrupted, 0.01, stopped, told.append) == []


def test_what_was_doubtful_at_any_look_is_said_at_the_end() -> None:
    """And a place for the note that is full today ends nothing."""
    stopped = Event()
    looks = [[Witnessed("x", 1, "note")], [Witnessed("x", None, None, "smaller")], [Witnessed("y", 1, "note", new_era=True)]]

    def look() -> list[Witnessed]:
        if len(looks) == 1:
            stopped.set()
        return looks.pop()

    def tell(_found: list[Witnessed]) -> None:
        raise InvalidValue(faults=[Fault("--out", "file.not-writable")])

    assert [(one.origin, one.doubt, one.new_era) for one in repeated(look, 0.01, stopped, tell)] == [
        ("y", None, True),
        ("x", "smaller", False),
    ]


# --- handing it back ---


@pytest.fixture
def environment(database_url: str, keyring_home: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The settings of a command on the vault's side; returns the file of witnesses."""
    keys = tmp_path / "witnesses.keys"
    keys.write_text(f"{WITNESS.text}\n\n")
    monkeypatch.setenv("RISERBO_DATABASE_URL", database_url)
    monkeypatch.setenv("RISERBO_HOME", str(keyring_home))
    monkeypatch.setenv("RISERBO_WITNESSES", str(keys))
    return keys


def signed(opened: Opened, controller_id: str) -> str:
    """The log's newest checkpoint."""
    opened.trail.settle(controller_id)
    return opened.state.last(origin(opened.vault.settings.host, controller_id, 1)) or ""


def cosign(file: Path, controller_id: str, text: str) -> Any:
    file.write_text(text)
    return runner.invoke(app, ["audit", "cosign", str(file), "-c", controller_id, "--json"])


def witnessed(text: str, seconds: int) -> str:
    return cosigned(parse_note(text), WITNESS, SECRET.sign, seconds)


@pytest.mark.usefixtures("environment")
def test_a_witnesss_signature_is_kept_and_shown_by_its_age(opened: Opened, controller_id: str, tmp_path: Path) -> None:
    added = runner.invoke(app, ["callers", "add", "agent-7", "--role", "t1", "-c", controller_id])
    assert added.exit_code == 0, added.output
    text, now_s = signed(opened, controller_id), int(opened.vault.now().timestamp())
    done = cosign(tmp_path / "note", controller_id, witnessed(text, now_s - 30))
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == {"new": [{"witness": WITNESS.name, "seconds": now_s - 30}]}
    assert json.loads(cosign(tmp_path / "note", controller_id, witnessed(text, now_s - 30)).stdout) == {"new": []}
    assert cosign(tmp_path / "note", controller_id, witnessed(text, now_s - 20)).exit_code == 0
    size = parse_note(text).checkpoint.size
    with opened.vault.database.snapshot(controller_id) as rows:
        lines = witness_lines(rows, controller_id, 1, size)
        pinned = replace(opened.vault, signing=replace(opened.vault.signing, witnesses=(WITNESS,)))
        assert served(pinned, rows, controller_id, parse_note(text)) == text + lines[0]
        assert served(opened.vault, rows, controller_id, parse_note(text)) == text
    assert lines == [witnessed(text, now_s - 20).removeprefix(text)]
    opened.trail.settle(controller_id)
    line, about = lines[0], {"controller_id": controller_id, "era": 1, "size": size, "entry_id": "ent_x"}
    with opened.vault.database.transaction(controller_id) as rows:  # what `riserbo_app` alone can write
        ahead = witnessed(text, now_s + 9999).removeprefix(text)
        foreign = witnessed(note(60), now_s - 2).removeprefix(note(60))
        for at, (written, seconds) in enumerate(
            (("no signature", now_s), (line, now_s - 1), (line, now_s + 9999), (ahead, now_s - 3), (foreign, now_s - 2))
        ):
            row = {**about, "line": written, "seconds": seconds, "witness": f"x{at}"}
            rows.execute(sa.insert(audit_witnessed), row | ({"size": size + 7} if written == foreign else {}))
    with open_vault(read_settings()) as other, psycopg.connect(opened.addresses.url) as owner:
        copy = "INSERT INTO vault.audit_checkpoint (controller_id, era, size, note, signed_at) VALUES (%s, 1, %s, %s, now())"
        owner.execute(copy, (controller_id, size + 7, note(60)))  # a checkpoint of another log, truly witnessed
        owner.commit()
        assert other.trail_health.look is not None
        other.trail_health.look(controller_id)
        owner.execute("SET session_replication_role = replica")
        owner.execute("DELETE FROM vault.audit_checkpoint WHERE controller_id = %s AND note = %s", (controller_id, note(60)))
        age = next(one.age_s for one in other.health() if one.name == f"witness of {controller_id}")
    assert age is not None
    assert 20 <= age < 200
    unpinned = next(one.age_s for one in opened.health() if one.name == f"witness of {controller_id}")
    assert unpinned is None
    assert opened.verify(controller_id).ok


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(
    ("change", "found"),
    [
        ("audit_witnessed SET line = 'no line'", {"witness"}),
        ("audit_witnessed SET seconds = seconds + 1", {"witness"}),
        ("audit_witnessed SET size = size - 1", {"witness"}),
        ("audit_checkpoint SET note = replace(note, chr(10) || size || chr(10), chr(10) || size + 1 || chr(10))", {"witness"}),
        ("audit_checkpoint SET note = %(other)s, size = 70", {"signature"}),
    ],
)
def test_what_was_kept_of_a_witness_is_verified_with_the_log(
    opened: Opened, controller_id: str, tmp_path: Path, change: str, found: set[str]
) -> None:
    """Seen failing while verifying looked at no line of a witness."""
    text, now_s = signed(opened, controller_id), int(opened.vault.now().timestamp())
    point = parse_note(text).checkpoint
    assert cosign(tmp_path / "note", controller_id, witnessed(text, now_s)).exit_code == 0
    stray = Checkpoint(point.origin, 70, bytes(32))  # witnessed, and not ours
    stray_note = f"{stray.body}\n{vkey(point.origin).line(SIGNING.sign(stray.body.encode()))}"

    def checks() -> set[str]:
        with open_vault(read_settings()) as other:
            return {one.check for one in other.verify(controller_id).findings}

    assert checks() == set()
    with psycopg.connect(opened.addresses.url, autocommit=True) as owner:
        owner.execute("SET session_replication_role = replica")
        own = {"controller": controller_id, "size": point.size, "other": stray_note}
        owner.execute(f"UPDATE vault.{change} WHERE controller_id = %(controller)s AND size = %(size)s".encode(), own)
        if found == {"signature"}:
            line = witnessed(stray_note, now_s).removeprefix(stray_note)
            row = {**own, "line": line, "at": now_s}
            owner.execute("UPDATE vault.audit_witnessed SET size = 70, line = %(line)s WHERE controller_id = %(controller)s", row)
    assert checks() == found


@pytest.mark.usefixtures("environment")
def test_what_is_no_witnesss_signature_of_our_log_is_refused(
    opened: Opened, controller_id: str, controllers: Controllers, tmp_path: Path
) -> None:
    text, now_s = signed(opened, controller_id), int(opened.vault.now().timestamp())
    other = signed(opened, controllers())
    point = parse_note(text).checkpoint
    stolen = Checkpoint(point.origin, point.size + 1, bytes(32))
    name = VerifierKey(point.origin, opened.vault.signing.checkpoint_key)
    forged = f"{stolen.body}\n{name.line(opened.keyring.sign('audit-sign/1', stolen.body.encode()))}"
    for sent, code in (
        ("x", "checkpoint.syntax"),
        (witnessed(other, now_s), "checkpoint.of-another-log"),
        (witnessed(text.replace(f"\n{point.size}\n", f"\n{point.size + 7}\n"), now_s), "checkpoint.signature"),
        (text, "cosignature.no-pinned-witness"),
        (cosigned(parse_note(text), WITNESS, lambda _message: bytes(64), now_s), "cosignature.signature"),
        (witnessed(text, now_s + 3600), "cosignature.ahead"),
    ):
        refused = cosign(tmp_path / "note", controller_id, sent)
        assert refused.exit_code == 1
        assert [one["code"] for one in json.loads(refused.stdout)["errors"]] == [code]
    refused = cosign(tmp_path / "note", controller_id, witnessed(forged, now_s))
    assert json.loads(refused.stdout.splitlines()[-1])["error"] == "checkpoint-unknown"  # somebody else signs with our key


def test_only_a_file_of_witnesses_nobody_else_writes_to_counts(environment: Path) -> None:
    assert [one.name for one in read_witnesses(environment)] == [WITNESS.name]
    assert read_witnesses(environment.with_name("gone")) == ()
    environment.write_text(LOG_KEY)  # a key, but of no witness
    with pytest.raises(InvalidValue):
        read_witnesses(environment)
    environment.write_text("x")
    with pytest.raises(InvalidValue):
        read_witnesses(environment)
    environment.chmod(0o622)
    with pytest.raises(InvalidValue):
        read_witnesses(environment)


@pytest.mark.usefixtures("environment")
def test_a_recovery_asks_and_does_nothing_where_nothing_is_wrong(controller_id: str) -> None:
    said = f"anna\nbruno\nrestored from backup\n{controller_id}\n"
    refused = runner.invoke(app, ["audit", "recover", "-c", controller_id, "--json"], input=said)
    assert json.loads(refused.stdout.splitlines()[-1])["error"] == "nothing-to-recover"
    refused = runner.invoke(app, ["audit", "recover", "-c", controller_id, "--writer", "wrt_x", "--json"], input=said)
    assert json.loads(refused.stdout.splitlines()[-1])["error"] == "nothing-to-recover"
    refused = runner.invoke(app, ["audit", "recover", "-c", controller_id], input=said.replace(controller_id, "other"))
    assert refused.exit_code == 1
    assert "not-confirmed" in refused.stderr
