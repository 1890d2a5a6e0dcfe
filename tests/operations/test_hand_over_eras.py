"""A person's bundle after a recovery: it says that older entries are not in it, and the check of it says so too."""

import json
from pathlib import Path

import pytest

from tests.operations.conftest import Ledger
from tests.operations.test_recover import DECIDED, closed, reached
from tests.operations.test_show_accesses import House, house, rows
from vault.audit import offline
from vault.audit.checkpoint import origin
from vault.notes import VerifierKey

__all__ = ["house"]  # a fixture


def checked(house: House, files: dict[str, bytes], place: Path, era: int, capsys: pytest.CaptureFixture[str]) -> str:
    """Check a bundle as a customer would; return what is said."""
    for path, octets in files.items():
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).write_bytes(octets)
    key = VerifierKey(origin(house.vault.settings.host, house.controller_id, era), house.vault.signing.checkpoint_key).text
    assert offline.main(["report", str(place), "--key", key]) == 0
    return capsys.readouterr().out


def test_a_bundle_says_how_many_eras_are_not_in_it(
    house: House, ledger: Ledger, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Seen failing while it held the present era and said that none is missing."""
    house.look("t1")
    files = house.files()
    assert json.loads(files["accesses/accesses.json"])["eras_before"] == 0
    assert "earlier eras" not in checked(house, files, tmp_path / "one", 1, capsys)
    ledger.opened.state._place(origin(house.vault.settings.host, house.controller_id, 1)).unlink()
    assert reached(lambda: "signer-state-missing" in closed(ledger.opened, house.controller_id))
    ledger.opened.recover(house.controller_id, DECIDED)
    assert reached(lambda: not closed(ledger.opened, house.controller_id))
    files = house.files()
    assert [one["operation"] for one in rows(files)] == ["show_accesses"]
    assert json.loads(files["accesses/accesses.json"])["eras_before"] == 1
    assert "Entries of 1 earlier eras are not in this report" in checked(house, files, tmp_path / "two", 2, capsys)
