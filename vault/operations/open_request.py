"""Put down what a person asks (GDPR 12 to 22): by themselves, or by whoever hears it, on any channel.

The clock runs from when it arrived, however late it was put down. The date is computed by the law of that day and stored with it.
Who proves who they are by how they signed in is verified at once; what nobody has to decide is accepted at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any, Final

from vault.assembly import Vault
from vault.budgets import Budget
from vault.errors import Conflict, Fault, InvalidValue
from vault.operations.acting import Acting, carrying_out, prepare, record, refuse, require_permission, require_person
from vault.operations.disclosure import SPECIAL
from vault.operations.facts import is_self
from vault.operations.sealed_words import sealed_words, word_faults
from vault.operations.within_limits import within_limits
from vault.outbox import announce
from vault.policy.model import Context
from vault.policy.periods import Due, Period, Stop, due_of, period_in_force
from vault.policy.working_days import MonthDay
from vault.rights import records
from vault.rights.kinds import KINDS, Kind
from vault.rights.moves import Move, Role, Where, moved
from vault.rights.records import RequestRow, StepRow

VERB: Final = "open_request"
EVERYBODY: Final = "system"
_A_DAY: Final = 10


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked. `fields`: none for everything; `received_at`: when it arrived, None for now; `said`: in their words."""

    kind: str
    fields: Sequence[str] = ()
    received_at: datetime | None = None
    said: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Stands:
    """The answer: where a request stands, and until the end of which day it is in time."""

    request: RequestRow
    entry_id: str


def open_request(vault: Vault, context: Context, subject_id: str, asked: Asked) -> Stands:
    """Put a request down. Raises InvalidValue, NotFound, AccessDenied, TooMany, Conflict `regime-not-in-bundle`."""
    acting = prepare(vault, VERB, context, subject_id, classes=[SPECIAL])
    require_permission(vault, acting)
    require_person(vault, acting)
    if faults := _faults(vault, acting, asked):
        raise refuse(vault, acting, InvalidValue(faults=faults))
    within_limits(vault, acting, [Budget(f"{subject_id}/requests", "request", _A_DAY, timedelta(days=1))], "request-budget")
    made, steps = request_made(vault, acting, asked)
    record(vault, acting, details={"result": made.state, "request": made.request_id})
    with carrying_out(vault, acting) as transaction:
        records.add(transaction, context.controller_id, made, steps)
        announce(
            transaction, vault, context.controller_id, "request:received", acting.entry_id, acting.at, request_id=made.request_id
        )
    return Stands(made, acting.entry_id)


def local_day(vault: Vault, controller_id: str, at: datetime) -> date:
    """Return the day an instant lies in where the controller is."""
    return at.astimezone(vault.controller(controller_id).zone).date()


def patron_day(vault: Vault, controller_id: str) -> frozenset[MonthDay]:
    """Return the patron saint's day a controller keeps, if it does."""
    stated = vault.settings.patron_days.get(controller_id)
    return frozenset({(int(stated[:2]), int(stated[3:]))}) if stated is not None else frozenset()


def dated(
    vault: Vault, controller_id: str, period: Period, received_at: datetime, stops: Sequence[Stop] = (), extended: int | None = None
) -> Due:
    """Return by when a request is answered that was received then."""
    received = local_day(vault, controller_id, received_at)
    return due_of(period, received, stops, extended, patron_day(vault, controller_id))


def step_of(vault: Vault, acting: Acting, request_id: str, number: int, move: Move, words: Any, **stated: Any) -> StepRow:
    """Return a step; what somebody wrote is sealed for this request and place. Raises KeysUnavailable."""
    version, sealed = sealed_words(vault, acting.context.controller_id, request_id, number, words)
    return StepRow(number, move.verb, stated, acting.at, move.by, move.role, version, sealed, acting.entry_id)


def role_of(acting: Acting) -> Role:
    """Return what somebody is to a request: its person, or what they are at the helpdesk."""
    if is_self(acting.context, acting.subject_id, acting.person):
        return "customer"
    roles = acting.caller.roles
    return "dpo" if "dpo" in roles else "request-officer" if "dsr-officer" in roles else "agent"


def _faults(vault: Vault, acting: Acting, asked: Asked) -> list[Fault]:
    hers = vault.catalogue.fields.keys() - vault.catalogue.never_to_subject
    faults = [Fault("/kind", "kind.unknown")] if asked.kind not in KINDS else []
    faults += [Fault("/fields", "field.unknown")] if not set(asked.fields) <= hers else []
    faults += [Fault("/received_at", "instant.ahead")] if asked.received_at is not None and asked.received_at > acting.at else []
    return [*faults, *word_faults({"said": asked.said})]


def period_for(vault: Vault, acting: Acting, kind: Kind, received_at: datetime, *, special: bool) -> Period:
    """Return the period of a request that was received then. Raises the recorded Conflict where the bundle has none."""
    on = local_day(vault, acting.context.controller_id, received_at)
    period = period_in_force(vault.policy.periods, KINDS[kind].regime_for(special=special), on)
    if period is None:
        raise refuse(vault, acting, Conflict("regime-not-in-bundle"))
    return period


def request_made(vault: Vault, acting: Acting, asked: Asked) -> tuple[RequestRow, list[StepRow]]:
    """Return the row of a request, and the steps it takes by itself. Raises the recorded Conflict `regime-not-in-bundle`."""
    controller_id, kind = acting.context.controller_id, _kind(asked.kind)
    special = SPECIAL in acting.person.frames and (not asked.fields or any(_is_special(vault, one) for one in asked.fields))
    received_at, terms = asked.received_at or acting.at, KINDS[kind]
    period = period_for(vault, acting, kind, received_at, special=special)
    due = dated(vault, controller_id, period, received_at)
    made = RequestRow(
        request_id=vault.new_id("req"), subject_id=acting.subject_id, kind=kind, fields=sorted(set(asked.fields)), special=special,
        channel=acting.context.channel, received_at=received_at, registered_at=acting.at, registered_by=acting.context.caller.id,
        regime=period.reference, base_due=due.base_due, due=due.due, state="received", waiting="nothing", extended=None, level=0,
        accepted_by=None, fulfilled_by=None, plan=None, begun=False, outcome=None, alarm=None, version=0, entry_id=acting.entry_id,
    )  # fmt: skip
    steps: list[StepRow] = []
    at = made.where
    for move in _by_itself(acting, terms.decided_by == "nobody"):
        after = moved(at, move)
        if not isinstance(after, Where):
            break
        words = {"said": asked.said} if not steps else {}
        steps.append(step_of(vault, acting, made.request_id, len(steps) + 1, move, words, level=move.level))
        at = after
    if not steps:
        opening = Move("ask", role_of(acting), acting.context.caller.id)
        steps = [replace(step_of(vault, acting, made.request_id, 1, opening, {"said": asked.said}), verb="receive")]
    return made.after(at), steps


def _by_itself(acting: Acting, automatic: bool) -> list[Move]:
    """Return the moves nobody has to make: of who has signed in well enough, and of what nobody decides."""
    own = role_of(acting) == "customer"
    level = acting.context.caller.level if own else 0
    verified = Move("verify", "system", EVERYBODY, level=level)
    return [verified, Move("accept", "system", EVERYBODY)] if automatic else [verified]


def _kind(stated: str) -> Kind:
    return next(one for one in KINDS if one == stated)


def _is_special(vault: Vault, name: str) -> bool:
    return vault.catalogue.fields[name].class_name == SPECIAL
