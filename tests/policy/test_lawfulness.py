"""Each forbid and permit of gate 1 speaks where the law says, and is silent where it is exempt: asked of Cedar, by policy id."""

from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from tests.policy.changes import FIELDS
from tests.policy.makers import bundle, situation
from vault.policy import cedar
from vault.policy.cedar import CedarEngine
from vault.policy.groups import Bucket
from vault.policy.inputs import circumstance, law_key
from vault.policy.lexicon import Lexicon

GATE = {name for name in bundle().policies if name.startswith("gate1-")}
CONSENT = {"basis": "consent"}
EXPLICIT = {"basis": "consent", "condition": "explicit_consent"}
RIGHTS = {"purpose": "rights-fulfilment", "acts_for_subject": True}
ADS = {"purpose": "marketing"}


@cache
def engine() -> CedarEngine:
    """The shipped policies over a register with two more parties: one without a contract, one that is barred and has a tool."""
    lexicon = bundle().lexicon
    helpdesk = lexicon.recipients["helpdesk"]
    stranger = replace(helpdesk, name="stranger", contract_valid=False)
    insurer = replace(helpdesk, name="insurer", barred_from_health=True, transfer_tool="A46-2-c")
    more = {**lexicon.recipients, "stranger": stranger, "insurer": insurer}
    for name, country, tool in (
        ("paris", "FR", "none"),
        ("boston", "US", "none"),
        ("bound", "US", "A46-2-c"),
        ("geneva", "CH", "none"),
    ):
        more[name] = replace(helpdesk, name=name, country=country, transfer_tool=tool)
    subject = replace(lexicon.recipients["subject"], contract_valid=False)
    return CedarEngine(bundle().policies, _with(lexicon, {**more, "subject": subject}))


def _with(lexicon: Lexicon, recipients: Any) -> Lexicon:
    return replace(lexicon, recipients=recipients)


def determining(field: str, **changes: Any) -> tuple[bool, frozenset[str]]:
    """Return Cedar's answer about one field under retail@1 for t1, with these things changed, and what determined it."""
    made = situation("t1")
    key = law_key(made.subject.agreements[0], circumstance(made.context, "profile", made.caller, made.ticket, made.subject))
    terms = replace(bundle().lexicon.terms["retail@1"], **{name: changes.pop(name) for name in TERMS & changes.keys()})
    terms = replace(terms, recipients=(*terms.recipients, "stranger", "insurer", "subject", "paris", "boston", "bound", "geneva"))
    held = {name: changes.pop(name) for name in HELD & changes.keys()}
    key = key._replace(**held, circumstance=key.circumstance._replace(**changes))
    parts = [Bucket(bundle().lexicon.fields[FIELDS.index(field)], (FIELDS.index(field),))]
    verdict = engine().evaluate([cedar.agreement(terms, key)], cedar.law_requests(key, parts))[0]
    assert not verdict.failed
    return verdict.allowed, frozenset(verdict.by)


TERMS = {"basis", "condition", "purposes", "purpose_match", "categories", "operations", "regions"}
HELD = {"consent", "phase", "excluded", "foreign", "after_restriction", "after_objection"}
EMAIL = frozenset({"email"})

