"""What the helpdesk says of its tickets: references, never text."""

from typing import Literal

from fastapi import APIRouter, Request, Response

from api.call import call_of
from api.context import AccessContext, Guarded, RunningVault
from api.described import answers, headers
from api.shapes import Body, CallerId, EntryOut, Slug, SubjectIdText, Team, TicketId
from vault.operations.tickets import TicketFactsIn, put_ticket

router = APIRouter(prefix="/v1", tags=["tickets"], route_class=Guarded)


class TicketIn(Body):
    """A ticket as it stands: about whom, whose it is, on what. A subject line or a message has no place here.

    `assignee` is the `sub` of an agent's tokens, `team` the team the register of callers names: ids, as there.
    """

    subject_id: SubjectIdText
    state: Literal["open", "pending", "closed"]
    assignee: CallerId | None = None
    team: Team | None = None
    topic: Slug | None = None


@router.put(
    "/tickets/{ticket_id}",
    operation_id="putTicket",
    responses=answers(EntryOut, "Stored.", 403, body=True),
    openapi_extra=headers(),
)
def store_ticket(
    ticket_id: TicketId, body: TicketIn, context: AccessContext, vault: RunningVault, request: Request, response: Response
) -> EntryOut:
    """Store a ticket's state, which makes a purpose checkable."""
    facts = TicketFactsIn(body.subject_id, body.state, body.assignee, body.team, body.topic)
    entry_id = put_ticket(vault, context, ticket_id, facts)
    call_of(request).entry_id = response.headers["Vault-Entry"] = entry_id
    return EntryOut(entry_id=entry_id)
