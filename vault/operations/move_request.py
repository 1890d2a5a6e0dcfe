"""Move a request on: verify who asks, ask back, extend, accept, refuse, carry it out, take it back, reopen it (GDPR 12 to 22).

Who may do what, and when, says `vault.rights.moves`; what it did not foresee is a conflict. Each move is on record before it
counts, and a step of the request for ever. What is accepted is a plan, by its digest; only that is carried out. An erasure is
carried out by another person than who accepted it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any, Final

import sqlalchemy as sa

from vault.assembly import Vault
from vault.errors import Conflict, Fault, InvalidValue, NotFound, Refused, Unfit
from vault.exports import records as exports
from vault.operations.acting import Acting, carrying_out, prepare, record, refuse, require_in_person, require_permission
from vault.operations.carry_out_correction import accepted_digest, carry_out_correction
from vault.operations.erase import Order, erase, plan_erasure
from vault.operations.forbid_after_death import require_allowed_by_the_dead
from vault.operations.forget_barred import forget_barred
from vault.operations.open_request import Stands, dated, local_day, patron_day, role_of, step_of
from vault.operations.sealed_words import word_faults
from vault.operations.tickets import TicketFactsIn, stand_for
from vault.outbox import announce
from vault.policy.model import Context
from vault.policy.periods import Period, Stop, counts
from vault.profiles import ages
from vault.rights import correction_records as corrections
from vault.rights import records
from vault.rights.kinds import CERTIFIERS, Kind, seen_on
from vault.rights.moves import OPEN, OUTCOMES, Move, Role, Verb, Waiting, Where, moved
from vault.rights.records import RequestRow, StepRow

VERB: Final = "move_request"
JUSTIFIED: Final = ("complexity", "high-volume")  # eu-gdpr:JustificationA12Complexity, …A12HighVolume
UNANSWERED: Final = timedelta(days=30)
METHODS: Final = ("call-back", "in-branch", "mandate", "document-seen")
_IN_PERSON: Final = ("verify", "accept", "take", "refuse", "fulfil", "reopen")
_NEEDS_WORDS: Final = ("verify", "ask", "extend", "refuse", "reopen", "duplicate", "unidentify")


@dataclass(frozen=True, slots=True)
class Step:
    """What somebody does, and what it takes to: `said` in their words; the rest by verb.

    verify: `level` reached, `method`; ask: `waiting` for what; extend: `by_months` more, `because`; accept: `plan`, the digest in
    hex, of an erasure or a correction, and of somebody dead by what `standing` for which `right`, on which `ground` although they
    forbade it, and of an old cancer who certified it (`certificate`) on which day (`certified_on`, ISO 8601);
    refuse: `code`; fulfil: `outcome`; duplicate: `same_as`; reopen: `ordered_by`.
    """

    verb: Verb
    said: str | None = field(default=None, repr=False)
    level: int = 0
    method: str | None = None
    waiting: Waiting = "nothing"
    by_months: int = 0
    because: str | None = None
    plan: str | None = None
    code: str | None = None
    outcome: str | None = None
    same_as: str | None = None
    ordered_by: str | None = None
    standing: str | None = None
    right: str | None = None
    ground: str | None = None
    certificate: str | None = None
    certified_on: str | None = None


def move_request(vault: Vault, context: Context, request_id: str, step: Step) -> Stands:
    """Move a request. Raises InvalidValue, NotFound, AccessDenied, Stale, Conflict naming what stands in the way.

    Conflict: a code of `vault.rights.moves`, `plan-changed`, `not-done` where nothing shows that it was carried out,
    `erasure-grace` while an erasure asked for in the portal is not a day old.
    """
    acting, row = required_request(vault, context, VERB, request_id)
    role = role_of(acting)
    if role in ("request-officer", "dpo") and step.verb in _IN_PERSON:
        require_in_person(vault, acting)
    if faults := list(_faults(vault, acting, row, step, role)):
        raise refuse(vault, acting, InvalidValue(faults=faults))
    with vault.database.snapshot(context.controller_id) as rows:
        done = records.steps(rows, context.controller_id, request_id)
    move = _move(vault, acting, row, done, step, role)
    after = moved(row.where, move)
    if not isinstance(after, Where):
        raise refuse(vault, acting, Conflict(after))
    to = row.after(after, **_changes(vault, acting, row, done, step))
    if step.verb == "fulfil" and row.kind in _CARRIED_OUT:
        _require_grace(vault, acting, row)
        row = _carried_out(vault, context, row, move)
        to = replace(to, begun=True, outcome=row.outcome if row.kind == "erasure" else to.outcome)
    record(vault, acting, details={"result": step.verb, "request": request_id})
    stated = {name: value for name, value in _stated(step, move).items() if value not in (None, 0, "nothing")}
    words = {"said": step.said, "ordered_by": step.ordered_by}
    made = step_of(vault, acting, request_id, len(done) + 1, move, words, **stated)
    with carrying_out(vault, acting) as transaction:
        records.move(transaction, context.controller_id, row, replace(to, entry_id=acting.entry_id), made)
        _assign(transaction, acting, row, to, move)
        if step.verb == "accept" and row.kind == "onco-oblivion":
            ages.set_barred(transaction, context.controller_id, row.subject_id, acting.at)
            barred = {one.class_name for one in vault.catalogue.fields.values() if one.time_barred}
            corrections.end_drafts_of(transaction, context.controller_id, row.subject_id, barred)
        if to.state not in OPEN:
            corrections.end_drafts(transaction, context.controller_id, request_id)
        if after.state != row.state:
            announce(
                transaction, vault, context.controller_id, "request:moved", acting.entry_id, acting.at, request_id=request_id,
                state=after.state,
            )  # fmt: skip
    return Stands(replace(to, version=row.version + 1), acting.entry_id)


def required_request(vault: Vault, context: Context, verb: str, request_id: str) -> tuple[Acting, RequestRow]:
    """Return a request and who acts on it. Raises the recorded 404 where there is none, as where it is nobody's of theirs."""
    with vault.database.snapshot(context.controller_id) as rows:
        found = records.read(rows, context.controller_id, request_id)
    acting = prepare(vault, verb, context, found.subject_id if found is not None else request_id)
    require_permission(vault, acting)
    if found is None:
        raise refuse(vault, acting, NotFound())
    return acting, found


