"""The files of an export: tables, manifest, page, ZIP."""

import csv
import io
import zipfile
from html.parser import HTMLParser
from typing import Any

import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from vault.exports import page as pages
from vault.exports import zipped
from vault.exports.manifest import About, Files, checked_manifest, differences, digest_of, media_type
from vault.exports.sheets import MARK, cell, sheet
from vault.exports.zipped import Package
from vault.notes import VerifierKey

ABOUT = About("req-1", "access", "2026-10-12T10:00:00Z", "it", "sha256:00", "sha256:01", 3, 1)
SIGNER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KEY = VerifierKey("vault.example/documents/ctl", SIGNER.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))


def note_of(line: bytes) -> bytes:
    body = line + b"\n"
    return body + b"\n" + KEY.line(SIGNER.sign(body)).encode()


# --- tables ------------------------------------------------------------------------------------------------------------------


@given(st.lists(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), min_size=2, max_size=2)))
def test_a_table_is_read_back_and_no_cell_is_a_formula(rows: list[list[str]]) -> None:
    made = b"".join(sheet(("a", "b"), [dict(zip("ab", row, strict=True)) for row in rows]))
    assert made.startswith(MARK)
    assert made.endswith(b"\r\n")
    read = list(csv.reader(io.StringIO(made.removeprefix(MARK).decode(), newline=""), strict=True))
    assert read == [["a", "b"], *([cell(one) for one in row] for row in rows)]
    assert not any(one.startswith(("=", "+", "-", "@", "\t", "\r")) for row in read for one in row)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("=1+1", "'=1+1"), ("+39 333", "'+39 333"), ("-5", "'-5"), ("@x", "'@x"), ("\tx", "'\tx"), ("\rx", "'\rx"), (-5, "'-5"),
        ("plain", "plain"), (None, ""), (7, "7"), (True, "true"), (["a", "b"], "a b"), ([1], "[1]"),
        ({"b": 1, "a": 2}, '{"a":2,"b":1}'),
        (["=a"], "'=a"),
    ],
)  # fmt: skip
def test_a_cell_shows_what_it_holds(value: object, shown: str) -> None:
    assert cell(value) == shown


# --- the manifest --------------------------------------------------------------------------------------------------------------


def test_a_manifest_is_rfc_8785_and_says_every_file() -> None:
    files = Files()
    files.add("data/profile.json", 5, bytes(32))
    files.add("accesses/checkpoint", 7, bytes([1] * 32))
    said = checked_manifest(note_of(files.manifest(ABOUT)), KEY)
    assert rfc8785.dumps(said) == files.manifest(ABOUT)
    assert [one["path"] for one in said["files"]] == ["data/profile.json", "accesses/checkpoint"]
    assert [one["media_type"] for one in said["files"]] == ["application/json", "text/plain; charset=utf-8"]
    assert said["fields"] == {"exported": 3, "withheld": 1}
    assert media_type("info/agreements/a.jsonld") == "application/ld+json"


def test_a_manifest_with_one_byte_altered_does_not_verify() -> None:
    note = note_of(Files().manifest(ABOUT))
    end = note.index(b"\n")
    for at in range(end):
        altered = note[:at] + bytes([note[at] ^ 1]) + note[at + 1 :]
        with pytest.raises(ValueError):
            checked_manifest(altered, KEY)
    other = VerifierKey("somebody.else", KEY.public)
    with pytest.raises(ValueError):
        checked_manifest(note, other)


@pytest.mark.parametrize("line", [b'{"v": 1}', b'{"v":2}', b"[]"], ids=["blanks", "another-version", "a-list"])
def test_a_signed_line_of_another_form_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError):
        checked_manifest(note_of(line), KEY)


def test_what_differs_from_the_manifest_is_named() -> None:
    files = Files()
    found = {name: digest_of(name.encode()) for name in ("a", "b", "c")}
    for name, known in found.items():
        files.add(name, *known)
    said = checked_manifest(note_of(files.manifest(ABOUT)), KEY)
    assert differences(said, found) == []
    assert differences(said, found | {"b": digest_of(b"x")}) == ["b"]
    assert differences(said, found | {"d": digest_of(b"x")}) == ["d"]
    assert differences(said, {"a": found["a"], "c": found["c"]}) == ["b"]
    said["files"].append(said["files"][0])
    assert differences(said, found) == ["manifest.json"]


# --- the ZIP -----------------------------------------------------------------------------------------------------------------


