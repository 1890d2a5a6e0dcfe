"""The guard, checks 1 to 6 and 11: what a token may look like, and what it must say."""

import ast
import hmac
import json
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from api.authentication import Claims, Guard, Rules
from api.problems import Unauthenticated
from tests.api.issuer import AT, AUDIENCE, ISSUER, Held, encoded, header, key_for, payload, published, token
from vault.octets import b64u

ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "ES256", "ES384", "ES512"})
RULES = Rules(ISSUER, AUDIENCE, ALGORITHMS, unbound_systems=True)
ROOT = Path(__file__).parents[2]


def verified(text: object, keys: Sequence[Any] | None = None, at: float = AT, rules: Rules = RULES) -> Claims:
    documents = tuple(keys) if keys is not None else (published("ES256"), published("RS256"))
    guard = Guard(rules, Held(documents), lambda: datetime.fromtimestamp(at, UTC), lambda: 0.0)
    parts, kid = guard.opened(text)
    return guard.verify(parts, kid, documents)


def refused_by(text: object, keys: Sequence[Any] | None = None, at: float = AT, rules: Rules = RULES) -> str:
    with pytest.raises(Unauthenticated) as refusal:
        verified(text, keys, at, rules)
    return refusal.value.check


@pytest.mark.parametrize("alg", sorted(ALGORITHMS))
def test_an_honest_token_is_believed(alg: str) -> None:
    assert verified(token(alg=alg), [published(alg)]) == Claims(
        "agent-1", "helpdesk-1", "acme", frozenset({"t1"}), AT + 600, team="first"
    )


def test_every_claim_that_is_used_is_read() -> None:
    said = payload(
        roles=["customer"], acr="https://www.spid.gov.it/SpidL3", auth_time=AT - 60, subject_id="sub_" + "a" * 26, team=None,
        cnf={"jkt": "x" * 43},
    )  # fmt: skip
    claims = verified(token(claims=said))
    assert claims.acr == "https://www.spid.gov.it/SpidL3"
    assert (claims.authenticated_at, claims.subject_id) == (AT - 60, "sub_" + "a" * 26)
    assert (claims.team, claims.key_thumbprint) == (None, "x" * 43)


@pytest.mark.parametrize("said", [{"sub": "helpdesk-1"}, {"sub": "helpdesk-1", "iss": ISSUER}])
def test_a_system_that_acts_for_an_agent_is_named_beside_them(said: dict[str, Any]) -> None:
    claims = verified(token(claims=payload(act=said)))
    assert (claims.subject, claims.actor) == ("agent-1", "helpdesk-1")
    assert verified(token()).actor is None


def test_an_actor_written_into_a_signed_token_is_no_actor() -> None:
    head, body, signature = token().split(".")
    assert refused_by(f"{head}.{encoded(payload(act={'sub': 'helpdesk-1'}))}.{signature}") == "signature"
    assert body


# --- check 1: form


@pytest.mark.parametrize(
    "text",
    [
        None,
        b"e30.e30.AA",
        7,
        "",
        "e30.e30",
        "e30.e30.AA.AA.AA",  # a JWE has five parts
        "e30.e30.\N{LATIN SMALL LETTER E WITH ACUTE}",
        "e30." + "A" * 8_192 + ".AA",
    ],
    ids=lambda text: repr(text)[:24],
)
def test_what_is_not_shaped_like_a_token_is_refused(text: object) -> None:
    assert refused_by(text) == "form"


def test_a_token_of_8192_characters_is_read_and_one_more_is_not() -> None:
    fitting = next(text for size in range(5_000, 6_200) if len(text := token(claims=payload(pad="x" * size))) >= 8_189)
    assert len(fitting) <= 8_192
    assert verified(fitting).subject == "agent-1"
    assert refused_by(token(claims=payload(pad="x" * 6_000))) == "form"


# --- check 2: base64url


@pytest.mark.parametrize("bend", ["=", "==", " ", "\n", "+", "/", "%3D"])
@pytest.mark.parametrize("segment", [0, 1, 2])
def test_padding_and_foreign_characters_are_refused(bend: str, segment: int) -> None:
    parts = token().split(".")
    parts[segment] += bend
    assert refused_by(".".join(parts)) == "base64"


def test_stray_bits_are_refused() -> None:
    """Two texts that decode to the same bytes are two names of one token: only the canonical one counts."""
    first, second, signature = token().split(".")
    assert len(signature) % 4 == 2
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    twin = signature[:-1] + last[last.index(signature[-1]) + 1]
    assert refused_by(f"{first}.{second}.{twin}") == "base64"


