"""The routes over a real vault: each parses, calls one operation, and shapes its answer."""

from base64 import b64encode
from hashlib import sha256
from typing import Any

import pytest

from api.routes.helpdesk import MOST_LISTS, NamedFields
from tests.api.desk import Desk
from tests.makers import TEXTS, make_subject, make_ticket, register
from vault.errors import ContextIncomplete
from vault.operations.callers import Registration, end_registration, register_caller

NOBODY = "sub_" + "z" * 26
RETAIL = {
    "template": "retail",
    "language": "it",
    "evidence": {"method": "recorded-call", "indicated_at": "2026-01-10T09:00:00Z", "affirmative_act": True},
}
ENROLMENT = {
    "fields": {"customer_number": "C0000009", "given_name": "Giulia", "email": "giulia@example.it"},
    "agreements": [RETAIL],
}


def code(answer: Any) -> str:
    return str(answer.json()["type"]).rpartition("/")[2]


# --- the masked profile


def test_an_agent_reads_a_masked_profile(desk: Desk, customer: str) -> None:
    answer = desk.profile("t1", customer)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (body["subject_id"], body["state"], body["purpose"]) == (customer, "active", "customer-care")
    assert body["fields"]["given_name"] == {"state": "clear", "value": "Giulia", "mask": None, "because": "support-t1-identity"}
    assert body["fields"]["email"]["state"] == "masked"
    assert "giulia.bianchi" not in answer.text
    assert body["policy"].startswith("sha256:")


def test_a_profile_s_headers_say_what_recorded_it(desk: Desk, customer: str) -> None:
    answer = desk.profile("t1", customer)
    body, headers = answer.json(), answer.headers
    assert (headers["Vault-Entry"], headers["Vault-Decision"]) == (body["entry_id"], body["decision_id"])
    assert body["decision_id"].removeprefix("dec_") == body["entry_id"].removeprefix("ent_")
    assert (headers["ETag"], headers["Cache-Control"], headers["Content-Type"]) == ('"1"', "no-store", "application/json")


def test_only_the_named_fields_are_answered(desk: Desk, customer: str) -> None:
    assert set(desk.profile("t1", customer, query="?fields=email,given_name,email").json()["fields"]) == {"email", "given_name"}


@pytest.mark.parametrize(
    ("fields", "places"),
    [
        ("", [0]), ("givenname", [0]), ("email,", [1]), ("email,,given_name", [1]), ("EMAIL", [0]),
        ("email,giulia@example.it", [1]), ("email,email,x,given_name,y", [2, 4]),
    ],
)  # fmt: skip
def test_a_field_that_is_not_in_the_catalogue_is_400_by_its_place(
    desk: Desk, customer: str, fields: str, places: list[int]
) -> None:
    answer = desk.profile("t1", customer, query=f"?fields={fields}")
    assert (answer.status_code, code(answer)) == (400, "unknown-field")
    assert answer.json()["errors"] == [{"pointer": f"fields/{place}", "code": "unknown"} for place in places]
    assert "giulia" not in answer.text


def test_a_list_of_fields_has_an_end(desk: Desk, customer: str) -> None:
    answer = desk.profile("t1", customer, query=f"?fields={'email,' * 2_000}email")
    assert (answer.status_code, answer.json()["errors"]) == (400, [{"pointer": "fields", "code": "too-long"}])


def test_only_lists_that_say_nothing_else_are_kept() -> None:
    named, known = NamedFields(), ["email", "iban"]
    assert [named.of(query, known) for query in (b"", b"x=1", b"fields=email,iban", b"fields=iban")] == [
        None, None, ("email", "iban"), ("iban",),
    ]  # fmt: skip
    for query in (b"fields=email&x=giulia@example.it", b"fields=%65mail", b"fields=email,email", b"x=1&fields=email"):
        assert named.of(query, known) == ("email",)
    for query in (
        b"fields=",
        b"fields=nickname",
        b"fields=email%2Cnickname",
        b"fields=email&fields=iban",
        b"fields=email&fields=email",
    ):
        with pytest.raises(ContextIncomplete):
            named.of(query, known)
    assert named._read.keys() == {b"fields=email,iban", b"fields=iban"}
    assert named.of(b"fields=email,iban", known) is named.of(b"fields=email,iban", known)
    with pytest.raises(ContextIncomplete):  # under a catalogue without it, what was read before counts for nothing
        named.of(b"fields=iban", ["email"])


