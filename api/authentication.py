"""The token guard: the only importer of jose, and all that stands between a stranger's text and a caller.

An access token (RFC 9068, `at+jwt`) passes twelve checks, in this order, or it is refused with one text for all:

 1 a `str` of ASCII, at most 8,192 characters, exactly two dots      7 `kid` is in the issuer's set, exactly once
 2 segments are canonical base64url (RFC 7515, appendix C)            8 the key is a JWK fit for `alg`, public, sound (RFC 7518, 6)
 3 header and payload are JSON objects, no doubles, no odd numbers    9 jose gets a new dict of public members only
 4 `alg` is asymmetric and configured                                10 the signature has its length, and verifies
 5 no header member that moves or repacks the key (RFC 7515, 4.1)    11 claims, by our own code (RFC 9068, 4)
 6 `typ` says access token (RFC 9068, 4)                             12 the sender holds the key the token is bound to (RFC 9449)

`jwt.decode`, `jws.verify` and `jose.jwe` are never called: python-jose 3.5 takes a public key's DER for an HMAC secret, misses an
absent `aud`, and accepts `crit` (CVE-2024-33663 and what followed). Nothing here rests on what it checks by itself.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from hmac import compare_digest
from math import isfinite
from typing import Any, Protocol

import anyio
import anyio.to_thread
from jose import jwk

from api.problems import Unauthenticated, or_refuse
from api.sender import ProofMemory, Sent, judge_proof, thumbprint
from vault.octets import b64u, b64u_decode

MAX_TOKEN = 8_192
CACHE_SIZE = 10_000
CACHE_S = 60.0
LEEWAY_S = 30
_FETCHING = 4
_AHEAD_S = 60
_LONGEST_S = 3_600
_EXACT = 2**53

_SEGMENT = re.compile(r"[A-Za-z0-9_-]+")
_PRINTABLE = re.compile(r"[\x21-\x7e]{1,255}")
_CONTROLLER = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_ROLE = re.compile(r"[a-z][a-z0-9-]{0,31}")
_SUBJECT = re.compile(r"sub_[a-z2-7]{26}")
_ACCESS_TOKEN = frozenset({"at+jwt", "application/at+jwt"})
_PROOF = frozenset({"dpop+jwt"})
_MOVES_THE_KEY = frozenset({"crit", "b64", "jku", "jwk", "x5u", "x5c", "zip", "enc", "cty"})
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_PUBLIC = {"RSA": ("kty", "n", "e"), "EC": ("kty", "crv", "x", "y")}
_CURVES = {"ES256": ("P-256", 32), "ES384": ("P-384", 48), "ES512": ("P-521", 66)}  # octets of a coordinate (RFC 7518, 6.2.1.2)
_RSA = frozenset({"RS256", "RS384", "RS512"})
_RSA_BITS = range(2_048, 4_097)
# ROCA (CVE-2017-15361): such a modulus is a power of 65537 modulo each small prime; a sound one is so by chance in 2^-28.
_PRIMES = tuple(p for p in range(3, 168) if all(p % q for q in range(2, p)))
_POWERS_OF_65537 = {p: frozenset(pow(65_537, exponent, p) for exponent in range(p)) for p in _PRIMES}


class Verifier(Protocol):
    """A public key of one algorithm, as jose builds it."""

    def verify(self, msg: bytes, sig: bytes) -> bool:
        """Return whether the signature is this key's."""


class KeySource(Protocol):
    """The issuer's published keys, as JWK dicts. The same object comes back until the set changes."""

    def held(self, kid: str) -> Sequence[Mapping[str, Any]] | None:
        """Return the set without waiting, or None when it must be fetched."""

    def fetched(self, kid: str) -> Sequence[Mapping[str, Any]]:
        """Fetch when due, and return the set. May wait; raises KeysUnavailable."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What this vault demands of a token. `unbound_systems`: only where the demo issuer signs."""

    issuer: str
    audience: str
    algorithms: frozenset[str]
    host: str = "localhost"
    unbound_systems: bool = False


@dataclass(frozen=True, slots=True)
class Claims:
    """What a verified token says. `key_thumbprint` is `cnf.jkt`: the sender must prove that key.

    `actor` is the system that acts for `subject` (`act`; RFC 8693, section 4.1), always the client the token was issued to.
    """

    subject: str
    client_id: str
    controller_id: str
    roles: frozenset[str]
    expires_at: int
    team: str | None = None
    acr: str | None = None
    authenticated_at: int | None = None
    subject_id: str | None = None
    key_thumbprint: str | None = None
    actor: str | None = None


