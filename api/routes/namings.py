"""Naming one agent: an officer asks, another person approves, each look is on record."""

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, RootModel, StringConstraints

from api.call import call_of
from api.context import AccessContext, Guarded, RunningVault
from api.described import IDEMPOTENCY, answers, headers
from api.idempotency import Idempotent
from api.routes.reveals import OwnWords
from api.shapes import Body, EntryOut, PersonalBody
from vault.operations.name_agent import Plea, approve_naming, ask_naming, see_name, see_plea
from vault.operations.remember import Answered

router = APIRouter(prefix="/v1", tags=["accesses"], route_class=Guarded)

NamingId = Annotated[str, Path(pattern="^nam_[a-z2-7]{26}$", description="nam_ and 26 characters")]
EntryIdText = Annotated[str, StringConstraints(pattern="^ent_[a-z2-7]{26}$")]
Reference = Annotated[str, StringConstraints(pattern="^(sus|req)_[a-z2-7]{26}$")]


class NamingIn(PersonalBody):
    """Whose agent: `entry_id` is one access of theirs. For a report, `why` is the balancing; it is sealed, for officers alone."""

    entry_id: EntryIdText
    kind: Literal["suspicion", "report"]
    reference: Reference
    why: OwnWords


class NamingOut(BaseModel):
    """What was asked for; another person approves it by then, or it lapses."""

    naming_id: str
    approve_by: str
    entry_id: str


class NamingApprovalIn(Body):
    """Nothing but that it is approved: an empty object."""


class NamedOut(BaseModel):
    """Who it was, to the officer who asked."""

    model_config = {"json_schema_extra": {"x-has-pii": True}}

    caller_id: str
    entry_id: str


class PendingOut(BaseModel):
    """What waits for an approver: which access and why, and which fields it showed; never whose it was."""

    model_config = {"json_schema_extra": {"x-has-pii": True}}

    of_entry_id: str
    kind: Literal["suspicion", "report"]
    reference: str
    why: str
    fields: dict[str, str]
    entry_id: str


class SeenOut(RootModel[NamedOut | PendingOut]):
    """Either, by who looks."""


@router.post(
    "/namings",
    operation_id="askNaming",
    status_code=201,
    responses=answers(NamingOut, "Asked for; nothing is told yet.", 403, status=201, body=True),
    openapi_extra=headers(IDEMPOTENCY),
)
def ask(body: NamingIn, context: AccessContext, vault: RunningVault, once: Idempotent) -> Response:
    """Ask for the name of the agent behind an access, for a suspicion or for one report to a customer."""

    def act() -> Answered:
        made = ask_naming(vault, context, Plea(body.entry_id, body.kind, body.reference, body.why))
        answer = {"naming_id": made.naming_id, "approve_by": made.approve_by.isoformat(), "entry_id": made.entry_id}
        return Answered(201, answer)

    return once.answer(vault, context, act)


@router.post(
    "/namings/{naming_id}:approve",
    operation_id="approveNaming",
    responses=answers(EntryOut, "Approved, for seven days.", 403, 409, body=True),
    openapi_extra=headers(IDEMPOTENCY),
)
def approve(naming_id: NamingId, body: NamingApprovalIn, context: AccessContext, vault: RunningVault, once: Idempotent) -> Response:
    """Approve what somebody else asked for, within a day."""
    del body  # it says nothing, and was refused if it did
    return once.answer(vault, context, lambda: Answered(200, {"entry_id": approve_naming(vault, context, naming_id)}))


@router.get(
    "/namings/{naming_id}",
    operation_id="seeName",
    responses=answers(SeenOut, "Whose access it was; to an approver, what was asked and why.", 403, 409),
    openapi_extra=headers(),
)
def see(naming_id: NamingId, context: AccessContext, vault: RunningVault, request: Request, response: Response) -> SeenOut:
    """See the name that was approved; as an agent who approves, what waits to be. Each look is on record."""
    seen: NamedOut | PendingOut
    if context.caller.kind == "agent":
        pending = see_plea(vault, context, naming_id)
        plea = pending.plea
        seen = PendingOut(
            of_entry_id=plea.entry_id, kind=plea.kind, reference=plea.reference, why=plea.why,
            fields=dict(pending.fields), entry_id=pending.entry_id,
        )  # fmt: skip
    else:
        named = see_name(vault, context, naming_id)
        seen = NamedOut(caller_id=named.caller_id, entry_id=named.entry_id)
    call_of(request).entry_id = seen.entry_id
    response.headers.update({"Vault-Entry": seen.entry_id, "Cache-Control": "no-store"})
    return SeenOut(seen)
