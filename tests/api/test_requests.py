"""Requests over HTTP: whose they are, how they move, what is repeated, and what is not told."""

from typing import Any

import pytest

from tests.api.desk import Desk
from tests.makers import register

WORDS = "Zanzibar, detto al telefono parola per parola"


@pytest.fixture(autouse=True, scope="module")
def officer(desk: Desk) -> None:
    register(desk.vault, desk.controller_id, "dsr-officer")


def asked(desk: Desk, customer: str, **body: Any) -> dict[str, Any]:
    answer = desk.call("POST", "/v1/me/requests", "customer", {"kind": "access", **body}, subject_id=customer)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def moved(desk: Desk, request_id: str, verb: str, role: str, body: dict[str, Any], **more: Any) -> Any:
    return desk.call("POST", f"/v1/requests/{request_id}:{verb}", role, body, **more)


def test_a_request_goes_its_way(desk: Desk, customer: str) -> None:
    made = asked(desk, customer, said=WORDS)
    assert (made["state"], made["waiting"], made["outcome"]) == ("verified", "nothing", None)
    path = f"/v1/requests/{made['request_id']}"
    why = {"Vault_Purpose": "rights-fulfilment"}
    accepted = moved(desk, made["request_id"], "accept", "dsr-officer", {"said": WORDS}, **why)
    assert (accepted.status_code, accepted.json().get("state")) == (200, "accepted"), accepted.text
    early = moved(desk, made["request_id"], "fulfil", "dsr-officer", {"outcome": "complete"}, **why)
    assert (early.status_code, early.json()["type"].rsplit("/", 1)[1]) == (409, "not-done")
    done = moved(desk, made["request_id"], "fulfil", "dsr-officer", {"outcome": "nothing-held"}, **why).json()
    assert (done["state"], done["outcome"]) == ("fulfilled", "nothing-held")
    mine = desk.call("GET", path, "customer", subject_id=customer).json()
    assert [(one["verb"], one["by"]) for one in mine["steps"]] == [("verify", None), ("accept", None), ("fulfil", None)]
    assert desk.call("GET", "/v1/me/requests", "customer", subject_id=customer).json()["requests"][-1]["state"] == "fulfilled"
    theirs = desk.call("GET", path, "dsr-officer", **why)
    assert (theirs.headers["Cache-Control"], theirs.json()["steps"][1]["said"]) == ("no-store", WORDS)


def test_the_list_is_the_officers_the_next_due_first(desk: Desk, customer: str) -> None:
    made = asked(desk, customer)
    listed = desk.call("GET", "/v1/requests", "dpo", Vault_Purpose="rights-fulfilment").json()
    assert made["request_id"] in [one["request_id"] for one in listed["requests"]]
    assert [one["base_due"] for one in listed["requests"]] == sorted(one["base_due"] for one in listed["requests"])
    assert WORDS not in str(listed)
    assert desk.call("GET", "/v1/requests?every=true&skip=1000", "dpo", Vault_Purpose="rights-fulfilment").json()["requests"] == []
    for role in ("t1", "operator", "system", "customer"):
        assert desk.call("GET", "/v1/requests", role, ticket="TCK-9", subject_id=customer).status_code in (403, 404)


def test_sent_twice_it_is_one_request(desk: Desk, customer: str) -> None:
    headers = {**desk.headers("customer", subject_id=customer), "Idempotency-Key": "req-1"}
    first, second = (desk.client.post("/v1/me/requests", headers=headers, json={"kind": "portability"}) for _ in range(2))
    assert first.json()["request_id"] == second.json()["request_id"]
    assert second.headers["Idempotency-Replayed"] == "true"


@pytest.mark.parametrize(
    ("verb", "body"),
    [("verify", {"level": 9}), ("ask", {"waiting": "everything"}), ("extend", {"by_months": 7, "because": "complexity"}),
     ("accept", {"plan": "00"}), ("refuse", {"code": "No Code"}), ("fulfil", {"outcome": "done"}), ("duplicate", {"same_as": "x"}),
     ("reopen", {}), ("withdraw", {"why": WORDS}), ("answer", {"said": 7})],
)  # fmt: skip
def test_a_body_that_is_wrong_is_told_without_its_words(desk: Desk, customer: str, verb: str, body: dict[str, Any]) -> None:
    answer = moved(desk, "req_" + "a" * 26, verb, "dpo", {"said": WORDS, **body}, Vault_Purpose="rights-fulfilment")
    assert answer.status_code == 422
    assert "Zanzibar" not in answer.text


def test_nobody_sees_or_moves_another_s(desk: Desk, customer: str) -> None:
    made = asked(desk, customer)
    for role in ("t1", "operator", "system"):
        assert desk.call("GET", f"/v1/requests/{made['request_id']}", role, ticket="TCK-9").status_code in (403, 404)
        assert moved(desk, made["request_id"], "withdraw", role, {}, ticket="TCK-9").status_code in (403, 404)
    assert desk.call("POST", "/v1/requests", "t1", {"kind": "access", "subject_id": customer}, ticket="TCK-9").status_code in (
        403,
        404,
    )
