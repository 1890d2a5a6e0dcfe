"""The review: each filter finds what it names, pages hold together, callers are pseudonyms, and each page is on record first."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from tests.makers import make_complete_subject, make_context, register
from tests.operations.conftest import Ledger
from tests.operations.officers import VALUES, Office, make_office, text_of
from vault.audit.filters import CALLER_LABEL, DAY_MS
from vault.audit.reading import ReadEntry
from vault.errors import AccessDenied, InvalidValue
from vault.opening import Opened
from vault.operations import review as reviewing
from vault.operations.open_entry import open_entry
from vault.operations.review import EntryFilter, review


@pytest.fixture
def office(opened: Opened, controller_id: str) -> Office:
    return make_office(opened, controller_id)


def test_a_page_shows_metadata_from_the_leaf_and_no_value(office: Office) -> None:
    entry_id = office.read("t1", None, "given_name", "iban")
    row = next(one for one in office.page().entries if one["entry_id"] == entry_id)
    assert (row["operation"], row["outcome"], row["purpose"], row["channel"]) == ("disclose", "allowed", "customer-care", "phone")
    assert (row["subject_id"], row["recipient"]) == (office.person, "helpdesk")
    assert row["fields"] == {"given_name": "clear", "iban": "masked:iban_last4"}
    assert (row["caller"]["kind"], row["caller"]["roles"], row["caller"]["team"]) == ("agent", ["t1"], "support")
    assert CALLER_LABEL.fullmatch(row["caller"]["label"])
    assert row["ticket"]["state"] == "verified"
    assert (row["sequenced"], row["own"], row["differs"], row["held"], row["flags"], row["review"]) == (
        True, False, False, False, [], None,
    )  # fmt: skip
    text = text_of(office.page().entries)
    assert not [one for one in (*VALUES.values(), "t1-1", "dpo-1", "system-1", "TCK-") if one in text]


def test_each_filter_finds_what_it_names_and_nothing_else(office: Office) -> None:
    first, second = office.read("t1"), office.read("t2", None, "iban")
    third = office.read("t1", office.other)
    label = next(one for one in office.page().entries if one["entry_id"] == first)["caller"]["label"]
    ticket = next(one for one in office.page().entries if one["entry_id"] == third)["ticket"]["label"]
    both: dict[str, Any] = {"operation": "disclose"}
    assert office.ids(**both) == [third, second, first]
    assert office.ids(**both, subject_id=office.person) == [second, first]
    assert office.ids(caller="t1-1", **both) == office.ids(caller=label, **both) == [third, first]
    assert office.ids(ticket=ticket) == office.ids(ticket=f"TCK-t1-{office.other[-4:]}", **both) == [third]
    assert office.ids(field="iban") == [second]
    assert office.ids(role="t2", **both) == [second]
    assert office.ids(system="helpdesk", **both) == [third, second, first]
    assert office.ids(system="care-unit") == []
    assert office.ids(purpose="billing") == []
    assert office.ids(outcome="allowed", subject_id=office.other, **both) == []
    assert office.ids(outcome="failed") == []
    assert office.ids(flag="any") == []


def test_an_agreement_is_found_by_the_details_of_its_person_s_entries(office: Office) -> None:
    first = office.read("t1")
    office.read("t1", office.other)
    found = office.ids(agreement=office.agreement)
    assert first in found
    assert all(one["subject_id"] == office.person for one in office.page(agreement=office.agreement).entries)
    assert office.ids(agreement=office.agreement, subject_id=office.other) == []
    assert office.ids(agreement="agr_" + "z" * 26) == []


def test_a_label_of_nobody_finds_nothing_and_is_on_record_like_any(office: Office, ledger: Ledger) -> None:
    assert office.ids(caller="c_" + "a" * 12) == []
    assert ledger.leaves("review-search")[-1]["count"] == 0


def test_what_is_flagged_is_found_by_its_flag(office: Office, ledger: Ledger) -> None:
    entry_id = office.read("t1")
    office.ids()
    ledger.owner(f"UPDATE vault.audit_lookup SET flags = 1 WHERE entry_id = '{entry_id}'")
    assert office.ids(flag="break-glass") == office.ids(flag="any") == [entry_id]
    assert office.ids(flag="special-in-clear") == []
    assert office.page(flag="any").entries[0]["flags"] == ["break-glass"]


def test_health_data_shown_in_clear_are_flagged(office: Office) -> None:
    register(office.vault, office.controller_id, "medical")
    patient = make_complete_subject(office.vault, office.controller_id, "health-insurance", customer_number="C0000003")
    office.read("medical", patient, "given_name")
    entry_id = office.read("medical", patient, "given_name", "health_note")
    assert office.ids(flag="special-in-clear") == office.ids(flag="any", subject_id=patient) == [entry_id]


def test_pages_hold_together(office: Office) -> None:
    read = [office.read("t1") for _ in range(7)]
    seen: list[str] = []
    after: str | None = None
    while True:
        page = office.page(3, after, operation="disclose")
        seen += [one["entry_id"] for one in page.entries]
        after = page.following
        if after is None:
            break
        assert len(page.entries) == 3
    assert seen == read[::-1]


def test_a_filter_on_leaves_goes_on_where_it_stopped_looking(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    rare = office.read("t2", None, "iban")
    for _ in range(5):
        office.read("t1")
    monkeypatch.setattr(reviewing, "MOST_AT_ONCE", 2)
    monkeypatch.setattr(reviewing, "MOST_EXAMINED", 4)
    page, steps = office.page(field="iban"), 0
    while not page.entries:
        steps += 1
        page = office.page(50, page.following, field="iban")
    assert [one["entry_id"] for one in page.entries] == [rare]
    assert steps > 1


def test_a_cursor_of_another_filter_and_one_made_up_are_refused(office: Office) -> None:
    office.read()
    office.read()
    cursor = office.page(1, operation="disclose").following
    tries: list[tuple[dict[str, Any], str | None]] = [({"operation": "amend"}, cursor), ({"operation": "disclose"}, "AAAA")]
    for asked, after in tries:
        with pytest.raises(InvalidValue) as refusal:
            office.page(1, after, **asked)
        assert [(one.pointer, one.code) for one in refusal.value.faults] == [("/cursor", "cursor.unfit")]


def test_a_window_without_a_narrow_filter_is_ninety_two_days_at_most(office: Office) -> None:
    now = int(office.vault.now().timestamp() * 1000)
    with pytest.raises(InvalidValue) as refusal:
        office.page(begins=now - 93 * DAY_MS)
    assert refusal.value.code == "window-too-wide"
    assert office.page(begins=now - 93 * DAY_MS, subject_id=office.person).entries
    assert office.page(begins=now - 92 * DAY_MS + 60_000).entries


def test_a_window_ends_before_what_comes_after(office: Office) -> None:
    entry_id = office.read()
    now = office.vault.now()
    hour = int((now + timedelta(hours=1)).timestamp() * 1000)
    assert office.ids(begins=hour - DAY_MS, ends=hour, operation="disclose") == [entry_id]
    assert office.ids(begins=hour, ends=hour + 1) == []


# --- on record


def test_each_page_is_one_entry_with_a_count_and_a_sealed_digest(office: Office, ledger: Ledger, opened_entry: Any) -> None:
    office.read()
    for number in range(3):
        page = office.page(subject_id=office.person)
        leaf = ledger.leaves("review-search")[-1]
        assert (leaf["id"], leaf["outcome"], leaf["count"]) == (page.entry_id, "done", len(page.entries))
        assert "subject" not in leaf
        assert len(ledger.leaves("review-search")) == number + 1
    query = opened_entry(page.entry_id).internal["query"]
    assert query["hits"] == len(page.entries)
    assert query["digest"] not in text_of(leaf)
    assert office.person not in text_of(leaf)


def test_a_page_of_pages_is_one_entry_more(office: Office, ledger: Ledger) -> None:
    """Reading the log of who read the log does not feed itself."""
    for _ in range(5):
        office.page()
    assert len(office.page(operation="review-search").entries) == 5
    assert len(ledger.leaves("review-search")) == 6


def test_nothing_is_shown_when_the_page_cannot_be_recorded(office: Office, ledger: Ledger) -> None:
    office.read()
    ledger.owner(
        "CREATE FUNCTION vault.no_review() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN IF NEW.operation = 'review-search' THEN RAISE EXCEPTION 'no'; END IF; RETURN NEW; END $$;"
        " CREATE TRIGGER no_review BEFORE INSERT ON vault.audit_pending FOR EACH ROW EXECUTE FUNCTION vault.no_review()"
    )
    try:
        with pytest.raises(Exception, match="unavailable"):
            office.page()
    finally:
        ledger.owner("DROP TRIGGER no_review ON vault.audit_pending; DROP FUNCTION vault.no_review()")


# --- who, and how much of it to believe


def test_one_s_own_entries_are_marked(office: Office) -> None:
    office.page(officer=2)
    page = office.page(officer=1, operation="review-search")
    assert [one["own"] for one in page.entries] == [False]
    assert [one["own"] for one in office.page(officer=2, operation="review-search").entries] == [False, True]


def test_a_look_up_row_that_lies_says_so_and_names_nobody(office: Office, ledger: Ledger) -> None:
    entry_id = office.read()
    office.ids()
    ledger.owner(f"UPDATE vault.audit_lookup SET caller_id = 't2-1', purpose = 'billing' WHERE entry_id = '{entry_id}'")
    row = next(one for one in office.page().entries if one["entry_id"] == entry_id)
    assert (row["differs"], row["caller"]["label"], row["purpose"]) == (True, None, "customer-care")


def test_an_entry_whose_leaf_is_gone_is_told_as_such(office: Office, ledger: Ledger) -> None:
    entry_id = office.read()
    office.ids()
    ledger.owner(f"UPDATE vault.audit_lookup SET position = position + 1000000 WHERE entry_id = '{entry_id}'")
    row = next(one for one in office.page().entries if one["entry_id"] == entry_id)
    assert (row["differs"], row["sequenced"], row["operation"], row["fields"]) == (True, False, None, {})


@pytest.mark.parametrize("role", ["t1", "t2", "system", "operator"])
def test_nobody_but_an_officer_reads_the_log(office: Office, ledger: Ledger, role: str) -> None:
    context = make_context(office.controller_id, role, purpose="legal-compliance", ticket="TCK-0")
    with pytest.raises(AccessDenied):
        review(office.vault, context, EntryFilter())
    assert ledger.outcomes("review-search") == ["refused"]


def test_an_officer_reads_it_for_data_protection_and_security_alone(office: Office) -> None:
    with pytest.raises(AccessDenied):
        review(office.vault, office.officer(purpose="marketing"), EntryFilter())
    with pytest.raises(AccessDenied):
        review(office.vault, office.officer(3), EntryFilter())  # on no register


def test_the_log_s_length_and_checkpoint_come_with_the_page(office: Office) -> None:
    page = office.page()
    assert page.length.size >= len(page.entries)
    assert page.length.checkpoint is not None
    assert page.length.checkpoint <= page.length.size


def test_who_was_asked_about_is_on_record_and_not_told_to_officers(
    office: Office, ledger: Ledger, opened_entry: Callable[[str], ReadEntry]
) -> None:
    """To confirm an id one knows already takes one officer, so it must be found afterwards whom they tried."""
    office.read()
    page = office.page(caller="t1-1")
    assert page.entries
    ledger.leaves("review-search")
    assert opened_entry(page.entry_id).internal["asked_about"] == "t1-1"
    told = open_entry(office.vault, office.officer(2), page.entry_id, "REVIEW").document
    assert "t1-1" not in text_of(told)
    assert "asked_about" not in opened_entry(office.page().entry_id).internal
