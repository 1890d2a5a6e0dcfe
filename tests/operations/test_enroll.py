"""Enrolling and agreeing: nobody twice, nothing without an agreement that was shown to have been made, and all faults at once."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.makers import evidence, make_context, make_subject, make_ticket, register, terms, years_before
from tests.operations.conftest import Ledger
from vault.assembly import Vault
from vault.errors import AccessDenied, Conflict, InvalidValue, NotFound
from vault.keys import frame
from vault.operations.agree import agree
from vault.operations.enroll import AgreementTerms, enroll
from vault.operations.withdraw import withdraw
from vault.policy.model import Context

VALUES = {"customer_number": "C-77", "given_name": "Giulia", "email": "giulia@example.it"}
CONTACT = {"given_name": "Giulia", "email": "giulia@example.it"}
ROWS = ("vault.subject", "vault.agreement", "vault.profile_frame", "keys.data_key", "keys.blind_index")


@pytest.fixture
def system(vault: Vault, controller_id: str) -> Context:
    """The system of record, passing on what was said on the phone."""
    register(vault, controller_id, "system")
    return make_context(controller_id, "system", channel="phone")


def faults(act: Callable[[], object]) -> list[tuple[str, str]]:
    with pytest.raises(InvalidValue) as refusal:
        act()
    return [(fault.pointer, fault.code) for fault in refusal.value.faults]


def test_a_unique_value_enrols_one_person(vault: Vault, system: Context, ledger: Ledger) -> None:
    enroll(vault, system, VALUES, (terms("retail"),))
    with pytest.raises(Conflict) as refusal:
        enroll(vault, system, {**VALUES, "customer_number": "c.77"}, (terms("retail"),))
    assert refusal.value.code == "already-enrolled"
    assert len(ledger.rows("vault.subject")) == 1
    assert ledger.outcomes("enroll") == ["done", "done", "failed"]


def test_an_email_may_be_two_peoples(vault: Vault, system: Context, ledger: Ledger) -> None:
    for number in range(2):
        enroll(vault, system, {**VALUES, "customer_number": f"C-{number}"}, (terms("retail"),))
    assert len(ledger.rows("vault.subject")) == 2


def test_every_value_at_fault_is_told_at_once_and_nothing_is_kept(vault: Vault, system: Context, ledger: Ledger) -> None:
    unfit = {
        "email": "nobody",
        "iban": "IT00",
        "a/b~c": "x",
        "address": {"country": "IT", "street": "Via Roma 1", "postal_code": "2"},
    }
    assert faults(lambda: enroll(vault, system, {**VALUES, **unfit}, (terms("retail"),))) == [
        ("/fields/email", "email.syntax"), ("/fields/iban", "iban.syntax"), ("/fields/a~1b~0c", "field.unknown"),
        ("/fields/address/postal_code", "address.syntax"),
    ]  # fmt: skip
    assert [ledger.rows(table) for table in ROWS] == [[]] * len(ROWS)


def test_a_null_is_no_value(vault: Vault, system: Context, ledger: Ledger) -> None:
    enroll(vault, system, {**VALUES, "iban": None}, (terms("retail"),))
    ((kept,),) = ledger.rows("vault.profile_frame", columns="frame")
    assert frame.read(kept).unpacked().keys() == VALUES.keys()


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ({"template": "no-such"}, ("/agreements/0/template", "agreement.unknown_template")),
        ({"version": 99}, ("/agreements/0/template", "agreement.unknown_template")),
        ({"template": "legal-obligation"}, ("/agreements/0/template", "agreement.unknown_template")),  # its trigger begins it
        ({"template": "emergency"}, ("/agreements/0/template", "agreement.unknown_template")),  # nobody signs a vital interest
        ({"language": "xx"}, ("/agreements/0/language", "text.no_such_language")),
        ({"evidence": {"indicated_at": "tomorrow"}}, ("/agreements/0/evidence/indicated_at", "consent.invalid_date")),
        ({"excluded": frozenset({"giulia_bianchi"})}, ("/agreements/0/excluded", "field.unknown")),
    ],
)
def test_terms_that_are_none_are_refused_by_place(
    vault: Vault, system: Context, ledger: Ledger, said: dict[str, Any], fault: tuple[str, str]
) -> None:
    agreed = replace(AgreementTerms("retail", None, "it", {}), **said)
    assert fault in faults(lambda: enroll(vault, system, VALUES, (agreed,)))
    assert ledger.rows("vault.subject") == []


def test_a_consent_that_nobody_showed_is_refused_in_every_respect(vault: Vault, system: Context) -> None:
    unshown = AgreementTerms("marketing", None, "it", {})
    told = faults(lambda: enroll(vault, system, VALUES, (terms("retail"), unshown)))
    assert {code for _, code in told} >= {
        "text.mismatch",
        "consent.missing_date",
        "consent.not_affirmative",
        "consent.missing_evidence",
    }
    assert all(pointer.startswith("/agreements/1/evidence/") for pointer, _ in told)


def test_a_child_does_not_consent_to_an_online_service_alone(vault: Vault, system: Context) -> None:
    """None of the templates shipped is an online service's: here the marketing consent is."""
    online = {"marketing@1": replace(vault.templates["marketing@1"], online_service=True)}
    vault = replace(vault, templates={**vault.templates, **online})
    child = {"given_name": "Ada", "email": "ada@example.it", "date_of_birth": years_before(vault.now().date(), 13)}
    alone, accompanied = terms("marketing"), terms("marketing", guardian="parent")
    told = faults(lambda: enroll(vault, system, child, (terms("retail"), alone)))
    assert told == [("/agreements/1/evidence/guardian", "guardian-needed")]
    enrolled = enroll(vault, system, child, (terms("retail"), accompanied))
    assert faults(lambda: agree(vault, system, enrolled.subject_id, alone)) == [("/guardian", "guardian-needed")]
    agree(vault, system, enrolled.subject_id, accompanied)


