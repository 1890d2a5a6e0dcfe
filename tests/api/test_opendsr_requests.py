"""Requests by OpenDSR, over HTTP: who did not sign hears the same whatever was sent, and no more of it is read than is needed."""

import json
from time import perf_counter
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.main import create_app
from api.requests_log import SLOTS_UNHURRIED
from tests.api.desk import Desk
from tests.api.issuer import Held, published
from tests.makers import make_subject
from tests.recipients.certificates import certificate, signature
from vault.operations.register_recipient import register_recipient
from vault.operations.take_dsr_request import LONGEST_BODY
from vault.recipients.inbound import target
from vault.recipients.opendsr import request_id
from vault.recipients.register import Entry

DOMAIN = {"X-OpenDSR-Processor-Domain": "desk.example"}
LONG_S = 0.2


def asked(email: str) -> bytes:
    return json.dumps({
        "regulation": "gdpr", "subject_request_id": request_id(email), "subject_request_type": "access",
        "submitted_time": "2026-10-19T08:00:00Z",
        "subject_identities": [{"identity_type": "email", "identity_value": email, "identity_format": "raw"}],
    }).encode()  # fmt: skip


@pytest.fixture
def path(desk: Desk) -> str:
    entry = Entry(
        "desk-d", "helpdesk", "processor", "IT", contract="DPA 1", contract_from=desk.vault.now(), channel="opendsr",
        certificate=certificate(), endpoint="https://desk.example/v2",
    )  # fmt: skip
    register_recipient(desk.vault, desk.controller_id, entry)
    return f"/opendsr/{desk.controller_id}"


def test_every_refusal_has_one_shape(desk: Desk, path: str) -> None:
    def shape(answer: Any) -> tuple[int, dict[str, Any], list[str]]:
        told = {name: value for name, value in answer.json().items() if name not in ("instance", "request_id")}
        return answer.status_code, told, sorted(set(answer.headers))

    large, deep = b'"' + b"x" * LONGEST_BODY + b'"', b"[" * 60_000
    sent: list[tuple[str, bytes, dict[str, str]]] = [
        (path, b"{}", {}), (path, b"{}", DOMAIN), (path, deep, {**DOMAIN, "X-OpenDSR-Signature": "x"}),
        (path, b"{}", {**DOMAIN, "X-OpenDSR-Signature": signature(b"{}", "other.example")}),
        (path, large, {**DOMAIN, "X-OpenDSR-Signature": signature(large)}), ("/opendsr/ctl-there-is-not", b"{}", DOMAIN),
    ]  # fmt: skip
    answers = [shape(desk.client.post(f"{where}/requests", content=body, headers=headers)) for where, body, headers in sent]
    assert answers[0][0] == 403
    assert all(one == answers[0] for one in answers)
    deep_and_signed = desk.client.post(f"{path}/requests", content=deep, headers={**DOMAIN, "X-OpenDSR-Signature": signature(deep)})
    assert deep_and_signed.status_code == 422


def test_every_answer_waits_for_its_stroke_whoever_is_asked_for(desk: Desk, path: str) -> None:
    make_subject(desk.vault, desk.controller_id, {"email": "here@example.it"})
    both = [asked(f"{who}@example.it") for who in ("here", "nobody")]
    at, address = int(desk.vault.now().timestamp()), f"{path}/requests/{json.loads(both[0])['subject_request_id']}"
    said = {**DOMAIN, "X-OpenDSR-Timestamp": str(at)}
    calls: list[tuple[int, str, str, bytes, dict[str, str]]] = [
        (201, "POST", f"{path}/requests", one, {**DOMAIN, "X-OpenDSR-Signature": signature(one)}) for one in both
    ]
    for status, method in ((200, "GET"), (202, "DELETE")):
        held = signature(target(method, f"https://{desk.vault.settings.host}{address}", at))
        calls.append((status, method, address, b"", {**said, "X-OpenDSR-Signature": held}))
    calls.append((403, "POST", f"{path}/requests", both[0], DOMAIN))
    with TestClient(create_app(desk.vault, keys=Held((published("ES256"),)), slot_s=LONG_S / SLOTS_UNHURRIED)) as client:
        for status, method, where, sent, headers in calls:
            began = perf_counter()
            assert client.request(method, where, content=sent, headers=headers).status_code == status
            assert perf_counter() - began >= LONG_S


def test_discovery_is_everybody_s_and_tells_nothing_of_companies(desk: Desk, path: str) -> None:
    here, nowhere = (desk.client.get(f"{one}/discovery") for one in (path, "/opendsr/ctl-there-is-not"))
    assert here.status_code == nowhere.status_code == 200
    assert json.loads(here.content) == json.loads(nowhere.content)
    assert here.json()["api_version"] == "2.0"
