"""The guard beside another library: it may refuse what joserfc believes, never believe what joserfc refuses."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from api.problems import Unauthenticated
from tests.api.issuer import AT, AUDIENCE, ISSUER, encoded, header, key_for, payload, published, sign, token
from tests.api.test_authentication import ALGORITHMS, verified
from vault.octets import b64u, b64u_decode

ALGS = sorted(ALGORITHMS)
SEGMENT = st.integers(0, 2)
LETTERS = st.sampled_from("ABCXYZabcxyz0189-_=.+/ \n")


def keys() -> tuple[dict[str, Any], ...]:
    return tuple(published(alg) for alg in ALGS)


def believed_here(text: str) -> bool:
    try:
        verified(text, keys())
    except Unauthenticated:
        return False
    return True


def believed_there(text: str) -> bool:
    try:
        decoded = jwt.decode(text, KeySet.import_key_set({"keys": list(keys())}), algorithms=ALGS)
        jwt.JWTClaimsRegistry(
            now=AT,
            leeway=61,
            iss={"essential": True, "value": ISSUER},
            aud={"essential": True, "value": AUDIENCE},
            sub={"essential": True},
            exp={"essential": True},
            iat={"essential": True},
        ).validate(decoded.claims)
    except (JoseError, ValueError, KeyError, TypeError):
        return False
    return True


def check(text: str) -> bool:
    here = believed_here(text)
    assert not here or believed_there(text)
    return here


@pytest.mark.parametrize("alg", ALGS)
def test_both_believe_an_honest_token(alg: str) -> None:
    assert check(token(alg=alg))


@settings(max_examples=250, deadline=None)
@given(alg=st.sampled_from(ALGS), place=st.floats(0, 1, exclude_max=True), letter=LETTERS, insert=st.booleans())
def test_never_more_lenient_about_a_changed_letter(alg: str, place: float, letter: str, insert: bool) -> None:
    honest = token(alg=alg)
    at = int(place * len(honest))
    changed = honest[:at] + letter + honest[at + (0 if insert else 1) :]
    assert check(changed) is (changed == honest)


@settings(max_examples=150, deadline=None)
@given(
    first=st.sampled_from(ALGS), second=st.sampled_from(ALGS), order=st.permutations([0, 1, 2]), taken=st.tuples(SEGMENT, SEGMENT)
)
def test_never_more_lenient_about_transplants(first: str, second: str, order: list[int], taken: tuple[int, int]) -> None:
    one, two = token(alg=first).split("."), token(alg=second, claims=payload(sub="agent-2")).split(".")
    one[taken[0]] = two[taken[1]]
    check(".".join(one))
    check(".".join(one[index] for index in order))


@settings(max_examples=200, deadline=None)
@given(
    alg=st.sampled_from([*ALGS, "HS256", "none"]),
    said=st.sampled_from([*ALGS, "HS256", "HS512", "PS256", "none", "EdDSA"]),
    kid=st.sampled_from([*ALGS, "x", "", None]),
    member=st.sampled_from(["crit", "b64", "jwk", "jku", "x5c", "typ", "kid", "alg", "cty", "zip"]),
    value=st.sampled_from([None, [], ["exp"], "", "JWT", "at+jwt", False, {}, 1]),
)
def test_never_more_lenient_about_a_header(alg: str, said: str, kid: str | None, member: str, value: object) -> None:
    head: Mapping[str, Any] = header(said, kid=kid) | ({} if value is None else {member: value})
    signed = f"{encoded(head)}.{encoded(payload())}"
    if alg == "none":
        check(f"{signed}.")
        return
    secret = json.dumps(published("RS256")).encode() if alg == "HS256" else None
    check(f"{signed}.{b64u(sign(alg, signed.encode(), secret))}")


@settings(max_examples=200, deadline=None)
@given(
    name=st.sampled_from(["iss", "aud", "sub", "exp", "iat", "nbf"]),
    value=st.one_of(
        st.none(),
        st.booleans(),
        st.integers(AT - 5_000, AT + 5_000),
        st.sampled_from([ISSUER, AUDIENCE, [AUDIENCE], [], "", {}, 1.5, -1, 2**60]),
    ),
)
def test_never_more_lenient_about_a_claim(name: str, value: object) -> None:
    check(token(claims=payload() | {name: value}))


@settings(max_examples=150, deadline=None)
@given(alg=st.sampled_from(ALGS), bit=st.integers(0, 4_095), cut=st.integers(-3, 3))
def test_never_more_lenient_about_a_signature(alg: str, bit: int, cut: int) -> None:
    first, second, signature = token(alg=alg, key=key_for(alg)).split(".")
    octets = bytearray(b64u_decode(signature))
    octets[bit // 8 % len(octets)] ^= 1 << bit % 8
    bent = bytes(octets[:cut] if cut < 0 else octets + bytes(cut))
    assert not check(f"{first}.{second}.{b64u(bent)}")
