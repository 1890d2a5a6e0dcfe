"""Breaches: open one, what was done about it, and whose data was touched. The officer's, for the purpose `legal-compliance`."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from api.call import call_of
from api.context import AccessContext, Guarded, RunningVault
from api.described import IDEMPOTENCY, answers, headers
from api.idempotency import Idempotent
from api.routes.reveals import OwnWords
from api.shapes import CallerId, FieldName, Instant, Line, PersonalBody, Slug
from vault.errors import Fault, InvalidValue
from vault.operations.remember import Answered
from vault.operations.report_breach import (
    Advanced,
    Assessment,
    Notice,
    Report,
    Telling,
    assess_breach,
    close_breach,
    notify_breach,
    open_breach,
    tell_subjects_of_breach,
)
from vault.operations.show_breaches import Shown, show_breach, show_breaches

router = APIRouter(prefix="/v1", tags=["breaches"], route_class=Guarded)

BreachId = Annotated[str, Path(pattern="^brc_[a-z2-7]{26}$", description="brc_ and 26 characters")]
Count = Annotated[int, Field(ge=0, le=1_000_000_000)]
Classes = Annotated[list[FieldName], Field(max_length=16, default_factory=list)]
DeadlineState = Literal["running", "overdue", "in-time", "late", "not-needed"]


class ReportIn(PersonalBody):
    """A breach somebody is aware of: since when, why then, of what kind, under which laws. Words have 20 to 1,000 characters."""

    aware_at: Instant
    aware_because: OwnWords
    summary: OwnWords
    kinds: Annotated[list[Literal["confidentiality", "integrity", "availability"]], Field(min_length=1, max_length=3)]
    regimes: Annotated[list[Slug], Field(min_length=1, max_length=8, default_factory=lambda: ["breach-gdpr"])]
    detected_at: Instant | None = None
    classified_at: Instant | None = None


class AssessmentIn(PersonalBody):
    """What is known of it (Art. 33(3)); again whenever more is. `exposed_keys`: classes of which a key was exposed too."""

    risk: Literal["unlikely", "likely", "high"]
    consequences: OwnWords
    measures: OwnWords
    subjects: Count | None = None
    records: Count | None = None
    classes: Classes
    exposed_keys: Classes
    classified_at: Instant | None = None


class NoticeIn(PersonalBody):
    """A notice to an authority as it was sent; one that is late says why."""

    regime: Slug
    notice: Slug
    sent_at: Instant
    said: OwnWords
    reference: Line | None = None
    reasons: OwnWords | None = None


class TellingIn(PersonalBody):
    """How people were told (Art. 34(1)), or on which ground of 34(3) they need not be: (a), (b) or (c)."""

    how: Literal["individual", "public", "not-needed"]
    at: Instant
    said: OwnWords
    count: Count | None = None
    exemption: Literal["ineffective", "risk-removed", "disproportionate"] | None = None


class ClosingIn(PersonalBody):
    """Why it is closed."""

    reasons: OwnWords


class DueOut(BaseModel):
    """One computed instant: which notice of which law, from what it was computed, and until when it is in time."""

    regime: str
    notice: str
    since: str
    since_at: str
    due_at: str


class AdvancedOut(BaseModel):
    """Where the breach stands, and all its deadlines."""

    breach_id: str
    state: str
    deadlines: list[DueOut]
    entry_id: str


class DeadlineOut(DueOut):
    """The same, and how it stands now."""

    state: DeadlineState


class BreachOut(BaseModel):
    """One breach as it is listed: nobody's words."""

    breach_id: str
    state: str
    kinds: list[str]
    regimes: list[str]
    detected_at: str | None
    aware_at: str
    opened_at: str
    opened_by: CallerId
    risk: str | None
    deadlines: list[DeadlineOut]


class BreachesOut(BaseModel):
    """The register, the newest first."""

    breaches: list[BreachOut]
    entry_id: str


class PhaseOut(BaseModel):
    """One thing that was done."""

    number: int
    phase: str
    at: str
    by: CallerId
    stated: dict[str, Any]
    words: dict[str, str]
    entry_id: str


class WholeBreachOut(BreachOut):
    """One breach with what was written about it."""

    model_config = ConfigDict(json_schema_extra={"x-has-pii": True})

    words: dict[str, str]
    phases: list[PhaseOut]
    entry_id: str


@router.post(
    "/breaches",
    operation_id="openBreach",
    status_code=201,
    responses=answers(AdvancedOut, "Opened; the clocks run from when somebody was aware.", 403, 409, status=201, body=True),
    openapi_extra=headers(IDEMPOTENCY),
)
def open_a_breach(body: ReportIn, context: AccessContext, vault: RunningVault, once: Idempotent) -> Response:
    """Open a breach."""
    report = Report(
        _instant(body.aware_at, "aware_at"), body.kinds, body.summary, body.aware_because, body.regimes,
        _maybe(body.detected_at, "detected_at"), _maybe(body.classified_at, "classified_at"),
    )  # fmt: skip
    return _done(once, vault, context, lambda: open_breach(vault, context, report), 201)


