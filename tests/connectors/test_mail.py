"""Mail by real SMTP: over TLS or not at all, and whatever a relay says comes back as a word."""

import socketserver
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread
from time import monotonic, sleep

import pytest

from tests.relay import Relay, certified, relaying
from vault.connectors.mail import Mailer
from vault.errors import InvalidValue
from vault.rights.letters import Mail, Mailed

MAIL = Mail("ltr_1", "giulia@example.it", "it", "La Sua richiesta - Società", "Perché no?\n")
SENDER = "privacy@acme.example"


@pytest.fixture
def relay() -> Iterator[Relay]:
    with relaying() as one:
        yield one


def clear(relay: Relay, credentials: Path | None = None) -> Mailer:
    return Mailer(f"smtp://127.0.0.1:{relay.port}", SENDER, credentials)


def test_what_is_sent_arrives(relay: Relay) -> None:
    assert clear(relay)(MAIL) == Mailed()
    ((to, message),) = relay.taken
    assert (to, message["To"], message["From"]) == (MAIL.to, MAIL.to, SENDER)
    assert (message["Message-ID"], message["Auto-Submitted"]) == ("<ltr_1@acme.example>", "auto-generated")
    payload = message.get_payload(decode=True)
    assert isinstance(payload, bytes)
    assert payload.decode().strip() == "Perché no?"


def test_it_signs_in_where_it_has_to(relay: Relay, tmp_path: Path) -> None:
    (tmp_path / "who").write_text("utente\nsegreto\n")
    assert clear(relay, tmp_path / "who")(MAIL) == Mailed()
    assert "AUTH" in relay.heard
    for wrong in ("utente\n", "a\nb\nc\n"):
        (tmp_path / "who").write_text(wrong)
        with pytest.raises(InvalidValue):
            clear(relay, tmp_path / "who")
    with pytest.raises(InvalidValue):
        clear(relay, tmp_path / "nobody")


@pytest.mark.parametrize(
    ("verb", "said", "came"),
    [
        ("RCPT", "550 nobody here", Mailed("refused", final=True)),
        ("RCPT", "451 later", Mailed("refused")),
        ("MAIL", "451 later", Mailed("relay")),
        ("DATA", "554 spam", Mailed("relay", final=True)),
        ("DATA", "451 later", Mailed("relay")),
    ],
)
def test_what_a_relay_says_is_told_by_a_word(relay: Relay, verb: str, said: str, came: Mailed) -> None:
    relay.answers[verb] = said
    assert clear(relay)(MAIL) == came
    assert relay.taken == []


def test_what_was_taken_is_sent_whatever_is_said_at_the_end(relay: Relay) -> None:
    """Seen failing with the goodbye counted: a letter that had arrived was sent again, up to eight times."""
    relay.answers["QUIT"] = "421 too busy to part"
    assert clear(relay)(MAIL) == Mailed()
    assert len(relay.taken) == 1


def test_nobody_there_and_an_address_that_is_none(relay: Relay) -> None:
    with relaying() as gone:
        pass
    assert clear(gone)(MAIL) == Mailed("unreachable")
    broken = Mail("ltr_1", "giulia@example.it\r\nBcc: ladro@example.it", "it", "x", "y")
    assert clear(relay)(broken) == Mailed("address", final=True)
    assert relay.taken == []


def test_nothing_leaves_where_tls_cannot_be_had(tmp_path: Path) -> None:
    """Seen failing with what is said in clear where the relay offers nothing else, and with any certificate believed."""
    served, trusting = certified(tmp_path)
    with relaying(served) as relay:
        url = f"smtp+starttls://127.0.0.1:{relay.port}"
        assert Mailer(url, SENDER, None, trusting)(MAIL) == Mailed()
        assert relay.heard[:2] == ["EHLO", "STARTTLS"]
        assert Mailer(url, SENDER, None)(MAIL) == Mailed("unreachable")  # nobody we trust has signed it
        assert len(relay.taken) == 1
    with relaying() as bare:
        assert Mailer(f"smtp+starttls://127.0.0.1:{bare.port}", SENDER, None, trusting)(MAIL) == Mailed("no-tls")
        assert Mailer(f"smtps://127.0.0.1:{bare.port}", SENDER, None, trusting)(MAIL).code == "unreachable"
        assert bare.taken == []


@pytest.mark.parametrize("url", ["smtp://mail.example", "http://127.0.0.1", "smtps://u:p@mail.example", "smtps://", "mail.example"])
def test_a_relay_may_not_be_reached_in_clear_elsewhere(url: str) -> None:
    with pytest.raises(InvalidValue):
        Mailer(url, SENDER, None)


class Dripping(socketserver.BaseRequestHandler):
    """Says a byte of a greeting now and then, and never its last."""

    def handle(self) -> None:
        with suppress(OSError):
            while True:
                self.request.sendall(b"2")
                sleep(0.02)


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_a_relay_that_drips_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    monkeypatch.setattr("vault.connectors.mail.WHOLE_S", 0.3)
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Dripping) as server:
        server.daemon_threads, server.block_on_close = True, False
        Thread(target=server.serve_forever, daemon=True).start()
        began = monotonic()
        came = Mailer(f"{scheme}://127.0.0.1:{server.server_address[1]}", SENDER, None)(MAIL)
        assert (came.code in ("unreachable", "relay"), came.final) == (True, False)
        assert monotonic() - began < 10
        server.shutdown()
