"""Raise the alarms of data that did not come from the person, before the day by which they are to be told of them (GDPR 14(3)).

That day comes sooner once the person is met, or once the data go to another recipient; the log and the list of disclosures say so.
A job looks each hour. One alarm for a person: it names no field, for they may have obscured one.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from itertools import groupby
from operator import attrgetter
from typing import Final

import structlog

from vault import sources
from vault.assembly import Vault
from vault.operations.acting import HOUSE, carrying_out, prepare, record
from vault.operations.open_request import local_day
from vault.outbox import announce
from vault.policy.informing import Informing
from vault.policy.model import Caller, Context
from vault.policy.periods import ALARMS, alarms
from vault.sources import Happened, SourceRow

_CALLER: Final = Caller(id="job:sources", kind="job", roles=frozenset(), client_id="riserbo")

log = structlog.get_logger()


def tell_sources(vault: Vault, controller_id: str) -> int:
    """Move what has become due sooner, and raise what has come since the last look; return how many alarms that were."""
    today, done = local_day(vault, controller_id, vault.now()), 0
    with vault.database.snapshot(controller_id) as rows:
        found = sources.untold(rows, controller_id)
        happened = sources.happened(rows, controller_id)
    by_person = attrgetter("subject_id")
    for subject_id, theirs in groupby(sorted(found, key=by_person), key=by_person):
        before = list(theirs)
        after = [_looked_at(vault, controller_id, one, happened, today) for one in before]
        changed = [one for one, was in zip(after, before, strict=True) if one != was]
        raised = [one for one, was in zip(after, before, strict=True) if one.alarm != was.alarm]
        if raised:
            _raise(vault, controller_id, subject_id, changed, max((one.alarm or "" for one in raised), key=_rank))
            done += 1
        elif changed:
            with vault.database.transaction(controller_id) as transaction:
                sources.move(transaction, controller_id, changed)
    return done


def _looked_at(vault: Vault, controller_id: str, one: SourceRow, happened: Happened, today: date) -> SourceRow:
    """Return a row with what has come of it: a date that is sooner, an alarm that is later."""
    if one.due_at is None:
        return one
    due = Informing(one.due_at, one.because)  # type: ignore[arg-type]  # of the closed list: no other is stored
    due = due.sooner("contacted", happened.contacted.get(one.key)).sooner("disclosed", happened.disclosed.get(one.key))
    come = alarms(local_day(vault, controller_id, one.obtained_at), local_day(vault, controller_id, due.due_at), today)
    alarm = max((*come, *((one.alarm,) if one.alarm is not None else ())), key=_rank, default=None)
    return replace(one, due_at=due.due_at, because=due.because, alarm=alarm)


def _rank(alarm: str) -> int:
    return [*map(str, ALARMS)].index(alarm)


def _raise(vault: Vault, controller_id: str, subject_id: str, changed: Sequence[SourceRow], alarm: str) -> None:
    context = Context(controller_id, _CALLER, "rights-fulfilment", "api")
    acting = prepare(vault, "source-alarm", context, subject_id, permission=HOUSE)
    record(vault, acting, details={"result": alarm})
    with carrying_out(vault, acting) as transaction:
        sources.move(transaction, controller_id, changed)
        announce(transaction, vault, controller_id, "source:alarm", acting.entry_id, acting.at, subject_id=subject_id, alarm=alarm)
    log.warning("source_due", controller_id=controller_id, code=alarm, entry_id=acting.entry_id)
