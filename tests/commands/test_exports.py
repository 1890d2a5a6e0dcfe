"""`riserbo exports`: a package is made without the worker, and checked without the vault."""

import json
import zipfile
from base64 import b64encode
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.makers import make_context, make_subject
from vault.__main__ import app
from vault.opening import Opened
from vault.operations.download_export import download_export
from vault.operations.export_subject import export_subject
from vault.operations.signing import document_key

runner = CliRunner()


def test_a_package_is_made_and_checked(
    opened: Opened, controller_id: str, database_url: str, keyring_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RISERBO_DATABASE_URL", database_url)
    monkeypatch.setenv("RISERBO_HOME", str(keyring_home))
    subject_id = make_subject(opened.vault, controller_id, {"given_name": "Giulia"}).subject_id
    own = make_context(controller_id, "customer", subject_id=subject_id)
    own = replace(own, caller=replace(own.caller, step_up=True))
    started = export_subject(opened.vault, own, subject_id, "access", "it")
    made = runner.invoke(app, ["exports", "make", "-c", controller_id, "--json"])
    assert (made.exit_code, json.loads(made.stdout)) == (0, {"made": 1}), made.output
    monkeypatch.delenv("RISERBO_DATABASE_URL")
    file = tmp_path / "export.zip"
    file.write_bytes(b"".join(download_export(opened.vault, own, started.export_id, started.passphrase).pieces))
    documents = document_key(opened.vault, controller_id)
    key = f"{documents.name} {b64encode(documents.public).decode()}"
    checked = runner.invoke(app, ["exports", "verify", str(file), "--key", key, "--json"])
    said = json.loads(checked.stdout)
    assert (checked.exit_code, said["verified"], said["wrong"]) == (0, True, []), checked.output
    with zipfile.ZipFile(file, "a") as packed:
        packed.writestr("data/more.json", "[]")
    checked = runner.invoke(app, ["exports", "verify", str(file), "--key", documents.text, "--json"])
    assert (checked.exit_code, json.loads(checked.stdout)["wrong"]) == (1, ["data/more.json"])


@pytest.mark.parametrize(
    ("octets", "key", "pointer"), [(b"", "a AAAA", "--key"), (b"no zip", "a " + "A" * 43 + "=", "FILE"), (b"", "x", "--key")]
)
def test_what_is_no_package_and_no_key_is_named(tmp_path: Path, octets: bytes, key: str, pointer: str) -> None:
    file = tmp_path / "x.zip"
    file.write_bytes(octets)
    done = runner.invoke(app, ["exports", "verify", str(file), "--key", key, "--json"])
    assert (done.exit_code, json.loads(done.stdout)["errors"][0]["pointer"]) == (1, pointer)


def test_a_package_another_signed_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.zip"
    with zipfile.ZipFile(file, "w") as packed:
        packed.writestr("index.html", "")
    done = runner.invoke(app, ["exports", "verify", str(file), "--key", "a " + "A" * 43 + "=", "--json"])
    assert json.loads(done.stdout)["errors"] == [{"pointer": "FILE", "code": "package.manifest"}]
