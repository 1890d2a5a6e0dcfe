"""What a helpdesk does: read a masked profile, find, enrol and correct a person."""

import re
from collections.abc import Collection
from datetime import date
from typing import Annotated, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field
from starlette.datastructures import QueryParams

from api.call import call_of
from api.context import AccessContext, Guarded, RunningVault, access_context
from api.described import FIELDS, IDEMPOTENCY, IF_MATCH, SUBJECT, answers, headers
from api.express import Direct
from api.idempotency import Idempotent
from api.problems import PreconditionRequired
from api.shapes import (
    SUBJECT_ID,
    AgreementIdText,
    Body,
    Changes,
    Day,
    FieldName,
    GivenIn,
    PersonalBody,
    Slug,
    SourcesIn,
    SubjectId,
    TermsIn,
    Text,
    Values,
)
from api.waiting import ask_lane
from vault.errors import ContextIncomplete, Fault, NotFound, Stale
from vault.operations.amend import amend
from vault.operations.disclosure import Ask
from vault.operations.enroll import enroll
from vault.operations.find import find
from vault.operations.remember import Answered
from vault.policy.model import Treatment

router = APIRouter(prefix="/v1", tags=["helpdesk"], route_class=Guarded)
MOST_FIELDS = 64
LONGEST_FIELDS = 4_096
MOST_LISTS = 256
_ETAG = re.compile(r'"(\d{1,18})"')


class FieldOut(BaseModel):
    """A field, as shown. `value` is null when withheld or absent; `because` is a reason the caller may know."""

    state: Literal["clear", "masked", "token", "withheld", "absent"]
    value: str | int | dict[str, str | None] | None
    mask: str | None
    because: str


class ProfileOut(BaseModel):
    """A person, each field as clearly as policy allows this caller now."""

    model_config = {"json_schema_extra": {"x-has-pii": True}}

    subject_id: str
    state: str
    decision_id: str
    entry_id: str
    policy: str
    purpose: str
    agreements: list[str]
    fields: dict[str, FieldOut]


class NamedFields:
    """Which fields a query names. An application sends the same few lists all day, so what was read is kept.

    Only queries that name fields of the catalogue and say nothing else are kept: none holds anything personal.
    """

    def __init__(self) -> None:
        self._known: Collection[str] = ()
        self._read: dict[bytes, tuple[str, ...]] = {}

    def of(self, query: bytes, known: Collection[str]) -> tuple[str, ...] | None:
        """Return the named fields, once each; None without `fields`. Raises ContextIncomplete: two lists, or an unknown name.

        `known` are those of the catalogue in force: with another one, what was read of the last counts no more.
        """
        if not query:
            return None
        if known is not self._known:
            self._known, self._read = known, {}
        names = self._read.get(query)
        if names is None and (said := QueryParams(query).getlist("fields")):
            if len(said) > 1:  # of two, whoever stands in front may have looked at the other
                raise ContextIncomplete(faults=[Fault("fields", "repeated")])
            listed = said[0].split(",")
            names = tuple(dict.fromkeys(listed))
            if len(said[0]) > LONGEST_FIELDS or len(names) > MOST_FIELDS:
                raise ContextIncomplete("unknown-field", faults=[Fault("fields", "too-long")])
            # By its place in the list: the name itself could be somebody's.
            if unknown := [Fault(f"fields/{place}", "unknown") for place, name in enumerate(listed) if name not in self._known]:
                raise ContextIncomplete("unknown-field", faults=unknown)
            if query == b"fields=" + ",".join(names).encode() and len(self._read) < MOST_LISTS:
                self._read[query] = names
        return names


async def read_profile(request: Request) -> Response:
    """Read a masked profile. The reading is on record before anything is opened."""
    state, call = request.app.state, call_of(request)
    subject_id = request.path_params["subject_id"]
    if not SUBJECT_ID.fullmatch(subject_id):
        raise NotFound
    context = await access_context(request)
    known = request.state.vault.catalogue.fields
    named = state.named_fields.of(request.scope["query_string"], known)
    answer = await ask_lane(state.lanes, Ask(context, subject_id, named, noted=call.noted))
    call.entry_id, call.decision_id = answer.entry_id, answer.decision_id
    shown = {
        "Vault-Decision": answer.decision_id,
        "Vault-Entry": answer.entry_id,
        "Cache-Control": "no-store",
        "ETag": f'"{answer.version}"',
    }
    return Response(answer.body, headers=shown, media_type="application/json")


router.add_api_route(
    "/subjects/{subject_id}/profile",
    read_profile,
    methods=["GET"],
    operation_id="readProfile",
    route_class_override=Direct,
    responses=answers(ProfileOut, "The profile; its ETag is the person's version.", 403, 423),
    openapi_extra=headers(SUBJECT, FIELDS),
)


