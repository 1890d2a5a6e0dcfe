"""Opening one entry for an officer: its leaf, and what is sealed beside it once both commitments hold.

Whoever calls this has recorded the looking (`review-open`): details name people.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vault.audit import entry
from vault.audit.entry import NOBODY
from vault.audit.records import StoredEntry
from vault.audit.scan import members_of
from vault.audit.scrub import ScrubKeys
from vault.errors import Unreadable


@dataclass(frozen=True, slots=True)
class ReadEntry:
    """One entry as an officer reads it; `details` and `internal` are empty where their keys are gone, or nothing was sealed."""

    position: int
    leaf: Mapping[str, Any]
    subject_id: str | None
    details: Mapping[str, Any]
    internal: Mapping[str, Any]


def open_details(stored: StoredEntry, controller_id: str, keys: ScrubKeys, secret_version: int) -> ReadEntry:
    """Return the entry with its details opened. `secret_version` is that of the controller's secret `audit` its writer used.

    Raises Unreadable when the leaf is no entry, or what is sealed is not what the leaf committed to.
    """
    leaf = members_of(stored.leaf)
    if leaf is None:
        raise Unreadable
    subject_id = None if stored.subject_id == NOBODY else stored.subject_id
    key = keys.audit_key(subject_id) if subject_id is not None else keys.audit_secret(secret_version)
    if stored.sealed is None or key is None:
        return ReadEntry(stored.position, leaf, subject_id, {}, {})
    place = entry.details_place(controller_id, subject_id or "", str(leaf.get("id")))
    try:
        opening = entry.opened(leaf, keys.unseal(entry.details_key(key), place, stored.sealed))
    except ValueError:
        raise Unreadable from None
    return ReadEntry(stored.position, leaf, subject_id, opening.details, opening.internal)
