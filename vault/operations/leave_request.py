"""What a right exercised directly leaves behind: a request with its history, as if it had been put down first (rights.md 1).

Its effect came first and rests on nothing here. A withdrawal and an objection to marketing are fulfilled; an objection that has
to be weighed is left verified, with the date by which the officer does.
"""

from typing import Final

import sqlalchemy as sa

from vault.assembly import Vault
from vault.operations.acting import Acting
from vault.operations.open_request import EVERYBODY, dated, local_day, step_of
from vault.policy.periods import period_in_force
from vault.rights import records
from vault.rights.kinds import KINDS, Kind
from vault.rights.moves import Move, Verb, Where, moved
from vault.rights.records import RequestRow, StepRow

_ALL: Final[tuple[Verb, ...]] = ("verify", "accept", "fulfil")


def leave_request(vault: Vault, rows: sa.Connection, acting: Acting, kind: Kind) -> None:
    """Leave it, in the transaction of what was done. A bundle from before there were periods leaves none."""
    controller_id = acting.context.controller_id
    period = period_in_force(vault.policy.periods, KINDS[kind].regime, local_day(vault, controller_id, acting.at))
    if period is None:
        return
    due = dated(vault, controller_id, period, acting.at)
    made = RequestRow(
        request_id=vault.new_id("req"), subject_id=acting.subject_id, kind=kind, fields=(), special=False,
        channel=acting.context.channel, received_at=acting.at, registered_at=acting.at, registered_by=acting.context.caller.id,
        regime=period.reference, base_due=due.base_due, due=due.due, state="received", waiting="nothing", extended=None, level=0,
        accepted_by=None, fulfilled_by=None, plan=None, begun=False, outcome=None, alarm=None, version=0, entry_id=acting.entry_id,
    )  # fmt: skip
    at, steps = Where(kind), list[StepRow]()
    for verb in _ALL if KINDS[kind].decided_by == "nobody" else _ALL[:1]:
        move = Move(verb, "system", EVERYBODY, level=max(acting.context.caller.level, KINDS[kind].level))
        after = moved(at, move)
        if isinstance(after, Where):
            at = after
            steps.append(step_of(vault, acting, made.request_id, len(steps) + 1, move, {}, direct=True))
    done = at.state == "fulfilled"
    stands = made.after(at, fulfilled_by=EVERYBODY if done else None, outcome="complete" if done else None)
    records.add(rows, controller_id, stands, steps)
