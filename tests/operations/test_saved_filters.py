"""Filters officers keep, and counts without anybody."""

from datetime import date, timedelta

import pytest

from tests.makers import make_context
from tests.operations.conftest import Ledger
from tests.operations.officers import Office, make_office
from vault.audit.filters import CALLER_LABEL, TICKET_LABEL
from vault.audit.review import MOST_GROUPS
from vault.errors import AccessDenied, InvalidValue, NotFound
from vault.opening import Opened
from vault.operations.review import EntryFilter
from vault.operations.saved_filters import list_filters, remove_filter, save_filter
from vault.operations.show_counts import show_counts


@pytest.fixture
def office(opened: Opened, controller_id: str) -> Office:
    return make_office(opened, controller_id)


def test_a_kept_filter_finds_what_it_found(office: Office, ledger: Ledger) -> None:
    entry_id = office.read("t1")
    office.read("t2")
    asked = EntryFilter(caller="t1-1", ticket=f"TCK-t1-{office.person[-4:]}", operation="disclose")
    save_filter(office.vault, office.officer(), "first-tier", asked)
    (kept,) = list_filters(office.vault, office.officer(2)).filters
    assert (kept.name, kept.own) == ("first-tier", False)
    assert CALLER_LABEL.fullmatch(kept.asked.caller or "")
    assert TICKET_LABEL.fullmatch(kept.asked.ticket or "")
    assert office.ids(**kept.asked.stated()) == [entry_id]
    assert "t1-1" not in str(ledger.rows("vault.review_filter", columns="filter"))
    assert ledger.outcomes("review-filter") == ["done", "done"]


def test_a_filter_is_changed_and_removed_by_whoever_saved_it(office: Office, ledger: Ledger) -> None:
    mine, theirs = office.officer(1), office.officer(2)
    save_filter(office.vault, mine, "one", EntryFilter(purpose="billing"))
    save_filter(office.vault, mine, "one", EntryFilter(purpose="claims"))
    for act in (
        lambda: save_filter(office.vault, theirs, "one", EntryFilter()),
        lambda: remove_filter(office.vault, theirs, "one"),
    ):
        with pytest.raises(AccessDenied) as refusal:
            act()
        assert refusal.value.code == "not-yours"
    assert [one.asked for one in list_filters(office.vault, mine).filters] == [EntryFilter(purpose="claims")]
    remove_filter(office.vault, mine, "one")
    assert list_filters(office.vault, mine).filters == ()
    with pytest.raises(NotFound):
        remove_filter(office.vault, mine, "one")
    assert ledger.outcomes("review-filter").count("refused") == 3


def test_counts_come_from_what_is_kept_beside_the_log_and_are_no_entry(office: Office, ledger: Ledger) -> None:
    office.read("t1", None, "given_name", "email")
    office.read("t2")
    office.ids()
    before = len(ledger.leaves("review-search"))
    today = office.vault.now().date()
    found = show_counts(office.vault, office.officer(), by=("day", "operation", "outcome", "purpose", "recipient"))
    looked = [one for one in found.groups if one["operation"] == "disclose"]
    assert sum(one["entries"] for one in looked) == 2
    assert {(one["day"], one["purpose"], one["recipient"]) for one in looked} == {(today.isoformat(), "customer-care", "helpdesk")}
    assert sum(one["clear_values"] for one in looked) >= 2
    assert found.length.size >= sum(one["entries"] for one in found.groups)
    assert len(ledger.leaves("review-search")) == before
    assert not [one for one in found.groups if "caller_id" in one or "-" in one.values()]


def test_counts_are_of_the_days_asked_for(office: Office) -> None:
    office.read()
    office.ids()
    today = office.vault.now().date()
    assert show_counts(office.vault, office.officer(), today, today).groups[0]["entries"] > 0
    assert show_counts(office.vault, office.officer(), date(2020, 1, 1), date(2020, 2, 1)).groups == ()
    assert show_counts(office.vault, office.officer(), ends_on=today - timedelta(days=9)).groups == ()


@pytest.mark.parametrize(
    ("first", "last", "by"),
    [(date(2020, 1, 1), date(2025, 1, 1), ("day",)), (date(2020, 2, 1), date(2020, 1, 1), ("day",)),
     (None, None, ("caller_id",))],
)  # fmt: skip
def test_counts_of_people_and_of_too_many_days_are_refused(
    office: Office, first: date | None, last: date | None, by: tuple[str, ...]
) -> None:
    with pytest.raises(InvalidValue):
        show_counts(office.vault, office.officer(), first, last, by)


def test_more_groups_than_are_told_are_refused_and_never_cut(office: Office, ledger: Ledger) -> None:
    ledger.owner(
        "INSERT INTO vault.audit_daily"
        " (controller_id, day, operation, outcome, purpose, recipient, entries, clear_values)"
        f" SELECT '{office.controller_id}', 18300 + d, 'op' || o, 'done', 'p', 'r', 1, 0"
        " FROM generate_series(1, 200) d, generate_series(1, 100) o"
    )
    first, last, by = date(2020, 1, 1), date(2021, 1, 1), ("day", "operation")
    assert len(show_counts(office.vault, office.officer(), first, last, by).groups) == MOST_GROUPS
    ledger.owner(
        "INSERT INTO vault.audit_daily"
        " (controller_id, day, operation, outcome, purpose, recipient, entries, clear_values)"
        f" VALUES ('{office.controller_id}', 18510, 'op1', 'done', 'p', 'r', 1, 0)"
    )
    with pytest.raises(InvalidValue) as refusal:
        show_counts(office.vault, office.officer(), first, last, by)
    assert refusal.value.code == "too-many-groups"


def test_nobody_else_counts_or_keeps_filters(office: Office) -> None:
    agent = make_context(office.controller_id, "t1", ticket="TCK-0")
    for act in (
        lambda: show_counts(office.vault, agent),
        lambda: list_filters(office.vault, agent),
        lambda: save_filter(office.vault, agent, "x", EntryFilter()),
    ):
        with pytest.raises(AccessDenied):
            act()
