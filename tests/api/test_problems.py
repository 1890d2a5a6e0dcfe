"""Every error leaves as an RFC 9457 document with constant text: ours, the framework's, and those nobody thought of."""

import ast
import base64
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import FastAPI, HTTPException, Query
from fastapi import Path as InPath
from fastapi.testclient import TestClient
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import StreamingResponse
from structlog.testing import capture_logs

from api import problems
from api.problems import TABLE, PreconditionRequired, Shield, Unauthenticated, or_refuse
from api.requests_log import MAX_BODY, Edge
from vault import errors
from vault.errors import Fault, VaultError

ROOT = Path(__file__).parents[2]
CANARIES = ("IT60X0542811101000000123456", "giulia.canary@example.it", "RSSMRA80A01H501U")
ALL = " ".join(CANARIES)


class Amendment(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    agreement_id: Annotated[str, Field(pattern="^agr_[a-z2-7]{26}$")]
    fields: dict[Annotated[str, Field(pattern="^[a-z_]{1,20}$")], str | int | None]
    lines: list[int] = []


def leaves(error: type[VaultError]) -> Iterator[type[VaultError]]:
    below = [one for one in error.__subclasses__() if one.__module__ == VaultError.__module__]  # not what a test made up
    if not below:
        yield error
    for one in below:
        yield from leaves(one)


def application() -> FastAPI:
    app = FastAPI(openapi_url=None)

    @app.get("/raise/{name}")
    def raise_error(name: str) -> None:
        raise RAISED[name]

    @app.post("/amend/{number}")
    def amend(number: Annotated[int, InPath(ge=1)], body: Amendment, limit: Annotated[int, Query(le=200)] = 1) -> dict[str, int]:
        return {"read": number + limit + len(body.fields)}

    @app.get("/stream")
    def stream() -> StreamingResponse:
        def parts() -> Iterator[bytes]:
            yield b"first"
            raise LookupError(ALL)

        return StreamingResponse(parts())

    problems.install(app)
    app.add_middleware(Shield)
    made, ticks = (lambda prefix: f"{prefix}_{'a' * 26}"), iter(range(10_000))
    app.add_middleware(Edge, new_id=made, monotonic=ticks.__next__, promise=lambda _controller, _hash: None)
    app.state.declared_members = lambda: frozenset({"agreement_id", "fields", "lines", "email"})
    return app


RAISED: dict[str, Exception] = {
    "key": KeyError(ALL),
    "value": ValueError(ALL),
    "recursion": RecursionError(ALL),
    "group": ExceptionGroup(ALL, [ValueError(ALL)]),
    "http-400": HTTPException(400, ALL),
    "http-418": HTTPException(418, {"seen": ALL}, headers={"X-Seen": ALL}),
    "http-404": HTTPException(404, ALL),
    "http-500": HTTPException(500, ALL),
    "unauthenticated": Unauthenticated("kid"),
    "precondition": PreconditionRequired(),
    "field": errors.InvalidValue(
        faults=[Fault("/fields/email", "email.syntax"), Fault(f"/fields/{CANARIES[1]}/x", "field.unknown")]
    ),
    "header": errors.ContextIncomplete(faults=[Fault("Vault-Purpose", "missing")]),
    "denied": errors.AccessDenied("role", decision_id="dec_1", entry_id="ent_1"),
    "too-many": errors.TooMany(retry_after_s=17),
} | {leaf.__name__: leaf() for leaf in leaves(VaultError)}


@pytest.fixture
def client() -> Iterator[TestClient]:
    with TestClient(application(), raise_server_exceptions=False) as here:
        yield here


def expect(answer: Any, status: int, code: str) -> dict[str, Any]:
    """Return the document, once it is one: its media type, its members, and no canary in any form anywhere."""
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/problem+json")
    document: dict[str, Any] = answer.json()
    assert document["type"] == f"https://riserbo.dev/problems/{code}"
    assert (document["status"], document["instance"]) == (status, answer.headers["Vault-Request-Id"])
    assert document.keys() <= {"type", "title", "status", "detail", "instance", "decision_id", "entry_id", "errors"}
    assert answer.headers["Cache-Control"] == "no-store"
    everything = answer.text + repr(answer.headers)
    for canary in CANARIES:
        forms = {canary, canary.upper(), canary.lower(), canary[::-1], canary.encode().hex()}
        forms.add(base64.b64encode(canary.encode()).decode())
        assert not [form for form in forms if form in everything]
    return document


def test_the_table_is_the_leaves() -> None:
    assert set(TABLE) == set(leaves(VaultError))


STATUSES = {
    "AccessDenied": 403,
    "NotFound": 404,
    "Restricted": 423,
    "Erased": 410,
    "Held": 409,
    "TooMany": 429,
    "ContextIncomplete": 400,
    "InvalidValue": 422,
    "Conflict": 409,
    "Stale": 412,
    "AuditUnavailable": 503,
    "KeysUnavailable": 503,
    "DatabaseUnavailable": 503,
    "Unreadable": 500,
}


@pytest.mark.parametrize("leaf", sorted(STATUSES))
def test_each_leaf_has_its_status(client: TestClient, leaf: str) -> None:
    answer = client.get(f"/raise/{leaf}")
    expect(answer, STATUSES[leaf], getattr(errors, leaf).code)
    assert ("Retry-After" in answer.headers) is (STATUSES[leaf] == 503)


def test_an_error_carries_its_ids_and_its_wait(client: TestClient) -> None:
    answer = client.get("/raise/denied")
    document = expect(answer, 403, "role")
    assert (document["decision_id"], document["entry_id"]) == ("dec_1", "ent_1")
    assert (answer.headers["Vault-Decision"], answer.headers["Vault-Entry"]) == ("dec_1", "ent_1")
    assert client.get("/raise/too-many").headers["Retry-After"] == "17"


def test_a_subclass_of_a_leaf_has_the_leaf_s_status(client: TestClient) -> None:
    class Odd(errors.Conflict):
        code = "odd"

    RAISED["odd"] = Odd()
    try:
        expect(client.get("/raise/odd"), 409, "odd")
    finally:
        del RAISED["odd"]


def test_nobody_is_told_which_check_refused_them(client: TestClient) -> None:
    with capture_logs() as logs:
        answer = client.get("/raise/unauthenticated")
    expect(answer, 401, "unauthenticated")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer ")
    assert "kid" not in answer.text + repr(answer.headers)
    assert [line["refusal"] for line in logs if line["event"] == "request"] == ["kid"]


def test_a_change_without_if_match_is_428(client: TestClient) -> None:
    document = expect(client.get("/raise/precondition"), 428, "precondition-required")
    assert document["errors"] == [{"pointer": "If-Match", "code": "missing"}]


def test_pointers_name_what_this_api_declares_and_nothing_else(client: TestClient) -> None:
    assert expect(client.get("/raise/field"), 422, "invalid-value")["errors"] == [
        {"pointer": "/fields/email", "code": "email.syntax"},
        {"pointer": "/fields", "code": "field.unknown"},
    ]
    assert expect(client.get("/raise/header"), 400, "context-incomplete")["errors"] == [
        {"pointer": "Vault-Purpose", "code": "missing"}
    ]


# --- the framework's errors


@pytest.mark.parametrize("name", ["key", "value", "recursion", "group", "http-500"])
def test_what_nobody_thought_of_is_a_constant_500(client: TestClient, name: str) -> None:
    with capture_logs() as logs:
        document = expect(client.get(f"/raise/{name}"), 500, "internal")
    assert document.keys() == {"type", "title", "status", "detail", "instance"}
    assert not [canary for canary in CANARIES if canary in repr(logs)]


def test_an_unexpected_error_is_logged_by_kind_and_place(client: TestClient) -> None:
    with capture_logs() as logs:
        client.get("/raise/key")
    line = next(line for line in logs if line["event"] == "unexpected")
    assert line["kind"] == "KeyError"
    assert line["where"].startswith("test_problems.py:")


@pytest.mark.parametrize(
    ("name", "status", "code"), [("http-400", 400, "malformed"), ("http-418", 400, "malformed"), ("http-404", 404, "not-found")]
)
def test_the_framework_s_text_and_headers_are_not_repeated(client: TestClient, name: str, status: int, code: str) -> None:
    assert "X-Seen" not in client.get(f"/raise/{name}").headers
    expect(client.get(f"/raise/{name}"), status, code)


def test_a_path_that_is_not_there_is_404_and_is_not_repeated(client: TestClient) -> None:
    expect(client.get(f"/{CANARIES[1]}?x={CANARIES[0]}"), 404, "not-found")


def test_a_method_that_is_not_there_is_405_with_those_that_are(client: TestClient) -> None:
    answer = client.delete("/stream")
    expect(answer, 405, "method-not-allowed")
    assert answer.headers["Allow"] == "GET"


AGREEMENT = "agr_" + "a" * 26


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, {"/agreement_id": "missing", "/fields": "missing"}),
        ({"agreement_id": ALL, "fields": {}}, {"/agreement_id": "string-pattern-mismatch"}),
        ({"agreement_id": 7, "fields": {}}, {"/agreement_id": "string-type"}),
        ({"agreement_id": AGREEMENT, "fields": {}, CANARIES[1]: CANARIES[0]}, {"": "extra-forbidden"}),
        ({"agreement_id": AGREEMENT, "fields": {CANARIES[1]: "x"}}, {"/fields": "string-pattern-mismatch"}),
        ({"agreement_id": AGREEMENT, "fields": {"rssmra": [ALL]}}, {"/fields": "int-type"}),
        ({"agreement_id": AGREEMENT, "fields": {"email": [ALL]}}, {"/fields/email": "int-type"}),
        ({"agreement_id": AGREEMENT, "fields": {}, "lines": [1, ALL]}, {"/lines/1": "int-type"}),
        ([ALL], {"": "model-attributes-type"}),
        (ALL, {"": "model-attributes-type"}),
    ],
    ids=range(10),
)
def test_a_body_at_fault_is_422_with_pointer_and_code(client: TestClient, body: Any, pointers: dict[str, str]) -> None:
    document = expect(client.post("/amend/1", json=body), 422, "invalid-value")
    assert {one["pointer"]: one["code"] for one in document["errors"]} == pointers


