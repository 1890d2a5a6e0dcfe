"""The guard, checks 7 to 10: which key, what a key must be, and what a signature must be."""

import json
from math import prod
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from api.authentication import Parts, built, check_signature, public_key
from api.problems import Unauthenticated
from tests.api.issuer import header, key_for, number, payload, published, sign, token
from tests.api.test_authentication import refused_by, verified
from vault.octets import b64u, b64u_decode

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "tokens" / "rfc.json").read_text())
SIZES = {"ES256": 64, "ES384": 96, "ES512": 132}


def key_refused_by(alg: str, key: dict[str, Any]) -> str:
    with pytest.raises(Unauthenticated) as refusal:
        built(alg, key)
    return refusal.value.check


@pytest.mark.parametrize("name", ["rfc7515_a2_rs256", "rfc7515_a3_es256"])
def test_the_examples_of_rfc_7515_verify(name: str) -> None:
    vector = VECTORS[name]
    key = built(vector["alg"], vector["jwk"])
    parts = Parts(vector["alg"], {}, {}, vector["signed"].encode(), b64u_decode(vector["signature"]))
    check_signature(key, parts)
    with pytest.raises(Unauthenticated):
        check_signature(key, Parts(parts.alg, {}, {}, parts.signed + b"A", parts.signature))


# --- check 7: which key


@pytest.mark.parametrize("kid", [None, "", 7, ["ES256"], {}, "x" * 129, "unknown"])
def test_a_key_id_that_names_no_key_is_refused(kid: object) -> None:
    assert refused_by(token(header(kid=kid))) == "kid"


def test_a_key_id_of_128_characters_is_read() -> None:
    assert verified(token(header(kid="k" * 128)), [published("ES256", kid="k" * 128)]).subject == "agent-1"


def test_a_key_id_that_two_keys_bear_is_refused() -> None:
    """Which of them signed? Nobody can say, and one may be an attacker's."""
    assert refused_by(token(), [published("ES256"), published("RS256", kid="ES256")]) == "kid"
    assert refused_by(token(), [published("ES256"), published("ES256")]) == "kid"


def test_keys_without_an_id_are_never_tried() -> None:
    assert refused_by(token(header(kid=None)), [published("ES256", kid=None)]) == "kid"


def test_an_unfit_neighbour_does_not_spoil_the_set() -> None:
    neighbours = [{"kty": "oct", "k": "AA", "kid": "mac"}, {"kty": "OKP", "kid": "ed"}, {"kid": 7}, {}]
    assert verified(token(), [*neighbours, published("ES256")]).subject == "agent-1"


# --- check 8: what a key must be


@pytest.mark.parametrize(
    ("check", "members"),
    [
        ("key-type", {"kty": None}),
        ("key-type", {"kty": "RSA"}),
        ("key-type", {"kty": "oct", "k": "AAAA"}),
        ("key-type", {"kty": "OKP"}),
        ("key-type", {"kty": ["EC"]}),
        ("key-alg", {"alg": "ES384"}),
        ("key-alg", {"alg": "HS256"}),
        ("key-alg", {"alg": 7}),
        ("key-use", {"use": "enc"}),
        ("key-use", {"use": ["sig"]}),
        ("key-use", {"key_ops": ["sign"]}),
        ("key-use", {"key_ops": []}),
        ("key-use", {"key_ops": "verify"}),
        ("key-private", {"d": "AAAA"}),
        ("key-private", {"k": "AAAA"}),
        ("key-private", {"oth": []}),
        ("key-private", {"p": "AAAA"}),
        ("key-private", {"q": "AAAA"}),
        ("key-private", {"dp": "AAAA"}),
        ("key-private", {"dq": "AAAA"}),
        ("key-private", {"qi": "AAAA"}),
        ("key-curve", {"crv": None}),
        ("key-curve", {"crv": "P-384"}),
        ("key-curve", {"crv": "secp256k1"}),
        ("key-member", {"x": None}),
        ("key-member", {"y": 7}),
        ("key-point", {"x": number(5, 31)}),
        ("key-point", {"x": number(5, 33)}),
        ("base64", {"y": number(5, 32) + "="}),
        ("key-value", {"x": number(5, 32), "y": number(5, 32)}),
    ],
    ids=repr,
)
def test_an_elliptic_key_that_is_unfit_is_refused(check: str, members: dict[str, Any]) -> None:
    key = published("ES256", **members)
    assert key_refused_by("ES256", key) == check
    assert refused_by(token(), [key]) == check