def test_lists_are_kept_up_to_a_bound() -> None:
    named, known = NamedFields(), [f"field_{number}" for number in range(MOST_LISTS + 9)]
    for number in range(MOST_LISTS + 9):
        assert named.of(b"fields=field_%d" % number, known) == (f"field_{number}",)
    assert len(named._read) == MOST_LISTS


def test_a_helpdesk_acts_for_an_agent_where_the_register_says_so_and_no_longer(desk: Desk, customer: str) -> None:
    acting = f"Bearer {desk.token('t1', act={'sub': 'zammad'})}"
    chained = f"Bearer {desk.token('t1', act={'sub': 'zammad', 'act': {'sub': 'another'}})}"
    officer = f"Bearer {desk.token('dpo', act={'sub': 'zammad'})}"
    assert desk.profile("t1", customer, Authorization=acting).status_code == 404
    register_caller(desk.vault, desk.controller_id, Registration("zammad", ("system",), acts_for_agents=True))
    shown = desk.profile("t1", customer, Authorization=acting)
    assert (shown.status_code, shown.json()["fields"]["given_name"]["state"]) == (200, "clear")
    for odd in (chained, officer):
        refused = desk.profile("t1", customer, Authorization=odd)
        assert (refused.status_code, refused.json()["type"].rpartition("/")[2]) == (401, "unauthenticated")
    end_registration(desk.vault, desk.controller_id, "zammad")
    missing = [desk.profile("t1", who, Authorization=acting) for who in (customer, NOBODY)]
    assert [(one.status_code, one.json()["type"].rpartition("/")[2]) for one in missing] == [(404, "not-found")] * 2
    assert desk.profile("t1", customer).status_code == 200  # themselves, as before


def test_a_ticket_that_does_not_serve_is_told_whoever_is_asked_about(desk: Desk, customer: str) -> None:
    make_ticket(desk.vault, desk.controller_id, customer, "t1", "TCK-closed", state="closed")
    make_ticket(desk.vault, desk.controller_id, customer, "t2", "TCK-theirs", team="another")
    for ticket, code in (("TCK-closed", "ticket-closed"), ("TCK-theirs", "ticket-not-yours")):
        here, missing = desk.profile("t1", customer, ticket), desk.profile("t1", NOBODY, ticket)
        assert [(one.status_code, one.json()["type"].rpartition("/")[2]) for one in (here, missing)] == [(403, code)] * 2
    missing = desk.profile("t1", NOBODY)
    assert (missing.status_code, missing.json()["type"].rpartition("/")[2]) == (403, "ticket-of-another-person")


def test_unknown_and_forbidden_people_look_alike(desk: Desk, customer: str) -> None:
    missing, forbidden = desk.profile("t1", NOBODY, "TCK-unheard"), desk.profile("dpo", customer, ticket=None)
    assert [one.status_code for one in (missing, forbidden)] == [404, 404]

    def shape(answer: Any) -> Any:
        ids = {"instance", "decision_id", "entry_id"}
        return {name: None if name in ids else value for name, value in answer.json().items()}, sorted(answer.headers)

    assert shape(missing) == shape(forbidden)
    assert missing.headers["Vault-Entry"] != forbidden.headers["Vault-Entry"]  # both are on record


