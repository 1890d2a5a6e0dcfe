"""What was agreed, and what became of it, is shown to who may know: each reading on record, the evidence never."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.makers import make_context, make_subject, make_ticket, register, terms
from tests.operations.conftest import Ledger
from vault.assembly import Vault
from vault.errors import AccessDenied, NotFound
from vault.operations.agree import agree
from vault.operations.expire import expire
from vault.operations.show_agreements import show_agreements, show_history
from vault.operations.withdraw import withdraw

VALUES = {"given_name": "Giulia", "email": "g@example.it"}


def test_everything_agreed_is_listed_as_it_stands(vault: Vault, controller_id: str, ledger: Ledger) -> None:
    person = make_subject(vault, controller_id, VALUES, ("retail", "marketing"))
    system = make_context(controller_id, "system", channel="phone")
    withdraw(vault, system, person.agreements[1], {})
    again = agree(vault, system, person.subject_id, terms("marketing", excluded=["mobile"]))
    shown = show_agreements(vault, make_context(controller_id, "customer", subject_id=person.subject_id), person.subject_id)
    stands = {one.agreement_id: (one.template, one.version, one.status, one.consent, one.excluded) for one in shown.agreements}
    assert stands[person.agreements[0]] == ("retail", 1, "in_force", "none", ())
    assert stands[person.agreements[1]] == ("marketing", 1, "withdrawn", "withdrawn", ())
    assert stands[again.agreement_id] == ("marketing", 1, "in_force", "valid", ("mobile",))
    assert [one[:3] for one in stands.values() if one[2] == "dormant"] == [("legal-obligation", 1, "dormant")]
    assert (len(stands), shown.version) == (4, again.version)
    assert ledger.outcomes("show_agreements") == ["done"]
    assert ledger.leaves("show_agreements")[0]["count"] == 4


def test_the_clock_has_ended_what_no_job_has(vault: Vault, controller_id: str) -> None:
    person = make_subject(vault, controller_id, VALUES, ("marketing",))
    later = replace(vault, now=lambda: vault.now() + timedelta(days=3 * 366))
    own = make_context(controller_id, "customer", subject_id=person.subject_id)

    def standing() -> list[tuple[str, str]]:
        return [(one.status, one.consent) for one in show_agreements(later, own, person.subject_id).agreements]

    before = standing()
    assert expire(later, controller_id) == 1
    assert before == standing() == [("expired", "expired")]


def test_the_history_of_one_agreement_is_its_events_and_no_evidence(vault: Vault, controller_id: str, ledger: Ledger) -> None:
    person = make_subject(vault, controller_id, VALUES, ("retail", "marketing"))
    system = make_context(controller_id, "system", channel="phone")
    withdraw(vault, replace(system, channel="email"), person.agreements[1], {"call_id": "call-771"})
    shown = show_history(vault, system, person.agreements[1])
    assert [(one.number, one.kind, one.channel) for one in shown.events] == [(1, "given", "phone"), (2, "withdrawn", "email")]
    assert (shown.subject_id, shown.agreement.status) == (person.subject_id, "withdrawn")
    assert "call-" not in repr(shown)
    assert ledger.outcomes("show_agreements") == ["done"]


@pytest.mark.parametrize("what", ["agreements", "history"])
def test_who_may_not_know_is_told_nothing_and_who_holds_a_ticket_no(
    vault: Vault, controller_id: str, ledger: Ledger, what: str
) -> None:
    register(vault, controller_id, "operator", "t2", "system")
    person = make_subject(vault, controller_id, VALUES)

    def look(role: str, ticket: str | None = None, subject_id: str | None = None) -> object:
        context = make_context(controller_id, role, ticket=ticket, subject_id=subject_id)
        if what == "agreements":
            return show_agreements(vault, context, person.subject_id)
        return show_history(vault, context, person.agreements[0])

    for role in ("operator", "t2", "customer"):
        with pytest.raises(NotFound):
            look(role, subject_id="sub_" + "z" * 26)
    with pytest.raises(AccessDenied):
        look("operator", make_ticket(vault, controller_id, person.subject_id, "operator"))
    look("t2", make_ticket(vault, controller_id, person.subject_id, "t2", "TCK-2"))
    assert ledger.outcomes("show_agreements") == ["refused"] * 4 + ["done"]


def test_nobody_and_an_agreement_of_nobody_are_not_found_on_record(vault: Vault, controller_id: str, ledger: Ledger) -> None:
    register(vault, controller_id, "system")
    system = make_context(controller_id, "system")
    with pytest.raises(NotFound):
        show_agreements(vault, system, "sub_" + "z" * 26)
    with pytest.raises(NotFound):
        show_history(vault, system, "agr_" + "z" * 26)
    assert ledger.outcomes("show_agreements") == ["refused", "refused"]
