"""What was asked for, so that nobody who writes into the table asks in somebody's place. Pure.

A package is made by the right of whoever asked, and for the passphrase they were shown. Both stand in a row, so the row is marked
(`vault.marks`): whoever has the database alone has nothing packed for a passphrase of their own.
"""

from collections.abc import Mapping
from typing import Any, Final

LABEL: Final = "riserbo.export.asked.v1"
MEMBERS: Final = (
    *("export_id", "subject_id", "set", "language", "request_id", "asker", "channel", "ticket_id", "salt", "public", "asked_at"),
    "entry_id",
)


def said(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a row was asked for: what comes of it is not."""
    return {name: row[name] for name in MEMBERS}