@pytest.mark.parametrize(
    "path", ["/v1/subjects/giulia@example.it/profile", "/v1/subjects/sub_x/profile", "/v1/subjects//profile", "/v1/nothing"]
)
def test_what_is_no_id_is_not_found_and_not_recorded(desk: Desk, path: str) -> None:
    """It could be anybody's name: it must not enter the log."""
    answer = desk.call("GET", path, "t1", ticket="TCK-1")
    assert (answer.status_code, code(answer)) == (404, "not-found")
    assert "Vault-Entry" not in answer.headers
    assert "giulia" not in answer.text + str(answer.headers)


# --- who, before what


def test_nobody_is_answered_without_a_token(desk: Desk) -> None:
    """And nothing of theirs is parsed: a stranger's bad body is not told from a good one."""
    for method, path, body in [
        ("GET", f"/v1/subjects/{NOBODY}/profile", b""),
        ("POST", "/v1/subjects", b"{"),
        ("POST", "/v1/subjects:search", b"not json"),
        ("PATCH", f"/v1/subjects/{NOBODY}/fields", b"\xff"),
        ("PUT", "/v1/tickets/TCK-1", b"{}"),
    ]:
        answer = desk.client.request(method, path, content=body)
        assert (answer.status_code, code(answer)) == (401, "unauthenticated"), path
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert answer.json()["detail"] == desk.client.get("/v1/templates").json()["detail"]


def test_another_controller_s_person_is_nobody_here(desk: Desk, customer: str, opened: Any) -> None:
    other = desk.vault.new_id("ctl")
    opened.add_controller(other)
    register(desk.vault, other, "t1")
    answer = Desk(desk.client, desk.vault, other).profile("t1", customer)
    assert answer.status_code == 404


def test_a_context_that_says_too_little_is_400(desk: Desk, customer: str) -> None:
    answer = desk.profile("t1", customer, ticket=None, Vault_Purpose=None)
    assert (answer.status_code, code(answer)) == (400, "context-incomplete")
    assert answer.json()["errors"] == [
        {"pointer": "Vault-Purpose", "code": "missing"},
        {"pointer": "Vault-Ticket", "code": "missing"},
    ]


@pytest.mark.parametrize(
    "media_type", [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/xml"]
)
def test_only_json_is_read(desk: Desk, customer: str, media_type: str | None) -> None:
    headers = desk.headers("system") | ({} if media_type is None else {"Content-Type": media_type})
    answer = desk.client.post("/v1/subjects", headers=headers, content=b'{"fields":{}}')
    assert (answer.status_code, code(answer)) == (415, "unsupported-media-type")


# --- find


def test_a_person_is_found_by_an_exact_value_in_the_body(desk: Desk, customer: str) -> None:
    answer = desk.call("POST", "/v1/subjects:search", "t1", {"by": "email", "value": "Giulia.Bianchi@example.it"}, ticket="TCK-1")
    assert answer.status_code == 200, answer.text
    assert [one["subject_id"] for one in answer.json()["matches"]] == [customer]
    assert answer.headers["Vault-Entry"].startswith("ent_")
    missing = desk.call("POST", "/v1/subjects:search", "t1", {"by": "email", "value": "nobody@example.it"}, ticket="TCK-1")
    assert missing.json() == {"matches": []}


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"by": "email", "value": "giulia"}, "/value"),
        ({"by": "gender", "value": "x"}, "/by"),
        ({"by": "email", "value": 7}, "/value"),
        ({"by": "email", "value": "a@example.it", "giulia": 1}, ""),
        ({"by": "giulia@example.it", "value": "x"}, "/by"),
    ],
)
def test_a_look_up_at_fault_names_where_and_never_what(desk: Desk, customer: str, body: Any, pointer: str) -> None:
    answer = desk.call("POST", "/v1/subjects:search", "t1", body, ticket="TCK-1")
    assert (answer.status_code, code(answer)) == (422, "invalid-value")
    assert [one["pointer"] for one in answer.json()["errors"]] == [pointer]
    assert "giulia" not in answer.text


# --- enrol, amend


