"""Whose data a breach touched, after a recovery: what an earlier era holds is listed, and never confirmed away."""

from dataclasses import replace

import pytest

from tests.operations.test_affected import T1, House, house, named
from tests.operations.test_recover import DECIDED, closed, reached
from vault import breaches
from vault.audit.checkpoint import origin
from vault.errors import Conflict
from vault.operations import list_affected as listing
from vault.operations.affected import NOTES
from vault.operations.confirm_affected import confirm_affected
from vault.operations.list_affected import ask_confirmation

__all__ = ["house"]  # a fixture


@pytest.fixture
def recovered(house: House) -> House:
    """The house, once its log began a second era: all that was read was read in the first."""
    opened = house.ledger.opened
    opened.state._place(origin(house.vault.settings.host, house.controller_id, 1)).unlink()
    assert reached(lambda: "signer-state-missing" in closed(opened, house.controller_id))
    assert opened.recover(house.controller_id, DECIDED).era == 2
    assert reached(lambda: not closed(opened, house.controller_id))
    opened.trail.settle(house.controller_id)
    return house


def test_the_list_at_once_has_what_every_era_holds(recovered: House) -> None:
    """Seen failing while look-up rows were asked for in the present era alone: nobody was listed."""
    told = recovered.listed().told
    assert named(told) == {subject_id: [entry_id] for subject_id, entry_id in recovered.by_t1.items()}
    assert (told["totals"]["entries"], told["totals"]["dropped"]) == (6, 0)
    assert (told["confirmed"], told["eras_not_read"], told["note"]) == (False, [], NOTES["look-ups"])
    assert told["log"]["origin"].endswith("/2")


def test_positions_are_of_the_present_era_and_what_they_leave_out_is_said(recovered: House) -> None:
    told = recovered.listed(replace(T1, first=0)).told
    assert told["subjects"] == []
    assert (told["eras_not_read"], told["note"]) == ([1], NOTES["look-ups-of-one-era"])


def test_the_most_counts_over_all_eras(recovered: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "MOST", 5)
    with pytest.raises(Conflict, match="too-many-entries"):
        recovered.listed()


def test_a_pass_over_one_era_confirms_nothing_where_there_were_others(recovered: House) -> None:
    """Seen failing with `confirmed: true` and nobody listed, though six people were read in the era before."""
    told = recovered.confirmed()
    assert (told["confirmed"], told["state"], told["eras_not_read"]) == (False, "eras-not-read", [1])
    assert told["note"] == NOTES["eras-not-read"]


def test_nor_where_somebody_took_every_row_of_the_era_before(recovered: House) -> None:
    for table in ("audit_entry", "audit_lookup", "audit_detail", "audit_tile"):
        own = f"controller_id = '{recovered.controller_id}' AND era = 1"
        recovered.ledger.owner(f"SET session_replication_role = replica; DELETE FROM vault.{table} WHERE {own}")
    told = recovered.confirmed()
    assert (told["confirmed"], told["eras_not_read"]) == (False, [1])


def test_what_was_confirmed_before_a_recovery_stays_so_of_its_size(house: House, request: pytest.FixtureRequest) -> None:
    asked = ask_confirmation(house.vault, house.dpo, house.breach_id, T1)
    confirm_affected(house.vault, house.controller_id)
    request.getfixturevalue("recovered")
    told = house.shown(asked.list_id).told
    assert (told["confirmed"], told["eras_not_read"], told["totals"]["subjects"]) == (True, [], 6)
    with house.vault.database.snapshot(house.controller_id) as rows:
        assert not breaches.unfinished_lists(rows, house.controller_id)
