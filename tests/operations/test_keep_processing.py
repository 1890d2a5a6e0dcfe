"""The records of processing are written each night where they changed, signed, and nothing written before is touched."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
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
    (tmp_path / house).mkdir(mode=0o700)
    (tmp_path / house / "20200101T000000Z.note").write_bytes(b"{}\n")
    assert night(0) == 1
    assert (tmp_path / house / "20200101T000000Z.note").read_bytes() == b"{}\n"


def test_a_file_nobody_signed_or_named_for_tomorrow_hides_no_change(vault: Vault, house: str, tmp_path: Path, night: Night) -> None:
    """Seen failing with any file believed: who wrote one with what is so today kept the records from saying so, for ever."""
    assert night(0) == 1
    (first,) = (tmp_path / house).iterdir()
    document = first.read_bytes().partition(b"\n")[0]
    first.unlink()
    forged = tmp_path / house / "20260101T000000Z.note"
    forged.write_bytes(document + b"\n\n\xe2\x80\x94 riserbo AAAA\n")
    assert night(1) == 1
    whole = max((tmp_path / house).iterdir()).read_bytes()
    for name in ("29991231T000000Z", "zzz"):
        (tmp_path / house / f"{name}.note").write_bytes(whole)
    made = Entry("helpdesk-nine", "helpdesk", "processor", "IT", contract="DPA 9", contract_from=vault.now())
    register_recipient(vault, house, made)
    assert [night(2), night(3)] == [1, 0]


def test_a_directory_others_may_write_is_not_ours(house: str, tmp_path: Path, night: Night) -> None:
    (tmp_path / house).mkdir(mode=0o700)
    (tmp_path / house).chmod(0o770)
    with pytest.raises(Unavailable, match="records-not-writable") as refused:
        night(0)
    assert [one.code for one in refused.value.faults] == ["directory-open-to-others"]


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
    (tmp_path / house / "20200101T000000Z.note").mkdir()
    with pytest.raises(Unavailable, match="records-not-readable"):
        folder.newest(house, datetime(2020, 1, 2, tzinfo=UTC))