def test_a_person_is_enrolled_and_corrected(desk: Desk) -> None:
    made = desk.call("POST", "/v1/subjects", "system", ENROLMENT)
    assert made.status_code == 201, made.text
    body = made.json()
    assert (made.headers["ETag"], made.headers["Vault-Entry"]) == ('"1"', body["entry_id"])
    patch = {"agreement_id": body["agreements"][0], "fields": {"email": "nuova@example.it", "given_name": None}}
    path = f"/v1/subjects/{body['subject_id']}/fields"
    changed = desk.call("PATCH", path, "system", patch, If_Match='"1"')
    assert (changed.status_code, changed.headers["ETag"]) == (200, '"2"'), changed.text
    stale = desk.call("PATCH", path, "system", patch, If_Match='"1"')
    assert (stale.status_code, code(stale)) == (412, "stale")


@pytest.mark.parametrize(
    ("if_match", "status", "expected"),
    [
        (None, 428, "precondition-required"),
        ("*", 412, "stale"),
        ("1", 412, "stale"),
        ('W/"1"', 412, "stale"),
        ('"x"', 412, "stale"),
    ],
)
def test_a_change_states_what_was_read(desk: Desk, customer: str, if_match: str | None, status: int, expected: str) -> None:
    patch = {"agreement_id": "agr_" + "a" * 26, "fields": {"email": "nuova@example.it"}}
    answer = desk.call("PATCH", f"/v1/subjects/{customer}/fields", "system", patch, If_Match=if_match)
    assert (answer.status_code, code(answer)) == (status, expected)


@pytest.mark.parametrize(
    ("change", "pointers"),
    [
        ({"fields": {}}, ["/fields"]),
        ({"fields": {"email": "x"}}, ["/fields/email"]),
        ({"fields": {"giulia@example.it": "x"}}, ["/fields"]),
        ({"fields": {"iban": "IT60X0542811101000000123457"}}, ["/fields/iban"]),
        ({"fields": {"iban": 1.5}}, ["/fields/iban"] * 3),
        ({"agreements": []}, ["/agreements"]),
        ({"agreements": [{**RETAIL, "template": "giulia"}]}, ["/agreements/0/template"]),
        ({"agreements": [{**RETAIL, "pre_ticked": True}]}, ["/agreements/0"]),
        ({"agreements": [{**RETAIL, "version": "1"}]}, ["/agreements/0/version"]),
        ({"stato": "attivo"}, [""]),
    ],
    ids=range(10),
)
def test_an_enrolment_at_fault_names_where_and_never_what(desk: Desk, change: Any, pointers: list[str]) -> None:
    answer = desk.call("POST", "/v1/subjects", "system", ENROLMENT | change)
    assert (answer.status_code, code(answer)) == (422, "invalid-value")
    assert [one["pointer"] for one in answer.json()["errors"]] == pointers
    assert "giulia" not in answer.text
    assert "123457" not in answer.text


# --- agreements, tickets


def test_an_agreement_is_made_and_withdrawn(desk: Desk) -> None:
    customer = make_subject(desk.vault, desk.controller_id, {"customer_number": "C0000077", "email": "b@example.it"}).subject_id
    marketing = {**RETAIL, "template": "marketing", "evidence": {**RETAIL["evidence"], **consent(desk)}}  # type: ignore[dict-item]
    made = desk.call("POST", f"/v1/subjects/{customer}/agreements", "system", marketing, Vault_Channel="phone")
    assert made.status_code == 201, made.text
    agreement_id = made.json()["agreement_id"]
    path = f"/v1/agreements/{agreement_id}/withdrawal"
    withdrawn = desk.call("POST", path, "system", {"method": "call", "agent": "t2-1"}, Vault_Channel="phone")
    assert withdrawn.status_code == 200, withdrawn.text
    assert (withdrawn.json()["agreement_id"], withdrawn.json()["subject_id"]) == (agreement_id, customer)
    again = desk.call("POST", path, "system", {}, Vault_Channel="phone")
    assert again.status_code == 409