SPEAKS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("gate1-excluded", "email", {"excluded": EMAIL}),
    ("gate1-excluded", "credit_score", {}),
    ("gate1-consent", "email", {**CONSENT, "consent": "withdrawn"}),
    ("gate1-consent", "email", {**CONSENT, "consent": "none"}),
    ("gate1-consent", "email", {**CONSENT, **RIGHTS, "consent": "withdrawn"}),
    ("gate1-consent-expired", "email", {**CONSENT, "consent": "expired"}),
    ("gate1-special", "health_note", {}),
    ("gate1-special", "health_note", RIGHTS),
    ("gate1-special", "health_note", {**CONSENT, "condition": "health_care", "consent": "valid"}),
    ("gate1-special", "health_note", {"condition": "explicit_consent", "recipient": "insurer"}),
    ("gate1-time-barred", "oncology_history", {"condition": "explicit_consent", "time_barred": True}),
    ("gate1-origin", "email", {"foreign": EMAIL}),
    ("gate1-processor", "email", {"recipient": "stranger"}),
    ("gate1-transfer", "email", {"region": "US"}),
    ("gate1-transfer", "email", {"region": "CH", "regions": ("EEA",)}),
    ("gate1-transfer", "email", {"region": "US", "regions": ("EEA", "ADEQUATE")}),
    ("gate1-transfer", "email", {"region": "US", "recipient": "insurer"}),
    ("gate1-transfer", "email", {"region": "US", "regions": ("EEA", "US")}),
    ("gate1-transfer", "email", {"recipient": "boston"}),
    ("gate1-transfer", "email", {"recipient": "boston", "regions": ("EEA", "US")}),
    ("gate1-transfer", "email", {"recipient": "bound"}),
    ("gate1-transfer", "email", {"recipient": "geneva", "regions": ("EEA",)}),
    ("gate1-objection", "email", {"basis": "legitimate_interest", "objected": True}),
    ("gate1-objection", "email", {"basis": "public_task", "objected": True}),
    ("gate1-marketing", "email", {**ADS, "objected_marketing": True}),
    ("gate1-marketing", "email", {**ADS, **CONSENT, "consent": "valid", "objected_marketing": True}),
    ("gate1-minor-marketing", "email", {**ADS, "minor": True}),
    ("gate1-restricted", "email", {"restricted": EMAIL}),
    ("gate1-deceased", "email", {**CONSENT, "consent": "valid", "deceased": True}),
    ("gate1-deceased", "health_note", {"condition": "explicit_consent", "deceased": True}),
    ("gate1-deceased", "email", {**ADS, "deceased": True}),
    ("gate1-deceased", "email", {**ADS, "basis": "legitimate_interest", "deceased": True}),
)

SILENT: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("gate1-excluded", "mobile", {"excluded": EMAIL}),
    ("gate1-excluded", "credit_score", RIGHTS),
    ("gate1-consent", "email", {**CONSENT, "consent": "valid"}),
    ("gate1-consent", "email", {**CONSENT, "consent": "expired"}),
    ("gate1-consent", "email", {"consent": "withdrawn"}),
    ("gate1-consent-expired", "email", {"consent": "expired"}),
    ("gate1-consent-expired", "email", {**CONSENT, "consent": "valid"}),
    ("gate1-special", "email", {}),
    ("gate1-special", "health_note", {"condition": "explicit_consent"}),
    ("gate1-special", "health_note", {**EXPLICIT, "consent": "valid"}),
    ("gate1-special", "health_note", {"condition": "health_care"}),
    ("gate1-special", "email", {"recipient": "insurer"}),
    ("gate1-time-barred", "oncology_history", {"condition": "explicit_consent"}),
    ("gate1-time-barred", "allergies", {"condition": "explicit_consent", "time_barred": True}),
    ("gate1-time-barred", "oncology_history", {"condition": "explicit_consent", "time_barred": True, **RIGHTS}),
    ("gate1-origin", "mobile", {"foreign": EMAIL}),
    ("gate1-origin", "email", {"foreign": EMAIL, "basis": "legal_obligation"}),
    ("gate1-origin", "email", {"foreign": EMAIL, "basis": "vital_interest"}),
    ("gate1-origin", "email", {"foreign": EMAIL, "purpose": "legal-claims"}),
    ("gate1-origin", "email", {"foreign": EMAIL, **RIGHTS}),
    ("gate1-processor", "email", {}),
    ("gate1-processor", "email", {"recipient": "subject", **RIGHTS}),
    ("gate1-transfer", "email", {"region": "FR"}),
    ("gate1-transfer", "email", {"region": "CH", "regions": ("EEA", "ADEQUATE")}),
    ("gate1-transfer", "email", {"region": "CH", "regions": ("EEA", "CH"), "recipient": "insurer"}),
    ("gate1-transfer", "email", {"region": "US", "regions": ("EEA", "US"), "recipient": "insurer"}),
    ("gate1-transfer", "email", {"region": "US", "recipient": "subject", **RIGHTS}),
    ("gate1-transfer", "email", {"recipient": "paris"}),
    ("gate1-transfer", "email", {"recipient": "bound", "regions": ("EEA", "US")}),
    ("gate1-transfer", "email", {"recipient": "geneva", "regions": ("EEA", "ADEQUATE")}),
    ("gate1-objection", "email", {"objected": True}),
    ("gate1-objection", "email", {"basis": "legitimate_interest"}),
    ("gate1-objection", "email", {"basis": "legitimate_interest", "objected_marketing": True}),
    ("gate1-marketing", "email", {"objected_marketing": True}),
    ("gate1-marketing", "email", ADS),
    ("gate1-marketing", "email", {**ADS, "objected": True}),
    ("gate1-marketing", "email", {**ADS, "objected_marketing": True, "after_objection": True}),
    ("gate1-minor-marketing", "email", {"minor": True}),
    ("gate1-minor-marketing", "email", ADS),
    ("gate1-restricted", "mobile", {"restricted": EMAIL}),
    ("gate1-restricted", "email", {"restricted": EMAIL, "purpose": "legal-claims"}),
    ("gate1-restricted", "email", {"restricted": EMAIL, **RIGHTS}),
    ("gate1-restricted", "email", {"restricted": EMAIL, "operation": "store"}),
    ("gate1-restricted", "email", {"restricted": EMAIL, "after_restriction": True}),
    ("gate1-deceased", "email", {"deceased": True}),
    ("gate1-deceased", "email", {"condition": "explicit_consent", "deceased": True}),
    ("gate1-deceased", "health_note", {"condition": "legal_claims", "deceased": True}),
    ("gate1-deceased", "email", {**CONSENT, "consent": "valid"}),
    ("gate1-deceased", "health_note", {"condition": "explicit_consent"}),
    ("gate1-deceased", "email", ADS),
    ("gate1-deceased", "email", {**CONSENT, **RIGHTS, "consent": "valid", "deceased": True}),
)


