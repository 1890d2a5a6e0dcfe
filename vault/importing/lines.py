"""Records of a CSV (RFC 4180) or NDJSON file, one at a time, whatever the file's length. Pure: callers pass the open file.

A record is named by the number of the physical line it begins on, counted from 1, the header included, as an editor shows it.
A quoted CSV field may hold line breaks. What breaks the format costs one record, never the rest of the file:

- a line over 64 KiB is passed over (`line.length`);
- a quoted field that never closes, or that goes on after its closing quote, refuses the line it begins on (`line.csv`), and
  reading resumes on the next physical line;
- a quote inside a field that does not begin with one is an ordinary sign;
- an empty line between records is none.
"""

import csv
import json
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from vault.importing.mapping import FileFormat

MAX_RECORD_BYTES = 65_536
RECORDS_IN_CHUNK = 1_000
CHUNK_BYTES = 1 << 20
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_SKIP_BYTES = 1 << 20


class Lines(Protocol):
    """An open binary file: all that is asked of it."""

    def readline(self, limit: int, /) -> bytes:
        """Return the next line with its end, at most `limit` bytes of it."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record as bytes, or what is wrong with it. `octets` never shows."""

    number: int  # physical line it begins on
    octets: bytes
    fault: str | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return Record, (self.number, self.octets, self.fault)

    def __repr__(self) -> str:
        return f"Record(number={self.number}, ***)"


def records(file: Lines, layout: FileFormat) -> Iterator[Record]:
    """Yield the records of a file opened in binary mode, the header first where there is one."""
    lines = _numbered(file)
    joined = _joined(lines, layout) if layout.format == "csv" else lines
    return (record for record in joined if record.fault is not None or record.octets.strip())


def chunks(source: Iterable[Record], size: int = RECORDS_IN_CHUNK, full_bytes: int = CHUNK_BYTES) -> Iterator[list[Record]]:
    """Yield lists of at most `size` records; a list with `full_bytes` or more ends there: long lines must not cost memory."""
    chunk: list[Record] = []
    held = 0
    for record in source:
        chunk.append(record)
        held += len(record.octets)
        if len(chunk) == size or held >= full_bytes:
            yield chunk
            chunk, held = [], 0
    if chunk:
        yield chunk


def cells(record: Record, layout: FileFormat) -> tuple[str, ...] | str:
    """Return the cells of a CSV record, trimmed; or the code of what is wrong with it."""
    if record.fault is not None:
        return record.fault
    try:
        text = record.octets.decode(layout.encoding)
    except UnicodeDecodeError:
        return "line.encoding"
    try:
        row = next(csv.reader([text], delimiter=layout.delimiter, quotechar=layout.quote, strict=True))
    except csv.Error:
        return "line.csv"
    return tuple(cell.strip() for cell in row)


def members(record: Record) -> dict[str, Any] | str:
    """Return the members of an NDJSON record, numbers as their own digits; or the code of what is wrong with it."""
    if record.fault is not None:
        return record.fault
    try:
        found = json.loads(record.octets.decode(), parse_float=str, parse_int=str, parse_constant=_refused, object_pairs_hook=_once)
    except UnicodeDecodeError:
        return "line.encoding"
    except (ValueError, RecursionError):
        return "line.json"
    return found if isinstance(found, dict) else "line.json"


def _refused(_name: str) -> Any:
    raise ValueError("NaN and Infinity are not JSON")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a member stands twice")  # readers differ on which one counts (RFC 8259, section 4)
    return found


def _numbered(file: Lines) -> Iterator[Record]:
    """Yield each physical line; one that is too long without its bytes."""
    number = 0
    while octets := file.readline(MAX_RECORD_BYTES + 1):
        number += 1
        if number == 1:
            octets = octets.removeprefix(_BYTE_ORDER_MARK)
        if len(octets) > MAX_RECORD_BYTES:
            while octets and not octets.endswith(b"\n"):
                octets = file.readline(_SKIP_BYTES)
            yield Record(number, b"", "line.length")
        else:
            yield Record(number, octets)


def _joined(lines: Iterator[Record], layout: FileFormat) -> Iterator[Record]:
    """Yield CSV records: physical lines, joined where a quoted field goes on."""
    quoting = _Quoting(layout.delimiter.encode(), layout.quote.encode())
    ahead: deque[Record] = deque()
    while (line := ahead.popleft() if ahead else next(lines, None)) is not None:
        state = "closed" if line.fault else quoting.after(line.octets, inside=False)
        if state == "open":
            taken = _rest(line, ahead, lines, quoting)
            if taken is not None:
                pieces = [ahead.popleft() for _ in range(taken)]
                yield Record(line.number, line.octets + b"".join(piece.octets for piece in pieces))
                continue
            state = "broken"
        yield line if state == "closed" else Record(line.number, b"", "line.csv")


def _rest(first: Record, ahead: deque[Record], lines: Iterator[Record], quoting: "_Quoting") -> int | None:
    """Return how many of the lines ahead finish the record that `first` begins, reading more as needed; None if none do."""
    size, taken, state = len(first.octets), 0, "open"
    while state == "open":
        if taken == len(ahead):
            line = next(lines, None)
            if line is None:
                return None
            ahead.append(line)
        piece = ahead[taken]
        size += len(piece.octets)
        if piece.fault or size > MAX_RECORD_BYTES:
            return None
        state = quoting.after(piece.octets, inside=True)
        taken += 1
    return taken if state == "closed" else None


@dataclass(frozen=True, slots=True)
class _Quoting:
    """Where a line leaves the reader: after a whole record, inside a quoted field, or in what is no CSV."""

    delimiter: bytes
    quote: bytes

    def after(self, octets: bytes, *, inside: bool) -> Literal["closed", "open", "broken"]:
        if not inside and self.quote not in octets:
            return "closed"
        at = 0
        while True:
            if inside or octets.startswith(self.quote, at):
                end = self._closing(octets, at if inside else at + 1)
                inside = False
                if end is None:
                    return "open"
                at = end + 1
                if octets[at : at + 1] not in (self.delimiter, b"\r", b"\n", b""):
                    return "broken"
            at = octets.find(self.delimiter, at) + 1
            if at == 0:
                return "closed"

    def _closing(self, octets: bytes, at: int) -> int | None:
        """Return where the quoted field ends that goes on at `at`; a doubled quote is a quote (RFC 4180, section 2)."""
        while (end := octets.find(self.quote, at)) >= 0:
            if not octets.startswith(self.quote, end + 1):
                return end
            at = end + 2
        return None
