"""What decisions rest on is what the events say, or the nightly check names it."""

from dataclasses import replace
from datetime import timedelta

import pytest

import vault.operations.recheck_agreements as module
from tests.makers import make_context, make_subject, terms
from tests.operations.conftest import Ledger
from vault.assembly import Vault
from vault.operations.agree import agree
from vault.operations.expire import expire
from vault.operations.recheck_agreements import recheck_agreements
from vault.operations.withdraw import withdraw

VALUES = {"given_name": "Giulia", "email": "g@example.it"}


def test_whatever_befalls_an_agreement_its_state_follows_from_its_events(
    vault: Vault, controller_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGE", 2)
    system = make_context(controller_id, "system", channel="phone")
    person = make_subject(vault, controller_id, VALUES, ("retail", "marketing"))
    withdraw(vault, system, person.agreements[1], {})
    agree(vault, system, person.subject_id, terms("marketing", excluded=["mobile"]))
    make_subject(vault, controller_id, VALUES, ("marketing",))
    assert recheck_agreements(vault, controller_id) == []
    expire(replace(vault, now=lambda: vault.now() + timedelta(days=3 * 366)), controller_id)
    assert recheck_agreements(vault, controller_id) == []


@pytest.mark.parametrize(
    ("change", "codes"),
    [
        ("UPDATE vault.agreement_state SET status = 'in_force', consent = 'valid'", ["status", "consent"]),
        ("UPDATE vault.agreement_state SET valid_until = valid_until + interval '1 year'", ["validity"]),
        ("UPDATE vault.agreement_state SET template = 'retail@1'", ["template"]),
        ("UPDATE vault.agreement_state SET excluded = '{email}'", ["excluded"]),
        ("DELETE FROM vault.agreement_state", ["missing"]),
    ],
)
def test_a_state_changed_by_sql_is_named(vault: Vault, controller_id: str, ledger: Ledger, change: str, codes: list[str]) -> None:
    person = make_subject(vault, controller_id, VALUES, ("marketing", "retail"))
    withdraw(vault, make_context(controller_id, "system"), person.agreements[0], {})
    ledger.owner(f"{change} WHERE agreement_id = '{person.agreements[0]}'")
    found = recheck_agreements(vault, controller_id)
    assert [(one.agreement_id, one.code) for one in found] == [(person.agreements[0], code) for code in codes]
    assert {one.subject_id for one in found} == {person.subject_id}


def test_every_page_is_looked_at(vault: Vault, controller_id: str, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE", 2)
    people = {make_subject(vault, controller_id, VALUES, ("marketing",)).subject_id for _ in range(5)}
    ledger.owner(f"UPDATE vault.agreement_state SET consent = 'none' WHERE controller_id = '{controller_id}'")
    found = recheck_agreements(vault, controller_id)
    assert (len(found), {one.subject_id for one in found}) == (5, people)


def test_an_event_taken_out_is_named(vault: Vault, controller_id: str, ledger: Ledger) -> None:
    person = make_subject(vault, controller_id, VALUES, ("marketing", "retail"))
    withdraw(vault, make_context(controller_id, "system"), person.agreements[0], {})
    taken = f"DELETE FROM vault.agreement_event WHERE number = 1 AND agreement_id = '{person.agreements[0]}'"
    ledger.owner(f"BEGIN; SET LOCAL session_replication_role = replica; {taken}; COMMIT")
    assert [one.code for one in recheck_agreements(vault, controller_id)] == ["events"]


def test_a_template_no_longer_known_is_compared_as_far_as_it_can_be(vault: Vault, controller_id: str) -> None:
    make_subject(vault, controller_id, VALUES, ("marketing",))
    assert recheck_agreements(replace(vault, templates={}), controller_id) == []
