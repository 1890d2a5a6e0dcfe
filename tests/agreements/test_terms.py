"""What was agreed, until when, and whether it holds: vectors by hand, and what no evidence can show."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.policy.makers import bundle
from vault.agreements.terms import (
    CLAIMED_CHANNELS,
    Event,
    EventKind,
    State,
    Template,
    Terms,
    adult_at,
    band_at,
    check_evidence,
    derive,
    imported_until,
    minor_band,
    phase,
    require_guardian,
    standing,
    state,
    valid_until,
)
from vault.errors import InvalidValue

ROME = ZoneInfo("Europe/Rome")
BUNDLE = bundle()
TEMPLATES = {reference: Template.of(document) for reference, document in BUNDLE.templates.items()}
RETAIL, MARKETING, HEALTH = (TEMPLATES[f"{name}@1"] for name in ("retail", "marketing", "health-insurance"))
NOW = datetime(2026, 2, 1, 9, 12, 33, tzinfo=UTC)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


# --- templates


def test_templates_are_read_with_their_digests() -> None:
    locked = dict(line.split(" ") for line in BUNDLE.files["templates.lock"].decode().splitlines())
    assert {name: f"sha256:{one.digest.hex()}" for name, one in TEMPLATES.items()} == locked
    assert (MARKETING.reference, MARKETING.validity, MARKETING.starts) == ("marketing@1", "P24M", "signature")
    assert set(MARKETING.texts) == {"it", "en"}
    assert RETAIL.companions == ("legal-obligation@1",)
    assert [one.reference for one in TEMPLATES.values() if one.asks_consent] == ["health-insurance@1", "marketing@1"]


def altered(**changes: Any) -> Mapping[str, Any]:
    return {**BUNDLE.templates["marketing@1"], **changes}


def test_a_consent_without_a_period_is_refused() -> None:
    with pytest.raises(ValueError, match="a consent has a period"):
        Template.of(altered(validity={"from": "signature", "until": "open"}))
    assert Template.of(altered(basis="contract", validity={"from": "signature", "until": "open"})).validity == "open"


@pytest.mark.parametrize("until", ["P", "", "24M", "P1.5Y", "PT5M", "P1M1Y", "P-1M", 24, None])
def test_a_validity_that_is_no_period_is_refused(until: Any) -> None:
    with pytest.raises(ValueError, match="not an ISO 8601 period"):
        Template.of(altered(validity={"from": "signature", "until": until}))


# --- validity


@pytest.mark.parametrize(
    ("signed", "period", "until"),
    [
        ("2026-02-01T09:12:33Z", "P12M", "2027-02-01T23:00:00Z"),
        ("2024-02-29T10:00:00Z", "P1Y", "2025-02-28T23:00:00Z"),
        ("2026-01-31T10:00:00Z", "P1M", "2026-02-28T23:00:00Z"),
        ("2026-08-01T10:00:00Z", "P24M", "2028-08-01T22:00:00Z"),  # summer time
        ("2026-03-28T23:30:00Z", "P1D", "2026-03-30T22:00:00Z"),  # the 29th in Rome; the night between has 23 hours
        ("2026-02-01T23:30:00Z", "P1W", "2026-02-09T23:00:00Z"),  # the 2nd in Rome
        ("2026-02-01T09:12:33Z", "P1Y2M3W4D", "2027-04-26T22:00:00Z"),
    ],
)
def test_validity_ends_with_the_anniversary_day_of_the_zone(signed: str, period: str, until: str) -> None:
    assert valid_until(at(signed), period, ROME) == at(until)


def test_an_open_validity_has_no_end() -> None:
    assert valid_until(NOW, "open", ROME) is None


def test_a_midnight_the_zone_skips_is_the_instant_of_the_leap() -> None:
    assert valid_until(at("2018-11-02T12:00:00Z"), "P1D", ZoneInfo("America/Sao_Paulo")) == at("2018-11-04T03:00:00Z")


@given(
    signed=st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - bounds
    months=st.integers(1, 240),
)
def test_validity_is_a_local_midnight_on_or_after_as_many_months(signed: datetime, months: int) -> None:
    until = valid_until(signed, f"P{months}M", ROME)
    assert until is not None
    local, began = until.astimezone(ROME), signed.astimezone(ROME)
    assert (local.hour, local.minute, local.second) == (0, 0, 0)
    last = (local - timedelta(hours=12)).date()
    assert (last.year * 12 + last.month) - (began.year * 12 + began.month) == months
    assert last.day <= began.day


@pytest.mark.parametrize(
    ("signed", "imported", "until"),
    [
        ("2025-12-01T09:00:00Z", "2026-02-01T09:00:00Z", "2027-02-01T23:00:00Z"),  # the renewal comes first
        ("2024-06-01T09:00:00Z", "2026-02-01T09:00:00Z", "2026-06-01T22:00:00Z"),  # its own end comes first
        ("2016-11-15T09:00:00Z", "2026-02-01T09:00:00Z", "2018-11-15T23:00:00Z"),  # it has long ended
    ],
)
def test_an_imported_consent_ends_with_its_period_or_twelve_months_after(signed: str, imported: str, until: str) -> None:
    assert imported_until(at(signed), MARKETING.validity, at(imported), ROME) == at(until)
    assert imported_until(at(signed), "open", at(imported), ROME) == at("2027-02-01T23:00:00Z")


def test_validity_is_half_open() -> None:
    start, end = at("2026-01-01T00:00:00Z"), at("2027-01-01T00:00:00Z")
    tick = timedelta(microseconds=1)
    assert [phase(start, end, one) for one in (start - tick, start, end - tick, end)] == ["before", "in", "in", "after"]
    assert phase(start, None, at("9999-01-01T00:00:00Z")) == "in"


# --- state


def history(*kinds: EventKind, **details: Any) -> list[Event]:
    return [Event(number, kind, NOW + timedelta(days=number), **details) for number, kind in enumerate(kinds, 1)]


CONSENT = Terms("consent", NOW, at("2028-02-01T23:00:00Z"))
CONTRACT = Terms("contract", NOW, None)
LATER = NOW + timedelta(days=60)


@pytest.mark.parametrize(
    ("terms", "kinds", "status", "now", "consent"),
    [
        (CONSENT, ("given",), "in_force", "in", "valid"),
        (CONSENT, ("requested", "given"), "in_force", "in", "valid"),
        (CONSENT, ("given", "narrowed"), "in_force", "in", "valid"),
        (CONSENT, ("given", "requested", "renewed"), "in_force", "in", "valid"),
        (CONSENT, ("given", "requested", "refused"), "in_force", "in", "valid"),
        (CONSENT, ("requested", "refused"), "none", "before", "withdrawn"),
        (CONSENT, (), "none", "before", "withdrawn"),
        (CONSENT, ("given", "withdrawn"), "withdrawn", "after", "withdrawn"),
        (CONSENT, ("given", "revoked"), "withdrawn", "after", "withdrawn"),
        (CONSENT, ("given", "invalidated"), "withdrawn", "after", "withdrawn"),
        (CONSENT, ("given", "withdrawn", "given"), "withdrawn", "after", "withdrawn"),
        (CONSENT, ("given", "expired"), "expired", "after", "expired"),
        (CONSENT, ("given", "withdrawn", "superseded"), "superseded", "after", "withdrawn"),
        (CONTRACT, ("given",), "in_force", "in", "none"),
        (CONTRACT, ("given", "ended"), "expired", "after", "none"),
        (CONTRACT, ("given", "ended", "withdrawn"), "withdrawn", "after", "none"),
        (CONTRACT, ("given", "superseded"), "superseded", "after", "none"),
        (Terms("legal_obligation", None, None), ("given",), "dormant", "before", "none"),
        (Terms("consent", LATER + timedelta(days=1), None), ("given",), "in_force", "before", "valid"),
    ],
)
def test_the_first_state_that_holds(terms: Terms, kinds: tuple[EventKind, ...], status: str, now: str, consent: str) -> None:
    found = state(terms, history(*kinds), LATER)
    assert (found.status, found.phase, found.consent) == (status, now, consent)


def test_the_clock_ends_a_consent_nobody_has_ended() -> None:
    end = at("2028-02-01T23:00:00Z")
    assert state(CONSENT, history("given"), end - timedelta(microseconds=1)).status == "in_force"
    assert state(CONSENT, history("given"), end) == State("expired", "after", "expired", frozenset(), end)


def test_a_renewal_sets_a_new_end() -> None:
    end = at("2030-02-01T23:00:00Z")
    events = [*history("given"), Event(2, "renewed", NOW, valid_until=end)]
    assert state(CONSENT, events, at("2029-01-01T00:00:00Z")).status == "in_force"
    assert derive(CONSENT, events).valid_until == end


def test_what_the_person_excluded_adds_up() -> None:
    events = [*history("given"), Event(2, "narrowed", NOW, frozenset({"email"})), Event(3, "narrowed", NOW, frozenset({"phone"}))]
    assert state(CONSENT, events, LATER).excluded == {"email", "phone"}


def test_what_is_not_yet_effective_has_not_happened() -> None:
    events = history("given", "withdrawn")
    assert state(CONSENT, events, NOW).status == "none"
    assert state(CONSENT, events, NOW + timedelta(days=1)).status == "in_force"
    assert state(CONSENT, events, NOW + timedelta(days=2)).status == "withdrawn"


@pytest.mark.parametrize("numbers", [(2,), (1, 1), (1, 3), (0, 1)])
def test_a_history_with_a_gap_is_refused(numbers: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="without a gap"):
        derive(CONTRACT, [Event(number, "given", NOW) for number in numbers])


def test_events_are_read_in_the_order_of_their_numbers() -> None:
    events = history("given", "withdrawn")
    assert derive(CONSENT, events[::-1]) == derive(CONSENT, events)


@given(st.permutations(("given", "narrowed", "renewed", "withdrawn", "ended")), st.integers(-5, 900))
def test_once_withdrawn_a_consent_covers_nothing_ever(kinds: list[EventKind], days: int) -> None:
    events = history("given", "withdrawn", *kinds)
    found = state(CONSENT, events, NOW + timedelta(days=2 + abs(days)))
    assert (found.phase, found.consent) == ("after", "withdrawn")


@pytest.mark.parametrize(
    ("status", "consent", "found"),
    [
        ("in_force", "valid", ("in", "valid")),
        ("dormant", "none", ("before", "none")),
        ("withdrawn", "withdrawn", ("after", "withdrawn")),
        ("ended", "valid", ("after", "expired")),
        ("superseded", "none", ("after", "none")),
        ("something", "maybe", ("after", "withdrawn")),
        ("in_force", "maybe", ("in", "withdrawn")),
    ],
)
def test_the_derived_row_gains_a_clock_when_read(status: str, consent: str, found: tuple[str, str]) -> None:
    assert standing(status, consent, NOW, None, LATER) == found


# --- evidence


def shown(template: Template, **changes: Any) -> dict[str, Any]:
    return {
        "indicated_at": "2026-02-01T09:00:00Z",
        "text_sha256": template.texts["it"].hex(),
        "affirmative_act": True,
        "call_id": "c1",
        "agent": "a1",
        "script_version": "s1",
        **changes,
    }


def faults_of(
    template: Template, evidence: Mapping[str, Any], channel: str = "phone", language: str = "it"
) -> set[tuple[str, str]]:
    with pytest.raises(InvalidValue) as refusal:
        check_evidence(template, language, channel, evidence, NOW)
    return {(one.pointer, one.code) for one in refusal.value.faults}


def test_a_consent_shown_whole_is_taken() -> None:
    assert check_evidence(MARKETING, "it", "phone", shown(MARKETING), NOW) == at("2026-02-01T09:00:00Z")
    assert check_evidence(HEALTH, "it", "phone", shown(HEALTH, indicated_at="2026-02-01T10:00:00+01:00"), NOW) == at(
        "2026-02-01T09:00:00Z"
    )


@pytest.mark.parametrize("box", [False, None, "true", 1])
def test_a_preticked_box_is_no_consent(box: Any) -> None:
    assert faults_of(MARKETING, shown(MARKETING, affirmative_act=box)) == {("/affirmative_act", "consent.not_affirmative")}


def test_a_consent_without_a_date_is_refused() -> None:
    assert faults_of(MARKETING, shown(MARKETING, indicated_at=None)) == {("/indicated_at", "consent.missing_date")}


@pytest.mark.parametrize("when", ["2026-02-01", "2026-02-01T09:00:00", "yesterday", 5, "2026-02-01T09:18:00Z"])
def test_a_date_that_is_no_instant_that_has_been_is_refused(when: Any) -> None:
    assert faults_of(MARKETING, shown(MARKETING, indicated_at=when)) == {("/indicated_at", "consent.invalid_date")}


def test_a_clock_may_be_a_little_ahead() -> None:
    ahead = "2026-02-01T09:17:00Z"
    assert check_evidence(MARKETING, "it", "phone", shown(MARKETING, indicated_at=ahead), NOW) == at(ahead)


@pytest.mark.parametrize("digest", ["00" * 32, None, "", MARKETING.texts["en"].hex()])
def test_another_text_than_the_template_is_refused(digest: Any) -> None:
    assert faults_of(MARKETING, shown(MARKETING, text_sha256=digest)) == {("/text_sha256", "text.mismatch")}


def test_a_language_without_a_text_is_refused() -> None:
    assert faults_of(MARKETING, shown(MARKETING), language="de") == {
        ("/language", "text.no_such_language"),
        ("/text_sha256", "text.mismatch"),
    }


@pytest.mark.parametrize(
    ("channel", "missing"),
    [
        ("phone", "call_id"),
        ("phone", "agent"),
        ("phone", "script_version"),
        ("portal", "session"),
        ("portal", "acr"),
        ("front_office", "agent"),
        ("email", "message_sha256"),
    ],
)
def test_each_channel_shows_a_consent_its_own_way(channel: str, missing: str) -> None:
    whole = shown(MARKETING, session="s", acr="2", message_sha256="00")
    check_evidence(MARKETING, "it", channel, whole, NOW)
    assert faults_of(MARKETING, {**whole, missing: None}, channel) == {(f"/{missing}", "consent.missing_evidence")}


@pytest.mark.parametrize("channel", ["chat", "social", "api"])
def test_a_channel_that_shows_no_consent_is_refused(channel: str) -> None:
    assert faults_of(MARKETING, shown(MARKETING), channel) == {("/channel", "consent.unknown_channel")}


def test_a_system_says_where_the_person_agreed() -> None:
    check_evidence(MARKETING, "it", "api", shown(MARKETING, channel="phone"), NOW)
    assert faults_of(MARKETING, shown(MARKETING, channel="portal"), "api") == {
        ("/session", "consent.missing_evidence"),
        ("/acr", "consent.missing_evidence"),
    }


def test_a_contract_needs_neither_act_nor_date() -> None:
    assert check_evidence(RETAIL, "it", "api", {}, NOW) == NOW
    assert check_evidence(RETAIL, "it", "chat", {"indicated_at": "2020-01-01T00:00:00Z"}, NOW) == at("2020-01-01T00:00:00Z")
    assert faults_of(RETAIL, {"text_sha256": "00"}) == {("/text_sha256", "text.mismatch")}


def test_every_fault_is_told_at_once() -> None:
    assert len(faults_of(MARKETING, {}, "email")) == 4


def test_claimed_channels_are_those_of_the_files() -> None:
    assert dict(CLAIMED_CHANNELS) == {"telefono": "phone", "filiale": "front_office", "web": "portal", "app": "portal"}


def test_a_child_does_not_consent_alone_to_an_online_service() -> None:
    online = Template.of(altered(online_service=True))
    with pytest.raises(InvalidValue) as refusal:
        require_guardian(online, "under-14", {})
    assert [(one.pointer, one.code) for one in refusal.value.faults] == [("/guardian", "guardian-needed")]
    require_guardian(online, "under-14", {"guardian": {"name": "…"}})
    require_guardian(online, "14-17", {})
    require_guardian(MARKETING, "under-14", {})


# --- age


@pytest.mark.parametrize(
    ("born", "on", "band"),
    [
        ("2012-02-29", "2026-02-28", "under-14"),
        ("2012-02-29", "2026-03-01", "14-17"),
        ("2012-03-01", "2026-03-01", "14-17"),
        ("2012-03-02", "2026-03-01", "under-14"),
        ("2008-02-29", "2026-02-28", "14-17"),
        ("2008-02-29", "2026-03-01", "adult"),
        ("2008-03-01", "2026-02-28", "14-17"),
        ("1958-01-01", "2026-02-28", "adult"),
        ("2027-01-01", "2026-02-28", "under-14"),
    ],
)
def test_age_is_counted_in_birthdays(born: str, on: str, band: str) -> None:
    assert minor_band(date.fromisoformat(born), date.fromisoformat(on)) == band


def test_without_a_birth_date_the_age_is_unknown() -> None:
    assert minor_band(None, date(2026, 2, 28)) == "unknown"


@pytest.mark.parametrize(
    ("born", "when"),
    [
        ("2012-05-17", "2030-05-31T22:00:00Z"),  # the month after, at midnight in Rome
        ("2012-05-01", "2030-04-30T22:00:00Z"),  # the day itself begins a month
        ("2012-12-02", "2030-12-31T23:00:00Z"),
        ("2012-02-29", "2030-02-28T23:00:00Z"),  # a year older on 1 March
        ("2012-01-31", "2030-01-31T23:00:00Z"),
    ],
)
def test_one_is_of_age_by_the_clock_when_a_month_begins(born: str, when: str) -> None:
    assert adult_at(date.fromisoformat(born), ROME) == at(when)


AGES = ("under-14", "14-17", "adult")


@given(born=st.dates(date(1990, 1, 1), date(2060, 1, 1)), written=st.integers(0, 9_000), later=st.integers(0, 9_000))
def test_the_clock_makes_nobody_older_than_they_are(born: date, written: int, later: int) -> None:
    """It is at most a month behind, and never takes a year back that was known when the date was written."""
    then = born + timedelta(days=written)
    noon = datetime.combine(then + timedelta(days=later), time(12), ROME)
    of_age = adult_at(born, ROME)
    first = of_age.astimezone(ROME)
    assert (first.day, first.time()) == (1, time())
    band = band_at(minor_band(born, then), of_age, noon)
    assert AGES.index(minor_band(born, then)) <= AGES.index(band) <= AGES.index(minor_band(born, noon.date()))
    assert AGES.index(band) >= AGES.index(minor_band(born, noon.date() - timedelta(days=31)))


@pytest.mark.parametrize("band", ["adult", "unknown", "something"])
def test_only_minors_have_a_clock(band: str) -> None:
    assert band_at(band, NOW, NOW) == ("adult" if band == "adult" else "unknown")
    assert band_at("under-14", None, at("2999-01-01T00:00:00Z")) == "under-14"
    assert band_at("14-17", None, at("2999-01-01T00:00:00Z")) == "14-17"
