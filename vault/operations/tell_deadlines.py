"""Raise the alarms of requests before their dates come: at half, three quarters, nine tenths, three days before; and past.

They follow the date that no stop moves. Each is on record and announced once; a job does this each hour.
"""

from contextlib import suppress
from dataclasses import replace
from typing import Final

import structlog

from vault.assembly import Vault
from vault.errors import Stale
from vault.operations.acting import HOUSE, carrying_out, prepare, record
from vault.operations.open_request import local_day
from vault.outbox import announce
from vault.policy.model import Caller, Context
from vault.policy.periods import ALARMS, alarms
from vault.rights import records
from vault.rights.records import RequestRow

_CALLER: Final = Caller(id="job:deadlines", kind="job", roles=frozenset(), client_id="riserbo")

log = structlog.get_logger()


def tell_deadlines(vault: Vault, controller_id: str) -> int:
    """Raise what has come since the last look; return how many alarms that were."""
    today = local_day(vault, controller_id, vault.now())
    with vault.database.snapshot(controller_id) as rows:
        found = records.open_ones(rows, controller_id)
    done = 0
    for one in found:
        come = alarms(local_day(vault, controller_id, one.received_at), one.base_due, today)
        if come and (one.alarm is None or ALARMS.index(come[-1]) > ALARMS.index(one.alarm)):
            with suppress(Stale):  # somebody moved it just now: the next look tells
                _raise(vault, controller_id, one, come[-1])
                done += 1
    return done


def _raise(vault: Vault, controller_id: str, one: RequestRow, alarm: str) -> None:
    context = Context(controller_id, _CALLER, "rights-fulfilment", "api")
    acting = prepare(vault, "request-alarm", context, one.subject_id, permission=HOUSE)
    record(vault, acting, details={"result": alarm, "request": one.request_id})
    with carrying_out(vault, acting) as transaction:
        records.move(transaction, controller_id, one, replace(one, alarm=alarm), None)
        announce(
            transaction, vault, controller_id, "request:alarm", acting.entry_id, acting.at, request_id=one.request_id, alarm=alarm
        )
    log.warning("request_due", controller_id=controller_id, code=alarm, entry_id=acting.entry_id)
