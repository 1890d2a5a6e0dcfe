"""A spent budget is told to those who review: once a window, with ids alone, and the entry tells officers whose act it was."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.makers import make_context, make_subject, make_ticket, register
from tests.operations.conftest import Ledger
from vault.assembly import Vault
from vault.errors import TooMany
from vault.operations.enroll import Enrolled
from vault.operations.find import LOOK_UPS, find
from vault.operations.reveal import Wish, reveal
from vault.operations.verify import verify
from vault.policy.model import Context

VALUES = {"given_name": "Giulia", "email": "giulia@example.it", "mobile": "3331234567"}
RAISED = (
    "vault.event",
    "name = 'suspicion:raised' ORDER BY at",
    "data->>'rule', data->>'budget', data->>'subject_id', entry_id, data",
)
LOCKED = ("vault.event", "name = 'verification:locked'", "data->>'subject_id', data->>'until'")
Act = Callable[[], object]


@pytest.fixture
def person(vault: Vault, controller_id: str) -> Enrolled:
    register(vault, controller_id, "t2")
    return make_subject(vault, controller_id, VALUES)


@pytest.fixture
def agent(vault: Vault, controller_id: str, person: Enrolled) -> Context:
    return make_context(controller_id, "t2", ticket=make_ticket(vault, controller_id, person.subject_id, "t2"))


def refusals(act: Act, times: int) -> list[str]:
    """Do it again and again; return the entries of the refusals."""
    found = []
    for _ in range(times):
        try:
            act()
        except TooMany as refusal:
            found.append(str(refusal.entry_id))
    return found


def test_reveals_past_the_limit_raise_one_suspicion(vault: Vault, person: Enrolled, agent: Context, ledger: Ledger) -> None:
    refused = refusals(lambda: reveal(vault, agent, person.subject_id, Wish(("given_name", "email"), "CALLBACK")), 6)
    [(rule, budget, subject_id, entry_id, data)] = ledger.rows(*RAISED)
    assert (rule, budget) == ("reveal-budget", f"reveal/{person.subject_id}/86400")
    assert (subject_id, entry_id) == (person.subject_id, refused[0])
    assert len(refused) == 4
    assert agent.caller.id not in repr(data), "an event names no caller"
    assert ledger.rows(*LOCKED) == [], "nothing is closed to the person"


def test_guesses_past_the_limit_lock_the_person_s_verification_and_say_so(
    vault: Vault, person: Enrolled, agent: Context, ledger: Ledger
) -> None:
    refused = refusals(lambda: verify(vault, agent, person.subject_id, "mobile", "3339999999"), 9)
    [(rule, budget, _, entry_id, _)] = ledger.rows(*RAISED)
    assert (rule, budget, entry_id) == ("verify-budget", "miss/mobile/86400", refused[0])
    [(subject_id, until)] = ledger.rows(*LOCKED)
    assert subject_id == person.subject_id
    assert until > (vault.now() + timedelta(hours=23)).isoformat()
    refusals(lambda: verify(vault, agent, person.subject_id, "email", "x@example.it"), 4)
    budgets = [row[1] for row in ledger.rows(*RAISED)]
    assert budgets == ["miss/mobile/86400", "misses-of-subject/86400"]


def test_a_caller_s_own_limit_locks_nobody_out(vault: Vault, controller_id: str, agent: Context, ledger: Ledger) -> None:
    def guess() -> None:
        other = make_subject(vault, controller_id, {"given_name": "Ada"}).subject_id
        own = replace(agent, ticket_id=make_ticket(vault, controller_id, other, "t2", f"TCK-{other[-6:]}"))
        for field in ("mobile", "phone"):
            verify(vault, own, other, field, "3339999999")

    assert len(refusals(guess, 6)) == 1
    assert [row[1] for row in ledger.rows(*RAISED)] == ["misses/3600"]
    assert ledger.rows(*LOCKED) == []


def test_look_ups_past_the_limit_raise_one_suspicion_a_minute(vault: Vault, agent: Context, ledger: Ledger) -> None:
    now = vault.now()
    for minute in range(2):
        later = replace(vault, now=lambda at=now + timedelta(minutes=minute): at)  # type: ignore[misc]
        assert len(refusals(lambda at=later: find(at, agent, "email", "x@example.it"), LOOK_UPS + 3)) == 3  # type: ignore[misc]
    assert [(row[0], row[1], row[2]) for row in ledger.rows(*RAISED)] == [("look-up-budget", "find", None)] * 2


def test_a_first_refusal_of_several_values_counts_as_the_first(
    vault: Vault, person: Enrolled, agent: Context, ledger: Ledger
) -> None:
    """Three of five are spent; asking for three more passes the limit by more than one."""
    wish = Wish(("given_name", "email", "mobile"), "CALLBACK")
    assert len(refusals(lambda: reveal(vault, agent, person.subject_id, wish), 3)) == 2
    assert len(ledger.rows(*RAISED)) == 1