@pytest.mark.parametrize("role", ["t1", "dpo", "operator"])
def test_who_may_not_enrol_is_refused_on_record(vault: Vault, controller_id: str, ledger: Ledger, role: str) -> None:
    register(vault, controller_id, role)
    with pytest.raises(AccessDenied):
        enroll(vault, make_context(controller_id, role, ticket="T-1"), VALUES, (terms("retail"),))
    assert ledger.outcomes("enroll") == ["refused"]
    assert ledger.rows("vault.subject") == []


# --- agreeing and withdrawing ----------------------------------------------------------------------------------------------------


def test_agreeing_for_nobody_is_not_found(vault: Vault, system: Context, ledger: Ledger) -> None:
    with pytest.raises(NotFound):
        agree(vault, system, "sub_" + "z" * 26, terms("marketing"))
    assert ledger.outcomes("agree") == ["refused"]


def test_what_no_agreement_in_force_holds_is_not_granted_by_a_new_one(
    vault: Vault, controller_id: str, system: Context, ledger: Ledger
) -> None:
    """The companion of a contract holds the keys for a duty to keep; that is no source for a consent."""
    person = make_subject(vault, controller_id, VALUES, ("retail",))
    withdraw(vault, system, person.agreements[0], {})
    assert ledger.rows("vault.profile_frame"), "the companion keeps the data"
    made = agree(vault, system, person.subject_id, terms("marketing"))
    assert ledger.rows("keys.data_key_wrap", f"holder_id = '{made.agreement_id}'") == []


def test_who_holds_a_ticket_is_told_no_and_who_does_not_is_told_nothing(vault: Vault, controller_id: str, ledger: Ledger) -> None:
    register(vault, controller_id, "system", "t1", "operator")
    person = make_subject(vault, controller_id, VALUES, ("retail",))
    operator = make_context(controller_id, "operator")
    with pytest.raises(NotFound):
        withdraw(vault, operator, person.agreements[0], {})
    ticket = make_ticket(vault, controller_id, person.subject_id, "operator")
    with pytest.raises(AccessDenied):
        withdraw(vault, replace(operator, ticket_id=ticket), person.agreements[0], {})
    assert ledger.outcomes("withdraw") == ["refused", "refused"]
    assert ledger.rows("vault.agreement_state", f"agreement_id = '{person.agreements[0]}'", "status") == [("in_force",)]


def test_withdrawing_what_nobody_agreed_to_is_not_found(vault: Vault, controller_id: str, system: Context, ledger: Ledger) -> None:
    with pytest.raises(NotFound):
        withdraw(vault, system, "agr_" + "z" * 26, {})
    assert ledger.outcomes("withdraw") == ["refused"]


def test_what_is_withdrawn_while_it_is_being_withdrawn_is_a_conflict_on_record(
    vault: Vault, controller_id: str, system: Context, ledger: Ledger
) -> None:
    person = make_subject(vault, controller_id, CONTACT, ("marketing",))
    first: list[str] = []

    def new_id(prefix: str) -> str:
        """Hand out the entry's id, which is asked for after the reading: meanwhile somebody else withdraws."""
        if prefix == "ent" and not first:
            first.append(withdraw(vault, system, person.agreements[0], {}).entry_id)
        return vault.new_id(prefix)

    with pytest.raises(Conflict) as refusal:
        withdraw(replace(vault, new_id=new_id), system, person.agreements[0], {})
    assert refusal.value.code == "agreement-not-in-force"
    assert ledger.outcomes("withdraw") == ["done", "done", "failed"]


def test_evidence_is_kept_sealed(vault: Vault, controller_id: str, system: Context, ledger: Ledger) -> None:
    person = make_subject(vault, controller_id, CONTACT, ("marketing",))
    withdraw(vault, system, person.agreements[0], {"call_id": "call-77-giulia"})
    kept = repr(ledger.rows("vault.agreement_event"))
    assert "call-77-giulia" not in kept
    assert evidence("marketing")["call_id"] not in kept


def test_what_changes_while_somebody_agrees_is_a_conflict_on_record(
    vault: Vault, controller_id: str, system: Context, ledger: Ledger
) -> None:
    """The new wraps were made through an agreement that has ended since: they would bring a key back that is gone."""
    person = make_subject(vault, controller_id, CONTACT, ("marketing",))
    first: list[str] = []

    def new_id(prefix: str) -> str:
        """Hand out the entry's id, which is asked for after the reading: meanwhile somebody withdraws."""
        if prefix == "ent" and not first:
            first.append(withdraw(vault, system, person.agreements[0], {}).entry_id)
        return vault.new_id(prefix)

    with pytest.raises(Conflict) as refusal:
        agree(replace(vault, new_id=new_id), system, person.subject_id, terms("retail"))
    assert refusal.value.code == "changed-meanwhile"
    assert ledger.rows("keys.data_key_wrap") == []
    assert ledger.outcomes("agree") == ["done", "failed"]