@pytest.mark.parametrize("segment", [0, 1, 2])
def test_an_empty_segment_is_refused(segment: int) -> None:
    parts = token().split(".")
    parts[segment] = ""
    assert refused_by(".".join(parts)) == "base64"


def test_a_segment_of_impossible_length_is_refused() -> None:
    assert refused_by("A.e30.AA") == "base64"


# --- check 3: JSON


def spelt(part: str, **members: Any) -> tuple[Any, Any]:
    """Return header and payload as JSON text, one with something appended to it."""
    head, claims = json.dumps(header()), json.dumps(payload())
    extra = "".join(f',"{name}":{value}' for name, value in members.items()) + "}"
    return (head[:-1] + extra, claims) if part == "header" else (head, claims[:-1] + extra)


BOMBS = [
    ("alg", '"ES256"'),  # a second time
    ("sub", '"agent-2"'),
    ("x", "NaN"),
    ("x", "Infinity"),
    ("x", "-Infinity"),
    ("x", "1e999"),
    ("x", "-1e999"),
    ("x", "9007199254740993"),
    ("x", "-9007199254740993"),
    ("x", "1e17"),
    ("x", "1" * 4_400),
    ("x", "[" * 2_500 + "]" * 2_500),
    ("x", '{"a":1,"a":1}'),
    ("x", "01"),
    ("x", "'y'"),
]


@pytest.mark.parametrize(("name", "value"), BOMBS, ids=[f"{name}={value[:12]}" for name, value in BOMBS])
@pytest.mark.parametrize("part", ["header", "payload"])
def test_doubles_odd_numbers_and_depth_are_refused(part: str, name: str, value: str) -> None:
    if (part, name) in {("header", "sub"), ("payload", "alg")}:
        name = {"sub": "alg", "alg": "sub"}[name]
    head, claims = spelt(part, **{name: value})
    assert refused_by(token(head, claims)) == "json"


@pytest.mark.parametrize(
    "part", [b"[]", b'"x"', b"null", b"7", b"", b"{}x", b"\xff\xfe", '{"a":1}'.encode("utf-16"), b"\xef\xbb\xbf{}"]
)
def test_only_json_objects_in_utf_8_are_read(part: bytes) -> None:
    assert refused_by(token(part)) in {"json", "base64"}
    assert refused_by(token(claims=part)) in {"json", "base64"}


def test_numbers_up_to_two_to_the_53_are_read() -> None:
    assert verified(token(claims=payload(big=2**53, small=-(2**53), half=0.5))).subject == "agent-1"


# --- check 4: algorithm


@pytest.mark.parametrize(
    "alg", ["none", "None", "NONE", "", "HS256", "HS384", "HS512", "PS256", "EdDSA", "es256", "ES256 ", None, 7, ["ES256"]]
)
def test_other_algorithms_are_refused(alg: object) -> None:
    assert refused_by(token(header() | {"alg": alg})) == "alg"


def test_an_unsigned_token_is_refused() -> None:
    unsigned = f"{encoded(header() | {'alg': 'none'})}.{encoded(payload())}."
    assert refused_by(unsigned) == "base64"
    assert refused_by(unsigned + "AA") == "alg"


def test_an_algorithm_that_is_not_configured_is_refused() -> None:
    rules = Rules(ISSUER, AUDIENCE, frozenset({"RS256"}))
    assert refused_by(token(), rules=rules) == "alg"


SECRETS = [
    ("RS256", "PEM", "SubjectPublicKeyInfo"),
    ("RS256", "PEM", "PKCS1"),
    ("RS256", "DER", "SubjectPublicKeyInfo"),
    ("RS256", "DER", "PKCS1"),
    ("RS256", "OpenSSH", "OpenSSH"),
    ("ES256", "PEM", "SubjectPublicKeyInfo"),
    ("ES256", "DER", "SubjectPublicKeyInfo"),
    ("ES256", "X962", "UncompressedPoint"),
    ("ES256", "X962", "CompressedPoint"),
]


def forged_with(secret: bytes, alg: str, kid: str) -> str:
    signed = f"{encoded(header(alg, kid=kid))}.{encoded(payload())}"
    return f"{signed}.{b64u(hmac.digest(secret, signed.encode(), f'sha{alg[2:]}'))}"


@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
@pytest.mark.parametrize(("kind", "encoding", "form"), SECRETS)
def test_der_public_key_is_never_a_secret(kind: str, encoding: str, form: str, alg: str) -> None:
    """CVE-2024-33663 and its remainder: an HMAC under the bytes of the public key."""
    secret = key_for(kind).public_key().public_bytes(getattr(Encoding, encoding), getattr(PublicFormat, form))
    for kid in ("RS256", "ES256"):
        assert refused_by(forged_with(secret, alg, kid)) == "alg"


