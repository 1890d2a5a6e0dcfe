"""Reading in another process gives what reading here gives, in order; and the report holds codes, never values."""

import io
import os
import pickle
import signal
import stat
from itertools import islice
from pathlib import Path

import pytest

from tests.importing.makers import GOOD, HEADER, KINDS, TODAY, mapping
from vault.errors import InvalidValue
from vault.importing import ahead
from vault.importing.lines import Record, chunks
from vault.importing.reading import Customer, CustomerReader, Refusal
from vault.importing.report import Report
from vault.profiles.normalise import normalise


def reader() -> CustomerReader:
    return CustomerReader(mapping(), KINDS, normalise, TODAY, Record(1, HEADER.encode()))


def lines(count: int) -> list[Record]:
    return [Record(number + 2, GOOD.replace("C-1", f"C-{number}" if number % 7 else "").encode()) for number in range(count)]


def test_reading_ahead_gives_what_reading_here_gives() -> None:
    wanted = list(ahead.read_here(reader(), chunks(lines(50), 10)))
    assert list(ahead.read_ahead(reader(), chunks(lines(50), 10))) == wanted
    assert sum(isinstance(one, Refusal) for part in wanted for one in part) == 8


def test_a_few_chunks_are_read_ahead_and_no_more() -> None:
    taken = 0

    def counted() -> "islice[list[Record]]":
        def count(chunk: list[Record]) -> list[Record]:
            nonlocal taken
            taken += 1
            return chunk

        return islice(map(count, chunks(lines(100), 5)), None)

    next(ahead.read_ahead(reader(), counted()))
    assert taken == ahead.CHUNKS_AHEAD


def reading_processes() -> list[int]:
    """Return the ids of this process's children that read."""
    pids = [int(pid) for task in Path("/proc/self/task").glob("*/children") for pid in task.read_text().split()]
    return [pid for pid in pids if b"importing.ahead" in Path(f"/proc/{pid}/cmdline").read_bytes()]


@pytest.mark.parametrize("after", [1, 4])
def test_a_reading_process_that_dies_loses_nothing(after: int) -> None:
    found: list[Customer | Refusal] = []
    for number, part in enumerate(ahead.read_ahead(reader(), chunks(lines(60), 10)), 1):
        if number == after:
            for pid in reading_processes():
                os.kill(pid, signal.SIGKILL)
        found += part
    assert found == reader().read_all(lines(60))


def test_a_reading_process_ends_with_its_reading_finished_or_not() -> None:
    reading = ahead.read_ahead(reader(), chunks(lines(60), 5))
    next(reading)
    assert len(reading_processes()) == 1
    reading.close()
    assert reading_processes() == []
    assert list(ahead.read_ahead(reader(), [])) == []
    assert reading_processes() == []


def test_a_reading_process_serves_chunks_until_its_source_ends() -> None:
    source, sink = io.BytesIO(b"".join(map(pickle.dumps, (reader(), lines(3), lines(2))))), io.BytesIO()
    ahead.serve(source, sink)
    sink.seek(0)
    assert [pickle.load(sink) for _ in range(2)] == [reader().read_all(lines(3)), reader().read_all(lines(2))]  # noqa: S301


def test_the_report_is_its_owners_alone_and_names_line_column_and_code(tmp_path: Path) -> None:
    path = tmp_path / "imports" / "one.csv"
    with Report(path) as report:
        report.add([Refusal(7, "IBAN", "iban.checksum"), Refusal(9, None, "columns.count")])
        report.add([Refusal(10, "IBAN", "iban.checksum")])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text().splitlines() == [
        "line,column,code",
        "7,IBAN,iban.checksum",
        "9,,columns.count",
        "10,IBAN,iban.checksum",
    ]
    assert report.counts == {"iban.checksum": 2, "columns.count": 1}


def test_a_report_overwrites_nothing_and_says_when_it_cannot_be_written(tmp_path: Path) -> None:
    path = tmp_path / "one.csv"
    path.write_text("kept")
    with pytest.raises(InvalidValue) as refusal:
        Report(path)
    assert [one.code for one in refusal.value.faults] == ["report.exists"]
    assert path.read_text() == "kept"
    with pytest.raises(InvalidValue) as refusal:
        Report(path / "under" / "a-file.csv")
    assert [one.code for one in refusal.value.faults] == ["report.unwritable"]
