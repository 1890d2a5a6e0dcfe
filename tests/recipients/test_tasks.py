"""Who is told of what, and how a task may move. Pure."""

from itertools import product
from typing import Literal, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.outbox import NAMES
from vault.recipients.disclosures import Line
from vault.recipients.tasks import CAUSES, ENDED, OVERLAP_MS, STATES, TYPES, Owed, may_move, owed, unheard

LINES = st.lists(
    st.builds(
        Line,
        st.just("sub_1"),
        st.sampled_from(["zammad", "crm", "care"]),
        st.sampled_from(["email", "phone", "iban"]),
        st.sampled_from(["clear", "masked:x"]),
        st.sampled_from(["", "agr_1", "agr_2"]),
        st.integers(0, 10),
        st.integers(10, 20),
        st.just((1, 1)),
    )
)


def line(recipient: str, field: str, agreement_id: str = "agr_1", first: int = 1, last: int = 1) -> Line:
    return Line("sub_1", recipient, field, "clear", agreement_id, first, last, (1, 1))


def test_each_is_told_of_what_it_received() -> None:
    lines = [line("zammad", "email"), line("zammad", "phone"), line("crm", "iban"), line("crm", "phone", "agr_2")]
    assert owed(lines) == [Owed("crm", ("iban", "phone"), True), Owed("zammad", ("email", "phone"), True)]
    assert owed(lines, {"phone"}) == [Owed("crm", ("phone",), False), Owed("zammad", ("phone",), False)]
    assert owed(lines, agreement_id="agr_2") == [Owed("crm", ("phone",), False)]
    assert owed([line("crm", "iban", "")], agreement_id="agr_2") == [
        Owed("crm", ("iban",), True)
    ]  # nothing tells what it rested on
    assert owed(lines, set()) == []


def test_what_went_there_later_has_it_right() -> None:
    lines = [line("zammad", "email", first=1), line("crm", "email", first=3 + OVERLAP_MS)]
    assert [one.recipient for one in owed(lines, until_ms=2)] == ["zammad"]
    assert [one.recipient for one in owed(lines, until_ms=3)] == ["crm", "zammad"]


@given(lines=LINES, fields=st.none() | st.sets(st.sampled_from(["email", "phone", "iban"])))
def test_nobody_is_told_of_what_it_never_received(lines: list[Line], fields: set[str] | None) -> None:
    found = owed(lines, fields)
    for one in found:
        received = {each.field for each in lines if each.recipient == one.recipient}
        assert set(one.fields) == (received if fields is None else received & fields)
        assert one.whole == (set(one.fields) == received)
    assert len({one.recipient for one in found}) == len(found)
    assert {one.recipient for one in found} >= {each.recipient for each in lines if fields is None or each.field in fields}


def test_an_erasure_is_told_once_and_what_went_there_since_again() -> None:
    lines = [line("zammad", "email", last=5), line("zammad", "phone", last=9), line("crm", "email", last=5)]
    assert unheard(lines, [("zammad", ["email", "phone"], 6)]) == lines[1:]
    assert unheard(lines, []) == lines


@pytest.mark.parametrize("by", ["job", "recipient", "officer"])
def test_what_has_ended_has_ended(by: str) -> None:
    for state, to in product(ENDED, STATES):
        assert not may_move(state, to, by)  # type: ignore[arg-type]


def test_nothing_is_completed_because_it_was_sent() -> None:
    assert not any(
        may_move(state, to, "job") for state, to in product(STATES, get_args(Literal["completed", "excused", "refused"]))
    )
    assert may_move("sent", "acknowledged", "job")
    assert may_move("acknowledged", "completed", "recipient")
    assert not any(
        may_move(state, to, "recipient") for state, to in product(STATES, get_args(Literal["excused", "manual", "pending", "sent"]))
    )
    assert may_move("refused", "excused", "officer")
    assert not any(may_move(state, state, "officer") for state in STATES)


def test_every_cause_is_a_fact_and_every_kind_has_a_name() -> None:
    assert set(CAUSES) <= NAMES
    assert set(CAUSES.values()) == set(TYPES)
