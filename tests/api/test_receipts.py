"""Receipts over HTTP: the media type decides the form, and every reading is on record."""

import json
from base64 import b64encode
from typing import Any

import pytest

from tests.api.desk import Desk
from tests.makers import make_subject
from tests.publishers import describe
from vault.operations.enroll import Enrolled

LD_JSON, NOTE = "application/ld+json", "text/plain"


@pytest.fixture(scope="module")
def person(desk: Desk) -> Enrolled:
    """Somebody with a contract and a consent."""
    describe(desk.vault.settings, desk.controller_id)
    return make_subject(desk.vault, desk.controller_id, {"given_name": "Anna", "email": "anna@example.it"}, ("retail", "marketing"))


def receipt(desk: Desk, person: Enrolled, query: str = "", agreement: int = 1, **stated: Any) -> Any:
    """Ask for a receipt as the person it is about: of the consent, unless another agreement is named."""
    path = f"/v1/agreements/{person.agreements[agreement]}/receipt{query}"
    return desk.call("GET", path, "customer", subject_id=person.subject_id, **stated)


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        (LD_JSON, LD_JSON),
        ("*/*", LD_JSON),
        ("application/*", LD_JSON),
        (NOTE, f"{NOTE}; charset=utf-8"),
        ("Text/Plain; charset=utf-8", f"{NOTE}; charset=utf-8"),
        ("text/*", f"{NOTE}; charset=utf-8"),
        (f"image/png, {NOTE};q=0.5, {LD_JSON}", f"{NOTE}; charset=utf-8"),
        (f"{LD_JSON};q=0, */*", LD_JSON),
    ],
)
def test_the_media_type_decides_the_form(desk: Desk, person: Enrolled, accept: str, media_type: str) -> None:
    answer = receipt(desk, person, Accept=accept)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, media_type), answer.text
    assert answer.content.startswith(b'{"@context":')
    assert (answer.content[-1:] == b"\n") is media_type.startswith(NOTE)


@pytest.mark.parametrize(
    ("query", "accept"), [("", "application/xml"), ("", "application/json"), ("", f"{LD_JSON};q=0"), ("?format=kantara", LD_JSON)]
)
def test_another_media_type_is_406(desk: Desk, person: Enrolled, query: str, accept: str) -> None:
    answer = receipt(desk, person, query, Accept=accept)
    assert (answer.status_code, answer.headers["Content-Type"]) == (406, "application/problem+json")
    assert answer.json()["type"].endswith("/not-acceptable")


def test_the_headers_say_what_recorded_it(desk: Desk, person: Enrolled) -> None:
    headers = receipt(desk, person).headers
    assert headers["Vault-Entry"].removeprefix("ent_") == headers["Vault-Decision"].removeprefix("dec_")
    assert headers["Cache-Control"] == "no-store"


def test_the_published_key_checks_the_note(desk: Desk, person: Enrolled) -> None:
    published = desk.client.get("/.well-known/riserbo").json()["documents"]
    note = receipt(desk, person, Accept=NOTE).text
    name = published["name"].replace("{controller}", desk.controller_id)
    assert note.splitlines()[-1].startswith(f"— {name} ")
    assert published["public_key"] == b64encode(desk.vault.signing.document_key).decode()


def test_kantara_is_for_consents(desk: Desk, person: Enrolled) -> None:
    answer = receipt(desk, person, "?format=kantara")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
    assert answer.json()["version"] == "KI-CR-v1.1.0"
    refused = receipt(desk, person, "?format=kantara", agreement=0)
    assert (refused.status_code, refused.json()["type"].rpartition("/")[2]) == (409, "not-a-consent")
    assert refused.json()["entry_id"] == refused.headers["Vault-Entry"]


@pytest.mark.parametrize(("query", "status"), [("?event=1", 200), ("?event=2", 404), ("?event=0", 400), ("?format=xml", 400)])
def test_an_event_and_a_form_are_named_or_refused(desk: Desk, person: Enrolled, query: str, status: int) -> None:
    answer = receipt(desk, person, query)
    assert answer.status_code == status, answer.text
    assert "xml" not in answer.text or status == 200


def test_terms_are_an_odrl_policy_for_any_caller(desk: Desk) -> None:
    answer = desk.call("GET", "/v1/templates/retail/1/odrl", "t1")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, LD_JSON)
    assert json.loads(answer.content)["@type"] == "odrl:Set"


@pytest.mark.parametrize("path", ["retail/2", "nothing/1", "retail/0", "retail/01", "retail/x", "Retail/1"])
def test_terms_there_are_not_are_not_found(desk: Desk, path: str) -> None:
    assert desk.call("GET", f"/v1/templates/{path}/odrl", "t1").status_code == 404


def test_without_a_token_there_is_nothing(desk: Desk, person: Enrolled) -> None:
    for path in (f"/v1/agreements/{person.agreements[0]}/receipt", "/v1/templates/retail/1/odrl"):
        assert desk.client.get(path).status_code == 401