def test_a_point_is_not_padded_into_shape() -> None:
    """A leading zero octet belongs to the coordinate (RFC 7518, section 6.2.1.2): dropped, the key is another's mistake."""
    key = published("ES256")
    short = {**key, "x": b64u(b64u_decode(key["x"])[1:])}
    long = {**key, "x": b64u(b"\0" + b64u_decode(key["x"]))}
    assert (key_refused_by("ES256", short), key_refused_by("ES256", long)) == ("key-point", "key-point")


SMALL = [2, *(p for p in range(3, 168) if all(p % q for q in range(2, p)))]


def without_small_factors(number_: int) -> int:
    return next(n for n in range(number_, number_ + 10_000) if all(n % p for p in SMALL))


SOUND = without_small_factors(2**2_047)


@pytest.mark.parametrize(
    ("check", "members"),
    [
        ("key-type", {"kty": "EC"}),
        ("key-alg", {"alg": "RS512"}),
        ("key-private", {"d": "AAAA"}),
        ("key-member", {"n": None}),
        ("key-member", {"e": 65_537}),
        ("key-size", {"n": number(2**2_046 + 1)}),
        ("key-size", {"n": number(2**1_023 + 1)}),
        ("key-size", {"n": number(2**4_096 + 1)}),
        ("key-size", {"n": "AA"}),
        ("key-exponent", {"e": number(3)}),
        ("key-exponent", {"e": number(17)}),
        ("key-exponent", {"e": number(65_535)}),
        ("key-exponent", {"e": number(65_538)}),
        ("key-exponent", {"e": number(1)}),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value)),
)
def test_an_rsa_key_that_is_unfit_is_refused(check: str, members: dict[str, Any]) -> None:
    key = {"kty": "RSA", "kid": "RS256", "n": number(SOUND), "e": "AQAB"} | members
    assert key_refused_by("RS256", {name: value for name, value in key.items() if value is not None}) == check


@pytest.mark.parametrize("bits", [2_048, 3_072, 4_096])
def test_rsa_keys_from_2048_to_4096_bits_are_fit(bits: int) -> None:
    modulus = without_small_factors(2 ** (bits - 1))
    assert public_key("RS256", {"kty": "RSA", "n": number(modulus), "e": "AQAB"})["n"] == number(modulus)


