"""That people were told what their data are processed for: put down once, in the words they were given, and never changed."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.conftest import Controllers
from tests.makers import make_context, make_subject, make_ticket, register, terms
from tests.operations.conftest import Ledger
from vault.assembly import Vault
from vault.audit.reading import ReadEntry
from vault.errors import AccessDenied, Conflict, InvalidValue, NotFound
from vault.opening import Opened
from vault.operations.enroll import enroll
from vault.operations.noticing import Given
from vault.operations.serve_notice import serve_notice
from vault.operations.show_notices import show_notice, show_notices
from vault.operations.show_served_notices import show_served_notices
from vault.policy.model import Context

VALUES = {"given_name": "Giulia"}
NOTICE = Given("customers", None, "it")


@pytest.fixture(scope="module")
def house(shared_controllers: Controllers, opened: Opened) -> Ledger:
    """One controller for the tests of this file, with its staff."""
    controller_id = shared_controllers()
    register(opened.vault, controller_id, "system", "t1", "t2", "dpo", "dsr-officer")
    return Ledger(opened, controller_id)


@pytest.fixture(scope="module")
def vault(house: Ledger) -> Vault:
    return house.opened.vault.governed(house.controller_id)


def named(house: Ledger, role: str, **stated: Any) -> Context:
    return make_context(house.controller_id, role, **stated)


def rows_of(house: Ledger, subject_id: str) -> list[tuple[Any, ...]]:
    return house.rows("vault.notice_served", f"subject_id = '{subject_id}'", "notice, version, language, channel, role, by")


def test_whoever_may_puts_it_down_and_the_person_and_the_officers_read_it(house: Ledger, vault: Vault) -> None:
    person = make_subject(vault, house.controller_id, VALUES).subject_id
    ticket = make_ticket(vault, house.controller_id, person, "t1", "TCK-N1")
    for context in (
        named(house, "t1", ticket=ticket), named(house, "system"), named(house, "customer", subject_id=person),
    ):  # fmt: skip
        serve_notice(vault, context, person, NOTICE)
    assert rows_of(house, person) == [
        ("customers", 1, "it", "phone", "t1", "t1-1"),
        ("customers", 1, "it", "api", "system", "system-1"),
        ("customers", 1, "it", "portal", "customer", "customer-1"),
    ]
    for context in (named(house, "customer", subject_id=person), named(house, "dpo"), named(house, "t1", ticket=ticket)):
        found, entry_id = show_served_notices(vault, context, person)
        assert [one["role"] for one in found] == ["t1", "system", "customer"]
        assert found[0]["sha256"] == show_notices(vault)[0]["texts"]["it"]
        assert entry_id.startswith("ent_")


def test_the_words_are_kept_as_they_were_given(house: Ledger, vault: Vault) -> None:
    person = make_subject(vault, house.controller_id, VALUES).subject_id
    serve_notice(vault, named(house, "system"), person, replace(NOTICE, language="en"))
    ((kept,),) = house.rows("vault.notice_text", "language = 'en'", "text")
    assert bytes(kept).decode() == show_notice(vault, "customers", 1, "en")["text"]


def test_another_text_under_the_same_name_is_refused(house: Ledger, vault: Vault) -> None:
    person = make_subject(vault, house.controller_id, VALUES).subject_id
    serve_notice(vault, named(house, "system"), person, NOTICE)
    notice = vault.policy.notices["customers@1"]
    other = replace(vault.policy.bundle)
    other.__dict__["notices"] = {"customers@1": replace(notice, texts={**notice.texts, "it": bytes(32)})}
    changed = replace(vault, policy=type(vault.policy)(other))
    with pytest.raises(Conflict, match="notice-changed"):
        serve_notice(changed, named(house, "system"), person, NOTICE)
    assert len(rows_of(house, person)) == 1
    assert house.outcomes("serve_notice")[-2:] == ["done", "failed"]


def test_enrolment_says_which_notice_was_given(house: Ledger, vault: Vault, opened: Opened) -> None:
    at = datetime.now(UTC) - timedelta(days=3)
    given = Given("customers", 1, "it", "front_office", at)
    made = enroll(vault, named(house, "system"), VALUES, (terms("retail"),), given)
    assert rows_of(house, made.subject_id) == [("customers", 1, "it", "front_office", "system", "system-1")]
    ((given_at, entry_id),) = house.rows("vault.notice_served", f"subject_id = '{made.subject_id}'", "given_at, entry_id")
    assert (given_at, entry_id) == (at, made.entry_id)


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        (replace(NOTICE, notice="others"), ("/notice", "notice.unknown")),
        (replace(NOTICE, version=2), ("/notice", "notice.unknown")),
        (replace(NOTICE, language="fr"), ("/language", "language.unknown")),
        (replace(NOTICE, given_at=datetime.now(UTC) + timedelta(days=1)), ("/given_at", "instant.ahead")),
    ],
)
def test_what_is_unfit_is_named_and_nothing_is_put_down(house: Ledger, vault: Vault, given: Given, fault: tuple[str, str]) -> None:
    person = make_subject(vault, house.controller_id, VALUES).subject_id
    people = len(house.rows("vault.subject"))
    with pytest.raises(InvalidValue) as refused:
        serve_notice(vault, named(house, "system"), person, given)
    assert [(one.pointer, one.code) for one in refused.value.faults] == [fault]
    assert refused.value.entry_id is not None
    with pytest.raises(InvalidValue) as refused:
        enroll(vault, named(house, "system"), VALUES, (terms("retail"),), given)
    assert [(one.pointer, one.code) for one in refused.value.faults] == [(f"/notice{fault[0]}", fault[1])]
    assert rows_of(house, person) == []
    assert len(house.rows("vault.subject")) == people


def test_who_has_no_ticket_of_the_person_puts_nothing_down_and_reads_nothing(house: Ledger, vault: Vault) -> None:
    person, other = (make_subject(vault, house.controller_id, VALUES).subject_id for _ in range(2))
    ticket = make_ticket(vault, house.controller_id, other, "t1", "TCK-N2")
    for refused in (
        lambda: serve_notice(vault, named(house, "t1", ticket=ticket), person, NOTICE),
        lambda: serve_notice(vault, named(house, "customer", subject_id=other), person, NOTICE),
        lambda: serve_notice(vault, named(house, "dpo"), person, NOTICE),
        lambda: show_served_notices(vault, named(house, "t1", ticket=ticket), person),
        lambda: show_served_notices(vault, named(house, "customer", subject_id=other), person),
        lambda: show_served_notices(vault, named(house, "dpo", purpose="customer-care"), person),
        lambda: serve_notice(vault, named(house, "system"), f"sub_{'z' * 26}", NOTICE),
    ):
        with pytest.raises((NotFound, AccessDenied)):
            refused()
    assert rows_of(house, person) == []


def test_the_entry_says_which_notice_to_the_person(
    vault: Vault, controller_id: str, opened_entry: Callable[[str], ReadEntry]
) -> None:
    person = make_subject(vault, controller_id, VALUES).subject_id
    done = serve_notice(vault, make_context(controller_id, "system"), person, NOTICE)
    read = opened_entry(done.entry_id)
    assert {**read.details}.items() >= {"notice": "customers@1", "language": "it"}.items()
    assert json.dumps(read.details).count("Giulia") == 0
