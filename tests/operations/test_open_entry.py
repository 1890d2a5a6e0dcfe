"""One entry opened for a reason, what is written about it, and that nobody reviews themselves."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from tests.makers import make_context
from tests.operations.conftest import Ledger
from tests.operations.officers import VALUES, Office, make_office, text_of
from vault.audit.reading import ReadEntry
from vault.audit.scan import Report
from vault.errors import AccessDenied, Conflict, InvalidValue, NotFound, Unreadable
from vault.opening import Opened
from vault.operations.annotate import Remark, annotate
from vault.operations.callers import Registration, register_caller
from vault.operations.disclose import disclose
from vault.operations.disclosure import Ask
from vault.operations.open_entry import open_entry
from vault.operations.reveal import Wish, reveal
from vault.policy.model import Context

WORDS = "il cliente ha chiamato due volte"


@pytest.fixture
def office(opened: Opened, controller_id: str) -> Office:
    return make_office(opened, controller_id)


def opened_by(office: Office, entry_id: str, reason: str = "SAMPLE", number: int = 1) -> dict[str, Any]:
    return open_entry(office.vault, office.officer(number), entry_id, reason).document


def test_an_entry_is_opened_with_its_details_and_pseudonyms(office: Office) -> None:
    entry_id = office.read()
    told = opened_by(office, entry_id)
    assert (told["of_entry_id"], told["subject_id"], told["leaf"]["id"], told["gone"]) == (entry_id, office.person, entry_id, False)
    assert told["details"]["ticket"]["check"] == "verified"
    assert office.agreement in told["details"]["agreements"]
    row = next(one for one in office.page().entries if one["entry_id"] == entry_id)
    assert told["internal"]["caller"] == row["caller"]["label"]
    assert told["internal"]["decision"]["bundle"] == office.vault.policy.digest
    assert not [one for one in (*VALUES.values(), "t1-1", "dpo-1") if one in text_of(told)]


def test_who_acted_for_whom_is_told_by_pseudonym(office: Office) -> None:
    register_caller(office.vault, office.controller_id, Registration("desk-system", ("system",), acts_for_agents=True))
    office.read()
    context = make_context(office.controller_id, "t1", ticket=f"TCK-t1-{office.person[-4:]}")
    by = replace(context, caller=replace(context.caller, actor="desk-system"), station="PDL-0231")
    told = opened_by(office, disclose(office.vault, Ask(by, office.person, ("email",))).entry_id)
    assert set(told["internal"]["decision"]["by"]) == {"caller", "actor"}
    assert told["internal"]["decision"]["by"]["caller"] == told["internal"]["caller"]
    assert told["internal"]["station"].startswith("w_")
    assert not [one for one in ("t1-1", "desk-system", "PDL-0231") if one in text_of(told)]


def test_what_an_agent_said_in_their_own_words_is_read_by_officers(office: Office) -> None:
    office.read("t2")
    context = make_context(office.controller_id, "t2", ticket=f"TCK-t2-{office.person[-4:]}")
    done = reveal(office.vault, context, office.person, Wish(("given_name",), "OTHER", WORDS))
    told = opened_by(office, done.profile.entry_id)
    assert told["internal"]["justification"] == WORDS
    assert told["details"]["reason"] == "OTHER"


def test_the_opening_is_in_the_person_s_chain(office: Office, ledger: Ledger) -> None:
    entry_id = office.read()
    done = open_entry(office.vault, office.officer(), entry_id, "COMPLAINT")
    leaf = ledger.leaves("review-open")[-1]
    assert leaf["id"] == done.entry_id
    assert "subject" in leaf
    assert ledger.rows("vault.audit_detail", f"entry_id = '{done.entry_id}'", "subject_id, stream") == [(office.person, "open")]


def test_the_opening_of_a_held_entry_stays_out_of_the_chain_the_person_sees(office: Office, ledger: Ledger) -> None:
    entry_id = office.read()
    office.ids()
    for table in ("audit_lookup", "audit_detail"):
        ledger.owner(f"UPDATE vault.{table} SET stream = 'held' WHERE entry_id = '{entry_id}'")
    for number in (1, 2):
        done = open_entry(office.vault, office.officer(), entry_id, "SAMPLE")
        office.ids()
        found = ledger.rows("vault.audit_detail", f"entry_id = '{done.entry_id}'", "stream, chain_number")
        assert found == [("held", number)]
    assert opened_by(office, entry_id)["held"] is True


def test_what_fails_about_a_held_entry_stays_out_of_that_chain_too(office: Office, ledger: Ledger) -> None:
    entry_id = office.read()
    office.ids()
    for table in ("audit_lookup", "audit_detail"):
        ledger.owner(f"UPDATE vault.{table} SET stream = 'held' WHERE entry_id = '{entry_id}'")
    with pytest.raises(Conflict):
        annotate(office.vault, office.officer(), entry_id, Remark("closed", "breach"))
    annotate(office.vault, office.officer(), entry_id, Remark("open"))
    ledger.owner(f"UPDATE vault.audit_detail SET sealed = sealed || 'x' WHERE entry_id = '{entry_id}'")
    with pytest.raises(Unreadable):
        open_entry(office.vault, office.officer(), entry_id, "SUSPICION")
    office.ids()
    written = ledger.rows(
        "vault.audit_lookup", "operation IN ('review-note', 'review-open') AND subject_id <> '-'", "operation, outcome, stream"
    )
    assert sorted(written) == [
        ("review-note", "done", "held"), ("review-note", "refused", "held"),
        ("review-open", "done", "held"), ("review-open", "failed", "held"),
    ]  # fmt: skip


def test_why_an_officer_looked_and_what_they_found_is_not_told_to_the_person(
    office: Office, ledger: Ledger, opened_entry: Callable[[str], ReadEntry]
) -> None:
    entry_id = office.read()
    done = open_entry(office.vault, office.officer(), entry_id, "SUSPICION")
    remark = annotate(office.vault, office.officer(), entry_id, Remark("in-review"))
    with pytest.raises(Conflict):
        annotate(office.vault, office.officer(), entry_id, Remark("in-review"))
    refused = ledger.leaves("review-note")[-1]["id"]
    for written, name, value in (
        (done.entry_id, "reason", "SUSPICION"), (remark.entry_id, "result", "in-review"), (refused, "result", "review-state"),
    ):  # fmt: skip
        said = opened_entry(written)
        assert not {"reason", "result"} & set(said.details)
        assert said.internal[name] == value
        assert opened_by(office, written, number=2)["internal"][name] == value


def test_an_entry_of_nobody_is_opened_with_the_log_s_secret(office: Office) -> None:
    page = office.page()
    told = opened_by(office, page.entry_id, number=2)
    assert told["subject_id"] is None
    assert told["internal"]["query"]["hits"] == len(page.entries)


def test_nobody_opens_or_judges_their_own_entry(office: Office, ledger: Ledger) -> None:
    page = office.page(officer=1)
    with pytest.raises(AccessDenied) as refusal:
        opened_by(office, page.entry_id, number=1)
    assert refusal.value.code == "own-entry"
    assert refusal.value.entry_id == ledger.leaves("review-open")[-1]["id"]
    with pytest.raises(AccessDenied) as refusal:
        annotate(office.vault, office.officer(1), page.entry_id, Remark(state="open"))
    assert refusal.value.code == "own-entry"
    assert annotate(office.vault, office.officer(2), page.entry_id, Remark(state="open")).number == 1


def test_that_an_entry_is_one_s_own_is_read_from_its_leaf(office: Office, ledger: Ledger) -> None:
    """Whoever can change look-up rows cannot make their own entry another's."""
    page = office.page(officer=1)
    office.ids()
    ledger.owner(f"UPDATE vault.audit_lookup SET caller_id = 'dpo-2' WHERE entry_id = '{page.entry_id}'")
    with pytest.raises(AccessDenied):
        opened_by(office, page.entry_id, number=1)


