"""The pinned vocabulary: these terms, these edges, and each trap of the source that would widen or narrow policy."""

from pathlib import Path

import pytest

from tests.policy.makers import altered, bundle, shipped_text, situation
from vault.policy.bundle import load_bundle
from vault.policy.engine import Policy
from vault.policy.lexicon import closure

WORDS = bundle().vocabulary

# Transcribed from the policy chapter, section 2: every imported edge, and no other.
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


def test_these_are_all_the_edges() -> None:
    assert {name: one["broader"] for name, one in WORDS["purposes"].items() if one["broader"]} == {
        k: [v] for k, v in PURPOSES.items()
    }
    edges = {term: [line.split(" > ")[1]] for line in CATEGORIES.strip().splitlines() for term in line.split(" > ")[0].split()}
    assert {name: one["broader"] for name, one in WORDS["categories"].items() if one["broader"]} == edges


def test_every_iri_is_its_term_in_full() -> None:
    for name, one in [*WORDS["categories"].items(), *((two["term"], two) for two in WORDS["purposes"].values())]:
        prefix, local = name.split(":")
        assert one["iri"] == WORDS["prefixes"][prefix] + local


def test_the_eea_is_thirty_states_and_not_the_united_kingdom() -> None:
    assert len(set(WORDS["regions"]["EEA"]["states"])) == 30
    assert not {"GB", "UK", "CH"} & set(WORDS["regions"]["EEA"]["states"])
    assert not set(WORDS["regions"]["EEA"]["states"]) & set(WORDS["regions"]["ADEQUATE"]["states"])


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
