"""The script of `docs/receipts.md` does what the page says: it trusts a receipt by the public key alone, and nothing else."""

import base64
import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature

from tests.makers import make_context, make_subject
from tests.publishers import describe
from vault.assembly import Vault
from vault.operations.show_receipt import show_receipt

PAGE = Path(__file__).parents[2] / "docs" / "receipts.md"
Check = Callable[[bytes, str, bytes], dict[str, Any]]


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """The lines of the page, as a reader would save them."""
    found = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None
    path = tmp_path / "check.py"
    path.write_text(found[1])
    return path


@pytest.fixture
def check(script: Path) -> Check:
    made: Check = runpy.run_path(str(script))["check"]
    return made


@pytest.fixture
def note(vault: Vault, controller_id: str) -> bytes:
    describe(vault.settings, controller_id)
    person = make_subject(vault, controller_id, {"given_name": "Anna", "email": "anna@example.it"}, ("marketing",))
    context = make_context(controller_id, "customer", subject_id=person.subject_id)
    return show_receipt(vault, context, person.agreements[0], "note").receipt


def test_the_script_checks_a_receipt(vault: Vault, controller_id: str, note: bytes, script: Path, tmp_path: Path) -> None:
    name, public = f"{vault.settings.host}/documents/{controller_id}", vault.signing.document_key
    for octets, fine in ((note, True), (note.replace(b'"it"', b'"en"', 1), False)):
        (tmp_path / "receipt.txt").write_bytes(octets)
        command = [sys.executable, str(script), str(tmp_path / "receipt.txt"), name, base64.b64encode(public).decode()]
        done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path)
        assert (done.returncode == 0) is fine, done.stderr
        assert done.stdout.startswith("https://localhost/receipts/agr_") is fine


def test_the_script_refuses_every_flipped_byte(vault: Vault, controller_id: str, note: bytes, check: Check) -> None:
    name, public = f"{vault.settings.host}/documents/{controller_id}", vault.signing.document_key
    assert check(note, name, public)["@type"] == "dpv:ConsentReceipt"
    accepted = []
    for place in range(len(note)):
        for bit in (1, 128):
            changed = bytearray(note)
            changed[place] ^= bit
            try:
                check(bytes(changed), name, public)
            except (InvalidSignature, ValueError):
                continue
            accepted.append(place)
    assert accepted == []


def test_the_script_refuses_another_name_another_key_and_what_is_cut(
    vault: Vault, controller_id: str, note: bytes, check: Check
) -> None:
    name, public = f"{vault.settings.host}/documents/{controller_id}", vault.signing.document_key
    attempts = [
        (note, name + "x", public),
        (note, name, vault.signing.checkpoint_key),
        (note[:-1], name, public),
        (note + b"\n", name, public),
        (note + note, name, public),
        (note.partition(b"\n\n")[0], name, public),
        (b"", name, public),
    ]
    for octets, said, key in attempts:
        with pytest.raises((InvalidSignature, ValueError)):
            check(octets, said, key)


def test_it_needs_the_standard_library_and_cryptography_alone(script: Path) -> None:
    imported = re.findall(r"^(?:import|from) (.+?)(?: import .*)?$", script.read_text(), re.MULTILINE)
    modules = {one.strip().partition(".")[0] for names in imported for one in names.split(",")}
    assert modules <= sys.stdlib_module_names | {"cryptography"}
