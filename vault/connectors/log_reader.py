"""Reading a log from outside, over HTTP: its newest checkpoint, and the proof that it continues an older one.

https, or http on loopback; no redirects, no proxy from the environment, 64 KiB, ten seconds.
"""

from urllib.parse import urlsplit

import httpx2

from vault.connectors.signing_keys import may_be_asked
from vault.errors import DatabaseUnavailable, Fault, InvalidValue

MAX_BYTES = 65_536
PATIENCE_S = 10.0


class LogReader:
    """One log, at `https://<host>/audit/<controller>/<era>`, the address of its origin. `transport` replaces the network in tests.

    `token` is an officer's: only the proof needs one.
    """

    def __init__(self, address: str, token: str | None = None, transport: httpx2.BaseTransport | None = None) -> None:
        place, _, era = address.rstrip("/").rpartition("/")
        if not may_be_asked(address) or not era.isdigit():
            raise InvalidValue(faults=[Fault("--log", "url.of-a-log")])
        self._place = place
        parts = urlsplit(address)
        self._root = f"{parts.scheme}://{parts.netloc}"
        self._token = token
        self._client = httpx2.Client(follow_redirects=False, trust_env=False, timeout=PATIENCE_S, transport=transport)

    def checkpoint(self, era: int) -> str | None:
        """Return the newest checkpoint of an era, None where there is no such era. Raises DatabaseUnavailable."""
        return self._text(f"{self._place}/{era}/checkpoint", {})

    def consistency(self, old: int, new: int) -> str | None:
        """Return the proof between two sizes of the present era, one hash a line; None where there is none. Raises likewise."""
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        return self._text(f"{self._root}/v1/audit/consistency?from={old}&to={new}", headers)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _text(self, url: str, headers: dict[str, str]) -> str | None:
        try:
            with self._client.stream("GET", url, headers={**headers, "Accept-Encoding": "identity"}) as answer:
                if answer.status_code == httpx2.codes.NOT_FOUND:
                    return None
                if answer.status_code != httpx2.codes.OK:
                    raise DatabaseUnavailable("log-unreadable", faults=[Fault("status", str(answer.status_code))])
                body = b""
                for chunk in answer.iter_raw():
                    body += chunk
                    if len(body) > MAX_BYTES:
                        raise DatabaseUnavailable("log-unreadable", faults=[Fault("body", "too-long")])
                return body.decode()
        except (httpx2.HTTPError, httpx2.InvalidURL, UnicodeDecodeError):
            raise DatabaseUnavailable("log-unreachable") from None