@pytest.mark.parametrize("body", [b"{", b"", b"\xff\xfe", b"[" * 60_000, ALL.encode(), b'{"a":' + b"9" * 5_000 + b"}"])
def test_a_body_that_is_no_json_is_refused_in_silence(client: TestClient, body: bytes) -> None:
    answer = client.post("/amend/1", content=body, headers={"Content-Type": "application/json"})
    expect(answer, 422 if not body else 400, "invalid-value" if not body else "malformed")
    assert "errors" not in answer.json() or not body


def test_a_bad_query_is_400_and_a_bad_path_is_404(client: TestClient) -> None:
    fine = {"agreement_id": AGREEMENT, "fields": {}}
    assert client.post("/amend/1", json=fine).json() == {"read": 2}
    document = expect(client.post(f"/amend/1?limit={CANARIES[0]}", json=fine), 400, "malformed")
    assert document["errors"] == [{"pointer": "", "code": "int-parsing"}]
    expect(client.post("/amend/1?limit=201", json=fine), 400, "malformed")
    expect(client.post(f"/amend/{CANARIES[1]}", json=fine), 404, "not-found")


# --- the edge


def test_a_body_over_one_mebibyte_is_refused_unread(client: TestClient) -> None:
    read: list[int] = []

    def body() -> Iterator[bytes]:
        read.append(1)
        yield b"x"

    answer = client.post(
        "/amend/1", content=body(), headers={"Content-Length": str(MAX_BODY + 1), "Content-Type": "application/json"}
    )
    expect(answer, 413, "too-large")
    assert answer.headers["Connection"] == "close"


