"""One entry as it is kept: found once it has its position, opened, and whose it is. Whoever opens it has recorded that."""

import hmac
import time
from collections.abc import Iterator
from typing import Final

from vault.assembly import Vault
from vault.audit import records as audit
from vault.audit.entry import caller_key, caller_tag
from vault.audit.reading import ReadEntry, open_details
from vault.audit.records import StoredEntry
from vault.audit.scan import members_of
from vault.audit.scrub import ScrubKeys
from vault.errors import AuditUnavailable, Unreadable
from vault.octets import b64u
from vault.operations.acting import NOBODY
from vault.operations.verify_trail import scrub_keys
from vault.policy.model import Context

LONGEST_WAIT_S: Final = 2.0
_LOOK_EVERY_S: Final = 0.02


def found_entry(vault: Vault, controller_id: str, entry_id: str) -> StoredEntry | None:
    """Return an entry, once it has its position.

    What waits cannot be read back, so this waits for what was written before the question. Raises AuditUnavailable if that is long.
    """
    asked_ms, ends_at = int(vault.now().timestamp() * 1000), vault.monotonic() + LONGEST_WAIT_S
    while True:
        with vault.database.snapshot(controller_id) as rows:  # given back before the wait: others need it meanwhile
            waits = audit.waits(rows, controller_id, asked_ms)  # first: else it could get its position between the two
            found = audit.entry_by_id(rows, controller_id, entry_id)
        if found is not None or not waits:
            return found
        if vault.monotonic() > ends_at:
            raise AuditUnavailable("entry-pending", retry_after_s=1)
        time.sleep(_LOOK_EVERY_S)


def is_by(vault: Vault, context: Context, stored: StoredEntry) -> bool:
    """Return whether the entry is this caller's, by the tag in its leaf: look-up rows are no evidence."""
    leaf = members_of(stored.leaf) or {}
    tag, entry_id = str(leaf.get("caller")), str(leaf.get("id"))
    return any(
        hmac.compare_digest(b64u(caller_tag(caller_key(secret), context.caller.id, entry_id)), tag)
        for _, secret in audit_secrets(vault, context.controller_id)
    )


def audit_secrets(vault: Vault, controller_id: str) -> Iterator[tuple[int, bytes]]:
    """Yield the controller's secret `audit`, the newest version first."""
    current = vault.keys.secret(controller_id, "audit")
    yield current.version, current.key
    for version in range(current.version - 1, 0, -1):
        yield version, vault.keys.secret(controller_id, "audit", version).key


def opened_entry(vault: Vault, controller_id: str, stored: StoredEntry, keys: ScrubKeys | None = None) -> ReadEntry:
    """Return the entry with its details. Raises Unreadable when they open under no version of what should open them.

    `keys` are given by whoever opens many: they remember the person's.
    """
    keys = keys or scrub_keys(vault, controller_id)
    if stored.subject_id != NOBODY:
        return open_details(stored, controller_id, keys, 0)
    keys.audit_key(NOBODY)  # finds nothing: the same statement as for somebody
    for version, _ in audit_secrets(vault, controller_id):
        try:
            return open_details(stored, controller_id, keys, version)
        except Unreadable:
            continue
    raise Unreadable