class FindIn(PersonalBody):
    """One exact value of one field that may be looked up."""

    by: FieldName
    value: Text


class MatchOut(BaseModel):
    """Somebody found; the label is masked."""

    subject_id: str
    label: str


class FoundOut(BaseModel):
    """Everybody found whom this caller may know of."""

    model_config = {"json_schema_extra": {"x-has-pii": True}}

    matches: list[MatchOut]


@router.post(
    "/subjects:search",
    operation_id="findSubjects",
    responses=answers(FoundOut, "Who has this value.", 403, 429, body=True),
    openapi_extra=headers(),
)
def find_subjects(body: FindIn, context: AccessContext, vault: RunningVault, request: Request, response: Response) -> FoundOut:
    """Find people by one exact value. Nothing is decrypted to search; a hit without right looks like a miss."""
    found = find(vault, context, body.by, body.value)
    call_of(request).entry_id = response.headers["Vault-Entry"] = found.entry_id
    return FoundOut(matches=[MatchOut(subject_id=one.subject_id, label=one.label) for one in found.matches])


class TreatmentIn(Body):
    """Of an old cancer: when its treatment ended, null while it goes on. Kept is only from when it is barred."""

    ended_on: Day | None
    before_21: bool = False
    kind: Slug | None = None

    def said(self) -> Treatment:
        """Return it as operations take it."""
        return Treatment(date.fromisoformat(self.ended_on) if self.ended_on is not None else None, self.before_21, self.kind)


class EnrolmentIn(PersonalBody):
    """A person to be: their values, what they agreed to, the notice they were given. The first agreement collects the values."""

    fields: Values
    treatment: TreatmentIn | None = None
    agreements: Annotated[list[TermsIn], Field(min_length=1, max_length=8)]
    notice: GivenIn | None = None
    sources: SourcesIn


class EnrolledOut(BaseModel):
    """The new person."""

    subject_id: str
    version: int
    agreements: list[str]
    entry_id: str


@router.post(
    "/subjects",
    operation_id="enrollSubject",
    status_code=201,
    responses=answers(EnrolledOut, "Enrolled.", 403, 409, status=201, body=True),
    openapi_extra=headers(IDEMPOTENCY),
)
def enroll_subject(body: EnrolmentIn, context: AccessContext, vault: RunningVault, once: Idempotent) -> Response:
    """Enrol a person: identity fields and the agreements they are shared under, in one call."""

    def act() -> Answered:
        treatment = body.treatment.said() if body.treatment is not None else None
        given = body.notice.given() if body.notice is not None else None
        sources = {name: one.sourced() for name, one in body.sources.items()}
        agreed = tuple(one.terms() for one in body.agreements)
        done = enroll(vault, context, body.fields, agreed, given, sources, treatment=treatment)
        answer = {
            "subject_id": done.subject_id,
            "version": done.version,
            "agreements": list(done.agreements),
            "entry_id": done.entry_id,
        }
        return Answered(201, answer, done.subject_id)

    return once.answer(vault, context, act)


class AmendmentIn(PersonalBody):
    """Changes under one agreement, which must cover each field."""

    agreement_id: AgreementIdText
    fields: Changes
    treatment: TreatmentIn | None = None
    sources: SourcesIn


class AmendedOut(BaseModel):
    """The person's new version."""

    version: int
    entry_id: str


@router.patch(
    "/subjects/{subject_id}/fields",
    operation_id="amendFields",
    responses=answers(AmendedOut, "Amended; the ETag is the new version.", 403, 409, 410, 412, 423, 428, body=True),
    openapi_extra=headers(IF_MATCH, IDEMPOTENCY),
)
def amend_fields(
    request: Request, subject_id: SubjectId, body: AmendmentIn, context: AccessContext, vault: RunningVault, once: Idempotent
) -> Response:
    """Change values under a named agreement (RFC 7396): null removes."""
    version = _if_match(request)

    def act() -> Answered:
        treatment = body.treatment.said() if body.treatment is not None else None
        sources = {name: one.sourced() for name, one in body.sources.items()}
        done = amend(vault, context, subject_id, body.agreement_id, body.fields, version, sources, treatment=treatment)
        return Answered(200, {"version": done.version, "entry_id": done.entry_id}, subject_id)

    return once.answer(vault, context, act)


def _if_match(request: Request) -> int:
    """Return the version that was read. Raises PreconditionRequired without one, Stale for what was never a version."""
    sent = request.headers.getlist("If-Match")
    if not sent:
        raise PreconditionRequired
    found = _ETAG.fullmatch(sent[0])
    if len(sent) > 1 or found is None:
        raise Stale(faults=[Fault("If-Match", "unknown")])
    return int(found[1])
