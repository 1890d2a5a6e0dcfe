"""How long what was agreed is kept, which rule decides, and which runs wait for somebody. Pure."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.agreements.retention import Ended, Kept, Rule, kept_by, out_of_proportion, rules_of, verdict

ROME = ZoneInfo("Europe/Rome")
TAX = Rule("agreement-end", "P10Y", ("c.c. 2220",), "legal-obligation")
CLAIM = Rule("claim-closed", "P2Y", ("c.c. 2952",), "legal-claims")
COMPANIONS = {"retail@1": ("legal-obligation@1",), "insurance@1": ("legal-obligation@1",)}
TODAY = date(2034, 3, 1)


def at(year: int, month: int, day: int) -> datetime:
    return datetime(year, month, day, 12, tzinfo=UTC)


def agreement(template: str, ended: datetime | None, *, dormant: bool = False) -> Ended:
    return Ended(f"agr_{template}", template, at(2020, 1, 1), ended, dormant)


DUTY = agreement("legal-obligation@1", None, dormant=True)


def kept(*agreements: Ended, rules: tuple[Rule, ...] = (TAX,)) -> Kept:
    return kept_by(DUTY, rules, [*agreements, DUTY], COMPANIONS, ROME)


@pytest.mark.parametrize(
    ("ended", "until"),
    [
        (at(2024, 2, 29), date(2034, 2, 28)),  # clamped, and not rolled
        (at(2024, 2, 28), date(2034, 2, 28)),
        (datetime(2024, 12, 31, 23, 30, tzinfo=UTC), date(2035, 1, 1)),  # 1 January in Rome
    ],
)
def test_ten_years_from_the_end_to_the_day(ended: datetime, until: date) -> None:
    assert kept(agreement("retail@1", ended)).until == until


def test_a_duty_does_not_run_out_while_what_brought_it_is_in_force() -> None:
    assert kept(agreement("retail@1", at(2024, 1, 1)), agreement("insurance@1", None)).until is None
    assert kept(agreement("retail@1", at(2024, 1, 1)), agreement("marketing@1", None)).until == date(2034, 1, 1)


def test_the_latest_end_and_the_longest_rule_decide_and_are_shown() -> None:
    both = kept(agreement("retail@1", at(2024, 1, 1)), agreement("insurance@1", at(2025, 6, 1)), rules=(CLAIM, TAX))
    assert (both.until, both.rule) == (date(2035, 6, 1), TAX)
    assert kept(agreement("retail@1", at(2024, 1, 1)), rules=(CLAIM,)).until == date(2026, 1, 1)


def test_triggers() -> None:
    ended = (agreement("retail@1", at(2024, 1, 1)), agreement("marketing@1", at(2026, 1, 1)))
    assert kept(*ended, rules=(Rule("relationship-end", "P1Y", (), "x"),)).until == date(2027, 1, 1)
    assert kept(*ended, rules=(Rule("collection", "P1Y", (), "x"),)).until == date(2021, 1, 1)
    open_ = (agreement("retail@1", at(2024, 1, 1)), agreement("marketing@1", None))
    assert kept(*open_, rules=(Rule("relationship-end", "P1Y", (), "x"),)).until is None
    assert kept(rules=(TAX,)).until is None  # nothing tells what brought it
    assert kept(agreement("marketing@1", at(2024, 1, 1))).until is None
    assert kept(*ended, rules=()).until is None


def test_what_is_to_be_done() -> None:
    over, running = Kept("agr_1", "t@1", date(2034, 2, 28), TAX), Kept("agr_2", "t@1", TODAY, TAX)
    ended = [agreement("retail@1", at(2024, 2, 29)), DUTY]
    assert verdict([over], ended, TODAY, ()).due
    assert verdict([over], ended, TODAY, ()).whole
    assert not verdict([over], ended, date(2034, 2, 28), ()).due
    both = verdict([over, running], ended, TODAY, ())
    assert (both.over, both.running, both.whole, both.due) == ((over,), (running,), False, True)
    assert not verdict([running], ended, TODAY, ()).due
    assert not verdict([over], [*ended, agreement("marketing@1", None)], TODAY, ()).whole
    assert verdict([], ended, TODAY, ()).due  # no duty: it ends with its agreement
    assert (verdict([], ended, TODAY, ()).since, verdict([over], ended, TODAY, ()).since) == (date(2024, 3, 1), TODAY)
    assert verdict([running], ended, TODAY, ()).since is None
    assert verdict([], [DUTY], TODAY, ()).since is None
    assert not any(verdict([], nothing, TODAY, ()).due for nothing in ([], [DUTY]))  # nothing has ended
    assert not verdict([over], ended, TODAY, ("legal-hold",)).due
    assert not verdict([Kept("agr_1", "t@1", None, None)], ended, TODAY, ()).due


@given(days=st.integers(0, 33_000), years=st.integers(1, 30))
def test_nothing_is_kept_shorter_or_a_day_longer(days: int, years: int) -> None:
    ended = at(2000, 1, 1) + timedelta(days=days)
    until = kept(agreement("retail@1", ended), rules=(Rule("agreement-end", f"P{years}Y", (), "x"),)).until
    assert until is not None
    day = ended.astimezone(ROME).date()
    exact = day.replace(year=day.year + years) if (day.month, day.day) != (2, 29) else None
    assert until == exact if exact is not None else until - timedelta(days=1) < date(day.year + years, 3, 1)


@pytest.mark.parametrize(
    ("due", "people", "before", "waits"),
    [
        (0, 0, (), False), (5, 100, (), False), (6, 100, (), True), (1, 19, (), True),
        (20, 1000, [10] * 10, False), (21, 1000, [10] * 10, True), (21, 1000, [10] * 9, False),
        (20, 1000, [*[10] * 10, 0], False),
    ],
)  # fmt: skip
def test_what_is_out_of_proportion_waits(due: int, people: int, before: list[int], waits: bool) -> None:
    assert out_of_proportion(due, people, before) is waits


def test_the_rules_of_a_template() -> None:
    document = {"retention": [{"trigger": "agreement-end", "period": "P10Y", "law": ["c.c. 2220"], "code": "legal-obligation"}]}
    assert rules_of(document) == (TAX,)
