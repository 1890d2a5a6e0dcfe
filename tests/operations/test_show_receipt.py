"""Receipts: who may have one, what is on record of it, and that only the public key is needed to trust one."""

import base64
import json
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tests.agreements.rdf import triples
from tests.agreements.schema import faults
from tests.makers import TEXTS, evidence, make_context, make_subject, make_ticket, register
from tests.operations.conftest import Ledger
from tests.publishers import describe
from tests.vectors.make import HERE
from vault.assembly import Vault
from vault.errors import AccessDenied, Conflict, KeysUnavailable, NotFound
from vault.operations.agree import agree
from vault.operations.enroll import AgreementTerms, Enrolled
from vault.operations.show_receipt import show_receipt
from vault.operations.show_terms import show_terms
from vault.operations.signing import document_key, note_of
from vault.operations.withdraw import withdraw
from vault.policy.model import Context

SCHEMA: dict[str, Any] = json.loads((HERE / "kantara-1.1.schema.json").read_text())
VALUES = {"given_name": "Giulia", "email": "giulia@example.it"}


@pytest.fixture
def person(vault: Vault, controller_id: str) -> Enrolled:
    describe(vault.settings, controller_id)
    register(vault, controller_id, "t1", "dpo", "dsr-officer", "operator")
    return make_subject(vault, controller_id, VALUES, ("marketing",))


def customer(controller_id: str, person: Enrolled) -> Context:
    return make_context(controller_id, "customer", subject_id=person.subject_id)


def verified(note: bytes, public: bytes, name: str) -> dict[str, Any]:
    """Return the document of a note signed by this key; nothing of the vault's is used."""
    body, _, lines = note.partition(b"\n\n")
    dash, signer, encoded = lines.decode().removesuffix("\n").split(" ")
    octets = base64.b64decode(encoded, validate=True)
    if (dash, signer) != ("—", name) or base64.b64encode(octets).decode() != encoded or len(octets) != 68:
        raise InvalidSignature
    Ed25519PublicKey.from_public_bytes(public).verify(octets[4:], body + b"\n")
    read: dict[str, Any] = json.loads(body)
    return read


def test_a_customer_has_the_receipt_of_what_they_agreed(vault: Vault, controller_id: str, person: Enrolled, ledger: Ledger) -> None:
    shown = show_receipt(vault, customer(controller_id, person), person.agreements[0])
    receipt = json.loads(shown.receipt)
    assert receipt["@type"] == "dpv:ConsentReceipt"
    assert receipt["vault:entry"] == person.entry_id
    record = receipt["dpv:hasRecordOfActivity"]
    assert record["dpv:hasNotice"]["vault:template"] == "marketing@1"
    assert record["dpv:hasDataController"]["dpv:hasName"].startswith("Esempio Assicurazioni")
    assert len(triples(shown.receipt)) > 63
    (leaf,) = ledger.leaves("show_receipt")
    assert (leaf["id"], leaf["outcome"], leaf["terms"]) == (shown.entry_id, "done", ["marketing@1"])


def test_it_holds_no_value_no_evidence_and_no_id_of_the_person(vault: Vault, controller_id: str, person: Enrolled) -> None:
    context = customer(controller_id, person)
    for form in ("dpv", "note", "kantara"):
        receipt = show_receipt(vault, context, person.agreements[0], form).receipt
        assert not [one for one in (*VALUES.values(), person.subject_id, "call-1", "t2-1") if one.encode() in receipt]


def test_the_same_receipt_comes_out_each_time(vault: Vault, controller_id: str, person: Enrolled) -> None:
    context = customer(controller_id, person)
    first, second = (show_receipt(vault, context, person.agreements[0], "note") for _ in range(2))
    assert first.receipt == second.receipt
    assert first.entry_id != second.entry_id


def test_a_later_event_changes_no_earlier_receipt(vault: Vault, controller_id: str, person: Enrolled) -> None:
    context, agreement_id = customer(controller_id, person), person.agreements[0]
    before = show_receipt(vault, context, agreement_id).receipt
    done = withdraw(vault, context, agreement_id, {"method": "portal"})
    assert show_receipt(vault, context, agreement_id, number=1).receipt == before
    after = json.loads(show_receipt(vault, context, agreement_id).receipt)
    assert after["dct:identifier"] == f"{agreement_id}/2"
    assert after["vault:entry"] == done.entry_id
    assert after["dpv:hasRecordOfActivity"]["dpv:hasConsentStatus"][1]["@type"] == "dpv:ConsentWithdrawn"