def test_a_jwk_s_own_text_is_never_a_secret() -> None:
    assert refused_by(forged_with(json.dumps(published("RS256")).encode(), "HS256", "RS256")) == "alg"
    assert refused_by(forged_with(b"", "HS256", "RS256")) == "alg"


@pytest.mark.parametrize("alg", ["HS256", "none", "PS256"])
def test_symmetric_algorithms_refused(alg: str) -> None:
    """Not even a setting can allow them."""
    rules = Rules(ISSUER, AUDIENCE, ALGORITHMS | {alg})
    assert refused_by(f"{encoded(header(alg, kid='ES256'))}.{encoded(payload())}.AA", rules=rules) == "alg"


# --- checks 5 and 6: header


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("crit", ["exp"]),
        ("crit", []),
        ("b64", False),
        ("jku", "https://issuer.example/keys"),
        ("jwk", published("ES256")),
        ("x5u", "https://issuer.example/chain"),
        ("x5c", ["AA=="]),
        ("zip", "DEF"),
        ("enc", "A256GCM"),
        ("cty", "JWT"),
    ],
)
def test_a_header_that_moves_the_key_or_repacks_the_token_is_refused(member: str, value: object) -> None:
    assert refused_by(token(header(**{member: value}))) == "header"


@pytest.mark.parametrize("typ", [None, "JWT", "jwt", "id+jwt", "dpop+jwt", "logout+jwt", "at+jwt ", "", 7, ["at+jwt"]])
def test_another_kind_of_token_is_refused(typ: object) -> None:
    assert refused_by(token(header(typ=typ))) == "typ"


@pytest.mark.parametrize("typ", ["at+jwt", "AT+JWT", "application/at+jwt", "Application/AT+jwt"])
def test_an_access_token_may_say_so_in_any_case(typ: str) -> None:
    assert verified(token(header(typ=typ))).subject == "agent-1"


# --- check 11: claims


@pytest.mark.parametrize(
    ("check", "members"),
    [
        ("iss", {"iss": None}),
        ("iss", {"iss": "https://other.example"}),
        ("iss", {"iss": ISSUER + "/"}),
        ("iss", {"iss": [ISSUER]}),
        ("aud", {"aud": None}),
        ("aud", {"aud": []}),
        ("aud", {"aud": "other"}),
        ("aud", {"aud": ["other"]}),
        ("aud", {"aud": [AUDIENCE, 7]}),
        ("aud", {"aud": {AUDIENCE: True}}),
        ("sub", {"sub": None}),
        ("sub", {"sub": ""}),
        ("sub", {"sub": 7}),
        ("sub", {"sub": "a b"}),
        ("sub", {"sub": "a\n"}),
        ("sub", {"sub": "\ud800"}),
        ("sub", {"sub": "x" * 256}),
        ("client_id", {"client_id": None}),
        ("client_id", {"client_id": True}),
        ("controller", {"controller": None}),
        ("controller", {"controller": "*"}),
        ("controller", {"controller": "Acme"}),
        ("controller", {"controller": "acme -c x=y"}),
        ("roles", {"roles": "t1"}),
        ("roles", {"roles": ["t1", 7]}),
        ("roles", {"roles": ["T1"]}),
        ("roles", {"roles": ["t1\n"]}),
        ("team", {"team": 7}),
        ("acr", {"acr": 3}),
        ("auth_time", {"auth_time": True}),
        ("auth_time", {"auth_time": "1800000000"}),
        ("subject_id", {"subject_id": "sub_x"}),
        ("cnf", {"cnf": "x"}),
        ("cnf", {"cnf": {}}),
        ("cnf", {"cnf": {"x5t#S256": "x"}}),
        ("cnf", {"cnf": {"jkt": "x", "x5t#S256": "x"}}),
        ("jkt", {"cnf": {"jkt": 7}}),
        ("act", {"act": "helpdesk-1"}),
        ("act", {"act": ["helpdesk-1"]}),
        ("act", {"act": {}}),
        ("act", {"act": {"sub": None}}),
        ("act", {"act": {"sub": 7}}),
        ("act", {"act": {"sub": ["helpdesk-1"]}}),
        ("act", {"act": {"sub": "helpdesk-2"}}),  # not the client the token was issued to
        ("act", {"act": {"sub": "HELPDESK-1"}}),
        ("act", {"act": {"sub": "helpdesk-1 "}}),
        ("act", {"act": {"sub": "agent-1"}}),
        ("act", {"sub": "helpdesk-1", "act": {"sub": "helpdesk-1"}}),  # for itself
        ("act", {"act": {"sub": "helpdesk-1", "iss": "https://other.example"}}),
        ("act", {"act": {"sub": "helpdesk-1", "iss": None}}),
        ("act", {"act": {"sub": "helpdesk-1", "act": {"sub": "helpdesk-0"}}}),  # a chain (RFC 8693, 4.1)
        ("act", {"act": {"sub": "helpdesk-1", "roles": ["dpo"]}}),
        ("exp", {"exp": None}),
        ("exp", {"exp": True}),
        ("exp", {"exp": str(AT + 600)}),
        ("exp", {"exp": AT + 600.5}),
        ("exp", {"exp": AT - 30, "iat": AT - 600}),
        ("iat", {"iat": None}),
        ("iat", {"iat": False}),
        ("iat", {"iat": AT + 61}),
        ("lifetime", {"iat": AT, "exp": AT + 3_601}),
        ("lifetime", {"iat": AT + 60, "exp": AT + 60}),
        ("nbf", {"nbf": AT + 31}),
        ("nbf", {"nbf": "now"}),
    ],
    ids=repr,
)
def test_a_claim_that_is_missing_foreign_or_odd_is_refused(check: str, members: dict[str, Any]) -> None:
    assert refused_by(token(claims=payload(**members))) == check


