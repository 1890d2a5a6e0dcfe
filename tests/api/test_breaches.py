"""Breaches over HTTP: the officer's way through one, refusals by member, the forms of a list."""

import json
from datetime import timedelta
from typing import Any

import httpx2
import pytest

from tests.api.desk import Desk
from vault.operations.confirm_affected import confirm_affected

WORDS = "un operatore ha consultato clienti altrui"
WHY = {"Vault_Purpose": "legal-compliance"}


def call(desk: Desk, method: str, path: str, body: Any = None, role: str = "dpo", **stated: Any) -> httpx2.Response:
    return desk.call(method, path, role, body, **WHY, **stated)


def ago(desk: Desk, **before: float) -> str:
    return (desk.vault.now() - timedelta(**before)).isoformat()


def report(desk: Desk, **other: Any) -> dict[str, Any]:
    stated = {"aware_at": ago(desk, hours=1), "aware_because": WORDS, "summary": WORDS, "kinds": ["confidentiality"]}
    return {**stated, **other}


@pytest.fixture(scope="module")
def breach(desk: Desk, customer: str) -> str:
    """A breach, and a customer the first tier has read."""
    assert desk.profile("t1", customer).status_code == 200
    answer = call(desk, "POST", "/v1/breaches", report(desk))
    assert answer.status_code == 201, answer.text
    return f"/v1/breaches/{answer.json()['breach_id']}"


def test_a_breach_is_opened_once_by_its_key_and_goes_its_way(desk: Desk) -> None:
    key, body = {"Idempotency_Key": "brc-1"}, report(desk, detected_at=ago(desk, days=2), classified_at=ago(desk, minutes=5))
    opened = call(desk, "POST", "/v1/breaches", body, **key)
    assert (opened.status_code, opened.json()["state"]) == (201, "open")
    assert opened.json()["deadlines"][0]["regime"] == "breach-gdpr@1"
    assert call(desk, "POST", "/v1/breaches", body, **key).json() == opened.json()
    path, at = f"/v1/breaches/{opened.json()['breach_id']}", ago(desk, minutes=1)
    steps: dict[str, dict[str, Any]] = {
        "assess": {"risk": "high", "consequences": WORDS, "measures": WORDS, "subjects": 3570, "classified_at": at},
        "notify": {"regime": "breach-gdpr", "notice": "initial", "sent_at": at, "said": WORDS},
        "tell-subjects": {"how": "individual", "at": at, "said": WORDS, "count": 3570},
        "close": {"reasons": WORDS},
    }
    states = [call(desk, "POST", f"{path}:{verb}", body).json()["state"] for verb, body in steps.items()]
    assert states == ["assessed", "notified", "subjects-told", "closed"]
    read = call(desk, "GET", path)
    assert read.headers["Cache-Control"] == "no-store"
    assert read.headers["Vault-Entry"] == read.json()["entry_id"]
    assert [one["phase"] for one in read.json()["phases"]] == states
    assert (read.json()["words"]["summary"], read.json()["deadlines"][0]["state"]) == (WORDS, "in-time")
    listed = call(desk, "GET", "/v1/breaches").json()["breaches"]
    assert opened.json()["breach_id"] in {one["breach_id"] for one in listed}


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"aware_at": "2026-02-30T00:00:00Z"}, "/aware_at"),
        ({"detected_at": "2026-02-30T00:00:00Z"}, "/detected_at"),
        ({"kinds": []}, "/kinds"),
        ({"summary": "breve"}, "/summary"),
        ({"regimes": ["breach-of-nothing"]}, "/regimes"),
    ],
)
def test_a_report_that_is_none_names_its_member(desk: Desk, change: dict[str, Any], pointer: str) -> None:
    answer = call(desk, "POST", "/v1/breaches", report(desk, **change))
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)


def test_the_list_comes_in_three_forms(desk: Desk, breach: str, customer: str) -> None:
    query = "?caller=t1-1"
    listed = call(desk, "GET", f"{breach}/affected{query}")
    assert listed.headers["content-type"] == "application/json"
    assert listed.headers["Vault-Entry"] == listed.json()["entry_id"]
    assert customer in {one["subject_id"] for one in listed.json()["subjects"]}
    note, table = (call(desk, "GET", f"{breach}/affected{query}&format={form}") for form in ("note", "csv"))
    assert note.headers["content-type"] == "text/plain; charset=utf-8"
    assert json.loads(note.text.partition("\n")[0])["totals"] == listed.json()["totals"]
    assert table.headers["content-type"] == "text/csv; charset=utf-8"
    assert customer in table.text


def test_a_list_is_confirmed_by_its_own_address(desk: Desk, breach: str, customer: str) -> None:
    began, ends = ago(desk, hours=1), ago(desk, hours=-1)
    query = {"caller": "t1-1", "class": "contact", "from": began, "to": ends, "first": 0, "end": 1_000_000}
    asked = call(desk, "POST", f"{breach}/affected", query)
    assert asked.status_code == 202
    path = f"{breach}/affected/{asked.json()['list_id']}"
    assert call(desk, "GET", path).json()["state"] == "running"
    confirm_affected(desk.vault, desk.controller_id)
    told = call(desk, "GET", path).json()
    assert (told["confirmed"], told["log"]["size"]) == (True, asked.json()["size"])
    assert customer in {one["subject_id"] for one in told["subjects"]}
    assert told["query"]["class"] == "contact"
    shown = call(desk, "GET", f"{breach}/affected?caller=t1-1&class=contact&from={began}&to={ends}&first=0".replace("+", "%2B"))
    assert shown.json()["subjects"] == told["subjects"]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("", "query.of-nothing"),
        ("?system=helpdesk", "window.too-wide"),
        ("?caller=t1-1&from=2026-02-30T00:00:00Z", "date.invalid"),
        ("?caller=t1-1&field=aml_note", "field.not-in-leaves"),
    ],
)
def test_a_query_that_is_none_is_a_400_and_echoes_nothing(desk: Desk, breach: str, query: str, code: str) -> None:
    answer = call(desk, "GET", f"{breach}/affected{query}")
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, code)
    assert "aml_note" not in answer.text
    assert "2026-02-30" not in answer.text


def test_an_address_stands_in_no_url(desk: Desk, breach: str) -> None:
    address = "anna.rossi@bank.example"
    answer = call(desk, "GET", f"{breach}/affected?caller={address}")
    assert answer.status_code == 400
    assert address not in answer.text
    assert call(desk, "POST", f"{breach}/affected", {"caller": address}).status_code == 202


def test_a_body_with_an_instant_there_is_not_is_a_422(desk: Desk, breach: str) -> None:
    answer = call(desk, "POST", f"{breach}/affected", {"caller": "t1-1", "to": "2026-02-30T00:00:00Z"})
    assert (answer.status_code, answer.json()["errors"]) == (422, [{"pointer": "/to", "code": "date.invalid"}])


@pytest.mark.parametrize("path", ["", "/affected?caller=t1-1"])
def test_to_everybody_else_it_is_forbidden(desk: Desk, breach: str, path: str) -> None:
    assert call(desk, "GET", f"{breach}{path}", role="t1", ticket="TCK-1").status_code == 403
    assert desk.call("GET", f"{breach}{path}", "dpo").status_code == 403  # for another purpose
