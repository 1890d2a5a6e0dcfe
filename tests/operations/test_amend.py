"""Amending: under an agreement that covers it, on the version that was read, by who may; nothing is half changed."""

from dataclasses import replace
from typing import Any

import pytest

from tests.makers import make_context, make_subject, make_ticket, register, terms
from tests.operations.conftest import Ledger
from vault.assembly import Vault
from vault.errors import AccessDenied, Conflict, InvalidValue, NotFound, Stale
from vault.operations.agree import agree
from vault.operations.amend import amend
from vault.operations.disclose import disclose
from vault.operations.disclosure import Ask
from vault.operations.enroll import Enrolled
from vault.operations.find import find
from vault.operations.withdraw import withdraw
from vault.policy.model import Context

VALUES = {"given_name": "Giulia", "email": "giulia@example.it", "mobile": "333 1234567", "phone": "02 1234 5678"}


@pytest.fixture
def person(vault: Vault, controller_id: str) -> Enrolled:
    register(vault, controller_id, "t1", "t2", "billing", "dpo", "system")
    return make_subject(vault, controller_id, VALUES)


@pytest.fixture
def desk(vault: Vault, controller_id: str, person: Enrolled) -> Context:
    """The second tier, with a ticket of theirs about the person."""
    return make_context(controller_id, "t2", ticket=make_ticket(vault, controller_id, person.subject_id, "t2"))


def change(vault: Vault, context: Context, person: Enrolled, version: int = 1, **fields: Any) -> int:
    return amend(vault, context, person.subject_id, person.agreements[0], fields, version).version


def shown(vault: Vault, context: Context, person: Enrolled, *fields: str) -> dict[str, Any]:
    return {name: one.value for name, one in disclose(vault, Ask(context, person.subject_id, fields)).fields.items()}


def test_a_change_of_another_version_is_stale_and_changes_nothing(
    vault: Vault, desk: Context, person: Enrolled, ledger: Ledger
) -> None:
    assert change(vault, desk, person, contact_hours="mai") == 2
    with pytest.raises(Stale):
        change(vault, desk, person, contact_hours="sempre")
    assert shown(vault, desk, person, "contact_hours") == {"contact_hours": "mai"}
    assert ledger.outcomes("amend") == ["done"]


def test_of_two_changes_at_once_one_is_stale_and_on_record_as_failed(
    vault: Vault, desk: Context, person: Enrolled, ledger: Ledger
) -> None:
    done: list[int] = []

    def new_id(prefix: str) -> str:
        """Hand out the entry's id, which is asked for after the reading: meanwhile somebody else amends."""
        if prefix == "ent" and not done:
            done.append(change(vault, desk, person, contact_hours="prima"))
        return vault.new_id(prefix)

    with pytest.raises(Stale):
        change(replace(vault, new_id=new_id), desk, person, contact_hours="dopo")
    assert shown(vault, desk, person, "contact_hours") == {"contact_hours": "prima"}
    assert ledger.outcomes("amend") == ["done", "done", "failed"]


def test_a_class_somebody_had_nothing_in_is_begun(vault: Vault, controller_id: str, person: Enrolled, ledger: Ledger) -> None:
    ticket = make_ticket(vault, controller_id, person.subject_id, "billing", "T-billing")
    billing = make_context(controller_id, "billing", ticket=ticket)
    assert {name for (name,) in ledger.rows("keys.data_key", columns="class")} == {"contact"}
    change(vault, billing, person, vat_number="00743110157", email="nuova@example.it", iban=None)
    assert shown(vault, billing, person, "vat_number") == {"vat_number": "00743110157"}
    holders = {holder for (holder,) in ledger.rows("keys.data_key_wrap", "class = 'financial'", "holder_id")}
    assert person.agreements[0] in holders
    assert len(holders) == 2  # the companion too: what is to be kept is kept from the first value on


def test_removing_what_is_not_there_changes_nothing_but_the_version(vault: Vault, desk: Context, person: Enrolled) -> None:
    assert change(vault, desk, person, contact_hours=None, support_note=None) == 2
    assert shown(vault, desk, person, "given_name", "contact_hours") == {"given_name": "Giulia", "contact_hours": None}


def test_the_index_follows_the_value(vault: Vault, desk: Context, person: Enrolled) -> None:
    change(vault, desk, person, email="nuova@example.it", mobile=None, phone=None)
    for by, value, found in (("email", "nuova@example.it", 1), ("email", VALUES["email"], 0), ("phone", VALUES["mobile"], 0)):
        assert len(find(vault, desk, by, value).matches) == found, value


