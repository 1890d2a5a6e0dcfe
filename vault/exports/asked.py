"""What was asked for, so that nobody who writes into the table asks in somebody's place. Pure.

A package is made by the right of whoever asked, and for the passphrase they were shown. Both stand in a row, so the row carries a
MAC under a secret of the controller: whoever has the database alone has nothing packed for a passphrase of their own.
"""

import hmac
from collections.abc import Mapping
from typing import Any, Final

import rfc8785

from vault.octets import expand, lp, mac, u32

_LABEL: Final = lp("riserbo.export.asked.v1")
MEMBERS: Final = (
    *("export_id", "subject_id", "set", "language", "request_id", "asker", "channel", "ticket_id", "salt", "public", "asked_at"),
    "entry_id",
)


def mark(secret: bytes, version: int, controller_id: str, row: Mapping[str, Any]) -> bytes:
    """Return u32 version ‖ 32 bytes over `MEMBERS` of a row. `secret` is the controller's `settings` secret of that version."""
    said = {name: _spelt(row[name]) for name in MEMBERS}
    return u32(version) + mac(expand(secret, _LABEL), _LABEL + lp(controller_id) + rfc8785.dumps(said))


def version_of(marked: bytes | None) -> int:
    """Return which version of the secret a mark was made with. Raises ValueError for what is none."""
    if marked is None or len(marked) != 36:
        raise ValueError("no mark")
    return int.from_bytes(marked[:4], "big")


def bears(secret: bytes, controller_id: str, row: Mapping[str, Any], marked: bytes) -> bool:
    """Return whether a row is as it was marked."""
    return hmac.compare_digest(mark(secret, version_of(marked), controller_id, row), marked)


def _spelt(value: Any) -> Any:
    if isinstance(value, bytes | memoryview):
        return bytes(value).hex()
    return int(value.timestamp() * 1_000_000) if hasattr(value, "timestamp") else value
