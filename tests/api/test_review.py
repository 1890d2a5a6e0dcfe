"""The review over HTTP: shapes, cursors, problems, streams; and what a bank's staff must say."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import orjson
import pytest
from fastapi.testclient import TestClient

from api.main import create_app
from tests.api.conftest import SHORT_S
from tests.api.desk import Desk
from tests.api.issuer import Held, published
from tests.makers import make_subject, make_ticket, register

LOG = "/v1/audit"
SPAN = {"from": "2020-01-01T00:00:00Z", "to": "2090-01-01T00:00:00Z", "destination": "siem"}


def settled(desk: Desk, opened: Any) -> None:
    opened.trail.settle(desk.controller_id)


def test_a_page_has_the_shape_that_was_promised(desk: Desk, customer: str, opened: Any) -> None:
    read = desk.profile("t1", customer).headers["Vault-Entry"]
    settled(desk, opened)
    answer = desk.call("GET", f"{LOG}/entries?subject_id={customer}&limit=1&operation=disclose", "dpo")
    assert answer.status_code == 200, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    page = answer.json()
    assert answer.headers["Vault-Entry"] == page["entry_id"]
    assert set(page) == {"entries", "next", "window", "head", "entry_id"}
    assert set(page["window"]) == {"from", "to"}
    assert page["head"]["witnessed_at"] is None
    (row,) = page["entries"]
    assert row["entry_id"] == read
    assert row["caller"]["label"].startswith("c_")


def test_pages_are_read_by_cursor_and_a_cursor_serves_its_own_filter(desk: Desk, customer: str, opened: Any) -> None:
    for _ in range(3):
        desk.profile("t1", customer)
    settled(desk, opened)
    query = f"{LOG}/entries?subject_id={customer}&operation=disclose&limit=2"
    first = desk.call("GET", query, "dpo").json()
    second = desk.call("GET", f"{query}&cursor={first['next']}", "dpo").json()
    assert first["window"] == second["window"]
    ids = [one["entry_id"] for page in (first, second) for one in page["entries"]]
    assert len(ids) == len(set(ids)) > 2
    refused = desk.call("GET", f"{LOG}/entries?subject_id={customer}&cursor={first['next']}", "dpo")
    assert refused.status_code == 422
    assert refused.json()["errors"] == [{"pointer": "/cursor", "code": "cursor.unfit"}]


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("from=2020-01-01T00:00:00Z", 422, "window-too-wide"),
        ("from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", 422, "window-empty"),
        *((query, 400, "malformed") for query in ("limit=0", "limit=201", "limit=x", "from=today", "flag=red", "shoe_size=44")),
        *((query, 400, "malformed") for query in ("subject_id=sub_x", "outcome=lost", "cursor=!")),
    ],
)
def test_a_query_that_is_none_is_a_problem_without_what_was_sent(desk: Desk, query: str, status: int, code: str) -> None:
    answer = desk.call("GET", f"{LOG}/entries?{query}", "dpo")
    assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (status, code)
    assert "shoe_size" not in answer.text


NO_INSTANTS = (
    "2026-02-30T00:00:00Z",
    "9999-12-31T23:59:60Z",
    "0000-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999Z",
    "1969-12-31T23:59:59Z",
)


@pytest.mark.parametrize("text", NO_INSTANTS)
def test_an_instant_there_is_not_is_refused_wherever_one_is_asked_for(desk: Desk, text: str) -> None:
    for name in ("from", "to"):
        page = desk.call("GET", f"{LOG}/entries?{name}={text}", "dpo")
        assert (page.status_code, page.json()["errors"]) == (400, [{"pointer": name, "code": "date.invalid"}])
        kept = desk.call("PUT", f"{LOG}/filters/far", "dpo", {name: text}, Idempotency_Key=f"far-{name}")
        assert (kept.status_code, kept.json()["errors"]) == (422, [{"pointer": f"/{name}", "code": "date.invalid"}])
    wish = {"format": "jsonl", "from": text, "to": "2027-01-01T00:00:00Z", "destination": "siem"}
    export = desk.call("POST", f"{LOG}/exports", "dpo", wish)
    assert (export.status_code, export.json()["errors"]) == (422, [{"pointer": "/from", "code": "date.invalid"}])
    assert desk.call("GET", f"{LOG}/filters", "dpo").json()["filters"] == []


@pytest.mark.parametrize("query", ["to=0001-01-01", "to=1969-12-31", "from=0001-01-01", "from=9999-12-31&to=9999-12-31"])
def test_counts_of_days_long_ago_or_far_away_are_no_fault_of_the_vault(desk: Desk, query: str) -> None:
    assert desk.call("GET", f"{LOG}/counts?{query}", "dpo").status_code == (200 if "9999" in query else 422)


def test_an_entry_is_opened_written_about_and_shown_with_that(desk: Desk, customer: str, opened: Any) -> None:
    read = desk.profile("t1", customer).headers["Vault-Entry"]
    entry = f"{LOG}/entries/{read}"
    note = {"state": "open", "note": "da sentire il responsabile"}
    written = desk.call("POST", f"{entry}/reviews", "dpo", note, Idempotency_Key="note-1")
    assert written.status_code == 201, written.text
    again = desk.call("POST", f"{entry}/reviews", "dpo", note, Idempotency_Key="note-1")
    assert again.json() == written.json()
    settled(desk, opened)
    told = desk.call("GET", f"{entry}?reason=COMPLAINT", "dpo")
    assert told.status_code == 200, told.text
    assert told.headers["Vault-Entry"] != read
    assert [(one["state"], one["note"]) for one in told.json()["reviews"]] == [("open", note["note"])]
    assert desk.call("GET", entry, "dpo").status_code == 400
    assert desk.call("GET", f"{entry}?reason=CURIOSITY", "dpo").status_code == 400
    assert desk.call("GET", f"{LOG}/entries/ent_x?reason=SAMPLE", "dpo").status_code == 404
    assert desk.call("POST", f"{entry}/reviews", "dpo", {"state": "open"}).status_code == 409
    assert desk.call("GET", f"{entry}?reason=SAMPLE", "t1", ticket="TCK-1").status_code == 403
    own = told.headers["Vault-Entry"]
    assert desk.call("GET", f"{LOG}/entries/{own}?reason=SAMPLE", "dpo").json()["type"].endswith("own-entry")


def test_counts_are_by_day_unless_something_else_is_asked(desk: Desk, customer: str, opened: Any) -> None:
    desk.profile("t1", customer)
    settled(desk, opened)
    by_day = desk.call("GET", f"{LOG}/counts", "dpo")
    assert by_day.status_code == 200, by_day.text
    assert "Vault-Entry" not in by_day.headers
    assert {*by_day.json()["groups"][0]} == {"day", "entries", "clear_values"}
    several = desk.call("GET", f"{LOG}/counts?by=operation&by=outcome", "dpo").json()
    assert "disclose" in {one["operation"] for one in several["groups"]}
    assert desk.call("GET", f"{LOG}/counts?by=caller_id", "dpo").status_code == 400
    assert desk.call("GET", f"{LOG}/counts?from=2020-01-01&to=2026-01-01", "dpo").status_code == 422


def test_a_filter_is_kept_listed_and_removed(desk: Desk) -> None:
    path, asked = f"{LOG}/filters/refusals", {"outcome": "refused", "from": "2026-01-01T00:00:00Z", "caller": "t1-1"}
    assert desk.call("PUT", path, "dpo", asked).status_code == 200
    (kept,) = [one for one in desk.call("GET", f"{LOG}/filters", "dpo").json()["filters"] if one["name"] == "refusals"]
    assert kept["own"] is True
    assert kept["filter"].pop("caller").startswith("c_")
    assert kept["filter"] == {"outcome": "refused", "from": "2026-01-01T00:00:00+00:00"}
    assert desk.call("DELETE", path, "dpo").status_code == 200
    assert desk.call("DELETE", path, "dpo").status_code == 404
    assert desk.call("PUT", path, "dpo", {"limit": 5}).status_code == 422


def test_an_export_is_a_stream_that_says_about_how_much_follows(desk: Desk, customer: str, opened: Any) -> None:
    desk.profile("t1", customer)
    settled(desk, opened)
    answer = desk.call("POST", f"{LOG}/exports", "dpo", {"format": "jsonl", **SPAN})
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    assert answer.headers["Vault-Entry"].startswith("ent_")
    found = [orjson.loads(one) for one in answer.content.splitlines()]
    assert len(found) >= int(answer.headers["Vault-Expected"])
    assert customer not in answer.text
    assert desk.call("POST", f"{LOG}/exports", "dpo", {"format": "garante", **SPAN}).status_code == 409
    assert desk.call("POST", f"{LOG}/exports", "dpo", {"format": "xml", **SPAN}).status_code == 422
    assert desk.call("POST", f"{LOG}/exports", "t1", {"format": "jsonl", **SPAN}, ticket="TCK-1").status_code == 403


# --- a bank


@pytest.fixture
def bank(opened: Any, controller_id: str) -> Iterator[Desk]:
    """A desk of a controller that the settings name a bank."""
    settings = opened.vault.settings.model_copy(update={"banks": (controller_id,)})
    vault = replace(opened.vault, settings=settings)
    register(vault, controller_id, "t1", "dpo", "system")
    app = create_app(vault, opened.health, Held((published("ES256"),)), slot_s=SHORT_S)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield Desk(client, vault, controller_id)


def test_a_bank_s_staff_say_workstation_and_relationship_or_get_nothing(bank: Desk, opened: Any) -> None:
    person = make_subject(bank.vault, bank.controller_id, {"given_name": "Giulia", "customer_number": "C0000001"}).subject_id
    make_ticket(bank.vault, bank.controller_id, person, "t1")
    said: dict[str, Any] = {"Vault_Station": "PDL-0231", "Vault_Relationship": "current-account"}
    begins = bank.vault.now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
    for missing in said:
        refused = bank.profile("t1", person, **{**said, missing: None})
        assert (refused.status_code, refused.json()["type"].rpartition("/")[2]) == (400, "context-incomplete")
        assert refused.json()["errors"] == [{"pointer": missing.replace("_", "-"), "code": "missing"}]
    assert bank.profile("t1", person, **{**said, "Vault_Relationship": "Conto 12"}).status_code == 400
    shown = bank.profile("t1", person, **said)
    assert shown.status_code == 200, shown.text
    assert (
        bank.call("GET", f"/v1/subjects/{person}/profile", "customer", subject_id=person).status_code == 200
    )  # the customer is at no workstation
    opened.trail.settle(bank.controller_id)
    wish = {"format": "garante", **SPAN, "from": begins}
    register_of = bank.call("POST", f"{LOG}/exports", "dpo", wish)
    assert register_of.status_code == 200, register_of.text
    assert register_of.headers["Content-Type"] == "text/csv; charset=utf-8"
    head, row = register_of.text.splitlines()
    assert head.startswith("\ufeffcodice_incaricato;data_ora;codice_postazione;codice_cliente;tipologia_rapporto;")
    assert shown.headers["Vault-Entry"] in row
    assert all(row.split(";")[:5])


def test_elsewhere_they_may_be_said_and_are_kept(desk: Desk, customer: str, opened: Any) -> None:
    read = desk.profile("t1", customer, Vault_Station="PDL-7", Vault_Relationship="loan").headers["Vault-Entry"]
    settled(desk, opened)
    told = desk.call("GET", f"{LOG}/entries/{read}?reason=SAMPLE", "dpo").json()
    assert told["details"]["relationship"] == {"type": "loan"}
    assert told["internal"]["station"].startswith("w_")
    assert desk.profile("t1", customer, Vault_Station="a b").status_code == 400


def test_an_evaluation_of_a_bank_needs_them_too(bank: Desk) -> None:
    asked = {
        "subject": {"type": "agent", "id": "t1-1"}, "action": {"name": "view"},
        "resource": {"type": "field", "id": f"sub_{'a' * 26}/email"}, "context": {"purpose": "customer-care", "channel": "phone"},
    }  # fmt: skip
    asked["context"]["ticket"] = "TCK-1"
    answer = bank.call("POST", "/access/v1/evaluation", "t1", asked)
    assert (answer.status_code, len(answer.json()["errors"])) == (400, 2)
    said = {"Vault_Station": "PDL-0231", "Vault_Relationship": "loan"}
    assert bank.call("POST", "/access/v1/evaluation", "t1", asked, **said).status_code == 404
