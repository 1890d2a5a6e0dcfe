"""A template is spelt out in the pinned vocabulary, every word of it, and nothing is added."""

import pytest

from tests.policy import makers
from vault.agreements.receipts import CONTEXT
from vault.agreements.wording import PREFIXES, Category, Retention, Wording
from vault.policy.bundle import Bundle


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return makers.bundle()


def worded(bundle: Bundle, reference: str, **other: object) -> Wording:
    document = {**bundle.templates[reference], **other}
    return Wording.of(document, bytes(32), bundle.vocabulary, bundle.catalogue, bundle.recipients)


def test_a_consent_in_words(bundle: Bundle) -> None:
    marketing = worded(bundle, "marketing@1")
    assert (marketing.reference, marketing.bases, marketing.consent) == ("marketing@1", ("eu-gdpr:A6-1-a",), True)
    assert marketing.purposes == ("dpv:DirectMarketing",)
    assert marketing.operations == ("dpv:Consult", "dpv:Use", "dpv:Store")
    assert [one.term for one in marketing.categories][:2] == ["pd:Name", "pd:EmailAddress"]
    assert (marketing.validity, marketing.retention, marketing.excluded) == ("P24M", (), ())


def test_a_contract_with_special_data_in_words(bundle: Bundle) -> None:
    health = worded(bundle, "health-insurance@1")
    assert (health.bases, health.consent) == (("eu-gdpr:A6-1-b", "eu-gdpr:A9-2-a"), False)
    by_term = {one.term: one for one in health.categories}
    assert [term for term, one in by_term.items() if one.special] == ["pd:MedicalHealth"]
    assert health.retention[0] == Retention(
        ("pd:Financial", "pd:Identifying", "pd:Contact"), "dpv:LegalCompliance", "agreement-end", "P10Y", ("c.c. 2220",)
    )


def test_sources_are_those_of_the_fields_a_category_reaches(bundle: Bundle) -> None:
    by_term = {one.term: one.sources for one in worded(bundle, "retail@1").categories}
    assert by_term["pd:Contact"] == ("dpv:DataSubjectDataSource",)
    assert by_term["pd:Identifying"] == ("dpv:DataControllerDataSource", "dpv:DataSubjectDataSource")  # the customer number is ours


def test_a_category_without_a_field_comes_from_the_person(bundle: Bundle) -> None:
    assert worded(bundle, "marketing@1", categories=["pd:Tax"], excluded_fields=["vat_number"]).categories == (
        Category("pd:Tax", ("dpv:DataSubjectDataSource",), special=False),
    )


def test_who_works_for_the_controller_is_no_third_party(bundle: Bundle) -> None:
    assert worded(bundle, "health-insurance@1").third_parties == ()
    register = {"recipients": {**bundle.recipients["recipients"], "helpdesk": {"contract": "none"}}}
    document = bundle.templates["marketing@1"]
    assert Wording.of(document, bytes(32), bundle.vocabulary, bundle.catalogue, register).third_parties == ("helpdesk",)


def test_the_prefixes_are_those_of_the_vocabulary(bundle: Bundle) -> None:
    assert bundle.vocabulary["prefixes"].items() <= PREFIXES.items()
    assert PREFIXES.items() <= CONTEXT.items()
