"""AuthZEN 1.0: may this caller see this field, and how clearly? For systems that ask before they show. It opens nothing."""

from typing import Annotated, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field, StringConstraints

from api.call import call_of
from api.context import (
    CHANNEL,
    PURPOSE,
    RELATIONSHIP,
    STATION,
    TICKET,
    Guarded,
    RunningVault,
    caller_of,
    keeps_a_register,
    read_context,
)
from api.described import answers
from api.shapes import Body, Line
from vault.assembly import Vault
from vault.errors import Fault, InvalidValue, Refused
from vault.operations.evaluate import MOST_QUESTIONS, Action, Evaluated, Question, evaluate_all

router = APIRouter(prefix="/access/v1", tags=["access"], route_class=Guarded)
Place = Annotated[str, StringConstraints(pattern=r"^sub_[a-z2-7]{26}/[a-z][a-z0-9_]{0,63}$")]
_MEMBERS = ("subject", "action", "resource", "context")


class PartyIn(Body):
    """Who would see it: the caller of this token, and nobody else."""

    type: Literal["agent", "system", "subject"]
    id: Line


class ActionIn(Body):
    """What they would do: `view` in whatever way, or at least as clearly as named."""

    name: Action


class ResourceIn(Body):
    """A field of a person: `<subject_id>/<field>`."""

    type: Literal["field"]
    id: Place


class OccasionIn(Body):
    """Why and where: what the headers Vault-Purpose, Vault-Channel and Vault-Ticket say elsewhere."""

    purpose: Line
    channel: Line
    ticket: Line | None = None


class EvaluationIn(Body):
    """One question."""

    subject: PartyIn
    action: ActionIn
    resource: ResourceIn
    context: OccasionIn


class PartialEvaluationIn(Body):
    """One question of several; what it leaves out is as the request says for all."""

    subject: PartyIn | None = None
    action: ActionIn | None = None
    resource: ResourceIn | None = None
    context: OccasionIn | None = None


class EvaluationsIn(PartialEvaluationIn):
    """Several questions over what they share."""

    evaluations: Annotated[list[PartialEvaluationIn], Field(min_length=1, max_length=MOST_QUESTIONS)]


class ReasonOut(BaseModel):
    """How the field would be shown now, and why; of a person the caller may not know of, only that."""

    level: str
    mask: str | None
    reason: str
    decision_id: str | None


class EvaluationOut(BaseModel):
    """Yes or no."""

    decision: bool
    context: ReasonOut

    @classmethod
    def of(cls, one: Evaluated | Refused) -> "EvaluationOut":
        """Return an answer; forbidden and unknown alike."""
        if isinstance(one, Refused):
            return cls(decision=False, context=ReasonOut(level="withheld", mask=None, reason=one.code, decision_id=one.decision_id))
        context = ReasonOut(level=one.level, mask=one.mask, reason=one.reason, decision_id=one.decision_id)
        return cls(decision=one.decision, context=context)


class EvaluationsOut(BaseModel):
    """The answers, in the order of the questions."""

    evaluations: list[EvaluationOut]


@router.post(
    "/evaluation",
    operation_id="evaluateAccess",
    responses=answers(EvaluationOut, "Yes or no; it is on record and opens nothing.", 403, body=True),
)
def evaluate_access(body: EvaluationIn, vault: RunningVault, request: Request, response: Response) -> EvaluationOut:
    """Answer one question. A person the caller may not know of is a 404, like one who does not exist.

    A ticket that is known and not fit is a 403, whoever the question is about.
    """
    answer = evaluate_all(vault, [_question(vault, request, body, "")])[0]
    if isinstance(answer, Refused):
        raise answer
    call = call_of(request)
    call.entry_id, call.decision_id = answer.entry_id, answer.decision_id
    response.headers["Vault-Entry"], response.headers["Vault-Decision"] = answer.entry_id, answer.decision_id
    response.headers["Cache-Control"] = "no-store"
    return EvaluationOut.of(answer)


@router.post(
    "/evaluations",
    operation_id="evaluateAccesses",
    responses=answers(EvaluationsOut, "The answers in order; each is on record and opens nothing.", body=True),
)
def evaluate_accesses(body: EvaluationsIn, vault: RunningVault, request: Request, response: Response) -> EvaluationsOut:
    """Answer several questions over shared defaults. In an answer, forbidden and unknown people look alike."""
    questions = [
        _question(vault, request, _complete(body, one, number), f"/evaluations/{number}")
        for number, one in enumerate(body.evaluations)
    ]
    response.headers["Cache-Control"] = "no-store"
    return EvaluationsOut(evaluations=[EvaluationOut.of(one) for one in evaluate_all(vault, questions)])


def _complete(shared: EvaluationsIn, one: PartialEvaluationIn, number: int) -> EvaluationIn:
    """Return the question with what it leaves out. Raises InvalidValue naming what neither says."""
    said = {name: getattr(one, name) or getattr(shared, name) for name in _MEMBERS}
    if missing := [name for name, value in said.items() if value is None]:
        raise InvalidValue(faults=[Fault(f"/evaluations/{number}/{name}", "missing") for name in missing])
    return EvaluationIn(**said)


def _question(vault: Vault, request: Request, body: EvaluationIn, place: str) -> Question:
    """Return the operation's argument. Raises ContextIncomplete as the headers would, InvalidValue for a field there is not."""
    claims, said = request.state.claims, body.context
    stated = {PURPOSE: said.purpose, CHANNEL: said.channel, TICKET: said.ticket}
    headers = [(name.lower().encode(), value.encode()) for name, value in stated.items() if value is not None]
    headers += [(name.lower().encode(), one.encode()) for name in (STATION, RELATIONSHIP) for one in request.headers.getlist(name)]
    caller = caller_of(claims, vault.now().timestamp())
    of_a_bank = keeps_a_register(vault, claims, request.scope["path"])
    context = read_context(headers, claims, caller, vault.policy.purposes, call_of(request).request_id, of_a_bank=of_a_bank)
    subject_id, _, field = body.resource.id.partition("/")
    if field not in vault.catalogue.fields:
        raise InvalidValue(faults=[Fault(f"{place}/resource/id", "unknown")])
    return Question(context, (body.subject.type, body.subject.id), body.action.name, subject_id, field)
