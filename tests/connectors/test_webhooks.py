"""Posting to a recipient: one request, whatever it answers, and nothing of what it answers is believed."""

import time
from collections.abc import Iterator

import httpx2
import pytest

from vault.connectors.webhooks import Webhooks
from vault.recipients.delivery import Posted

URL = "https://desk.example/hooks"


def posted(answer: httpx2.Response | Exception, url: str = URL) -> tuple[Posted, list[httpx2.Request]]:
    seen: list[httpx2.Request] = []

    def there(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        if isinstance(answer, Exception):
            raise answer
        return answer

    post = Webhooks(time.monotonic, httpx2.MockTransport(there))
    try:
        return post(url, {"webhook-id": "tsk_1"}, b"{}"), seen
    finally:
        post.close()


def test_what_is_sent_is_what_was_signed() -> None:
    answer, (request,) = posted(httpx2.Response(204))
    assert (answer, request.content) == (Posted(204), b"{}")
    assert (request.headers["webhook-id"], request.headers["Content-Type"]) == ("tsk_1", "application/json")


def test_a_redirect_is_not_followed() -> None:
    answer, seen = posted(httpx2.Response(307, headers={"Location": "http://169.254.169.254/"}))
    assert (answer.status, len(seen)) == (307, 1)


@pytest.mark.parametrize(
    ("text", "wait_s"), [("120", 120), ("Wed, 21 Oct 2026 07:28:00 GMT", None), ("-5", None), ("9" * 12, None)]
)
def test_for_how_long_it_asks_to_wait(text: str, wait_s: int | None) -> None:
    assert posted(httpx2.Response(503, headers={"Retry-After": text}))[0] == Posted(503, wait_s=wait_s)


@pytest.mark.parametrize(
    ("error", "because"), [(httpx2.ReadTimeout("x"), "timeout"), (httpx2.ConnectError("x"), "unreachable")]
)  # fmt: skip
def test_who_does_not_answer(error: Exception, because: str) -> None:
    assert posted(error)[0] == Posted(None, because)


@pytest.mark.parametrize("url", ["http://desk.example/hooks", "ftp://desk.example", "https://user:x@desk.example"])
def test_nothing_goes_in_the_open(url: str) -> None:
    answer, seen = posted(httpx2.Response(200), url)
    assert (answer, seen) == (Posted(None, "address"), [])


@pytest.mark.parametrize(("pieces", "pause_s", "said"), [(3, 1, b"xxx"), (65, 0, b""), (30, 1, b"")])
def test_an_answer_that_is_long_or_drips_is_none(pieces: int, pause_s: int, said: bytes) -> None:
    """Seen failing without the instant it ends at: one endpoint kept all others from being told."""
    at = 0.0

    def dripping() -> Iterator[bytes]:
        nonlocal at
        for _ in range(pieces):
            at += pause_s
            yield b"x"

    post = Webhooks(lambda: at, httpx2.MockTransport(lambda _: httpx2.Response(201, content=dripping())))
    try:
        assert post(URL, {}, b"{}", 64).body == said
        assert post(URL, {}, b"{}").body == b""
    finally:
        post.close()
