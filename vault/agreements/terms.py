"""What was agreed, and whether it holds at an instant. Pure: instants, dates and zones are arguments.

Rules (GDPR Art. 4(11), 5(1)(b), 7, 8):

1. A template never changes; its digest covers its terms and the hash of each text. A consent has a period.
2. Validity is half-open, and ends at the local midnight that ends the anniversary day. Calendar months are clamped: one month
   after 31 January is the last day of February.
3. State is the first of these that holds: superseded, withdrawn (also revoked, invalidated), expired (ended, or past its end), in
   force. Before its beginning an agreement covers nothing. What is not yet effective has not happened.
4. Consent is valid if the last thing said of it is given or renewed, and nothing else.
5. What the person left out when agreeing, and has left out since, adds up: to take something in again is a new agreement.
6. Consent is an affirmative act, on a day, on a text that was shown: evidence without one of these shows no consent (Art. 7(1)).
7. An imported consent is valid until its own period ends, or twelve months after the import, whichever is earlier.
"""

import re
from calendar import monthrange
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from hashlib import sha256
from types import MappingProxyType
from typing import Any, Final, Literal

import rfc8785

from vault.errors import Fault, InvalidValue

Phase = Literal["before", "in", "after"]
Consent = Literal["valid", "withdrawn", "expired", "none"]
Band = Literal["under-14", "14-17", "adult", "unknown"]
EventKind = Literal[
    "requested", "refused", "given", "renewed", "narrowed", "withdrawn", "revoked", "invalidated", "ended", "superseded", "expired"
]  # fmt: skip

OPEN: Final = "open"
RENEW_IMPORTED_WITHIN: Final = "P12M"
CLAIMED_CHANNELS: Final[Mapping[str, str]] = MappingProxyType(
    {"telefono": "phone", "filiale": "front_office", "web": "portal", "app": "portal"}
)
EVIDENCE: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(  # what shows a consent, by the channel it was given on
    {
        "portal": ("session", "acr"),
        "phone": ("call_id", "agent", "script_version"),
        "front_office": ("agent",),
        "email": ("message_sha256",),
    }
)
CLOCK_SKEW: Final = timedelta(minutes=5)

_FOUR_YEARS: Final = timedelta(days=4 * 365 + 1)  # from 14 to 18: with one leap day until 2096, to the hour in one zone
_PERIOD = re.compile(r"P(?=[0-9])(?:([0-9]{1,3})Y)?(?:([0-9]{1,4})M)?(?:([0-9]{1,4})W)?(?:([0-9]{1,5})D)?", re.ASCII)
_GIVEN: Final = frozenset({"given", "renewed", "narrowed"})
_WITHDRAWN: Final = frozenset({"withdrawn", "revoked", "invalidated"})


@dataclass(frozen=True, slots=True)
class Template:
    """A reviewed, immutable, versioned text from which agreements are made. `texts` are SHA-256 hashes, by language.

    `validity` is `open` or an ISO 8601 period; `starts` says from when: the signature, or the trigger of a companion.
    """

    id: str
    version: int
    digest: bytes
    basis: str
    condition: str
    purposes: tuple[str, ...]
    categories: tuple[str, ...]
    recipients: tuple[str, ...]
    validity: str
    starts: Literal["signature", "trigger"]
    dependent: bool
    online_service: bool
    companions: tuple[str, ...]
    texts: Mapping[str, bytes]

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "Template":
        """Return the template of a parsed document whose texts are the hex SHA-256 of their bytes.

        Raises ValueError for a validity that is no period, and for a consent without one.
        """
        validity = document["validity"]["until"]
        if validity != OPEN:
            _period(validity)
        elif document["basis"] == "consent":
            raise ValueError("a consent has a period")
        return cls(
            id=document["id"],
            version=document["version"],
            digest=sha256(rfc8785.dumps(dict(document))).digest(),
            basis=document["basis"],
            condition=document["condition"],
            purposes=tuple(document["purposes"]),
            categories=tuple(document["categories"]),
            recipients=tuple(document["recipients"]),
            validity=validity,
            starts=document["validity"]["from"],
            dependent=document["dependent"],
            online_service=document["online_service"],
            companions=tuple(document["companions"]),
            texts=MappingProxyType({language: bytes.fromhex(digest) for language, digest in document["texts"].items()}),
        )

    @property
    def reference(self) -> str:
        """Return `id@version`."""
        return f"{self.id}@{self.version}"

    @property
    def asks_consent(self) -> bool:
        """Whether it rests on the person's consent, wholly (Art. 6(1)(a)) or for its special data (Art. 9(2)(a))."""
        return self.basis == "consent" or self.condition == "explicit_consent"