@pytest.mark.parametrize("length", ["-1", "1e3", "x", "9" * 30])
def test_a_length_that_is_none_is_refused(client: TestClient, length: str) -> None:
    expect(client.post("/amend/1", content=b"{}", headers={"Content-Length": length}), 413, "too-large")


def test_a_body_of_unsaid_length_is_cut_off_at_one_mebibyte(client: TestClient) -> None:
    taken: list[int] = []

    def flood() -> Iterator[bytes]:
        for number in range(64):
            taken.append(number)
            yield b" " * 65_536

    answer = client.post("/amend/1", content=flood(), headers={"Content-Type": "application/json"})
    document = expect(answer, 413, "too-large")
    assert document["title"] == "Too large"
    assert answer.headers["Connection"] == "close"


def test_a_body_of_one_mebibyte_is_read(client: TestClient) -> None:
    body = b'{"agreement_id":"' + AGREEMENT.encode() + b'","fields":{}}'
    answer = client.post("/amend/1", content=body + b" " * (MAX_BODY - len(body)), headers={"Content-Type": "application/json"})
    assert answer.json() == {"read": 2}


def test_half_an_answer_is_never_completed() -> None:
    sent: list[dict[str, Any]] = []

    async def broken(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise LookupError(ALL)

    async def keep(message: Any) -> None:
        sent.append(message)

    coroutine = Shield(broken)({"type": "http"}, None, keep)  # type: ignore[arg-type]  # nothing is received
    with pytest.raises(StopIteration), capture_logs() as logs:
        coroutine.send(None)
    assert [message["type"] for message in sent] == ["http.response.start"]
    assert logs[0]["event"] == "unexpected"


def test_what_is_no_request_is_not_answered_as_one() -> None:
    async def broken(_scope: Any, _receive: Any, _send: Any) -> None:
        raise LookupError

    with pytest.raises(LookupError):
        Shield(broken)({"type": "lifespan"}, None, None).send(None)  # type: ignore[arg-type]


def test_the_line_of_a_request_holds_no_path_no_query_and_no_header(client: TestClient) -> None:
    with capture_logs() as logs:
        client.get(f"/raise/{CANARIES[1]}?q={CANARIES[0]}", headers={"Authorization": CANARIES[2], "Vault-Ticket": ALL})
        client.request(CANARIES[2], f"/{CANARIES[1]}")
    lines = [line for line in logs if line["event"] == "request"]
    assert [(line["method"], line["route"], line["status"]) for line in lines] == [
        ("GET", "/raise/{name}", 500),
        ("other", "-", 404),
    ]
    assert not [canary for canary in CANARIES if canary in repr(logs)]


@pytest.mark.parametrize("sent", ["call_" + "b" * 26, "01890a5d-ac96-774b-bcce-b302099a8057"])
def test_a_request_id_of_a_closed_form_is_echoed(client: TestClient, sent: str) -> None:
    answer = client.get("/raise/denied", headers={"Vault-Request-Id": sent})
    assert (answer.headers["Vault-Request-Id"], answer.json()["instance"]) == (sent, sent)


@pytest.mark.parametrize("sent", [CANARIES[1], CANARIES[2].lower(), "x" * 300, "", "\u00e9", "call_" + "b" * 27])
def test_any_other_request_id_is_replaced(client: TestClient, sent: str) -> None:
    answer = client.get("/raise/denied", headers={b"Vault-Request-Id": sent.encode("latin-1")})
    assert answer.headers["Vault-Request-Id"] == "call_" + "a" * 26


def test_a_trace_context_is_echoed_and_its_id_logged(client: TestClient) -> None:
    trace = f"00-{'4b' * 16}-{'0f' * 8}-01"
    with capture_logs() as logs:
        assert client.get("/raise/denied", headers={"traceparent": trace}).headers["traceparent"] == trace
        assert "traceparent" not in client.get("/raise/denied", headers={"traceparent": ALL}).headers
    assert [line["trace_id"] for line in logs] == ["4b" * 16, None]


def test_every_answer_is_dressed(client: TestClient) -> None:
    for path in ("/raise/denied", "/raise/key", "/nowhere"):
        headers = client.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "Strict-Transport-Security" in headers
        assert "Access-Control-Allow-Origin" not in headers
        assert "Server" not in headers


# --- the house


def test_only_problems_catches_everything() -> None:
    found = {
        path.relative_to(ROOT).as_posix()
        for folder in ("api", "vault")
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ExceptHandler) and (node.type is None or ast.unparse(node.type) in {"Exception", "BaseException"})
    }
    assert found - {"vault/lanes.py", "vault/keys/controller_keys.py"} == {"api/problems.py"}


def test_or_refuse_lets_refusals_through_and_hides_the_rest() -> None:
    def fails() -> None:
        raise LookupError(ALL)

    with pytest.raises(Unauthenticated) as hidden:
        or_refuse(fails)
    assert (hidden.value.check, hidden.value.__cause__, hidden.value.__suppress_context__) == ("unexpected", None, True)
    assert or_refuse(lambda: 7) == 7


def test_texts_are_constants() -> None:
    for kind in [*TABLE.values(), *(kind for _, kind in problems.FRAMEWORK.values())]:
        assert "{" not in kind.title + kind.detail
    assert "str(error)" not in inspect.getsource(problems)