def test_while_one_phone_remains_both_numbers_are_found(vault: Vault, desk: Context, person: Enrolled) -> None:
    """They share an index, and the other's number stays sealed here, so nobody could tell whose the old entry was."""
    change(vault, desk, person, mobile="347 9183625")
    assert [len(find(vault, desk, "mobile", value).matches) for value in ("347 9183625", VALUES["phone"])] == [1, 1]


def test_under_an_agreement_that_does_not_cover_a_field_it_is_refused(
    vault: Vault, controller_id: str, desk: Context, person: Enrolled
) -> None:
    made = agree(vault, make_context(controller_id, "system", channel="phone"), person.subject_id, terms("marketing"))
    with pytest.raises(InvalidValue) as refusal:
        amend(
            vault, desk, person.subject_id, made.agreement_id, {"contact_hours": "mai", "email": "nuova@example.it"}, made.version
        )
    assert [(fault.pointer, fault.code) for fault in refusal.value.faults] == [("/fields/contact_hours", "field.not-agreed")]


def test_under_an_agreement_that_is_none_or_is_over_it_is_refused_on_record(
    vault: Vault, controller_id: str, desk: Context, person: Enrolled, ledger: Ledger
) -> None:
    with pytest.raises(NotFound) as unknown:
        amend(vault, desk, person.subject_id, "agr_" + "a" * 26, {"contact_hours": "mai"}, 1)
    assert unknown.value.code == "agreement-not-found"
    by_phone = make_context(controller_id, "system", channel="phone")
    made = agree(vault, by_phone, person.subject_id, terms("marketing"))
    withdraw(vault, by_phone, made.agreement_id, {})
    with pytest.raises(Conflict) as over:
        amend(vault, desk, person.subject_id, made.agreement_id, {"email": "nuova@example.it"}, 3)
    assert over.value.code == "agreement-not-in-force"
    assert ledger.outcomes("amend") == ["refused", "refused"]


def test_a_field_nobody_declared_is_refused(vault: Vault, desk: Context, person: Enrolled) -> None:
    with pytest.raises(InvalidValue) as refusal:
        amend(vault, desk, person.subject_id, person.agreements[0], {"contact_hours": "mai", "no_such": 1}, 1)
    assert [(fault.pointer, fault.code) for fault in refusal.value.faults] == [("/fields/no_such", "field.unknown")]


def test_a_field_that_is_not_theirs_to_change_is_told_only_to_who_holds_a_ticket(
    vault: Vault, controller_id: str, desk: Context, person: Enrolled, ledger: Ledger
) -> None:
    with pytest.raises(AccessDenied) as refusal:
        change(vault, desk, person, given_name="Maria", contact_hours="mai")
    assert [fault.pointer for fault in refusal.value.faults] == ["/fields/given_name"]
    with pytest.raises((NotFound, AccessDenied)) as unverified:
        change(vault, replace(desk, ticket_id="T-unheard-of"), person, contact_hours="mai")
    assert isinstance(unverified.value, NotFound)
    with pytest.raises(NotFound):
        change(vault, make_context(controller_id, "dpo"), person, contact_hours="mai")
    assert ledger.outcomes("amend") == ["refused"] * 3
    assert shown(vault, desk, person, "given_name") == {"given_name": "Giulia"}


def test_amending_nobody_is_not_found(vault: Vault, controller_id: str, person: Enrolled, ledger: Ledger) -> None:
    with pytest.raises(NotFound):
        amend(vault, make_context(controller_id, "system"), "sub_" + "z" * 26, person.agreements[0], {"contact_hours": "mai"}, 1)
    assert ledger.outcomes("amend") == ["refused"]


def test_a_unique_value_is_not_taken_from_somebody_else(vault: Vault, controller_id: str, person: Enrolled, ledger: Ledger) -> None:
    other = make_subject(vault, controller_id, {**VALUES, "customer_number": "C-77"})
    system = make_context(controller_id, "system")
    with pytest.raises(Conflict) as refusal:
        change(vault, system, person, customer_number="c 77")
    assert refusal.value.code == "value-taken"
    assert ledger.outcomes("amend") == ["done", "failed"]
    assert (
        amend(vault, system, other.subject_id, other.agreements[0], {"customer_number": "C-77"}, 1).version == 2
    )  # one's own is no other's
