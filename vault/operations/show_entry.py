"""Show one audit entry as it stands: the leaf, never its sealed details."""

from typing import Any

import orjson

from vault.assembly import Vault
from vault.audit import records as audit
from vault.errors import NotFound


def show_entry(vault: Vault, controller_id: str, entry_id: str) -> dict[str, Any]:
    """Return the leaf of an entry that has its position. Raises NotFound before it has, or when there is none."""
    with vault.database.snapshot(controller_id) as rows:
        found = audit.entry_by_id(rows, controller_id, entry_id)
    if found is None:
        raise NotFound("entry-not-found")
    return {"position": found.position, "leaf": orjson.loads(found.leaf)}
