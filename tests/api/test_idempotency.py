"""`Idempotency-Key`: a repeated request is answered and not done again; another request under the same key is refused."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from threading import Event
from typing import Any

import pytest
import sqlalchemy as sa

from tests.api.desk import Desk
from tests.makers import make_context
from vault import answers, tables
from vault.errors import AccessDenied, AuditUnavailable, Conflict, DatabaseUnavailable, InvalidValue, VaultError
from vault.operations.remember import Answered, Asked, remember
from vault.policy.model import Context

ASKED = Asked("key-1", "POST", "/v1/subjects", b'{"email":"giulia@example.it"}')


@pytest.fixture
def context(desk: Desk) -> Context:
    """A caller nobody else is."""
    made = make_context(desk.controller_id, "system")
    return replace(made, caller=replace(made.caller, id=desk.vault.new_id("sys")))


def counting(outcomes: list[Any]) -> tuple[Callable[[], Answered], list[int]]:
    """Return an act that answers or raises what is listed, and the count of its doing."""
    done: list[int] = []

    def act() -> Answered:
        outcome = outcomes[len(done)]
        done.append(1)
        if isinstance(outcome, Exception):
            raise outcome
        return Answered(201, outcome, "sub_" + "a" * 26)

    return act, done


def rows(desk: Desk) -> list[Mapping[str, Any]]:
    with desk.vault.database.snapshot(desk.controller_id) as connection:
        return [dict(row._mapping) for row in connection.execute(sa.select(tables.stored_answer))]


def test_a_repeated_request_is_answered_and_not_done_again(desk: Desk, context: Context) -> None:
    act, done = counting([{"subject_id": "sub_1"}, {"subject_id": "sub_2"}])
    first, second = (remember(desk.vault, context, ASKED, act) for _ in range(2))
    assert (first.answer, first.replayed) == ({"subject_id": "sub_1"}, False)
    assert (second.status, second.answer, second.replayed) == (201, {"subject_id": "sub_1"}, True)
    assert len(done) == 1


@pytest.mark.parametrize(
    "other",
    [
        replace(ASKED, body=b'{"email":"giulia@example.it" }'),
        replace(ASKED, path="/v1/subjects:search"),
        replace(ASKED, method="PATCH"),
    ],
)
def test_another_request_under_the_same_key_is_refused(desk: Desk, context: Context, other: Asked) -> None:
    act, done = counting([{}, {}])
    remember(desk.vault, context, ASKED, act)
    with pytest.raises(InvalidValue) as refusal:
        remember(desk.vault, context, other, act)
    assert (refusal.value.code, len(done)) == ("idempotency-mismatch", 1)


def test_another_caller_s_key_is_another_key(desk: Desk, context: Context) -> None:
    act, done = counting([{}, {}, {}])
    for caller in (context.caller, replace(context.caller, id="agent-2"), replace(context.caller, client_id="other")):
        assert not remember(desk.vault, replace(context, caller=caller), ASKED, act).replayed
    assert len(done) == 3


@pytest.mark.parametrize("failure", [AccessDenied(), Conflict(), InvalidValue(), AuditUnavailable()])
def test_a_refusal_frees_the_key(desk: Desk, context: Context, failure: VaultError) -> None:
    act, done = counting([failure, {"subject_id": "sub_1"}])
    with pytest.raises(type(failure)):
        remember(desk.vault, context, ASKED, act)
    assert remember(desk.vault, context, ASKED, act).answer == {"subject_id": "sub_1"}
    assert len(done) == 2


def test_when_nobody_knows_whether_it_happened_it_is_not_done_again(desk: Desk, context: Context) -> None:
    """The connection was lost at the commit: a second try could enrol a person twice."""
    act, done = counting([DatabaseUnavailable(), {}])
    with pytest.raises(DatabaseUnavailable):
        remember(desk.vault, context, ASKED, act)
    with pytest.raises(Conflict) as refusal:
        remember(desk.vault, context, ASKED, act)
    assert (refusal.value.code, refusal.value.retry_after_s, len(done)) == ("request-in-flight", 1, 1)


def test_while_the_first_is_in_flight_the_second_is_told_so(desk: Desk, context: Context) -> None:
    begun, go_on = Event(), Event()

    def slowly() -> Answered:
        begun.set()
        assert go_on.wait(10)
        return Answered(200, {"version": 2})

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(remember, desk.vault, context, ASKED, slowly)
        assert begun.wait(10)
        with pytest.raises(Conflict):
            remember(desk.vault, context, ASKED, slowly)
        go_on.set()
        assert first.result(10).answer == {"version": 2}


def test_of_many_at_once_one_acts(desk: Desk, context: Context) -> None:
    act, done = counting([{"subject_id": "sub_1"}] * 4)

    def one(_: int) -> str:
        try:
            return "replayed" if remember(desk.vault, context, ASKED, act).replayed else "done"
        except Conflict:
            return "in flight"

    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(one, range(4)))
    assert outcomes.count("done") == 1
    assert len(done) == 1


def test_a_key_serves_for_a_day(desk: Desk, context: Context) -> None:
    act, done = counting([{"subject_id": "sub_1"}, {"subject_id": "sub_2"}])
    remember(desk.vault, context, ASKED, act)
    within = replace(desk.vault, now=lambda: desk.vault.now() + timedelta(hours=23))
    after = replace(desk.vault, now=lambda: desk.vault.now() + timedelta(hours=25))
    assert remember(within, context, ASKED, act).replayed
    again = remember(after, context, replace(ASKED, body=b"{}"), act)
    assert (again.answer, again.replayed, len(done)) == ({"subject_id": "sub_2"}, False, 2)


def test_what_cannot_be_stored_is_answered_all_the_same(desk: Desk, context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise DatabaseUnavailable

    monkeypatch.setattr(answers, "keep", fail)
    act, _ = counting([{"subject_id": "sub_1"}])
    assert remember(desk.vault, context, ASKED, act).answer == {"subject_id": "sub_1"}


def test_an_answer_freed_between_two_looks_is_in_flight(desk: Desk, context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "claim", lambda *_: False)
    with pytest.raises(Conflict):
        remember(desk.vault, context, ASKED, counting([{}])[0])


def test_rows_hold_neither_key_nor_body(desk: Desk, context: Context) -> None:
    named = replace(ASKED, key="giulia-key-0815", body=b"giulia.canary@example.it")
    remember(desk.vault, context, named, counting([{"subject_id": "sub_1"}])[0])
    stored = repr(rows(desk))
    assert "giulia" not in stored
    assert b"giulia".hex() not in stored


# --- over HTTP

RETAIL = {"template": "retail", "language": "it", "evidence": {"method": "recorded-call", "indicated_at": "2026-01-10T09:00:00Z"}}


def enrolment(number: str) -> dict[str, Any]:
    return {"fields": {"customer_number": number, "given_name": "Giulia"}, "agreements": [RETAIL]}


def test_a_repeated_enrolment_enrols_one_person(desk: Desk) -> None:
    first, second = (
        desk.call("POST", "/v1/subjects", "system", enrolment("C7000001"), Idempotency_Key="enrol-1") for _ in range(2)
    )
    assert (first.status_code, second.status_code) == (201, 201), first.text
    assert first.json() == second.json()
    assert ("Idempotency-Replayed" in first.headers, second.headers["Idempotency-Replayed"]) == (False, "true")
    assert (first.headers["ETag"], first.headers["Vault-Entry"]) == (second.headers["ETag"], second.headers["Vault-Entry"])
    other = desk.call("POST", "/v1/subjects", "system", enrolment("C7000002"), Idempotency_Key="enrol-1")
    assert (other.status_code, other.json()["errors"]) == (
        422,
        [{"pointer": "Idempotency-Key", "code": "used-for-another-request"}],
    )


def test_without_a_key_it_is_done_again(desk: Desk) -> None:
    statuses = [desk.call("POST", "/v1/subjects", "system", enrolment("C7000003")).status_code for _ in range(2)]
    assert statuses == [201, 409]


@pytest.mark.parametrize("key", ["", "x" * 256, "two words", "tab\t"])
def test_a_key_that_is_none_is_refused(desk: Desk, key: str) -> None:
    answer = desk.call("POST", "/v1/subjects", "system", enrolment("C7000004"), Idempotency_Key=key)
    assert (answer.status_code, answer.json()["errors"]) == (400, [{"pointer": "Idempotency-Key", "code": "invalid"}])


def test_two_keys_are_refused(desk: Desk) -> None:
    headers = [*desk.headers("system").items(), ("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    assert desk.client.post("/v1/subjects", headers=headers, json=enrolment("C7000005")).status_code == 400
