"""What stands in one place of a record, as text, date or amount: the file's own spelling, made neutral by the mapping. Pure.

Whether a value is good is the normaliser's to say; here only what depends on the file is decided: the order of day and month, the
decimal comma, the currency, the file's codes.
"""

import re
from collections.abc import Mapping
from datetime import date
from typing import Any

from vault.importing.mapping import DateOrder, FileFormat, Source

_DATE = re.compile(r"([0-9]{1,4})([/.-])([0-9]{1,2})\2([0-9]{1,4})", re.ASCII)
_YEAR_MONTH_DAY: dict[DateOrder, tuple[int, int, int]] = {
    "year-month-day": (1, 3, 4),
    "day-month-year": (4, 3, 1),
    "month-day-year": (4, 1, 3),
}
_AMOUNT = {
    "comma": re.compile(r"(-?)([0-9]{1,15}|[0-9]{1,3}(?:\.[0-9]{3}){1,4})(?:,([0-9]{1,2}))?", re.ASCII),
    "point": re.compile(r"(-?)([0-9]{1,15}|[0-9]{1,3}(?:,[0-9]{3}){1,4})(?:\.([0-9]{1,2}))?", re.ASCII),
}


class Unfit(Exception):
    """A place of a record holds what cannot be taken: the column and the code, never the value."""

    def __init__(self, column: str | None, code: str) -> None:
        self.column, self.code = column, code
        super().__init__(code)


def text_at(row: Mapping[str, Any], column: str) -> str:
    """Return the text in a column, trimmed; empty where there is none. A name that begins with `/` points into NDJSON (RFC 6901).

    Raises Unfit `value.shape` for an object or a list where one value was meant.
    """
    found: Any = row.get(column) if column in row or not column.startswith("/") else _pointed_at(row, column)
    if found is None:
        return ""
    if isinstance(found, bool):
        return "true" if found else "false"
    if not isinstance(found, str):
        raise Unfit(column, "value.shape")
    return found.strip()


def date_of(text: str, order: DateOrder) -> date | None:
    """Return the date written with four digits of year and one kind of separator; None if it is none."""
    match = _DATE.fullmatch(text)
    if match is None:
        return None
    year, month, day = (match[group] for group in _YEAR_MONTH_DAY[order])
    try:
        return date(int(year), int(month), int(day)) if len(year) == 4 else None
    except ValueError:
        return None


def amount_of(text: str, decimal: str) -> str | None:
    """Return the amount with two decimals and a point, None if it is none: `38.000,5` with a decimal comma is `38000.50`."""
    match = _AMOUNT[decimal].fullmatch(text)
    if match is None:
        return None
    sign, whole, cents = match[1], re.sub(r"[.,]", "", match[2]), match[3] or ""
    return f"{sign}{int(whole)}.{cents:0<2}"


def coded(text: str, source: Source) -> str | None:
    """Return what the catalogue calls the file's word, or None if the mapping does not know it; without codes the word itself."""
    if source.codes is None:
        return text
    return next((meaning for word, meaning in source.codes.items() if word.casefold() == text.casefold()), None)


def value_at(row: Mapping[str, Any], source: Source, kind: str, layout: FileFormat) -> Any:
    """Return the value as a normaliser of type `kind` takes it; None where the record has none. Raises Unfit."""
    if source.parts is not None:
        return _parts_at(row, source.parts, layout)
    if source.constant is not None:
        return source.constant
    column = source.column or ""
    text = text_at(row, column)
    if not text:
        return None
    spelled = _spelled(text, source, kind, layout)
    if spelled is None:
        raise Unfit(column, f"{kind}.invalid" if source.codes is None else f"{kind}.unknown")
    return spelled


def _spelled(text: str, source: Source, kind: str, layout: FileFormat) -> Any:
    if kind == "date_of_birth":
        day = date_of(text, layout.dates)
        return None if day is None else day.isoformat()
    if kind == "money":
        # A JSON number has its own decimal point, whatever the mapping says of texts: the mapping of NDJSON says `point`.
        amount = amount_of(text, layout.decimal)
        return None if amount is None else {"amount": amount, "currency": layout.currency}
    return coded(text, source)


def _parts_at(row: Mapping[str, Any], parts: Mapping[str, Source], layout: FileFormat) -> dict[str, Any] | None:
    found = {name: value_at(row, part, "text", layout) for name, part in parts.items()}
    told = any(value is not None and parts[name].constant is None for name, value in found.items())
    return {name: value for name, value in found.items() if value is not None} if told else None


def _pointed_at(row: Mapping[str, Any], pointer: str) -> Any:
    place: Any = row
    for step in pointer[1:].split("/"):
        if not isinstance(place, Mapping):
            return None
        place = place.get(step.replace("~1", "/").replace("~0", "~"))
    return place
