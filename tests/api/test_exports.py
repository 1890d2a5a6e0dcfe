"""What a person takes away, over HTTP: the passphrase in one answer, the package in another, and then neither."""

import io
import zipfile
from typing import Any

import httpx2

from tests.api.desk import Desk
from vault.operations.build_exports import build_exports


def own(desk: Desk, customer: str, *, minutes: int = 0, **claims: Any) -> dict[str, str]:
    """Return the customer's headers, who proved themselves so many minutes ago."""
    proved = int(desk.vault.now().timestamp()) - 60 * minutes
    token = desk.token("customer", customer, auth_time=proved, **claims)
    return {**desk.headers("customer", subject_id=customer), "Authorization": f"Bearer {token}"}


def asked(desk: Desk, customer: str, body: dict[str, str] | None = None, **more: str) -> httpx2.Response:
    return desk.client.post("/v1/me/exports", headers={**own(desk, customer), **more}, json=body or {})


def fetched(desk: Desk, customer: str, started: dict[str, str], **given: Any) -> httpx2.Response:
    body = {"passphrase": given.pop("passphrase", None) or started["passphrase"]}
    path = f"/v1/exports/{started['export_id']}:download"
    return desk.client.post(path, headers=own(desk, customer, **given), json=body)


def test_the_package_is_fetched_once(desk: Desk, customer: str) -> None:
    answer = asked(desk, customer, {"set": "access", "language": "en"})
    assert (answer.status_code, answer.headers["Cache-Control"]) == (202, "no-store"), answer.text
    started = answer.json()
    path = f"/v1/exports/{started['export_id']}"
    at = desk.client.get(path, headers=own(desk, customer))
    assert (at.status_code, at.json()["state"], at.json()["starts_left"]) == (200, "building", 0)
    assert "passphrase" not in at.json()
    early = fetched(desk, customer, started)
    assert (early.status_code, early.json()["type"].rsplit("/", 1)[1]) == (409, "export-not-ready")
    assert build_exports(desk.vault, desk.controller_id) >= 1
    late = fetched(desk, customer, started, minutes=6)
    assert (late.status_code, late.json()["type"].rsplit("/", 1)[1]) == (403, "step-up-needed")
    wrong = fetched(desk, customer, started, passphrase="a" * 20)
    assert (wrong.status_code, wrong.json()["errors"]) == (422, [{"pointer": "/passphrase", "code": "passphrase.wrong"}])
    package = fetched(desk, customer, started)
    assert (package.status_code, package.headers["Content-Type"]) == (200, "application/zip"), package.text
    assert package.headers["Cache-Control"] == "no-store"
    assert int(package.headers["Content-Length"]) == len(package.content)
    with zipfile.ZipFile(io.BytesIO(package.content)) as packed:
        assert {"index.html", "manifest.note", "data/profile.json"} <= set(packed.namelist())
    assert fetched(desk, customer, started).status_code == 410
    assert desk.client.get(path, headers=own(desk, customer)).json()["state"] == "taken"


def test_an_answer_with_a_passphrase_is_kept_for_no_repetition(desk: Desk, customer: str) -> None:
    first, second = (asked(desk, customer, {"set": "portability"}, **{"Idempotency-Key": "exp-1"}).json() for _ in range(2))
    assert first["passphrase"] != second["passphrase"]
    state = desk.client.get(f"/v1/exports/{first['export_id']}", headers=own(desk, customer)).json()["state"]
    assert state == "replaced"


def test_nobody_else_has_it_made_watches_or_fetches_it(desk: Desk, customer: str) -> None:
    started = asked(desk, customer).json()
    calls: tuple[tuple[str, str, dict[str, str] | None], ...] = (
        ("POST", f"/v1/subjects/{customer}/exports", {}),
        ("GET", f"/v1/exports/{started['export_id']}", None),
        ("POST", f"/v1/exports/{started['export_id']}:download", {"passphrase": started["passphrase"]}),
    )
    for role in ("t1", "dpo", "operator", "system"):
        for method, path, body in calls:
            assert desk.call(method, path, role, body, ticket="TCK-9").status_code in (403, 404)


def test_a_body_that_is_wrong_is_told_without_its_words(desk: Desk, customer: str) -> None:
    answer = asked(desk, customer, {"set": "Zanzibarù"})
    assert answer.status_code == 422
    assert "Zanzibar" not in answer.text
    assert fetched(desk, customer, {"export_id": "exp_" + "a" * 26}, passphrase="short").status_code == 422


def test_at_too_low_a_level_nothing_is_made(desk: Desk, customer: str) -> None:
    headers = own(desk, customer, acr="https://www.spid.gov.it/SpidL1")
    refused = desk.client.post("/v1/me/exports", headers=headers, json={})
    assert (refused.status_code, refused.json()["type"].rsplit("/", 1)[1]) == (403, "level-needed")
