"""What is asked for beyond the masked profile, over HTTP: the person sees the reason, and a browsing agent is stopped."""

from typing import get_args

import pytest

from api.routes.reveals import Reason
from tests.assurance.desk import NOBODY, Desk
from tests.makers import make_subject
from vault.operations.reveal import REASONS

WORDS = "la cliente attende una risposta urgente"
VALUES = {"given_name": "Giulia", "email": "giulia@example.it"}


def test_the_person_sees_the_reason_and_only_officers_the_words(desk: Desk) -> None:
    person = make_subject(desk.vault, desk.controller_id, VALUES).subject_id
    ticket = desk.ticket(person, "t2")
    body = {"fields": ["given_name"], "reason": "OTHER", "justification": WORDS}
    answer = desk.call("POST", f"/v1/subjects/{person}/reveals", "t2", body, ticket=ticket)
    assert (answer.status_code, answer.json()["hide_after"]) == (200, 60), answer.text
    entry = desk.entry_of(answer)
    assert entry.details["reason"] == "OTHER"
    assert entry.internal["justification"] == WORDS
    assert WORDS not in repr(entry.details) + repr(entry.leaf) + answer.text
    assert (answer.headers["Cache-Control"], answer.headers["Vault-Decision"]) == ("no-store", answer.json()["decision_id"])


def test_a_spent_budget_is_429_with_a_time_to_wait_and_no_value(desk: Desk) -> None:
    person = make_subject(desk.vault, desk.controller_id, VALUES).subject_id
    ticket = desk.ticket(person, "t2")
    body = {"fields": ["given_name"], "reason": "CALLBACK"}
    answers = [desk.call("POST", f"/v1/subjects/{person}/reveals", "t2", body, ticket=ticket) for _ in range(7)]
    assert [one.status_code for one in answers] == [200] * 5 + [429] * 2
    assert int(answers[-1].headers["Retry-After"]) > 80_000
    assert "Giulia" not in answers[-1].text
    assert desk.entry_of(answers[-1]).leaf["outcome"] == "refused"


@pytest.mark.parametrize(
    "body",
    [
        {"fields": ["email"], "reason": "BECAUSE"},
        {"fields": ["email"], "reason": "OTHER"},
        {"fields": [], "reason": "CALLBACK"},
        {"fields": ["email"] * 65, "reason": "CALLBACK"},
        {"fields": ["email"], "reason": "CALLBACK", "justification": "x" * 1_001},
        {"fields": ["email"], "reason": "CALLBACK", "hide_after": 0},
    ],
)
def test_what_is_no_wish_is_422(shared_desk: Desk, body: dict[str, object]) -> None:
    answer = shared_desk.call("POST", f"/v1/subjects/{NOBODY}/reveals", "t2", body, ticket="TCK-0")
    assert answer.status_code == 422
    assert "x" * 20 not in answer.text


def test_the_reasons_of_the_route_are_those_of_the_operation() -> None:
    assert set(get_args(Reason)) == set(REASONS)