def _assign(transaction: sa.Connection, acting: Acting, row: RequestRow, to: RequestRow, move: Move) -> None:
    """Let the request officer who accepts or takes a request see what it is about, and nothing else, until it has ended."""
    if to.state == "accepted" and move.role == "request-officer" and move.verb in ("accept", "take"):
        facts, fields = TicketFactsIn(row.subject_id, "open", assignee=move.by), seen_on(row.kind, row.fields)
    elif row.state == "accepted" and to.state != "accepted":
        facts, fields = TicketFactsIn(row.subject_id, "closed"), frozenset()
    else:
        return
    stand_for(transaction, acting.context.controller_id, row.request_id, facts, acting.at, acting.entry_id, fields)


def period_of(vault: Vault, acting: Acting, row: RequestRow) -> Period:
    """Return the period a request was given. Raises the recorded Conflict where the bundle in force does not have it."""
    found = next((one for one in vault.policy.periods if one.reference == row.regime), None)
    if found is None:
        raise refuse(vault, acting, Conflict("regime-not-in-bundle"))
    return found


def _faults(vault: Vault, acting: Acting, row: RequestRow, step: Step, role: Role) -> Sequence[Fault]:
    faults = list(
        word_faults(
            {"said": step.said, "ordered_by": step.ordered_by},
            *(["said"] if step.verb in _NEEDS_WORDS and role != "customer" else []),
        )
    )
    certifies = step.verb == "accept" and row.kind == "onco-oblivion"
    today = local_day(vault, acting.context.controller_id, acting.at)
    wrong = {
        "/certificate": certifies and step.certificate not in CERTIFIERS,
        "/certified_on": certifies and not _is_by(today, step.certified_on),
        "/level": step.verb == "verify" and not 0 <= step.level <= 3,
        "/method": step.verb == "verify" and role != "customer" and step.method not in METHODS,
        "/because": step.verb == "extend" and step.because not in JUSTIFIED,
        "/code": step.verb == "refuse" and step.code not in vault.policy.refusals,
        "/outcome": step.verb == "fulfil" and row.kind != "erasure" and step.outcome not in OUTCOMES,
        "/plan": step.verb == "accept" and row.kind == "erasure" and (step.plan is None or len(step.plan) != 64),
        "/same_as": step.verb == "duplicate" and step.same_as in (None, row.request_id),
        "/ordered_by": step.verb == "reopen" and not (step.ordered_by or "").strip(),
    }
    return [*faults, *(Fault(pointer, "member.unfit") for pointer, stands in wrong.items() if stands)]


