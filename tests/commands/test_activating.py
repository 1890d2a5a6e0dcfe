"""`riserbo policy new-key`, `sign`, `activate`, `rollback`, `history`: as two people and an operator type them."""

import json
from base64 import b64decode, b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner

from tests.policy.deciders import digest_of
from tests.policy.makers import altered, bundle, shipped_text
from vault.__main__ import app
from vault.connectors.policy_keys import read_key
from vault.errors import InvalidValue
from vault.opening import Opened

runner = CliRunner()
SHIPPED = bundle().digest
Typed = Callable[..., tuple[int, Any]]


@pytest.fixture
def typed(database_url: str, keyring_home: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Typed:
    """Type a command under `riserbo policy`; return its exit status and its document."""
    monkeypatch.setenv("RISERBO_DATABASE_URL", database_url)
    monkeypatch.setenv("RISERBO_HOME", str(keyring_home))
    monkeypatch.setenv("RISERBO_POLICY_KEYS", str(tmp_path / "policy.keys"))

    def type_in(*words: str | Path) -> tuple[int, Any]:
        ran = runner.invoke(app, ["policy", *map(str, words), "--json"])
        return ran.exit_code, json.loads(ran.stdout.splitlines()[-1])  # before it, in this process, lines of the log

    return type_in


@pytest.fixture
def people(typed: Typed, tmp_path: Path) -> dict[str, Path]:
    """Two people with keys of their own, and the file that says whose signatures count."""
    lines, keys = [], {}
    for group, person in (("policy", "ada"), ("dpo", "cora")):
        keys[person] = tmp_path / f"{person}.key"
        status, made = typed("new-key", f"acme/{person}", keys[person])
        assert status == 0
        lines.append(f"{group} {person} {made['key']}\n")
    (tmp_path / "policy.keys").write_text("".join(lines))
    return keys


@pytest.fixture
def other(tmp_path: Path) -> Path:
    return altered(tmp_path, {"limits.yaml": shipped_text("limits.yaml").replace("hide_after_s: 60", "hide_after_s: 30")})


def codes(document: Any) -> list[str]:
    return [one["code"] for one in document["errors"]]


def test_two_people_sign_and_a_bundle_comes_into_force_and_goes_back(
    typed: Typed, people: dict[str, Path], other: Path, controller_id: str, tmp_path: Path
) -> None:
    note, back = tmp_path / "note", tmp_path / "back"
    status, made = typed("sign", note, "--key", people["ada"], "--bundle", other, "-c", controller_id)
    assert (status, made["sequence"], made["previous"], made["digest"]) == (0, 2, SHIPPED, digest_of(other))
    status, alone = typed("activate", note, "--bundle", other, "-c", controller_id)
    assert (status, alone["error"], codes(alone)) == (1, "policy-refused", ["note.unsigned-by-dpo"])
    status, again = typed("sign", note, "--key", people["ada"], "--bundle", other)
    assert (status, codes(again)) == (1, ["note.signed-already"])
    assert codes(typed("sign", note, "--key", people["cora"])[1]) == ["note.other-bundle"]  # the shipped one
    assert typed("sign", note, "--key", people["cora"], "--bundle", other)[0] == 0
    status, done = typed("activate", note, "--bundle", other, "-c", controller_id)
    assert (status, done["sequence"], done["digest"], done["signed"]) == (0, 2, digest_of(other), True)
    assert typed("sign", back, "--key", people["ada"], "--digest", SHIPPED, "-c", controller_id)[0] == 0
    assert typed("sign", back, "--key", people["cora"], "--digest", SHIPPED)[0] == 0
    status, done = typed("rollback", back, "-c", controller_id)
    assert (status, done["sequence"], done["digest"]) == (0, 3, SHIPPED)
    status, told = typed("history", "-c", controller_id)
    assert [(one["sequence"], one["signed"]) for one in told["activations"]] == [(1, False), (2, True), (3, True)]
    words = runner.invoke(app, ["policy", "history", "-c", controller_id])
    assert SHIPPED in words.stderr


def test_a_note_is_signed_where_no_vault_can_be_reached(
    typed: Typed, people: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RISERBO_DATABASE_URL", "postgresql:///nothing?host=/nonexistent")
    line = ("sign", tmp_path / "note", "--key", people["ada"], "--sequence", "1", "--previous", "-")
    assert codes(typed(*line)[1]) == ["needs --previous and --controller"]
    status, made = typed(*line, "-c", "acme", "--not-before", "2026-04-01T00:00:00Z")
    assert (status, made["controller_id"], made["previous"]) == (0, "acme", None)
    assert made["not_before"] == "2026-04-01T00:00:00+00:00"
    words = runner.invoke(app, ["policy", *map(str, line), "-c", "Not A Name"])
    assert words.exit_code == 1


def test_what_cannot_be_read_or_is_unsound_is_named(
    typed: Typed, people: dict[str, Path], tmp_path: Path, controller_id: str
) -> None:
    unsound = altered(tmp_path / "unsound", {"limits.yaml": "schema: other/1\n"})
    status, told = typed("sign", tmp_path / "note", "--key", people["ada"], "--bundle", unsound, "-c", controller_id)
    assert (status, told["error"], told["errors"][0]["pointer"]) == (1, "policy-unsound", "limits.yaml")
    assert codes(typed("activate", tmp_path / "no-note", "-c", controller_id)[1]) == ["note.unreadable"]
    (tmp_path / "empty").write_text("")
    assert codes(typed("sign", tmp_path / "empty", "--key", people["ada"])[1]) == ["note.unfit"]
    assert codes(typed("rollback", tmp_path / "empty", "-c", controller_id)[1]) == ["note.unfit"]
    (tmp_path / "policy.keys").write_text("dpo\n")
    assert codes(typed("rollback", tmp_path / "empty", "-c", controller_id)[1]) == ["keys.unfit"]
    for mode in (0o664, 0o646):  # whoever may add two lines is two people
        (tmp_path / "policy.keys").chmod(mode)
        assert codes(typed("rollback", tmp_path / "empty", "-c", controller_id)[1]) == ["keys.writable-by-others"]
    (tmp_path / "policy.keys").unlink()
    assert codes(typed("rollback", tmp_path / "empty", "-c", controller_id)[1]) == ["missing"]


def test_a_table_that_differs_is_told(
    typed: Typed, people: dict[str, Path], controller_id: str, opened: Opened, tmp_path: Path
) -> None:
    opened.trail.settle(controller_id)
    with psycopg.connect(opened.addresses.url, autocommit=True) as owner:
        owner.execute("SET session_replication_role = replica")
        owner.execute(
            "UPDATE vault.policy_activation SET digest = %s WHERE controller_id = %s", ("sha256:" + "0" * 64, controller_id)
        )
    status, told = typed("history", "-c", controller_id)
    assert (status, told["error"]) == (1, "policy-table-differs")
    assert typed("sign", tmp_path / "note", "--key", people["ada"], "-c", controller_id)[1]["error"] == "policy-table-differs"
    explained = typed("explain", "dec_" + "a" * 26, "-c", controller_id)
    assert explained[1]["error"] == "policy-table-differs"


def test_a_private_key_is_its_owner_s_alone(typed: Typed, people: dict[str, Path], tmp_path: Path) -> None:
    assert people["ada"].stat().st_mode & 0o777 == 0o600
    assert read_key(people["ada"]).public.name == "acme/ada"
    assert "PRIVATE" not in repr(read_key(people["ada"]))
    assert codes(typed("new-key", "acme/ada", people["ada"])[1]) == ["file.there-or-not-writable"]
    assert codes(typed("new-key", "two words", tmp_path / "new")[1]) == ["name.unfit"]
    people["ada"].chmod(0o640)
    with pytest.raises(InvalidValue) as refusal:
        read_key(people["ada"])
    assert refusal.value.faults[0].code == "key.readable-by-others"
    text = people["cora"].read_text()
    *parts, encoded = text.strip().split("+", 4)
    head = "+".join(parts)
    witness = f"{head}+{b64encode(bytes([4]) + b64decode(encoded)[1:]).decode()}"
    for spoilt in ("", "x", "PRIVATE+KEY+a+b+c", text.replace("acme/", "acne/"), witness, f"{head}+AQ=="):
        people["cora"].write_text(spoilt)
        with pytest.raises(InvalidValue) as refusal:
            read_key(people["cora"])
        assert refusal.value.faults[0].code == "key.unfit"
    with pytest.raises(InvalidValue) as refusal:
        read_key(tmp_path / "nobody")
    assert refusal.value.faults[0].code == "key.unreadable"
    assert runner.invoke(app, ["policy", "new-key", "acme/dora", str(tmp_path / "dora.key")]).stdout.startswith("acme/dora+")
