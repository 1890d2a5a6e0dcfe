"""Filters, labels and cursors: what officers read instead of ids, and that a cursor serves its own filter and log alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.audit.filters import (
    CALLER_LABEL,
    DAY_MS,
    TICKET_LABEL,
    Filter,
    Place,
    Window,
    caller_label,
    cursor,
    cursor_key,
    digest,
    label_key,
    place_label,
    read_cursor,
    ticket_hash,
    ticket_label,
)
from vault.octets import b64u, b64u_decode

KEY, OTHER = cursor_key(b"s" * 32), cursor_key(b"o" * 32)
NOW = 1_800_000_000_000
ASKED = Filter(subject_id="sub_" + "a" * 26, purpose="billing")
INSTANTS = st.integers(0, 2**53)


@given(INSTANTS, INSTANTS, INSTANTS, INSTANTS)
def test_a_cursor_says_what_it_was_made_of(begins: int, ends: int, at: int, position: int) -> None:
    window, place = Window(begins, ends), Place(at, position)
    assert read_cursor(KEY, ASKED, cursor(KEY, ASKED, window, place)) == (window, place)


@pytest.mark.parametrize(
    "text",
    ["", "AAAA", "!", cursor(OTHER, ASKED, Window(0, 1), Place(2, 3)), cursor(KEY, Filter(), Window(0, 1), Place(2, 3))],
    ids=["empty", "short", "no base64", "another log's", "another filter's"],
)
def test_a_cursor_that_is_not_of_this_filter_of_this_log_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        read_cursor(KEY, ASKED, text)


@given(st.integers(0, 63), st.integers(0, 7))
def test_no_bit_of_a_cursor_can_be_changed(octet: int, bit: int) -> None:
    octets = bytearray(b64u_decode(cursor(KEY, ASKED, Window(1, 2), Place(3, 4))))
    octets[octet] ^= 1 << bit
    with pytest.raises(ValueError):
        read_cursor(KEY, ASKED, b64u(bytes(octets)))


def test_a_filter_s_digest_is_of_what_it_states_and_keyed() -> None:
    assert digest(KEY, ASKED) == digest(KEY, Filter(purpose="billing", subject_id=ASKED.subject_id))
    assert len({digest(KEY, ASKED), digest(OTHER, ASKED), digest(KEY, Filter(purpose="billing")), digest(KEY, Filter())}) == 4


def test_a_window_is_ninety_days_unless_it_says_otherwise() -> None:
    assert Filter().window(NOW) == Window(NOW + 1 - 90 * DAY_MS, NOW + 1)
    assert Filter(ends=NOW).window(NOW) == Window(NOW - 90 * DAY_MS, NOW)
    assert Filter(begins=5, ends=7).window(NOW) == Window(5, 7)


@pytest.mark.parametrize(
    ("asked", "fault"),
    [
        (Filter(begins=0, ends=92 * DAY_MS), None),
        (Filter(begins=0, ends=92 * DAY_MS + 1), "window-too-wide"),
        (Filter(begins=0, ends=92 * DAY_MS + 1, purpose="billing", field="iban", role="t1"), "window-too-wide"),
        *((Filter(begins=0, ends=NOW, **{name: "x"}), None) for name in ("subject_id", "caller", "ticket", "flag", "agreement")),
        (Filter(begins=7, ends=7), "window-empty"),
        (Filter(begins=8, ends=7, subject_id="x"), "window-empty"),
    ],
)
def test_without_person_caller_ticket_or_flag_a_window_is_ninety_two_days_at_most(asked: Filter, fault: str | None) -> None:
    assert asked.fault(asked.window(NOW)) == fault


def test_a_caller_has_one_label_in_a_log_and_another_in_another() -> None:
    here, there = label_key(b"s" * 32), label_key(b"o" * 32)
    assert caller_label(here, "agent-1") == caller_label(here, "agent-1")
    assert len({caller_label(here, "agent-1"), caller_label(here, "agent-2"), caller_label(there, "agent-1")}) == 3
    assert CALLER_LABEL.fullmatch(caller_label(here, "agent-1"))
    assert len({place_label(here, kind, "x")[2:] for kind in "swi"}) == 3


@given(st.binary(min_size=8, max_size=8))
def test_a_ticket_s_label_spells_its_hash(hashed: bytes) -> None:
    assert TICKET_LABEL.fullmatch(ticket_label(hashed))
    assert ticket_hash(ticket_label(hashed)) == hashed


def test_what_is_kept_of_a_filter_names_nobody_by_id() -> None:
    key = label_key(b"s" * 32)
    kept = Filter(caller="agent-1", ticket="TCK-1", purpose="billing").labelled(key, b"12345678")
    assert kept == Filter(caller=caller_label(key, "agent-1"), ticket=ticket_label(b"12345678"), purpose="billing")
    assert kept.labelled(key, ticket_hash(kept.ticket or "")) == kept
    assert Filter(purpose="billing").labelled(key, None) == Filter(purpose="billing")
