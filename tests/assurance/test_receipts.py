"""`Prefer: audit-receipt`: every route that records an entry gives a receipt of it when asked, and none when not."""

from base64 import b64decode
from typing import Any

import psycopg
import pytest

from tests.assurance.desk import Desk
from tests.assurance.lone import RETAIL, Lone
from tests.makers import make_subject
from tests.publishers import describe
from vault.audit.checkpoint import origin
from vault.audit.receipts import given_for, parse_receipt
from vault.errors import KeysUnavailable
from vault.octets import b64u

WISH = {"Prefer": "audit-receipt"}
NAMES_NONE = {"evaluateAccesses"}  # several questions, an entry each: whoever wants receipts asks one by one


def receipt_key(desk: Desk) -> bytes:
    return b64decode(desk.client.get("/.well-known/riserbo").json()["receipts"]["public_key"])


def leaf_hash(desk: Desk, entry_id: str) -> bytes:
    """Return the hash of an entry of the log, sequenced now if it was not yet."""
    desk.opened.trail.settle(desk.controller_id)
    with psycopg.connect(desk.opened.addresses.url) as owner:
        found = owner.execute(
            "SELECT e.leaf_hash FROM vault.audit_entry e JOIN vault.audit_lookup l USING (controller_id, era, position)"
            " WHERE l.controller_id = %s AND l.entry_id = %s",
            (desk.controller_id, entry_id),
        ).fetchone()
    assert found is not None, entry_id
    return bytes(found[0])


def assert_receipted(desk: Desk, answer: Any, name: str) -> None:
    receipt = parse_receipt(answer.headers["Audit-Receipt"])
    assert given_for(receipt, origin("localhost", desk.controller_id, 1), receipt_key(desk)), name
    assert receipt.leaf_hash == leaf_hash(desk, answer.headers["Vault-Entry"]), name
    assert 0 <= desk.vault.now().timestamp() * 1000 - receipt.at_ms < 60_000


def test_every_operation_that_names_its_entry_gives_a_receipt_of_it(desk: Desk) -> None:
    describe(desk.vault.settings, desk.controller_id)
    made = make_subject(desk.vault, desk.controller_id, RETAIL, ("retail",))
    lone = Lone(desk, None, desk.vault.settings, made.subject_id, made.agreements[0], desk.ticket(made.subject_id, "t2"))  # type: ignore[arg-type]
    desk.opened.trail.settle(desk.controller_id)
    unnamed, refused = set(), 0
    for name, request in lone.requests().items():
        desk.client.headers.update(WISH)
        try:
            answer = request()
        finally:
            del desk.client.headers["Prefer"]
        if "Vault-Entry" not in answer.headers:
            unnamed.add((name, answer.status_code))
            assert "Audit-Receipt" not in answer.headers, name
            continue
        refused += answer.status_code >= 400
        assert_receipted(desk, answer, name)
    assert {name for name, _ in unnamed} == NAMES_NONE, unnamed
    assert refused > 0  # a refusal is an entry too


def test_the_uniform_404_brings_one_as_well(desk: Desk) -> None:
    for path in (f"/v1/subjects/sub_{'z' * 26}/profile", f"/v1/decisions/dec_{'z' * 26}"):
        answer = desk.client.get(path, headers={**desk.headers("t1", ticket="TCK-unheard"), **WISH})
        assert answer.status_code == 404
        assert_receipted(desk, answer, path)


@pytest.mark.parametrize(
    ("said", "given"),
    [
        ([], False),
        (["audit-receipt"], True),
        (["Audit-Receipt"], True),
        (["respond-async, audit-receipt; x=1"], True),
        (["respond-async", "audit-receipt"], True),
        (["audit-receipt", "respond-async"], True),
        (["audit-receipts"], False),
        (["respond-async; audit-receipt"], False),
        ([""], False),
    ],
)
def test_a_receipt_is_given_to_whoever_prefers_one(desk: Desk, said: list[str], given: bool) -> None:
    person = make_subject(desk.vault, desk.controller_id, {"given_name": "Giulia"}).subject_id
    headers = [*desk.headers("t1", ticket=desk.ticket(person, "t1")).items(), *(("Prefer", one) for one in said)]
    answer = desk.client.get(f"/v1/subjects/{person}/profile", headers=headers)
    assert answer.status_code == 200
    assert ("Audit-Receipt" in answer.headers) is given


def test_what_is_on_no_record_has_no_receipt(desk: Desk) -> None:
    for path in ("/v1/templates", "/v1/subjects/giulia/profile"):
        answer = desk.client.get(path, headers={**desk.headers("t1", ticket="TCK-1"), **WISH})
        assert "Audit-Receipt" not in answer.headers
    assert "Audit-Receipt" not in desk.client.get("/livez", headers=WISH).headers


def test_a_repeated_request_has_the_first_answer_and_no_receipt(desk: Desk) -> None:
    """The entry was another process's to promise, perhaps: only who committed it knows its hash."""
    body = {"fields": {"given_name": "Giulia"}, "agreements": [{"template": "retail", "language": "it", "evidence": {}}]}
    headers = {**desk.headers("system"), **WISH, "Idempotency-Key": "once"}
    first, again = (desk.client.post("/v1/subjects", headers=headers, json=body) for _ in range(2))
    assert first.headers["Vault-Entry"] == again.headers["Vault-Entry"]
    assert ["Audit-Receipt" in one.headers for one in (first, again)] == [True, False]


def test_when_the_receipt_cannot_be_signed_the_answer_is_not_lost(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is done and on record by then."""
    person = make_subject(desk.vault, desk.controller_id, {"given_name": "Giulia"}).subject_id
    headers = {**desk.headers("t1", ticket=desk.ticket(person, "t1")), **WISH}
    keyring, sign = desk.opened.keyring, desk.opened.keyring.sign

    def away(key: str, message: bytes) -> bytes:
        if key == "audit-receipt/1":
            raise KeysUnavailable
        return sign(key, message)

    with monkeypatch.context() as patched:
        patched.setattr(keyring, "sign", away)
        answer = desk.client.get(f"/v1/subjects/{person}/profile", headers=headers)
    assert (answer.status_code, "Audit-Receipt" in answer.headers) == (200, False)


def test_a_receipt_says_nothing_of_anybody(desk: Desk) -> None:
    person = make_subject(desk.vault, desk.controller_id, {"given_name": "Giulia"}).subject_id
    answer = desk.client.get(
        f"/v1/subjects/{person}/profile", headers={**desk.headers("t1", ticket=desk.ticket(person, "t1")), **WISH}
    )
    _, at, hashed, _ = answer.headers["Audit-Receipt"].split(".")
    assert at.isdigit()
    assert hashed == b64u(leaf_hash(desk, answer.headers["Vault-Entry"]))
