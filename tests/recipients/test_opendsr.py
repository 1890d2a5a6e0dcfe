"""OpenDSR: what is sent, and what of an answer or a callback is believed. Pure."""

import base64
import re
from datetime import UTC, datetime

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.recipients.certificates import certificate, signature
from vault.recipients.opendsr import STATES, Callback, key_of, read, repeats, request, request_id, signed

AT = datetime(2026, 10, 20, 8, 0, tzinfo=UTC)
HERE = "https://vault.example/opendsr/ctl/tsk_1"
SENT = request("tsk_1", "tok_1", AT, HERE)
ENDPOINT = "https://desk.example/v2"


def test_what_is_asked_for() -> None:
    assert orjson.loads(SENT) == {
        "regulation": "gdpr", "subject_request_id": request_id("tsk_1"), "subject_request_type": "erasure",
        "submitted_time": "2026-10-20T08:00:00Z", "api_version": "2.0", "status_callback_urls": [HERE],
        "subject_identities": [{"identity_type": "controller_customer_id", "identity_value": "tok_1", "identity_format": "raw"}],
    }  # fmt: skip


@given(st.text())
def test_an_id_is_a_lower_case_uuid_of_version_4(task_id: str) -> None:
    assert re.fullmatch("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", request_id(task_id))
    assert request_id(task_id) == request_id(task_id) != request_id(task_id + "x")


def answer(sent: bytes = SENT, **other: object) -> bytes:
    said = {"encoded_request": base64.b64encode(sent).decode(), "subject_request_id": request_id("tsk_1"), **other}
    return orjson.dumps(said)


def test_an_answer_repeats_what_was_sent() -> None:
    assert repeats(SENT, answer())
    for wrong in (answer(SENT + b" "), answer(subject_request_id="x"), answer(encoded_request="%"), answer(encoded_request=1)):
        assert not repeats(SENT, wrong)
    for wrong in (b"", b"[]", b"{}", b"\xff"):
        assert not repeats(SENT, wrong)


def test_a_signature_holds_for_its_bytes_key_and_domain() -> None:
    body = b"{}"
    good = signature(body)
    assert signed(certificate(), ENDPOINT, "desk.example", good, body)
    assert signed(certificate(), ENDPOINT, "desk.example", good[:40] + "\n" + good[40:], body)  # as the specification prints them
    assert not signed(certificate(), ENDPOINT, "desk.example", good, body + b" ")
    assert not signed(certificate(), ENDPOINT, "desk.example", signature(body, "other.example"), body)
    for domain, text in (
        ("other.example", good),
        (None, good),
        ("desk.example", None),
        ("desk.example", "%"),
        ("desk.example", ""),
    ):
        assert not signed(certificate(), ENDPOINT, domain, text, body)
    assert not signed(b"no certificate", ENDPOINT, "desk.example", good, body)


def test_a_weak_key_is_none() -> None:
    assert key_of(certificate()) is not None
    assert key_of(certificate("weak.example", 1024)) is None
    assert key_of(b"") is None


@pytest.mark.parametrize(("status", "state"), STATES.items())
def test_every_status_is_known(status: str, state: str) -> None:
    body = orjson.dumps({"subject_request_id": "u", "request_status": status, "status_callback_url": HERE})
    assert read(body) == Callback("u", state, HERE)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"subject_request_id":"u","request_status":"done","status_callback_url":""}']
)
def test_what_is_no_callback(body: bytes) -> None:
    with pytest.raises(ValueError):
        read(body)
