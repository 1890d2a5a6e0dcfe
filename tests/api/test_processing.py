"""The records of processing over HTTP: the query or the media type decides the form, and every reading is on record."""

from typing import Any

import pytest

from tests.api.desk import Desk

LD_JSON, NOTE, CSV = "application/ld+json", "text/plain; charset=utf-8", "text/csv; charset=utf-8"
BEGINS = {LD_JSON: b'{"@context":', NOTE: b'{"@context":', CSV: b"\xef\xbb\xbfsection,"}
PATH = "/v1/records-of-processing"


def read(desk: Desk, query: str = "", role: str = "dpo", **stated: Any) -> Any:
    return desk.call("GET", PATH + query, role, **stated)


@pytest.mark.parametrize(
    ("query", "accept", "media_type"),
    [
        ("", "*/*", LD_JSON),
        ("", "text/csv", CSV),
        ("", "text/plain", NOTE),
        ("", f"{LD_JSON};q=0, text/*", NOTE),
        ("?format=csv", LD_JSON, CSV),
        ("?format=note", "*/*", NOTE),
        ("?format=jsonld", "image/png", LD_JSON),
    ],
)
def test_the_query_or_the_media_type_decides_the_form(desk: Desk, query: str, accept: str, media_type: str) -> None:
    answer = read(desk, query, Accept=accept)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, media_type), answer.text
    assert answer.content.startswith(BEGINS[media_type])
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Vault-Entry"].startswith("ent_")


@pytest.mark.parametrize(("query", "accept", "status"), [("", "application/xml", 406), ("?format=pdf", "*/*", 400)])
def test_another_form_is_refused(desk: Desk, query: str, accept: str, status: int) -> None:
    assert read(desk, query, Accept=accept).status_code == status


def test_an_agent_reads_nothing_of_it(desk: Desk) -> None:
    answer = read(desk, role="t1", ticket="TCK-0")
    assert (answer.status_code, answer.headers["Content-Type"]) == (403, "application/problem+json")
    assert "dpv" not in answer.text
