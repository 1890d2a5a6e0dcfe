"""Regimes: the shipped ones are those of the law, and the instants they make are right over clock changes and short months."""

from copy import deepcopy
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
from vault.policy.regimes import Regime, Step, deadlines, due_at, regimes_of, selected

ROME = ZoneInfo("Europe/Rome")
DOCUMENT: dict[str, Any] = yaml.safe_load(shipped_text("regimes.yaml"))
TODAY = date(2026, 11, 22)
AWARE = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)


def regime(name: str, on: date = TODAY) -> Regime:
    found = selected(policy().regimes, name, on)
    assert found is not None
    return found


def clocks(of: Regime, **known: datetime) -> dict[tuple[str, str], datetime]:
    return {(one.notice, one.since): one.due_at for one in deadlines(of, known, ROME)}


@pytest.mark.parametrize(
    ("aware", "due"),
    [
        ("2026-03-27T18:30+01:00", "2026-03-30T19:30+02:00"),
        ("2026-10-23T09:05+02:00", "2026-10-26T08:05+01:00"),
        ("2026-11-20T09:05+01:00", "2026-11-23T09:05+01:00"),  # over a Sunday: it does not roll
        ("2026-12-24T12:00+01:00", "2026-12-27T12:00+01:00"),  # over Christmas, to a Sunday
        ("2028-02-27T23:59+01:00", "2028-03-01T23:59+01:00"),
    ],
)
def test_seventy_two_hours_are_seventy_two_hours(aware: str, due: str) -> None:
    """The first two are rows of the table of deadlines: over both changes of the clocks."""
    found = clocks(regime("breach-gdpr"), aware=datetime.fromisoformat(aware))
    assert found == {("initial", "aware"): datetime.fromisoformat(due)}
    assert all(one.tzinfo is UTC for one in found.values())


@given(at=st.datetimes(datetime(2018, 5, 25), datetime(2090, 1, 1), timezones=st.just(ROME)))  # noqa: DTZ001 - bounds are naive
def test_the_clock_of_the_gdpr_never_rolls_and_never_shrinks(at: datetime) -> None:
    (due,) = clocks(regime("breach-gdpr"), aware=at).values()
    assert due - at.astimezone(UTC) == timedelta(hours=72)


def test_dora_has_two_clocks_for_its_first_notice_and_the_earlier_counts_once_it_runs() -> None:
    dora = regime("breach-dora")
    assert clocks(dora, aware=AWARE) == {("initial", "aware"): AWARE + timedelta(hours=24)}
    classified = AWARE + timedelta(hours=2)
    assert clocks(dora, aware=AWARE, classified=classified) == {
        ("initial", "aware"): AWARE + timedelta(hours=24),
        ("initial", "classified"): AWARE + timedelta(hours=6),
    }


def test_dora_goes_on_from_what_was_sent() -> None:
    sent = datetime(2026, 1, 31, 15, tzinfo=UTC)
    found = clocks(regime("breach-dora"), aware=AWARE, initial=sent - timedelta(hours=72), intermediate=sent)
    assert found["intermediate", "initial"] == sent
    assert found["final", "intermediate"] == datetime(2026, 2, 28, 22, 59, 59, 999_999, tzinfo=UTC)  # a Saturday: it does not roll


def test_nis2_in_italy() -> None:
    sent = AWARE + timedelta(hours=70)
    assert clocks(regime("breach-nis2-it"), aware=AWARE, notification=sent) == {
        ("early-warning", "aware"): AWARE + timedelta(hours=24),
        ("notification", "aware"): AWARE + timedelta(hours=72),
        ("final", "notification"): datetime(2026, 12, 25, 22, 59, 59, 999_999, tzinfo=UTC),  # Christmas: it does not roll
    }