def test_a_roca_modulus_is_refused() -> None:
    """CVE-2017-15361: primes k·M + 65537^a, so the modulus is a power of 65537 modulo every small prime."""
    whole = prod(SMALL)
    for a, b in [(1, 2), (77, 1_000), (123_456_789, 987_654_321)]:
        residue = pow(65_537, a + b, whole)
        modulus = residue + whole * (2**2_047 // whole + a)
        assert modulus.bit_length() == 2_048
        assert key_refused_by("RS256", {"kty": "RSA", "n": number(modulus), "e": "AQAB"}) == "key-roca"
        assert public_key("RS256", {"kty": "RSA", "n": number(without_small_factors(modulus + 1)), "e": "AQAB"})


@pytest.mark.parametrize("factor", [2, 3, 5, 163, 167])
def test_a_modulus_with_a_small_factor_is_refused(factor: int) -> None:
    modulus = factor * (SOUND // factor + 1 | 1)
    assert modulus.bit_length() == 2_048
    assert key_refused_by("RS256", {"kty": "RSA", "n": number(modulus), "e": "AQAB"}) == "key-factor"


# --- check 9: what jose is given


def test_jose_is_given_public_members_only() -> None:
    key = published("RS256", x5c=["AA=="], jku="https://x.example", key_ops=["verify"])
    given = public_key("RS256", key)
    assert given is not key
    assert given.keys() == {"kty", "n", "e"}
    assert public_key("ES256", published("ES256")).keys() == {"kty", "crv", "x", "y"}


@pytest.mark.parametrize("alg", ["RS256", "ES256"])
def test_text_and_bytes_are_no_keys(alg: str) -> None:
    pem = key_for(alg).public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    for text in (pem, pem.decode(), json.dumps(published(alg))):
        with pytest.raises((AttributeError, TypeError)):
            built(alg, text)  # type: ignore[arg-type]  # what the set must never hold


# --- check 10: signatures


@pytest.mark.parametrize("alg", sorted(SIZES))
def test_an_elliptic_signature_of_another_length_is_refused(alg: str) -> None:
    """Among them the ASN.1 form, and a signature with zeros added in front of r and s."""
    first = token(alg=alg).rpartition(".")[0]
    honest = sign(alg, first.encode())
    size = SIZES[alg]
    assert len(honest) == size
    half = size // 2
    stretched = b"\0" + honest[:half] + b"\0" + honest[half:]
    key = key_for(alg)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    asn1 = b"\x30" + bytes([min(size, 127)]) + honest
    for wrong in (honest[:-1], honest + b"\0", stretched, asn1, b"\0", honest[:half]):
        assert refused_by(f"{first}.{b64u(wrong)}", [published(alg)]) == "signature-length"


@pytest.mark.parametrize("alg", ["ES256", "ES384", "ES512", "RS256", "RS384", "RS512"])
def test_a_flipped_bit_is_refused_wherever_it_is(alg: str) -> None:
    first, second, signature = token(alg=alg).split(".")
    octets = bytearray(b64u_decode(signature))
    for place in (0, len(octets) // 2, len(octets) - 1):
        octets[place] ^= 1
        assert refused_by(f"{first}.{second}.{b64u(bytes(octets))}", [published(alg)]) == "signature"
        octets[place] ^= 1
    other = token(claims=payload(sub="agent-2"), alg=alg).split(".")[1]
    assert refused_by(f"{first}.{other}.{signature}", [published(alg)]) == "signature"


@pytest.mark.parametrize("alg", ["ES256", "ES384", "ES512"])
def test_zero_and_the_order_are_no_signatures(alg: str) -> None:
    """Psychic signatures (CVE-2022-21449): r and s of nought verify anything in a careless library."""
    first = token(alg=alg).rpartition(".")[0]
    half = SIZES[alg] // 2
    order = {
        "ES256": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
        "ES384": 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973,
        "ES512": 2**521 - 1,
    }[alg].to_bytes(half, "big")
    zero, one = bytes(half), (1).to_bytes(half, "big")
    for r, s in [(zero, zero), (zero, one), (one, zero), (order, one), (one, order), (order, order)]:
        assert refused_by(f"{first}.{b64u(r + s)}", [published(alg)]) == "signature"


@pytest.mark.parametrize("size", [0, 1, 255, 257, 512])
def test_an_rsa_signature_of_another_length_is_refused(size: int) -> None:
    first = token(alg="RS256").rpartition(".")[0]
    wrong = bytes(size) if size else b"\0"
    assert refused_by(f"{first}.{b64u(wrong)}", [published("RS256")]) == "signature"


def test_another_key_s_signature_is_refused() -> None:
    assert refused_by(token(key=key_for("ES256", "attacker"))) == "signature"
    assert refused_by(token(alg="RS256", key=key_for("RS256", "attacker"))) == "signature"


def test_one_algorithm_s_key_does_not_serve_another() -> None:
    """RS256 and RS512 share a key type: only `alg` tells them apart, when the key says it."""
    assert refused_by(token(header("RS512", kid="RS256"), alg="RS512", key=key_for("RS256"))) == "key-alg"
    unsaid = published("RS256", alg=None)
    assert verified(token(header("RS512", kid="RS256"), alg="RS512", key=key_for("RS256")), [unsaid]).subject == "agent-1"
    assert refused_by(token(header("RS256", kid="ES256"), alg="RS256")) == "key-type"