def test_an_entry_there_is_not_and_a_reason_there_is_not(office: Office, ledger: Ledger) -> None:
    with pytest.raises(NotFound):
        opened_by(office, "ent_" + "z" * 26)
    assert ledger.outcomes("review-open") == ["refused"]
    with pytest.raises(InvalidValue):
        opened_by(office, office.read(), reason="CURIOSITY")


def test_whoever_may_not_review_learns_nothing_of_an_entry(office: Office, ledger: Ledger) -> None:
    context: Context = make_context(office.controller_id, "t1", ticket="TCK-0")
    codes = set()
    for entry_id in (office.read(), "ent_" + "z" * 26):
        with pytest.raises(AccessDenied) as refusal:
            open_entry(office.vault, context, entry_id, "SAMPLE")
        codes.add(refusal.value.code)
    assert len(codes) == 1
    assert ledger.outcomes("review-open") == ["refused", "refused"]


def test_details_whose_key_is_gone_are_told_as_gone(office: Office, ledger: Ledger) -> None:
    entry_id = office.read()
    office.ids()
    ledger.owner(f"UPDATE vault.audit_detail SET sealed = NULL WHERE entry_id = '{entry_id}'")
    told = opened_by(office, entry_id)
    assert (told["gone"], told["details"], told["internal"]) == (True, {}, {})


