"""A package is whole and as signed, or what is wrong with it is named."""

from base64 import b64encode
from collections.abc import Iterator

import pytest

from tests.exports.test_files import ABOUT, KEY, note_of
from vault.exports.check import check_package, in_pieces, key_given
from vault.exports.manifest import Files, digest_of

DATA = {"data/profile.json": b"[]", "index.html": b"<!doctype html>"}


def package() -> dict[str, bytes]:
    files = Files()
    for name, octets in DATA.items():
        files.add(name, *digest_of(octets))
    line = files.manifest(ABOUT)
    return {**DATA, "manifest.json": line, "manifest.note": note_of(line)}


def wrong(held: dict[str, bytes], *more: str) -> tuple[str, ...]:
    return check_package([*held, *more], lambda name: [held[name]], KEY).wrong


def test_a_whole_package_is_as_signed() -> None:
    checked = check_package(package(), lambda name: [package()[name]], KEY)
    assert (checked.set, checked.snapshot_at, checked.files, checked.wrong) == ("access", ABOUT.snapshot_at, 2, ())


@pytest.mark.parametrize("name", DATA)
def test_a_file_that_is_other_lacking_or_twice_is_named(name: str) -> None:
    held = package()
    assert wrong({**held, name: held[name] + b" "}) == (name,)
    assert wrong({other: octets for other, octets in held.items() if other != name}) == (name,)
    assert wrong(held, name) == (name,)
    assert wrong({**held, "extra.html": b""}) == ("extra.html",)


def test_a_manifest_beside_another_note_is_named() -> None:
    assert wrong({**package(), "manifest.json": b"{}"}) == ("manifest.json",)


@pytest.mark.parametrize("name", ["manifest.json", "manifest.note"])
def test_without_a_manifest_nothing_is_signed(name: str) -> None:
    held = package()
    del held[name]
    with pytest.raises(ValueError, match="manifest"):
        wrong(held)


def test_a_key_is_given_as_the_company_publishes_it() -> None:
    published = f"{KEY.name} {b64encode(KEY.public).decode()}"
    assert key_given(published) == key_given(KEY.text + "\n") == KEY
    for bad in ("", "name", "name AAAA", "name ?", f"{published} x"):
        with pytest.raises(ValueError):
            key_given(bad)


def test_a_large_file_is_read_in_pieces() -> None:
    octets = iter([b"abc", b"de", b""])

    def read(_: int) -> bytes:
        return next(octets)

    pieces: Iterator[bytes] = in_pieces(read)
    assert list(pieces) == [b"abc", b"de"]
