"""Other forms of the same facts: Kantara's consent receipt, and the terms of a template as an ODRL policy."""

import json
from typing import Any

import pytest
import rfc8785

from tests.agreements.makers import CONTRACT, HOST, MARKETING, PUBLISHER, SHARED, agreed
from tests.agreements.rdf import TYPE, Iri, Literal, Triple, triples
from tests.agreements.schema import faults
from tests.policy.makers import bundle
from tests.vectors.make import HERE
from vault.agreements.kantara import gives_consent, kantara_receipt
from vault.agreements.odrl import odrl_policy
from vault.agreements.wording import Wording

SCHEMA: dict[str, Any] = json.loads((HERE / "kantara-1.1.schema.json").read_text())
ODRL = "http://www.w3.org/ns/odrl/2/"


# --- Kantara


@pytest.mark.parametrize("wording", [MARKETING, SHARED], ids=lambda one: one.id)
def test_a_kantara_receipt_fits_its_schema(wording: Wording) -> None:
    assert list(faults(SCHEMA, kantara_receipt(PUBLISHER, wording, agreed()))) == []


def test_a_kantara_receipt_says_what_was_agreed() -> None:
    receipt = kantara_receipt(PUBLISHER, MARKETING, agreed())
    assert receipt["consentTimestamp"] == 1769937153
    (service,) = receipt["services"]
    assert service["purposes"] == [
        {
            "purposeCategory": ["6 - Marketing"],
            "consentType": "EXPLICIT",
            "piiCategory": ["2 - Contact"],
            "termination": "P24M",
            "thirdPartyDisclosure": False,
        }
    ]
    assert (receipt["sensitive"], receipt["spiCat"]) == (False, [])


def test_third_parties_and_special_data_are_named() -> None:
    receipt = kantara_receipt(PUBLISHER, SHARED, agreed())
    (purpose,) = receipt["services"][0]["purposes"]
    assert (purpose["thirdPartyDisclosure"], purpose["thirdPartyName"]) == (True, "institute")
    assert purpose["purposeCategory"] == ["6 - Marketing", "dpv:IdentityVerification"]
    assert (receipt["sensitive"], receipt["spiCat"]) == (True, ["pd:MedicalHealth"])


def _broken() -> list[tuple[str, dict[str, Any]]]:
    whole = kantara_receipt(PUBLISHER, MARKETING, agreed())
    (purpose,) = whole["services"][0]["purposes"]
    named = [{"service": "x", "purposes": [{**purpose, "thirdPartyName": "x"}]}]
    unnamed = [{"service": "x", "purposes": [{**purpose, "thirdPartyDisclosure": True}]}]
    return [
        *((f"without {name}", {key: one for key, one in whole.items() if key != name}) for name in SCHEMA["required"]),
        ("a name without disclosure", {**whole, "services": named}),
        ("disclosure without a name", {**whole, "services": unnamed}),
        ("no service", {**whole, "services": []}),
        ("a boolean for a number", {**whole, "consentTimestamp": True}),
        ("another version", {**whole, "version": "KI-CR-v1.0.0"}),
        ("an unknown member", {**whole, "subject_id": "sub_x"}),
        ("an address of another kind", {**whole, "policyUrl": "http://x.example"}),
    ]


@pytest.mark.parametrize(("what", "receipt"), _broken(), ids=lambda one: one if isinstance(one, str) else "")
def test_the_schema_refuses(what: str, receipt: dict[str, Any]) -> None:
    assert list(faults(SCHEMA, receipt))


@pytest.mark.parametrize(
    ("wording", "events"),
    [(CONTRACT, ("given",)), (MARKETING, ("given", "withdrawn")), (MARKETING, ("requested",)), (MARKETING, ("given", "expired"))],
)
def test_what_gave_no_consent_has_none(wording: Wording, events: tuple[Any, ...]) -> None:
    assert not gives_consent(wording, agreed(*events))
    with pytest.raises(ValueError, match="only a consent"):
        kantara_receipt(PUBLISHER, wording, agreed(*events))


# --- ODRL


def shipped() -> list[Wording]:
    held = bundle()
    return [
        Wording.of(document, bytes(32), held.vocabulary, held.catalogue, held.recipients) for document in held.templates.values()
    ]


@pytest.mark.parametrize("wording", [*shipped(), SHARED], ids=lambda one: one.reference)
def test_every_template_is_an_odrl_set(wording: Wording) -> None:
    line = odrl_policy(HOST, wording)
    assert rfc8785.dumps(json.loads(line)) == line
    found = triples(line)
    policy = Iri(f"https://{HOST}/templates/{wording.id}/{wording.version}")
    assert Triple(policy, Iri(TYPE), Iri(ODRL + "Set")) in found
    assert Triple(policy, Iri(ODRL + "uid"), policy) in found
    permissions = [one.object for one in found if one.predicate == Iri(ODRL + "permission")]
    assert len(permissions) == 1 + len(wording.retention)
    for permission in permissions:  # ODRL 2.2: a permission has a target and an action
        assert {ODRL + "target", ODRL + "action", ODRL + "constraint"} <= {
            one.predicate.text for one in found if one.subject == permission
        }
    assert any(one.predicate == Iri(ODRL + "prohibition") for one in found) is bool(wording.excluded)


@pytest.mark.parametrize("wording", [*shipped(), SHARED], ids=lambda one: one.reference)
def test_every_word_of_an_odrl_set_is_an_iri(wording: Wording) -> None:
    plain = {one.object.text for one in triples(odrl_policy(HOST, wording)) if isinstance(one.object, Literal)}
    assert [text for text in plain if ":" in text] == []


def test_what_was_agreed_is_constrained_by_purpose_recipient_place_and_time() -> None:
    (permission,) = json.loads(odrl_policy(HOST, MARKETING))["odrl:permission"]
    assert permission["odrl:target"] == ["pd:EmailAddress"]
    assert permission["odrl:action"] == ["dpv:Store", "dpv:Use"]
    assert [(one["odrl:leftOperand"], one["odrl:operator"]) for one in permission["odrl:constraint"]] == [
        ("odrl:purpose", "odrl:isAnyOf"),
        ("odrl:recipient", "odrl:isAnyOf"),
        ("odrl:spatial", "odrl:isAnyOf"),
        ("vault:legalBasis", "odrl:eq"),
        ("odrl:elapsedTime", "odrl:lteq"),
    ]
