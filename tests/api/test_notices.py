"""Notices over HTTP: what the bundle says, in the language asked for."""

from hashlib import sha256

import pytest

from tests.api.desk import Desk
from tests.makers import evidence


def test_every_notice_is_listed_with_the_digests_of_its_texts(desk: Desk) -> None:
    (one,) = desk.call("GET", "/v1/notices", "t1").json()["notices"]
    assert (one["notice"], one["version"], one["articles"]) == ("customers", 1, [13, 14])
    assert one["texts"].keys() == {"it", "en"}


@pytest.mark.parametrize(
    ("query", "language", "begins"),
    [("", "it", "# Come usiamo"), ("?language=it&version=1", "it", "# Come usiamo"), ("?language=en", "en", "# How we use")],
)
def test_a_notice_is_read_in_its_language(desk: Desk, query: str, language: str, begins: str) -> None:
    told = desk.call("GET", f"/v1/notices/customers{query}", "t1").json()
    assert told["language"] == language
    assert told["text"].startswith(begins)
    assert told["texts"][language] == sha256(told["text"].encode()).hexdigest()


@pytest.mark.parametrize(
    ("path", "status"),
    [("customers?version=2", 404), ("others", 404), ("customers?language=fr", 400), ("customers?version=x", 400)],
)
def test_what_there_is_not_is_not_found(desk: Desk, path: str, status: int) -> None:
    assert desk.call("GET", f"/v1/notices/{path}", "t1").status_code == status


def test_that_somebody_was_given_a_notice_is_put_down_and_read_again(desk: Desk, customer: str) -> None:
    given = {"notice": "customers", "language": "en", "channel": "email", "given_at": "2026-01-02T10:00:00Z"}
    done = desk.call("POST", f"/v1/subjects/{customer}/notices", "system", given)
    assert (done.status_code, done.json()["version"]) == (201, 1)
    answer = desk.call("GET", f"/v1/subjects/{customer}/notices", "dpo")
    (told,) = [one for one in answer.json()["notices"] if one["entry_id"] == done.json()["entry_id"]]
    assert (told["channel"], told["given_at"], told["role"]) == ("email", "2026-01-02T10:00:00+00:00", "system")
    assert answer.headers["Cache-Control"] == "no-store"


def test_enrolment_takes_the_notice_in_the_same_call(desk: Desk) -> None:
    new = {
        "fields": {"given_name": "Ada"},
        "agreements": [{"template": "retail", "language": "it", "evidence": evidence("retail", channel="phone")}],
        "notice": {"notice": "customers", "language": "it"},
    }
    made = desk.call("POST", "/v1/subjects", "system", new).json()
    (told,) = desk.call("GET", f"/v1/subjects/{made['subject_id']}/notices", "system").json()["notices"]
    assert told["entry_id"] == made["entry_id"]
    unfit = desk.call("POST", "/v1/subjects", "system", {**new, "notice": {"notice": "others", "language": "it"}})
    assert (unfit.status_code, unfit.json()["errors"]) == (422, [{"pointer": "/notice/notice", "code": "notice.unknown"}])


def test_where_values_are_from_is_said_in_the_same_call_and_listed_for_the_officer(desk: Desk) -> None:
    new = {
        "fields": {"given_name": "Ada", "mobile": "+39 333 7654321"},
        "agreements": [{"template": "retail", "language": "it", "evidence": evidence("retail", channel="phone")}],
        "sources": {"mobile": {"source": "agency", "obtained_at": "2026-01-31T10:00:00Z"}},
    }
    made = desk.call("POST", "/v1/subjects", "system", new).json()
    (told,) = [one for one in desk.call("GET", "/v1/sources", "dpo").json()["sources"] if one["subject_id"] == made["subject_id"]]
    assert (told["field"], told["source"], told["regime"], told["overdue"]) == ("mobile", "agency", "gdpr-14-3@1", True)
    unfit = desk.call("POST", "/v1/subjects", "system", {**new, "sources": {"mobile": {"source": "Ada Neri"}}})
    assert (unfit.status_code, "Neri" in unfit.text) == (422, False)
    change = {
        "agreement_id": made["agreements"][0],
        "fields": {"email": "a@example.it"},
        "sources": {"phone": {"source": "agency"}},
    }
    refused = desk.call("PATCH", f"/v1/subjects/{made['subject_id']}/fields", "system", change, **{"If-Match": '"1"'})
    assert (refused.status_code, refused.json()["errors"]) == (
        422, [{"pointer": "/sources/phone", "code": "source.without-value"}],
    )  # fmt: skip
