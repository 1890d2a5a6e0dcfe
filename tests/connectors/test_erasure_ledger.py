"""The erasure ledger on disk: durable in every copy or in none, mended after a crash, refused where it cannot be trusted."""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from vault.connectors.erasure_ledger import FILE_NAME, DirectoryLedger
from vault.erasure.ledger import EMPTY, Said
from vault.errors import LedgerUnavailable

KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
FOUND = Said("found", "ctl-1", 1)
INTENT = Said("intent", "ctl-1", 2, "ab" * 32)
Open = Callable[..., DirectoryLedger]


@pytest.fixture
def open_ledger(tmp_path: Path) -> Open:
    def opened(**other: Any) -> DirectoryLedger:
        said = {
            "directories": (tmp_path / "one", tmp_path / "two"), "forbidden": [tmp_path / "data"], "sign": KEY.sign,
            "public": KEY.public_key().public_bytes_raw(), "mac": lambda message: message[:32].ljust(32),
        }  # fmt: skip
        return DirectoryLedger(**{**said, **other})

    return opened


def copies(tmp_path: Path) -> list[bytes]:
    return [(tmp_path / name / FILE_NAME).read_bytes() for name in ("one", "two")]


def refusal(act: Callable[[], Any]) -> str:
    with pytest.raises(LedgerUnavailable) as refused:
        act()
    return refused.value.faults[0].code


def test_a_line_is_in_every_copy_and_read_by_every_process(open_ledger: Open, tmp_path: Path) -> None:
    ledger, other = open_ledger(), open_ledger()
    assert ledger.standing("ctl-1", None) == "unfounded"
    line = ledger.append(FOUND)
    assert copies(tmp_path) == [line.octets + b"\n"] * 2
    assert other.standing("ctl-1", line.tail) == "level"
    intent = other.append(INTENT)
    assert [one.number for one in ledger.unfinished("ctl-1")] == [intent.number] == [2]
    assert list(ledger.lines()) == [line, intent]
    assert list(open_ledger().lines(after=1)) == [intent]
    assert {oct(path.stat().st_mode & 0o777) for path in tmp_path.rglob("*")} == {"0o700", "0o600"}
    assert ledger.name("ctl-1", "sub-1") == (b"\0\x11riserbo.ledger.v1\0\x05ctl-1\0\x05sub-1")[:32].hex()


def test_one_that_has_fewer_lines_than_it_is_known_to_have_had_is_behind_every_database(open_ledger: Open) -> None:
    line = open_ledger().append(FOUND)
    known = open_ledger(at_least=2)
    assert known.standing("ctl-1", line.tail) == known.standing("ctl-1", None) == known.standing("ctl-2", None) == "behind"
    known.append(INTENT)
    assert known.standing("ctl-1", line.tail) == "level"


@pytest.mark.parametrize("order", [("one", "two"), ("two", "one")])
def test_two_who_write_at_once_do_not_take_one_number(open_ledger: Open, tmp_path: Path, order: tuple[str, str]) -> None:
    """Whichever copy each calls its first. Seen failing with the first alone locked: copies that contradict each other."""
    ledgers = [open_ledger(), open_ledger(directories=tuple(tmp_path / name for name in order))]
    threads = [threading.Thread(target=lambda one=one: [one.append(INTENT) for _ in range(10)]) for one in ledgers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one.number for one in open_ledger().lines()] == list(range(1, 21))


@pytest.mark.parametrize("torn", ["one", "two"])
def test_what_a_crash_left_of_a_line_is_cut_off(open_ledger: Open, tmp_path: Path, torn: str) -> None:
    first = open_ledger().append(FOUND)
    with (tmp_path / torn / FILE_NAME).open("ab") as file:
        file.write(b'{"agr":[],"ctl":"ct')
    assert list(open_ledger().lines()) == [first]
    assert copies(tmp_path) == [first.octets + b"\n"] * 2


@pytest.mark.parametrize("behind", ["one", "two"])
def test_a_line_only_one_copy_has_is_given_to_the_other(open_ledger: Open, tmp_path: Path, behind: str) -> None:
    ledger = open_ledger()
    first, second = ledger.append(FOUND), ledger.append(INTENT)
    (tmp_path / behind / FILE_NAME).write_bytes(first.octets + b"\n")
    assert list(open_ledger().lines()) == [first, second]
    (tmp_path / behind / FILE_NAME).unlink()
    assert open_ledger().append(INTENT).number == 3
    assert len(set(copies(tmp_path))) == 1


def test_what_was_read_of_one_copy_is_given_to_the_other_before_the_next_line(open_ledger: Open, tmp_path: Path) -> None:
    """Who wrote died after one copy, which had been read. Seen failing: with the next line the copies contradicted each other."""
    living, dying = open_ledger(), open_ledger()
    first = living.append(FOUND)
    second = dying.append(INTENT)
    (tmp_path / "two" / FILE_NAME).write_bytes(first.octets + b"\n")
    assert list(living.lines()) == [first, second]
    third = living.append(INTENT)
    assert len(set(copies(tmp_path))) == 1
    assert list(open_ledger().lines()) == [first, second, third]


