"""Explain a decision to those who may know: taken again from its record by the bundle it was made by, and compared.

Agents and systems may ask about their own decisions, the person about what concerns them, the officer about every one; everyone
else gets the uniform 404. The reading is on record before anything is opened. A decision that does not come out as it was recorded
is an alarm and an error, never an explanation.
"""

import re
from dataclasses import dataclass, replace
from typing import Any, Final

import structlog

from vault.assembly import Vault
from vault.audit.records import StoredEntry
from vault.errors import Erased, Fault, InvalidValue, NotFound, Unreadable
from vault.operations.acting import HOUSE, Acting, prepare, record, refuse, telling
from vault.operations.bundle_of import bundle_of
from vault.operations.facts import is_self
from vault.operations.kept_entry import found_entry, is_by, opened_entry
from vault.operations.show_accesses import shows_month_only
from vault.operations.told import Reader, in_outline, told, undated
from vault.policy.explaining import Unlike, replay
from vault.policy.model import Caller, Context, Permission

log = structlog.get_logger()
_DECISION_ID: Final = re.compile("dec_[a-z2-7]{26}")
_OWN = Permission(allowed=True, because="own-decision")


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a reader is told of a decision, and the entry that recorded the telling."""

    entry_id: str
    document: dict[str, Any]


def explain(vault: Vault, context: Context, decision_id: str) -> Explanation:
    """Explain one decision.

    Raises NotFound for whoever may not know of it, Conflict `bundle-not-kept`, Erased when its details are gone, AuditUnavailable
    while its entry has no position yet, Unreadable `decision-differs` after an alarm.
    """
    stored = found_entry(vault, context.controller_id, _entry_of(decision_id))
    asking = prepare(vault, "explain", context, permission=_OWN)
    reader = _reader(vault, asking, stored)
    if stored is None or reader is None:
        raise refuse(vault, asking, NotFound())
    return _explained(vault, asking, stored, decision_id, reader)


def explain_in_house(vault: Vault, controller_id: str, decision_id: str) -> Explanation:
    """Explain one decision to whoever runs the vault, as to the officer.

    Raises what `explain` raises, and InvalidValue for what is no id: what somebody typed does not go on record.
    """
    if not _DECISION_ID.fullmatch(decision_id):
        raise InvalidValue(faults=[Fault("decision_id", "malformed")])
    operator = Caller(id="operator", kind="operator", roles=frozenset({"operator"}), client_id="riserbo")
    stored = found_entry(vault, controller_id, _entry_of(decision_id))
    asking = prepare(vault, "explain", Context(controller_id, operator, "legal-compliance", "api"), permission=HOUSE)
    if stored is None:
        raise refuse(vault, asking, NotFound("decision-not-found"))
    return _explained(vault, asking, stored, decision_id, "office")


def _entry_of(decision_id: str) -> str:
    return "ent_" + decision_id.removeprefix("dec_")


def _reader(vault: Vault, asking: Acting, stored: StoredEntry | None) -> Reader | None:
    """Return as whom the caller may read; None for nobody. The caller's tag in the leaf says whose decision it was."""
    caller, roles = asking.context.caller, asking.caller.roles
    if stored is None:
        return None
    if caller.kind == "dpo":
        return "office" if "dpo" in roles else None
    if caller.kind == "subject":
        return "person" if stored.subject_id == caller.subject_id and stored.stream == "open" else None
    own = caller.kind in ("agent", "system") and bool(roles) and is_by(vault, asking.context, stored)
    return "desk" if own else None


def _explained(vault: Vault, asking: Acting, stored: StoredEntry, decision_id: str, reader: Reader) -> Explanation:
    """Record the reading, then open the entry, take its decision again and tell it."""
    # Read again even about nobody: an agent's own 404 takes the same work whether or not the person is here. The entry goes to the
    # person's chain, for who read of them is theirs to know; of a held entry, to the held one.
    about = prepare(vault, "explain", asking.context, stored.subject_id, permission=asking.permission)
    acting = replace(about, held=stored.stream == "held")
    if reader == "person" and not is_self(acting.context, stored.subject_id, acting.person):
        raise refuse(vault, asking, NotFound())
    record(vault, acting, details={"explained": decision_id, "reader": reader})
    with telling(vault, acting):
        document = _document(vault, asking.context.controller_id, stored, reader)
        if reader == "person" and shows_month_only(vault, acting, _entry_of(decision_id)):
            document = undated(document)
    return Explanation(acting.entry_id, {"decision_id": decision_id, "reader": reader, **document})


def _document(vault: Vault, controller_id: str, stored: StoredEntry, reader: Reader) -> dict[str, Any]:
    entry = opened_entry(vault, controller_id, stored)
    kept = entry.internal.get("decision")
    if not entry.internal:
        raise Erased("details-gone")
    if kept is None or kept.get("failed"):
        return in_outline(entry, "policy-error" if kept is not None else entry.details.get("result"))
    policy = bundle_of(vault, controller_id, kept["bundle"])
    try:
        return told(vault.catalogue, policy, entry, reader, lambda: replay(policy, kept))
    except Unlike:
        log.error("unreadable", code="decision-differs", entry_id=entry.leaf.get("id"))
        raise Unreadable("decision-differs") from None
