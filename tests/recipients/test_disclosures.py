"""What entries say went to whom, and that lines may be summed in any order and as often as one likes. Pure."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.recipients.disclosures import Line, disclosed, lines_of, received, summed

LEAF: dict[str, Any] = {
    "at": 7, "outcome": "partial", "recipient": "zammad",
    "fields": {"email": "masked:email_domain", "phone": "token", "iban": "withheld", "card": "absent", "given_name": "clear"},
}  # fmt: skip


def test_what_was_shown_went_there_and_nothing_else() -> None:
    assert disclosed(LEAF) == ("zammad", {"email": "masked:email_domain", "phone": "token", "given_name": "clear"})


@pytest.mark.parametrize(
    "changes",
    [
        {"outcome": "refused"}, {"outcome": "failed"}, {"recipient": "subject"}, {"recipient": "controller"}, {"recipient": None},
        {"fields": {}}, {"fields": {"iban": "withheld", "date_of_birth": "verified"}},
    ],
)  # fmt: skip
def test_nothing_went_anywhere(changes: dict[str, Any]) -> None:
    leaf = {name: value for name, value in {**LEAF, **changes}.items() if value is not None}
    assert disclosed(leaf) is None
    assert list(lines_of(leaf, {}, "sub_1", (1, 4))) == []


def test_a_line_names_the_agreement_its_field_rested_on() -> None:
    details = {"agreements": {"agr_1": ["email"], "agr_2": ["phone", "iban"]}}
    found = {one.field: (one.agreement_id, one.level, one.last) for one in lines_of(LEAF, details, "sub_1", (1, 4))}
    assert found == {
        "email": ("agr_1", "masked:email_domain", (1, 4)), "phone": ("agr_2", "token", (1, 4)), "given_name": ("", "clear", (1, 4)),
    }  # fmt: skip


lines = st.lists(
    st.builds(
        lambda subject, recipient, field, at, place: Line(subject, recipient, field, "clear", "agr_1", at, at, place),
        st.sampled_from(("sub_1", "sub_2")),
        st.sampled_from(("zammad", "care-unit")),
        st.sampled_from(("email", "phone")),
        st.integers(0, 99),
        st.tuples(st.integers(1, 2), st.integers(0, 9)),
    ),
    max_size=12,
)


@given(some=lines, more=lines)
def test_sums_are_the_same_in_any_order_and_however_often(some: list[Line], more: list[Line]) -> None:
    whole = summed([*some, *more])
    assert summed([*summed(more), *summed(some), *some]) == whole
    assert {one.key for one in whole} == {one.key for one in (*some, *more)}
    for line in whole:
        same = [one for one in (*some, *more) if one.key == line.key]
        assert (line.first_at, line.last_at) == (min(one.first_at for one in same), max(one.last_at for one in same))
        assert line.last == max(one.last for one in same)
    assert received(whole) == {
        name: frozenset(one.field for one in whole if one.recipient == name) for name in sorted({one.recipient for one in whole})
    }