# --- what is written about it


def test_a_review_goes_through_its_states_and_is_shown_with_the_entry(office: Office) -> None:
    entry_id = office.read()
    remarks = [
        Remark("open", note=WORDS), Remark(note="ancora da sentire"), Remark("in-review"), Remark("closed", "training"),
        Remark("open"),
    ]  # fmt: skip
    for number, remark in enumerate(remarks, 1):
        assert annotate(office.vault, office.officer(1 + number % 2), entry_id, remark).number == number
        office.ids()
    told = opened_by(office, entry_id)["reviews"]
    assert [(one["number"], one["state"], one["verdict"]) for one in told] == [
        (1, "open", None), (2, None, None), (3, "in-review", None), (4, "closed", "training"), (5, "open", None),
    ]  # fmt: skip
    assert [one["note"] for one in told] == [WORDS, "ancora da sentire", None, None, None]
    assert len({one["by"] for one in told}) == 2
    row = next(one for one in office.page().entries if one["entry_id"] == entry_id)
    assert row["review"] == {"state": "open", "verdict": None}


def test_a_note_s_words_stand_in_no_table_and_no_leaf(office: Office, ledger: Ledger) -> None:
    entry_id = office.read()
    done = annotate(office.vault, office.officer(), entry_id, Remark("open", note=WORDS))
    office.ids()
    assert WORDS not in text_of(ledger.leaves("review-note"))
    assert WORDS not in str(ledger.rows("vault.review_remark"))
    assert ledger.rows("vault.audit_detail", f"entry_id = '{done.entry_id}'", "subject_id") == [(office.person,)]


@pytest.mark.parametrize(
    ("before", "after"),
    [([], "closed"), (["open"], "closed"), (["open"], "open"), (["open", "in-review", "closed"], "in-review"),
     (["in-review"], "in-review")],
)  # fmt: skip
def test_a_state_that_does_not_follow_is_refused_on_record(office: Office, ledger: Ledger, before: list[str], after: str) -> None:
    entry_id = office.read()
    for state in (*before, after)[:-1]:
        annotate(office.vault, office.officer(), entry_id, Remark(state, "justified" if state == "closed" else None))
    with pytest.raises(Conflict) as refusal:
        annotate(office.vault, office.officer(), entry_id, Remark(after, "justified" if after == "closed" else None))
    assert refusal.value.code == "review-state"
    assert ledger.outcomes("review-note")[-1] == "refused"


@pytest.mark.parametrize(
    ("remark", "pointer"),
    [
        (Remark(), "/state"), (Remark("shut"), "/state"), (Remark("closed"), "/verdict"), (Remark("open", "breach"), "/verdict"),
        (Remark("closed", "guilty"), "/verdict"), (Remark(note="x" * 1_001), "/note"),
    ],
)  # fmt: skip
def test_a_remark_that_says_too_little_or_too_much_is_refused(office: Office, remark: Remark, pointer: str) -> None:
    with pytest.raises(InvalidValue) as refusal:
        annotate(office.vault, office.officer(), office.read(), remark)
    assert pointer in [one.pointer for one in refusal.value.faults]


def test_what_was_written_is_never_changed(office: Office, ledger: Ledger) -> None:
    annotate(office.vault, office.officer(), office.read(), Remark("open"))
    for statement in ("UPDATE vault.review_remark SET state = 'closed'", "DELETE FROM vault.review_remark"):
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
            ledger.owner(f"{statement} WHERE controller_id = '{office.controller_id}'")


def test_the_log_verifies_after_all_that(office: Office) -> None:
    entry_id = office.read()
    opened_by(office, entry_id)
    annotate(office.vault, office.officer(), entry_id, Remark("open", note=WORDS))
    office.ids()
    report: Report = office.opened.verify(office.controller_id)
    assert report.ok, report.findings
