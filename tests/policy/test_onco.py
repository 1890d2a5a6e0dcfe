"""From when an old cancer is barred: vectors of the law, calendar years, and the shortest term that fits."""

from copy import deepcopy
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.policy.makers import altered, bundle, shipped_text
from vault.policy.bundle import load_bundle
from vault.policy.model import Treatment
from vault.policy.onco import barred_from, onco_terms_of, treatment_faults

TODAY = date(2026, 11, 23)
DOCUMENT: dict[str, Any] = yaml.safe_load(shipped_text("onco_terms.yaml"))
TERMS = onco_terms_of(DOCUMENT)


@pytest.mark.parametrize(
    ("said", "day"),
    [
        (Treatment(date(2017, 3, 1)), date(2027, 3, 1)),
        (Treatment(date(2016, 11, 23)), TODAY),
        (Treatment(date(2020, 2, 29), before_21=True), date(2025, 2, 28)),  # clamped
        (Treatment(date(2026, 1, 31), kind="testis"), date(2027, 1, 31)),
        (Treatment(date(2026, 1, 31), before_21=True, kind="colorectal-stage-2-3-from-21"), date(2031, 1, 31)),
        (Treatment(None), None),
        (Treatment(None, before_21=True, kind="testis"), None),
        (None, date(2036, 11, 23)),  # nothing is said: it ended today at the latest
    ],
)
def test_from_which_day(said: Treatment | None, day: date | None) -> None:
    assert barred_from(TERMS, said, TODAY) == day


@given(ended=st.dates(date(1950, 1, 1), TODAY), young=st.booleans(), kind=st.none() | st.sampled_from(sorted(TERMS.kinds)))
def test_nothing_outlasts_ten_years_and_more_said_never_lengthens(ended: date, young: bool, kind: str | None) -> None:
    said = Treatment(ended, before_21=young, kind=kind)
    day, plain = barred_from(TERMS, said, TODAY), barred_from(TERMS, Treatment(ended), TODAY)
    assert day is not None
    assert plain is not None
    assert ended < day <= plain
    assert plain.year == ended.year + 10


def test_what_is_said_must_be_possible() -> None:
    wrong = Treatment(date(2026, 11, 24), kind="plague")
    assert [(one.pointer, one.code) for one in treatment_faults(TERMS, wrong, TODAY)] == [
        ("/treatment/kind", "treatment.unknown"), ("/treatment/ended_on", "date.ahead"),
    ]  # fmt: skip
    assert list(treatment_faults(TERMS, Treatment(None), TODAY)) == []
    assert list(treatment_faults(TERMS, replace(wrong, ended_on=TODAY, kind="testis"), TODAY)) == []


@pytest.mark.parametrize("years", [0, 11, "10", True, None])
@pytest.mark.parametrize("name", ["years", "years_before_21", "testis"])
def test_terms_that_are_none_are_refused(name: str, years: object) -> None:
    unfit = deepcopy(DOCUMENT)
    (unfit["kinds"] if name == "testis" else unfit)[name] = years
    with pytest.raises(ValueError, match=name):
        onco_terms_of(unfit)


@pytest.mark.parametrize("unfit", [{}, {**DOCUMENT, "more": 1}, {**DOCUMENT, "kinds": ["testis"]}])
def test_another_shape_is_refused(unfit: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="members"):
        onco_terms_of(unfit)


def test_a_bundle_with_unfit_terms_is_none_and_one_from_before_has_none(tmp_path: Path) -> None:
    unfit = shipped_text("onco_terms.yaml").replace("years: 10", "years: 12", 1)
    with pytest.raises(ValueError, match=r"onco_terms\.yaml: years"):
        load_bundle(altered(tmp_path, {"onco_terms.yaml": unfit}))
    files = {path: octets for path, octets in bundle().files.items() if path != "onco_terms.yaml"}
    assert replace(bundle(), files=files).onco_terms is None
    assert bundle().onco_terms == TERMS
