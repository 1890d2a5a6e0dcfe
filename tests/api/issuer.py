"""A token issuer for tests: signs whatever it is told to, with or without sense."""

import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512

from vault.octets import b64u

AT = 1_800_000_000
ISSUER = "https://issuer.example"
AUDIENCE = "riserbo"
DIGESTS: Mapping[str, type[SHA256 | SHA384 | SHA512]] = {"256": SHA256, "384": SHA384, "512": SHA512}
CURVES: Mapping[str, tuple[str, ec.EllipticCurve, int]] = {
    "ES256": ("P-256", ec.SECP256R1(), 32),
    "ES384": ("P-384", ec.SECP384R1(), 48),
    "ES512": ("P-521", ec.SECP521R1(), 66),
}
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@cache
def key_for(alg: str, name: str = "issuer") -> PrivateKey:
    """Return the same key each time: making one is slow."""
    del name
    if alg.startswith("RS"):
        return rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    return ec.generate_private_key(CURVES[alg][1])


def number(value: int, size: int | None = None) -> str:
    return b64u(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


def published(alg: str, key: PrivateKey | None = None, /, **members: Any) -> dict[str, Any]:
    """Return the public JWK; `members` are added, or taken away when None."""
    key = key or key_for(alg)
    if isinstance(key, rsa.RSAPrivateKey):
        rsa_numbers = key.public_key().public_numbers()
        document: dict[str, Any] = {"kty": "RSA", "n": number(rsa_numbers.n), "e": number(rsa_numbers.e)}
    else:
        curve, _, size = CURVES[alg]
        point = key.public_key().public_numbers()
        document = {"kty": "EC", "crv": curve, "x": number(point.x, size), "y": number(point.y, size)}
    document |= {"kid": alg, "alg": alg, "use": "sig"} | members
    return {name: value for name, value in document.items() if value is not None}


def sign(alg: str, signed: bytes, key: Any = None) -> bytes:
    """Return a JWS signature (RFC 7518, section 3). With HS*, `key` is the secret's bytes."""
    digest = DIGESTS[alg[2:]]
    if alg.startswith("HS"):
        return hmac.digest(key, signed, f"sha{alg[2:]}")
    key = key or key_for(alg)
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(signed, padding.PKCS1v15(), digest())
    r, s = decode_dss_signature(key.sign(signed, ec.ECDSA(digest())))
    size = (key.curve.key_size + 7) // 8
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")


def header(alg: str = "ES256", /, **members: Any) -> dict[str, Any]:
    return _without_none({"typ": "at+jwt", "alg": alg, "kid": alg} | members)


def payload(**members: Any) -> dict[str, Any]:
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "agent-1",
        "client_id": "helpdesk-1",
        "controller": "acme",
        "roles": ["t1"],
        "team": "first",
        "iat": AT - 10,
        "exp": AT + 600,
        "jti": "t-1",
    }
    return _without_none(claims | members)


def _without_none(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


def encoded(part: object) -> str:
    """Return a segment: of JSON, of text or bytes as they are."""
    octets = part if isinstance(part, bytes) else (part if isinstance(part, str) else json.dumps(part)).encode()
    return b64u(octets)


def token(head: object = None, claims: object = None, *, alg: str = "ES256", key: Any = None) -> str:
    """Return a token, honestly signed over whatever it says."""
    first = encoded(header(alg) if head is None else head)
    second = encoded(payload() if claims is None else claims)
    return f"{first}.{second}.{b64u(sign(alg, f'{first}.{second}'.encode(), key))}"


@dataclass
class Held:
    """A key source whose set is already there."""

    documents: tuple[dict[str, Any], ...]

    def held(self, kid: str) -> tuple[dict[str, Any], ...]:
        del kid
        return self.documents

    fetched = held
