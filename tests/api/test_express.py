"""The masked profile is answered before the framework's routing; whoever asks cannot tell, whatever they ask."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from structlog.testing import capture_logs

from api.main import Application, create_app
from api.requests_log import Edge
from tests.api.desk import Desk
from tests.api.issuer import Held, published
from tests.makers import make_subject
from vault.assembly import Vault
from vault.operations.promise import promise

REQUEST_ID = "call_" + "b" * 26
IDS = {"Vault-Request-Id": REQUEST_ID}
CHANGING = ("decision_id", "entry_id", "Vault-Decision", "Vault-Entry")


@pytest.fixture(scope="module")
def framework(client: TestClient, desk: Desk) -> TestClient:
    """The same application with nothing before the framework but the edge."""
    app: Any = client.app
    edge = Edge(FastAPI.build_middleware_stack(app), desk.vault.new_id, desk.vault.monotonic, partial(promise, desk.vault))

    async def plain(scope: Any, receive: Any, send: Any) -> None:
        scope["app"] = app
        await edge(scope, receive, send)

    return TestClient(plain, raise_server_exceptions=False)  # its start and end are the other's


def told(answer: httpx2.Response) -> tuple[int, dict[str, str], dict[str, Any]]:
    """Return everything that was said, but for ids drawn anew for each reading."""
    headers = {name: "-" if name.title() in CHANGING else value for name, value in answer.headers.items()}
    return answer.status_code, headers, {name: "-" if name in CHANGING else value for name, value in answer.json().items()}


@pytest.mark.parametrize(
    ("status", "method", "path", "without", "stated"),
    [
        (200, "GET", "{}/profile", None, {}),
        (200, "GET", "{}/profile?fields=email,given_name", None, {"traceparent": f"00-{'4b' * 16}-{'0f' * 8}-01"}),
        (400, "GET", "{}/profile?fields=nickname", None, {}),
        (400, "GET", "{}/profile", "Vault-Purpose", {}),
        (400, "GET", "{}/profile", None, {"Vault-Channel": "telefono"}),
        (401, "GET", "{}/profile", "Authorization", {}),
        (401, "GET", "{}/profile", None, {"Authorization": "Bearer a.b.c"}),
        (401, "GET", "{}/profile", None, {"DPoP": "a.b.c"}),
        (403, "GET", "sub_zzzzzzzzzzzzzzzzzzzzzzzzzz/profile", None, {}),  # their ticket is about somebody else
        (404, "GET", "sub_zzzzzzzzzzzzzzzzzzzzzzzzzz/profile", None, {"Vault-Ticket": "TCK-unheard"}),
        (404, "GET", "giulia@example.it/profile", None, {}),
        (404, "GET", "{}%2Fx/profile", None, {}),
        (404, "GET", "{}/profile/", None, {}),
        (404, "GET", "/profile", None, {}),
        (404, "GET", "{}/Profile", None, {}),
        (405, "HEAD", "{}/profile", None, {}),
        (405, "DELETE", "{}/profile", None, {}),
        (405, "POST", "{}/profile", "Authorization", {}),
        (413, "GET", "{}/profile", None, {"Content-Length": "9999999"}),
    ],
)
def test_the_framework_would_have_said_the_same(
    desk: Desk, framework: TestClient, customer: str, status: int, method: str, path: str, without: str | None, stated: Any
) -> None:
    headers = {name: value for name, value in (desk.headers("t1", "TCK-1") | stated | IDS).items() if name != without}
    address = f"/v1/subjects/{path.format(customer)}"
    answers = []
    for client in (desk.client, framework):
        with capture_logs() as logs:
            answer = client.request(method, address, headers=headers)
        (line,) = [{name: value for name, value in one.items() if name not in {"ms", *CHANGING}} for one in logs]
        answers.append((answer.status_code if method == "HEAD" else told(answer), line))
    assert answers[0] == answers[1]
    assert answers[0][1]["status"] == status


@pytest.mark.parametrize("name", ["Vault-Purpose", "Vault-Ticket", "Authorization", "Content-Length"])
def test_nor_does_it_matter_what_is_said_twice(desk: Desk, framework: TestClient, customer: str, name: str) -> None:
    said = [*(desk.headers("t1", "TCK-1") | IDS | {"Content-Length": "0"}).items()]
    said += [one for one in said if one[0] == name]
    answers = [told(client.get(f"/v1/subjects/{customer}/profile", headers=said)) for client in (desk.client, framework)]
    assert answers[0] == answers[1]
    assert answers[0][0] == {"Authorization": 401, "Content-Length": 200}.get(name, 400)


@pytest.fixture
def faulty(vault: Vault) -> Iterator[tuple[Application, TestClient]]:
    """An application of its own, whose lanes may be taken away."""
    app = create_app(vault, keys=Held((published("ES256"),)))
    with TestClient(app, raise_server_exceptions=False) as client:
        lanes = app.state.lanes
        yield app, client
        app.state.lanes = lanes


def test_an_error_nobody_thought_of_is_a_problem_here_too(desk: Desk, faulty: tuple[Application, TestClient]) -> None:
    class Broken:
        def submit(self, *_: object) -> None:
            raise LookupError("giulia.canary@example.it")

    app, client = faulty
    app.state.lanes = Broken()
    customer = make_subject(desk.vault, desk.controller_id, {"given_name": "Giulia"}).subject_id
    with capture_logs() as logs:
        answer = client.get(f"/v1/subjects/{customer}/profile", headers=desk.headers("t1", "TCK-1"))
    assert (answer.status_code, answer.headers["Content-Type"]) == (500, "application/problem+json")
    assert answer.json()["type"].endswith("/internal")
    assert [line["event"] for line in logs] == ["unexpected", "request"]
    assert "giulia" not in answer.text + repr(logs)
