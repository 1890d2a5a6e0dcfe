"""What is asked for beyond the masked profile, over HTTP: the person sees the reason, and a browsing agent is stopped."""

from typing import get_args

import httpx2
import pytest

from api.routes.reveals import Reason
from tests.assurance.desk import NOBODY, Desk
from tests.assurance.statements import watched
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


def test_match_miss_and_absent_take_the_same_work_and_look_alike(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the answer says is all that differs: the same statements, text by text, and the same form."""
    person = make_subject(desk.vault, desk.controller_id, {**VALUES, "mobile": "3331234567"}).subject_id
    ticket = desk.ticket(person, "t2")
    asked = {"match": ("mobile", "3331234567"), "miss": ("email", "x@example.it"), "absent": ("phone", "0212345678")}
    seen, answered = {}, {}
    for which, (field, value) in [("warm", asked["match"]), *asked.items()]:
        with watched(monkeypatch) as statements:
            answer = desk.call(
                "POST", f"/v1/subjects/{person}/verifications", "t2", {"field": field, "value": value}, ticket=ticket
            )
        seen[which], answered[which] = tuple(statements), answer
    assert [answered[which].json()["match"] for which in asked] == [True, False, False]
    assert len({seen[which] for which in asked}) == 1
    assert len(seen["match"]) > 6
    assert len({repr([name for name, _ in answered[which].headers.raw]) for which in asked}) == 1
    assert {answered[which].headers["Cache-Control"] for which in asked} == {"no-store"}


def test_past_the_cap_right_and_wrong_answers_are_one(desk: Desk) -> None:
    person = make_subject(desk.vault, desk.controller_id, VALUES).subject_id
    ticket = desk.ticket(person, "t2")

    def check(value: str) -> httpx2.Response:
        body = {"field": "email", "value": value}
        return desk.call("POST", f"/v1/subjects/{person}/verifications", "t2", body, ticket=ticket)

    assert [check("nobody@example.it").json()["match"] for _ in range(3)] == [False] * 3
    told = [check(value) for value in ("giulia@example.it", "nobody@example.it")]
    assert [one.status_code for one in told] == [429, 429]
    bodies = [
        {name: value for name, value in one.json().items() if name not in ("instance", "entry_id", "decision_id")} for one in told
    ]
    assert bodies[0] == bodies[1]
    assert all(int(one.headers["Retry-After"]) > 80_000 for one in told)


def test_break_glass_from_the_plea_to_the_review(desk: Desk) -> None:
    person = make_subject(desk.vault, desk.controller_id, {**VALUES, "passport": "YA1234567"}).subject_id
    ticket = desk.ticket(person, "billing")
    path, wish = f"/v1/subjects/{person}", {"fields": ["passport"], "reason": "OTHER", "justification": WORDS}
    plea = {"fields": ["passport", "email"], "reason": "FRAUD_IN_PROGRESS", "justification": WORDS}

    def post(who: str, where: str, body: object = None) -> httpx2.Response:
        return desk.client.post(where, headers=desk.lead(who, ticket), json=body)

    assert post("demo-lead", f"{path}/reveals", wish).status_code == 403
    opened = post("demo-lead", f"{path}/break-glass", plea)
    assert (opened.status_code, opened.json()["needs_approval"]) == (201, ["passport"]), opened.text
    assert post("demo-lead", f"{path}/reveals", wish).json()["fields"]["passport"]["state"] == "withheld"
    grant = f"/v1/break-glass/{opened.json()['grant_id']}"
    assert post("demo-lead", f"{grant}:approve", {}).status_code == 404
    assert post("demo-approver", f"{grant}:approve", {}).status_code == 200
    shown = post("demo-lead", f"{path}/reveals", wish)
    assert shown.json()["fields"]["passport"] == {
        "state": "clear", "value": "YA1234567", "mask": None, "because": "break-glass",
    }  # fmt: skip
    assert desk.entry_of(shown).internal["decision"]["input"]["break_glass"] == "approved"
    assert post("dpo", f"{grant}:review", {"verdict": "JUSTIFIED", "tell_subject": False}).status_code == 422
    reviewed = post("dpo", f"{grant}:review", {"verdict": "JUSTIFIED"})
    assert reviewed.status_code == 200, reviewed.text
    assert desk.entry_of(reviewed).details["result"] == "JUSTIFIED"
    assert post("demo-lead", f"{path}/reveals", wish).status_code == 403
    assert desk.entry_of(opened).details["reason"] == "FRAUD_IN_PROGRESS"
    assert desk.entry_of(opened).internal["justification"] == WORDS