@pytest.mark.parametrize("behind", ["one", "two"])
def test_a_copy_that_became_shorter_than_it_was_is_refused(open_ledger: Open, tmp_path: Path, behind: str) -> None:
    ledger = open_ledger()
    ledger.append(FOUND)
    (tmp_path / behind / FILE_NAME).write_bytes(b"")
    assert refusal(lambda: ledger.append(INTENT)) == "shorter-than-it-was"


@pytest.mark.parametrize("broken", ["one", "two"])
def test_a_line_that_cannot_be_in_every_copy_is_in_none(open_ledger: Open, tmp_path: Path, broken: str) -> None:
    ledger = open_ledger()
    first = ledger.append(FOUND)
    place, aside = tmp_path / broken / FILE_NAME, tmp_path / "aside"
    place.rename(aside)
    place.symlink_to("/dev/full")
    assert refusal(lambda: ledger.append(INTENT)) == "not-writable"
    place.unlink()
    aside.rename(place)
    assert list(open_ledger().lines()) == [first]
    assert ledger.append(INTENT).number == 2


def test_a_disk_that_is_full_takes_the_line_from_no_copy(
    open_ledger: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = open_ledger()
    first, synced = ledger.append(FOUND), []

    def fsync(handle: int) -> None:  # the system's, the second time it is asked: the first copy has the line then
        synced.append(handle)
        if len(synced) == 2:
            raise OSError

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fsync)
        assert refusal(lambda: ledger.append(INTENT)) == "not-writable"
    assert len(synced) == 4  # and taken back from both
    assert copies(tmp_path) == [first.octets + b"\n"] * 2
    assert ledger.standing("ctl-1", first.tail) == "level"


def test_copies_that_contradict_each_other_are_refused(open_ledger: Open, tmp_path: Path) -> None:
    open_ledger().append(FOUND)
    other = open_ledger(directories=(tmp_path / "three", tmp_path / "four"))
    other.append(INTENT)
    (tmp_path / "two" / FILE_NAME).write_bytes((tmp_path / "three" / FILE_NAME).read_bytes())
    assert refusal(open_ledger) == "copies-differ"


def test_what_was_not_written_by_us_is_refused_and_stays_refused(open_ledger: Open, tmp_path: Path) -> None:
    stranger = Ed25519PrivateKey.from_private_bytes(bytes([1] * 32))
    ledger = open_ledger()
    line = open_ledger(sign=stranger.sign, public=stranger.public_key().public_bytes_raw()).append(FOUND)
    assert refusal(open_ledger) == "not-signed-by-us"
    assert refusal(lambda: ledger.standing("ctl-1", None)) == "not-signed-by-us"
    assert refusal(lambda: ledger.append(INTENT)) == "not-signed-by-us"
    for name in ("one", "two"):
        (tmp_path / name / FILE_NAME).write_bytes(line.octets[1:] + b"\n")
    assert refusal(open_ledger) == "broken"
    assert refusal(lambda: ledger.unfinished("ctl-1")) == "not-signed-by-us"


def test_a_ledger_that_became_shorter_is_refused(open_ledger: Open, tmp_path: Path) -> None:
    ledger = open_ledger()
    ledger.append(FOUND)
    (tmp_path / "one" / FILE_NAME).write_bytes(b"")
    assert refusal(lambda: ledger.standing("ctl-1", EMPTY)) == "shorter-than-it-was"
    assert refusal(lambda: ledger.append(INTENT)) == "shorter-than-it-was"


def pipe(root: Path) -> None:
    (root / "one" / FILE_NAME).unlink()
    os.mkfifo(root / "one" / FILE_NAME, 0o600)


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda root: (root / "two").chmod(0o755), "directory-open-to-others"),
        (lambda root: (root / "one" / FILE_NAME).chmod(0o644), "file-open-to-others"),
        (lambda root: [(root / "one").rename(root / "x"), (root / "one").symlink_to(root / "x")], "not-a-directory"),
        (lambda root: [(root / "one" / FILE_NAME).unlink(), (root / "one" / FILE_NAME).mkdir(mode=0o600)], "not-writable"),
        (pipe, "not-a-file"),
    ],
)
def test_what_others_could_change_is_refused(open_ledger: Open, tmp_path: Path, spoil: Callable[[Path], Any], code: str) -> None:
    ledger = open_ledger()
    ledger.append(FOUND)
    spoil(tmp_path)
    assert refusal(lambda: ledger.append(INTENT)) == code


def test_a_place_for_backups_or_a_single_copy_is_refused(open_ledger: Open, tmp_path: Path) -> None:
    assert refusal(lambda: open_ledger(directories=(tmp_path / "one", tmp_path / "data" / "x"))) == "inside-data"
    assert refusal(lambda: open_ledger(directories=(tmp_path / "one",))) == "too-few-copies"
    assert refusal(lambda: open_ledger(directories=(tmp_path / "one", tmp_path / "two" / ".." / "one"))) == "too-few-copies"
    assert not (tmp_path / "one").exists()


def test_a_line_that_rots_is_noticed_when_it_is_read(open_ledger: Open, tmp_path: Path) -> None:
    ledger = open_ledger()
    line = ledger.append(FOUND)
    (tmp_path / "one" / FILE_NAME).write_bytes(b"x" * len(line.octets) + b"\n")
    assert refusal(lambda: list(ledger.lines())) == "not-readable"
    (tmp_path / "one" / FILE_NAME).unlink()
    assert refusal(lambda: list(ledger.lines())) == "not-readable"
