"""Notices over HTTP: what the bundle says, in the language asked for."""

from hashlib import sha256

import pytest

from tests.api.desk import Desk


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
