"""Revealing: a few named fields, on one's own verified ticket, for a reason that is told, and no more than the limits allow."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.makers import EVERYTHING, make_context, make_subject, make_ticket, register
from tests.operations.conftest import Ledger
from vault.assembly import Vault
from vault.errors import AccessDenied, InvalidValue, NotFound, TooMany, VaultError
from vault.operations.callers import Registration, register_caller
from vault.operations.enroll import Enrolled
from vault.operations.reveal import REASONS, SHORTEST_TEXT, Wish, reveal
from vault.policy.model import Context

WORDS = "la cliente attende una risposta urgente"
NAME = Wish(("given_name",), "CALLBACK")


@pytest.fixture
def person(vault: Vault, controller_id: str) -> Enrolled:
    register(vault, controller_id, "t1", "t2", "dpo", "billing")
    values = {name: value for name, value in EVERYTHING.items() if name != "related_person"}
    return make_subject(vault, controller_id, values)


@pytest.fixture
def agent(vault: Vault, controller_id: str, person: Enrolled) -> Context:
    """An agent of the second tier with a ticket of their own about the person."""
    return make_context(controller_id, "t2", ticket=make_ticket(vault, controller_id, person.subject_id, "t2"))


def outcome(vault: Vault, context: Context, subject_id: str, wish: Wish = NAME) -> str:
    """Return `shown`, or the code of the refusal."""
    try:
        reveal(vault, context, subject_id, wish)
    except VaultError as error:
        return error.code
    return "shown"


def at(vault: Vault, **later: float) -> Vault:
    """Return the vault some time from now."""
    now = vault.now() + timedelta(**later)
    return replace(vault, now=lambda: now)


def test_a_reveal_is_a_disclosure_with_a_reason_and_a_time_to_hide(
    vault: Vault, person: Enrolled, agent: Context, ledger: Ledger
) -> None:
    shown = reveal(vault, agent, person.subject_id, Wish(("given_name", "email", "given_name"), "CALLBACK"))
    assert shown.hide_after_s == 60
    assert {name: one.state for name, one in shown.profile.fields.items()} == {"given_name": "clear", "email": "masked"}
    [leaf] = ledger.leaves("reveal")
    assert (leaf["id"], leaf["outcome"]) == (shown.profile.entry_id, "allowed")
    assert leaf["fields"] == {"given_name": "clear", "email": "masked:email_domain"}


@pytest.mark.parametrize(
    ("wish", "fault"),
    [
        (Wish((), "CALLBACK"), ("/fields", "fields.count")),
        (Wish(("given_name", "family_name", "email", "mobile", "phone", "iban"), "CALLBACK"), ("/fields", "fields.count")),
        (Wish(("no_such_field",), "CALLBACK"), ("/fields", "field.unknown")),
        (Wish(("email",), "CURIOSITY"), ("/reason", "reason.unknown")),
        (Wish(("email",), "OTHER"), ("/justification", "text.too-short")),
        (Wish(("email",), "OTHER", "x" * (SHORTEST_TEXT - 1)), ("/justification", "text.too-short")),
        (Wish(("email",), "OTHER", "x" + " " * SHORTEST_TEXT), ("/justification", "text.too-short")),
        (Wish(("email",), "CALLBACK", "x" * 1_001), ("/justification", "text.too-long")),
        (Wish(("email",), "OTHER", "\ud800" * SHORTEST_TEXT), ("/justification", "text.syntax")),
    ],
)
def test_what_is_no_wish_is_told_by_pointer_and_code(
    vault: Vault, person: Enrolled, agent: Context, wish: Wish, fault: tuple[str, str]
) -> None:
    with pytest.raises(InvalidValue) as refusal:
        reveal(vault, agent, person.subject_id, wish)
    assert [(one.pointer, one.code) for one in refusal.value.faults] == [fault]
    assert WORDS not in repr(Wish(("email",), "OTHER", WORDS))


def test_every_reason_is_there_in_both_languages(vault: Vault, person: Enrolled, agent: Context) -> None:
    assert all(set(one) == {"it", "en"} and all(one.values()) for one in REASONS.values())
    for day, reason in enumerate(REASONS):
        shown = reveal(at(vault, days=2 * day), agent, person.subject_id, Wish(("given_name",), reason, WORDS))
        assert shown.profile.fields["given_name"].state == "clear"


def test_it_takes_one_s_own_verified_ticket(
    vault: Vault, controller_id: str, person: Enrolled, agent: Context, ledger: Ledger
) -> None:
    make_ticket(vault, controller_id, person.subject_id, "t1", "TCK-other")
    make_ticket(vault, controller_id, person.subject_id, "t2", "TCK-closed", state="closed")
    said = {ticket: outcome(vault, replace(agent, ticket_id=ticket), person.subject_id)
            for ticket in (agent.ticket_id, "TCK-other", "TCK-unheard", "TCK-closed", None)}  # fmt: skip
    assert said == {
        agent.ticket_id: "shown", "TCK-other": "ticket-not-yours", "TCK-unheard": "not-found", "TCK-closed": "ticket-closed",
        None: "not-found",
    }  # fmt: skip
    assert ledger.outcomes("reveal") == ["allowed", *["refused"] * 4]


def test_whom_policy_lets_reveal_nothing_is_refused(vault: Vault, controller_id: str, person: Enrolled, agent: Context) -> None:
    for role in ("dpo", "customer", "system"):
        own = make_context(controller_id, role, ticket=agent.ticket_id, subject_id=person.subject_id)
        with pytest.raises((AccessDenied, NotFound)):
            reveal(vault, own, person.subject_id, NAME)


def test_nobody_is_as_missing_even_on_a_ticket(vault: Vault, controller_id: str, person: Enrolled) -> None:
    nobody = "sub_" + "z" * 26
    agent = make_context(controller_id, "t2", ticket=make_ticket(vault, controller_id, nobody, "t2", "TCK-9"))
    assert outcome(vault, agent, nobody) == "not-found"


# --- limits


def test_five_values_a_day_of_one_person_and_no_more(vault: Vault, person: Enrolled, agent: Context, ledger: Ledger) -> None:
    three = Wish(("given_name", "family_name", "email"), "CALLBACK")
    reveal(vault, agent, person.subject_id, three)
    with pytest.raises(TooMany) as refusal:
        reveal(vault, agent, person.subject_id, three)
    assert 0 < (refusal.value.retry_after_s or 0) <= 86_400
    assert refusal.value.entry_id in {leaf["id"] for leaf in ledger.leaves("reveal") if leaf["outcome"] == "refused"}
    kind = f"reveal/{person.subject_id}/86400"
    assert ledger.rows("vault.budget", f"kind = '{kind}'", "spent") == [(6,)], "the refused ask is counted, and was committed"
    assert ledger.rows("vault.budget", "kind = 'reveal/3600'", "spent") == [(3,)], "and takes nothing from the next budget"
    assert outcome(at(vault, hours=23), agent, person.subject_id) == "reveal-budget"
    assert outcome(at(vault, hours=25), agent, person.subject_id) == "shown"


def test_a_script_of_two_hundred_reveals_stops_at_the_limit(
    vault: Vault, controller_id: str, person: Enrolled, agent: Context, ledger: Ledger
) -> None:
    """One value each of ever another person, as fast as it can: twenty, and the script waits for an hour."""
    people = [person.subject_id, *(make_subject(vault, controller_id, {"given_name": "Ada"}).subject_id for _ in range(24))]
    tickets = [make_ticket(vault, controller_id, one, "t2", f"TCK-{number}") for number, one in enumerate(people)]
    said = [outcome(vault, replace(agent, ticket_id=tickets[number % 25]), people[number % 25]) for number in range(200)]
    assert said == ["shown"] * 20 + ["reveal-budget"] * 180
    assert ledger.outcomes("reveal") == ["allowed"] * 20 + ["refused"] * 180


def test_sixty_values_a_day_however_they_are_spread(vault: Vault, controller_id: str, person: Enrolled, agent: Context) -> None:
    shown = 0
    five = Wish(("given_name", "family_name", "email", "mobile", "iban"), "CALLBACK")
    for hour in range(14):
        other = make_subject(vault, controller_id, {"given_name": "Ada"}).subject_id
        ticket = make_ticket(vault, controller_id, other, "t2", f"TCK-{hour}")
        later = at(vault, hours=1.01 * hour)
        shown += outcome(later, replace(agent, ticket_id=ticket), other, five) == "shown"
    assert shown == 12


def test_a_team_has_a_limit_of_its_own(vault: Vault, controller_id: str, person: Enrolled, agent: Context, ledger: Ledger) -> None:
    reveal(vault, agent, person.subject_id, NAME)
    ledger.owner(f"UPDATE vault.budget SET spent = 100 WHERE controller_id = '{controller_id}' AND kind = 'reveal-of-team/3600'")
    register_caller(vault, controller_id, Registration("t2-2", ("t2",), "support"))
    register_caller(vault, controller_id, Registration("t2-3", ("t2",), "elsewhere"))
    said = []
    for caller in ("t2-2", "t2-3"):
        own = replace(agent, caller=replace(agent.caller, id=caller))
        ticket = make_ticket(vault, controller_id, person.subject_id, "t2", f"TCK-{caller}", assignee=caller)
        said.append(outcome(vault, replace(own, ticket_id=ticket), person.subject_id))
    assert said == ["reveal-budget", "shown"]
