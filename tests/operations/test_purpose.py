"""A purpose that is checked: a closed ticket, another agent's, another person's, each refused with a reason of its own.

What is told follows from the ticket and the caller alone: whether the person asked about is here, is restricted or has an agreement
changes nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from tests.conftest import Controllers
from tests.makers import evidence, make_context, make_subject, make_ticket, register, terms
from tests.operations.conftest import Ledger
from vault.assembly import Vault
from vault.errors import AccessDenied, NotFound, VaultError
from vault.opening import Opened
from vault.operations.agree import agree
from vault.operations.amend import amend
from vault.operations.callers import Registration, register_caller
from vault.operations.disclose import disclose
from vault.operations.disclosure import Ask
from vault.operations.enroll import Enrolled
from vault.operations.evaluate import Question, evaluate_all
from vault.operations.explain import explain
from vault.operations.find import find
from vault.operations.reveal import Wish, reveal
from vault.operations.show_agreements import show_agreements
from vault.operations.verify import verify
from vault.operations.withdraw import withdraw
from vault.policy.model import Context

NOBODY = "sub_" + "z" * 26
VALUES = {"given_name": "Giulia", "email": "giulia@example.it", "contact_hours": "dopo le 18", "customer_number": "C0000001"}
Act = Callable[[Vault, Context, str], Any]
ACTS: dict[str, Act] = {
    "disclose": lambda vault, agent, person: disclose(vault, Ask(agent, person, ("given_name", "email"))),
    "reveal": lambda vault, agent, person: reveal(vault, agent, person, Wish(("email",), "CALLBACK")),
    "verify": lambda vault, agent, person: verify(vault, agent, person, "email", VALUES["email"]),
    "amend": lambda vault, agent, person: amend(vault, agent, person, "agr_" + "z" * 26, {"email": "x@example.it"}, 1),
    "agree": lambda vault, agent, person: agree(vault, agent, person, terms("marketing")),
    "show_agreements": show_agreements,
}
REASONS = {"T-closed": "ticket-closed", "T-of-another": "ticket-of-another-person", "T-not-mine": "ticket-not-yours"}


@pytest.fixture
def person(vault: Vault, controller_id: str) -> Enrolled:
    return enrolled(vault, controller_id)


@pytest.fixture
def agent(vault: Vault, controller_id: str, person: Enrolled) -> Context:
    return with_tickets(vault, controller_id, person)


@dataclass(frozen=True)
class House:
    """A person, an agent, and the log of what the agent is refused: a refusal leaves nothing else behind."""

    person: Enrolled
    agent: Context
    ledger: Ledger


@pytest.fixture(scope="module")
def house(opened: Opened, shared_controllers: Controllers) -> House:
    """One house for all who are refused and change nothing."""
    controller_id = shared_controllers()
    person = enrolled(opened.vault, controller_id)
    return House(person, with_tickets(opened.vault, controller_id, person), Ledger(opened, controller_id))


def enrolled(vault: Vault, controller_id: str) -> Enrolled:
    register(vault, controller_id, "t1", "t2")
    return make_subject(vault, controller_id, VALUES)


def with_tickets(vault: Vault, controller_id: str, person: Enrolled) -> Context:
    """Return an agent of the second tier; about the person a closed ticket and a colleague's, and one about somebody else."""
    other = make_subject(vault, controller_id, {"given_name": "Ada"}).subject_id
    make_ticket(vault, controller_id, person.subject_id, "t2", "T-mine")
    make_ticket(vault, controller_id, person.subject_id, "t2", "T-closed", state="closed")
    make_ticket(vault, controller_id, person.subject_id, "t1", "T-not-mine")
    make_ticket(vault, controller_id, other, "t2", "T-of-another")
    return make_context(controller_id, "t2", ticket="T-mine")


def refused(act: Callable[..., Any], *arguments: Any) -> VaultError:
    with pytest.raises((AccessDenied, NotFound)) as refusal:
        act(*arguments)
    return refusal.value


@pytest.mark.parametrize("verb", ACTS)
@pytest.mark.parametrize("ticket", REASONS)
def test_each_ticket_that_does_not_serve_is_refused_with_its_own_reason(vault: Vault, house: House, verb: str, ticket: str) -> None:
    refusal = refused(ACTS[verb], vault, replace(house.agent, ticket_id=ticket), house.person.subject_id)
    assert (type(refusal), refusal.code) == (AccessDenied, REASONS[ticket])
    last = house.ledger.leaves(verb)[-1]
    assert (last["id"], last["outcome"]) == (refusal.entry_id, "refused")


@pytest.mark.parametrize("verb", ACTS)
@pytest.mark.parametrize("ticket", REASONS)
def test_the_reason_is_the_same_where_nobody_is(vault: Vault, house: House, verb: str, ticket: str) -> None:
    refusal = refused(ACTS[verb], vault, replace(house.agent, ticket_id=ticket), NOBODY)
    assert (type(refusal), refusal.code) == (AccessDenied, REASONS[ticket])
    last = house.ledger.leaves(verb)[-1]
    assert (last["id"], last["outcome"]) == (refusal.entry_id, "refused")