@pytest.mark.parametrize(
    "members",
    [
        {"exp": AT - 29, "iat": AT - 600},
        {"iat": AT + 60},
        {"iat": AT, "exp": AT + 3_600},
        {"nbf": AT + 30},
        {"aud": ["other", AUDIENCE]},
        {"roles": None},
        {"scope": "profile", "act": {"sub": "helpdesk-1"}, "unknown": {"deep": [1, 2.5, None]}},
    ],
    ids=repr,
)
def test_the_bounds_of_claims_are_inclusive(members: dict[str, Any]) -> None:
    assert verified(token(claims=payload(**members))).controller_id == "acme"


# --- what never happens


def test_the_guard_calls_nothing_of_jose_but_construct() -> None:
    tree = ast.parse((ROOT / "api" / "authentication.py").read_text())
    imports = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert [one for one in imports if "jose" in one] == ["from jose import jwk"]
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "jwk"}
    assert used == {"construct"}


def test_nothing_else_imports_jose_or_calls_its_verifiers() -> None:
    importers, callers = set(), []
    for path in [*(ROOT / "api").rglob("*.py"), *(ROOT / "vault").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import | ast.ImportFrom) and "jose" in ast.unparse(node):
                importers.add(path.relative_to(ROOT).as_posix())
            if isinstance(node, ast.Attribute) and ast.unparse(node) in {"jwt.decode", "jws.verify", "jose.jwe", "jwe.decrypt"}:
                callers.append(path)
    assert importers == {"api/authentication.py"}
    assert callers == []


def test_native_backends_not_loaded() -> None:
    """`ecdsa`, `rsa` and `pyasn1` come with python-jose and have faults of their own: they must never run."""
    program = (
        "import sys\n"
        "from tests.api.test_authentication import verified\n"
        "from tests.api.issuer import published, token\n"
        "for alg in ('RS256', 'ES256'):\n"
        "    assert verified(token(alg=alg), [published(alg)])\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules} & {'ecdsa', 'rsa', 'pyasn1'}))\n"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert run.stdout.strip() == "[]"


@settings(max_examples=300)
@given(st.one_of(st.text(max_size=60), st.binary(max_size=60), st.from_regex(r"[A-Za-z0-9_-]{0,20}(\.[A-Za-z0-9_-]{0,20}){0,4}")))
def test_no_text_crashes_the_guard(text: object) -> None:
    assert refused_by(text) in {"form", "base64", "json", "alg"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=200)
@given(
    name=st.sampled_from(["alg", "typ", "kid", "iss", "aud", "sub", "exp", "iat", "nbf", "roles", "cnf", "controller", "acr"]),
    value=JSON,
    in_header=st.booleans(),
)
def test_no_member_crashes_the_guard(name: str, value: object, in_header: bool) -> None:
    text = token(header() | {name: value}) if in_header else token(claims=payload() | {name: value})
    try:
        outcome = verified(text).subject
    except Unauthenticated as refusal:
        outcome = refusal.check
    assert outcome != "unexpected"
