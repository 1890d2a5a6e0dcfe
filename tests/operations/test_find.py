"""Finding: one exact value finds its people; who may not know gets what one who is unknown gets; and guessing is budgeted."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.makers import make_context, make_subject, make_ticket, register
from tests.operations.conftest import Ledger
from vault.assembly import Vault
from vault.errors import AccessDenied, InvalidValue, TooMany
from vault.operations import find as module
from vault.operations.enroll import Enrolled
from vault.operations.find import LOOK_UPS, WINDOW, find
from vault.policy.engine import Policy
from vault.policy.model import CallerFacts, Context, Decision, SubjectFacts, TicketFacts

VALUES = {
    "customer_number": "C-77",
    "given_name": "Giulia",
    "family_name": "Bianchi",
    "email": "giulia@example.it",
    "phone": "02 1234 5678",
}


@pytest.fixture
def person(vault: Vault, controller_id: str) -> Enrolled:
    register(vault, controller_id, "t1", "t2", "dpo", "dsr-officer")
    return make_subject(vault, controller_id, VALUES)


@pytest.fixture
def agent(vault: Vault, controller_id: str, person: Enrolled) -> Context:
    """An agent of the second tier with a ticket about the person."""
    return make_context(controller_id, "t2", ticket=make_ticket(vault, controller_id, person.subject_id, "t2"))


@pytest.mark.parametrize(
    ("by", "value"),
    [("email", " GIULIA@example.IT "), ("phone", "+39 02 12345678"), ("mobile", "0212345678"), ("customer_number", "c77")],
)
def test_a_value_finds_its_person_however_it_is_spelt(vault: Vault, person: Enrolled, agent: Context, by: str, value: str) -> None:
    found = find(vault, agent, by, value)
    assert [(one.subject_id, one.label) for one in found.matches] == [(person.subject_id, "G••• B•••")]
    assert found.entry_id.startswith("ent_")


def test_each_match_and_each_miss_is_on_record(vault: Vault, agent: Context, ledger: Ledger) -> None:
    hit, miss = find(vault, agent, "email", VALUES["email"]), find(vault, agent, "email", "nobody@example.it")
    assert miss.matches == ()
    leaves = {leaf["id"]: leaf for leaf in ledger.leaves("find")}
    assert (leaves[hit.entry_id]["outcome"], leaves[miss.entry_id]["outcome"]) == ("allowed", "refused")
    assert ("subject" in leaves[hit.entry_id], "subject" in leaves[miss.entry_id]) == (True, False)
    assert VALUES["email"] not in repr(leaves)


def test_a_request_officer_finds_whom_a_request_is_about_and_nobody_else(
    vault: Vault, controller_id: str, person: Enrolled
) -> None:
    """A request must first be matched to its person, so no case is named; a hit without a right to it looks like a miss."""
    officer = make_context(controller_id, "dsr-officer")
    register(vault, controller_id, "dsr-officer")
    found = find(vault, officer, "email", VALUES["email"])
    assert found.matches == ()
    assert person.subject_id not in repr(found)
    make_ticket(vault, controller_id, person.subject_id, "dsr-officer", "T-request")
    assert [one.subject_id for one in find(vault, officer, "email", VALUES["email"]).matches] == [person.subject_id]


def test_a_match_says_how_far_it_is_known_and_no_more_than_twenty_are_told(
    vault: Vault, controller_id: str, agent: Context, person: Enrolled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_MATCHES", 2)
    shared = {name: value for name, value in VALUES.items() if name != "customer_number"}
    everybody = {person.subject_id, *(make_subject(vault, controller_id, shared).subject_id for _ in range(3))}
    register(vault, controller_id, "system")
    found = find(vault, make_context(controller_id, "system"), "phone", VALUES["phone"])
    assert {one.subject_id for one in found.matches} <= everybody
    assert len(find(vault, agent, "phone", VALUES["phone"]).matches) <= 2


def look_up(vault: Vault, context: Context, times: int) -> None:
    for number in range(times):
        find(vault, context, "email", f"nobody-{number}@example.it")


def test_the_eleventh_look_up_of_a_minute_is_refused_and_counts(vault: Vault, agent: Context, ledger: Ledger) -> None:
    at = vault.now()
    frozen = replace(vault, now=lambda: at)
    look_up(frozen, agent, LOOK_UPS)
    for number in (11, 12):
        with pytest.raises(TooMany) as refusal:
            find(frozen, agent, "email", VALUES["email"])
        assert (refusal.value.code, refusal.value.retry_after_s) == ("look-up-budget", 60)
        assert refusal.value.entry_id
        assert ledger.rows("vault.budget", "kind = 'find'", "caller_id, spent") == [("t2-1", number)]
    assert ledger.outcomes("find")[-2:] == ["refused", "refused"]


def test_the_wait_shrinks_and_a_new_minute_begins_a_new_budget(vault: Vault, agent: Context) -> None:
    at = vault.now()
    look_up(replace(vault, now=lambda: at), agent, LOOK_UPS)
    with pytest.raises(TooMany) as refusal:
        find(replace(vault, now=lambda: at + timedelta(seconds=45)), agent, "email", VALUES["email"])
    assert refusal.value.retry_after_s == 15
    with pytest.raises(TooMany) as refusal:
        find(replace(vault, now=lambda: at + timedelta(seconds=59.9)), agent, "email", VALUES["email"])
    assert refusal.value.retry_after_s == 1  # never nought, which would say: at once
    assert find(replace(vault, now=lambda: at + WINDOW), agent, "email", VALUES["email"]).matches


def test_each_caller_has_a_budget_of_their_own(vault: Vault, controller_id: str, agent: Context) -> None:
    look_up(vault, agent, LOOK_UPS)
    colleague = replace(agent, caller=make_context(controller_id, "t1").caller)
    assert find(vault, colleague, "email", VALUES["email"]).entry_id


@pytest.mark.parametrize("by", ["given_name", "no_such_field", "health_note"])
def test_a_field_without_an_index_cannot_be_looked_up(vault: Vault, agent: Context, by: str) -> None:
    with pytest.raises(InvalidValue) as refusal:
        find(vault, agent, by, "Giulia")
    assert [(fault.pointer, fault.code) for fault in refusal.value.faults] == [("/by", "field.not-searchable")]


@pytest.mark.parametrize(
    ("by", "value", "code"), [("email", "nobody", "email.syntax"), ("iban", "IT00", "iban.syntax"), ("phone", 7, "phone.invalid")]
)
def test_what_is_no_value_of_its_type_is_told_by_code(vault: Vault, agent: Context, by: str, value: Any, code: str) -> None:
    with pytest.raises(InvalidValue) as refusal:
        find(vault, agent, by, value)
    assert [(fault.pointer, fault.code) for fault in refusal.value.faults] == [("/value", code)]


def test_an_agent_without_a_case_is_refused_on_record(vault: Vault, agent: Context, ledger: Ledger) -> None:
    with pytest.raises(AccessDenied):  # policy asks for the ticket first
        find(vault, replace(agent, ticket_id=None), "email", VALUES["email"])
    assert ledger.outcomes("find") == ["refused"]


class Sparing(Policy):
    """The policy, with a field that is nobody's to search. The one that is shipped lets whoever searches search by any."""

    def decide(
        self, context: Context, act: Any, caller: CallerFacts, ticket: TicketFacts, subject: SubjectFacts, fields: Iterable[str]
    ) -> Decision:
        """Withhold the tax code from look-ups."""
        decision = super().decide(context, act, caller, ticket, subject, fields)
        if act != "find" or "tax_code" not in decision.fields:
            return decision
        return decision._replace(fields={"tax_code": decision.fields["tax_code"]._replace(level="withheld", because="role")})


def test_a_field_this_caller_may_not_search_is_refused_on_record(vault: Vault, agent: Context, ledger: Ledger) -> None:
    sparing = replace(vault, policy=Sparing(vault.policy._bundle))
    with pytest.raises(AccessDenied) as refusal:
        find(sparing, agent, "tax_code", "RSSMRA85T10A562S")
    assert refusal.value.code == "role"
    assert ledger.outcomes("find") == ["refused"]


def test_who_may_not_search_at_all_is_refused_on_record(vault: Vault, controller_id: str, agent: Context, ledger: Ledger) -> None:
    with pytest.raises(AccessDenied):
        find(vault, make_context(controller_id, "dpo", ticket=agent.ticket_id), "email", VALUES["email"])
    assert ledger.outcomes("find") == ["refused"]
    assert ledger.rows("vault.budget") == []
