"""OpenDSR from others: what is read of a request, and what is answered. Pure."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.errors import InvalidValue
from vault.recipients.inbound import (
    DISCOVERY,
    SKEW_S,
    Asked,
    cancellation,
    created,
    read_request,
    signed_at,
    standing,
    status_of,
    target,
)

AT = datetime(2026, 10, 20, 8, 0, tzinfo=UTC)
ID = "a7551968-d5d6-44b2-9831-815ac9017798"
MAIL = {"identity_type": "email", "identity_value": "a@example.it", "identity_format": "raw"}
SAID: dict[str, Any] = {
    "regulation": "gdpr", "subject_request_id": ID, "subject_request_type": "erasure", "submitted_time": "2026-10-19T08:00:00Z",
    "subject_identities": [MAIL],
}  # fmt: skip


def test_what_is_asked() -> None:
    assert read_request(orjson.dumps(SAID)) == Asked(ID, "erasure", (("email", "a@example.it"),))
    assert read_request(orjson.dumps({**SAID, "api_version": "2.0", "extensions": {"x": 1}})).kind == "erasure"
    assert "example.it" not in repr(read_request(orjson.dumps(SAID)))


@pytest.mark.parametrize(
    ("member", "value", "code"),
    [
        ("regulation", "ccpa", "opendsr.unknown"),
        ("regulation", None, "opendsr.unknown"),
        ("regulation", ["gdpr"], "opendsr.unknown"),
        ("api_version", "1.0", "opendsr.unknown"),
        ("subject_request_type", "rectification", "opendsr.unknown"),
        ("subject_request_id", ID.upper(), "uuid.syntax"),
        ("subject_request_id", 7, "uuid.syntax"),
        ("submitted_time", "2026-10-19T08:00:00", "instant.syntax"),
        ("submitted_time", "yesterday", "instant.syntax"),
        ("submitted_time", 5, "instant.syntax"),
        ("subject_identities", [], "opendsr.identities"),
        ("subject_identities", {}, "opendsr.identities"),
        ("subject_identities", [MAIL] * 11, "opendsr.identities"),
        ("subject_identities", ["x"], "opendsr.identity"),
        ("subject_identities", [{**MAIL, "identity_type": "android_id"}], "opendsr.identity"),
        ("subject_identities", [{**MAIL, "identity_format": "sha256"}], "opendsr.identity"),
        ("subject_identities", [MAIL, {**MAIL, "identity_value": ""}], "opendsr.identity"),
        ("subject_identities", [{**MAIL, "identity_value": 7}], "opendsr.identity"),
        ("subject_identities", [{**MAIL, "identity_value": "x" * 321}], "opendsr.identity"),
        ("subject_identities", [{**MAIL, "identity_value": "tok_\0"}], "opendsr.identity"),
    ],
)
def test_what_is_wrong_is_named_and_never_repeated(member: str, value: object, code: str) -> None:
    with pytest.raises(InvalidValue) as found:
        read_request(orjson.dumps({**SAID, member: value}))
    assert [(one.pointer, one.code) for one in found.value.faults] == [(f"/{member}", code)]


@pytest.mark.parametrize("body", [b"", b"[]", b"7", b"{", b"\xff", b"[" * 60_000, b'{"a":' * 10_000])
def test_what_is_no_request(body: bytes) -> None:
    with pytest.raises(InvalidValue):
        read_request(body)


@given(st.binary())
def test_any_bytes_are_a_request_or_are_refused(body: bytes) -> None:
    with pytest.raises(InvalidValue):
        read_request(body)


def test_what_is_signed_where_there_is_no_body() -> None:
    here = target("GET", "https://vault.example/opendsr/ctl/requests/x", 7)
    assert here == b"riserbo.opendsr.v1\nGET\nhttps://vault.example/opendsr/ctl/requests/x\n7"
    with pytest.raises(InvalidValue):
        read_request(here)  # a signature of the one is none of the other


def test_a_signed_instant_is_now() -> None:
    now = int(AT.timestamp())
    for away in (-SKEW_S, 0, SKEW_S):
        assert signed_at(str(now + away), AT) == now + away
    for stated in (None, "", "x", "-1", "1e9", "9" * 13, str(now - SKEW_S - 1), str(now + SKEW_S + 1), "١٢"):
        assert signed_at(stated, AT) is None


def test_what_is_answered() -> None:
    said = {"controller_id": "ctl", "subject_request_id": ID}
    due, due_at = {"expected_completion_time": "2026-10-21T08:00:00Z"}, AT + timedelta(days=1)
    received = {"received_time": "2026-10-20T08:00:00Z"}
    body = {"encoded_request": base64.b64encode(b"{}").decode()}
    assert orjson.loads(created("ctl", ID, AT, due_at, b"{}")) == {**said, **due, **received, **body}
    assert orjson.loads(standing("ctl", ID, due_at, "pending")) == {
        **said, **due, "request_status": "pending", "api_version": "2.0",
    }  # fmt: skip
    assert orjson.loads(cancellation("ctl", ID, AT)) == {**said, **received, "api_version": "2.0"}
    assert orjson.loads(DISCOVERY)["supported_subject_request_types"] == ["access", "erasure", "portability"]


def test_what_nobody_verified_looks_like_nobody_s() -> None:
    late = AT + timedelta(seconds=1)
    assert status_of(None, cancelled=False, expected_at=AT, now=AT) == "pending"
    assert status_of(None, cancelled=False, expected_at=AT, now=late) == "cancelled"
    assert status_of("in_progress", cancelled=False, expected_at=AT, now=late) == "in_progress"
    assert status_of("pending", cancelled=True, expected_at=AT, now=AT) == "cancelled"