def package(files: dict[str, list[bytes]]) -> tuple[bytes, Package]:
    made = bytearray()
    packed = Package(made.extend)
    for path, pieces in files.items():
        packed.add(path, pieces)
    packed.close()
    return bytes(made), packed


@given(st.dictionaries(st.from_regex(r"[a-z]{1,8}(/[a-z]{1,8})?\.json", fullmatch=True), st.lists(st.binary(max_size=99))))
def test_a_package_is_read_back_by_anybody_s_program(files: dict[str, list[bytes]]) -> None:
    octets, packed = package(files)
    with zipfile.ZipFile(io.BytesIO(octets)) as read:
        assert read.testzip() is None
        assert {name: read.read(name) for name in read.namelist()} == {name: b"".join(one) for name, one in files.items()}
    assert package(files)[0] == octets
    assert packed.written == len(octets)


def test_more_files_than_an_old_zip_counts_are_one_package() -> None:
    octets, packed = package({f"p/{at}.json": [b"x"] for at in range(70_000)})
    with zipfile.ZipFile(io.BytesIO(octets)) as read:
        assert len(read.namelist()) == packed.count == 70_000
        assert read.read("p/69999.json") == b"x"


@pytest.mark.parametrize("path", ["", "/etc/x", "../x", "a/../x", "a//b", "a b", "a\\b", ".x", "è", "a/"])
def test_a_path_that_could_leave_a_folder_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="not a path"):
        package({path: [b"x"]})


def test_a_package_larger_than_a_zip_can_say_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipped, "MOST_BYTES", 100)
    with pytest.raises(ValueError, match="too large"):
        package({"a.json": [b"x" * 101]})


def test_what_is_not_listed_is_in_no_manifest() -> None:
    packed = Package(bytearray().extend)
    packed.add("manifest.json", [b"{}"], listed=False)
    assert b'"files":[]' in packed.files.manifest(ABOUT)


# --- the page ----------------------------------------------------------------------------------------------------------------


class Outline(HTMLParser):
    """The tags of a page with what they carry, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def outline(language: str = "it", value: Any = "Giulia", withheld: bool = True) -> Outline:
    labels = {"given_name": {"it": "Nome", "en": "Given name"}}
    values = [{"field": "given_name", "value": value, "origin": "provided"}]
    refused = [{"field": "given_name", "law": "GDPR 15(4)", "it": "Altri", "en": "Others"}] if withheld else []
    made = pages.page(language, "ACME <S.p.A.>", "2026-10-12", labels, values, refused, ["data/profile.json", "accesses/proofs/"])
    read = Outline()
    read.feed(made.decode())
    return read


@pytest.mark.parametrize("language", ["it", "en"])
def test_the_page_speaks_both_languages_the_person_s_first(language: str) -> None:
    read = outline(language)
    assert [said["lang"] for tag, said in read.tags if tag in ("html", "section")][:2] == [language, language]
    assert {said["lang"] for tag, said in read.tags if tag == "section"} == {"it", "en"}
    assert all(one in read.text for one in ("I Suoi dati", "Your data", "Nome", "Given name", "Altri (GDPR 15(4))", "Others"))
    assert set(pages.WORDS["it"]) == set(pages.WORDS["en"])


def test_the_page_has_headers_for_those_who_listen() -> None:
    read = outline()
    tags = [tag for tag, _ in read.tags]
    assert tags.count("caption") == tags.count("table") == 6
    assert all(said.get("scope") in ("col", "row") for tag, said in read.tags if tag == "th")
    assert tags.count("main") == tags.count("title") == 1
    assert not {"script", "link", "img", "iframe", "form"} & set(tags)
    assert ("meta", "default-src 'none'; style-src 'unsafe-inline'") in [(tag, said.get("content")) for tag, said in read.tags]


@pytest.mark.parametrize("value", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', {"street": "<b>Via</b>"}])
def test_nothing_a_person_is_called_becomes_a_tag(value: object) -> None:
    assert {tag for tag, _ in outline(value=value).tags} == {tag for tag, _ in outline().tags}


def test_values_read_as_people_read_them() -> None:
    assert (
        pages.plain({"street": "Via Roma 1", "city": "Milano", "note": None, "n": -1}) == "street: Via Roma 1, city: Milano, n: -1"
    )
    assert pages.plain("=1") == "=1"
    assert pages.plain(712) == "712"
    assert "Nessuno." in outline(withheld=False).text
