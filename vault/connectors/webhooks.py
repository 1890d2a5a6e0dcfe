"""Posting what recipients are told: one request, signed by its caller. https, or http on loopback; no redirects, no proxy.

The answer's body is not read, unless whoever posts compares it. What goes wrong is told by a word, never by what was sent.
"""

from collections.abc import Callable, Mapping

import httpx2

from vault.connectors.signing_keys import may_be_asked
from vault.recipients.delivery import Posted

PATIENCE_S = 20.0
_SENT_AS = {"Content-Type": "application/json", "User-Agent": "riserbo", "Accept-Encoding": "identity"}


class Webhooks:
    """Posts messages. `monotonic` is seconds; `transport` replaces the network in tests."""

    def __init__(self, monotonic: Callable[[], float], transport: httpx2.BaseTransport | None = None) -> None:
        self._monotonic = monotonic
        self._client = httpx2.Client(follow_redirects=False, trust_env=False, timeout=PATIENCE_S, transport=transport)

    def __call__(self, url: str, headers: Mapping[str, str], body: bytes, read: int = 0) -> Posted:
        """Post one message; never raises for what the other side does. `read`: so many bytes of the answer, or none."""
        if not may_be_asked(url):
            return Posted(None, "address")
        try:
            with self._client.stream("POST", url, headers={**_SENT_AS, **headers}, content=body) as answer:
                said = self._read(answer, read)
                return Posted(answer.status_code, wait_s=_seconds(answer.headers.get("Retry-After")), body=said)
        except httpx2.TimeoutException:
            return Posted(None, "timeout")
        except (httpx2.HTTPError, httpx2.InvalidURL):
            return Posted(None, "unreachable")

    def _read(self, answer: httpx2.Response, most: int) -> bytes:
        """Return the answer's bytes as they came, none where they are too many or take too long: others wait behind this one."""
        said, ends_at = b"", self._monotonic() + PATIENCE_S
        for piece in answer.iter_raw() if most else ():
            said += piece
            if len(said) > most or self._monotonic() > ends_at:
                return b""
        return said

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def _seconds(text: str | None) -> int | None:
    """Return a `Retry-After` in seconds (RFC 9110 10.2.3); one that is a date is passed over, for our own pauses are long."""
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 10 else None
