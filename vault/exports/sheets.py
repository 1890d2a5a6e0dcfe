"""Tables people open in a spreadsheet: RFC 4180, in UTF-8 with a byte order mark, no cell a formula. Pure.

A cell that begins with `=`, `+`, `-`, `@`, a tab or a carriage return would be computed, not shown (OWASP, CSV injection): it gets
a leading `'`. A number is written by us and cannot be a formula; one below zero is guarded all the same, for it is text here.
"""

import codecs
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import orjson

MARK: Final = codecs.BOM_UTF8
_COMPUTED: Final = ("=", "+", "-", "@", "\t", "\r")
_QUOTED: Final = frozenset('",\r\n')


def sheet(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    """Yield a table: the names of its columns, then a line for each row; what a row lacks is empty."""
    yield MARK + _line(columns)
    for row in rows:
        yield _line([cell(row.get(name)) for name in columns])


def cell(value: Any) -> str:
    """Return a value as one cell: a list of words joined by blanks, anything else that is not plain as JSON, nothing as nothing."""
    if value is None:
        return ""
    if isinstance(value, str):
        text = value
    elif isinstance(value, list) and all(isinstance(one, str) for one in value):
        text = " ".join(value)
    else:
        text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    return f"'{text}" if text.startswith(_COMPUTED) else text


def _line(cells: Iterable[str]) -> bytes:
    return (",".join(_quoted(one) for one in cells) + "\r\n").encode()


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if _QUOTED & set(text) else text
