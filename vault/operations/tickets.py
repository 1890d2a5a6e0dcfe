"""Take a ticket's state from the helpdesk: references, never text. It is what makes a purpose checkable.

For an accepted request stands a ticket of the vault's own, by which whoever has taken it may see what it is about. No helpdesk can
make one: of what it says only that somebody asks for help is believed, never that they exercise a right.
"""

from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from vault import tables
from vault.assembly import Vault
from vault.errors import Fault, InvalidValue
from vault.operations.acting import carrying_out, prepare, record, require_permission
from vault.operations.callers import CALLER_ID, TEAM
from vault.policy.model import Context

REQUEST: Final = "request"  # the topic of tickets that stand for accepted requests
_OURS: Final = "riserbo"  # whose they are


@dataclass(frozen=True, slots=True)
class TicketFactsIn:
    """What a helpdesk says of a ticket. `state`: open, pending or closed."""

    subject_id: str
    state: str
    assignee: str | None = None
    team: str | None = None
    topic: str | None = None


def put_ticket(vault: Vault, context: Context, ticket_id: str, facts: TicketFactsIn) -> str:
    """Store the ticket as it stands now and return the entry's id.

    Raises AccessDenied for anyone but a helpdesk system, InvalidValue for an assignee or a team that is no id (somebody's words
    have no place here) and for what stands for an accepted request, which is the vault's alone.
    """
    acting = prepare(vault, "put_ticket", context)
    require_permission(vault, acting)
    if faults := list(_faults(ticket_id, facts)):
        raise InvalidValue(faults=faults)
    record(vault, acting, details={"ticket": {"id": ticket_id, "state": facts.state}}, internal={"ticket": _said(facts)})
    row = {
        "controller_id": context.controller_id, "ticket_id": ticket_id, "system": context.caller.client_id, **asdict(facts),
        "updated_at": acting.at, "entry_id": acting.entry_id,
    }  # fmt: skip
    with carrying_out(vault, acting) as transaction:
        transaction.execute(_UPSERT, row)
    return acting.entry_id


def stand_for(
    transaction: sa.Connection,
    controller_id: str,
    request_id: str,
    facts: TicketFactsIn,
    at: datetime,
    entry_id: str,
    fields: Collection[str] = (),
) -> None:
    """Let a ticket say how an accepted request stands, who has taken it, and what it is of; no fields are everything."""
    row = {"controller_id": controller_id, "ticket_id": request_id, "system": _OURS, "updated_at": at, "entry_id": entry_id}
    transaction.execute(_UPSERT, {**row, **asdict(facts), "topic": REQUEST, "fields": sorted(fields)})


def _faults(ticket_id: str, facts: TicketFactsIn) -> Iterator[Fault]:
    if ticket_id.startswith("req_"):
        yield Fault("/ticket_id", "ticket.reserved")
    if facts.topic == REQUEST:
        yield Fault("/topic", "topic.reserved")
    if facts.assignee is not None and not CALLER_ID.fullmatch(facts.assignee):
        yield Fault("/assignee", "caller.syntax")
    if facts.team is not None and not TEAM.fullmatch(facts.team):
        yield Fault("/team", "team.syntax")


def _said(facts: TicketFactsIn) -> dict[str, str]:
    return {name: value for name, value in asdict(facts).items() if value is not None}


def _upsert() -> sa.Insert:
    new = insert(tables.ticket)
    changed = {c.name: new.excluded[c.name] for c in tables.ticket.c if c.name not in ("controller_id", "ticket_id")}
    return new.on_conflict_do_update(index_elements=["controller_id", "ticket_id"], set_=changed)


_UPSERT = _upsert()
