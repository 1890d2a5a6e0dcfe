"""What was agreed is what can be opened: agreeing gives wraps, withdrawing takes them, the clock ends what nobody ended."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tests import makers
from tests.makers import HEALTH, make_context, make_subject, make_ticket, register, terms
from tests.operations.conftest import Ledger
from vault.assembly import Vault
from vault.errors import AccessDenied, Conflict, InvalidValue, NotFound
from vault.operations.agree import agree
from vault.operations.amend import amend
from vault.operations.disclose import disclose
from vault.operations.disclosure import Ask
from vault.operations.expire import expire
from vault.operations.find import find
from vault.operations.narrow import narrow
from vault.operations.withdraw import withdraw

EVERYTHING = {name: value for name, value in makers.EVERYTHING.items() if name != "related_person"}


def test_an_agent_with_a_ticket_sees_what_the_role_may(vault: Vault, controller_id: str) -> None:
    register(vault, controller_id, "t1")
    person = make_subject(vault, controller_id, EVERYTHING)
    ticket = make_ticket(vault, controller_id, person.subject_id, "t1")
    profile = disclose(vault, Ask(make_context(controller_id, "t1", ticket=ticket), person.subject_id))
    assert profile.fields["given_name"].value == "Giulia"
    assert profile.fields["email"].value == "g•••@example.it"
    assert profile.fields["tax_code"].state == "token"
    assert profile.agreements == (person.agreements[0],)


def test_a_withdrawn_agreement_shows_nothing_and_its_classes_are_gone(vault: Vault, controller_id: str) -> None:
    person = make_subject(vault, controller_id, {"given_name": "Giulia", "email": "g@example.it"}, ("marketing",))
    context = make_context(controller_id, "system", purpose="marketing")
    asked = Ask(context, person.subject_id, ("given_name", "email"))
    assert disclose(vault, asked).fields["email"].state == "token"
    done = withdraw(vault, make_context(controller_id, "system"), person.agreements[0], {"method": "call"})
    assert done.emptied == ("contact",)
    with pytest.raises(NotFound):
        disclose(vault, asked)
    with pytest.raises(Conflict):
        withdraw(vault, make_context(controller_id, "system"), person.agreements[0], {})


def test_a_consent_is_withdrawn_with_a_word_and_a_contract_with_a_second_factor(vault: Vault, controller_id: str) -> None:
    person = make_subject(vault, controller_id, EVERYTHING, ("retail", "marketing"))
    sure = make_context(controller_id, "customer", subject_id=person.subject_id)
    known = {level: replace(sure, caller=replace(sure.caller, level=level)) for level in (0, 1, 2)}
    contract, consent = person.agreements
    for level in (0, 1):
        for act in (
            lambda level=level: withdraw(vault, known[level], contract, {}),
            lambda level=level: narrow(vault, known[level], contract, ["iban"], {}),
        ):
            with pytest.raises(AccessDenied) as refusal:
                act()
            assert (refusal.value.code, bool(refusal.value.entry_id)) == ("level-needed", True)
    narrow(vault, known[0], consent, ["email"], {})
    assert withdraw(vault, known[0], consent, {}).emptied == ()
    narrow(vault, known[2], contract, ["iban"], {})
    assert withdraw(vault, known[2], contract, {}).version == 5


def test_a_new_agreement_opens_what_it_grants(vault: Vault, controller_id: str) -> None:
    person = make_subject(vault, controller_id, EVERYTHING)
    context = make_context(controller_id, "system", purpose="marketing")
    with pytest.raises(NotFound):
        disclose(vault, Ask(context, person.subject_id, ("email",)))
    made = agree(vault, make_context(controller_id, "system", channel="phone"), person.subject_id, terms("marketing"))
    assert made.version == 2
    shown = disclose(vault, Ask(context, person.subject_id, ("email",)))
    assert shown.fields["email"].state == "token"
    assert shown.agreements == (made.agreement_id,)


def test_what_an_expired_consent_alone_held_is_gone_when_something_else_is_agreed(
    vault: Vault, controller_id: str, ledger: Ledger
) -> None:
    """No job has run: without this the new agreement would find values it has no key of."""
    person = make_subject(vault, controller_id, {"given_name": "Giulia", "email": "g@example.it"}, ("marketing",))
    later = replace(vault, now=lambda: vault.now() + timedelta(days=3 * 366))
    system = make_context(controller_id, "system", channel="phone")
    made = agree(later, system, person.subject_id, terms("retail"))
    shown = disclose(
        later, Ask(make_context(controller_id, "customer", subject_id=person.subject_id), person.subject_id, ("email",))
    )
    assert (shown.fields["email"].state, shown.agreements) == ("absent", (made.agreement_id,))
    assert ledger.rows("vault.profile_frame") == []
    events = ledger.rows("vault.agreement_event", f"agreement_id = '{person.agreements[0]}' ORDER BY number", "kind")
    assert events == [("given",), ("expired",)]
    assert expire(later, controller_id) == 0
    assert amend(later, system, person.subject_id, made.agreement_id, {"email": "g@example.it"}, made.version).version == 3


def test_a_contract_agreed_later_brings_its_duty_to_keep(vault: Vault, controller_id: str, ledger: Ledger) -> None:
    person = make_subject(vault, controller_id, {"given_name": "Giulia", "email": "g@example.it"}, ("marketing",))
    system = make_context(controller_id, "system", channel="phone")
    made = agree(vault, system, person.subject_id, terms("retail"))
    amend(vault, system, person.subject_id, made.agreement_id, {"iban": "IT60X0542811101000000123456"}, 2)
    assert ledger.rows("vault.agreement_state", "status = 'dormant'", "template") == [("legal-obligation@1",)]
    for agreement_id in (person.agreements[0], made.agreement_id):
        assert withdraw(vault, system, agreement_id, {}).emptied == ()
    assert ledger.rows("keys.data_key", "true ORDER BY class", "class, state") == [
        ("contact", "archived"),
        ("financial", "archived"),
    ]
    assert set(ledger.rows("keys.data_key_wrap", columns="holder_kind")) == {("hold",)}
    again = agree(vault, system, person.subject_id, terms("retail"))
    amend(vault, system, person.subject_id, again.agreement_id, {"email": "g@example.it"}, again.version)
    ((companion,),) = ledger.rows("vault.agreement_state", f"status = 'dormant' AND entry_id = '{again.entry_id}'", "agreement_id")
    holders = set(ledger.rows("keys.data_key_wrap", "generation = 2", "holder_kind, holder_id"))
    assert {("agreement", again.agreement_id), ("hold", companion)} <= holders


def test_an_amended_value_is_what_is_read_next(vault: Vault, controller_id: str) -> None:
    register(vault, controller_id, "t1", "t2")
    person = make_subject(vault, controller_id, EVERYTHING)
    ticket = make_ticket(vault, controller_id, person.subject_id, "t2")
    context = make_context(controller_id, "t2", ticket=ticket)
    done = amend(vault, context, person.subject_id, person.agreements[0], {"email": "Nuova@Example.IT", "phone": None}, 1)
    assert done.version == 2
    fields = disclose(vault, Ask(context, person.subject_id, ("email", "phone", "given_name"))).fields
    assert fields["email"].value == "n•••@example.it"
    assert fields["phone"].state == "absent"
    assert fields["given_name"].value == "Giulia"


def test_a_value_is_found_by_its_new_spelling_only(vault: Vault, controller_id: str) -> None:
    register(vault, controller_id, "t1", "t2")
    person = make_subject(vault, controller_id, EVERYTHING)
    ticket = make_ticket(vault, controller_id, person.subject_id, "t2")
    context = make_context(controller_id, "t2", ticket=ticket)
    amend(vault, context, person.subject_id, person.agreements[0], {"email": "nuova@example.it"}, 1)
    assert [one.subject_id for one in find(vault, context, "email", "NUOVA@example.it").matches] == [person.subject_id]
    assert find(vault, context, "email", "giulia.bianchi@example.it").matches == ()


def test_a_value_no_agreement_grants_is_refused_and_nothing_is_kept(vault: Vault, controller_id: str) -> None:
    with pytest.raises(InvalidValue) as refusal:
        make_subject(vault, controller_id, {**EVERYTHING, **HEALTH})
    assert {fault.code for fault in refusal.value.faults} == {"field.not-agreed"}


def test_the_clock_ends_an_agreement_before_any_job_runs(vault: Vault, controller_id: str) -> None:
    person = make_subject(vault, controller_id, {"given_name": "Giulia", "email": "g@example.it"}, ("marketing",))
    asked = Ask(make_context(controller_id, "system", purpose="marketing"), person.subject_id, ("email",))
    later = replace(vault, now=lambda: vault.now() + timedelta(days=3 * 366))
    register(vault, controller_id, "system")
    with pytest.raises(NotFound):
        disclose(later, asked)
    assert expire(later, controller_id) == 1
    assert expire(later, controller_id) == 0
