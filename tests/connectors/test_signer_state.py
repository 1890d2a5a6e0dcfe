"""Where the signer keeps what it signed: durable, listed, one signer at a time."""

import json
import threading
from pathlib import Path

import pytest

from vault.connectors.signer_state import LOG_NAME, DirectorySignerState
from vault.errors import AuditUnavailable

ORIGIN = "vault.example/audit/ctl-1/1"


def test_the_newest_note_and_every_note_are_kept(tmp_path: Path) -> None:
    state = DirectorySignerState(tmp_path / "state")
    assert state.last(ORIGIN) is None
    assert list(state.notes(ORIGIN)) == []
    state.keep(ORIGIN, "one\n\n— a b\n", 1)
    state.keep("other", "foreign\n", 2)
    state.keep(ORIGIN, "two\n", 3)
    again = DirectorySignerState(tmp_path / "state")
    assert again.last(ORIGIN) == "two\n"
    assert list(again.notes(ORIGIN)) == ["one\n\n— a b\n", "two\n"]
    assert [path.name for path in (tmp_path / "state" / "last").iterdir() if "draft" in path.name] == []
    assert {oct(path.stat().st_mode & 0o777) for path in (tmp_path / "state").rglob("*") if path.is_file()} == {"0o600"}


def test_the_notes_since_an_instant_begin_with_the_one_that_stood_then(tmp_path: Path) -> None:
    state = DirectorySignerState(tmp_path)
    assert list(state.notes(ORIGIN, 5)) == []
    for at_ms, note in enumerate(("one\n", "two\n", "three\n"), 1):
        state.keep(ORIGIN, note, at_ms)
    assert list(state.notes(ORIGIN, 1)) == ["one\n", "two\n", "three\n"]
    assert list(state.notes(ORIGIN, 3)) == ["two\n", "three\n"]
    assert list(state.notes(ORIGIN, 9)) == ["three\n"]


def test_a_line_a_crash_cut_short_was_never_released_and_harms_no_other(tmp_path: Path) -> None:
    state = DirectorySignerState(tmp_path)
    state.keep(ORIGIN, "one\n", 1)
    with (tmp_path / LOG_NAME).open("ab") as log:
        log.write(b'{"at":2,"origin":"vault.exam')
    assert list(state.notes(ORIGIN)) == ["one\n"]
    state.keep(ORIGIN, "two\n", 3)
    assert list(state.notes(ORIGIN)) == ["one\n", "two\n"]


@pytest.mark.parametrize("damaged", [b"{}\n", b"[}\n", b'"}\n'])
def test_a_damaged_list_is_said_to_be(tmp_path: Path, damaged: bytes) -> None:
    state = DirectorySignerState(tmp_path)
    state.keep(ORIGIN, "one\n", 1)
    with (tmp_path / LOG_NAME).open("ab") as log:
        log.write(damaged)
    with pytest.raises(AuditUnavailable):
        list(state.notes(ORIGIN))


OTHER = "vault.example/audit/ctl-1/10"


@pytest.mark.parametrize("spoilt", [b'"note":"x"y"}', b'"note":"x}', b'"note":"\xff"}', b'"note":"x","at":[}'])
def test_a_damaged_line_of_one_log_stops_no_other(tmp_path: Path, spoilt: bytes) -> None:
    state = DirectorySignerState(tmp_path)
    state.keep(ORIGIN, "one\n", 1)
    with (tmp_path / LOG_NAME).open("ab") as log:
        log.write(b'{"at":2,"origin":"' + OTHER.encode() + b'",' + spoilt + b"\n")
    state.keep(ORIGIN, "two\n", 3)
    assert list(state.notes(ORIGIN)) == ["one\n", "two\n"]
    with pytest.raises(AuditUnavailable):
        list(state.notes(OTHER))


@pytest.mark.parametrize("begins", [b'{"at":x,"origin":"a",', b'{"at":2,"origin":"a\xff",', b'{"at":2,"origin":"a', b'"at":2,'])
def test_a_line_that_does_not_say_whose_it_is_stops_every_log(tmp_path: Path, begins: bytes) -> None:
    state = DirectorySignerState(tmp_path)
    state.keep(ORIGIN, "one\n", 1)
    with (tmp_path / LOG_NAME).open("ab") as log:
        log.write(begins + b'"note":"x"}\n')
    with pytest.raises(AuditUnavailable):
        list(state.notes(ORIGIN))


@pytest.mark.parametrize("origin", ['vault.example/audit/a"b/1', "vault.example/audit/a\\b/1", "vault.example/audit/è/1"])
def test_an_origin_however_it_is_spelt_in_a_line_is_found(tmp_path: Path, origin: str) -> None:
    state = DirectorySignerState(tmp_path)
    state.keep(origin, "one\n", 1)
    with (tmp_path / LOG_NAME).open("ab") as log:
        log.write(json.dumps({"origin": origin, "at": 2, "note": "two\n"}).encode() + b"\n")
    state.keep(ORIGIN, "three\n", 3)
    assert list(state.notes(origin)) == ["one\n", "two\n"]
    assert list(state.notes(ORIGIN)) == ["three\n"]


def test_a_place_that_cannot_be_written_or_read_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    state = DirectorySignerState(tmp_path / "file")
    with pytest.raises(AuditUnavailable):
        state.keep(ORIGIN, "one\n", 1)
    with pytest.raises(AuditUnavailable):
        state.last(ORIGIN)
    with pytest.raises(AuditUnavailable), state.holding():
        pass
    other = DirectorySignerState(tmp_path / "state")
    other.keep(ORIGIN, "one\n", 1)
    other._place(ORIGIN).write_bytes(b"\xff")
    with pytest.raises(AuditUnavailable):
        other.last(ORIGIN)


def test_one_signer_at_a_time(tmp_path: Path) -> None:
    state, order = DirectorySignerState(tmp_path), []

    def second() -> None:
        with DirectorySignerState(tmp_path).holding():
            order.append("second")

    with state.holding():
        other = threading.Thread(target=second)
        other.start()
        other.join(timeout=0.1)
        assert other.is_alive()
        order.append("first")
    other.join()
    assert order == ["first", "second"]
