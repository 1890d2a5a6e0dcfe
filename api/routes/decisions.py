"""Decisions: one explained to those who may know, and one tried without anybody's data."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field, StringConstraints

from api.call import call_of
from api.context import AccessContext, Guarded, RunningVault
from api.described import answers, headers
from api.shapes import Body, DecisionId, FieldName, Slug, SubjectIdText
from vault.operations.explain import explain
from vault.operations.simulate import Outcome, Simulated, Supposed, Supposition, simulate
from vault.policy.model import Channel, TicketState

router = APIRouter(prefix="/v1", tags=["decisions"], route_class=Guarded)

Reference = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,63}@[1-9][0-9]{0,5}$")]
Region = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2,8}$")]
Names = Annotated[list[FieldName], Field(max_length=64, default_factory=list)]
Few = Annotated[list[Slug], Field(max_length=16, default_factory=list)]


class NeededOut(BaseModel):
    """How a field would have been shown, had these things been so."""

    state: str
    mask: str | None
    changes: dict[str, str | bool]


class ExplainedFieldOut(BaseModel):
    """What was answered of one field and why; what else is said depends on who reads."""

    state: Literal["clear", "masked", "token", "withheld", "absent"]
    mask: str | None
    because: str
    agreement_id: str | None = None
    needed: list[NeededOut] | None = Field(None, description="to agents: the fewest changes for each clearer way of showing it")
    policies: list[str] | None = Field(None, description="to officers: the policies that determined it")
    blocked: dict[str, list[str]] | None = Field(None, description="to officers: each rung above, and the policies that blocked it")
    words: dict[str, str] | None = Field(None, description="to the person: the same in plain words, by language")


class ExplanationOut(BaseModel):
    """A decision taken again from its record and found equal, as far as this reader may know. It shows no value."""

    decision_id: str
    of_entry_id: str
    reader: Literal["desk", "office", "person"]
    at: str | None = None
    month: str | None = None  # alone, to the person, where it concerns somebody else too
    operation: str
    outcome: str
    purpose: str | None = None
    channel: str | None = None
    because: str | None = Field(None, description="of an act that decided on no field, or was answered with the uniform 404")
    fields: dict[str, ExplainedFieldOut] | None = None
    subject_id: str | None = None
    policy: str | None = Field(None, description="to officers: the digest of the bundle that decided")
    row: str | None = Field(None, description="to officers: the digest of what the rules said of every field")
    input: dict[str, Any] | None = None
    agreements: list[dict[str, Any]] | None = None
    obligations: list[str] | None = None


@router.get(
    "/decisions/{decision_id}",
    operation_id="explainDecision",
    responses=answers(ExplanationOut, "Explained, as far as this reader may know.", 409, 410),
    response_model_exclude_none=True,
    openapi_extra=headers(),
)
def explain_decision(
    decision_id: DecisionId, context: AccessContext, vault: RunningVault, request: Request, response: Response
) -> ExplanationOut:
    """Explain a decision: to agents their own, to the person what concerns them, to the officer every one. Itself on record."""
    told = explain(vault, context, decision_id)
    call_of(request).entry_id = response.headers["Vault-Entry"] = told.entry_id
    response.headers["Cache-Control"] = "no-store"
    return ExplanationOut(**told.document)


class SupposedAgreementIn(Body):
    """One agreement that is supposed: `template` is `id@version`; `consent` only where the basis is one."""

    template: Reference
    phase: Literal["before", "in", "after"] = "in"
    consent: Literal["valid", "withdrawn", "expired"] | None = None
    excluded: Names

    def supposed(self) -> Supposed:
        """Return the operation's argument."""
        return Supposed(self.template, self.phase, self.consent, frozenset(self.excluded))


class SuppositionIn(Body):
    """Who would ask what, of whom. A real `subject_id` is for the officer and the request officer alone."""

    kind: Literal["agent", "system", "subject"] = "agent"
    roles: Annotated[list[Slug], Field(max_length=16)]
    purpose: Slug
    channel: Channel
    act: Literal["profile", "reveal", "export", "amend"] = "profile"
    training: Few
    recipient: Slug = "helpdesk"
    region: Region = "IT"
    ticket: TicketState = "none"
    assigned: bool = False
    in_care: bool = False
    caller_verified: bool = False
    level: Annotated[int, Field(ge=0, le=3)] = 0
    minor: Literal["under-14", "14-17", "adult", "unknown"] = "adult"
    restricted: Names
    objected: bool = False
    objected_marketing: bool = False
    agreements: Annotated[list[SupposedAgreementIn], Field(max_length=16, default_factory=list)]
    fields: Names
    subject_id: SubjectIdText | None = None

    def supposition(self) -> Supposition:
        """Return the operation's argument."""
        said: dict[str, Any] = {name: getattr(self, name) for name in type(self).model_fields}
        said |= {name: frozenset(said[name]) for name in ("roles", "training", "restricted")}
        said |= {"agreements": tuple(one.supposed() for one in self.agreements), "fields": tuple(self.fields)}
        return Supposition(**said)


class SimulatedFieldOut(BaseModel):
    """How a field would be shown, and why."""

    state: Literal["clear", "masked", "token", "withheld"]
    mask: str | None
    because: str
    template: str | None = None
    policies: list[str] | None = Field(None, description="to the officer")


class SimulatedOut(BaseModel):
    """What would be answered. It shows no value."""

    decision_id: str
    entry_id: str
    policy: str
    outcome: Outcome
    fields: dict[str, SimulatedFieldOut]

    @classmethod
    def of(cls, done: Simulated) -> "SimulatedOut":
        """Return the answer of a simulation."""
        fields = {
            name: SimulatedFieldOut(
                state=one.level,
                mask=one.mask,
                because=one.because,
                template=done.templates.get(name),
                policies=list(one.by) if done.policies else None,
            )
            for name, one in done.decision.fields.items()
        }
        ids = {"decision_id": done.decision_id, "entry_id": done.entry_id, "policy": done.decision.bundle}
        return cls(**ids, outcome=done.outcome, fields=fields)


@router.post(
    "/decisions:simulate",
    operation_id="simulateDecision",
    responses=answers(SimulatedOut, "What would be answered.", 403, body=True),
    openapi_extra=headers(),
)
def simulate_decision(
    body: SuppositionIn, context: AccessContext, vault: RunningVault, request: Request, response: Response
) -> SimulatedOut:
    """Decide on a supposed context, and agreements, without anybody's data. Itself on record."""
    done = simulate(vault, context, body.supposition())
    call_of(request).entry_id = response.headers["Vault-Entry"] = done.entry_id
    response.headers["Cache-Control"] = "no-store"
    return SimulatedOut.of(done)