def test_an_agreement_is_narrowed_by_its_fields(desk: Desk) -> None:
    customer = make_subject(desk.vault, desk.controller_id, {"customer_number": "C0000078", "email": "c@example.it"})
    path, said = f"/v1/agreements/{customer.agreements[0]}/narrowing", {"method": "call", "agent": "t2-1"}
    narrowed = desk.call("POST", path, "system", {**said, "excluded": ["email"]})
    assert (narrowed.status_code, narrowed.headers["ETag"]) == (200, '"2"')
    assert (narrowed.json()["excluded"], narrowed.json()["emptied"]) == (["email"], [])
    for excluded, fault in ((["email"], "/excluded/0"), (["phone", "giulia_bianchi"], "/excluded/1"), ([], "/excluded")):
        again = desk.call("POST", path, "system", {**said, "excluded": excluded})
        assert (again.status_code, [one["pointer"] for one in again.json()["errors"]]) == (422, [fault])
        assert "giulia" not in again.text


@pytest.mark.parametrize(
    ("changes", "faults"),
    [
        ({"call_id": None}, {"/evidence/call_id": "consent.missing_evidence"}),
        ({"agent": None}, {"/evidence/agent": "consent.missing_evidence"}),
        ({"script_version": None}, {"/evidence/script_version": "consent.missing_evidence"}),
        ({"affirmative_act": False}, {"/evidence/affirmative_act": "consent.not_affirmative"}),
        ({"indicated_at": None}, {"/evidence/indicated_at": "consent.missing_date"}),
        ({"text_sha256": "00" * 32}, {"/evidence/text_sha256": "text.mismatch"}),
    ],
)
def test_a_consent_by_phone_names_operator_call_and_script(
    desk: Desk, customer: str, changes: dict[str, Any], faults: dict[str, str]
) -> None:
    shown = {**RETAIL["evidence"], **consent(desk), **changes}  # type: ignore[dict-item]
    said = {name: value for name, value in shown.items() if value is not None}
    body = {**RETAIL, "template": "marketing", "evidence": said}
    answer = desk.call("POST", f"/v1/subjects/{customer}/agreements", "system", body, Vault_Channel="phone")
    assert (answer.status_code, code(answer)) == (422, "invalid-value")
    assert {one["pointer"]: one["code"] for one in answer.json()["errors"]} == faults


def consent(desk: Desk) -> dict[str, str]:
    template = next(one for one in desk.vault.templates.values() if one.id == "marketing")
    return {"call_id": "call-1", "agent": "t2-1", "script_version": "v1", "text_sha256": template.texts["it"].hex()}


def test_a_helpdesk_pushes_references_and_never_text(desk: Desk, customer: str) -> None:
    ticket = {"subject_id": customer, "state": "open", "assignee": "t1-1", "team": "support"}
    stored = desk.call("PUT", "/v1/tickets/TCK-7", "system", ticket)
    assert (stored.status_code, stored.json()["entry_id"]) == (200, stored.headers["Vault-Entry"])
    assert desk.profile("t1", customer, ticket="TCK-7").status_code == 200
    for wrong in ({"subject": "rimborso"}, {"topic": "Chiede un rimborso"}, {"state": "new"}, {"assignee": "a b"}):
        assert desk.call("PUT", "/v1/tickets/TCK-7", "system", ticket | wrong).status_code == 422
    assert desk.call("PUT", "/v1/tickets/giulia@example.it", "system", ticket).status_code == 404
    for member, words in (("assignee", "Giulia Bianchi, 333 1234567"), ("team", "quelli della Giulia")):
        refused = desk.call("PUT", "/v1/tickets/TCK-7", "system", ticket | {member: words})
        assert (refused.status_code, [one["pointer"] for one in refused.json()["errors"]]) == (422, [f"/{member}"])
        assert "Giulia" not in refused.text
    denied = desk.call("PUT", "/v1/tickets/TCK-7", "t1", ticket, ticket="TCK-1")
    assert (denied.status_code, denied.json()["entry_id"]) == (403, denied.headers["Vault-Entry"])


