"""Scrub a controller's trail: read it again, the last day each night and everything each week, and say what does not hold.

A job. Leaves are compared with chains, MACs, tree and checkpoints, and what lies beside them with the leaves: sealed details with
their commitments, look-up rows with both. A run is on record once it has ended (`log-scrub`: how much was read, and which checks
found something), so one that was killed is made up for by the next, which goes back to where the last one began. When the weekly
pass is due the calendar says: a forged record of one cannot put it off. Nothing is shown.
"""

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
import structlog

from vault import tables
from vault.assembly import Vault
from vault.audit.entry import Draft
from vault.audit.scan import Report, members_of
from vault.errors import Unavailable
from vault.operations.examine import Check

OPERATION: Final = "log-scrub"
CALLER: Final = "job:scrub"
DAY: Final = timedelta(hours=25)  # and an hour of the day before: what one run just missed the next one reads
WEEK: Final = timedelta(days=7)
OVERDUE: Final = timedelta(days=2)
SUNDAY: Final = 6
_KNOWN: Final = 16  # runs looked back at: more than a week of them
_CHECK: Final = re.compile(r"[a-z:-]{1,40}")
_MOST_CHECKS: Final = 40  # more than there are
_L, _E = tables.audit_lookup.c, tables.audit_entry.c
_RUNS = (
    sa.select(_E.leaf)
    .join_from(
        tables.audit_lookup,
        tables.audit_entry,
        sa.and_(_E.controller_id == _L.controller_id, _E.era == _L.era, _E.position == _L.position),
    )
    .where(_L.controller_id == sa.bindparam("controller"), _L.caller_id == CALLER, _L.operation == OPERATION)
    .order_by(_L.at.desc(), _L.position.desc())
    .limit(_KNOWN)
)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Run:
    """One scrub, as its entry says: when, whether of everything, and the checks that found something."""

    at: datetime
    whole: bool
    checks: tuple[str, ...]


def scrub_trail(vault: Vault, controller_id: str, read: Callable[[datetime | None], Report]) -> int:
    """Read what is due and record it; return how many checks found something. Safe to kill and to repeat.

    `read` verifies what was sequenced since an instant, all of it for None. Raises Unavailable: then it was not read, or what was
    found is logged and not on record.
    """
    with suppress(Unavailable):  # what cannot be sequenced or signed is read as it is: the findings say so
        vault.settle(controller_id)
    since = _since(runs(vault, controller_id), vault.now())
    report = read(since)
    found = {one.check for era in (report, *report.before) for one in era.findings}
    checks = sorted(found | {f"not-checked:{one}" for one in report.not_checked})
    entry_id = vault.new_id("ent")
    for check in checks:
        log.error("trail", controller_id=controller_id, step="scrub", code=check, entry_id=entry_id)
    log.info("trail_scrubbed", controller_id=controller_id, entry_id=entry_id, code="differs" if checks else "holds")
    about = {"origin": report.origin, "first": report.first, "size": report.size, "whole": since is None, "checks": checks}
    draft = Draft(
        entry_id=entry_id, operation=OPERATION, outcome="done", kind="job", caller_id=CALLER, count=len(checks), about=about
    )  # fmt: skip
    vault.audit.record(controller_id, draft)
    return len(checks)


def _since(known: list[Run], now: datetime) -> datetime | None:
    """Return from when on to read; None for everything: on Sundays, and where that was not done within a week."""
    if now.weekday() == SUNDAY or not any(one.whole and now - one.at < WEEK for one in known):
        return None
    return min(now, known[0].at) - DAY


def runs(vault: Vault, controller_id: str) -> list[Run]:
    """Return the newest scrubs of a trail, the last one first. Look-up rows find their entries, which say what they were."""
    found = vault.database.read(controller_id, _RUNS, {"controller": controller_id})
    return [run for run in (_run(members_of(bytes(row.leaf)) or {}) for row in found) if run is not None]


def _run(members: Mapping[str, Any]) -> Run | None:
    """Return the run an entry tells of; None for what no scrub wrote: an edited leaf is no run, and nobody is shown its words."""
    about = members.get("about", {})
    whole, checks = about.get("whole"), about.get("checks")
    if members.get("operation") != OPERATION or "at" not in members or not isinstance(whole, bool):
        return None
    if not isinstance(checks, list) or len(checks) > _MOST_CHECKS:
        return None
    if not all(isinstance(one, str) and _CHECK.fullmatch(one) for one in checks):
        return None
    return Run(datetime.fromtimestamp(members["at"] / 1000, UTC), whole, tuple(checks))


def scrub_check(vault: Vault, controller_id: str) -> Check:
    """Return the line of `/readyz`: how old the last scrub is, and the checks that found something then. It stops nothing."""
    last = next(iter(runs(vault, controller_id)), None)
    if last is None:
        return Check(f"scrub of {controller_id}", ok=True)
    age_s = int((vault.now() - last.at).total_seconds())
    warnings = (*last.checks, *(["overdue"] if age_s > OVERDUE.total_seconds() else []))
    advice = "riserbo audit verify" if last.checks else None
    return Check(f"scrub of {controller_id}", ok=True, note=" ".join(warnings), warnings=warnings, age_s=age_s, do=advice)
