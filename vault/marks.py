"""Rows that nobody who has the database alone makes or changes: each bears a MAC under a secret of its controller. Pure."""

import hmac
from collections.abc import Mapping
from typing import Any

import rfc8785

from vault.octets import expand, lp, mac, u32


def mark(secret: bytes, version: int, label: str, controller_id: str, said: Mapping[str, Any]) -> bytes:
    """Return u32 version ‖ 32 bytes over what a row says, spelt as RFC 8785 has it.

    `secret` is the controller's `settings` secret of that version; `label` says of which kind of row it is.
    """
    named = lp(label)
    spelt = {name: _spelt(value) for name, value in said.items()}
    return u32(version) + mac(expand(secret, named), named + lp(controller_id) + rfc8785.dumps(spelt))


def version_of(marked: bytes | None) -> int:
    """Return which version of the secret a mark was made with. Raises ValueError for what is none."""
    if marked is None or len(marked) != 36:
        raise ValueError("no mark")
    return int.from_bytes(marked[:4], "big")


def bears(secret: bytes, label: str, controller_id: str, said: Mapping[str, Any], marked: bytes) -> bool:
    """Return whether a row says what it was marked with."""
    return hmac.compare_digest(mark(secret, version_of(marked), label, controller_id, said), marked)


def _spelt(value: Any) -> Any:
    if isinstance(value, bytes | memoryview):
        return bytes(value).hex()
    return int(value.timestamp() * 1_000_000) if hasattr(value, "timestamp") else value
