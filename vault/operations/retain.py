"""Retention (GDPR 5(1)(e)): remove what no agreement and no duty keeps any more; say beforehand what that would be.

Nothing is shown longer without this: validity is looked at at every read. A job each night ends duties that are over, and erases
whoever nothing is kept of any more, with the ledger's line and a certificate, decided by the rules alone. A run that is out of
proportion waits until an officer has approved exactly it.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from hashlib import sha256
from typing import Any, Final

import rfc8785
import structlog
from sqlalchemy import Connection

from vault.agreements import retention_records as records
from vault.agreements.retention import Verdict, out_of_proportion, verdict
from vault.agreements.retention_records import PersonRow, RunRow
from vault.assembly import Vault
from vault.errors import Conflict, VaultError
from vault.operations.acting import HOUSE, Acting, carrying_out, prepare, record, refuse, require_in_person, require_permission
from vault.operations.end_archives import end_duties
from vault.operations.erase import carry_out
from vault.operations.erasing import read_case
from vault.operations.open_request import local_day
from vault.operations.retaining import duties_of
from vault.outbox import announce
from vault.policy.model import Caller, Context

_CALLER: Final = Caller(id="job:retention", kind="job", roles=frozenset(), client_id="riserbo")
_UNKNOWN: Final = "template-unknown"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Found:
    """What is over today: of whom, and what. `people`: how many there are; `runs`: those before, the newest first."""

    today: date
    people: int
    verdicts: Sequence[tuple[str, Verdict]]
    runs: Sequence[RunRow]

    @property
    def due(self) -> list[tuple[str, Verdict]]:
        """Of whom something is to be removed now."""
        return [one for one in self.verdicts if one[1].due]

    @property
    def digest(self) -> bytes:
        """SHA-256 of whom it is due for, and what: what somebody approves is this and nothing else."""
        said: Any = [[subject_id, [one.agreement_id for one in what.over], what.whole] for subject_id, what in self.due]
        return sha256(rfc8785.dumps(said)).digest()

    @property
    def waits(self) -> bool:
        """Whether somebody has to approve it first, and nobody has."""
        before = [one.removed for one in self.runs if one.state == "done"]
        return out_of_proportion(len(self.due), self.people, before) and self.approved is None

    @property
    def waiting(self) -> RunRow | None:
        """The run of exactly this that waits for somebody."""
        return self._same(approved=False)

    @property
    def approved(self) -> RunRow | None:
        """The run of exactly this that somebody approved."""
        return self._same(approved=True)

    def _same(self, *, approved: bool) -> RunRow | None:
        same = [one for one in self.runs if one.state == "waiting" and one.digest == self.digest]
        return next((one for one in same if (one.approved_by is not None) is approved), None)

    def late(self) -> int:
        """Return of how many something was due before the last night and is still there, blocked or waiting apart."""
        return sum(what.since is not None and what.since < self.today - timedelta(days=1) for _, what in self.due)


def preview_retention(vault: Vault, context: Context) -> tuple[dict[str, Any], str]:
    """Say what the next run would remove, by rule, what waits and why, and how that differs from the last. Raises AccessDenied."""
    acting = prepare(vault, "show_retention", context)
    require_permission(vault, acting)
    found = find_over(vault, context.controller_id)
    record(vault, acting, count=len(found.due), details={"result": "previewed"})
    return told(found), acting.entry_id


def approve_retention(vault: Vault, context: Context, digest: str) -> str:
    """Approve exactly the run that waits: the next one makes it. Return the entry. Raises AccessDenied, Conflict `plan-changed`."""
    acting = prepare(vault, "approve_retention", context)
    require_permission(vault, acting)
    require_in_person(vault, acting)
    found = find_over(vault, context.controller_id)
    if found.waiting is None or found.digest.hex() != digest:
        raise refuse(vault, acting, Conflict("plan-changed"))
    record(vault, acting, count=len(found.due), details={"result": "approved"}, internal={"plan": digest})
    changed = {"approved_by": context.caller.id, "approved_at": acting.at, "entry_id": acting.entry_id}
    with carrying_out(vault, acting) as transaction:
        records.change_run(transaction, context.controller_id, found.waiting.run_id, **changed)
    return acting.entry_id


def run_retention(vault: Vault, controller_id: str) -> int:
    """Remove what is over; return of how many people. What cannot be removed now is tried again tomorrow, and is late then."""
    found = find_over(vault, controller_id)
    if not found.due:
        return 0
    if found.waits:
        _wait(vault, controller_id, found)
        return 0
    approved = found.approved
    removed = sum(_removed(vault, controller_id, subject_id, what) for subject_id, what in found.due)
    acting = _acting(vault, controller_id)
    record(vault, acting, count=removed, details={"result": "removed"}, internal={"plan": found.digest.hex()})
    with carrying_out(vault, acting) as transaction:
        if approved is not None:
            records.change_run(transaction, controller_id, approved.run_id, state="done", removed=removed, entry_id=acting.entry_id)
        else:
            records.add_run(transaction, controller_id, _run(vault, found, acting, "done", removed))
    return removed


def find_over(vault: Vault, controller_id: str) -> Found:
    """Return what is over today. Nothing is opened and nothing changed."""
    today = local_day(vault, controller_id, vault.now())
    with vault.database.snapshot(controller_id) as rows:
        verdicts = [(one.subject_id, _judged(vault, controller_id, one, today)) for one in records.people(rows, controller_id)]
        return Found(today, records.how_many(rows, controller_id), verdicts, records.runs(rows, controller_id))


def told(found: Found) -> dict[str, Any]:
    """Return a preview as it is told: numbers by rule and by what waits, and nobody."""
    last = next((one for one in found.runs if one.state == "done"), None)
    blocked = Counter(block for _, what in found.verdicts for block in what.blocks if what.over or what.whole)
    return {
        "today": found.today.isoformat(), "people": found.people, "due": len(found.due), "late": found.late(),
        "rules": by_rule(what for _, what in found.verdicts), "whole": sum(what.whole for _, what in found.due),
        "blocked": dict(sorted(blocked.items())), "digest": found.digest.hex(), "waits": found.waits,
        "last": {"at": last.at.isoformat(), "removed": last.removed} if last is not None else None,
        "difference": len(found.due) - (last.removed if last is not None else 0),
    }  # fmt: skip


def by_rule(verdicts: Iterable[Verdict]) -> list[dict[str, Any]]:
    """Return of each rule how many duties rest on it: over, still running, and the next day one is over."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for what in verdicts:
        for one in (*what.over, *what.running):
            law = ", ".join(one.rule.law) if one.rule is not None else ""
            line = rows.setdefault(
                (one.template, law),
                {
                    "template": one.template,
                    "law": law,
                    "period": one.rule.period if one.rule else None,
                    "due": 0,
                    "kept": 0,
                    "next": None,
                },
            )
            line["due" if one in what.over else "kept"] += 1
            if one in what.running and one.until is not None:
                line["next"] = min(filter(None, (line["next"], one.until.isoformat())))
    return [rows[key] for key in sorted(rows)]


