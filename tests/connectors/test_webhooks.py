"""Posting to a recipient: one request, whatever it answers, and nothing of what it answers is believed."""

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

    post = Webhooks(httpx2.MockTransport(there))
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
