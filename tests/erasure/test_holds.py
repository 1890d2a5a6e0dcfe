"""When a legal hold counts, and that two who move one at once move it once."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from vault.database import Database
from vault.erasure import holds
from vault.erasure.holds import LAPSES_AFTER, HoldRow
from vault.errors import Stale

AT = datetime(2026, 11, 20, 9, tzinfo=UTC)
HOLD = HoldRow(
    hold_id="hld_1", subject_id="sub_1", fields=(), law="c.c. 2946", state="proposed", placed_at=AT, placed_by="dpo-1",
    approved_by=None, release_asked_by=None, released_by=None, review_at=date(2027, 1, 1), until=None, secret_version=1,
    sealed=b"-", version=0, entry_id="ent_1",
)  # fmt: skip


def test_a_proposal_counts_for_seventy_two_hours() -> None:
    last = AT + LAPSES_AFTER
    assert (HOLD.counts(last - timedelta(seconds=1)), HOLD.counts(last)) == (True, False)
    assert (HOLD.is_over(AT, AT.date()), HOLD.is_over(last, last.date())) == (False, True)


@pytest.mark.parametrize("state", ["approved", "releasing"])
def test_what_was_approved_counts_until_its_day(state: holds.State) -> None:
    one, later = replace(HOLD, state=state), AT + timedelta(days=900)
    assert one.counts(later)
    assert not one.is_over(later, later.date())
    ends = replace(one, until=date(2027, 2, 1))
    assert (ends.is_over(later, date(2027, 2, 1)), ends.is_over(later, date(2027, 2, 2))) == (False, True)


@pytest.mark.parametrize("state", ["released", "lapsed"])
def test_what_has_ended_neither_counts_nor_ends_again(state: holds.State) -> None:
    one = replace(HOLD, state=state)
    assert not one.counts(AT)
    assert not one.is_over(AT, AT.date())


def test_what_two_move_at_once_moves_once(app: Database) -> None:
    with app.transaction("ctl-holds") as rows:
        holds.add(rows, "ctl-holds", HOLD)
        holds.change(rows, "ctl-holds", HOLD, state="approved", approved_by="dpo-2")
        with pytest.raises(Stale):
            holds.change(rows, "ctl-holds", HOLD, state="released")
        found = holds.read(rows, "ctl-holds", "hld_1")
        assert found == replace(HOLD, fields=[], state="approved", approved_by="dpo-2", version=1)
        assert holds.live(rows, "ctl-holds") == holds.of_subject(rows, "ctl-holds", "sub_1") == [found]
