"""What a webhook carries, its signature, and when it is tried again. Pure."""

import base64
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.recipients.delivery import (
    ATTEMPTS,
    LONGEST_WAIT_S,
    PAUSES_S,
    SPREAD,
    Posted,
    headers,
    key_text,
    message,
    next_attempt,
    signing_key,
)

AT = datetime(2026, 10, 20, 8, 0, tzinfo=UTC)


def test_the_published_example_of_standard_webhooks() -> None:
    """Key, id, instant, body and signature as the libraries of Standard Webhooks 1.0.0 test themselves with."""
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    at = datetime.fromtimestamp(1614265330, UTC)
    made = headers("msg_p5jXN8AQM9LWM0D4loKWxJek", at, b'{"test": 2432232314}', [key])
    assert made == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_two_keys_two_signatures() -> None:
    old, new = signing_key(b"s" * 32, "rcp_1", 1), signing_key(b"s" * 32, "rcp_1", 2)
    both = headers("tsk_1", AT, b"{}", [new, old])["webhook-signature"].split(" ")
    assert both == [headers("tsk_1", AT, b"{}", [key])["webhook-signature"] for key in (new, old)]
    assert len({*both, signing_key(b"s" * 32, "rcp_2", 1).hex()}) == 3
    assert base64.b64decode(key_text(new).removeprefix("whsec_")) == new
    assert len(new) == 32


def test_a_message_says_what_and_when() -> None:
    said = orjson.loads(message("subject.erased", AT, {"handle": "tok_1", "fields": ["email"]}))
    assert said == {
        "type": "subject.erased", "timestamp": "2026-10-20T08:00:00+00:00", "data": {"handle": "tok_1", "fields": ["email"]},
    }  # fmt: skip


@given(done=st.integers(1, ATTEMPTS), task_id=st.text(), wait_s=st.none() | st.integers(0, 10**9))
def test_pauses_grow_and_end(done: int, task_id: str, wait_s: int | None) -> None:
    again = next_attempt(done, AT, task_id, wait_s)
    if done == ATTEMPTS:
        assert again is None
    else:
        assert again is not None
        pause, asked = PAUSES_S[done - 1], min(wait_s or 0, LONGEST_WAIT_S)
        assert max(pause, asked) <= (again - AT).total_seconds() <= max(pause * (1 + SPREAD), asked)


def test_tasks_that_failed_together_are_not_tried_together() -> None:
    assert len({next_attempt(3, AT, f"tsk_{n}") for n in range(20)}) == 20
    assert sum(PAUSES_S) == timedelta(hours=75, minutes=35, seconds=5).total_seconds()


@pytest.mark.parametrize(("status", "taken"), [(None, False), (199, False), (200, True), (204, True), (299, True), (301, False)])
def test_what_was_accepted(status: int | None, taken: bool) -> None:
    posted = Posted(status, "timeout")
    assert posted.taken == taken
    assert posted.code == (str(status) if status is not None else "timeout")
