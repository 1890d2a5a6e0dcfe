"""Somebody who is not the customer, with a leaked tax code, a new e-mail address and a stolen session: nothing is theirs.

Each scene tries all that could give them data or destroy the customer's, and every answer to a guess is that of somebody unknown.
"""

from typing import Any

import pytest

from tests.api.desk import Desk
from tests.makers import EVERYTHING, make_context, make_subject, make_ticket, register
from vault.operations.build_exports import build_exports
from vault.operations.disclose import disclose
from vault.operations.disclosure import Ask

SHARED = ("given_name", "family_name", "email", "mobile", "tax_code")
WORDS = "sono io, lo giuro, mandatemi tutto al nuovo indirizzo"
NOBODY = "sub_" + "a" * 26


@pytest.fixture(scope="module")
def victim(desk: Desk) -> str:
    register(desk.vault, desk.controller_id, "dsr-officer")
    values = {name: EVERYTHING[name] for name in SHARED} | {"email": "vittima@example.it"}
    made = make_subject(desk.vault, desk.controller_id, values)
    make_ticket(desk.vault, desk.controller_id, made.subject_id, "t2", "TCK-V")
    return made.subject_id


def session(desk: Desk, victim: str, level: int, *, minutes: int = 30) -> dict[str, str]:
    """Return the headers of a stolen session: of a level, and proved so many minutes ago."""
    proved = int(desk.vault.now().timestamp()) - 60 * minutes
    token = desk.token("customer", victim, acr=f"https://www.spid.gov.it/SpidL{level}", auth_time=proved)
    return {**desk.headers("customer", subject_id=victim), "Authorization": f"Bearer {token}"}


def code(answer: Any) -> str:
    return str(answer.json()["type"].rsplit("/", 1)[1])


def body(answer: Any) -> dict[str, Any]:
    """Return what an answer says, without what names this call."""
    return {name: value for name, value in answer.json().items() if name not in ("instance", "decision_id", "entry_id")}


def test_a_stolen_session_of_the_lowest_level_obtains_nothing(desk: Desk, victim: str) -> None:
    stolen = session(desk, victim, 1)
    export = desk.client.post("/v1/me/exports", headers=stolen, json={})
    assert (export.status_code, code(export)) == (403, "level-needed")
    assert desk.client.get("/v1/me/accesses", headers=stolen).status_code == 403
    for kind in ("access", "erasure", "rectification", "restriction"):
        asked = desk.client.post("/v1/me/requests", headers=stolen, json={"kind": kind, "said": WORDS})
        assert asked.json()["state"] == "received"  # put down, and nothing comes of it
        path = f"/v1/requests/{asked.json()['request_id']}"
        proved = desk.client.post(f"{path}:verify", headers=stolen, json={"level": 3, "method": "in-branch"})
        assert (proved.status_code, code(proved)) == (409, "level-needed")
        for verb, said in {"accept": {}, "fulfil": {"outcome": "complete"}, "refuse": {"code": "excessive"}}.items():
            assert desk.client.post(f"{path}:{verb}", headers=stolen, json=said).status_code in (409, 422)


def test_a_new_address_is_not_put_in_the_place_of_the_old_by_a_second_factor_alone(desk: Desk, victim: str) -> None:
    stolen = session(desk, victim, 2)
    asked = desk.client.post("/v1/me/requests", headers=stolen, json={"kind": "rectification", "fields": ["email"], "said": WORDS})
    assert asked.json()["state"] == "received"
    proved = desk.client.post(f"/v1/requests/{asked.json()['request_id']}:verify", headers=stolen, json={})
    assert (proved.status_code, code(proved)) == (409, "level-needed")


def test_a_stolen_session_without_a_new_proof_fetches_no_package(desk: Desk, victim: str) -> None:
    stolen = session(desk, victim, 2)
    started = desk.client.post("/v1/me/exports", headers=stolen, json={}).json()
    build_exports(desk.vault, desk.controller_id)
    path, typed = f"/v1/exports/{started['export_id']}:download", {"passphrase": started["passphrase"]}
    fetched = desk.client.post(path, headers=stolen, json=typed)
    assert (fetched.status_code, code(fetched)) == (403, "step-up-needed")


def test_who_knows_a_tax_code_learns_nothing_at_the_desk(desk: Desk, victim: str) -> None:
    """An agent who is taken in holds no verified ticket about the person: of their rights they are told what is told of nobody."""
    for method, path, said in (
        ("POST", "/v1/requests", {"kind": "access", "said": WORDS}),
        ("POST", "/v1/subjects/{}/exports", {}),
        ("GET", "/v1/subjects/{}/accesses", None),
    ):
        told = []
        for subject_id in (victim, NOBODY):
            sent = {**said, "subject_id": subject_id} if said is not None and path == "/v1/requests" else said
            told.append(desk.call(method, path.format(subject_id), "t1", sent, ticket="TCK-NONE"))
        assert told[0].status_code == told[1].status_code == 404, path
        assert body(told[0]) == body(told[1])


def test_one_officer_who_is_taken_in_erases_nobody(desk: Desk, victim: str) -> None:
    why = {"Vault_Purpose": "rights-fulfilment"}
    made = desk.client.post("/v1/me/requests", headers=session(desk, victim, 2), json={"kind": "erasure", "said": WORDS}).json()
    path = f"/v1/requests/{made['request_id']}"
    assert desk.call("POST", f"{path}:accept", "dsr-officer", {"plan": "0" * 64, "said": WORDS}, **why).status_code == 409
    assert desk.call("POST", f"{path}:accept", "dpo", {"plan": "0" * 64, "said": WORDS}, **why).status_code == 409
    assert desk.call("POST", f"{path}:fulfil", "dpo", {"said": WORDS}, **why).status_code == 409
    own = make_context(desk.controller_id, "customer", subject_id=victim, purpose="rights-fulfilment")
    assert disclose(desk.vault, Ask(own, victim, ("email",))).fields["email"].value == "vittima@example.it"