@dataclass(frozen=True, slots=True)
class Terms:
    """What the row of one agreement fixes. `valid_from` None: a companion whose trigger has not come."""

    basis: str
    valid_from: datetime | None
    valid_until: datetime | None


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened, numbered from 1. `excluded` of `given` and `narrowed`, `valid_until` of `renewed`."""

    number: int
    kind: EventKind
    effective_at: datetime
    excluded: frozenset[str] = frozenset()
    valid_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Derived:
    """What follows from the events alone, without a clock: the row that the disclosing statement reads."""

    status: Literal["none", "dormant", "in_force", "withdrawn", "superseded", "ended"]
    consent: Consent
    excluded: frozenset[str]
    valid_until: datetime | None


@dataclass(frozen=True, slots=True)
class State:
    """An agreement at an instant."""

    status: Literal["none", "dormant", "in_force", "withdrawn", "superseded", "expired"]
    phase: Phase
    consent: Consent
    excluded: frozenset[str]
    valid_until: datetime | None


def valid_until(signed_at: datetime, validity: str, zone: tzinfo) -> datetime | None:
    """Return the local midnight that ends the anniversary day, in UTC; None for `open`. Raises ValueError for no period."""
    if validity == OPEN:
        return None
    years, months, weeks, days = _period(validity)
    anniversary = _months_later(signed_at.astimezone(zone).date(), 12 * years + months) + timedelta(days=7 * weeks + days)
    return datetime.combine(anniversary + timedelta(days=1), time(), zone).astimezone(UTC)


def imported_until(signed_at: datetime, validity: str, imported_at: datetime, zone: tzinfo) -> datetime:
    """Return until when an imported consent is valid: its own end, or the renewal's limit, whichever is earlier."""
    renewal = valid_until(imported_at, RENEW_IMPORTED_WITHIN, zone)
    own = valid_until(signed_at, validity, zone)
    return min(end for end in (own, renewal) if end is not None)


def phase(valid_from: datetime, until: datetime | None, at: datetime) -> Phase:
    """Return where an instant lies: `in` from the beginning on, until the end, which is outside."""
    if at < valid_from:
        return "before"
    return "after" if until is not None and at >= until else "in"


def derive(terms: Terms, events: Sequence[Event]) -> Derived:
    """Return what the events say, in the order of their numbers. Raises ValueError when one is missing or stands twice."""
    return _derived(terms, _ordered(events))


def standing(status: str, consent: str, valid_from: datetime, until: datetime | None, at: datetime) -> tuple[Phase, Consent]:
    """Return phase and consent at an instant, from the derived row: the clock ends what nobody has ended."""
    if status in ("none", "dormant"):
        return "before", _known(consent)
    now = phase(valid_from, until, at) if status == "in_force" else "after"
    return now, "expired" if consent == "valid" and now == "after" else _known(consent)


def state(terms: Terms, events: Sequence[Event], at: datetime) -> State:
    """Return the state at an instant; events that are not yet effective have not happened."""
    known = _derived(terms, [one for one in _ordered(events) if one.effective_at <= at])
    now, consent = standing(known.status, known.consent, terms.valid_from or at, known.valid_until, at)
    if known.status == "ended" or (known.status == "in_force" and now == "after"):
        return State("expired", now, consent, known.excluded, known.valid_until)
    return State(known.status, now, consent, known.excluded, known.valid_until)


def check_evidence(template: Template, language: str, channel: str, evidence: Mapping[str, Any], at: datetime) -> datetime:
    """Return when it was agreed, or raise InvalidValue: every fault, as pointer into the evidence and code.

    A system that enrols over `api` says in `channel` where the person agreed. What is not a consent needs no affirmative act, and
    without a date it is agreed `at`.
    """
    faults = [] if language in template.texts else [Fault("/language", "text.no_such_language")]
    stated = evidence.get("text_sha256")
    if (stated is not None or template.asks_consent) and stated != template.texts.get(language, b"").hex():
        faults.append(Fault("/text_sha256", "text.mismatch"))
    signed_at = at
    if evidence.get("indicated_at") is not None:
        try:
            signed_at = _instant(evidence["indicated_at"], at)
        except ValueError:
            faults.append(Fault("/indicated_at", "consent.invalid_date"))
    elif template.asks_consent:
        faults.append(Fault("/indicated_at", "consent.missing_date"))
    if template.asks_consent:
        faults.extend(_consent_faults(channel, evidence))
    if faults:
        raise InvalidValue(faults=faults)
    return signed_at


def require_guardian(template: Template, band: Band, evidence: Mapping[str, Any]) -> None:
    """Raise InvalidValue `guardian-needed` when a child under 14 consents alone to an online service (Codice 2-quinquies)."""
    if template.asks_consent and template.online_service and band == "under-14" and not evidence.get("guardian"):
        raise InvalidValue(faults=[Fault("/guardian", "guardian-needed")])


