from collections import Counter
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from vault.profiles.catalogue import Catalogue, names_card_secret

POLICIES = Path(__file__).parents[2] / "policies"


def read(name: str) -> dict[str, Any]:
    return yaml.safe_load((POLICIES / name).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return read("catalogue.yaml")


@pytest.fixture(scope="module")
def catalogue(document) -> Catalogue:
    return Catalogue.of(document)


def test_the_shipped_catalogue_has_its_38_fields_and_four_classes(catalogue):
    assert len(catalogue.fields) == 38
    assert catalogue.classes == ("contact", "financial", "special", "attachment")
    assert Counter(field.class_name for field in catalogue.fields.values()) == {
        "contact": 16,
        "financial": 13,
        "special": 7,
        "attachment": 2,
    }


def test_what_is_never_shown_is_marked_by_hand(catalogue):
    fields = catalogue.fields.values()
    assert {field.name for field in fields if not field.clear_allowed} == {"card", "verification_phrase"}
    assert {field.name for field in fields if field.never_to_subject} == {"aml_note"}
    assert {field.name for field in fields if field.time_barred} == {"oncology_history"}
    assert {field.name for field in fields if field.unique} == {"customer_number"}


def test_the_blind_indexes_are_these_and_the_phones_share_one(catalogue):
    found = {field.name: field.index for field in catalogue.fields.values() if field.search == "exact"}
    assert found == {
        "customer_number": "customer_number",
        "email": "email",
        "mobile": "phone",
        "phone": "phone",
        "tax_code": "tax_code",
        "vat_number": "vat_number",
        "iban": "iban",
        "contract_number": "contract_number",
        "policy_number": "policy_number",
    }


def test_a_caller_can_be_verified_by_these_fields_only(catalogue):
    kinds = {field.name: field.verify for field in catalogue.fields.values() if field.verify != "none"}
    assert kinds == {
        **dict.fromkeys(("customer_number", "contract_number", "policy_number"), "relation"),
        **dict.fromkeys(("date_of_birth", "birth_place", "email", "mobile", "phone", "address"), "civil"),
        "verification_phrase": "phrase",
    }


def test_a_field_cannot_be_changed_after_loading(catalogue):
    with pytest.raises(TypeError):
        catalogue.fields["email"] = None
    with pytest.raises(TypeError):
        catalogue.fields["email"].labels["it"] = ""
    with pytest.raises(AttributeError):
        catalogue.fields["email"].special = True


@pytest.mark.parametrize(
    ("field", "change", "fault"),
    [
        ("health_note", {"special": False}, "class special holds special data"),
        ("email", {"special": True}, "class special holds special data"),
        ("health_card_number", {"search": "exact", "index": "health_card"}, "not looked up"),
        ("date_of_birth", {"search": "exact", "index": "birth"}, "not looked up"),
        ("gender", {"search": "exact", "index": "gender"}, "not looked up"),
        ("address", {"search": "exact", "index": "address"}, "not looked up"),
        ("card", {"search": "exact", "index": "card"}, "not looked up"),
        ("iban", {"index": None}, "go together"),
        ("iban", {"index": "phone"}, "two types"),
        ("iban", {"index": "I B"}, "index is not a name"),
        ("balance", {"unique": True}, "unique needs an index"),
        ("card", {"clear": "allowed"}, "never shown in clear"),
        ("iban", {"type": "bic"}, "type is not one of its list"),
        ("iban", {"sensitivity": 5}, "sensitivity is not one of its list"),
        ("iban", {"clear": "sometimes"}, "clear is not one of its list"),
        ("iban", {"special": "no"}, "special is not true or false"),
        ("iban", {"class": "secret"}, "unknown class"),
        ("iban", {"category": "IBAN"}, "category is not a term"),
        ("iban", {"masks": ["last4", "last4"]}, "masks are not names"),
        ("iban", {"labels": {"it": "IBAN"}}, "both languages"),
        ("iban", {"labels": {"it": "IBAN", "en": ""}}, "both languages"),
        ("iban", {"colour": "red"}, "members differ: colour"),
        ("iban", {"values": {}}, "codes, and only codes"),
        ("gender", {"values": {"F!": {"it": "F", "en": "F"}}}, "a value is not a code"),
        ("gender", {"values": {"f": {"it": "F"}}}, "labels of a value"),
    ],
)
def test_a_wrong_entry_is_refused_by_name_and_rule(document, field, change, fault):
    changed = deepcopy(document)
    changed["fields"][field].update(change)
    with pytest.raises(ValueError, match=fault):
        Catalogue.of(changed)


@pytest.mark.parametrize("name", ["cvv", "cvc", "cvv2", "cid", "pin", "track_data", "card_pin", "track2"])
def test_card_verification_codes_have_no_field(document, name):
    changed = deepcopy(document)
    changed["fields"][name] = deepcopy(changed["fields"]["contact_hours"])
    with pytest.raises(ValueError, match=f"{name}: card verification codes"):
        Catalogue.of(changed)


def test_a_name_that_is_none_and_a_document_of_another_schema_are_refused(document):
    with pytest.raises(ValueError, match="not a field name"):
        Catalogue.of({**document, "fields": {"E-mail": document["fields"]["email"]}})
    with pytest.raises(ValueError, match="riserbo-catalogue/1"):
        Catalogue.of({**document, "schema": "riserbo-catalogue/2"})
    with pytest.raises(ValueError, match="riserbo-catalogue/1"):
        Catalogue.of({})


@pytest.mark.parametrize(
    "name", ["CVV", "CodiceCVV", "Codice CVC", "CVVcode", "card-cid", "PIN", "Track 1", "Codice di sicurezza", "Security code"]
)
def test_a_column_named_after_a_card_secret_is_known_however_it_is_spelt(name):
    assert names_card_secret(name)


@pytest.mark.parametrize(
    "name", ["given_name", "Pineta", "opinione", "decide", "incidente", "Codice fiscale", "city", "Spinta", ""]
)
def test_words_that_only_contain_the_letters_pass(name):
    assert not names_card_secret(name)


# --- the vocabulary the catalogue points into -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def vocabulary() -> dict[str, Any]:
    return read("vocabulary.yaml")


def reached(vocabulary: dict[str, Any], term: str) -> set[str]:
    above = set(vocabulary["categories"][term]["broader"])
    return above.union(*(reached(vocabulary, one) for one in above))


def test_every_category_is_a_term_and_every_mask_fits_its_type(catalogue, vocabulary):
    masks = read("masks.yaml")["masks"]
    for field in catalogue.fields.values():
        assert field.category in vocabulary["categories"]
        assert all(field.type in masks[mask]["types"] for mask in field.masks)
        assert [masks[mask]["strength"] for mask in field.masks] == sorted(masks[mask]["strength"] for mask in field.masks)


def test_every_term_has_its_full_iri_and_no_two_share_one(vocabulary):
    prefixes = vocabulary["prefixes"]
    parts = ("purposes", "operations", "bases", "conditions")
    terms = [(entry["term"], entry["iri"]) for part in parts for entry in vocabulary[part].values()]
    terms += [(term, entry["iri"]) for term, entry in vocabulary["categories"].items()]
    for term, iri in terms:
        prefix, _, local = term.partition(":")
        assert iri == prefixes[prefix] + local
    assert len({iri for _, iri in terms}) == len(terms)


def test_every_edge_leads_to_a_term_of_the_file(vocabulary):
    for part in ("purposes", "categories"):
        assert all(broader in vocabulary[part] for entry in vocabulary[part].values() for broader in entry["broader"])


def test_the_edges_of_purposes_are_these_three(vocabulary):
    assert {name: entry["broader"] for name, entry in vocabulary["purposes"].items() if entry["broader"]} == {
        "customer-care": ["customer-management"],
        "claims": ["customer-management"],
        "care-messages": ["customer-care"],
    }


def test_special_fields_reach_special_data_and_no_other_field_does(catalogue, vocabulary):
    for field in catalogue.fields.values():
        special = "dpv:SpecialCategoryPersonalData" in reached(vocabulary, field.category)
        assert special == field.special


def test_health_and_contact_data_do_not_identify_and_a_contract_number_is_no_account_number(vocabulary):
    for term in ("pd:EmailAddress", "pd:TelephoneNumber", "pd:HealthRecord", "pd:BirthDate"):
        assert "pd:Identifying" not in reached(vocabulary, term)
    assert "pd:AccountIdentifier" not in reached(vocabulary, "vault:ContractNumber")
    assert "pd:AccountIdentifier" in reached(vocabulary, "vault:IBAN")


def test_the_european_economic_area_is_our_own_list_of_thirty_without_the_united_kingdom(vocabulary):
    states = vocabulary["regions"]["EEA"]["states"]
    assert len(states) == len(set(states)) == 30
    assert "GB" not in states
    assert {"IT", "IS", "LI", "NO"} <= set(states)
    assert not set(states) & set(vocabulary["regions"]["ADEQUATE"]["states"])
