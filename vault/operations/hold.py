"""Place a legal hold on a person's data, approve it, show holds, and release them: two persons to place, two to release.

From when it is proposed nothing it covers is destroyed: a wrap of its own keeps each key alive, and nothing opens through that. An
erasure meanwhile keeps what is held, sealed anew and held by this alone; released, it goes too. A proposal nobody approves within
72 hours lapses; a review that is missed is an alarm, and the hold stands.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

import structlog
from sqlalchemy import Connection

from vault.assembly import Vault
from vault.erasure import holds
from vault.erasure import records as erasures
from vault.erasure.holds import LONGEST_REVIEW, HoldRow
from vault.errors import Conflict, Erased, Fault, InvalidValue, NotFound, VaultError
from vault.keys import records as keys
from vault.keys.data_keys import wraps_for
from vault.operations.acting import (
    HOUSE,
    Acting,
    carrying_out,
    is_gone,
    prepare,
    record,
    refuse,
    require_in_person,
    require_permission,
    require_person,
    telling,
)
from vault.operations.ending import close_classes
from vault.operations.facts import sealed_classes
from vault.operations.open_request import local_day
from vault.operations.sealed_words import opened_words, sealed_words, word_faults
from vault.policy.model import Caller, Context
from vault.profiles import versions

VERB: Final = "hold"
_CALLER: Final = Caller(id="job:holds", kind="job", roles=frozenset(), client_id="riserbo")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be held, and why. `fields`: none for everything; `law`: what obliges or allows it; both dates are days."""

    law: str
    review_at: date
    why: str = field(repr=False)
    fields: Sequence[str] = ()
    until: date | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """The answer: where a hold stands."""

    hold_id: str
    state: str
    entry_id: str


def place_hold(vault: Vault, context: Context, subject_id: str, wish: Wish) -> Held:
    """Propose a hold; what it covers is held at once. Raises InvalidValue, NotFound, AccessDenied, Erased, Stale."""
    acting = prepare(vault, VERB, context, subject_id, vault.catalogue.classes)
    require_permission(vault, acting)
    require_in_person(vault, acting)
    require_person(vault, acting)
    if is_gone(acting.person):
        raise refuse(vault, acting, Erased())
    if faults := _faults(vault, acting, wish):
        raise refuse(vault, acting, InvalidValue(faults=faults))
    covered = {vault.catalogue.fields[name].class_name for name in wish.fields} or set(acting.person.frames)
    through = {one: min(held) for one in sorted(covered) if (held := acting.person.wraps_of(one))}
    opens = {f"~{one}": source for one, source in through.items()}  # whole classes: no field is shown
    hold_id = vault.new_id("hld")
    permit = record(vault, acting, opens=opens, internal={"result": "proposed", "hold": hold_id})
    sealed = sealed_classes(context.controller_id, subject_id, acting.person)
    held_for = {one: [hold_id] for one in through}
    with telling(vault, acting):
        wraps = wraps_for(vault.keys, permit, sealed, through, None, vault.monotonic(), held_for)
        version, words = sealed_words(vault, context.controller_id, hold_id, 0, {"why": wish.why})
    made = HoldRow(
        hold_id=hold_id, subject_id=subject_id, fields=sorted(set(wish.fields)), law=wish.law, state="proposed",
        placed_at=acting.at, placed_by=context.caller.id, approved_by=None, release_asked_by=None, released_by=None,
        review_at=wish.review_at, until=wish.until, secret_version=version, sealed=words, version=0, entry_id=acting.entry_id,
    )  # fmt: skip
    with carrying_out(vault, acting) as transaction:
        keys.lock_data_keys(transaction, context.controller_id, subject_id)
        _raise_version(transaction, acting)
        keys.insert_wraps(transaction, context.controller_id, subject_id, wraps)
        holds.add(transaction, context.controller_id, made)
    return Held(hold_id, "proposed", acting.entry_id)


def approve_hold(vault: Vault, context: Context, hold_id: str) -> Held:
    """Approve a proposal, as another person. Raises NotFound, AccessDenied, Conflict `same-person`, `hold-state`."""
    acting, found = _required(vault, context, hold_id)
    if found.state != "proposed" or not found.counts(acting.at):
        raise refuse(vault, acting, Conflict("hold-state"))
    if found.placed_by == context.caller.id:
        raise refuse(vault, acting, Conflict("same-person"))
    record(vault, acting, internal={"result": "approved", "hold": hold_id})
    with carrying_out(vault, acting) as transaction:
        holds.change(transaction, context.controller_id, found, state="approved", approved_by=context.caller.id)
    return Held(hold_id, "approved", acting.entry_id)