def test_an_event_that_never_was_has_no_receipt(vault: Vault, controller_id: str, person: Enrolled, ledger: Ledger) -> None:
    with pytest.raises(NotFound):
        show_receipt(vault, customer(controller_id, person), person.agreements[0], number=2)
    assert ledger.outcomes("show_receipt") == ["refused"]


def test_two_agreements_of_one_person_name_them_alike_and_two_controllers_do_not(vault: Vault, controllers: Any) -> None:
    names = []
    for controller_id in (controllers(), controllers()):
        describe(vault.settings, controller_id)
        person = make_subject(vault, controller_id, VALUES, ("retail", "marketing"))
        context = customer(controller_id, person)
        receipts = [json.loads(show_receipt(vault, context, one).receipt) for one in person.agreements]
        (name,) = {one["dpv:hasRecordOfActivity"]["dpv:hasDataSubject"]["@id"] for one in receipts}
        names.append(name)
    assert names[0] != names[1]


# --- signature


def test_a_signed_receipt_is_trusted_by_the_public_key_alone(vault: Vault, controller_id: str, person: Enrolled) -> None:
    context = customer(controller_id, person)
    note = show_receipt(vault, context, person.agreements[0], "note").receipt
    name = f"{vault.settings.host}/documents/{controller_id}"
    assert verified(note, vault.signing.document_key, name) == json.loads(
        show_receipt(vault, context, person.agreements[0]).receipt
    )
    assert base64.b64decode(note.split()[-1])[:4] == document_key(vault, controller_id).key_id
    assert vault.signing.document_key != vault.signing.checkpoint_key
    with pytest.raises(InvalidSignature):
        verified(note, vault.signing.checkpoint_key, name)


def test_a_document_is_one_line(vault: Vault, controller_id: str) -> None:
    with pytest.raises(ValueError, match="one line"):
        note_of(document_key(vault, controller_id), vault.signing.sign_document, b"{}\n\n- other line")


def test_when_it_cannot_be_signed_the_log_says_that_it_was_not_shown(
    vault: Vault, controller_id: str, person: Enrolled, ledger: Ledger
) -> None:
    def away(_: bytes) -> bytes:
        raise KeysUnavailable

    unable = replace(vault, signing=replace(vault.signing, sign_document=away))
    with pytest.raises(KeysUnavailable):
        show_receipt(unable, customer(controller_id, person), person.agreements[0], "note")
    assert ledger.outcomes("show_receipt") == ["done", "failed"]


# --- Kantara


def test_a_consent_has_a_kantara_receipt(vault: Vault, controller_id: str, person: Enrolled) -> None:
    receipt = json.loads(show_receipt(vault, customer(controller_id, person), person.agreements[0], "kantara").receipt)
    assert list(faults(SCHEMA, receipt)) == []
    assert receipt["collectionMethod"] == "phone"


@pytest.mark.parametrize("template", ["retail", "marketing"])
def test_what_is_no_consent_has_none(vault: Vault, controller_id: str, ledger: Ledger, template: str) -> None:
    describe(vault.settings, controller_id)
    person = make_subject(vault, controller_id, VALUES, (template,))
    context = customer(controller_id, person)
    if template == "marketing":
        withdraw(vault, context, person.agreements[0], {"method": "portal"})
    with pytest.raises(Conflict) as refusal:
        show_receipt(vault, context, person.agreements[0], "kantara")
    assert refusal.value.code == "not-a-consent"
    assert ledger.outcomes("show_receipt") == ["refused"]
    assert show_receipt(vault, context, person.agreements[0], "dpv").receipt


# --- who may


def test_officers_and_the_desk_may_have_it(vault: Vault, controller_id: str, person: Enrolled) -> None:
    tickets = {role: make_ticket(vault, controller_id, person.subject_id, role, f"TCK-{role}") for role in ("t1", "dsr-officer")}
    expected = show_receipt(vault, customer(controller_id, person), person.agreements[0]).receipt
    for role in ("t1", "dpo", "dsr-officer", "system"):
        context = make_context(controller_id, role, ticket=tickets.get(role))
        assert show_receipt(vault, context, person.agreements[0]).receipt == expected


