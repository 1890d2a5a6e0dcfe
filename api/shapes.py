"""What bodies look like: closed, strict members, shared by the routes. A body that carries personal data is marked `x-has-pii`."""

import re
from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import Path
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticCustomError

from vault.operations.enroll import AgreementTerms
from vault.operations.noticing import Given
from vault.operations.sourcing import Sourced
from vault.policy.model import Channel

_YEARS: Final = range(1970, 3000)  # those the log counts in, far enough from what no calendar has


def _there_is(text: str) -> str:
    """Return an instant's text. Raises PydanticCustomError for one no calendar has, and for one of another age."""
    try:
        year = datetime.fromisoformat(text).year
    except ValueError:
        year = 0
    if year not in _YEARS:
        raise PydanticCustomError("date.invalid", "no such instant")
    return text


_ID = "_[a-z2-7]{26}$"
SUBJECT_ID = re.compile("^sub" + _ID)

SubjectIdText = Annotated[str, StringConstraints(pattern="^sub" + _ID)]
AgreementIdText = Annotated[str, StringConstraints(pattern="^agr" + _ID)]
SubjectId = Annotated[str, Path(pattern=SUBJECT_ID.pattern, description="sub_ and 26 characters: random, never derived from data")]
DecisionId = Annotated[str, Path(pattern="^dec" + _ID, description="dec_ and 26 characters: what an answer's Vault-Decision said")]
EntryId = Annotated[str, Path(pattern="^ent" + _ID, description="ent_ and 26 characters: what an answer's Vault-Entry said")]
AgreementId = Annotated[str, Path(pattern="^agr" + _ID, description="agr_ and 26 characters")]
TemplateId = Annotated[str, Path(pattern=r"^[a-z][a-z0-9-]{0,63}$", description="the template, such as marketing")]
TemplateVersion = Annotated[str, Path(pattern=r"^[1-9][0-9]{0,5}$", description="its version, from 1")]
TicketId = Annotated[
    str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$", description="the helpdesk's own reference, never text")
]

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,63}$")]
FieldName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
CallerId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:@|+=/~-]{0,254}$")]
Team = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,63}$")]
Line = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,255}$")]
Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2}$")]
Instant = Annotated[
    str,
    StringConstraints(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|\+00:00)$"),
    AfterValidator(_there_is),
]
Day = Annotated[str, StringConstraints(pattern=r"^\d{4}-\d\d-\d\d$"), AfterValidator(_there_is)]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Text = Annotated[str, StringConstraints(max_length=16_384)]
Parts = Annotated[dict[str, Text | None], Field(max_length=16, description="a value with members, such as an address")]
Value = Text | int | Parts
Values = Annotated[dict[str, Value], Field(min_length=1, max_length=64, description="values by field of the catalogue")]
Changes = Annotated[dict[str, Value | None], Field(min_length=1, max_length=64, description="merge patch (RFC 7396): null removes")]


class Body(BaseModel):
    """A body: unknown members are refused, and no member is made to fit."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class PersonalBody(Body):
    """A body that carries personal data."""

    model_config = ConfigDict(json_schema_extra={"x-has-pii": True})


class EntryOut(BaseModel):
    """The entry that recorded the call."""

    entry_id: str


class EvidenceIn(Body):
    """How somebody agreed, or took it back (GDPR 7(1)): kept sealed, and only for as long as it must be shown.

    A pre-ticked box is no act, and a text of another version is not what was agreed: both are refused. `channel`: where the person
    agreed, when it is a system that says so.
    """

    method: Slug | None = None
    indicated_at: Instant | None = None
    channel: Channel | None = None
    text_sha256: Digest | None = None
    affirmative_act: bool = False
    level: Annotated[int, Field(ge=0, le=3)] | None = None
    guardian: Slug | None = None
    session: Line | None = None
    acr: Line | None = None
    call_id: Line | None = None
    agent: Line | None = None
    script_version: Line | None = None
    document_attachment: Line | None = None
    message_sha256: Digest | None = None

    def said(self) -> dict[str, Any]:
        """Return what was said, and nothing for what was not."""
        return self.model_dump(exclude_none=True)


class WithdrawalIn(Body):
    """How somebody took an agreement back. By phone: the agent and the channel, nothing more."""

    method: Slug | None = None
    indicated_at: Instant | None = None
    session: Line | None = None
    call_id: Line | None = None
    agent: Line | None = None
    message_sha256: Digest | None = None

    def said(self) -> dict[str, Any]:
        """Return what was said, and nothing for what was not."""
        return self.model_dump(exclude_none=True)


class NarrowingIn(WithdrawalIn):
    """Which fields somebody leaves out of an agreement, and how they said so: as a withdrawal, of some fields."""

    excluded: Annotated[list[FieldName], Field(min_length=1, max_length=64)]

    def said(self) -> dict[str, Any]:
        """Return how it was said; which fields stands beside it."""
        return self.model_dump(exclude_none=True, exclude={"excluded"})


class TermsIn(Body):
    """One agreement: which template, in which language its text was shown, and how it was given."""

    template: Slug
    version: Annotated[int, Field(ge=1)] | None = None
    language: Language
    evidence: EvidenceIn
    excluded: Annotated[list[FieldName], Field(max_length=64)] = []

    def terms(self) -> AgreementTerms:
        """Return the operation's argument."""
        return AgreementTerms(self.template, self.version, self.language, self.evidence.said(), frozenset(self.excluded))


class GivenIn(Body):
    """Which notice somebody was given (GDPR 13, 14). `channel`: where, when it is a system that says so; `given_at`: not now."""

    notice: Slug
    version: Annotated[int, Field(ge=1, le=999_999)] | None = None
    language: Language
    channel: Channel | None = None
    given_at: Instant | None = None

    def given(self) -> Given:
        """Return the operation's argument."""
        at = datetime.fromisoformat(self.given_at) if self.given_at is not None else None
        return Given(self.notice, self.version, self.language, self.channel, at)


class SourceIn(Body):
    """Where a value is from that is not from the person (GDPR 14(2)(f)): a code, never a name. `obtained_at`: not now."""

    source: Slug
    obtained_at: Instant | None = None

    def sourced(self) -> Sourced:
        """Return the operation's argument."""
        return Sourced(self.source, datetime.fromisoformat(self.obtained_at) if self.obtained_at is not None else None)


SourcesIn = Annotated[
    dict[FieldName, SourceIn],
    Field(max_length=64, default_factory=dict, description="by field: values that are not from the person"),
]
