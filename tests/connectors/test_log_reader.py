"""Reading a log from outside: its addresses, and what of the answers is believed."""

import httpx2
import pytest

from vault.connectors.log_reader import LogReader
from vault.errors import DatabaseUnavailable, InvalidValue

LOG = "https://vault.example/audit/ctl-1/1"


def answer(text: str) -> httpx2.Response:
    """Return an answer that is still to be read, as the network gives it."""
    return httpx2.Response(200, content=iter([text.encode()]))


def reader(given: httpx2.Response | Exception, asked: list[httpx2.Request] | None = None, token: str | None = None) -> LogReader:
    def respond(request: httpx2.Request) -> httpx2.Response:
        if asked is not None:
            asked.append(request)
        if isinstance(given, Exception):
            raise given
        return given

    return LogReader(LOG, token, httpx2.MockTransport(respond))


def test_a_checkpoint_needs_no_token_and_a_proof_does() -> None:
    asked: list[httpx2.Request] = []
    one = reader(answer("text\n"), asked, "secret")
    assert one.checkpoint(2) == "text\n"
    assert reader(answer("proof\n"), asked, "secret").consistency(60, 100) == "proof\n"
    assert [str(each.url) for each in asked] == [
        "https://vault.example/audit/ctl-1/2/checkpoint",
        "https://vault.example/v1/audit/consistency?from=60&to=100",
    ]
    assert [each.headers.get("Authorization") for each in asked] == [None, "Bearer secret"]
    one.close()


def test_what_is_not_there_is_none() -> None:
    assert reader(httpx2.Response(404)).checkpoint(1) is None
    assert reader(httpx2.Response(404)).consistency(1, 2) is None


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (httpx2.Response(401), "log-unreadable"),
        (httpx2.Response(302, headers={"Location": "https://elsewhere.example"}), "log-unreadable"),
        (answer("x" * 70_000), "log-unreadable"),
        (httpx2.Response(200, content=iter([b"\xff"])), "log-unreachable"),
        (httpx2.ConnectError("no"), "log-unreachable"),
    ],
)
def test_an_answer_that_is_none_is_told_by_code(given: httpx2.Response | Exception, code: str) -> None:
    with pytest.raises(DatabaseUnavailable, match=code):
        reader(given).checkpoint(1)


@pytest.mark.parametrize("address", ["http://vault.example/audit/ctl-1/1", "https://vault.example/audit/ctl-1/x", ""])
def test_only_the_address_of_a_log_is_read(address: str) -> None:
    with pytest.raises(InvalidValue):
        LogReader(address)
