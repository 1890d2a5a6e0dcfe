"""The register of accesses a bank keeps: CSV as Garante 192/2011 asks (clarified by 357/2013). Reading counts as an operation.

One row for each act of whoever works for the controller on a customer. Five columns are mandatory and come first; a row that lacks
one is not written empty, it is an error. Codes are pseudonyms of the destination. UTF-8 with a byte order mark, semicolons,
RFC 4180, times of Europe/Rome with their offset. A cell that a spreadsheet would take for a formula is made text by an apostrophe.
Pure.
"""

from typing import Any, Final
from zoneinfo import ZoneInfo

from vault.audit.exported import LOG_OWN, Line, time_of

MANDATORY: Final = ("codice_incaricato", "data_ora", "codice_postazione", "codice_cliente", "tipologia_rapporto")
COLUMNS: Final = (*MANDATORY, "operazione", "esito", "finalita", "entry_id", "posizione")
HEAD: Final = b"\xef\xbb\xbf" + ";".join(COLUMNS).encode() + b"\r\n"
IN_CHARGE: Final = frozenset({"agent", "system", "dpo"})  # the person's own readings and jobs are nobody's in charge
_ROME: Final = ZoneInfo("Europe/Rome")
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
_QUOTED: Final = frozenset('";\r\n')


class Incomplete(ValueError):
    """An entry of a time when workstation and relationship were not required."""


def belongs(leaf: Any, *, about_somebody: bool) -> bool:
    """Return whether an entry has a row: an act on a customer by somebody in charge, the log's own acts left out."""
    return about_somebody and leaf["kind"] in IN_CHARGE and leaf["operation"] not in LOG_OWN


def csv_row(line: Line) -> bytes:
    """Return one row. Raises Incomplete without one of the five."""
    leaf = line.leaf
    first = (
        line.caller,
        time_of(leaf).astimezone(_ROME).isoformat(timespec="milliseconds"),
        line.station,
        line.subject,
        line.relationship,
    )
    if not all(first):
        raise Incomplete("a mandatory column would be empty")
    rest = (leaf["operation"], leaf["outcome"], leaf.get("purpose", ""), leaf["id"], str(line.position))
    return ";".join(cell(str(one)) for one in (*first, *rest)).encode() + b"\r\n"


def cell(text: str) -> str:
    """Return a cell: what begins like a formula gets an apostrophe, what holds a separator gets quotes."""
    guarded = "'" + text if text.startswith(_FORMULA) else text
    return '"' + guarded.replace('"', '""') + '"' if _QUOTED & set(guarded) else guarded