@pytest.mark.parametrize(
    ("since", "months", "due"),
    [
        ("2026-08-31T10:00+02:00", 1, "2026-09-30"),
        ("2028-01-31T10:00+01:00", 1, "2028-02-29"),
        ("2026-12-15T10:00+01:00", 1, "2027-01-15"),
        ("2026-10-11T22:30+00:00", 1, "2026-11-12"),  # it is the 12th in Rome
        ("2026-02-28T10:00+01:00", 1, "2026-03-28"),
        ("2026-11-30T10:00+01:00", 15, "2028-02-29"),
    ],
)
def test_a_month_ends_with_the_local_day(since: str, months: int, due: str) -> None:
    found = due_at(Step("final", "aware", 0, months), datetime.fromisoformat(since), ROME).astimezone(ROME)
    assert found.isoformat() == f"{due}T23:59:59.999999{found.isoformat()[-6:]}"


def test_a_proposal_is_never_selected_and_a_newer_law_is_from_its_day() -> None:
    regimes = policy().regimes
    proposed = next(one for one in regimes if one.reference == "breach-gdpr@2")
    assert not proposed.in_force
    assert proposed.steps[0].hours == 96
    assert regime("breach-gdpr", date(2090, 1, 1)).reference == "breach-gdpr@1"
    adopted = [one for one in regimes if one is not proposed] + [replace(proposed, in_force=True)]
    picked = {on: selected(adopted, "breach-gdpr", on) for on in (date(2026, 12, 31), date(2027, 1, 1))}
    assert [one.version for one in picked.values() if one] == [1, 2]
    assert selected(regimes, "breach-gdpr", date(2018, 5, 24)) is None
    assert selected(regimes, "breach-of-nothing", TODAY) is None


def test_only_the_gdpr_asks_for_nothing_where_a_risk_is_unlikely() -> None:
    assert [regime(f"breach-{one}").needed_if_unlikely for one in ("gdpr", "dora", "nis2-it")] == [False, True, True]
    assert [regime(f"breach-{one}").counsel for one in ("gdpr", "dora", "nis2-it")] == [False, True, True]


STEP = {"notice": "initial", "from": "aware", "hours": 72}


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"law": 5}, "law or counsel"),
        ({"counsel": "no"}, "law or counsel"),
        ({"status": "draft"}, "of no list"),
        ({"unlikely": "perhaps"}, "of no list"),
        ({"valid_from": "2026-02-30"}, "no date"),
        ({"valid_from": 5}, "no date"),
        ({"notices": []}, "missing"),
        ({"notices": "initial"}, "missing"),
        ({"notices": [5]}, "missing"),
        ({"steps": []}, "missing"),
        ({"steps": {}}, "missing"),
        ({"steps": [5]}, "a step names"),
        ({"steps": [{**STEP, "notice": "last"}]}, "a step names"),
        ({"steps": [{**STEP, "from": "noon"}]}, "a step names"),
        ({"steps": [{**STEP, "hours": 0}]}, "a step names"),
        ({"steps": [{**STEP, "hours": True}]}, "a step names"),
        ({"steps": [{**STEP, "months": 1}]}, "a step names"),
        ({"steps": [{"notice": "initial", "from": "aware"}]}, "a step names"),
        ({"more": 1}, "is no regime"),
    ],
)
def test_a_regime_that_is_none_is_refused(change: dict[str, Any], what: str) -> None:
    document = deepcopy(DOCUMENT)
    document["regimes"]["breach-gdpr@1"] |= change
    with pytest.raises(ValueError, match=what):
        regimes_of(document)


@pytest.mark.parametrize("document", [{}, {"regimes": []}, {"regimes": {}}, {"regimes": {"x": {}}}, {"regimes": {5: {}}}])
def test_a_document_that_is_none_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no regime"):
        regimes_of(document)


def test_the_lint_finds_a_regime_that_is_none(tmp_path: Path) -> None:
    unfit = shipped_text("regimes.yaml").replace("hours: 72", "hours: -72", 1)
    with pytest.raises(ValueError, match=r"regimes\.yaml: breach-gdpr@1: a step names"):
        load_bundle(altered(tmp_path, {"regimes.yaml": unfit}))


def test_a_bundle_from_before_there_were_regimes_has_none() -> None:
    files = {path: octets for path, octets in bundle().files.items() if path != "regimes.yaml"}
    assert replace(bundle(), files=files).regimes == ()
