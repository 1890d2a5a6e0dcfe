"""A 404 leaves at the stroke of a clock that began with its request: when it comes tells nothing of what it took."""

from collections.abc import Iterator
from time import perf_counter
from typing import Any

import pytest
from anyio import run, sleep
from fastapi.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send

from api.main import create_app
from api.requests_log import SLOT_S, Edge
from tests.api.desk import Desk
from tests.api.issuer import Held, published

NOBODY = "sub_" + "z" * 26
LONG_S = 0.4


@pytest.fixture
def slow(opened: Any) -> Iterator[TestClient]:
    with TestClient(create_app(opened.vault, keys=Held((published("ES256"),)), slot_s=LONG_S)) as client:
        yield client


def test_a_404_waits_for_its_stroke_and_nothing_else_does(slow: TestClient, desk: Desk, customer: str) -> None:
    own = Desk(slow, desk.vault, desk.controller_id)
    for subject_id, ticket, status, waits in ((NOBODY, "TCK-unheard", 404, True), (customer, "TCK-1", 200, False)):
        own.profile("t1", subject_id, ticket=ticket)
        began = perf_counter()
        answer = own.profile("t1", subject_id, ticket=ticket)
        took = perf_counter() - began
        assert answer.status_code == status, answer.text
        assert (took >= LONG_S) is waits


def test_whoever_sends_slowly_does_not_choose_the_stroke(opened: Any) -> None:
    """Seen failing with strokes counted from the first byte: what was begun at the edge of one took a whole one longer."""
    sent: list[float] = []

    async def refuses(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["more_body"]:
            pass
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def slowly() -> Message:
        sent.append(perf_counter())
        if len(sent) == 1:
            return {"type": "http.request", "body": b"{", "more_body": True}
        await sleep(0.8 * LONG_S)
        sent.append(perf_counter())
        return {"type": "http.request", "body": b"}", "more_body": False}

    async def drop(message: Message) -> None:
        sent.append(perf_counter())

    scope = {"type": "http", "method": "POST", "headers": [(b"content-length", b"2")], "path": "/"}
    run(Edge(refuses, opened.vault.new_id, perf_counter, lambda *_: None, LONG_S), scope, slowly, drop)
    assert sent[3] - sent[2] >= 0.99 * LONG_S


def test_the_stroke_is_longer_than_a_refusal_takes_and_shorter_than_anybody_notices() -> None:
    assert 0.01 <= SLOT_S <= 0.1
