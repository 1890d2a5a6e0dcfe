"""The records of processing are written each night where they changed, signed, and nothing written before is touched."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.conftest import Controllers
from vault.assembly import Vault
from vault.connectors.processing_records import ProcessingRecords
from vault.errors import Unavailable
from vault.notes import holds, split_note
from vault.operations.keep_processing import keep_processing
from vault.operations.register_recipient import register_recipient
from vault.operations.signing import document_key
from vault.recipients.register import Entry

Night = Callable[[int], int]


@pytest.fixture(scope="module")
def house(shared_controllers: Controllers) -> str:
    return shared_controllers()


@pytest.fixture
def night(vault: Vault, house: str, tmp_path: Path) -> Night:
    def come(days: int) -> int:
        return keep_processing(replace(vault, now=lambda: vault.now() + timedelta(days=days)), house, ProcessingRecords(tmp_path))

    return come


def test_they_are_written_when_they_differ_and_never_in_the_place_of_others(
    vault: Vault, house: str, tmp_path: Path, night: Night
) -> None:
    assert [night(0), night(1)] == [1, 0]
    (first,) = (tmp_path / house).iterdir()
    was = first.read_bytes()
    register_recipient(
        vault, house, Entry("helpdesk-two", "helpdesk", "processor", "IT", contract="DPA 2", contract_from=vault.now())
    )
    assert [night(2), night(3)] == [1, 0]
    again, second = sorted((tmp_path / house).iterdir())
    assert again == first
    assert first.read_bytes() == was
    assert b"helpdesk-two" not in was
    assert b"helpdesk-two" in second.read_bytes()
    assert first.stat().st_mode & 0o777 == 0o600
    text, (signature,) = split_note(second.read_bytes().decode())
    assert holds(document_key(vault, house).public, signature.octets, text.encode())


def test_a_file_that_holds_none_is_left_and_they_begin_anew(house: str, tmp_path: Path, night: Night) -> None:
    (tmp_path / house).mkdir()
    (tmp_path / house / "0.note").write_bytes(b"{}\n")
    assert night(0) == 1
    assert (tmp_path / house / "0.note").read_bytes() == b"{}\n"


def test_where_nothing_can_be_written_it_says_so_and_nothing_is_lost(house: str, tmp_path: Path, night: Night) -> None:
    (tmp_path / house).write_text("in the way")
    with pytest.raises(Unavailable, match="records-not-writable"):
        night(0)
    assert (tmp_path / house).read_text() == "in the way"


def test_of_two_written_in_one_second_the_first_stays(vault: Vault, house: str, tmp_path: Path) -> None:
    folder, at = ProcessingRecords(tmp_path), vault.now()
    folder.keep(house, at, b"first\n")
    with pytest.raises(Unavailable, match="records-not-writable"):
        folder.keep(house, at, b"second\n")
    assert [one.read_bytes() for one in (tmp_path / house).iterdir()] == [b"first\n"]
    (tmp_path / house / "9.note").mkdir()
    with pytest.raises(Unavailable, match="records-not-readable"):
        folder.newest(house)
