"""Who comes back begins anew: what a duty keeps of the last time lies beside it, sealed, and opens for nobody at the desk."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from tests.assurance.desk import Desk
from tests.assurance.sealed import unwrapped
from tests.assurance.test_no_agreement_no_key import Customer, customer
from tests.makers import evidence
from vault.errors import Unreadable
from vault.keys import frame
from vault.keys.data_keys import SealedClass, open_fields
from vault.permit import ReadPermit

BEFORE = {"given_name": "Giulia", "email": "giulia.bianchi@example.it", "mobile": "+393331234567",
          "iban": "IT60X0542811101000000123456", "customer_number": "C0000001"}  # fmt: skip
AFTER = {"given_name": "Giulia Maria", "email": "gm@example.it"}
CONTACT = ("email", "given_name", "mobile")


@pytest.fixture
def sql(database_url: str) -> Iterator["psycopg.Connection[Any]"]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def person(desk: Desk, sql: "psycopg.Connection[Any]") -> Customer:
    """Somebody whose contract is over; what the accounts need is kept."""
    person = customer(desk, sql, "retail", **BEFORE)
    answer = person.withdraw("retail")
    assert (answer.status_code, answer.json()["emptied"]) == (200, [])
    return person


def rows(person: Customer, table: str, where: str = "true") -> list[dict[str, Any]]:
    with person.sql.cursor(row_factory=dict_row) as cursor:
        query = f"SELECT * FROM {table} WHERE controller_id = %s AND subject_id = %s AND {where} ORDER BY class, generation"
        return cursor.execute(query.encode(), (person.desk.controller_id, person.subject_id)).fetchall()


def agree_again(person: Customer, template: str = "retail") -> str:
    said = evidence(template, channel="phone", indicated_at=person.desk.vault.now().isoformat(timespec="seconds"))
    body = {"template": template, "language": "it", "evidence": said}
    answer = person.desk.call("POST", f"/v1/subjects/{person.subject_id}/agreements", "system", body)
    assert answer.status_code == 201, answer.text
    person.agreements[template] = answer.json()["agreement_id"]
    return person.agreements[template]


def share(person: Customer, template: str = "retail", **fields: Any) -> Any:
    found = person.sql.execute("SELECT version FROM vault.subject WHERE subject_id = %s", (person.subject_id,)).fetchone()
    assert found is not None
    body = {"agreement_id": person.agreements[template], "fields": fields}
    purpose = "marketing" if template == "marketing" else "customer-care"
    path = f"/v1/subjects/{person.subject_id}/fields"
    return person.desk.call("PATCH", path, "system", body, if_match=f'"{found[0]}"', purpose=purpose)


def own(person: Customer, *fields: str) -> dict[str, Any]:
    answer = person.desk.profile("customer", person.subject_id, *fields)
    assert answer.status_code == 200, answer.text
    return {name: (one["state"], one["value"]) for name, one in answer.json()["fields"].items()}


def archive_of(person: Customer) -> list[tuple[str, int, bytes, bytes]]:
    """Return what is kept of the last time: class, generation, frame, and the companion's wrap of its key."""
    frames = {(one["class"], one["generation"]): one["frame"] for one in rows(person, "vault.profile_frame")}
    archived = {(one["class"], one["generation"]) for one in rows(person, "keys.data_key", "state = 'archived'")}
    holds = rows(person, "keys.data_key_wrap", "holder_kind = 'hold'")
    return [(*place, frames[place], one["wrap"]) for one in holds if (place := (one["class"], one["generation"])) in archived]


def test_what_only_a_duty_keeps_is_absent_and_not_unreadable(person: Customer) -> None:
    agree_again(person)
    assert own(person, *CONTACT, "iban") == dict.fromkeys((*CONTACT, "iban"), ("absent", None))
    ticket = person.desk.ticket(person.subject_id, "t2")
    answer = person.desk.profile("t2", person.subject_id, *CONTACT, "iban", ticket=ticket)
    assert (answer.status_code, {one["state"] for one in answer.json()["fields"].values()}) == (200, {"absent"})
    assert person.desk.profile("t2", person.subject_id, ticket=ticket).status_code == 200  # the role's default set too


def test_a_new_consent_shows_no_token_for_what_nobody_can_open(person: Customer) -> None:
    agree_again(person, "marketing")
    shown = person.marketing().json()["fields"]
    assert {name: one["state"] for name, one in shown.items()} == dict.fromkeys(shown, "absent")


def test_what_is_shared_anew_is_read_and_the_archive_lies_beside_it(person: Customer) -> None:
    kept = archive_of(person)
    assert {class_name for class_name, *_ in kept} == {"contact", "financial"}
    agree_again(person)
    done = share(person, **AFTER)
    assert done.status_code == 200, done.text
    assert own(person, *CONTACT) == {
        "email": ("clear", AFTER["email"]), "given_name": ("clear", AFTER["given_name"]), "mobile": ("absent", None),
    }  # fmt: skip
    assert share(person, mobile="347 9183625").status_code == 200  # and once more, into the class that is there now
    assert own(person, "mobile") == {"mobile": ("clear", "+393479183625")}
    assert archive_of(person) == kept
    assert [(one["generation"], one["state"]) for one in rows(person, "keys.data_key", "class = 'contact'")] == [
        (1, "archived"), (2, "current"),
    ]  # fmt: skip