# --- everyone


def test_everyone_may_ask_whether_it_lives(desk: Desk) -> None:
    assert desk.client.get("/livez").json() == {"live": True}
    ready = desk.client.get("/readyz")
    assert ready.status_code == 200, ready.text
    body = ready.json()
    assert body["ready"] is True
    assert {"disclosure_lanes", "key_service"} <= {one["name"] for one in body["checks"]}
    assert all({"name", "ok"} <= one.keys() <= {"name", "ok", "warnings", "age_s"} for one in body["checks"])  # never a note


def test_the_way_in_is_described(desk: Desk) -> None:
    assert desk.client.get("/.well-known/riserbo").json() == {
        "api": "1",
        "issuer": "https://issuer.example",
        "audience": "riserbo",
        "algorithms": ["ES256", "RS256"],
        "audit": {"name": "localhost/audit/{controller}/{era}", "public_key": held(desk.vault.signing.checkpoint_key)},
        "receipts": {"name": "localhost/audit/{controller}/{era}", "public_key": held(desk.vault.signing.receipt_key)},
        "documents": {"name": "localhost/documents/{controller}", "public_key": held(desk.vault.signing.document_key)},
    }


def held(public: bytes) -> str:
    assert len(public) == 32
    return b64encode(public).decode()


def test_no_controller_is_named_to_everybody(desk: Desk) -> None:
    assert desk.controller_id not in desk.client.get("/.well-known/riserbo").text


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json", "/metrics"])
def test_nothing_else_is_open(desk: Desk, path: str) -> None:
    assert desk.client.get(path).status_code == 404


def test_a_method_that_is_not_there_is_405(desk: Desk) -> None:
    answer = desk.client.delete(f"/v1/subjects/{NOBODY}/profile")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET")


def test_the_templates_are_listed_to_callers(desk: Desk) -> None:
    listed = desk.client.get("/v1/templates", headers={"Authorization": f"Bearer {desk.token('t1')}"}).json()["templates"]
    assert {"retail", "marketing", "health-insurance"} <= {one["template"] for one in listed}
    marketing = next(one for one in listed if one["template"] == "marketing")
    assert (marketing["basis"], len(marketing["digest"])) == ("consent", 64)
    for one in listed:  # what was shown is what hashes so: in each language, and in no two alike
        texts = {language: TEXTS / f"{one['template']}.v{one['version']}.{language}.md" for language in ("it", "en")}
        assert one["texts"] == {language: sha256(path.read_bytes()).hexdigest() for language, path in texts.items()}
        assert len(set(one["texts"].values())) == 2


def test_a_customer_reads_what_they_agreed_to_and_what_became_of_it(desk: Desk, customer: str) -> None:
    headers = desk.headers("customer", subject_id=customer)
    answer = desk.client.get(f"/v1/subjects/{customer}/agreements", headers=headers)
    assert answer.status_code == 200, answer.text
    listed = {one["template"]: one for one in answer.json()["agreements"]}
    assert listed["retail"]["status"] == "in_force"
    assert set(listed["retail"]) == {
        "agreement_id", "template", "version", "status", "consent", "excluded", "valid_from", "valid_until",
    }  # fmt: skip
    assert (answer.headers["Vault-Entry"], answer.headers["Cache-Control"]) == (answer.json()["entry_id"], "no-store")
    history = desk.client.get(f"/v1/agreements/{listed['retail']['agreement_id']}/history", headers=headers)
    assert history.status_code == 200, history.text
    assert history.json()["agreement"] == listed["retail"]
    assert [set(one) for one in history.json()["events"]] == [{"number", "kind", "recorded_at", "effective_at", "channel"}]
    assert history.json()["events"][0]["recorded_at"].endswith("Z")
    assert history.headers["Vault-Entry"] != answer.headers["Vault-Entry"]
