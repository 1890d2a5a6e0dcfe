"""What Art. 15 asks to be told, and to whom data went."""

from typing import Any

import pytest

from vault.exports.processing import Agreed, Party, Recipients, processing

PARTIES = {
    "controller": Party({"it": "Il titolare", "en": "The controller"}, "none"),
    "helpdesk": Party({"it": "L'assistenza", "en": "The helpdesk"}, "none"),
    "printer": Party({"it": "La stampa", "en": "The printer"}, "A46-2-c"),
}
RETAIL = Agreed(
    "agr-1", "retail@1", "in_force", ["eu-gdpr:A6-1-b"], ["dpv:PaymentManagement"], ["pd:Name"], ["controller", "printer"], ["EEA"],
    "open", [{"period": "P10Y", "law": ["c.c. 2220"]}],
)  # fmt: skip
VALUES: list[dict[str, Any]] = [
    {"field": "email", "category": "pd:EmailAddress", "origin": "provided", "source": None},
    {"field": "credit_score", "category": "pd:CreditScore", "origin": "derived", "source": None},
    {"field": "mobile", "category": "pd:EmailAddress", "origin": "third-party", "source": "agency"},
]


def told(jurisdiction: str = "IT") -> dict[str, Any]:
    return processing({"name": "ACME", "contact": "DPO"}, jurisdiction, [RETAIL], PARTIES, VALUES)


def test_every_letter_of_the_article_is_answered() -> None:
    letters = {one["law"] for one in told().values() if isinstance(one, dict) and "law" in one}
    assert letters == {*(f"GDPR 15(1)({letter})" for letter in "abcdefgh"), "GDPR 15(2)"}


def test_each_answer_is_drawn_from_what_is_held() -> None:
    said = told()
    assert said["categories"]["categories"] == ["pd:EmailAddress", "pd:CreditScore"]
    assert [one["recipient"] for one in said["recipients"]["named_in_agreements"]] == ["controller", "printer"]
    assert said["storage"]["periods"][0]["kept"] == [{"period": "P10Y", "law": ["c.c. 2220"]}]
    assert [one["field"] for one in said["sources"]["sources"]] == ["credit_score", "mobile"]
    assert said["automated_decisions"]["derived_fields"] == ["credit_score"]
    assert said["transfers"]["safeguards"] == [{"recipient": "printer", "tool": "A46-2-c"}]
    assert said["complaint"]["authority"]["url"] == "https://www.garanteprivacy.it"
    assert told("FR")["complaint"]["authority"] is None


def test_recipients_are_those_who_were_shown_something() -> None:
    met = Recipients()
    met.add("helpdesk", ["email"], "2026-10-02", ())
    met.add("helpdesk", ["mobile", "aml_note"], "2026-09", {"aml_note"})
    met.add("printer", ["email"], "2026-10-03", ())
    met.add("", [], "2026-10-04", ())
    shown = met.told({"helpdesk": PARTIES["helpdesk"]}, {"email": "pd:EmailAddress"})
    assert shown == [
        {
            "recipient": "helpdesk", "it": "L'assistenza", "en": "The helpdesk", "first": "2026-09", "last": "2026-10-02",
            "times": 2, "fields": ["email", "mobile"], "categories": ["pd:EmailAddress"],
        },
        {
            "recipient": "printer", "first": "2026-10-03", "last": "2026-10-03", "times": 1, "fields": ["email"],
            "categories": ["pd:EmailAddress"],
        },
    ]  # fmt: skip


@pytest.mark.parametrize("kept_back", [{"aml_note"}])
def test_an_access_to_what_is_kept_from_the_person_is_no_disclosure_they_hear_of(kept_back: set[str]) -> None:
    met = Recipients()
    met.add("helpdesk", ["aml_note"], "2026-10-02", kept_back)
    assert met.told(PARTIES, {}) == []
