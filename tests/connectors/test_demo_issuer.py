"""The demo's token issuer: believed by the guard while it runs, gone with its key when it stops."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from api.authentication import Claims, Guard, Rules
from api.problems import Unauthenticated
from vault.connectors.demo_issuer import HELPDESK, IDENTITIES, DemoIssuer, run_demo_issuer, running_demo_issuer
from vault.connectors.signing_keys import SigningKeys
from vault.errors import InvalidValue, KeysUnavailable

NOW = datetime(2027, 1, 15, 8, 0, tzinfo=UTC)
SUBJECT = "sub_" + "b" * 26


def believed(issuer: DemoIssuer, token: str, at: datetime = NOW) -> Claims:
    keys = SigningKeys(issuer.jwks_url, lambda: 0.0)
    rules = Rules(issuer.issuer, "riserbo", frozenset({"ES256"}), unbound_systems=True)
    guard = Guard(rules, keys, lambda: at, lambda: 0.0)
    try:
        parts, kid = guard.opened(token)
        return guard.verify(parts, kid, keys.fetched(kid))
    finally:
        keys.close()


def test_there_is_somebody_for_each_role() -> None:
    roles = {"t1", "t2", "billing", "medical", "dpo", "dsr-officer", "customer", "system", "operator"}
    assert {name: set(one.roles) for name, one in IDENTITIES.items()} == {role: {role} for role in roles}


@pytest.mark.parametrize("name", sorted(IDENTITIES))
def test_the_guard_believes_each_identity(name: str, tmp_path: Path) -> None:
    with run_demo_issuer(tmp_path, "riserbo") as issuer:
        token = issuer.sign(name, "demo", NOW, "jti-1", SUBJECT if name == "customer" else None)
        claims = believed(issuer, token)
        with pytest.raises(Unauthenticated):
            believed(issuer, token, NOW + timedelta(seconds=3_631))
    assert claims.subject == (SUBJECT if name == "customer" else IDENTITIES[name].caller_id)
    assert (claims.controller_id, claims.client_id, claims.roles) == ("demo", HELPDESK, frozenset({name}))


def test_only_the_system_s_token_has_nobody_behind_it() -> None:
    assert [one.name for one in IDENTITIES.values() if one.caller_id == HELPDESK] == ["system"]


def test_the_key_lies_in_a_private_file_only_while_the_issuer_runs(tmp_path: Path) -> None:
    home = tmp_path / "state"
    with run_demo_issuer(home, "riserbo") as issuer:
        (kept,) = home.iterdir()
        assert kept.stat().st_mode & 0o777 == 0o600
        token = running_demo_issuer(home).sign("t1", "demo", NOW, "jti-1")
        assert believed(issuer, token).subject == "demo-t1"
        assert "PRIVATE" not in repr(issuer)
    assert list(home.iterdir()) == []
    with pytest.raises(KeysUnavailable):
        running_demo_issuer(home)


def test_what_a_killed_demo_left_behind_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "demo-issuer.json").write_text("{}")
    with pytest.raises(KeysUnavailable):
        running_demo_issuer(tmp_path)
    with run_demo_issuer(tmp_path, "riserbo"):
        assert running_demo_issuer(tmp_path).audience == "riserbo"


def test_another_kind_of_key_is_not_used(tmp_path: Path) -> None:
    pem = ed25519.Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    (tmp_path / "demo-issuer.json").write_text(json.dumps({"issuer": "x", "audience": "y", "key": pem}))
    with pytest.raises(KeysUnavailable):
        running_demo_issuer(tmp_path)


def test_its_key_set_holds_no_private_member_and_nothing_else_is_served(tmp_path: Path) -> None:
    with run_demo_issuer(tmp_path, "riserbo") as issuer:
        (key,) = httpx2.get(issuer.jwks_url).json()["keys"]
        assert key.keys() == {"kty", "crv", "x", "y", "kid", "alg", "use"}
        assert issuer.jwks_url.startswith("http://127.0.0.1:")
        assert httpx2.get(issuer.issuer + "/token").status_code == 404


def test_nobody_is_signed_for_unless_invented(tmp_path: Path) -> None:
    with run_demo_issuer(tmp_path, "riserbo") as issuer:
        for name in ("root", "customer"):
            with pytest.raises(InvalidValue):
                issuer.sign(name, "demo", NOW, "jti-1")


def test_two_demos_have_two_keys(tmp_path: Path) -> None:
    with run_demo_issuer(tmp_path / "a", "riserbo") as one, run_demo_issuer(tmp_path / "b", "riserbo") as two:
        stranger = DemoIssuer(one.issuer, one.jwks_url, "riserbo", two.key)
        with pytest.raises(Unauthenticated):
            believed(one, stranger.sign("t1", "demo", NOW, "jti-1"))
