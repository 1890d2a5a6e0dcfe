"""Open one entry of the log for a stated reason: its leaf, its sealed details, and what officers wrote about it.

The opening is on record first, in the chain of the person the entry is about: who read of them is theirs to know. Who it was stays
a pseudonym, and so do workstation, address and session. Nobody opens an entry of their own: another officer does.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from vault.assembly import Vault
from vault.audit import records as audit
from vault.audit.records import StoredEntry
from vault.errors import AccessDenied, Fault, InvalidValue, NotFound
from vault.operations.acting import Acting, prepare, record, refuse, require_permission, telling
from vault.operations.kept_entry import found_entry, is_by, opened_entry
from vault.operations.reviewing import Names, for_officers, remarks
from vault.operations.verify_trail import scrub_keys
from vault.policy.model import Context

REASONS: Final = ("COMPLAINT", "SUSPICION", "BREACH", "RIGHTS_REQUEST", "AUTHORITY", "SAMPLE", "REVIEW")


@dataclass(frozen=True, slots=True)
class OpenedEntry:
    """What an officer reads of one entry, and the entry that recorded the reading."""

    entry_id: str
    document: dict[str, Any]


def open_entry(vault: Vault, context: Context, entry_id: str, reason: str) -> OpenedEntry:
    """Open an entry. Raises InvalidValue, AccessDenied (`own-entry`), NotFound, AuditUnavailable while it has no position yet."""
    if reason not in REASONS:
        raise InvalidValue(faults=[Fault("/reason", "reason.unknown")])
    acting, stored = to_review(vault, "review-open", context, entry_id)
    record(vault, acting, details={"reviewed": entry_id, "reason": reason})
    with telling(vault, acting):
        document = _document(vault, context.controller_id, stored, entry_id)
    return OpenedEntry(acting.entry_id, document)


def to_review(vault: Vault, verb: str, context: Context, entry_id: str) -> tuple[Acting, StoredEntry]:
    """Return an act on an entry, and the entry: not the caller's own. Whoever may not review learns nothing of it.

    All that is recorded of the act goes into the chain that the entry is in: to find in the open one that somebody looked at what
    is held back from the person would tell of it.
    """
    asking = prepare(vault, verb, context)
    require_permission(vault, asking)
    stored = found_entry(vault, context.controller_id, entry_id)
    if stored is None:
        raise refuse(vault, asking, NotFound("entry-not-found"))
    if is_by(vault, context, stored):
        raise refuse(vault, asking, AccessDenied("own-entry"))
    return replace(prepare(vault, verb, context, stored.subject_id), held=stored.stream == "held"), stored


def _document(vault: Vault, controller_id: str, stored: StoredEntry, entry_id: str) -> dict[str, Any]:
    names, keys = Names.of(vault, controller_id), scrub_keys(vault, controller_id)
    entry = opened_entry(vault, controller_id, stored, keys)
    written = []
    for one in remarks(vault, controller_id, entry_id):
        with vault.database.snapshot(controller_id) as rows:
            said = audit.entry_by_id(rows, controller_id, one.review_id)
        internal: Mapping[str, Any] = opened_entry(vault, controller_id, said, keys).internal if said is not None else {}
        written.append(
            {
                "number": one.number,
                "at": one.at.isoformat(),
                "by": names.caller(one.by),
                "state": one.state,
                "verdict": one.verdict,
                "note": internal.get("note"),
            }
        )
    return {
        "of_entry_id": entry_id,
        "era": stored.era,
        "position": stored.position,
        "leaf": dict(entry.leaf),
        "subject_id": entry.subject_id,
        "held": stored.stream == "held",
        "details": dict(entry.details),
        "internal": for_officers(names, entry.internal),
        "gone": "details" in entry.leaf and not (entry.details or entry.internal),
        "reviews": written,
    }
