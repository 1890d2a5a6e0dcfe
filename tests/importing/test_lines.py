"""Records begin where an editor says they do, and what breaks the format costs one record."""

import csv
import io
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.importing.makers import mapping, split
from vault.importing.lines import MAX_RECORD_BYTES, Record, cells, chunks, members

LAYOUT = mapping().file


def read(octets: bytes) -> list[tuple[int, tuple[str, ...] | str]]:
    return [(one.number, cells(one, LAYOUT)) for one in split(octets)]


def test_a_record_is_named_by_the_line_it_begins_on() -> None:
    assert read(b'a;b\r\n"x\n\ny";2\r\n\r\n3;4') == [(1, ("a", "b")), (2, ("x\n\ny", "2")), (6, ("3", "4"))]


def test_quotes_hold_delimiters_breaks_and_doubled_quotes() -> None:
    assert read(b'"a;b";"c""d"\n"""";""\n') == [(1, ("a;b", 'c"d')), (2, ('"', ""))]


def test_a_quote_inside_a_bare_field_is_an_ordinary_sign() -> None:
    assert read(b'7" screen;x "y" z\n1;2\n') == [(1, ('7" screen', 'x "y" z')), (2, ("1", "2"))]


def test_a_stray_opening_quote_costs_its_own_line_only() -> None:
    assert read(b'1;"stray;x\n2;b\n3;"c"\n4;d\n') == [(1, "line.csv"), (2, ("2", "b")), (3, ("3", "c")), (4, ("4", "d"))]


def test_a_quote_that_never_closes_costs_its_own_line_only() -> None:
    assert read(b'1;"stray\n2;b\n\n3;c') == [(1, "line.csv"), (2, ("2", "b")), (4, ("3", "c"))]


def test_lines_looked_at_in_vain_are_read_again_for_themselves() -> None:
    assert read(b'1;"x\na";"b\n3;c\n') == [(1, "line.csv"), (2, "line.csv"), (3, ("3", "c"))]


def test_text_after_a_closing_quote_is_refused() -> None:
    assert read(b'1;"a"b\n2;c\n') == [(1, "line.csv"), (2, ("2", "c"))]


def test_a_lone_carriage_return_in_a_bare_field_is_refused() -> None:
    assert read(b"1;a\rb\n2;c\n") == [(1, "line.csv"), (2, ("2", "c"))]


def test_a_line_that_is_too_long_is_passed_over() -> None:
    long = b"x" * (3 * MAX_RECORD_BYTES)
    assert read(b"1;a\n" + long + b"\n2;b\n" + long) == [(1, ("1", "a")), (2, "line.length"), (3, ("2", "b")), (4, "line.length")]


def test_a_quoted_field_ends_where_a_record_may_end() -> None:
    filler = b"y" * 1000 + b"\n"
    found = read(b'1;"' + filler * 70 + b'"\n2;b\n')
    assert found[0] == (1, "line.csv")
    assert found[-1] == (72, ("2", "b"))
    assert read(b'1;"a\n' + b"x" * (2 * MAX_RECORD_BYTES) + b'\n"\n2;b\n')[:2] == [(1, "line.csv"), (2, "line.length")]


def test_bytes_the_encoding_does_not_have_refuse_the_line() -> None:
    assert [cells(one, mapping(file={"format": "csv", "encoding": "cp1252"}).file) for one in split(b"\x81,1\n\xe8,2\n")] == [
        "line.encoding",
        ("è", "2"),
    ]


def test_a_byte_order_mark_is_no_part_of_the_first_name() -> None:
    assert read(b"\xef\xbb\xbfa;b\n") == [(1, ("a", "b"))]


def test_cells_are_trimmed_and_keep_signs_that_python_takes_for_line_ends() -> None:
    assert read("a\u2028b; x \x0bc\n".encode()) == [(1, ("a\u2028b", "x \x0bc"))]


def test_a_record_never_shows_itself() -> None:
    assert "Lùvari" not in repr(Record(1, "Lùvari".encode()))


def test_chunks_keep_order_and_size() -> None:
    made = [Record(number, b"") for number in range(5)]
    assert [[one.number for one in chunk] for chunk in chunks(made, 2)] == [[0, 1], [2, 3], [4]]
    long = [Record(number, b"x" * 10) for number in range(5)]
    assert [[one.number for one in chunk] for chunk in chunks(long, 4, full_bytes=25)] == [[0, 1, 2], [3, 4]]
    assert list(chunks([])) == []


_CELL = st.text(alphabet=st.sampled_from('a;"\n\r x\u2028é'), max_size=8)


@given(rows=st.lists(st.lists(_CELL, min_size=2, max_size=4), max_size=6))
@settings(max_examples=150)
def test_what_a_csv_writer_wrote_is_read_back(rows: list[list[str]]) -> None:
    written, starts = io.StringIO(newline=""), [1]
    for row in rows:
        csv.writer(written, delimiter=";", quoting=csv.QUOTE_ALL, lineterminator="\n").writerow(row)
        starts.append(1 + written.getvalue().count("\n"))
    wanted = [(line, tuple(cell.strip() for cell in row)) for line, row in zip(starts, rows, strict=False)]
    assert read(written.getvalue().encode()) == wanted


@given(octets=st.lists(st.sampled_from([b"a", b";", b'"', b"\n", b"\r\n", b'""', b'";"', b"\x81"]), max_size=40).map(b"".join))
@settings(max_examples=200)
def test_no_file_stops_the_reader_and_no_line_is_passed_over_unseen(octets: bytes) -> None:
    lines = octets.split(b"\n")
    starts = list(accumulate((len(line) + 1 for line in lines), initial=0))
    covered: set[int] = set()
    for one in split(octets):
        last = one.number + max(0, one.octets.rstrip(b"\n").count(b"\n"))
        covered |= set(range(one.number, last + 1))
        if one.fault is None:
            assert octets[starts[one.number - 1] :].startswith(one.octets)
    assert {number for number, line in enumerate(lines, 1) if line.strip()} <= covered


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (b'{"a": 1.50, "b": "x", "c": null, "d": true, "e": [1]}', {"a": "1.50", "b": "x", "c": None, "d": True, "e": ["1"]}),
        (b"[1]", "line.json"),
        (b"{", "line.json"),
        (b'{"a": NaN}', "line.json"),
        (b'{"a": 1, "a": 2}', "line.json"),
        (b"[" * 60_000, "line.json"),
        (b'{"a": "\xff"}', "line.encoding"),
    ],
)
def test_a_line_of_json_is_one_object_whose_numbers_keep_their_digits(line: bytes, found: object) -> None:
    assert members(Record(1, line)) == found


def test_a_line_of_json_that_is_too_long_keeps_its_code() -> None:
    assert members(Record(1, b"", "line.length")) == "line.length"
    assert [one.fault for one in split(b'"\n{}\n', format="ndjson")] == [None, None]