@router.get(
    "/breaches",
    operation_id="listBreaches",
    responses=answers(BreachesOut, "The register.", 403),
    openapi_extra=headers(),
)
def list_breaches(context: AccessContext, vault: RunningVault, request: Request, response: Response) -> BreachesOut:
    """List the register of breaches (Art. 33(5))."""
    shown = _read(request, response, show_breaches(vault, context))
    return BreachesOut(**shown.document, entry_id=shown.entry_id)


@router.get(
    "/breaches/{breach_id}",
    operation_id="readBreach",
    responses=answers(WholeBreachOut, "The breach with its history.", 403),
    openapi_extra=headers(),
)
def read_breach(
    breach_id: BreachId, context: AccessContext, vault: RunningVault, request: Request, response: Response
) -> WholeBreachOut:
    """Read one breach with what was written about it."""
    shown = _read(request, response, show_breach(vault, context, breach_id))
    return WholeBreachOut(**shown.document, entry_id=shown.entry_id)


@router.post(
    "/breaches/{breach_id}:assess",
    operation_id="assessBreach",
    responses=answers(AdvancedOut, "Assessed.", 403, 409, body=True),
    openapi_extra=headers(IDEMPOTENCY),
)
def assess_a_breach(
    breach_id: BreachId, body: AssessmentIn, context: AccessContext, vault: RunningVault, once: Idempotent
) -> Response:
    """Say what is known of a breach."""
    found = Assessment(
        body.risk, body.consequences, body.measures, body.subjects, body.records, body.classes, body.exposed_keys,
        _maybe(body.classified_at, "classified_at"),
    )  # fmt: skip
    return _done(once, vault, context, lambda: assess_breach(vault, context, breach_id, found))


@router.post(
    "/breaches/{breach_id}:notify",
    operation_id="notifyBreach",
    responses=answers(AdvancedOut, "Kept as sent.", 403, 409, body=True),
    openapi_extra=headers(IDEMPOTENCY),
)
def notify_of_a_breach(
    breach_id: BreachId, body: NoticeIn, context: AccessContext, vault: RunningVault, once: Idempotent
) -> Response:
    """Keep a notice to an authority as it was sent. The vault sends nothing."""
    sent = Notice(body.regime, body.notice, _instant(body.sent_at, "sent_at"), body.said, body.reference, body.reasons)
    return _done(once, vault, context, lambda: notify_breach(vault, context, breach_id, sent))


@router.post(
    "/breaches/{breach_id}:tell-subjects",
    operation_id="tellSubjects",
    responses=answers(AdvancedOut, "Kept.", 403, 409, body=True),
    openapi_extra=headers(IDEMPOTENCY),
)
def tell_subjects(breach_id: BreachId, body: TellingIn, context: AccessContext, vault: RunningVault, once: Idempotent) -> Response:
    """Keep how people were told, or why they need not be. The vault tells nobody."""
    telling = Telling(body.how, _instant(body.at, "at"), body.said, body.count, body.exemption)
    return _done(once, vault, context, lambda: tell_subjects_of_breach(vault, context, breach_id, telling))


@router.post(
    "/breaches/{breach_id}:close",
    operation_id="closeBreach",
    responses=answers(AdvancedOut, "Closed; it stays on the register.", 403, 409, body=True),
    openapi_extra=headers(IDEMPOTENCY),
)
def close_a_breach(breach_id: BreachId, body: ClosingIn, context: AccessContext, vault: RunningVault, once: Idempotent) -> Response:
    """Close a breach of which nothing is wanted any more."""
    return _done(once, vault, context, lambda: close_breach(vault, context, breach_id, body.reasons))


def _done(
    once: Idempotent, vault: RunningVault, context: AccessContext, act: Callable[[], Advanced], status: int = 200
) -> Response:
    def answered() -> Answered:
        done = act()
        due = [
            {
                "regime": one.regime, "notice": one.notice, "since": one.since, "since_at": one.since_at.isoformat(),
                "due_at": one.due_at.isoformat(),
            }
            for one in done.deadlines
        ]  # fmt: skip
        answer = {"breach_id": done.breach_id, "state": done.state, "deadlines": due, "entry_id": done.entry_id}
        return Answered(status, answer)

    return once.answer(vault, context, answered)


def _read(request: Request, response: Response, shown: Shown) -> Shown:
    call_of(request).entry_id = response.headers["Vault-Entry"] = shown.entry_id
    response.headers["Cache-Control"] = "no-store"
    return shown


def _instant(text: str, name: str) -> datetime:
    """Return the instant; one there is not is a fault at its place."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise InvalidValue(faults=[Fault(f"/{name}", "date.invalid")]) from None


def _maybe(text: str | None, name: str) -> datetime | None:
    return None if text is None else _instant(text, name)
