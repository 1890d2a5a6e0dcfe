"""Requests by OpenDSR, over HTTP: who did not sign hears the same whatever was sent, and no more of it is read than is needed."""

import json
from typing import Any

import pytest

from tests.api.desk import Desk
from tests.recipients.certificates import certificate, signature
from vault.operations.register_recipient import register_recipient
from vault.operations.take_dsr_request import LONGEST_BODY
from vault.recipients.register import Entry

DOMAIN = {"X-OpenDSR-Processor-Domain": "desk.example"}


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


def test_discovery_is_everybody_s_and_tells_nothing_of_companies(desk: Desk, path: str) -> None:
    here, nowhere = (desk.client.get(f"{one}/discovery") for one in (path, "/opendsr/ctl-there-is-not"))
    assert here.status_code == nowhere.status_code == 200
    assert json.loads(here.content) == json.loads(nowhere.content)
    assert here.json()["api_version"] == "2.0"
