"""A key export opens whole, with its root, for its installation; anything else is Unreadable, whatever it was."""

from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography.cobblestone import Cobblestone256Encryptor
from hypothesis import given
from hypothesis import strategies as st

from tests.keys.makers import INSTALLATION, INSTANT, make_file_keyring
from vault.connectors.keyrings.file import FileKeyring
from vault.errors import Unreadable
from vault.keys.key_exports import HEADER_MAX_BYTES, header_of, open_export, read_header, seal_export
from vault.octets import lp

ROWS: list[tuple[str, str, dict[str, Any]]] = [
    ("ctl-1", "data_key_wrap", {"wrap": b"\0\1\2", "epoch": 7}),
    ("ctl-2", "token", {"token_id": b"t", "subject_id": "sub-1"}),
]
SPELT = [
    ("ctl-1", "data_key_wrap", {"wrap": "AAEC", "epoch": 7}),
    ("ctl-2", "token", {"token_id": "dA==", "subject_id": "sub-1"}),
]


@pytest.fixture(scope="module")
def holder(tmp_path_factory: pytest.TempPathFactory) -> FileKeyring:
    found = make_file_keyring(tmp_path_factory.mktemp("exports"))
    found.create_root(7)
    return found


@pytest.fixture(scope="module")
def export(holder: FileKeyring) -> bytes:
    return b"".join(seal_export(holder, INSTALLATION, INSTANT, 7, 41, iter(ROWS)))


def opened(holder: FileKeyring, *pieces: bytes) -> list[Any]:
    return list(open_export(holder, INSTALLATION, pieces))


@pytest.mark.parametrize("size", [1, 100, 1 << 20])
def test_what_was_exported_is_read_again_in_pieces_of_any_size(holder: FileKeyring, export: bytes, size: int) -> None:
    assert opened(holder, *(export[at : at + size] for at in range(0, len(export), size))) == SPELT


def test_many_rows_are_sealed_piece_by_piece(holder: FileKeyring) -> None:
    drawn: list[int] = []

    def rows() -> Iterator[tuple[str, str, dict[str, Any]]]:
        for number in range(20_000):
            drawn.append(number)
            yield "ctl-1", "token", {"token_id": number.to_bytes(32)}

    pieces = seal_export(holder, INSTALLATION, INSTANT, 7, 41, rows())
    first, second = next(pieces), next(pieces)
    assert len(drawn) < 10_000
    assert len(list(open_export(holder, INSTALLATION, [first, second, *pieces]))) == 20_000


def test_it_says_how_many_lines_the_ledger_had_and_one_from_before_says_nothing(export: bytes) -> None:
    assert header_of([export[:20], export[20:]]).ledger_n == 41
    assert header_of([header(lambda said: said.replace(b'"ledger_n":41,', b""), export)]).ledger_n is None


def test_nothing_of_the_rows_is_in_clear(export: bytes) -> None:
    assert export.count(b"ctl-1") == export.count(b"sub-1") == export.count(b"data_key_wrap") == 0


@given(data=st.data())
def test_any_flipped_bit_and_any_cut_is_unreadable(holder: FileKeyring, export: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(export) - 1))
    flipped = export[:at] + bytes([export[at] ^ 1 << data.draw(st.integers(0, 7))]) + export[at + 1 :]
    for false in (flipped, export[:at]):
        with pytest.raises(Unreadable):
            opened(holder, false)


def header(change: Callable[[bytes], bytes], export: bytes) -> bytes:
    _, end = read_header(export)
    said = change(export[8:end])
    return export[:4] + len(said).to_bytes(4) + said + export[end:]


@pytest.mark.parametrize(
    "change",
    [
        lambda said: said.replace(b'"epoch":7', b'"epoch": 7'),
        lambda said: said.replace(b'"epoch":7', b'"epoch":8'),
        lambda said: said.replace(b'"installation":"riserbo"', b'"installation":"another"'),
        lambda said: said.replace(b'"ledger_n":41', b'"ledger_n":40'),
        lambda said: said.replace(b'"ledger_n":41', b'"ledger_n":"41"'),
        lambda said: said.replace(b'"ledger_n":41', b'"ledger_n":null'),
        lambda said: said.replace(b'"ledger_n":41,', b""),
        lambda said: said.replace(b'"sealed":[', b'"sealed":[{},'),
        lambda said: said.replace(b'"blob":"', b'"blob":"!'),
        lambda said: said.replace(b'"sealed"', b'"sealen"'),
        lambda _: b"7",
        lambda _: b"[]",
        lambda _: b"{",
        lambda _: b"",
        lambda said: said + b" " * HEADER_MAX_BYTES,
    ],
)
def test_a_header_spelt_otherwise_is_none(holder: FileKeyring, export: bytes, change: Callable[[bytes], bytes]) -> None:
    with pytest.raises(Unreadable):
        opened(holder, header(change, export))


def sealed(holder: FileKeyring, export: bytes, body: bytes) -> bytes:
    """Return an export of this body, sealed as ours are."""
    found, end = read_header(export)
    (key,) = holder.unwrap([(found.blob, found.context)])
    assert isinstance(key, bytes)
    under = Cobblestone256Encryptor(key, lp("riserbo.export.v1") + sha256(export[:end]).digest())
    return export[:end] + bytes(under.update(body)) + bytes(under.finalize())


END = b'{"end":true,"rows":0}\n'


@pytest.mark.parametrize("body", [b"", b'{"controller":', b"7 7\n", b'{"end":true,"rows":1}\n', END[:-1]])
def test_what_does_not_end_with_the_number_of_its_rows_is_unreadable(holder: FileKeyring, export: bytes, body: bytes) -> None:
    assert opened(holder, sealed(holder, export, END)) == []
    with pytest.raises(Unreadable):
        opened(holder, sealed(holder, export, body))


def test_another_installation_opens_nothing(holder: FileKeyring, export: bytes) -> None:
    with pytest.raises(Unreadable):
        list(open_export(holder, "another", [export]))


def test_once_the_root_is_destroyed_it_opens_nothing(tmp_path: Path) -> None:
    own = make_file_keyring(tmp_path)
    own.create_root(7)
    export = b"".join(seal_export(own, INSTALLATION, INSTANT, 7, 41, iter(ROWS)))
    assert opened(own, export) == SPELT
    own.destroy_root(7)
    with pytest.raises(Unreadable):
        opened(own, export)


def test_what_is_no_row_is_not_exported(holder: FileKeyring) -> None:
    with pytest.raises(TypeError):
        list(seal_export(holder, INSTALLATION, INSTANT, 7, 41, [("ctl-1", "token", {"token_id": object()})]))