def _is_by(today: date, said: str | None) -> bool:
    """Say whether somebody stated a day, and not one to come."""
    try:
        return date.fromisoformat(said or "") <= today
    except ValueError:
        return False


def _move(vault: Vault, acting: Acting, row: RequestRow, done: Sequence[StepRow], step: Step, role: Role) -> Move:
    """Return the move this is. Who signed in well enough is verified by that, and not by anybody's word."""
    by, level, called_back = acting.context.caller.id, step.level, role != "customer" and step.method == "call-back"
    if step.verb == "verify" and role == "customer":
        role, by, level = "system", "system", acting.context.caller.level
    extendable = True
    if step.verb == "extend":
        period = period_of(vault, acting, row)
        in_time = local_day(vault, acting.context.controller_id, acting.at) <= row.base_due
        extendable = in_time and 0 < step.by_months <= len(period.extended)
    unanswered = step.verb != "unidentify" or _unanswered(vault, acting, row, done, step)
    return Move(step.verb, role, by, level, step.waiting, extendable, unanswered, called_back)


def _unanswered(vault: Vault, acting: Acting, row: RequestRow, done: Sequence[StepRow], step: Step) -> bool:
    """Say whether the person was asked soon after receipt, and has had thirty days to answer."""
    controller_id, stops = acting.context.controller_id, _stops(vault, acting, done, step)
    received, today = (local_day(vault, controller_id, at) for at in (row.received_at, acting.at))
    in_time = bool(stops) and counts(received, stops[-1], patron_day(vault, controller_id))
    return in_time and today - stops[-1].asked >= UNANSWERED


def _changes(vault: Vault, acting: Acting, row: RequestRow, done: Sequence[StepRow], step: Step) -> dict[str, Any]:
    """Return what else of the row changes with a move: its dates, the plan, the outcome."""
    match step.verb:
        case "ask" | "answer" | "extend" | "verify":
            extended = step.by_months - 1 if step.verb == "extend" else row.extended
            stops = _stops(vault, acting, done, step)
            due = dated(vault, acting.context.controller_id, period_of(vault, acting, row), row.received_at, stops, extended)
            return {"due": due.due, "extended": extended}
        case "accept":
            if row.kind == "deceased":
                require_allowed_by_the_dead(vault, acting, row.subject_id, step.standing, step.right, step.ground)
            return {"plan": _accepted_plan(vault, acting, row, step)}
        case "fulfil":
            return {"fulfilled_by": acting.context.caller.id, "outcome": _outcome(vault, acting, row, step)}
        case "duplicate":
            _require_same(vault, acting, row, step.same_as or "")
            return {}
        case "reopen":
            due = dated(vault, acting.context.controller_id, period_of(vault, acting, row), acting.at)
            again = {"received_at": acting.at, "base_due": due.base_due, "due": due.due, "extended": None, "alarm": None}
            return {**again, "fulfilled_by": None, "outcome": None, "plan": None}
        case _:
            return {}


def _stops(vault: Vault, acting: Acting, done: Sequence[StepRow], step: Step) -> list[Stop]:
    """Return when the person was asked and answered since the clock began, this step included.

    A fee stops no clock; to be verified is to have answered; a request that is reopened has a clock of its own.
    """
    controller_id = acting.context.controller_id
    told = [(one.verb, one.stated.get("waiting", ""), local_day(vault, controller_id, one.at)) for one in done]
    told.append((step.verb, step.waiting, local_day(vault, controller_id, acting.at)))
    stops: list[Stop] = []
    asked: date | None = None
    for verb, waiting, on in told:
        if verb == "reopen":
            stops, asked = [], None
        elif verb == "ask":
            asked = on if waiting in ("identity", "clarification") else None
        elif verb in ("answer", "verify") and asked is not None:
            stops.append(Stop(asked, on))
            asked = None
    return [*stops, Stop(asked)] if asked is not None else stops


def _accepted_plan(vault: Vault, acting: Acting, row: RequestRow, step: Step) -> bytes | None:
    """Return the digest of what is accepted: of an erasure the plan as it is now, of a correction what was proposed last.

    Raises Conflict `plan-changed`.
    """
    if row.kind == "rectification":
        return accepted_digest(vault, acting, row, step.plan)
    if row.kind != "erasure":
        return None
    if plan_erasure(vault, acting.context, row.subject_id).digest != step.plan:
        raise refuse(vault, acting, Conflict("plan-changed"))
    return bytes.fromhex(step.plan or "")


