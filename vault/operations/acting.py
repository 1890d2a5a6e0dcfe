"""What every verb but the disclosure shares: who asks, may they, and the entry that says so before anything changes."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection

from vault.assembly import Vault
from vault.audit.entry import Draft
from vault.errors import AccessDenied, Erased, NotFound, Unavailable, VaultError
from vault.operations.disclosure import asking_parties, chain_of, decision_of, stated_relationship, stated_ticket
from vault.operations.facts import NOBODY_ID, caller_facts, is_self, parties, ticket_facts
from vault.permit import ReadPermit
from vault.policy.model import CallerFacts, Context, Permission, TicketFacts
from vault.profiles.records import GrantRow, Person, snapshot_all

NOBODY = NOBODY_ID
# That an officer looked is the person's to know; why, and what came of it, could warn one who is suspected.
_REVIEWS: Final = ("review-open", "review-note")
_UNTOLD: Final[tuple[str, ...]] = ("reason", "result")
# Of somebody who was erased there is still this: who looked, what was agreed, and the erasure itself.
_SHOWN_AFTER: Final = (
    *("show_accesses", "show_agreements", "show_receipt", "show_served_notices", "review-search", "review-open", "review-note"),
)
_AFTER_ERASURE: Final = (*_SHOWN_AFTER, "erase", "show_request", "move_request", "hold", "show_tasks", "answer_task")
HOUSE = Permission(allowed=True, because="house")  # what a command or a job acts by


@dataclass(frozen=True, slots=True)
class Acting:
    """One verb about to act for a caller, on one person or on none."""

    verb: str
    context: Context
    subject_id: str  # `-` for none
    person: Person
    caller: CallerFacts
    ticket: TicketFacts
    permission: Permission
    at: datetime
    entry_id: str
    grants: Sequence[GrantRow] = ()  # of break-glass, to this caller on this person
    held: bool = False  # about an entry that is held back from the person: whatever comes of the act is then held back too


def prepare(
    vault: Vault,
    verb: str,
    context: Context,
    subject_id: str = NOBODY,
    classes: Iterable[str] = (),
    permission: Permission | None = None,
) -> Acting:
    """Read the person, the caller and the ticket in one statement, and ask policy whether this verb is allowed.

    `permission` is given by commands and jobs alone, whose right is that of the operating system's account.
    """
    at = vault.now()
    tickets = [context.ticket_id] if context.ticket_id else []
    read = snapshot_all(vault.database, context.controller_id, [subject_id], parties(context.caller), tickets, classes)
    caller = caller_facts(vault.catalogue, context, read, at)
    ticket = ticket_facts(vault.tickets, context, caller, subject_id, read, at)
    own = is_self(context, subject_id, read.person(subject_id))
    permission = permission or vault.policy.may(verb, context, caller, ticket, is_self=own)
    grants = read.grants.get((subject_id, context.caller.id), ())
    return Acting(verb, context, subject_id, read.person(subject_id), caller, ticket, permission, at, vault.new_id("ent"), grants)


def record(
    vault: Vault,
    acting: Acting,
    *,
    outcome: str = "done",
    opens: Mapping[str, str] | None = None,
    terms: tuple[str, ...] = (),
    details: Mapping[str, Any] | None = None,
    count: int | None = None,
    internal: Mapping[str, Any] | None = None,
    fields: Mapping[str, str] | None = None,
) -> ReadPermit:
    """Commit the entry of this act and return its permit. Raises AuditUnavailable: then the act does not happen."""
    entry = draft(vault, acting, outcome, opens, terms, details, count, internal)
    return vault.audit.record(acting.context.controller_id, replace(entry, fields=fields or {}))


def tell_outcome(vault: Vault, acting: Acting, outcome: str, result: str) -> str:
    """Commit a second entry that says what came of an act, before it is answered; return its id. Raises AuditUnavailable."""
    entry = replace(draft(vault, acting, outcome, details={"result": result}), entry_id=vault.new_id("ent"), ref=acting.entry_id)
    vault.audit.record(acting.context.controller_id, entry)
    return entry.entry_id


@contextmanager
def telling(vault: Vault, acting: Acting) -> Iterator[None]:
    """If an act whose entry is committed fails in this block, write an entry that says that it did not happen."""
    try:
        yield
    except VaultError:
        entry = replace(draft(vault, acting, "failed"), entry_id=vault.new_id("ent"), ref=acting.entry_id)
        with suppress(Unavailable):  # the log over-reports then, the safe direction
            vault.audit.record(acting.context.controller_id, entry)
        raise


@contextmanager
def carrying_out(vault: Vault, acting: Acting) -> Iterator[Connection]:
    """Yield the transaction of an act whose entry is committed; a failure is told."""
    with telling(vault, acting), vault.database.transaction(acting.context.controller_id) as transaction:
        yield transaction


def refuse(vault: Vault, acting: Acting, error: VaultError, internal: Mapping[str, Any] | None = None) -> VaultError:
    """Record a refusal and return the error to raise, with its ids. A refusal is an entry too; `internal` is for officers."""
    record(vault, acting, outcome="refused", details={"result": error.code}, internal=internal)
    error.entry_id, error.decision_id = acting.entry_id, decision_of(acting.entry_id)
    return error


def require_permission(vault: Vault, acting: Acting) -> None:
    """Raise the recorded refusal of a verb this caller may not use, and to whoever may, the 410 of a person who was erased.

    403 only to the person, to those on the register who hold a verified ticket about them, or named a ticket that is known and not
    fit, which tells nothing of the person, and to whoever acts on nobody; everyone else gets the uniform 404.
    """
    if acting.permission.allowed:
        if acting.verb not in _AFTER_ERASURE and is_gone(acting.person):
            raise refuse(vault, acting, Erased())
        return
    if acting.permission.ticket is not None:
        raise refuse(vault, acting, AccessDenied(acting.permission.ticket))
    own = is_self(acting.context, acting.subject_id, acting.person)
    known = own or acting.subject_id == NOBODY or (acting.ticket.state == "verified" and acting.caller.roles)
    raise refuse(vault, acting, AccessDenied(acting.permission.because) if known else NotFound())


def is_gone(person: Person) -> bool:
    """Say whether somebody was erased: what is left of them is told to nobody."""
    return person.subject is not None and person.subject.state in ("archived", "erased")


def require_in_person(vault: Vault, acting: Acting) -> None:
    """Raise the recorded refusal of an officer for whom a system speaks: one with the tokens of two officers is not two persons."""
    if acting.context.caller.actor is not None:
        raise refuse(vault, acting, AccessDenied("not-in-person"))


def require_person(vault: Vault, acting: Acting) -> None:
    """Raise the recorded 404 for a person who is not there."""
    if acting.person.subject is None:
        raise refuse(vault, acting, NotFound())


def draft(
    vault: Vault,
    acting: Acting,
    outcome: str,
    opens: Mapping[str, str] | None = None,
    terms: tuple[str, ...] = (),
    details: Mapping[str, Any] | None = None,
    count: int | None = None,
    internal: Mapping[str, Any] | None = None,
) -> Draft:
    """Return the entry of one act."""
    context = acting.context
    chain = chain_of(acting.subject_id, acting.person, held=acting.held)
    ticket = {"ticket": stated_ticket(context.ticket_id, acting.ticket)} if context.ticket_id else {}
    team = {"team": acting.caller.team} if acting.caller.team else {}
    subject = {"subject_id": acting.subject_id} if chain is not None else {}
    request = {"request": context.request_id} if context.request_id else {}
    said = dict(details or {})
    untold: dict[str, Any] = {name: said.pop(name) for name in _UNTOLD if name in said} if acting.verb in _REVIEWS else {}
    by = asking_parties(context, acting.caller.unfit if acting.permission is not HOUSE else None)
    return Draft(
        entry_id=acting.entry_id,
        operation=acting.verb,
        outcome=outcome,
        kind=context.caller.kind,
        caller_id=context.caller.id,
        roles=tuple(sorted(acting.caller.roles)),
        recipient=acting.caller.recipient,
        purpose=context.purpose,
        channel=context.channel,
        count=count,
        terms=terms,
        bundle=bytes.fromhex(vault.policy.digest.removeprefix("sha256:")),
        details={**subject, **team, **ticket, **stated_relationship(context), **said},
        internal={**by, **request, **untold, **(internal or {})},
        chain=chain,
        opens=opens or {},
        subject_id=acting.subject_id if chain is not None else "",
        team=acting.caller.team,
        ticket_id=context.ticket_id,
        ticket_state=acting.ticket.state,
    )