@pytest.mark.parametrize("ticket", [None, "T-unheard"])
def test_without_a_ticket_that_is_known_there_is_only_the_uniform_404(vault: Vault, house: House, ticket: str | None) -> None:
    for subject_id in (house.person.subject_id, NOBODY):
        refusal = refused(verify, vault, replace(house.agent, ticket_id=ticket), subject_id, "email", VALUES["email"])
        assert (type(refusal), refusal.code) == (NotFound, "not-found")


def test_of_a_colleague_s_ticket_nothing_else_is_told(vault: Vault, controller_id: str, person: Enrolled, agent: Context) -> None:
    """Neither that it is closed nor about whom it is."""
    make_ticket(vault, controller_id, person.subject_id, "t1", "T-theirs-closed", state="closed")
    make_ticket(vault, controller_id, NOBODY, "t1", "T-theirs-other")
    for ticket in ("T-not-mine", "T-theirs-closed", "T-theirs-other"):
        for subject_id in (person.subject_id, NOBODY):
            refusal = refused(disclose, vault, Ask(replace(agent, ticket_id=ticket), subject_id, ("email",)))
            assert (type(refusal), refusal.code) == (AccessDenied, "ticket-not-yours")


def test_what_stands_on_record_of_a_refused_ticket(vault: Vault, person: Enrolled, agent: Context, ledger: Ledger) -> None:
    refusal = refused(ACTS["disclose"], vault, replace(agent, ticket_id="T-closed"), person.subject_id)
    told = explain(vault, replace(agent, ticket_id="T-mine"), refusal.decision_id or "").document
    assert told["because"] == "ticket-closed"
    assert "fields" not in told
    assert ledger.rows("vault.audit_lookup", "operation = 'disclose'", "ticket_state") == [("closed",)]


def test_a_first_tier_s_ticket_is_the_team_s(vault: Vault, controller_id: str, person: Enrolled) -> None:
    make_ticket(vault, controller_id, person.subject_id, "t1", "T-team", assignee="somebody")
    make_ticket(vault, controller_id, person.subject_id, "t1", "T-teamless", assignee="somebody", team="another")
    first = make_context(controller_id, "t1", ticket="T-team")
    assert disclose(vault, Ask(first, person.subject_id, ("given_name",))).fields["given_name"].state == "clear"
    refusal = refused(disclose, vault, Ask(replace(first, ticket_id="T-teamless"), person.subject_id, ("given_name",)))
    assert refusal.code == "ticket-not-yours"


def test_who_is_on_no_register_is_told_nothing_of_a_ticket(
    vault: Vault, controller_id: str, person: Enrolled, agent: Context
) -> None:
    register_caller(vault, controller_id, Registration("t2-1", ("t2",), "support", valid_until=vault.now()))
    for ticket in (*REASONS, "T-unheard"):
        for subject_id in (person.subject_id, NOBODY):
            refusal = refused(disclose, vault, Ask(replace(agent, ticket_id=ticket), subject_id, ("email",)))
            assert (type(refusal), refusal.code) == (NotFound, "not-found")


def test_nobody_is_looked_for_on_a_ticket_that_does_not_serve(vault: Vault, person: Enrolled, agent: Context) -> None:
    assert [one.subject_id for one in find(vault, agent, "email", VALUES["email"]).matches] == [person.subject_id]
    for ticket, code in (("T-closed", "ticket-closed"), ("T-not-mine", "ticket-not-yours")):
        for value in (VALUES["email"], "nobody@example.it"):
            refusal = refused(find, vault, replace(agent, ticket_id=ticket), "email", value)
            assert (type(refusal), refusal.code) == (AccessDenied, code)
    assert find(vault, replace(agent, ticket_id="T-of-another"), "email", VALUES["email"]).matches == ()


def test_an_agreement_is_not_withdrawn_on_a_ticket_that_does_not_serve(vault: Vault, person: Enrolled, agent: Context) -> None:
    for ticket, code in REASONS.items():
        refusal = refused(withdraw, vault, replace(agent, ticket_id=ticket), person.agreements[0], evidence("retail"))
        assert refusal.code == code


@pytest.mark.parametrize("ticket", REASONS)
def test_an_evaluation_says_so_too(vault: Vault, house: House, ticket: str) -> None:
    context = replace(house.agent, ticket_id=ticket)
    questions = [Question(context, ("agent", "t2-1"), "view", who, "email") for who in (house.person.subject_id, NOBODY)]
    assert [(type(one), one.code) for one in evaluate_all(vault, questions)] == [(AccessDenied, REASONS[ticket])] * 2