def test_nobody_else_may(vault: Vault, controller_id: str, person: Enrolled, ledger: Ledger) -> None:
    other = make_subject(vault, controller_id, {"given_name": "Anna"}, ("marketing",))
    make_ticket(vault, controller_id, other.subject_id, "t1", "TCK-other")
    contexts = [
        customer(controller_id, other),
        make_context(controller_id, "t1", ticket="TCK-nobody-told-of"),
        make_context(controller_id, "t1", ticket="TCK-other"),
        make_context(controller_id, "dsr-officer"),
        make_context(controller_id, "operator"),
        make_context(controller_id, "dpo", purpose="marketing"),
    ]
    for context in contexts:
        with pytest.raises((NotFound, AccessDenied)):
            show_receipt(vault, context, person.agreements[0])
    assert ledger.outcomes("show_receipt") == ["refused"] * len(contexts)


def test_an_agreement_there_is_not_is_not_found(vault: Vault, controller_id: str, person: Enrolled, ledger: Ledger) -> None:
    with pytest.raises(NotFound):
        show_receipt(vault, make_context(controller_id, "dpo"), "agr_" + "z" * 26)
    assert ledger.outcomes("show_receipt") == ["refused"]


def test_an_agreement_that_goes_while_it_is_read_is_not_found(
    vault: Vault, controller_id: str, person: Enrolled, ledger: Ledger
) -> None:
    gone = f"DELETE FROM vault.agreement_event WHERE controller_id = '{controller_id}'"
    ledger.owner(f"BEGIN; SET LOCAL session_replication_role = replica; {gone}; COMMIT")
    with pytest.raises(NotFound):
        show_receipt(vault, customer(controller_id, person), person.agreements[0])
    assert ledger.outcomes("show_receipt") == ["refused"]


@pytest.mark.parametrize("language", ["it", "en"])
def test_the_notice_is_the_text_that_was_shown_in_its_language(
    vault: Vault, controller_id: str, person: Enrolled, language: str
) -> None:
    system = make_context(controller_id, "system", channel="phone")
    said = AgreementTerms("marketing", None, language, evidence("marketing", language))
    made = agree(vault, system, person.subject_id, said)
    receipt = json.loads(show_receipt(vault, customer(controller_id, person), made.agreement_id).receipt)
    notice = receipt["dpv:hasRecordOfActivity"]["dpv:hasNotice"]
    text = (TEXTS / f"marketing.v1.{language}.md").read_bytes()
    assert (notice["dct:language"], notice["vault:sha256"]) == (language, sha256(text).hexdigest())


# --- what cannot be said


def test_a_controller_that_says_nothing_of_itself_gives_no_receipts(vault: Vault, controller_id: str, ledger: Ledger) -> None:
    person = make_subject(vault, controller_id, VALUES, ("marketing",))
    with pytest.raises(Conflict) as refusal:
        show_receipt(vault, customer(controller_id, person), person.agreements[0])
    assert refusal.value.code == "controller-not-described"
    assert ledger.outcomes("show_receipt") == ["refused"]


def test_terms_that_are_not_those_agreed_to_are_not_put_into_a_receipt(vault: Vault, controller_id: str, person: Enrolled) -> None:
    changed = replace(vault.wordings["marketing@1"], digest=bytes(32))
    for wordings in ({**vault.wordings, "marketing@1": changed}, {}):
        with pytest.raises(Conflict) as refusal:
            show_receipt(replace(vault, wordings=wordings), customer(controller_id, person), person.agreements[0])
        assert refusal.value.code == "template-unknown"


def test_the_terms_of_a_template_are_shown_to_anybody_who_calls(vault: Vault) -> None:
    policy = json.loads(show_terms(vault, "marketing", 1))
    assert policy["@id"] == f"https://{vault.settings.host}/templates/marketing/1"
    assert policy["vault:sha256"] == vault.templates["marketing@1"].digest.hex()
    with pytest.raises(NotFound):
        show_terms(vault, "marketing", 2)
