"""What people write about a breach or a request: sealed under the controller's secret, bound to that and its place.

Such words name people, systems and weaknesses, so they stand in no entry and in no row in clear. Decides nothing.
"""

from collections.abc import Iterator, Mapping

import orjson

from vault.assembly import Vault
from vault.errors import Fault, Unreadable
from vault.keys.data_keys import open_bytes, seal_bytes
from vault.octets import expand, lp
from vault.operations.reveal import text_fault

PURPOSE = "settings"  # of the controller's secrets
_LABELS = {
    "brc": "riserbo.breach.v1",
    "req": "riserbo.request.v1",
    "hld": "riserbo.hold.v1",
    "tsk": "riserbo.task.v1",
}  # by the id's beginning
Words = Mapping[str, str | None]


def word_faults(words: Words, *needed: str) -> Iterator[Fault]:
    """Yield what is wrong with somebody's words, by member; those `needed` are at least 20 characters."""
    for name, text in words.items():
        if (text is not None or name in needed) and (wrong := text_fault(text, needed=name in needed)) is not None:
            yield Fault(f"/{name}", wrong)


def sealed_words(vault: Vault, controller_id: str, of: str, number: int, words: Words) -> tuple[int, bytes]:
    """Return the words sealed, and the version of the secret. Raises KeysUnavailable."""
    secret = vault.keys.secret(controller_id, PURPOSE)
    said = orjson.dumps({name: text for name, text in words.items() if text is not None})
    return secret.version, seal_bytes(expand(secret.key, _label(of)), _place(controller_id, of, number), said)


def opened_words(vault: Vault, controller_id: str, of: str, number: int, version: int, sealed: bytes) -> dict[str, str]:
    """Return the words. Whoever calls this has recorded the reading. Raises Unreadable, KeysUnavailable."""
    secret = vault.keys.secret(controller_id, PURPOSE, version)
    found = orjson.loads(open_bytes(expand(secret.key, _label(of)), _place(controller_id, of, number), sealed))
    if not isinstance(found, dict):
        raise Unreadable
    return found


def _label(of: str) -> bytes:
    return lp(_LABELS[of[:3]])


def _place(controller_id: str, of: str, number: int) -> bytes:
    return _label(of) + lp(controller_id) + lp(of) + lp(str(number))
