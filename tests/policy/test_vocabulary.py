"""The pinned vocabulary: these terms, these edges, and each trap of the source that would widen or narrow policy."""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.policy.makers import altered, bundle, shipped_text, situation
from vault.policy.bundle import load_bundle
from vault.policy.engine import Policy
from vault.policy.lexicon import closure

WORDS = bundle().vocabulary

# Transcribed by hand from DPV 2.3, with our own terms (`vault:`): every imported edge, and no other.
PURPOSES = {"customer-care": "customer-management", "claims": "customer-management", "care-messages": "customer-care"}
CATEGORIES = """
pd:Name pd:UID pd:OfficialID > pd:Identifying
pd:Passport vault:CodiceFiscale > pd:OfficialID
pd:BirthDate pd:BirthPlace pd:Gender > vault:CivilStatus
pd:EmailAddress pd:TelephoneNumber pd:PhysicalAddress > pd:Contact
vault:IBAN > pd:FinancialAccountNumber
pd:FinancialAccountNumber pd:PaymentCardNumber > pd:AccountIdentifier
pd:AccountIdentifier pd:BankAccount > pd:FinancialAccount
pd:FinancialAccount pd:Transactional pd:Insurance pd:FinancialStatus vault:ContractNumber vault:SuspicionReport > pd:Financial
pd:Income pd:CreditScore pd:Tax > pd:Transactional
vault:VatNumber > pd:Tax
vault:OncologyHistory > pd:HealthHistory
pd:HealthRecord pd:HealthHistory pd:Disability vault:HealthCardNumber > pd:MedicalHealth
pd:MedicalHealth pd:TradeUnionMembership > dpv:SpecialCategoryPersonalData
pd:PrivacyPreference > pd:Preference
"""


def only_these_edges(words: Mapping[str, Any]) -> None:
    assert {name: one["broader"] for name, one in words["purposes"].items() if one["broader"]} == {
        k: [v] for k, v in PURPOSES.items()
    }
    edges = {term: [line.split(" > ")[1]] for line in CATEGORIES.strip().splitlines() for term in line.split(" > ")[0].split()}
    assert {name: one["broader"] for name, one in words["categories"].items() if one["broader"]} == edges


def only_these_states(words: Mapping[str, Any]) -> None:
    assert len(set(words["regions"]["EEA"]["states"])) == 30
    assert not {"GB", "UK", "CH"} & set(words["regions"]["EEA"]["states"])
    assert not set(words["regions"]["EEA"]["states"]) & set(words["regions"]["ADEQUATE"]["states"])


def test_these_are_all_the_edges() -> None:
    only_these_edges(WORDS)


# Edges that DPV 2.3 has, or that its names invite one to guess, and what each would do.
TRAPS = {
    "biometric data would pass as a name": ("categories", "pd:Biometric", "pd:Identifying"),
    "contact data would be tracking": ("categories", "pd:Contact", "pd:Tracking"),
    "service would cover selling data": ("purposes", "service", "customer-management"),
    "marketing would cover political campaigns": ("purposes", "political-campaign", "marketing"),
    "rights would stand under a legal basis": ("purposes", "rights-fulfilment", "legal-compliance"),
    "a contract number would be an account's": ("categories", "vault:ContractNumber", "pd:AccountIdentifier"),
    "health would be above what it is below": ("categories", "pd:MedicalHealth", "pd:Health"),
    "a birth date would identify": ("categories", "pd:BirthDate", "pd:Identifying"),
    "a birth date would be a characteristic": ("categories", "pd:BirthDate", "pd:PhysicalCharacteristic"),
    "claims would be customer care": ("purposes", "claims", "customer-care"),
    "ethnicity would be special by derivation": ("categories", "pd:Ethnicity", "dpv:SpecialCategoryPersonalData"),
    "families would be contacts": ("categories", "pd:Family", "pd:Contact"),
}


@pytest.mark.parametrize("trap", TRAPS)
def test_each_edge_of_the_traps_is_found_out(trap: str) -> None:
    kind, term, broader = TRAPS[trap]
    words = copy.deepcopy(WORDS)
    words[kind].setdefault(term, {"broader": []})["broader"].append(broader)
    with pytest.raises(AssertionError):
        only_these_edges(words)


