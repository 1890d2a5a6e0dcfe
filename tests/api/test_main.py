"""How the application is put together: what it needs, what it closes, what it says of itself."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest
from fastapi.testclient import TestClient
from structlog.testing import capture_logs

from api import main
from api.authentication import Rules
from api.main import bare_app, create_app, guard_settings
from tests.api.desk import Desk
from tests.api.issuer import Held, published
from tests.api.test_authentication_guard import JKT, proof
from vault.assembly import Vault
from vault.errors import InvalidValue, KeysUnavailable
from vault.octets import b64u
from vault.operations.examine import Check

KEYS = Held((published("ES256"),))


def with_settings(vault: Vault, **changes: Any) -> Vault:
    return replace(vault, settings=vault.settings.model_copy(update=changes))


@pytest.mark.parametrize("missing", [("token_issuer",), ("jwks_url",), ("token_issuer", "jwks_url")])
def test_without_an_issuer_nothing_is_served(vault: Vault, missing: tuple[str, ...]) -> None:
    with pytest.raises(InvalidValue) as refusal:
        create_app(with_settings(vault, **dict.fromkeys(missing)))
    assert [fault.pointer for fault in refusal.value.faults] == [f"RISERBO_{name.upper()}" for name in missing]


def test_systems_are_bound_wherever_the_key_set_is_unless_the_settings_say_otherwise(vault: Vault) -> None:
    """A key set on loopback is no reason: a proxy may fetch a real issuer's there."""
    rules = guard_settings(
        with_settings(vault, jwks_url="http://127.0.0.1:9/keys", host="vault.example", unbound_systems=False).settings
    )
    assert rules == Rules(
        "https://issuer.example", "riserbo", frozenset({"ES256", "RS256"}), "vault.example", unbound_systems=False
    )
    assert guard_settings(with_settings(vault, unbound_systems=True).settings).unbound_systems


def test_over_http_a_system_proves_its_key_for_each_request(vault: Vault, desk: Desk) -> None:
    strict = with_settings(vault, jwks_url="https://issuer.example/keys", host="testserver", unbound_systems=False)
    bound, now = desk.token("system", cnf={"jkt": JKT}), int(vault.now().timestamp())
    ath = b64u(sha256(bound.encode()).digest())
    fit: dict[str, Any] = {"htu": "http://testserver/v1/templates", "iat": now, "ath": ath}
    with TestClient(create_app(strict, keys=KEYS)) as client:

        def status(token: str, **claims: Any) -> int:
            headers = {"Authorization": f"DPoP {token}", "DPoP": proof(**(fit | claims))}
            return client.get("/v1/templates?x=1", headers=headers).status_code

        assert client.get("/v1/templates", headers={"Authorization": f"Bearer {desk.token('system')}"}).status_code == 401
        assert client.get("/v1/templates", headers={"Authorization": f"Bearer {bound}"}).status_code == 401
        assert [status(bound), status(bound), status(bound, jti="p-2")] == [200, 401, 200]
        assert status(bound, jti="p-3", htu="http://testserver/v1/subjects:search") == 401
        assert status(bound, jti="p-4", htm="POST") == 401


def test_an_unsafe_address_of_the_key_set_is_refused(vault: Vault) -> None:
    with pytest.raises(InvalidValue):
        create_app(with_settings(vault, jwks_url="http://issuer.example/keys"))


def test_what_was_opened_is_closed(vault: Vault) -> None:
    closed: list[str] = []
    app = create_app(vault, on_close=lambda: closed.append("closed"))
    with TestClient(app) as client:
        assert client.get("/livez").status_code == 200
        lanes = app.state.lanes
        assert lanes.alive()
        assert closed == []
    assert closed == ["closed"]
    assert not lanes.alive()


def test_the_factory_opens_the_vault_and_its_application_closes_it(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    @contextmanager
    def opening(settings: object) -> Iterator[Any]:
        assert settings == "settings"
        seen.append("opened")
        yield opened
        seen.append("closed")

    monkeypatch.setattr(main, "read_settings", lambda: "settings")
    monkeypatch.setattr(main, "open_vault", opening)
    app = main.application()
    assert seen == ["opened"]
    with TestClient(app) as client:
        assert client.get("/readyz").status_code == 200
        assert gc.get_freeze_count() > 0
        gc.unfreeze()
    assert seen == ["opened", "closed"]


def test_a_vault_that_cannot_be_served_is_closed(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    @contextmanager
    def opening(_: object) -> Iterator[Any]:
        try:
            yield replace(opened, vault=with_settings(opened.vault, token_issuer=None))
        finally:
            seen.append("closed")

    monkeypatch.setattr(main, "read_settings", lambda: None)
    monkeypatch.setattr(main, "open_vault", opening)
    with pytest.raises(InvalidValue):
        main.application()
    assert seen == ["closed"]


def test_a_failing_line_makes_it_unready(vault: Vault) -> None:
    app = create_app(vault, lambda: [Check("key_service", ok=False, note="IT60X0542811101000000123456")], KEYS)
    with TestClient(app) as client:
        answer = client.get("/readyz")
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        assert {"name": "key_service", "ok": False, "warnings": []} in answer.json()["checks"]
        assert "IT60" not in answer.text
        assert client.get("/livez").status_code == 200


def test_a_failing_look_makes_it_unready(vault: Vault) -> None:
    def look() -> list[Check]:
        raise KeysUnavailable

    with TestClient(create_app(vault, look, KEYS)) as client:
        answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["type"]) == (503, "https://riserbo.dev/problems/keys-unavailable")


def test_when_the_issuer_cannot_be_reached_nobody_is_blamed(vault: Vault, desk: Desk) -> None:
    with TestClient(create_app(vault)) as client:  # the shared settings name an address where nothing listens
        answer = client.get("/v1/templates", headers={"Authorization": f"Bearer {desk.token('t1')}"})
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert answer.json()["type"].endswith("/token-keys-unavailable")


def test_the_framework_s_telemetry_is_off() -> None:
    """On, it would export the text of exceptions and what bodies held."""
    telemetry = bare_app()._telemetry
    assert {name: telemetry[name] for name in ("tracing", "metrics", "logs", "auto_configure")} == dict.fromkeys(
        ("tracing", "metrics", "logs", "auto_configure"), False
    )


def test_nothing_happens_at_import() -> None:
    assert not hasattr(main, "app")


def test_the_log_names_the_caller_s_controller_and_the_entry(desk: Desk, customer: str) -> None:
    with capture_logs() as logs:
        answer = desk.profile("t1", customer)
    (line,) = [one for one in logs if one["event"] == "request"]
    assert (line["route"], line["status"], line["controller"]) == ("/v1/subjects/{subject_id}/profile", 200, desk.controller_id)
    assert (line["entry_id"], line["decision_id"]) == (answer.json()["entry_id"], answer.json()["decision_id"])
    assert customer not in repr(line)