@dataclass(frozen=True, slots=True)
class Parts:
    """A token that passed checks 1 to 6: well formed, nothing verified."""

    alg: str
    header: Mapping[str, Any]
    payload: Mapping[str, Any]
    signed: bytes
    signature: bytes


def _demand(holds: bool, check: str) -> None:
    if not holds:
        raise Unauthenticated(check)


# --- checks 1 to 6: form -----------------------------------------------------------------------------------------------------


def parse(token: object, algorithms: frozenset[str], *, proof: bool = False) -> Parts:
    """Return the parts of a token, or of a DPoP proof (RFC 9449, section 4.2), whose header must carry its own public `jwk`."""
    if not isinstance(token, str):
        raise Unauthenticated("form")
    _demand(token.isascii() and len(token) <= MAX_TOKEN and token.count(".") == 2, "form")
    segments = token.split(".")
    octets = [_octets(segment) for segment in segments]
    header, payload = _json_object(octets[0]), _json_object(octets[1])
    alg = header.get("alg")
    if not isinstance(alg, str) or alg not in algorithms or (alg not in _RSA and alg not in _CURVES):
        raise Unauthenticated("alg")
    _demand(not (_MOVES_THE_KEY - ({"jwk"} if proof else set())) & header.keys(), "header")
    typ = header.get("typ")
    _demand(isinstance(typ, str) and typ.lower() in (_PROOF if proof else _ACCESS_TOKEN), "typ")
    return Parts(alg, header, payload, f"{segments[0]}.{segments[1]}".encode(), octets[2])


def _octets(segment: str) -> bytes:
    _demand(_SEGMENT.fullmatch(segment) is not None, "base64")
    try:
        return b64u_decode(segment)
    except ValueError:
        raise Unauthenticated("base64") from None


def _json_object(octets: bytes) -> dict[str, Any]:
    try:
        text = octets.decode()  # given bytes, json would also take UTF-16 and UTF-32
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse, parse_float=_float, parse_int=_integer)
    except (ValueError, RecursionError):
        raise Unauthenticated("json") from None
    if not isinstance(value, dict):
        raise Unauthenticated("json")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError
    return members


def _refuse(_: str) -> None:
    raise ValueError


def _float(text: str) -> float:
    number = float(text)
    if not isfinite(number) or abs(number) > _EXACT:  # 1e999 parses to infinity
        raise ValueError
    return number


def _integer(text: str) -> int:
    number = int(text)  # beyond 4,300 digits Python itself raises ValueError
    if abs(number) > _EXACT:
        raise ValueError
    return number


# --- checks 7 to 10: key and signature ---------------------------------------------------------------------------------------


