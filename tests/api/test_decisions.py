"""Decisions over HTTP: what each reader's document holds, and AuthZEN's two calls."""

from typing import Any

from tests.api.desk import Desk

FIELDS = "?fields=given_name,email,iban"


def decided(desk: Desk, customer: str) -> str:
    return str(desk.profile("t1", customer, query=FIELDS).headers["Vault-Decision"])


def test_each_reader_gets_their_own_document(desk: Desk, customer: str) -> None:
    path = f"/v1/decisions/{decided(desk, customer)}"
    own = desk.call("GET", path, "t1", ticket="TCK-1")
    assert own.status_code == 200, own.text
    assert own.headers["Cache-Control"] == "no-store"
    assert own.headers["Vault-Entry"].startswith("ent_")
    assert own.headers["Vault-Entry"] != own.json()["of_entry_id"]
    assert own.json()["fields"]["given_name"]["state"] == "clear"
    officer = desk.call("GET", path, "dpo").json()
    assert officer["policy"] == desk.vault.policy.digest
    assert officer["fields"]["email"]["policies"] == ["t1-contact"]
    person = desk.call("GET", path, "customer", subject_id=customer).json()
    assert set(person["fields"]["email"]["words"]) == {"it", "en"}
    for role in ("t2", "system", "operator"):
        refused = desk.call("GET", path, role, ticket="TCK-1")
        assert refused.status_code == 404
        assert refused.json()["title"] == "Not found"
    assert desk.call("GET", "/v1/decisions/dec_x", "t1", ticket="TCK-1").status_code == 404
    assert desk.call("GET", path, "t1", ticket="TCK-1", Vault_Purpose=None).status_code == 400


SUPPOSED: dict[str, Any] = {
    "roles": ["t1"], "purpose": "customer-care", "channel": "phone", "ticket": "verified", "assigned": True,
    "agreements": [{"template": "retail@1", "excluded": ["mobile"]}], "fields": ["email", "mobile", "iban"],
}  # fmt: skip


def test_a_supposition_is_answered_with_policies_for_the_officer_alone(desk: Desk) -> None:
    told = desk.call("POST", "/v1/decisions:simulate", "t1", SUPPOSED, ticket="TCK-1")
    assert told.status_code == 200, told.text
    assert told.json()["fields"]["mobile"]["because"] == "field-excluded"
    assert told.json()["fields"]["email"]["template"] == "retail@1"
    assert told.json()["fields"]["email"]["policies"] is None
    officer = desk.call("POST", "/v1/decisions:simulate", "dpo", SUPPOSED)
    assert officer.json()["fields"]["email"]["policies"] == ["t1-contact"]
    wrong = desk.call("POST", "/v1/decisions:simulate", "dpo", {**SUPPOSED, "purpose": "curiosity"})
    assert wrong.status_code == 422
    assert wrong.json()["errors"] == [{"pointer": "/purpose", "code": "unknown"}]


def question(customer: str, field: str = "email", **said: Any) -> dict[str, Any]:
    asked: dict[str, Any] = {
        "subject": {"type": "agent", "id": "t1-1"},
        "action": {"name": "view_masked"},
        "resource": {"type": "field", "id": f"{customer}/{field}"},
        "context": {"purpose": "customer-care", "channel": "phone", "ticket": "TCK-1"},
    }
    return asked | said


def test_an_evaluation_is_authzens(desk: Desk, customer: str) -> None:
    answer = desk.call("POST", "/access/v1/evaluation", "t1", question(customer))
    assert answer.status_code == 200, answer.text
    assert answer.json() == {
        "decision": True,
        "context": {
            "level": "masked", "mask": "email_domain", "reason": "support-t1-contact",
            "decision_id": answer.headers["Vault-Decision"],
        },
    }  # fmt: skip
    clear = desk.call("POST", "/access/v1/evaluation", "t1", question(customer, action={"name": "view_clear"}))
    assert clear.json()["decision"] is False
    assert clear.json()["context"]["level"] == "masked"


def test_what_an_evaluation_lacks_is_named(desk: Desk, customer: str) -> None:
    path = "/access/v1/evaluation"
    odd = desk.call("POST", path, "t1", question(customer, context={"purpose": "curiosity", "channel": "phone"}))
    assert (odd.status_code, odd.json()["type"].rpartition("/")[2]) == (400, "context-incomplete")
    assert {one["pointer"] for one in odd.json()["errors"]} == {"Vault-Purpose", "Vault-Ticket"}
    unknown = desk.call("POST", path, "t1", question(customer, field="shoe_size"))
    assert unknown.json()["errors"] == [{"pointer": "/resource/id", "code": "unknown"}]
    nobody = desk.call("POST", path, "t1", question("sub_" + "z" * 26))
    assert (nobody.status_code, nobody.json()["type"].rpartition("/")[2]) == (403, "ticket-of-another-person")
    assert desk.call("POST", path, "t1", question(customer, subject={"type": "agent", "id": "t2-1"})).status_code == 404
    assert desk.call("POST", path, "t1", question(customer, resource={"type": "field", "id": "x"})).status_code == 422


def test_evaluations_share_their_defaults(desk: Desk, customer: str) -> None:
    place = {"type": "field", "id": f"{'sub_' + 'z' * 26}/email"}
    body = question(customer) | {"evaluations": [{}, {"action": {"name": "view_clear"}}, {"resource": place}]}
    answers = desk.call("POST", "/access/v1/evaluations", "t1", body).json()["evaluations"]
    assert [one["decision"] for one in answers] == [True, False, False]
    assert answers[2]["context"]["reason"] == "ticket-of-another-person"
    lacking = desk.call("POST", "/access/v1/evaluations", "t1", {"evaluations": [{"action": {"name": "view"}}]})
    assert [one["pointer"] for one in lacking.json()["errors"]] == [
        f"/evaluations/0/{name}" for name in ("subject", "resource", "context")
    ]
    unknown = {**question(customer), "evaluations": [{"resource": {"type": "field", "id": f"{customer}/shoe_size"}}]}
    answer = desk.call("POST", "/access/v1/evaluations", "t1", unknown).json()
    assert answer["errors"] == [{"pointer": "/evaluations/0/resource/id", "code": "unknown"}]
