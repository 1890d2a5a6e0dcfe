"""By when a request is answered: to the day, as Reg. 1182/71 counts, whatever weekday, holiday, stop or extension comes between."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.policy.makers import altered, bundle, policy, shipped_text
from vault.policy.bundle import load_bundle
from vault.policy.periods import Alarm, Period, Stop, alarms, counts, due_of, period_in_force, periods_of
from vault.policy.working_days import easter, is_working_day, months_after, working_days_after

MILAN = {(12, 7)}
ROME = ZoneInfo("Europe/Rome")
DAYS = st.dates(date(2018, 5, 25), date(2118, 5, 25))


def period(name: str = "gdpr-12-3") -> Period:
    found = period_in_force(policy().periods, name, date(2026, 11, 1))
    assert found is not None
    return found


def day(text: str) -> date:
    return date.fromisoformat(text)


# --- the days of rights.md 2 ---


@pytest.mark.parametrize(
    ("received", "due"),
    [
        ("2026-03-05", "2026-04-07"),  # Easter on the 5th, Monday the 6th
        ("2026-01-31", "2026-03-02"),  # the 28th is a Saturday
        ("2026-08-31", "2026-09-30"),
        ("2026-03-31", "2026-04-30"),
        ("2028-01-31", "2028-02-29"),
        ("2026-04-01", "2026-05-04"),
        ("2026-05-02", "2026-06-03"),
        ("2026-07-15", "2026-08-17"),
        ("2026-11-25", "2026-12-28"),
        ("2024-09-04", "2024-10-04"),  # not yet a holiday
        ("2027-09-04", "2027-10-05"),  # and now it is
        ("2026-11-06", "2026-12-07"),
    ],
)
def test_a_month_from_receipt_ends_on_a_working_day(received: str, due: str) -> None:
    found = due_of(period(), day(received))
    assert (found.due, found.base_due, found.counted) == (day(due), day(due), 0)


def test_a_patron_saint_only_lengthens() -> None:
    assert due_of(period(), day("2026-11-06"), also=MILAN).due == day("2026-12-09")


def test_the_day_of_receipt_is_the_local_one() -> None:
    received = datetime(2026, 10, 11, 22, 30, tzinfo=UTC).astimezone(ROME).date()
    assert due_of(period(), received).due == day("2026-11-12")


@pytest.mark.parametrize(
    ("received", "which", "due"),
    [("2026-10-12", 0, "2026-12-14"), ("2026-10-12", 1, "2027-01-12"), ("2026-01-31", 1, "2026-04-30")],
)
def test_an_extension_is_counted_from_receipt(received: str, which: int, due: str) -> None:
    assert due_of(period(), day(received), extended=which).due == day(due)


ASKED = Stop(day("2026-10-14"), day("2026-10-23"))


@pytest.mark.parametrize(
    ("stops", "which", "due", "counted"),
    [
        ([ASKED], None, "2026-11-23", 9),
        ([ASKED], 1, "2027-01-21", 9),
        ([ASKED, Stop(day("2026-10-19"), day("2026-10-28"))], None, "2026-11-26", 14),
        ([Stop(day("2026-10-26"), day("2026-10-30"))], None, "2026-11-12", 0),  # asked too late
        ([ASKED, ASKED], None, "2026-11-23", 9),
    ],
)
def test_stops_are_merged_and_move_no_base(stops: list[Stop], which: int | None, due: str, counted: int) -> None:
    found = due_of(period(), day("2026-10-12"), stops, which)
    assert (found.due, found.base_due, found.counted) == (day(due), day("2026-11-12"), counted)


def test_while_somebody_is_asked_the_date_is_open() -> None:
    found = due_of(period(), day("2026-10-12"), [ASKED, Stop(day("2026-10-16"))])
    assert (found.due, found.base_due) == (None, day("2026-11-12"))


def test_of_a_law_without_stops_none_counts() -> None:
    found = due_of(period("dossier-2015"), day("2026-12-11"), [Stop(day("2026-12-12"))])
    assert found.due == day("2026-12-26")


def test_the_health_dossier_is_not_rolled() -> None:
    assert due_of(period("dossier-2015"), day("2026-12-11")).due == day("2026-12-26")
    assert due_of(period("dossier-2015"), day("2026-12-11"), extended=0).due == day("2027-01-10")
    assert due_of(period("onco-193"), day("2026-12-02")).due == day("2027-01-01")


def test_five_working_days_to_ask_in() -> None:
    received = day("2026-10-12")
    assert counts(received, Stop(day("2026-10-19")))
    assert not counts(received, Stop(day("2026-10-20")))
    assert working_days_after(day("2026-12-23"), 2) == day("2026-12-28")


# --- over a hundred years ---


@given(DAYS)
def test_due_is_a_working_day_a_month_or_more_after_receipt(received: date) -> None:
    due = due_of(period(), received).base_due
    assert is_working_day(due)
    assert received + timedelta(days=28) <= due <= received + timedelta(days=31 + 5)


@given(DAYS, st.integers(0, 40))
def test_who_comes_later_is_not_due_earlier(received: date, later: int) -> None:
    assert due_of(period(), received).base_due <= due_of(period(), received + timedelta(days=later)).base_due


@given(DAYS, st.lists(st.tuples(st.integers(0, 10), st.integers(0, 30)), max_size=4), st.sampled_from([None, 0, 1]))
def test_stops_and_extensions_only_lengthen(received: date, stated: list[tuple[int, int]], which: int | None) -> None:
    stops = [Stop(received + timedelta(days=at), received + timedelta(days=at + of)) for at, of in stated]
    found = due_of(period(), received, stops, which)
    assert found.due is not None
    assert found.due >= due_of(period(), received, (), which).due  # type: ignore[operator]  # nothing stops it
    assert found.base_due == due_of(period(), received).base_due
    assert found.counted <= sum(of for _, of in stated)


@given(st.integers(1900, 2199))
def test_easter_is_a_sunday_of_spring(year: int) -> None:
    assert date(year, 3, 22) <= easter(year) <= date(year, 4, 25)
    assert easter(year).weekday() == 6


def test_easter_as_the_almanacs_have_it() -> None:
    """2020 to 2035, and the earliest and latest of their centuries (US Naval Observatory, tables of Easter)."""
    said = "4-12 4-4 4-17 4-9 3-31 4-20 4-5 3-28 4-16 4-1 4-21 4-13 3-28 4-17 4-9 3-25"
    assert [f"{easter(year).month}-{easter(year).day}" for year in range(2020, 2036)] == said.split()
    assert (easter(2285), easter(2038), easter(1818)) == (date(2285, 3, 22), date(2038, 4, 25), date(1818, 3, 22))


def test_working_days_of_a_year() -> None:
    year = [date(2026, 1, 1) + timedelta(days=number) for number in range(365)]
    off = [one for one in year if one.weekday() < 5 and not is_working_day(one)]
    assert [f"{one:%m-%d}" for one in off] == ["01-01", "01-06", "04-06", "05-01", "06-02", "12-08", "12-25"]


def test_months_are_clamped() -> None:
    assert months_after(day("2026-12-31"), 2) == day("2027-02-28")
    assert months_after(day("2027-12-31"), 14) == day("2029-02-28")


# --- alarms ---


@pytest.mark.parametrize(
    ("today", "come"),
    [
        ("2026-10-27", ()),
        ("2026-10-28", ("half",)),
        ("2026-11-05", ("half", "three-quarters")),
        ("2026-11-09", ("half", "three-quarters", "nine-tenths", "three-days")),
        ("2026-11-12", ("half", "three-quarters", "nine-tenths", "three-days")),
        ("2026-11-13", ("half", "three-quarters", "nine-tenths", "three-days", "overdue")),
    ],
)
def test_alarms_come_before_the_date_does(today: str, come: tuple[Alarm, ...]) -> None:
    assert alarms(day("2026-10-12"), day("2026-11-12"), day(today)) == come


# --- the document ---


def test_a_law_that_is_only_proposed_is_never_selected() -> None:
    one = period()
    assert period_in_force([replace(one, version=2, in_force=False), one], one.name, day("2026-01-01")) == one
    assert period_in_force([one], one.name, day("2018-05-24")) is None
    assert (one.reference, period_in_force([one], "nothing", day("2026-01-01"))) == ("gdpr-12-3@1", None)


UNFIT: list[dict[str, Any]] = [
    {"law": 7}, {"status": "soon"}, {"counsel": "no"}, {"rolls": 1}, {"stops": None}, {"extended": {}}, {"valid_from": "soon"},
    {"valid_from": None}, {"period": {}}, {"period": {"months": 1, "days": 1}}, {"period": {"weeks": 1}}, {"period": {"days": 0}},
    {"period": {"days": True}}, {"period": []}, {"extended": [{"months": "2"}]}, {"more": 1},
]  # fmt: skip


@pytest.mark.parametrize("change", UNFIT)
def test_what_is_unfit_is_named(change: dict[str, Any]) -> None:
    document = yaml.safe_load(shipped_text("regimes.yaml"))
    document["requests"]["gdpr-12-3@1"] |= change
    with pytest.raises(ValueError, match=r"^gdpr-12-3@1: "):
        periods_of(document)


@pytest.mark.parametrize("document", [{"requests": []}, {"requests": {"x": {}}}, {"requests": {5: {}}}, {"requests": {"x@1": 1}}])
def test_what_is_no_period_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^\S+: (is|are) no period"):
        periods_of(document)


def test_a_bundle_with_an_unfit_period_is_refused(tmp_path: Path) -> None:
    unfit = shipped_text("regimes.yaml").replace("period: {months: 1}", "period: {months: -1}", 1)
    with pytest.raises(ValueError, match=r"regimes\.yaml: gdpr-12-3@1"):
        load_bundle(altered(tmp_path, {"regimes.yaml": unfit}))


def test_a_bundle_from_before_there_were_periods_has_none() -> None:
    files = {path: octets for path, octets in bundle().files.items() if path not in ("regimes.yaml", "refusals.yaml")}
    old = replace(bundle(), files=files)
    assert (old.periods, old.refusals, periods_of({})) == ((), {}, ())