def the_key(kid: str, keys: Iterable[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the one key with this id. Were there two, nobody would know who signed."""
    found = [key for key in keys if key.get("kid") == kid]
    _demand(len(found) == 1, "kid")
    return found[0]


def public_key(alg: str, key: Mapping[str, Any]) -> dict[str, str]:
    """Return the public members of a JWK that is fit for `alg`: the only thing jose is ever given."""
    kty = "RSA" if alg in _RSA else "EC"
    _demand(key.get("kty") == kty, "key-type")
    _demand("alg" not in key or key["alg"] == alg, "key-alg")
    _demand("use" not in key or key["use"] == "sig", "key-use")
    operations = key.get("key_ops", ["verify"])
    _demand(isinstance(operations, list) and "verify" in operations, "key-use")
    _demand(not _PRIVATE & key.keys(), "key-private")
    if kty == "RSA":
        _sound_rsa(_number(key.get("n")), _number(key.get("e")))
    else:
        curve, size = _CURVES[alg]
        _demand(key.get("crv") == curve, "key-curve")
        _demand(all(len(_member(key.get(name))) == size for name in ("x", "y")), "key-point")
    return {name: key[name] for name in _PUBLIC[kty]}


def _member(value: object) -> bytes:
    if not isinstance(value, str):
        raise Unauthenticated("key-member")
    return _octets(value)


def _number(value: object) -> int:
    return int.from_bytes(_member(value), "big")


def _sound_rsa(modulus: int, exponent: int) -> None:
    _demand(modulus.bit_length() in _RSA_BITS, "key-size")
    _demand(exponent % 2 == 1 and exponent >= 65_537, "key-exponent")
    _demand(modulus % 2 == 1 and all(modulus % p for p in _PRIMES), "key-factor")
    _demand(any(modulus % p not in _POWERS_OF_65537[p] for p in _PRIMES), "key-roca")


def built(alg: str, key: Mapping[str, Any]) -> Verifier:
    """Return jose's verifier over a new dict of allowed members."""
    try:
        return jwk.construct(public_key(alg, key), algorithm=alg)
    except ValueError:  # a point that is not on its curve
        raise Unauthenticated("key-value") from None


def check_signature(key: Verifier, parts: Parts) -> None:
    """Raise Unauthenticated unless the signature has the length of its algorithm and verifies."""
    if parts.alg in _CURVES:
        _demand(len(parts.signature) == 2 * _CURVES[parts.alg][1], "signature-length")
    _demand(key.verify(parts.signed, parts.signature) is True, "signature")


# --- check 11: claims --------------------------------------------------------------------------------------------------------


def read_claims(payload: Mapping[str, Any], rules: Rules, at: float) -> Claims:
    """Return what the token says, once it is meant for us and for now. `at` is seconds since 1970."""
    _demand(payload.get("iss") == rules.issuer, "iss")
    audience = payload.get("aud")
    meant_for = audience if isinstance(audience, list) else [audience]
    _demand(all(isinstance(one, str) for one in meant_for) and rules.audience in meant_for, "aud")
    return Claims(
        subject=_text(payload, "sub"),
        client_id=_text(payload, "client_id"),
        controller_id=_text(payload, "controller", _CONTROLLER),
        roles=_roles(payload.get("roles", [])),
        expires_at=_in_time(payload, at),
        team=_text(payload, "team") if "team" in payload else None,
        acr=_text(payload, "acr") if "acr" in payload else None,
        authenticated_at=_instant(payload, "auth_time") if "auth_time" in payload else None,
        subject_id=_text(payload, "subject_id", _SUBJECT) if "subject_id" in payload else None,
        key_thumbprint=_confirmation(payload.get("cnf")) if "cnf" in payload else None,
        actor=_actor(payload, rules) if "act" in payload else None,
    )


def _text(payload: Mapping[str, Any], name: str, pattern: re.Pattern[str] = _PRINTABLE) -> str:
    value = payload.get(name)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise Unauthenticated(name)
    return value


def _instant(payload: Mapping[str, Any], name: str) -> int:
    value = payload.get(name)
    if not isinstance(value, int) or isinstance(value, bool):  # True is an int to Python
        raise Unauthenticated(name)
    return value


def _in_time(payload: Mapping[str, Any], at: float) -> int:
    expires_at, issued_at = _instant(payload, "exp"), _instant(payload, "iat")
    _demand(at < expires_at + LEEWAY_S, "exp")
    _demand(issued_at <= at + _AHEAD_S, "iat")
    _demand(0 < expires_at - issued_at <= _LONGEST_S, "lifetime")
    if "nbf" in payload:
        _demand(_instant(payload, "nbf") <= at + LEEWAY_S, "nbf")
    return expires_at


def _roles(value: object) -> frozenset[str]:
    if not isinstance(value, list) or not all(isinstance(role, str) and _ROLE.fullmatch(role) for role in value):
        raise Unauthenticated("roles")
    return frozenset(value)


def _confirmation(value: object) -> str:
    # A binding that cannot be checked here (x5t#S256 needs the client's certificate) is a refusal, never ignored.
    if not isinstance(value, dict) or value.keys() != {"jkt"}:
        raise Unauthenticated("cnf")
    return _text(value, "jkt")


def _actor(payload: Mapping[str, Any], rules: Rules) -> str:
    """Return who acts for the token's subject: the client it was issued to, of our issuer, for somebody else, and alone.

    An actor inside the actor (a chain of delegation) is refused: nobody would have registered that chain. So is any other member.
    """
    said = payload["act"]
    if not isinstance(said, dict) or not said.keys() <= {"sub", "iss"}:
        raise Unauthenticated("act")
    _demand(said.get("iss", rules.issuer) == rules.issuer, "act")
    actor = said.get("sub")
    if not isinstance(actor, str) or actor != payload.get("client_id") or actor == payload.get("sub"):
        raise Unauthenticated("act")
    return actor


# --- the guard ---------------------------------------------------------------------------------------------------------------


class Guard:
    """Verifies callers. Verified tokens are kept by SHA-256, 10,000 of them, 60 s at most, never past `exp`.

    One event loop owns a guard: its caches have no lock. `now` gives the instant of `exp`, `monotonic` the age in the cache.
    """

    def __init__(self, rules: Rules, source: KeySource, now: Callable[[], datetime], monotonic: Callable[[], float]) -> None:
        self._rules, self._source = rules, source
        self._now, self._monotonic = now, monotonic
        self._fetching = anyio.CapacityLimiter(_FETCHING)  # a slow issuer must not use up the threads that serve routes
        self._proofs = ProofMemory()
        self._set: Sequence[Mapping[str, Any]] = ()
        self._built: dict[tuple[str, str], Verifier] = {}
        self._verified: dict[bytes, tuple[Claims, float]] = {}

    async def authenticate(self, sent: Sent) -> Claims:
        """Return the caller's claims. Raises Unauthenticated, or KeysUnavailable when the issuer's keys cannot be had."""
        token = sent.token()
        digest = sha256(token.encode("utf-8", "surrogatepass")).digest()
        claims = self._kept(digest)
        if claims is None:
            parts, kid = self.opened(token)
            keys = self._source.held(kid)
            if keys is None:
                keys = await anyio.to_thread.run_sync(self._source.fetched, kid, limiter=self._fetching)
            claims = self.verify(parts, kid, keys)
            self._keep(digest, claims)
        self._check_sender(sent, claims, digest)
        return claims

    def opened(self, token: object) -> tuple[Parts, str]:
        """Return a token's parts and key id: checks 1 to 6 and the form of 7."""
        parts = or_refuse(lambda: parse(token, self._rules.algorithms))
        kid = parts.header.get("kid")
        if not isinstance(kid, str) or not 0 < len(kid) <= 128:
            raise Unauthenticated("kid")
        return parts, kid

    def verify(self, parts: Parts, kid: str, keys: Sequence[Mapping[str, Any]]) -> Claims:
        """Return the claims of a token signed by one of `keys`: checks 7 to 11. A changed set empties the caches first."""
        if keys is not self._set:
            self.forget()
            self._set = keys
        return or_refuse(lambda: self._verify(parts, kid))

    def forget(self) -> None:
        """Drop every verified token and built key: the set changed, or a caller was disabled."""
        self._built.clear()
        self._verified.clear()

    def _verify(self, parts: Parts, kid: str) -> Claims:
        key = self._built.get((kid, parts.alg))
        if key is None:
            key = self._built[kid, parts.alg] = built(parts.alg, the_key(kid, self._set))
        check_signature(key, parts)
        return read_claims(parts.payload, self._rules, self._now().timestamp())

    def _kept(self, digest: bytes) -> Claims | None:
        kept = self._verified.get(digest)
        if kept is None:
            return None
        claims, until = kept
        if self._monotonic() < until and self._now().timestamp() < claims.expires_at:
            return claims
        del self._verified[digest]
        return None

    def _keep(self, digest: bytes, claims: Claims) -> None:
        if len(self._verified) >= CACHE_SIZE:
            del self._verified[next(iter(self._verified))]  # the oldest
        self._verified[digest] = (claims, self._monotonic() + CACHE_S)

    def _check_sender(self, sent: Sent, claims: Claims, digest: bytes) -> None:
        """Check 12. A bound token needs its key's proof each time; what a system holds, for itself or for agents, must be bound."""
        if claims.key_thumbprint is None:
            _demand(not sent.proofs and not sent.scheme_is_dpop, "dpop")
            by_a_system = claims.actor is not None or claims.subject == claims.client_id
            _demand(self._rules.unbound_systems or not by_a_system, "unbound")
            return
        _demand(sent.scheme_is_dpop and len(sent.proofs) == 1, "dpop")
        or_refuse(lambda: self._check_proof(sent, claims, digest))

    def _check_proof(self, sent: Sent, claims: Claims, digest: bytes) -> None:
        parts = parse(sent.proofs[0], self._rules.algorithms, proof=True)
        own = parts.header.get("jwk")
        if not isinstance(own, dict):
            raise Unauthenticated("dpop")
        members = public_key(parts.alg, own)
        _demand(compare_digest(thumbprint(members), claims.key_thumbprint or ""), "dpop-key")
        check_signature(built(parts.alg, members), parts)
        at = self._now().timestamp()
        judge_proof(parts.payload, sent, self._rules.host, b64u(digest), at)
        _demand(self._proofs.first_seen(parts.payload["jti"], at), "dpop-replay")
