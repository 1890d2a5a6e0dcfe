"""What is exported and what is withheld: each field of the catalogue once, portable what the law says."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from vault.exports.contents import (
    COLUMNS,
    REASONS,
    SECRET,
    THIRD_PARTY,
    UNOPENABLE,
    Answered,
    Contents,
    Described,
    Ground,
    as_portable,
    is_portable,
    sorted_out,
)
from vault.profiles.catalogue import Catalogue

CATALOGUE = Catalogue.of(yaml.safe_load((Path(__file__).parents[2] / "policies" / "catalogue.yaml").read_text()))
DESCRIBED = [Described(one.name, one.category, one.origin, one.labels, one.never_to_subject) for one in CATALOGUE.fields.values()]
REASON_OF = {"support_note": THIRD_PARTY, "verification_phrase": SECRET}
STATES = ("clear", "masked", "token", "withheld", "absent")


def exported(answers: dict[str, Answered], **grounds: Ground) -> Contents:
    return sorted_out(DESCRIBED, answers, grounds, REASON_OF)


def everything(state: str = "clear", **more: Any) -> dict[str, Answered]:
    return {one.name: Answered(state, held=True, because="rights-own-data", value="x", **more) for one in DESCRIBED}


def test_a_field_that_was_forgotten_is_an_error() -> None:
    for one in DESCRIBED:
        answers = everything()
        del answers[one.name]
        with pytest.raises(ValueError, match=one.name):
            exported(answers)


@given(st.lists(st.tuples(st.sampled_from(STATES), st.booleans()), min_size=len(DESCRIBED), max_size=len(DESCRIBED)))
def test_every_field_with_a_value_is_in_one_list_once(drawn: list[tuple[str, bool]]) -> None:
    answers = {
        one.name: Answered(state, held=held and state != "absent", because="x")
        for one, (state, held) in zip(DESCRIBED, drawn, strict=True)
    }
    made = exported(answers)
    named = [one["field"] for one in (*made.profile, *made.withheld)]
    held = [one.name for one in DESCRIBED if answers[one.name].held and not one.kept_back]
    assert sorted(named) == sorted(held)
    assert all(answers[one["field"]].state in ("clear", "masked") for one in made.profile)
    assert all(one in made.profile for one in made.portable)


@pytest.mark.parametrize("state", STATES)
def test_what_the_law_keeps_from_the_person_is_nowhere(state: str) -> None:
    made = exported(everything(state))
    assert "aml_note" not in {one["field"] for one in (*made.profile, *made.portable, *made.withheld)}


def test_what_is_withheld_says_why_in_both_languages() -> None:
    told = {one["field"]: one for one in exported(everything("withheld")).withheld}
    assert (told["support_note"]["code"], told["verification_phrase"]["code"]) == ("third-party-rights", "secret")
    assert told["email"]["code"] == UNOPENABLE.code
    assert all(one["it"] and one["en"] and one["law"] for one in told.values())
    assert len({one.code for one in REASONS}) == len(REASONS)


@pytest.mark.parametrize(
    ("origin", "basis", "state", "portable"),
    [
        ("provided", "consent", "clear", True),
        ("provided", "contract", "clear", True),
        ("observed", "contract", "clear", True),
        ("derived", "consent", "clear", False),
        ("third-party", "contract", "clear", False),
        ("provided", "legal_obligation", "clear", False),
        ("provided", "legitimate_interest", "clear", False),
        ("provided", "vital_interest", "clear", False),
        ("provided", None, "clear", False),
        ("provided", "contract", "masked", False),
    ],
)
def test_portable_is_what_was_provided_or_observed_on_consent_or_contract(
    origin: str, basis: str | None, state: str, portable: bool
) -> None:
    assert is_portable(origin, basis, state) is portable


def test_derived_and_third_party_data_are_in_the_access_set_alone() -> None:
    made = exported(everything(agreement_id="a"), a=Ground("contract", ("dpv:PaymentManagement",), "2027-01-01"))
    portable = {one["field"] for one in made.portable}
    for one in DESCRIBED:
        assert (one.name in portable) == (one.origin in ("provided", "observed") and not one.kept_back), one.name


def test_a_value_says_what_the_format_says_it_says() -> None:
    answers = everything() | {"email": Answered("masked", True, "x", "a•••@b.it", "email_domain", "a", contested=True)}
    told = next(one for one in exported(answers, a=Ground("consent", ("dpv:DirectMarketing",))).profile if one["field"] == "email")
    assert tuple(told) == COLUMNS
    assert (told["purposes"], told["accuracy"], told["kept_until"]) == (["dpv:DirectMarketing"], "contested", None)
    other = next(one for one in exported(everything()).profile if one["field"] == "email")
    assert (other["purposes"], other["accuracy"]) == ([], "accepted")


def test_a_value_from_others_says_where_it_is_from_and_is_not_portable() -> None:
    answers = everything(agreement_id="a")
    answers["email"] = Answered("clear", True, "x", "a@b.it", None, "a", False, "agency", "2026-01-31T10:00:00Z")
    made = exported(answers, a=Ground("contract", ()))
    told = next(one for one in made.profile if one["field"] == "email")
    assert (told["origin"], told["source"], told["collected_at"]) == ("third-party", "agency", "2026-01-31T10:00:00Z")
    assert "email" not in {one["field"] for one in made.portable}


def test_the_portable_subset_says_what_it_leaves_out() -> None:
    made = exported(everything(agreement_id="a"), a=Ground("contract", ()))
    subset = as_portable(made)
    assert subset.profile == subset.portable == made.portable
    assert sorted(one["field"] for one in (*subset.profile, *subset.withheld)) == sorted(one["field"] for one in made.profile)
    assert {one["field"]: one["code"] for one in subset.withheld}["credit_score"] == "not-portable"


def test_no_value_is_printed() -> None:
    assert "x-canary" not in repr(Answered("clear", True, "x", "x-canary"))
    assert "x-canary" not in repr(Contents([{"value": "x-canary"}], [{"value": "x-canary"}], []))