def test_a_state_that_left_is_found_out() -> None:
    """`loc:GB` stands under `EEA31`, and that under `loc:EEA`."""
    words = copy.deepcopy(WORDS)
    words["regions"]["EEA"]["states"].append("GB")
    with pytest.raises(AssertionError):
        only_these_states(words)


def test_terms_of_the_source_that_would_mislead_are_not_imported() -> None:
    known = {*WORDS["categories"], *(one["term"] for one in WORDS["purposes"].values())}
    absent = "pd:Biometric pd:Tracking pd:Health pd:Address pd:Ethnicity dpv:ServiceManagement dpv:Marketing dpv:ServiceProvision"
    assert known.isdisjoint(absent.split())


def test_names_that_several_vocabularies_share_are_told_apart_by_their_iri() -> None:
    iris = [one["iri"] for kind in ("purposes", "categories") for one in WORDS[kind].values()]
    assert len(set(iris)) == len(iris)
    assert all(one.startswith("https://") and "#" in one for one in iris)


def test_a_card_and_an_iban_are_account_identifiers_and_a_contract_number_is_none() -> None:
    edges = bundle().lexicon.categories
    under = {one.name for one in bundle().lexicon.fields if "pd:AccountIdentifier" in closure(one.category, edges)}
    assert under == {"iban", "card"}


def test_every_iri_is_its_term_in_full() -> None:
    for name, one in [*WORDS["categories"].items(), *((two["term"], two) for two in WORDS["purposes"].values())]:
        prefix, local = name.split(":")
        assert one["iri"] == WORDS["prefixes"][prefix] + local


def test_the_eea_is_thirty_states_and_not_the_united_kingdom() -> None:
    only_these_states(WORDS)


def test_health_and_trade_unions_are_special_and_nothing_else_is() -> None:
    edges = bundle().lexicon.categories
    special = {name for name in edges if "dpv:SpecialCategoryPersonalData" in closure(name, edges)}
    assert {one.name for one in bundle().lexicon.fields if one.category in special} == {
        one.name for one in bundle().lexicon.fields if one.special
    }


# What importing one more edge of the source would do; each is (old line, new line, field, what the desk would then see).
@pytest.mark.parametrize(
    ("term", "broader", "field"),
    [
        (
            "pd:MedicalHealth",
            "[dpv:SpecialCategoryPersonalData, pd:Identifying]",
            "health_note",
        ),  # as pd:Biometric stands in the source
        ("pd:Family", "[pd:Contact]", "related_person"),  # pd:Contact stands under pd:Tracking: edges widen both ways
        ("pd:Communication", "[pd:Contact]", "correspondence"),
    ],
)
def test_one_more_edge_would_widen_a_contract(term: str, broader: str, field: str, tmp_path: Path) -> None:
    text = shipped_text("vocabulary.yaml")
    start = text.index(f'  "{term}":\n')
    old = text[start : text.index("labels", start)]
    wider = text.replace(old, old[: old.index("broader")] + f"broader: {broader}\n    ")
    widened = load_bundle(altered(tmp_path, {"vocabulary.yaml": wider}))
    assert field in widened.lexicon.terms["retail@1"].named
    assert field not in bundle().lexicon.terms["retail@1"].named
    if field == "health_note":  # the flag is set by hand: the condition the contract lacks still stands before it
        decision = situation("t1").decided(Policy(widened), field)
        assert decision.fields[field].because == "special-category"


def test_a_consent_does_not_follow_an_edge(tmp_path: Path) -> None:
    text = shipped_text("vocabulary.yaml")
    start = text.index("  claims:\n")
    wider = text[:start] + text[start:].replace("broader: [customer-management]", "broader: [marketing]", 1)
    widened = load_bundle(altered(tmp_path, {"vocabulary.yaml": wider}))
    assert widened.lexicon.terms["marketing@1"].agreed == {"marketing"}
    assert "claims" not in widened.lexicon.terms["retail@1"].agreed
    assert "claims" in bundle().lexicon.terms["retail@1"].agreed


def test_rights_are_no_purpose_of_any_template() -> None:
    assert all("rights-fulfilment" not in one["purposes"] for one in bundle().templates.values())
    assert all("rights-fulfilment" not in one.agreed for one in bundle().lexicon.terms.values())