def release_hold(vault: Vault, context: Context, hold_id: str) -> Held:
    """Ask to release a hold; asked by another person, release it, and let go of what only it kept.

    A proposal may be released by one person alone. Raises NotFound, AccessDenied, Conflict `same-person`, `hold-state`.
    """
    acting, found = _required(vault, context, hold_id)
    if not found.counts(acting.at):
        raise refuse(vault, acting, Conflict("hold-state"))
    if found.state == "approved":
        record(vault, acting, internal={"result": "release-asked", "hold": hold_id})
        with carrying_out(vault, acting) as transaction:
            holds.change(transaction, context.controller_id, found, state="releasing", release_asked_by=context.caller.id)
        return Held(hold_id, "releasing", acting.entry_id)
    if found.release_asked_by == context.caller.id:
        raise refuse(vault, acting, Conflict("same-person"))
    _let_go(vault, acting, found, state="released", released_by=context.caller.id)
    return Held(hold_id, "released", acting.entry_id)


def show_holds(vault: Vault, context: Context) -> tuple[list[dict[str, Any]], str]:
    """Show every hold that has not ended, with why, to officers; and the entry. Raises AccessDenied."""
    acting = prepare(vault, VERB, context)
    require_permission(vault, acting)
    with vault.database.snapshot(context.controller_id) as rows:
        found = holds.live(rows, context.controller_id)
    record(vault, acting, count=len(found), internal={"result": "listed"})
    today = local_day(vault, context.controller_id, acting.at)
    with telling(vault, acting):
        return [_told(vault, context.controller_id, one, today) for one in found], acting.entry_id


def end_holds(vault: Vault, controller_id: str) -> int:
    """Let go of what has lapsed or ended by its day, and raise the alarm for missed reviews; return how many ended. A job."""
    now = vault.now()
    today = local_day(vault, controller_id, now)
    with vault.database.snapshot(controller_id) as rows:
        found = holds.live(rows, controller_id)
    over = [one for one in found if one.is_over(now, today)]
    for one in over:
        context = Context(controller_id, _CALLER, "legal-compliance", "api")
        acting = prepare(vault, VERB, context, one.subject_id, vault.catalogue.classes, permission=HOUSE)
        _let_go(vault, acting, one, state="lapsed" if one.state == "proposed" else "released")
    for one in found:
        if one not in over and today > one.review_at:
            log.warning("hold_review_missed", controller_id=controller_id, entry_id=one.entry_id)
    return len(over)


def _let_go(vault: Vault, acting: Acting, one: HoldRow, **changed: Any) -> None:
    """End a hold: its wraps go, and with them what nothing else holds."""
    record(vault, acting, internal={"result": changed["state"], "hold": one.hold_id})
    place = (acting.context.controller_id, acting.subject_id)
    with carrying_out(vault, acting) as transaction:
        keys.lock_data_keys(transaction, *place)
        if not is_gone(acting.person):
            _raise_version(transaction, acting)
        keys.delete_hold_wraps(transaction, *place, one.hold_id)
        close_classes(vault, transaction, acting)
        erasures.settle(transaction, *place)
        holds.change(transaction, place[0], one, **changed)


def _raise_version(transaction: Connection, acting: Acting) -> None:
    """Raise the person's version: an erasure that was read before this is stale, and so is this after one."""
    row = acting.person.subject
    versions.raise_version(transaction, acting.context.controller_id, acting.subject_id, row.version if row is not None else 0)


def _required(vault: Vault, context: Context, hold_id: str) -> tuple[Acting, HoldRow]:
    with vault.database.snapshot(context.controller_id) as rows:
        found = holds.read(rows, context.controller_id, hold_id)
    subject_id = found.subject_id if found is not None else hold_id
    acting = prepare(vault, VERB, context, subject_id, vault.catalogue.classes)
    require_permission(vault, acting)
    require_in_person(vault, acting)
    if found is None:
        raise refuse(vault, acting, NotFound())
    return acting, found


def _faults(vault: Vault, acting: Acting, wish: Wish) -> list[Fault]:
    today = local_day(vault, acting.context.controller_id, acting.at)
    faults = [] if set(wish.fields) <= vault.catalogue.fields.keys() else [Fault("/fields", "field.unknown")]
    faults += [] if today < wish.review_at <= today + LONGEST_REVIEW else [Fault("/review_at", "date.beyond-six-months")]
    faults += [Fault("/until", "date.past")] if wish.until is not None and wish.until < today else []
    faults += [] if 0 < len(wish.law.strip()) <= 255 else [Fault("/law", "text.length")]
    return [*faults, *word_faults({"why": wish.why}, "why")]


def _told(vault: Vault, controller_id: str, one: HoldRow, today: date) -> dict[str, Any]:
    try:
        why = opened_words(vault, controller_id, one.hold_id, 0, one.secret_version, one.sealed).get("why")
    except VaultError:
        why = None  # the hold stands, whatever became of the words
    return {
        "hold_id": one.hold_id, "subject_id": one.subject_id, "fields": list(one.fields), "law": one.law, "state": one.state,
        "placed_at": one.placed_at.isoformat(), "placed_by": one.placed_by, "approved_by": one.approved_by,
        "release_asked_by": one.release_asked_by, "review_at": one.review_at.isoformat(), "review_missed": today > one.review_at,
        "until": one.until.isoformat() if one.until is not None else None, "why": why,
    }  # fmt: skip
