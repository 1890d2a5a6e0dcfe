"""The guard at work: headers, the cache of verified tokens, keys that must be fetched, and check 12, who sent it."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import anyio
import pytest

from api import authentication, sender
from api.authentication import Claims, Guard, Rules
from api.problems import Unauthenticated
from api.sender import ProofMemory, Sent, thumbprint
from tests.api.issuer import AT, AUDIENCE, ISSUER, encoded, header, key_for, payload, published, sign, token
from tests.api.test_authentication_keys import VECTORS
from vault.errors import KeysUnavailable
from vault.octets import b64u

ALGORITHMS = frozenset({"ES256", "RS256"})
PATH = "/v1/subjects/sub_x/profile"


@dataclass
class Clock:
    at: float = AT
    age: float = 0.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.at, UTC)

    def monotonic(self) -> float:
        return self.age


@dataclass
class Issuer:
    """A key source that counts: `waiting` is what a fetch brings."""

    documents: tuple[Mapping[str, Any], ...] | None = field(default_factory=lambda: (published("ES256"),))
    waiting: tuple[Mapping[str, Any], ...] | None = None
    asked: int = 0
    fetched_in: list[int] = field(default_factory=list)

    def held(self, kid: str) -> tuple[Mapping[str, Any], ...] | None:
        del kid
        self.asked += 1
        return self.documents

    def fetched(self, kid: str) -> tuple[Mapping[str, Any], ...]:
        del kid
        self.fetched_in.append(threading.get_ident())
        if self.waiting is None:
            raise KeysUnavailable
        return self.waiting


@dataclass
class Place:
    """A guard with its surroundings."""

    clock: Clock = field(default_factory=Clock)
    issuer: Issuer = field(default_factory=Issuer)
    unbound_systems: bool = False

    def __post_init__(self) -> None:
        rules = Rules(ISSUER, AUDIENCE, ALGORITHMS, host="vault.example", unbound_systems=self.unbound_systems)
        self.guard = Guard(rules, self.issuer, self.clock.now, self.clock.monotonic)

    def ask(self, sent: Sent) -> Claims:
        return anyio.run(self.guard.authenticate, sent)

    def refusal(self, sent: Sent) -> str:
        with pytest.raises(Unauthenticated) as refused:
            self.ask(sent)
        return refused.value.check


@pytest.fixture
def place() -> Place:
    return Place()


def bearer(text: str) -> Sent:
    return Sent((f"Bearer {text}",))


# --- headers


def test_headers_are_taken_from_the_scope_as_they_came() -> None:
    headers = [(b"authorization", b"Bearer x"), (b"dpop", b"p"), (b"host", b"h"), (b"authorization", b"Basic y")]
    assert Sent.of(headers, "POST", b"/v1/x") == Sent(("Bearer x", "Basic y"), ("p",), "POST", "/v1/x")


@pytest.mark.parametrize(
    "authorization", [(), ("",), ("Bearer",), ("Bearer ",), ("Basic dXNlcg==",), ("Bearer a.b.c", "Bearer a.b.c"), (token(),)]
)
def test_without_one_bearer_token_nobody_is_believed(place: Place, authorization: tuple[str, ...]) -> None:
    assert place.refusal(Sent(authorization)) == "authorization"


def test_the_scheme_is_read_in_any_case(place: Place) -> None:
    assert place.ask(Sent((f"bEARER {token()}",))).subject == "agent-1"


def test_text_that_is_no_token_is_refused_before_any_key_is_asked_for(place: Place) -> None:
    for text in ("x", "\udcff", "a.b.c\N{SNOWMAN}", token(header(kid=None)), token(header(crit=["exp"]))):
        place.refusal(bearer(text))
    assert place.issuer.asked == 0


# --- the cache


def test_a_verified_token_is_not_verified_again_for_a_minute(place: Place) -> None:
    text = token()
    place.ask(bearer(text))
    place.clock.age = 59.9
    assert place.ask(bearer(text)).subject == "agent-1"
    assert place.issuer.asked == 1
    place.clock.age = 60.0
    place.ask(bearer(text))
    assert place.issuer.asked == 2


def test_the_cache_never_outlives_the_token(place: Place) -> None:
    text = token(claims=payload(exp=AT + 20))
    place.ask(bearer(text))
    place.clock.at = AT + 20
    assert place.ask(bearer(text)).subject == "agent-1"  # leeway: verified anew
    assert place.issuer.asked == 2
    place.clock.at = AT + 50
    assert place.refusal(bearer(text)) == "exp"


def test_a_changed_key_set_empties_the_cache(place: Place) -> None:
    text = token()
    place.ask(bearer(text))
    place.issuer.documents = (published("ES256", key_for("ES256", "new")), published("RS256"))
    assert place.ask(bearer(token(alg="RS256"))).subject == "agent-1"
    assert place.refusal(bearer(text)) == "signature"


def test_forgetting_empties_the_cache(place: Place) -> None:
    text = token()
    place.ask(bearer(text))
    place.guard.forget()
    place.ask(bearer(text))
    assert place.issuer.asked == 2


def test_a_refused_token_is_not_remembered_as_good(place: Place) -> None:
    text = token(key=key_for("ES256", "attacker"))
    assert [place.refusal(bearer(text)) for _ in range(2)] == ["signature", "signature"]


def test_the_cache_is_bounded_and_drops_the_oldest(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authentication, "CACHE_SIZE", 2)
    texts = [token(claims=payload(jti=str(number))) for number in range(3)]
    for text in texts:
        place.ask(bearer(text))
    place.ask(bearer(texts[2]))
    assert place.issuer.asked == 3
    place.ask(bearer(texts[0]))
    assert place.issuer.asked == 4


def test_ten_thousand_verified_tokens_are_kept() -> None:
    assert (authentication.CACHE_SIZE, authentication.CACHE_S) == (10_000, 60.0)


# --- keys that must be fetched


def test_keys_are_fetched_in_another_thread(place: Place) -> None:
    """The event loop serves everybody: it never waits for the issuer."""
    place.issuer.documents, place.issuer.waiting = None, (published("ES256"),)
    assert place.ask(bearer(token())).subject == "agent-1"
    assert place.issuer.fetched_in != [threading.get_ident()]
    assert len(place.issuer.fetched_in) == 1


def test_without_keys_nobody_is_believed_and_nobody_is_blamed(place: Place) -> None:
    place.issuer.documents = None
    with pytest.raises(KeysUnavailable):
        place.ask(bearer(token()))


def test_a_fault_in_judging_a_token_refuses_it(place: Place) -> None:
    """Whatever a key set may hold: the caller is refused, with the same text, and the server does not fall over."""
    odd: Any = {**published("ES256"), "key_ops": _Odd(["verify"])}
    place.issuer.documents = (odd,)
    assert place.refusal(bearer(token())) == "unexpected"


class _Odd(list[str]):
    def __contains__(self, _: object) -> bool:
        raise LookupError("iban IT60X0542811101000000123456")


# --- check 12: who sent it


def test_a_system_s_token_must_be_bound_to_its_key(place: Place) -> None:
    alone = token(claims=payload(sub="helpdesk-1", roles=["system"]))
    assert place.refusal(bearer(alone)) == "unbound"
    assert Place(unbound_systems=True).ask(bearer(alone)).subject == "helpdesk-1"


def test_a_token_a_system_holds_for_an_agent_must_be_bound_too(place: Place) -> None:
    for_agent = token(claims=payload(act={"sub": "helpdesk-1"}))
    assert place.refusal(bearer(for_agent)) == "unbound"
    assert Place(unbound_systems=True).ask(bearer(for_agent)).actor == "helpdesk-1"


KEY = key_for("ES256", "sender")
OWN = published("ES256", KEY, kid=None, alg=None, use=None)
JKT = thumbprint(OWN)
BOUND = token(claims=payload(sub="helpdesk-1", roles=["system"], cnf={"jkt": JKT}))


def proof(head: Mapping[str, Any] | None = None, /, key: Any = KEY, alg: str = "ES256", **claims: Any) -> str:
    said = {
        "jti": "p-1",
        "htm": "GET",
        "htu": f"https://vault.example{PATH}",
        "iat": AT,
        "ath": b64u(sha256(BOUND.encode()).digest()),
    } | claims
    first = encoded({"typ": "dpop+jwt", "alg": alg, "jwk": OWN} | dict(head or {}))
    second = encoded({name: value for name, value in said.items() if value is not None})
    return f"{first}.{second}.{b64u(sign(alg, f'{first}.{second}'.encode(), key))}"


def dpop(*proofs: str, scheme: str = "DPoP", text: str = BOUND, path: str = PATH) -> Sent:
    return Sent((f"{scheme} {text}",), proofs, "GET", path)


def test_the_example_of_rfc_7638_has_its_thumbprint() -> None:
    vector = VECTORS["rfc7638_thumbprint"]
    assert thumbprint(vector["jwk"]) == vector["thumbprint"]


def test_a_bound_token_is_believed_with_its_key_s_proof(place: Place) -> None:
    assert place.ask(dpop(proof())).subject == "helpdesk-1"
    assert place.ask(dpop(proof(jti="p-2", htu=f"https://vault.example:8443{PATH}?x=1#y"))).subject == "helpdesk-1"
    assert place.ask(dpop(proof(jti="p-3", iat=AT - 60))).subject == "helpdesk-1"


def test_a_proof_serves_once_even_when_the_token_is_cached(place: Place) -> None:
    once = proof()
    place.ask(dpop(once))
    assert place.refusal(dpop(once)) == "dpop-replay"


@pytest.mark.parametrize("sent", [dpop(), dpop(proof(), proof(jti="p-2")), dpop(proof(), scheme="Bearer")])
def test_a_stolen_bound_token_is_worth_nothing_alone(place: Place, sent: Sent) -> None:
    assert place.refusal(sent) == "dpop"


def test_a_proof_for_a_token_that_is_not_bound_is_refused(place: Place) -> None:
    """A sender who thinks the token bound would be wrong to feel safe."""
    assert place.refusal(dpop(proof(), text=token())) == "dpop"
    assert place.refusal(dpop(proof(), text=token(), scheme="Bearer")) == "dpop"
    assert place.refusal(dpop(text=token())) == "dpop"


OTHER = published("ES256", key_for("ES256", "attacker"), kid=None, alg=None, use=None)


@pytest.mark.parametrize(
    ("check", "wrong"),
    [
        ("form", "x"),
        ("typ", proof({"typ": "at+jwt"})),
        ("typ", proof({"typ": None})),
        ("alg", proof({"alg": "HS256"})),
        ("header", proof({"crit": ["x"]})),
        ("header", proof({"x5c": ["AA=="]})),
        ("dpop", proof({"jwk": None})),
        ("dpop", proof({"jwk": "x"})),
        ("key-private", proof({"jwk": OWN | {"d": "AAAA"}})),
        ("key-curve", proof({"jwk": OWN | {"crv": "P-384"}})),
        ("dpop-key", proof({"jwk": OTHER}, key=key_for("ES256", "attacker"))),
        ("signature", proof(key=key_for("ES256", "attacker"))),
        ("dpop-claims", proof(jti=None)),
        ("dpop-claims", proof(jti="")),
        ("dpop-claims", proof(jti="x" * 129)),
        ("dpop-claims", proof(jti=7)),
        ("dpop-claims", proof(iat=None)),
        ("dpop-claims", proof(iat=True)),
        ("dpop-claims", proof(iat=AT - 61)),
        ("dpop-claims", proof(iat=AT + 61)),
        ("dpop-claims", proof(htm="POST")),
        ("dpop-claims", proof(htm=None)),
        ("dpop-claims", proof(htu=None)),
        ("dpop-claims", proof(htu=f"https://other.example{PATH}")),
        ("dpop-claims", proof(htu=f"ftp://vault.example{PATH}")),
        ("dpop-claims", proof(htu="https://vault.example/v1/subjects:search")),
        ("dpop-claims", proof(htu="https://[vault.example")),
        ("dpop-claims", proof(ath=None)),
        ("dpop-claims", proof(ath="x")),
        ("dpop-claims", proof(ath="\u00e9")),
        ("dpop-claims", proof(ath=b64u(sha256(token().encode()).digest()))),
    ],
)
def test_a_proof_of_something_else_is_refused(place: Place, check: str, wrong: str) -> None:
    assert place.refusal(dpop(wrong)) == check


@pytest.fixture
def small_memory(monkeypatch: pytest.MonkeyPatch) -> ProofMemory:
    monkeypatch.setattr(sender, "_MEMORY", 2)
    return ProofMemory()


def test_a_full_memory_of_proofs_refuses_rather_than_forgets(small_memory: ProofMemory) -> None:
    assert [small_memory.first_seen(jti, AT) for jti in ("a", "b", "c", "a")] == [True, True, False, False]
    assert small_memory.first_seen("d", AT + 2 * sender.WINDOW_S)