def minor_band(born_on: date | None, on: date) -> Band:
    """Return the band of age on a day. Who is born on 29 February is a year older on 1 March of other years."""
    if born_on is None:
        return "unknown"
    age = on.year - born_on.year - ((on.month, on.day) < (born_on.month, born_on.day))
    return "under-14" if age < 14 else "14-17" if age < 18 else "adult"


def adult_at(born_on: date, zone: tzinfo) -> datetime:
    """Return when somebody counts as of age by the clock: the local midnight that begins a month, on the 18th birthday or after it.

    Kept beside the band, in clear: the day itself would be the birthday. At most thirty days late, so the clock never ends a
    protection early (ADR 0013).
    """
    day = _months_later(born_on, 12 * 18)
    late = day.day > 1 or day.day < born_on.day  # born on 29 February: a year older on 1 March
    first = _months_later(day.replace(day=1), 1) if late else day
    return datetime.combine(first, time(), zone).astimezone(UTC)


def band_at(band: str, of_age_at: datetime | None, at: datetime) -> Band:
    """Return the band at an instant, from the band as it was written and `adult_at`. Without the latter it stays as written."""
    if band not in ("under-14", "14-17"):
        return "adult" if band == "adult" else "unknown"
    if of_age_at is not None and at >= of_age_at:
        return "adult"
    if of_age_at is not None and at >= of_age_at - _FOUR_YEARS:
        return "14-17"
    return "under-14" if band == "under-14" else "14-17"


def _period(text: Any) -> tuple[int, int, int, int]:
    match = _PERIOD.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError("not an ISO 8601 period of years, months, weeks and days")
    years, months, weeks, days = (int(one or 0) for one in match.groups())
    return years, months, weeks, days


def _months_later(day: date, months: int) -> date:
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def _ordered(events: Sequence[Event]) -> list[Event]:
    ordered = sorted(events, key=lambda one: one.number)
    if [one.number for one in ordered] != list(range(1, len(ordered) + 1)):
        raise ValueError("events are numbered from 1 without a gap")
    return ordered


def _derived(terms: Terms, ordered: Sequence[Event]) -> Derived:
    kinds = {one.kind for one in ordered}
    renewals = [one.valid_until for one in ordered if one.kind == "renewed"]
    excluded = frozenset(name for one in ordered if one.kind in ("given", "narrowed") for name in one.excluded)
    return Derived(_status(terms, kinds), _consent(terms, ordered), excluded, renewals[-1] if renewals else terms.valid_until)


def _status(terms: Terms, kinds: set[EventKind]) -> Literal["none", "dormant", "in_force", "withdrawn", "superseded", "ended"]:
    if "given" not in kinds:
        return "none"
    if "superseded" in kinds:
        return "superseded"
    if kinds & _WITHDRAWN:
        return "withdrawn"
    if "ended" in kinds or "expired" in kinds:
        return "ended"
    return "in_force" if terms.valid_from is not None else "dormant"


def _consent(terms: Terms, ordered: Sequence[Event]) -> Consent:
    if terms.basis != "consent":
        return "none"
    said = [one.kind for one in ordered if one.kind in _GIVEN or one.kind in _WITHDRAWN or one.kind == "expired"]
    if not said or _WITHDRAWN & set(said):
        return "withdrawn"  # for good: a later consent is a new agreement, since the wraps of this one are gone
    return "valid" if said[-1] in _GIVEN else "expired"


def _known(consent: str) -> Consent:
    """Return the consent as one of its list; what is none of it is no valid consent."""
    return consent if consent in ("valid", "withdrawn", "expired", "none") else "withdrawn"  # type: ignore[return-value]


def _instant(text: Any, at: datetime) -> datetime:
    """Return the instant in UTC. Raises ValueError for none, for one without an offset, and for one that is still to come."""
    found = datetime.fromisoformat(str(text))
    if found.tzinfo is None or found > at + CLOCK_SKEW:
        raise ValueError("not an instant that has been")
    return found.astimezone(UTC)


def _consent_faults(channel: str, evidence: Mapping[str, Any]) -> Iterator[Fault]:
    if evidence.get("affirmative_act") is not True:
        yield Fault("/affirmative_act", "consent.not_affirmative")  # a pre-ticked box is none (recital 32)
    where = str(evidence.get("channel")) if channel == "api" else channel
    if where not in EVIDENCE:
        yield Fault("/channel", "consent.unknown_channel")
    yield from (Fault(f"/{member}", "consent.missing_evidence") for member in EVIDENCE.get(where, ()) if not evidence.get(member))
