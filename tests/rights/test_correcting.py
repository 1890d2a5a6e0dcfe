"""When a correction may take its place: never before whoever is reached now was told, and a day has passed."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.rights.correcting import WAIT, Proposal, digest, hindrance
from vault.rights.kinds import REACHED

NOW = datetime(2026, 10, 1, 9, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("replaces", "reachable", "told_at", "at", "code"),
    [
        ({"given_name": 1}, True, None, NOW, None),
        ({"email": 1}, True, None, NOW + 9 * WAIT, "contact-not-told"),
        ({"email": 1}, True, NOW, NOW + WAIT - HOUR, "contact-wait"),
        ({"email": 1}, True, NOW, NOW + WAIT, None),
        ({"given_name": 1, "iban": 3}, True, NOW, NOW, "contact-wait"),
        ({"email": 0}, False, None, NOW + WAIT - HOUR, "contact-wait"),
        ({"email": 0}, False, None, NOW + WAIT, None),
    ],
)
def test_it_waits(replaces: dict[str, int], reachable: bool, told_at: datetime | None, at: datetime, code: str | None) -> None:
    assert hindrance(Proposal(replaces, NOW, reachable, told_at), replaces, at, "anna") == code


@given(fields=st.sets(st.sampled_from([*sorted(REACHED), "given_name", "tax_code"]), min_size=1), hours=st.integers(0, 23))
def test_no_contact_changes_within_a_day(fields: set[str], hours: int) -> None:
    told = Proposal(dict.fromkeys(fields, 1), NOW, reachable=True, told_at=NOW)
    assert (hindrance(told, told.replaces, NOW + hours * HOUR, "anna") is None) is REACHED.isdisjoint(fields)


def test_what_was_changed_meanwhile_is_not_overwritten() -> None:
    told = Proposal({"email": 1, "mobile": 0}, NOW, reachable=True, told_at=NOW)
    assert hindrance(told, {"email": 2}, NOW + WAIT, "anna") == "changed-since"
    assert hindrance(told, {"email": 1, "mobile": 2}, NOW + WAIT, "anna") == "changed-since"
    assert hindrance(told, {"email": 1}, NOW + WAIT, "anna") is None


def test_another_proposal_has_another_digest() -> None:
    one = digest("req_a", 1, {"contact": b"x", "financial": b"y"})
    others = [digest("req_b", 1, {"contact": b"x", "financial": b"y"}), digest("req_a", 2, {"contact": b"x", "financial": b"y"})]
    others += [digest("req_a", 1, {"contact": b"x"}), digest("req_a", 1, {"contact": b"y", "financial": b"x"})]
    assert one == digest("req_a", 1, {"financial": b"y", "contact": b"x"})
    assert one not in others


def test_how_somebody_is_reached_is_not_changed_by_one_of_the_staff_alone() -> None:
    told = Proposal({"email": 1}, NOW, reachable=True, told_at=NOW, by=frozenset({"anna", "bruno"}))
    assert [hindrance(told, {"email": 1}, NOW + WAIT, by) for by in ("anna", "bruno", "carla")] == ["same-person"] * 2 + [None]
    other = Proposal({"given_name": 1}, NOW, reachable=True, by=frozenset({"anna"}))
    assert hindrance(other, {"given_name": 1}, NOW, "anna") is None