def _outcome(vault: Vault, acting: Acting, row: RequestRow, step: Step) -> str | None:
    """Return what came of it. Raises Conflict `not-done` where the vault would know of it and does not."""
    if row.kind in ("access", "portability") and step.outcome != "nothing-held":
        with vault.database.snapshot(acting.context.controller_id) as rows:
            made = exports.made_since(rows, acting.context.controller_id, row.subject_id, row.kind, row.registered_at)
        if not made:
            raise refuse(vault, acting, Conflict("not-done"))
    restricted = acting.person.subject is not None and acting.person.subject.restricted
    if row.kind == "restriction" and not restricted:
        raise refuse(vault, acting, Conflict("not-done"))
    return step.outcome


def _require_same(vault: Vault, acting: Acting, row: RequestRow, same_as: str) -> None:
    """Expect another open request of the same person and kind, of all that this is of: the earlier clock governs."""
    with vault.database.snapshot(acting.context.controller_id) as rows:
        other = records.read(rows, acting.context.controller_id, same_as)
    fits = other is not None and (other.subject_id, other.kind) == (row.subject_id, row.kind) and other.state in OPEN
    if not fits or other is None or other.received_at > row.received_at or not _covers(other, row):
        raise refuse(vault, acting, Conflict("not-the-same"))


def _covers(other: RequestRow, row: RequestRow) -> bool:
    """Say whether one request is of all that another is of; no fields are all of them."""
    return not other.fields or (bool(row.fields) and set(row.fields) <= set(other.fields))


def _carried_out(vault: Vault, context: Context, row: RequestRow, move: Move) -> RequestRow:
    """Do what was accepted, and return the row as it is then. Once done, nobody takes it back.

    Killed before the request has moved, it may be done again: what was done answers that it was.
    """
    if row.kind == "erasure":
        return _erased(vault, context, row, move)

    def begin(rows: sa.Connection) -> None:
        if not row.begun:
            records.move(rows, context.controller_id, row, replace(row, begun=True), None)

    if row.kind == "rectification":
        done = carry_out_correction(vault, context, row, begin)
    else:
        done = forget_barred(vault, context.controller_id, row.subject_id, row.request_id, begin)
    return replace(row, begun=True, version=row.version + 1) if done and not row.begun else row


def _erased(vault: Vault, context: Context, row: RequestRow, move: Move) -> RequestRow:
    """Erase whom this request is of, by the plan that was accepted.

    It has begun before the ledger knows of it, which carries it out also where this process is killed. Refused, it has not begun.
    """
    order = Order(row.request_id, row.accepted_by or "", move.by, (row.plan or b"").hex())
    begun = row if row.begun else _marked(vault, context, row, begun=True)
    try:
        done = erase(vault, context, row.subject_id, order)
    except (Refused, Unfit):
        if not row.begun:  # whoever found it begun did not begin it
            _marked(vault, context, begun, begun=False)
        raise
    return replace(begun, outcome=str(done.result["outcome"]))


_CARRIED_OUT: Final[frozenset[Kind]] = frozenset({"erasure", "rectification", "onco-oblivion"})  # what cannot be taken back


def _require_grace(vault: Vault, acting: Acting, row: RequestRow) -> None:
    """Refuse, on record, an erasure a session asked for a short while ago: whoever's it is may still take it back, or be told."""
    grace = timedelta(hours=vault.settings.erasure_grace_hours)
    if row.kind == "erasure" and row.channel == "portal" and not row.begun and acting.at < row.registered_at + grace:
        raise refuse(vault, acting, Conflict("erasure-grace"))


def _marked(vault: Vault, context: Context, row: RequestRow, *, begun: bool) -> RequestRow:
    marked = replace(row, begun=begun)
    with vault.database.transaction(context.controller_id) as transaction:
        records.move(transaction, context.controller_id, row, marked, None)
    return replace(marked, version=row.version + 1)


def _stated(step: Step, move: Move) -> Mapping[str, Any]:
    return {
        "level": move.level if step.verb == "verify" else None, "method": step.method, "waiting": step.waiting,
        "months": step.by_months, "because": step.because, "plan": step.plan, "code": step.code, "outcome": step.outcome,
        "same_as": step.same_as, "standing": step.standing, "right": step.right, "ground": step.ground,
        "certificate": step.certificate, "certified_on": step.certified_on,
    }  # fmt: skip
