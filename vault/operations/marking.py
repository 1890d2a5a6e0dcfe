"""Mark rows under the controller's `settings` secret, and say whether they are as they were marked (`vault.marks`)."""

from collections.abc import Mapping
from typing import Any

from vault.assembly import Vault
from vault.marks import bears, mark, version_of
from vault.operations.sealed_words import PURPOSE


def marked(vault: Vault, controller_id: str, label: str, said: Mapping[str, Any]) -> bytes:
    """Return the mark of what a row says. Raises KeysUnavailable."""
    secret = vault.keys.secret(controller_id, PURPOSE)
    return mark(secret.key, secret.version, label, controller_id, said)


def is_as_marked(vault: Vault, controller_id: str, label: str, said: Mapping[str, Any], found: bytes | None) -> bool:
    """Return whether a row says what it was marked with; one without a mark does not. Raises KeysUnavailable."""
    try:
        secret = vault.keys.secret(controller_id, PURPOSE, version_of(found))
    except ValueError:
        return False
    return bears(secret.key, label, controller_id, said, found or b"")
