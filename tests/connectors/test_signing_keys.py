"""The issuer's keys: when they are fetched, how long they serve, and what an issuer may send."""

import gzip
import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx2
import pytest

from vault.connectors.signing_keys import MAX_BYTES, SigningKeys, is_loopback
from vault.errors import InvalidValue, KeysUnavailable

URL = "https://issuer.example/keys"
ONE = {"kid": "one", "kty": "EC"}
TWO = {"kid": "two", "kty": "EC"}


def answer(status: int = 200, body: bytes | Iterable[bytes] = b"", **headers: str) -> httpx2.Response:
    """Return an answer that is still to be read, as the network gives it."""
    chunks = iter([body]) if isinstance(body, bytes) else body
    return httpx2.Response(status, headers=[(name.replace("_", "-"), text) for name, text in headers.items()], content=chunks)


def said(document: object) -> bytes:
    return json.dumps(document).encode()


def key_set(*keys: object) -> httpx2.Response:
    return answer(body=said({"keys": list(keys)}))


@dataclass
class Issuer(httpx2.BaseTransport):
    """The network, replaced: answers with what it was told, and counts."""

    answer: Callable[[], httpx2.Response] = lambda: key_set(ONE)
    asked: int = 0

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        assert str(request.url) == URL
        self.asked += 1
        return self.answer()


@dataclass
class Place:
    issuer: Issuer = field(default_factory=Issuer)
    at: float = 1_000.0

    def __post_init__(self) -> None:
        self.keys = SigningKeys(URL, lambda: self.at, self.issuer)

    def ask(self, kid: str = "one") -> list[str]:
        """Return the ids of the set as a caller gets it: at once, or after a fetch."""
        documents = self.keys.held(kid)
        return [str(one.get("kid")) for one in (self.keys.fetched(kid) if documents is None else documents)]

    def fail(self) -> None:
        def refuse() -> httpx2.Response:
            raise httpx2.ConnectError("refused")

        self.issuer.answer = refuse


@pytest.fixture
def place() -> Iterator[Place]:
    here = Place()
    yield here
    here.keys.close()


# --- the address


@pytest.mark.parametrize(
    "url",
    [
        "",
        "issuer.example/keys",
        "http://issuer.example/keys",
        "http://127.0.0.1.example/keys",
        "http://10.0.0.1/keys",
        "file:///etc/passwd",
        "https://",
        "https://user:secret@issuer.example/keys",
        "https://user@issuer.example/keys",
        "https://issuer.example/keys#x",
        "https://[issuer.example/keys",
    ],
)
def test_only_https_or_loopback_is_asked(url: str) -> None:
    with pytest.raises(InvalidValue) as refusal:
        SigningKeys(url, lambda: 0.0)
    assert [fault.pointer for fault in refusal.value.faults] == ["RISERBO_JWKS_URL"]
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://127.0.0.1:1/k", True),
        ("http://[::1]:1/k", True),
        ("http://localhost/k", True),
        (URL, False),
        ("https://8.8.8.8/", False),
    ],
)
def test_loopback_is_known_by_its_address(url: str, here: bool) -> None:
    assert is_loopback(url) is here
    SigningKeys(url, lambda: 0.0).close()


# --- when


def test_nothing_is_fetched_before_it_is_needed(place: Place) -> None:
    assert place.issuer.asked == 0
    assert place.keys.held("one") is None
    assert place.issuer.asked == 0


def test_a_set_serves_for_ten_minutes(place: Place) -> None:
    for place.at in (1_000.0, 1_300.0, 1_600.0):
        assert place.ask() == ["one"]
    assert place.issuer.asked == 1
    place.at = 1_600.1
    assert place.ask() == ["one"]
    assert place.issuer.asked == 2


def test_a_set_that_did_not_change_is_the_same_object(place: Place) -> None:
    """What was verified under it stays believed."""
    before = place.keys.fetched("one")
    place.at += 601
    assert place.keys.fetched("one") is before
    place.issuer.answer = lambda: key_set(ONE, TWO)
    place.at += 601
    assert place.keys.fetched("one") is not before


def test_an_unknown_key_id_fetches_at_most_once_in_thirty_seconds(place: Place) -> None:
    place.ask()
    place.issuer.answer = lambda: key_set(ONE, TWO)
    place.at += 29.9
    assert [place.ask("two"), place.issuer.asked] == [["one"], 1]
    place.at += 0.1
    assert [place.ask("two"), place.issuer.asked] == [["one", "two"], 2]
    for number in range(100):
        place.ask(f"made-up-{number}")
    assert place.issuer.asked == 2


def test_the_last_set_serves_for_an_hour_when_the_issuer_fails(place: Place) -> None:
    place.ask()
    place.fail()
    for place.at in (1_601.0, 1_602.0, 3_000.0, 4_600.0):
        assert place.ask() == ["one"]
    place.at = 4_600.1
    assert place.keys.held("one") is None
    with pytest.raises(KeysUnavailable) as unavailable:
        place.keys.fetched("one")
    assert unavailable.value.retry_after_s == 5


def test_an_issuer_that_fails_is_left_alone_for_five_seconds(place: Place) -> None:
    place.fail()
    for _ in range(3):
        with pytest.raises(KeysUnavailable):
            place.ask()
    assert place.issuer.asked == 1
    place.at += 5
    place.issuer.answer = lambda: key_set(ONE)
    assert place.ask() == ["one"]


