"""No agreement, no key: what was withdrawn or has expired shows nothing, and could not if policy were wrong.

Refusing is policy's; that nothing is left to refuse is the keys'. So each is tried without the other: policy while the wraps are
still there, and the wraps gone under a policy that always says yes.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest

from tests.assurance.desk import Desk
from tests.assurance.yes import AlwaysYes
from tests.makers import EVERYTHING, HEALTH, evidence, make_subject
from vault.assembly import Vault
from vault.errors import NotFound, Unreadable
from vault.operations.disclose import disclose
from vault.operations.disclosure import Ask, Profile
from vault.operations.expire import expire

MARKETING = {"purpose": "marketing", "channel": "api"}
FIELDS = ("email", "mobile", "preferred_language", "marketing_choice")
GROUND = {"given_name": "Giulia", "email": "giulia.bianchi@example.it", "mobile": "+393331234567", "preferred_language": "it",
          "marketing_choice": "opted-in"}  # fmt: skip


@dataclass(frozen=True)
class Customer:
    """Somebody enrolled under agreements, by template."""

    desk: Desk
    subject_id: str
    agreements: dict[str, str]
    sql: "psycopg.Connection[Any]"

    def marketing(self) -> Any:
        """Read for marketing, as the helpdesk system does."""
        return self.desk.profile("system", self.subject_id, *FIELDS, **MARKETING)

    def withdraw(self, template: str, role: str = "customer") -> Any:
        path = f"/v1/agreements/{self.agreements[template]}/withdrawal"
        return self.desk.call("POST", path, role, {"method": "portal"}, subject_id=self.subject_id)

    def said_yes_to(self, agreement_id: str, *fields: str, vault: Vault | None = None) -> Profile:
        """Read under a policy that always says yes, resting on an agreement. Raises what the vault raises."""
        vault = vault or self.desk.vault
        policy = AlwaysYes(vault.policy._bundle)
        policy.agreement_id = agreement_id
        return disclose(replace(vault, policy=policy), Ask(self.desk.context("t1"), self.subject_id, fields))

    def count(self, table: str, where: str = "true") -> int:
        query = f"SELECT count(*) FROM {table} WHERE controller_id = %s AND subject_id = %s AND {where}"
        found = self.sql.execute(query.encode(), (self.desk.controller_id, self.subject_id)).fetchone()
        assert found is not None
        return int(found[0])

    def valid_until(self, template: str) -> datetime:
        query = "SELECT valid_until FROM vault.agreement_state WHERE controller_id = %s AND agreement_id = %s"
        found = self.sql.execute(query, (self.desk.controller_id, self.agreements[template])).fetchone()
        assert found is not None
        assert isinstance(found[0], datetime)
        return found[0]


@pytest.fixture
def sql(database_url: str) -> Iterator["psycopg.Connection[Any]"]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


def customer(desk: Desk, sql: "psycopg.Connection[Any]", *templates: str, **values: Any) -> Customer:
    made = make_subject(desk.vault, desk.controller_id, values or GROUND, templates)
    return Customer(desk, made.subject_id, dict(zip(templates, made.agreements, strict=True)), sql)


# --- withdrawn


def test_the_next_read_after_a_withdrawal_is_refused(desk: Desk, sql: "psycopg.Connection[Any]") -> None:
    person = customer(desk, sql, "retail", "marketing")
    before = person.marketing()
    assert {name: one["state"] for name, one in before.json()["fields"].items()} == {
        "email": "token", "mobile": "token", "preferred_language": "clear", "marketing_choice": "clear",
    }  # fmt: skip
    assert person.withdraw("marketing").json()["emptied"] == []  # the contract still holds the class
    after = person.marketing()
    assert (after.status_code, after.json()["type"]) == (404, "https://riserbo.dev/problems/not-found")
    assert desk.entry_of(after).leaf["outcome"] == "refused"
    assert set(desk.entry_of(after).internal["decision"]["returned"]) == {"withheld:consent-withdrawn"}


def test_a_policy_that_always_says_yes_opens_nothing_without_the_wrap(desk: Desk, sql: "psycopg.Connection[Any]") -> None:
    person = customer(desk, sql, "retail", "marketing")
    retail, marketing = person.agreements["retail"], person.agreements["marketing"]
    assert person.said_yes_to(marketing, *GROUND).fields["email"].value == GROUND["email"]  # it does say yes, and it opened
    person.withdraw("marketing")
    with pytest.raises(Unreadable):
        person.said_yes_to(marketing, *GROUND)
    for name in GROUND:
        with pytest.raises(Unreadable):
            person.said_yes_to(marketing, name)
    assert person.said_yes_to(retail, *GROUND).fields["email"].value == GROUND["email"]  # the contract's own wrap is untouched


def test_a_state_changed_back_by_sql_opens_nothing(desk: Desk, sql: "psycopg.Connection[Any]") -> None:
    """Who owns the database can say that a consent is in force again. There is no wrap to say it with."""
    person = customer(desk, sql, "marketing", "retail")
    person.withdraw("marketing")
    sql.execute(
        "UPDATE vault.agreement_state SET status = 'in_force', consent = 'valid' WHERE controller_id = %s AND agreement_id = %s",
        (desk.controller_id, person.agreements["marketing"]),
    )
    answer = person.marketing()
    assert (answer.status_code, answer.json()["type"]) == (500, "https://riserbo.dev/problems/unreadable")
    assert not any(value in answer.text for value in GROUND.values() if len(value) > 2)


def test_no_agreement_of_another_class_or_person_opens_it(desk: Desk, sql: "psycopg.Connection[Any]") -> None:
    """What rests on an agreement that never reached the data is as closed as what rests on an ended one."""
    person = customer(desk, sql, "retail", "marketing", **EVERYTHING_UNDER_RETAIL)
    other = customer(desk, sql, "retail", **{**EVERYTHING_UNDER_RETAIL, "customer_number": "C0000002"})
    financial = ("iban", "tax_code")
    assert person.said_yes_to(person.agreements["retail"], *financial).fields["iban"].value == EVERYTHING["iban"]
    for agreement_id in (person.agreements["marketing"], other.agreements["retail"], "agr_" + "a" * 26, ""):
        with pytest.raises((Unreadable, KeyError)):
            person.said_yes_to(agreement_id, *financial)


EVERYTHING_UNDER_RETAIL = {name: value for name, value in EVERYTHING.items() if name != "related_person"}


def test_with_the_last_wrap_the_class_is_gone(desk: Desk, sql: "psycopg.Connection[Any]") -> None:
    person = customer(desk, sql, "marketing")
    tables = ("vault.profile_frame", "keys.data_key", "keys.data_key_wrap", "keys.blind_index")
    amended = desk.call("PATCH", f"/v1/subjects/{person.subject_id}/fields", "system",
                        {"agreement_id": person.agreements["marketing"], "fields": {"email": "g.bianchi@example.it"}},
                        if_match='"1"', **MARKETING)  # fmt: skip
    assert amended.status_code == 200, amended.text
    assert all(person.count(table) > 0 for table in (*tables, "vault.field_history"))
    answer = person.withdraw("marketing")
    assert answer.json()["emptied"] == ["contact"]
    assert [table for table in (*tables, "vault.field_history") if person.count(table) > 0] == []
    assert person.count("vault.subject") == 1  # who it was, and what was agreed, stays on record
    assert person.count("vault.agreement_event") == 2
    found = desk.call("POST", "/v1/subjects:search", "system", {"by": "email", "value": "g.bianchi@example.it"})
    assert found.json() == {"matches": []}


def test_a_class_that_another_agreement_holds_outlives_a_withdrawal(desk: Desk, sql: "psycopg.Connection[Any]") -> None:
    """A health contract ends: its health data go at once unless a duty keeps them; what a duty keeps, nobody is shown."""
    values = {**EVERYTHING_UNDER_RETAIL, **HEALTH}
    values.pop("union_membership")
    person = customer(desk, sql, "health-insurance", **values)
    held = f"holder_id = '{person.agreements['health-insurance']}'"
    assert person.count("keys.data_key_wrap", held) == 3
    assert person.withdraw("health-insurance").json()["emptied"] == []
    assert person.count("keys.data_key_wrap", held) == 0
    assert person.count("keys.data_key_wrap") > 0
    for name in ("email", "iban", "health_note"):  # archived: not even yes meets anything
        shown = person.said_yes_to(person.agreements["health-insurance"], name).fields[name]
        assert (shown.state, shown.value) == ("absent", None)
    ticket = desk.ticket(person.subject_id, "t2")
    answer = desk.profile("t2", person.subject_id, "email", "iban", "given_name", ticket=ticket)
    assert {one["state"] for one in answer.json()["fields"].values()} == {"withheld"}


# --- collected under a consent


def test_what_was_collected_under_a_consent_serves_no_other_agreement(desk: Desk, sql: "psycopg.Connection[Any]") -> None:
    """Art. 6(4): the contract names these categories too, but this is not what they were given for."""
    person = customer(desk, sql, "marketing", "retail", **GROUND, contact_hours="dopo le 18")  # the first collects
    ticket = desk.ticket(person.subject_id, "t1")

    def read() -> dict[str, tuple[str, str]]:
        shown = desk.profile("t1", person.subject_id, "email", "given_name", "contact_hours", ticket=ticket).json()["fields"]
        return {name: (one["state"], one["because"]) for name, one in shown.items()}

    foreign = ("withheld", "collected-for-other-consent")
    assert read() == {"email": foreign, "given_name": foreign, "contact_hours": ("clear", "support-t1-identity")}
    assert person.marketing().json()["fields"]["email"]["state"] == "token"
    own = desk.profile("customer", person.subject_id, "email", "given_name").json()["fields"]
    assert {name: one["value"] for name, one in own.items()} == {name: GROUND[name] for name in own}
    person.withdraw("marketing")
    assert read() == {"email": foreign, "given_name": foreign, "contact_hours": ("clear", "support-t1-identity")}
    body = {"agreement_id": person.agreements["retail"], "fields": {"email": "g@example.it"}}
    given_again = desk.call("PATCH", f"/v1/subjects/{person.subject_id}/fields", "system", body, if_match='"2"')
    assert given_again.status_code == 200, given_again.text
    assert read()["email"] == ("masked", "support-t1-contact")


# --- expired


def test_one_second_after_its_end_an_agreement_shows_nothing_though_no_job_has_run(
    desk: Desk, sql: "psycopg.Connection[Any]"
) -> None:
    person = customer(desk, sql, "marketing")
    ends_at = person.valid_until("marketing")
    ask = Ask(replace(desk.context("system"), purpose="marketing"), person.subject_id, FIELDS)

    def at(instant: datetime) -> Profile:
        return disclose(replace(desk.vault, now=lambda: instant), ask)

    assert at(ends_at - timedelta(seconds=1)).fields["preferred_language"].value == "it"
    for late in (timedelta(0), timedelta(seconds=1), timedelta(days=400)):
        with pytest.raises(NotFound) as refusal:
            at(ends_at + late)
        assert refusal.value.entry_id is not None
        recorded = desk.entry_named(refusal.value.entry_id)
        assert set(recorded.internal["decision"]["returned"]) == {"withheld:agreement-expired"}
    assert person.count("keys.data_key_wrap") == 1  # the wrap is still there: the clock alone refused


def test_once_the_job_has_run_not_even_yes_opens_an_expired_agreement(desk: Desk, sql: "psycopg.Connection[Any]") -> None:
    person = customer(desk, sql, "retail", "marketing")
    later = replace(desk.vault, now=lambda: person.valid_until("marketing") + timedelta(seconds=1))
    assert person.said_yes_to(person.agreements["marketing"], "email").fields["email"].value == GROUND["email"]
    assert expire(later, desk.controller_id) == 1
    assert expire(later, desk.controller_id) == 0
    with pytest.raises(Unreadable):
        person.said_yes_to(person.agreements["marketing"], "email")
    assert person.said_yes_to(person.agreements["retail"], "email").fields["email"].value == GROUND["email"]


def test_a_consent_given_again_is_a_new_agreement_with_its_own_wrap(desk: Desk, sql: "psycopg.Connection[Any]") -> None:
    person = customer(desk, sql, "retail", "marketing")
    person.withdraw("marketing")
    said = evidence("marketing", channel="phone", indicated_at=desk.vault.now().isoformat(timespec="seconds"))
    body = {"template": "marketing", "language": "it", "evidence": said}
    again = desk.call("POST", f"/v1/subjects/{person.subject_id}/agreements", "system", body)
    assert again.status_code == 201, again.text
    assert person.marketing().json()["agreements"] == [again.json()["agreement_id"]]
    with pytest.raises(Unreadable):
        person.said_yes_to(person.agreements["marketing"], "email")
