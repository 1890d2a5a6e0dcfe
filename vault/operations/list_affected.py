"""List whose data was touched (GDPR 33(3)(a), 34): every person, field, level and entry, never a sample.

At once from look-up rows, each judged by its leaf; and, as a frozen list, from a pass over every leaf, which `confirm_affected`
makes. Reading is on record before anything is told, as one `review-search` with count and the SHA-256 of what was told. Not one
entry for each person: thousands of entries at once in people's own logs would tell them of a breach before the officer does
(34(2) says in what words), and who was named can be recomputed from query, size and root, which the entry and the list keep.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import structlog

from vault import breaches
from vault.assembly import Vault
from vault.audit.affected import Amount
from vault.audit.records import pruned_eras
from vault.breaches import ListRow
from vault.errors import Conflict, ContextIncomplete, InvalidValue, NotFound
from vault.operations.acting import Acting, carrying_out, prepare, record, refuse, require_permission
from vault.operations.affected import (
    NOTES,
    Frozen,
    as_csv,
    audit_secrets,
    digest_of,
    document,
    frozen,
    judge_of,
    judged,
    proposed,
    signed,
)
from vault.operations.affected_eras import EraRead, eras_not_read, eras_of, told_of
from vault.operations.affected_query import (
    Query,
    criteria_by_era,
    criteria_in,
    criteria_kept,
    criteria_of,
    kept_criteria,
    query_faults,
)
from vault.operations.confirm_affected import are_ours, first_part
from vault.operations.receiving import recipient_names
from vault.operations.report_breach import required_breach
from vault.policy.model import Context

log = structlog.get_logger()

MOST: Final = 200_000  # entries in one list: beyond that a narrower query is needed, said and never cut
MOST_WAITING: Final = 3  # lists of a controller without a verdict: each reads the whole log
Form = Literal["json", "note", "csv"]


@dataclass(frozen=True, slots=True)
class Listed:
    """The answer in a form: the document, or the bytes of the note or the CSV."""

    told: Mapping[str, Any]
    octets: bytes | None
    entry_id: str


@dataclass(frozen=True, slots=True)
class Asked:
    """A list that was asked for, and the size the log is frozen at; eras that ended before are read too."""

    list_id: str
    size: int
    entry_id: str


def list_affected(vault: Vault, context: Context, breach_id: str, query: Query, form: Form = "json") -> Listed:
    """List what look-up rows propose and leaves bear out.

    Raises ContextIncomplete `query-unfit`, NotFound, AccessDenied, Conflict `too-many-entries`, AuditUnavailable while an entry has
    no position yet.
    """
    acting = _prepared(vault, context, breach_id, query, confirming=False)
    at = frozen(vault, context.controller_id)
    by_era, secrets = (
        criteria_by_era(at.era, query, criteria_of(vault, query, at.size)),
        audit_secrets(vault, context.controller_id),
    )
    positions = {era: proposed(vault, context.controller_id, era, asked, secrets, MOST) for era, asked in by_era.items()}
    if sum(map(len, positions.values())) > MOST:
        raise refuse(vault, acting, Conflict("too-many-entries"))
    found = Amount()
    for era, asked in by_era.items():
        found = judged(vault, context.controller_id, era, judge_of(secrets, asked), positions[era], found)
    left = [era for era in at.eras_before if era not in by_era]
    told = {
        **_head(vault, acting, breach_id, at, query.stated()), "confirmed": False, "eras_not_read": left,
        "note": NOTES["look-ups-of-one-era" if left else "look-ups"], **document(found),
    }  # fmt: skip
    return _answer(vault, acting, told, form)


def ask_confirmation(vault: Vault, context: Context, breach_id: str, query: Query) -> Asked:
    """Freeze a query at the log as it stands and have every leaf read for it.

    Raises InvalidValue, NotFound, AccessDenied, Conflict `lists-pending` while as many as may be are still read for, and
    `log-pruned` when the log was pruned just now.
    """
    acting = _prepared(vault, context, breach_id, query, confirming=True)
    with vault.database.snapshot(context.controller_id) as rows:
        waiting = len(breaches.unfinished_lists(rows, context.controller_id))
        pruned = pruned_eras(rows, context.controller_id)
    if waiting >= MOST_WAITING:
        raise refuse(vault, acting, Conflict("lists-pending"))
    at = frozen(vault, context.controller_id)
    kept = {"stated": query.stated(), **kept_criteria(criteria_of(vault, query, at.size))}
    asked = ListRow(
        breach_id, vault.new_id("lst"), kept, at.era, at.size, at.root, at.checkpoint, acting.at, context.caller.id,
        acting.entry_id,
    )  # fmt: skip
    first = first_part(vault, context.controller_id, asked)
    said = {"list": asked.list_id, "query": kept["stated"]}
    record(vault, acting, details={"result": "asked", "breach": breach_id}, internal=said)
    with carrying_out(vault, acting) as transaction:
        breaches.add_list(transaction, context.controller_id, asked)
        breaches.add_part(transaction, context.controller_id, asked.list_id, first)
        if pruned_eras(transaction, context.controller_id) != pruned:  # the list says where the log began before that
            raise Conflict("log-pruned")
    return Asked(asked.list_id, at.size, acting.entry_id)


def show_affected(vault: Vault, context: Context, breach_id: str, list_id: str, form: Form = "json") -> Listed:
    """Show a frozen list: how far the pass has come, then what it found.

    Raises NotFound, AccessDenied, Conflict `too-many-entries`, and Unreadable while the secret it was kept under does not open.
    """
    acting = prepare(vault, "show_affected", context)
    require_permission(vault, acting)
    with vault.database.snapshot(context.controller_id) as rows:
        asked = breaches.affected_list(rows, context.controller_id, breach_id, list_id)
        parts = breaches.parts(rows, context.controller_id, list_id) if asked is not None else []
    if asked is None:
        raise refuse(vault, acting, NotFound("list-not-found"))
    at = Frozen(asked.era, asked.size, asked.root, asked.checkpoint)
    state = parts[-1].verdict or "running" if parts else "running"
    if not are_ours(vault, context.controller_id, asked, parts):
        log.error("unreadable", code="affected-part-differs", entry_id=asked.entry_id)
        state, parts = "differs", []
    eras = eras_of(asked, parts)
    left = eras_not_read(asked, eras)
    found = _found(vault, acting, asked, eras) if state != "running" else None
    if state == "confirmed" and found is not None and (found.dropped or not found.is_proven):
        state = "gone-since"
    elif state == "confirmed" and left:  # only the present one was asked for
        state = "eras-not-read"
    told: dict[str, Any] = {
        **_head(vault, acting, breach_id, at, asked.criteria["stated"]), "list_id": list_id, "state": state,
        "confirmed": state == "confirmed", "eras_not_read": left, "eras_read": told_of(eras), "note": _note(state, eras),
        "progress": {"done": sum(one.reached for one in eras), "total": sum(one.size for one in eras)},
        "read_from": eras[0].begun,
    }  # fmt: skip
    return _answer(vault, acting, told | (document(found) if found is not None else {}), form)


def _note(state: str, eras: Sequence[EraRead]) -> Mapping[str, str]:
    """Return what is said of a state; of a list over several eras also that, and whether a recovery gave anything up."""
    if state == "confirmed" and len(eras) > 1:
        return NOTES["confirmed-but-lost" if any(one.lost for one in eras) else "confirmed-eras"]
    return NOTES[state]


def _found(vault: Vault, acting: Acting, asked: ListRow, eras: Sequence[EraRead]) -> Amount:
    """Return what a pass that has ended amounts to: each era judged by its own leaves and its root, the oldest first."""
    if sum(len(one.positions) for one in eras) > MOST:
        raise refuse(vault, acting, Conflict("too-many-entries"))
    controller_id = acting.context.controller_id
    criteria, secrets, found = criteria_kept(asked.criteria), audit_secrets(vault, controller_id), Amount()
    for one in reversed(eras):
        judge = judge_of(secrets, criteria_in(one.era, asked.era, criteria))
        found = judged(vault, controller_id, one.era, judge, one.positions, found, Frozen(one.era, one.size, one.root))
    return found


def _prepared(vault: Vault, context: Context, breach_id: str, query: Query, *, confirming: bool) -> Acting:
    acting = prepare(vault, "show_affected", context)
    require_permission(vault, acting)
    if faults := list(query_faults(vault, query, recipient_names(vault, context.controller_id), confirming=confirming)):
        raise refuse(vault, acting, InvalidValue(faults=faults) if confirming else ContextIncomplete("query-unfit", faults=faults))
    required_breach(vault, acting, breach_id)
    return acting


def _head(vault: Vault, acting: Acting, breach_id: str, at: Frozen, stated: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "breach_id": breach_id, "entry_id": acting.entry_id, "query": dict(stated),
        "log": at.told(vault, acting.context.controller_id),
    }  # fmt: skip


def _answer(vault: Vault, acting: Acting, told: Mapping[str, Any], form: Form) -> Listed:
    """Record the reading, then answer."""
    reading = replace(acting, verb="review-search")
    said = {"query": told["query"], "sha256": digest_of(told), "size": told["log"]["size"], "form": form}
    listed = {"list": told["list_id"]} if "list_id" in told else {}
    count = len(told.get("subjects", ()))
    record(vault, reading, count=count, details={"result": "listed", "breach": told["breach_id"]}, internal={**said, **listed})
    octets = None
    if form == "note":
        octets = signed(vault, acting.context.controller_id, told)
    elif form == "csv":
        octets = as_csv(told)
    return Listed(told, octets, acting.entry_id)