def test_one_fetch_runs_at_a_time(place: Place) -> None:
    arrived, go_on = threading.Event(), threading.Event()

    def slowly() -> httpx2.Response:
        arrived.set()
        assert go_on.wait(5)
        return key_set(ONE)

    place.issuer.answer = slowly
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(place.ask)
        assert arrived.wait(5)
        others = [pool.submit(place.ask) for _ in range(7)]
        go_on.set()
        assert [one.result(5) for one in (first, *others)] == [["one"]] * 8
    assert place.issuer.asked == 1


def test_nobody_waits_for_a_fetch_while_the_set_still_serves(place: Place) -> None:
    place.ask()
    place.at += 601
    seen: list[object] = []

    def meanwhile() -> httpx2.Response:
        seen.append(place.keys.held("one"))
        seen.append(place.keys.held("two"))
        return key_set(ONE)

    place.issuer.answer = meanwhile
    place.ask()
    assert seen == [(ONE,), None]


def test_a_hung_fetch_does_not_hold_the_others_for_ever(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vault.connectors.signing_keys.WHOLE_S", 0.05)
    with place.keys._flight, ThreadPoolExecutor(1) as pool, pytest.raises(KeysUnavailable):
        pool.submit(place.keys.fetched, "one").result(5)


# --- what


UNFIT: Mapping[str, Callable[[], httpx2.Response]] = {
    "redirect": lambda: answer(302, Location=URL),
    "empty": lambda: answer(204),
    "not-found": lambda: answer(404, said({"keys": [ONE]})),
    "broken": lambda: answer(500),
    "nothing": answer,
    "html": lambda: answer(body=b"<html>"),
    "bytes": lambda: answer(body=b"\xff\xfe"),
    "list": lambda: answer(body=said([ONE])),
    "one": lambda: answer(body=said({"keys": ONE})),
    "text": lambda: answer(body=said({"keys": ["one"]})),
    "none": lambda: answer(body=said({})),
    "deep": lambda: answer(body=b'{"keys":' + b"[" * 20_000 + b"]" * 20_000 + b"}"),
    "large": lambda: answer(body=said({"keys": [ONE], "pad": "x" * MAX_BYTES})),
    "packed": lambda: answer(body=gzip.compress(said({"keys": [ONE]})), Content_Encoding="gzip"),
}


@pytest.mark.parametrize("unfit", UNFIT)
def test_what_is_not_a_small_key_set_is_not_taken(place: Place, unfit: str) -> None:
    place.issuer.answer = UNFIT[unfit]
    with pytest.raises(KeysUnavailable):
        place.ask()
    assert place.issuer.asked == 1


def test_a_set_of_64_kib_is_taken(place: Place) -> None:
    body = said({"keys": [ONE], "pad": ""})
    body = body[:-2] + b"x" * (MAX_BYTES - len(body)) + body[-2:]
    assert len(body) == MAX_BYTES
    place.issuer.answer = lambda: answer(body=body)
    assert place.ask() == ["one"]


def test_a_body_that_trickles_is_cut_off(place: Place) -> None:
    def trickle() -> Iterator[bytes]:
        for octet in said({"keys": [ONE]}):
            place.at += 0.5
            yield bytes([octet])

    place.issuer.answer = lambda: answer(body=trickle())
    with pytest.raises(KeysUnavailable):
        place.ask()


def test_keys_without_a_text_for_an_id_are_kept_and_never_found(place: Place) -> None:
    place.issuer.answer = lambda: key_set({"kty": "EC"}, {"kid": 7}, ONE)
    assert place.ask() == ["None", "7", "one"]


@contextmanager
def served(reply: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            reply(self)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/keys"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def send(to: BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
    to.send_response(status)
    for name, value in headers.items():
        to.send_header(name, value)
    to.send_header("Content-Length", str(len(body)))
    to.end_headers()
    to.wfile.write(body)


def test_over_a_real_connection_redirects_are_not_followed() -> None:
    """Nor is a proxy of the environment asked, nor a gigabyte read."""
    asked: list[str] = []

    def redirect(to: BaseHTTPRequestHandler) -> None:
        asked.append(to.path)
        if to.path == "/elsewhere":
            send(to, 200, said({"keys": [ONE]}))
        else:
            send(to, 302, b"", Location="/elsewhere")

    with served(redirect) as url:
        keys = SigningKeys(url, lambda: 0.0)
        with pytest.raises(KeysUnavailable):
            keys.fetched("one")
        keys.close()
    assert asked == ["/keys"]


def test_over_a_real_connection_a_flood_is_cut_off() -> None:
    written: list[int] = []

    def flood(to: BaseHTTPRequestHandler) -> None:
        to.send_response(200)
        to.end_headers()
        try:
            for _ in range(1_000):
                to.wfile.write(b"x" * 1_000_000)
                written.append(1)
        except OSError:
            pass

    with served(flood) as url:
        keys = SigningKeys(url, lambda: 0.0)
        with pytest.raises(KeysUnavailable):
            keys.fetched("one")
        keys.close()
    assert len(written) < 50


def test_over_a_real_connection_a_proxy_of_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def reply(to: BaseHTTPRequestHandler) -> None:
        send(to, 200, said({"keys": [ONE]}))

    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    with served(reply) as url:
        keys = SigningKeys(url, lambda: 0.0)
        assert keys.fetched("one") == (ONE,)
        keys.close()