def _judged(vault: Vault, controller_id: str, one: PersonRow, today: date) -> Verdict:
    duties = duties_of(vault, controller_id, one.agreements, one.waits)
    agreed = {each.agreement_id for each in one.agreements}
    blocks = [
        name
        for name, stands in (
            ("legal-hold", not one.waits <= agreed), ("request-open", one.asked), ("restricted", one.restricted),
            (_UNKNOWN, any(each.template not in vault.templates for each in one.agreements)),
        )
        if stands
    ]  # fmt: skip
    return verdict(list(duties.values()), one.agreements, today, blocks)


def _removed(vault: Vault, controller_id: str, subject_id: str, what: Verdict) -> bool:
    """Remove what is over of one person, if that is still so; one of whom that fails keeps nobody else waiting.

    An erasure notices what changes after its beginning by the person's version: so it is looked at again after that.
    """

    def still(rows: Connection) -> bool:
        now = records.person(rows, controller_id, subject_id)
        return now is not None and _judged(vault, controller_id, now, local_day(vault, controller_id, vault.now())) == what

    try:
        if not what.whole:
            end_duties(vault, controller_id, subject_id, [one.agreement_id for one in what.over], still)
            return True
        acting = _acting(vault, controller_id, "erase", subject_id)
        with vault.database.snapshot(controller_id) as rows:
            stands = still(rows)
        if stands:
            carry_out(vault, acting, read_case(vault, acting), None)
    except VaultError as error:
        log.error("retention_put_off", controller_id=controller_id, subject_id=subject_id, code=error.code)
        return False
    return stands


def _wait(vault: Vault, controller_id: str, found: Found) -> None:
    """Say that a run waits for somebody, once; another that waited is no longer what is due."""
    if found.waiting is not None:
        return
    acting = _acting(vault, controller_id)
    record(vault, acting, count=len(found.due), details={"result": "waiting"}, internal={"plan": found.digest.hex()})
    with carrying_out(vault, acting) as transaction:
        for one in found.runs:
            if one.state == "waiting":
                records.change_run(transaction, controller_id, one.run_id, state="dropped")
        made = _run(vault, found, acting, "waiting", 0)
        records.add_run(transaction, controller_id, made)
        announce(transaction, vault, controller_id, "retention:waiting", acting.entry_id, acting.at, run_id=made.run_id)
    log.warning("retention_waits", controller_id=controller_id, count=len(found.due), entry_id=acting.entry_id)


def _run(vault: Vault, found: Found, acting: Acting, state: str, removed: int) -> RunRow:
    rules = by_rule(what for _, what in found.due)
    return RunRow(
        vault.new_id("run"),
        acting.at,
        state,
        found.people,
        len(found.due),
        removed,
        found.digest,
        rules,
        None,
        None,
        acting.entry_id,
    )


def _acting(vault: Vault, controller_id: str, verb: str = "retain", subject_id: str = "-") -> Acting:
    context = Context(controller_id, _CALLER, "legal-compliance", "api")
    classes = vault.catalogue.classes if subject_id != "-" else ()
    return prepare(vault, verb, context, subject_id, classes, permission=HOUSE)