def test_the_archive_is_whole_and_no_agreement_opens_it_though_policy_says_yes(person: Customer) -> None:
    agree_again(person)
    share(person, **AFTER)
    vault, place = person.desk.vault, (person.desk.controller_id, person.subject_id)
    (key,) = rows(person, "keys.data_key", "class = 'contact' AND state = 'archived'")
    (packed,) = rows(person, "vault.profile_frame", "class = 'contact' AND generation = 1")
    (hold,) = rows(person, "keys.data_key_wrap", "class = 'contact' AND generation = 1")
    assert set(frame.read(packed["frame"]).entries) == {"email", "given_name", "mobile", "customer_number"}
    assert len(unwrapped(vault, hold)) == 32  # its holder's wrap opens: nothing is lost
    old = SealedClass(*place, "contact", 1, key["commit"], key["manifest"], packed["frame"], {})
    assert person.said_yes_to(person.agreements["retail"], "email").fields["email"].value == AFTER["email"]
    assert person.said_yes_to(person.agreements["retail"], "mobile").fields["mobile"].state == "absent"
    for wraps in (
        {},
        {hold["holder_id"]: (hold["epoch"], hold["wrap"])},
        {person.agreements["retail"]: (hold["epoch"], hold["wrap"])},
    ):
        for agreement_id in (person.agreements["retail"], hold["holder_id"]):
            permit = ReadPermit("ent_", *place, {"email": agreement_id}, b"", vault.monotonic() + 30)
            with pytest.raises(Unreadable):
                open_fields(vault.keys, permit, [SealedClass(*_of(old), wraps)], vault.monotonic())


def _of(one: SealedClass) -> tuple[str, str, str, int, bytes, bytes, bytes]:
    return one.controller_id, one.subject_id, one.class_name, one.generation, one.commit, one.manifest, one.frame


def test_one_goes_and_comes_back_as_often_as_one_likes(person: Customer) -> None:
    for time in range(2, 5):
        agree_again(person)
        assert share(person, email=f"g{time}@example.it").status_code == 200
        assert own(person, "email") == {"email": ("clear", f"g{time}@example.it")}
        generations = [(one["generation"], one["state"]) for one in rows(person, "keys.data_key", "class = 'contact'")]
        assert generations == [*((past, "archived") for past in range(1, time)), (time, "current")]
        assert person.withdraw("retail").json()["emptied"] == []
        assert rows(person, "keys.data_key_wrap", "holder_kind = 'agreement'") == []
        assert person.desk.profile("customer", person.subject_id, "email").json()["fields"]["email"]["state"] == "withheld"


def test_nobody_is_found_by_what_is_archived(person: Customer) -> None:
    def found(by: str, value: str) -> Any:
        query = {"by": by, "value": value}
        return person.desk.call("POST", "/v1/subjects:search", "t1", query, ticket="TCK-asserted").json()["matches"]

    agree_again(person)
    assert found("email", BEFORE["email"]) == []
    share(person, **AFTER)
    assert [one["subject_id"] for one in found("email", AFTER["email"])] == [person.subject_id]
    assert found("email", BEFORE["email"]) == found("mobile", BEFORE["mobile"]) == []
    again = {"fields": {"given_name": "Altra", "customer_number": BEFORE["customer_number"]},
             "agreements": [{"template": "retail", "language": "it", "evidence": evidence("retail", channel="phone")}]}  # fmt: skip
    assert person.desk.call("POST", "/v1/subjects", "system", again).status_code == 409  # a customer number stays taken


def test_what_a_consent_alone_brought_back_is_held_by_no_duty(person: Customer) -> None:
    """The old contract's companion keeps what was shared under it; what comes under a consent goes with the consent."""
    kept = archive_of(person)
    agree_again(person, "marketing")
    done = share(person, "marketing", email=AFTER["email"])
    assert done.status_code == 200, done.text
    assert person.withdraw("marketing").status_code == 200
    assert [one["generation"] for one in rows(person, "keys.data_key", "class = 'contact'")] == [1]
    assert archive_of(person) == kept


def test_a_wrap_deleted_by_sql_is_still_an_alarm_and_not_an_absence(person: Customer) -> None:
    agree_again(person)
    share(person, **AFTER)
    person.sql.execute("DELETE FROM keys.data_key_wrap WHERE subject_id = %s AND holder_kind = 'agreement'", (person.subject_id,))
    answer = person.desk.profile("customer", person.subject_id, "email")
    assert (answer.status_code, answer.json()["type"]) == (500, "https://riserbo.dev/problems/unreadable")
