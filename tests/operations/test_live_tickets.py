"""A helpdesk that is asked at each access, over HTTP: what it says decides, its age is on record, none is no trust."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.helpdesk import AskingHelpdesk, Helpdesk, running_helpdesk
from tests.makers import make_context, make_subject, make_ticket, register
from tests.operations.conftest import Ledger
from vault.assembly import Vault
from vault.audit.reading import ReadEntry
from vault.errors import AccessDenied, NotFound, VaultError
from vault.operations.disclose import disclose
from vault.operations.disclosure import Ask
from vault.operations.verify import verify
from vault.policy.model import Context
from vault.tickets import LiveTickets

NOBODY = "sub_" + "z" * 26


@pytest.fixture
def helpdesk(vault: Vault) -> Iterator[tuple[Helpdesk, Vault]]:
    """A helpdesk, and the vault that asks it."""
    with running_helpdesk() as (desk, asking):
        yield desk, replace(vault, tickets=LiveTickets(asking, vault.monotonic))


@pytest.fixture
def person(vault: Vault, controller_id: str) -> str:
    register(vault, controller_id, "t1", "t2")
    return make_subject(vault, controller_id, {"given_name": "Giulia", "email": "giulia@example.it"}).subject_id


@pytest.fixture
def agent(controller_id: str) -> Context:
    return make_context(controller_id, "t2", ticket="T-1")


def a_ticket(vault: Vault, about: str, **said: Any) -> dict[str, Any]:
    return {"subject_id": about, "state": "open", "assignee": "t2-1", "at": vault.now().timestamp(), **said}


def seen(vault: Vault, agent: Context, subject_id: str) -> str:
    """Return how the name is shown, or why nothing is."""
    try:
        shown = disclose(vault, Ask(agent, subject_id, ("given_name", "email"))).fields
    except VaultError as error:
        return error.code
    return "/".join(one.state for one in shown.values())


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ({}, "clear/masked"),
        ({"state": "pending"}, "clear/masked"),
        ({"state": "closed"}, "ticket-closed"),
        ({"assignee": "t2-2"}, "ticket-not-yours"),
        ({"assignee": None}, "ticket-not-yours"),
        ({"subject_id": NOBODY}, "ticket-of-another-person"),
    ],
)
def test_what_the_helpdesk_says_decides(
    vault: Vault, helpdesk: tuple[Helpdesk, Vault], person: str, agent: Context, said: dict[str, Any], answer: str
) -> None:
    desk, asking = helpdesk
    desk.tickets["T-1"] = a_ticket(vault, person, **said)
    assert seen(asking, agent, person) == answer
    assert desk.asked == ["T-1"]


def test_one_answer_serves_a_minute_and_its_age_is_on_record(
    vault: Vault, helpdesk: tuple[Helpdesk, Vault], person: str, agent: Context, opened_entry: Callable[[str], ReadEntry]
) -> None:
    desk, asking = helpdesk
    desk.tickets["T-1"] = a_ticket(vault, person, at=vault.now().timestamp() - 7)
    entries = [disclose(asking, Ask(agent, person, ("given_name",))).entry_id for _ in range(3)]
    assert desk.asked == ["T-1"]
    for entry in (opened_entry(one) for one in entries):
        assert entry.details["ticket"]["check"] == "verified"
        assert 7 <= entry.details["ticket"]["age_s"] < 60
        assert entry.internal["decision"]["ticket_age_s"] == entry.details["ticket"]["age_s"]
    checked = verify(asking, agent, person, "email", "giulia@example.it")
    assert opened_entry(checked.entry_id).details["ticket"]["age_s"] >= 7
    assert desk.asked == ["T-1"]


@pytest.mark.parametrize("trouble", ["down", "odd", "gone"])
def test_a_helpdesk_that_does_not_answer_makes_a_ticket_asserted(
    vault: Vault, controller_id: str, helpdesk: tuple[Helpdesk, Vault], person: str, agent: Context, ledger: Ledger, trouble: str
) -> None:
    """Masks at most, no check, no reveal: whatever was pushed before."""
    desk, asking = helpdesk
    make_ticket(vault, controller_id, person, "t2", "T-1")
    desk.tickets["T-1"] = a_ticket(vault, person)
    desk.down, desk.odd = trouble == "down", b"[]" if trouble == "odd" else None
    if trouble == "gone":
        asking = replace(vault, tickets=LiveTickets(AskingHelpdesk("http://127.0.0.1:1"), vault.monotonic))
    assert seen(asking, agent, person) == "clear/masked"
    with pytest.raises(NotFound):
        verify(asking, agent, person, "email", "giulia@example.it")
    assert [leaf["outcome"] for leaf in ledger.leaves("disclose")] == ["allowed"]
    assert ledger.rows("vault.audit_lookup", "operation IN ('disclose', 'verify')", "ticket_state") == [("asserted",)] * 2


def test_a_ticket_the_helpdesk_does_not_have_is_none(
    vault: Vault, helpdesk: tuple[Helpdesk, Vault], person: str, agent: Context
) -> None:
    _, asking = helpdesk
    assert seen(asking, agent, person) == "not-found"
    with pytest.raises((NotFound, AccessDenied)) as refusal:
        verify(asking, agent, NOBODY, "email", "giulia@example.it")
    assert refusal.value.code == "not-found"
    assert seen(vault, agent, person) == "clear/masked"  # of what nobody says anything, masks at most are shown


def test_a_pushed_ticket_s_age_is_on_record_too(
    vault: Vault, controller_id: str, person: str, agent: Context, opened_entry: Callable[[str], ReadEntry]
) -> None:
    make_ticket(vault, controller_id, person, "t2", "T-1")
    entry = opened_entry(disclose(vault, Ask(agent, person, ("given_name",))).entry_id)
    assert 0 <= entry.details["ticket"]["age_s"] < 60
    unheard = opened_entry(disclose(vault, Ask(replace(agent, ticket_id="T-9"), person, ("given_name",))).entry_id)
    assert unheard.details["ticket"] == {"id": "T-9", "check": "asserted"}
    assert "ticket_age_s" not in unheard.internal["decision"]
