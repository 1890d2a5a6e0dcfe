"""The API's own description: as committed, complete, and without a place where personal data could travel in the open."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import APIRoute

from api import openapi
from api.context import Guarded
from api.described import declared_members, document
from api.main import ROUTERS, bare_app

ROOT = Path(__file__).parents[2]
GUARDED = ("/v1/", "/access/v1/", "/audit/{controller_id}/{era}/tile/")
METHODS = {"get", "post", "put", "patch", "delete"}
HARMLESS = {
    *("asked_id", "subject_id", "grant_id", "agreement_id", "ticket_id", "decision_id", "naming_id", "naming"),
    *("fields", "template", "version", "format", "event", "limit", "cursor", "until"),
    *("entry_id", "controller_id", "era", "level", "index", "from", "to"),
    *("name", "caller", "system", "role", "field", "purpose", "ticket", "agreement", "outcome"),
    *("operation", "flag", "cursor", "reason", "by"),  # of the log: ids, labels and closed lists; no address as an id
    *(
        "hold_id",
        "task_id",
        "certificate_id",
        "request_id",
        "every",
        "skip",
        "export_id",
        "notice",
        "language",
        "breach_id",
        "list_id",
        "station",
        "class",
        "policy",
        "first",
        "end",
    ),
}
WINDOWS = {"listEntries", "countEntries"}  # a query that is well formed and asks for too much
DOCUMENTS = {  # what is handed out in a published form of its own
    "readReceipt": ["application/ld+json", "text/plain", "application/json"],
    "readTerms": ["application/ld+json"],
    "readProcessing": ["application/ld+json", "text/plain", "text/csv"],
    "downloadAccesses": ["application/zip"],
    "downloadMyAccesses": ["application/zip"],
    "downloadExport": ["application/zip"],
    **{name: ["text/plain"] for name in ("readCheckpoint", "proveConsistency", "proveEntry")},
    **{name: ["application/octet-stream"] for name in ("readTile", "readLogTile")},
    "listAffected": ["application/json", "text/plain", "text/csv"],
    "readAffected": ["application/json", "text/plain", "text/csv"],
    "readCertificate": ["text/plain"],
    "exportEntries": ["application/x-ndjson", "text/csv"],
}
VERBS = ("verify", "ask", "answer", "extend", "accept", "take", "refuse", "fulfil", "withdraw", "duplicate", "unidentify", "reopen")
HEADERS = {
    *("Vault-Purpose", "Vault-Channel", "Vault-Ticket", "Vault-Station", "Vault-Relationship", "If-Match", "Idempotency-Key"),
    *("Prefer", "X-OpenDSR-Processor-Domain", "X-OpenDSR-Signature", "X-OpenDSR-Timestamp"),
}


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    return document(bare_app())


def operations(described: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            assert method in METHODS
            yield path, method, operation


def body_schema(described: dict[str, Any], operation: dict[str, Any]) -> dict[str, Any] | None:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    return None if content is None else described["components"]["schemas"][content["schema"]["$ref"].rpartition("/")[2]]


def test_the_committed_document_is_what_the_code_says() -> None:
    assert (ROOT / "docs" / "openapi.json").read_text() == openapi.text(), "run `make openapi`"


def test_every_operation_is_named_once(described: dict[str, Any]) -> None:
    names = [operation["operationId"] for _, _, operation in operations(described)]
    assert len(set(names)) == len(names)
    assert [name for name in names if not re.fullmatch(r"[a-z]+([A-Z][a-z]+)*", name)] == []


def test_nothing_personal_travels_in_a_path_a_query_or_a_header(described: dict[str, Any]) -> None:
    for path, _, operation in operations(described):
        for parameter in operation.get("parameters", []):
            known = HEADERS if parameter["in"] == "header" else HARMLESS
            assert parameter["name"] in known, (path, parameter["name"])
        assert set(re.findall(r"{(\w+)}", path)) <= HARMLESS


def test_paths_take_ids_of_a_closed_form(described: dict[str, Any]) -> None:
    for path, _, operation in operations(described):
        for parameter in operation.get("parameters", []):
            if parameter["in"] == "path":
                assert parameter["schema"]["pattern"].startswith("^"), path
                assert parameter["schema"]["pattern"].endswith("$"), path


def test_bodies_that_carry_personal_data_are_marked(described: dict[str, Any]) -> None:
    marked = set()
    for path, method, operation in operations(described):
        schema = body_schema(described, operation)
        if schema is not None and schema.get("x-has-pii"):
            marked.add(f"{method} {path}")
    assert marked == {
        "post /v1/subjects",
        "post /v1/subjects:search",
        "patch /v1/subjects/{subject_id}/fields",
        "post /v1/subjects/{subject_id}/reveals",
        "post /v1/subjects/{subject_id}/verifications",
        "post /v1/subjects/{subject_id}/break-glass",
        "post /v1/break-glass/{grant_id}:review",
        "post /v1/subjects/{subject_id}/objections:overrule",
        "post /v1/subjects/{subject_id}/obscurings",
        "post /v1/subjects/{subject_id}/obscurings:lift",
        "post /v1/breaches",
        "post /v1/breaches/{breach_id}:assess",
        "post /v1/breaches/{breach_id}:notify",
        "post /v1/breaches/{breach_id}:tell-subjects",
        "post /v1/breaches/{breach_id}:close",
        "put /v1/subjects/{subject_id}/death",
        "post /v1/namings",
        "post /v1/requests",
        "post /v1/requests/{request_id}:propose",
        "post /v1/requests/{request_id}:answer-code",
        "post /v1/holds",
        "post /v1/me/requests",
        "post /v1/recipient-tasks/{task_id}:acknowledge",
        "post /v1/recipient-tasks/{task_id}:declare",
        *(f"post /v1/requests/{{request_id}}:{verb}" for verb in VERBS),
        "post /v1/exports/{export_id}:download",
        "post /v1/audit/entries/{entry_id}/reviews",
        "put /v1/audit/filters/{name}",
    }
    schemas = described["components"]["schemas"]
    shows = {name for name in schemas if name.endswith("Out") and schemas[name].get("x-has-pii")}
    assert shows == {
        *("ProfileOut", "FoundOut", "AgreementsOut", "HistoryOut", "RevealedOut", "AccessesOut", "OpenedOut", "NamedOut"),
        "PendingOut",
        *("WholeBreachOut", "AffectedOut", "StartedOut", "WholeRequestOut", "HoldOut", "HoldsOut", "WholeTaskOut"),
        *("ProposalOut", "ServedNoticesOut"),
    }


def test_every_body_refuses_members_it_does_not_know(described: dict[str, Any]) -> None:
    schemas = described["components"]["schemas"]
    for name in schemas:
        if name.endswith("In"):
            assert schemas[name]["additionalProperties"] is False, name


def test_every_refusal_is_a_problem(described: dict[str, Any]) -> None:
    for path, method, operation in operations(described):
        if not path.startswith(GUARDED):
            continue
        assert {"401", "404", "503"} <= operation["responses"].keys(), (method, path)
        for status, response in operation["responses"].items():
            fine = DOCUMENTS.get(operation["operationId"], ["application/json"])
            expected = fine if status.startswith("2") else ["application/problem+json"]
            assert list(response["content"]) == expected, (method, path, status)
        assert ("422" in operation["responses"]) is ("requestBody" in operation or operation["operationId"] in WINDOWS)
    assert "HTTPValidationError" not in str(described)


def test_everything_under_v1_asks_for_a_token(described: dict[str, Any]) -> None:
    for path, _, operation in operations(described):
        assert ("security" in operation) is path.startswith(GUARDED)
    assert described["components"]["securitySchemes"]["token"]["scheme"] == "bearer"


def test_whoever_touches_a_person_says_why(described: dict[str, Any]) -> None:
    unasked = set()
    for path, _, operation in operations(described):
        stated = {one["name"] for one in operation.get("parameters", []) if one["in"] == "header"}
        if not {"Vault-Purpose", "Vault-Channel", "Vault-Ticket"} <= stated:
            unasked.add(path)
    in_the_body = {"/access/v1/evaluation", "/access/v1/evaluations"}  # AuthZEN: the same, as the question's context
    about_nobody = {
        "/v1/notices",
        "/v1/notices/{notice}",
        "/v1/templates",
        "/v1/templates/{template}/{version}/odrl",
        "/livez",
        "/readyz",
        "/.well-known/riserbo",
    }
    about_nobody |= {"/opendsr/{controller_id}/{task_id}"}  # a task, by whoever signs for it
    about_nobody |= {f"/opendsr/{{controller_id}}/{one}" for one in ("discovery", "requests", "requests/{asked_id}")}  # likewise
    about_nobody |= {"/v1/audit/checkpoint", "/v1/audit/tile/{level}/{index}", "/v1/audit/consistency"}  # digests, and leaves
    about_nobody |= {"/audit/{controller_id}/{era}/checkpoint", "/audit/{controller_id}/{era}/tile/{level}/{index}"}
    assert unasked == about_nobody | in_the_body
    assert described["components"]["schemas"]["OccasionIn"]["required"] == ["purpose", "channel"]


def test_every_route_under_v1_is_guarded() -> None:
    """Its class asks who is there before it reads anything; a plain route would not."""
    routes = [route for router in ROUTERS for route in router.routes]
    plain = [route.path for route in routes if isinstance(route, APIRoute) and not isinstance(route, Guarded)]
    assert sorted(plain) == [
        *("/.well-known/riserbo", "/audit/{controller_id}/{era}/checkpoint", "/livez"),
        *("/opendsr/{controller_id}/discovery", "/opendsr/{controller_id}/requests"),
        *("/opendsr/{controller_id}/requests/{asked_id}", "/opendsr/{controller_id}/requests/{asked_id}"),
        *("/opendsr/{controller_id}/{task_id}", "/readyz"),
    ]
    assert len(plain) < len(routes)


def test_pointers_may_repeat_declared_names_only() -> None:
    declared = declared_members(bare_app())
    assert {"fields", "agreements", "evidence", "Vault-Purpose", "agreement_id"} <= declared
    assert not [name for name in declared if not re.fullmatch(r"[A-Za-z_-]+[a-z0-9_-]*", name)]
