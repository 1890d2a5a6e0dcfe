"""Who sent it: the headers a caller is known by, and the proof that the sender holds the token's key (DPoP, RFC 9449).

Pure but for `ProofMemory`, which remembers the proofs seen in the last minutes so that none is used twice. It is a process's own:
a proof could be replayed once to each other worker within its minute, which RFC 9449 (section 11.1) leaves to the server.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from typing import Any
from urllib.parse import urlsplit

from api.problems import Unauthenticated
from vault.octets import b64u

WINDOW_S = 60
_MEMORY = 10_000
_MAX_JTI = 128


@dataclass(frozen=True, slots=True)
class Sent:
    """The `Authorization` and `DPoP` headers of one request (each may wrongly come twice), its method and its raw path."""

    authorization: tuple[str, ...]
    proofs: tuple[str, ...] = ()
    method: str = "GET"
    path: str = "/"

    @classmethod
    def of(cls, headers: Iterable[tuple[bytes, bytes]], method: str, path: bytes) -> "Sent":
        """Return what an ASGI scope says."""
        authorization, proofs = [], []
        for name, value in headers:
            if name == b"authorization":
                authorization.append(value.decode("latin-1"))
            elif name == b"dpop":
                proofs.append(value.decode("latin-1"))
        return cls(tuple(authorization), tuple(proofs), method, path.decode("latin-1"))

    @property
    def scheme_is_dpop(self) -> bool:
        """Whether the token was sent as one bound to a key (RFC 9449, section 7.1)."""
        return self.authorization[0].partition(" ")[0].lower() == "dpop"

    def token(self) -> str:
        """Return the access token. Raises Unauthenticated for none, two, or another scheme."""
        if len(self.authorization) != 1:
            raise Unauthenticated("authorization")
        scheme, _, token = self.authorization[0].partition(" ")
        if scheme.lower() not in {"bearer", "dpop"} or not token:
            raise Unauthenticated("authorization")
        return token


def thumbprint(members: Mapping[str, str]) -> str:
    """Return the SHA-256 thumbprint of a public JWK's required members (RFC 7638, section 3), base64url."""
    canonical = json.dumps(dict(sorted(members.items())), separators=(",", ":"))
    return b64u(sha256(canonical.encode()).digest())


def judge_proof(claims: Mapping[str, Any], sent: Sent, host: str, token_hash: str, at: float) -> None:
    """Raise Unauthenticated unless the proof is for this request, this token and this minute (RFC 9449, section 4.3)."""
    jti, issued_at, address = claims.get("jti"), claims.get("iat"), claims.get("htu")
    ath = claims.get("ath")
    sound = (
        isinstance(jti, str)
        and 0 < len(jti) <= _MAX_JTI
        and isinstance(issued_at, int)
        and not isinstance(issued_at, bool)
        and abs(at - issued_at) <= WINDOW_S
        and claims.get("htm") == sent.method
        and isinstance(address, str)
        and _is_here(address, host, sent.path)
        and isinstance(ath, str)
        and ath.isascii()
        and compare_digest(ath, token_hash)
    )
    if not sound:
        raise Unauthenticated("dpop-claims")


def _is_here(address: str, host: str, path: str) -> bool:
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    return parts.scheme in {"https", "http"} and parts.hostname == host and parts.path == path


class ProofMemory:
    """The `jti` of proofs seen; full, it refuses rather than forgets."""

    def __init__(self) -> None:
        self._seen: dict[str, float] = {}

    def first_seen(self, jti: str, at: float) -> bool:
        """Return whether this proof is new at `at` (seconds since 1970), and remember it for as long as it could be used."""
        if len(self._seen) >= _MEMORY:
            self._seen = {one: until for one, until in self._seen.items() if until > at}
        if jti in self._seen or len(self._seen) >= _MEMORY:
            return False
        self._seen[jti] = at + 2 * WINDOW_S
        return True
