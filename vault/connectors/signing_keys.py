"""The token issuer's public keys (JWKS, RFC 7517), fetched when they are needed and kept while they may be.

One fixed address: https, or http on loopback. No redirects, no proxy from the environment, 64 KiB, 3 seconds. A set is kept 10
minutes; an unknown key id fetches again at most once in 30 s; one fetch runs at a time and, where the set still serves, nobody else
waits for it. When the issuer fails, the last set serves until it is an hour old; after that nobody is believed any more.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

import httpx2
import structlog

from vault.errors import Fault, InvalidValue, KeysUnavailable

FRESH_S = 600.0
STALE_S = 3_600.0
UNKNOWN_S = 30.0
RETRY_S = 5.0
MAX_BYTES = 65_536
WHOLE_S = 3.0
_STEP = httpx2.Timeout(1.5, connect=1.5)  # of one step; the whole is held by the clock

Documents = Sequence[Mapping[str, Any]]
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Held:
    documents: Documents
    kids: frozenset[str]
    at: float


class _Unfit(Exception):
    """What the issuer sent is not a key set. The text is a constant code."""


class SigningKeys:
    """The key set of one issuer, for one process. `monotonic` is seconds; `transport` replaces the network in tests."""

    def __init__(self, url: str, monotonic: Callable[[], float], transport: httpx2.BaseTransport | None = None) -> None:
        if not may_be_asked(url):
            raise InvalidValue("invalid-setting", faults=[Fault("RISERBO_JWKS_URL", "url.scheme")])
        self._url = url
        self._monotonic = monotonic
        self._client = httpx2.Client(follow_redirects=False, trust_env=False, timeout=_STEP, transport=transport)
        self._held: _Held | None = None
        self._tried_at = float("-inf")
        self._flight = Lock()

    def held(self, kid: str) -> Documents | None:
        """Return the set without waiting; None when this key id needs a fetch first."""
        held, now = self._held, self._monotonic()
        if held is None or now - held.at > STALE_S:
            return None
        wanted = kid not in held.kids if self._flight.locked() else self._due(held, kid, now)
        return None if wanted else held.documents

    def fetched(self, kid: str) -> Documents:
        """Fetch when it is due, and return the set. Waits; raises KeysUnavailable when there is none to go by."""
        if self._flight.acquire(timeout=WHOLE_S):
            try:
                if self._due(self._held, kid, self._monotonic()):
                    self._fetch()
            finally:
                self._flight.release()
        held = self._held
        if held is None or self._monotonic() - held.at > STALE_S:
            raise KeysUnavailable("token-keys-unavailable", retry_after_s=int(RETRY_S))
        return held.documents

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _due(self, held: _Held | None, kid: str, now: float) -> bool:
        since = now - self._tried_at
        if held is None or now - held.at > FRESH_S:
            return since >= RETRY_S
        return kid not in held.kids and since >= UNKNOWN_S

    def _fetch(self) -> None:
        self._tried_at = self._monotonic()
        try:
            documents = _key_set(self._body())
        except (httpx2.HTTPError, httpx2.InvalidURL, _Unfit) as error:
            log.warning("token_keys_not_fetched", kind=type(error).__name__, code=str(error) if isinstance(error, _Unfit) else None)
            return
        held = self._held
        if held is not None and list(held.documents) == list(documents):
            documents = held.documents  # the same object: nothing that rests on it needs to be forgotten
        kids = frozenset(kid for one in documents if isinstance(kid := one.get("kid"), str))
        self._held = _Held(documents, kids, self._monotonic())

    def _body(self) -> bytes:
        until = self._monotonic() + WHOLE_S
        # Unpacked bytes only: a small packed body can hold a gigabyte.
        headers = {"Accept": "application/jwk-set+json, application/json", "Accept-Encoding": "identity"}
        with self._client.stream("GET", self._url, headers=headers) as response:
            if response.status_code != 200:
                raise _Unfit("status")
            if response.headers.get("Content-Encoding", "identity") != "identity":
                raise _Unfit("encoding")
            body = b""
            for chunk in response.iter_raw():
                body += chunk
                if len(body) > MAX_BYTES:
                    raise _Unfit("size")
                if self._monotonic() > until:
                    raise _Unfit("time")
            return body


def _key_set(body: bytes) -> Documents:
    try:
        document = json.loads(body.decode())
    except (ValueError, RecursionError):
        raise _Unfit("json") from None
    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list) or not all(isinstance(key, dict) for key in keys):
        raise _Unfit("set")
    return tuple(keys)


def may_be_asked(url: str) -> bool:
    """Return whether an address may be spoken to: https, or http on loopback; no user, no fragment."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    if not host or parts.username is not None or parts.password is not None or parts.fragment:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(url))


def is_loopback(url: str) -> bool:
    """Return whether an address stays on this machine: only the demo issuer lives there."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
