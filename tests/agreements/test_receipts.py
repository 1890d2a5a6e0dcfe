"""A receipt says what was agreed, so that any reader of JSON-LD understands it, and a later event changes no earlier one."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import rfc8785

from tests.agreements.makers import AGREEMENT, CONTRACT, HOST, MARKETING, PUBLISHER, SECRET, SUBJECT, agreed
from tests.agreements.rdf import TYPE, Iri, Literal, Triple, triples
from vault.agreements.receipts import CONTEXT, IRI_VALUED, Agreed, pairwise_handle, receipt_line
from vault.agreements.wording import PREFIXES, Wording

DPV = PREFIXES["dpv"]
RECEIPT = f"https://{HOST}/receipts/{AGREEMENT}/1"
RECORD = f"https://{HOST}/agreements/{AGREEMENT}"


TRAP = (  # written out by hand: a property that loses its entry must not leave the test with it
    *("dct:conformsTo", "dct:publisher", "schema:recipient", "skos:broader", "dpv:hasJurisdiction", "dpv:hasApplicableLaw"),
    *("dpv:hasLegalBasis", "dpv:hasPurpose", "dpv:hasProcessing", "dpv:hasNecessity", "dpv:hasDataSource", "dpv:hasRecipient"),
    *("dpv:hasLocation", "dpv:isExercisedAt", "dpv:isIndicatedBy"),
)


def line(wording: Wording = MARKETING, of: Agreed | None = None) -> bytes:
    return receipt_line(HOST, PUBLISHER, wording, of or agreed())


def document(wording: Wording = MARKETING, of: Agreed | None = None) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(line(wording, of))
    return read


def values(found: set[Triple], name: str) -> set[Any]:
    """Return what a property reaches, by its compact IRI."""
    prefix, _, rest = name.partition(":")
    return {one.object for one in found if one.predicate == Iri(PREFIXES[prefix] + rest)}


def kinds(found: set[Triple]) -> set[str]:
    return {one.object.text for one in found if one.predicate == Iri(TYPE)}


def test_a_receipt_of_a_consent_is_63_triples() -> None:
    found = triples(line())
    assert len(found) == 63
    assert Triple(Iri(RECEIPT), Iri(TYPE), Iri(DPV + "ConsentReceipt")) in found
    assert Triple(Iri(RECEIPT), Iri(DPV + "hasRecordOfActivity"), Iri(RECORD)) in found
    assert Triple(Iri(RECORD), Iri(DPV + "hasLegalBasis"), Iri("https://w3id.org/dpv/legal/eu/gdpr#A6-1-a")) in found
    assert Triple(Iri(RECORD), Iri(DPV + "hasJurisdiction"), Iri("https://w3id.org/dpv/loc#IT")) in found
    assert values(found, "dpv:hasPurpose") == {Iri(DPV + "DirectMarketing")}
    assert values(found, "dpv:hasIndicationMethod") == {Literal("portal")}
    assert values(found, "dct:created") == {Literal("2026-02-01T09:12:34Z")}
    assert values(found, "dpv:isIndicatedAtTime") == {Literal("2026-02-01T09:12:33Z")}
    assert values(found, "vault:entry") == {Literal(agreed().events[0].entry_id)}


@pytest.mark.parametrize("name", TRAP)
def test_each_property_of_the_trap_reaches_an_iri(name: str) -> None:
    reached = values(triples(line()), name)
    assert reached
    assert all(isinstance(one, Iri) and one.text.startswith("https://") for one in reached)


@pytest.mark.parametrize("name", TRAP)
def test_without_its_entry_in_the_context_it_would_be_plain_text(name: str) -> None:
    """The trap itself: this is what the entry is for, and what shows that the test above can fail."""
    stripped = document()
    del stripped["@context"][name]
    assert all(isinstance(one, Literal) for one in values(triples(json.dumps(stripped).encode()), name))


def test_the_trap_s_list_is_whole() -> None:
    """Every value that looks like an IRI is one, and every entry of the context is used."""
    for wording in (MARKETING, CONTRACT):
        plain = [one.object.text for one in triples(line(wording)) if isinstance(one.object, Literal)]
        assert [text for text in plain if text.partition(":")[0] in PREFIXES or text.startswith("https:")] == []
    assert {name for name, one in CONTEXT.items() if isinstance(one, dict)} == set(IRI_VALUED) == set(TRAP)


def test_it_is_one_line_of_canonical_json_and_always_the_same() -> None:
    assert b"\n" not in line()
    assert rfc8785.dumps(json.loads(line())) == line()
    assert line() == line()


def test_nothing_has_to_be_fetched() -> None:
    context = document()["@context"]
    assert all(isinstance(one, str) or one.keys() == {"@id", "@type"} for one in context.values())


def test_a_history_ends_with_the_receipt_s_own_event() -> None:
    whole = agreed("given", "withdrawn")
    second = document(of=whole)
    assert second["dct:identifier"] == f"{AGREEMENT}/2"
    statuses = second["dpv:hasRecordOfActivity"]["dpv:hasConsentStatus"]
    assert [one["@type"] for one in statuses] == [["dpv:ConsentGiven", "dpv:ExplicitlyExpressedConsent"], "dpv:ConsentWithdrawn"]
    assert statuses[1]["dpv:isIndicatedBy"] == "dpv:DataSubject"
    assert "dpv:hasDuration" not in statuses[1]
    assert line(of=replace(whole, events=whole.events[:1])) == line()


@pytest.mark.parametrize(
    ("kind", "status", "by"),
    [
        ("requested", "dpv:ConsentRequested", PUBLISHER.iri),
        ("refused", "dpv:ConsentRefused", "dpv:DataSubject"),
        ("renewed", "dpv:RenewedConsentGiven", "dpv:DataSubject"),
        ("narrowed", "dpv:ConsentGiven", "dpv:DataSubject"),
        ("revoked", "dpv:ConsentRevoked", PUBLISHER.iri),
        ("invalidated", "dpv:ConsentInvalidated", PUBLISHER.iri),
        ("expired", "dpv:ConsentExpired", PUBLISHER.iri),
    ],
)
def test_each_event_has_its_status_and_who_indicated_it(kind: Any, status: str, by: str) -> None:
    last = document(of=agreed("given", kind))["dpv:hasRecordOfActivity"]["dpv:hasConsentStatus"][-1]
    types = last["@type"] if isinstance(last["@type"], list) else [last["@type"]]
    assert (types[0], last["dpv:isIndicatedBy"]) == (status, by)


@pytest.mark.parametrize("kind", ["ended", "superseded"])
def test_what_dpv_has_no_status_for_is_told_all_the_same(kind: Any) -> None:
    record = document(of=agreed("given", kind))["dpv:hasRecordOfActivity"]
    assert len(record["dpv:hasConsentStatus"]) == 1
    assert [one["vault:kind"] for one in record["vault:hasEvent"]] == [kind]


def test_another_basis_is_a_processing_record_without_the_members_of_a_consent() -> None:
    receipt = document(CONTRACT)
    record = receipt["dpv:hasRecordOfActivity"]
    assert (receipt["@type"], record["@type"]) == ("vault:AgreementReceipt", "dpv:DataProcessingRecord")
    assert not {"dpv:hasConsentControl", "dpv:hasConsentStatus", "dct:conformsTo"} & (receipt.keys() | record.keys())
    assert "Consent" not in json.dumps(receipt)
    assert record["dpv:hasLegalBasis"] == ["eu-gdpr:A6-1-b", "eu-gdpr:A9-2-a"]
    assert [one["vault:kind"] for one in record["vault:hasEvent"]] == ["given"]
    assert record["vault:excludesField"] == ["aml_note", "credit_score"]


def test_what_is_kept_after_the_end_is_said_with_its_law() -> None:
    (process,) = document(CONTRACT)["dpv:hasRecordOfActivity"]["dpv:hasProcess"]
    location, until, kept, deletion = process["dpv:hasStorageCondition"]
    assert location["dpv:hasLocation"] == ["loc:IT"]
    assert until["dpv:hasDuration"] == {"@type": "dpv:UntilEventDuration", "rdf:value": "agreement-end"}
    assert (kept["dpv:hasDuration"], kept["vault:law"], kept["vault:startsWith"]) == ("P10Y", ["c.c. 2220"], "agreement-end")
    assert deletion["dpv:hasDuration"] == "P1M"
    assert {DPV + "UntilEventDuration", DPV + "StorageDuration", DPV + "StorageDeletion"} <= kinds(triples(line(CONTRACT)))


def test_who_may_object_is_told_so() -> None:
    claims = replace(CONTRACT, bases=("eu-gdpr:A6-1-f", "eu-gdpr:A9-2-f"))
    told = {one["@type"][1] for one in document(claims)["dpv:hasRecordOfActivity"]["dpv:hasRight"]}
    assert told == {"eu-gdpr:A15", "eu-gdpr:A21"}
    assert [one["@type"][1] for one in document(CONTRACT)["dpv:hasRecordOfActivity"]["dpv:hasRight"]] == ["eu-gdpr:A15"]


def test_what_was_left_out_and_an_earlier_end_are_said() -> None:
    of = agreed(excluded=frozenset({"email"}), ends_at=datetime(2026, 12, 1, tzinfo=UTC))
    record = document(of=of)["dpv:hasRecordOfActivity"]
    assert record["vault:excludesField"] == ["email"]
    assert record["vault:endsAt"] == "2026-12-01T00:00:00Z"


def test_a_person_has_one_name_for_each_controller_and_it_is_not_their_id() -> None:
    handle = pairwise_handle(SECRET, SUBJECT)
    assert handle == pairwise_handle(SECRET, SUBJECT)
    assert handle != pairwise_handle(bytes(32), SUBJECT)
    assert handle != pairwise_handle(SECRET, "sub_" + "b" * 26)
    assert len(handle) == 26
    assert SUBJECT.encode() not in line()
    assert document()["dpv:hasRecordOfActivity"]["dpv:hasDataSubject"]["@id"] == f"urn:riserbo:subject:{handle}"