@pytest.mark.parametrize(("forbid", "field", "changes"), SPEAKS)
def test_a_forbid_speaks(forbid: str, field: str, changes: dict[str, Any]) -> None:
    allowed, by = determining(field, **changes)
    assert not allowed
    assert forbid in by


@pytest.mark.parametrize(("forbid", "field", "changes"), SILENT)
def test_a_forbid_is_silent(forbid: str, field: str, changes: dict[str, Any]) -> None:
    assert forbid not in determining(field, **changes)[1]


def test_every_forbid_is_seen_to_speak_and_to_be_silent() -> None:
    forbids = {name for name in GATE if bundle().policies[name]["effect"] == "forbid"}
    assert {row[0] for row in SPEAKS} == {row[0] for row in SILENT} == forbids


@pytest.mark.parametrize(
    ("changes", "allowed"),
    [
        ({}, True),
        ({"purpose": "customer-management"}, True),
        ({"purpose": "care-messages"}, True),
        ({"purpose_match": "exact"}, False),
        ({"purpose_match": "exact", "purpose": "billing"}, True),
        ({"purpose": "marketing"}, False),
        ({"purposes": ("customer-care",), "purpose": "customer-management"}, False),  # narrower, never broader
        ({"phase": "before"}, False),
        ({"phase": "after"}, False),
        ({"categories": ("pd:Financial",)}, False),
        ({"operation": "export"}, False),
        ({"operation": "store"}, True),
        ({"recipient": "care-unit"}, False),
    ],
)
def test_an_agreement_covers_what_it_says(changes: dict[str, Any], allowed: bool) -> None:
    found, by = determining("email", **changes)
    assert found is allowed
    assert by == ({"gate1-covers"} if allowed else frozenset())


@pytest.mark.parametrize(
    ("changes", "allowed"),
    [
        ({}, True),
        ({"recipient": "subject"}, True),
        ({"operation": "export"}, True),
        ({"acts_for_subject": False}, False),
        ({"purpose": "marketing"}, False),
        ({"phase": "after"}, False),
        ({"phase": "before"}, False),
        ({"categories": ("pd:Financial",)}, False),
    ],
)
def test_every_agreement_implies_the_rights_of_its_person(changes: dict[str, Any], allowed: bool) -> None:
    found, by = determining("email", **{**RIGHTS, **changes})
    assert found is allowed
    assert by == ({"gate1-rights"} if allowed else frozenset())
