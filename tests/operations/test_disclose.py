"""Disclosing: what a state of the person or of the keys does to an answer, and that each answer is on record."""

from dataclasses import replace
from typing import Any

import orjson
import pytest

from tests.makers import make_context, make_subject, make_ticket, register
from tests.operations.conftest import Ledger
from vault.assembly import Vault
from vault.errors import KeysUnavailable, NotFound, Restricted, Unreadable
from vault.operations.disclose import disclose, disclose_all
from vault.operations.disclosure import Ask, Profile
from vault.operations.enroll import Enrolled
from vault.policy.model import Context

VALUES = {"given_name": "Giulia", "email": "giulia@example.it", "contact_hours": "dopo le 18"}
FIELDS = ("given_name", "email", "contact_hours")


@pytest.fixture
def person(vault: Vault, controller_id: str) -> Enrolled:
    register(vault, controller_id, "t1")
    return make_subject(vault, controller_id, VALUES)


@pytest.fixture
def desk(vault: Vault, controller_id: str, person: Enrolled) -> Context:
    return make_context(controller_id, "t1", ticket=make_ticket(vault, controller_id, person.subject_id, "t1"))


def restrict(ledger: Ledger, subject_id: str, *fields: str) -> None:
    ledger.owner(
        f"UPDATE vault.subject SET restricted = '{{{','.join(fields)}}}', restricted_at = now() WHERE subject_id = '{subject_id}'"
    )


def test_what_is_restricted_is_withheld_and_where_all_is_it_is_told(
    vault: Vault, person: Enrolled, desk: Context, ledger: Ledger
) -> None:
    restrict(ledger, person.subject_id, "email")
    shown = disclose(vault, Ask(desk, person.subject_id, FIELDS)).fields
    assert {name: one.state for name, one in shown.items()} == {
        "given_name": "clear",
        "email": "withheld",
        "contact_hours": "clear",
    }
    assert shown["email"].because == "restricted"
    restrict(ledger, person.subject_id, *FIELDS)
    with pytest.raises(Restricted) as refusal:
        disclose(vault, Ask(desk, person.subject_id, FIELDS))
    assert refusal.value.entry_id in {leaf["id"] for leaf in ledger.leaves("disclose") if leaf["outcome"] == "refused"}


@pytest.mark.parametrize("state", ["erased", "archived", "restricted"])
def test_somebody_who_is_not_active_is_nobody(vault: Vault, person: Enrolled, desk: Context, ledger: Ledger, state: str) -> None:
    ledger.owner(f"UPDATE vault.subject SET state = '{state}' WHERE subject_id = '{person.subject_id}'")
    answer = disclose_all(vault, [Ask(desk, person.subject_id, FIELDS)])[0]
    assert not isinstance(answer, Profile) or all(one.state == "withheld" for one in answer.fields.values())


def test_customers_are_known_by_their_token_alone(vault: Vault, controller_id: str, person: Enrolled) -> None:
    own = make_context(controller_id, "customer", subject_id=person.subject_id)
    shown = disclose(vault, Ask(own, person.subject_id, FIELDS))
    assert {name: one.value for name, one in shown.fields.items()} == VALUES
    assert orjson.loads(shown.encoded())["fields"]["email"]["value"] == VALUES["email"]
    other = make_subject(vault, controller_id, VALUES)
    with pytest.raises(NotFound):
        disclose(vault, Ask(own, other.subject_id, FIELDS))


def test_what_was_spoilt_is_unreadable_as_a_whole_and_on_record(
    vault: Vault, person: Enrolled, desk: Context, ledger: Ledger
) -> None:
    cut = "substr(frame, 1, length(frame) - 1)"
    ledger.owner(f"UPDATE vault.profile_frame SET frame = {cut} WHERE subject_id = '{person.subject_id}'")
    with pytest.raises(Unreadable) as refusal:
        disclose(vault, Ask(desk, person.subject_id, FIELDS))
    assert refusal.value.entry_id in {leaf["id"] for leaf in ledger.leaves("disclose")}
    assert str(refusal.value) == "unreadable"


class Unlocked:
    """Keys whose service answers no more once a value is to be opened."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def key(self, *_place: Any) -> bytes:
        """Answer not."""
        raise KeysUnavailable

    def __getattr__(self, name: str) -> Any:
        return getattr(self._vault.keys, name)


def test_without_the_key_service_what_must_be_opened_is_unavailable(
    vault: Vault, person: Enrolled, desk: Context, ledger: Ledger
) -> None:
    with pytest.raises(KeysUnavailable):
        disclose(replace(vault, keys=Unlocked(vault)), Ask(desk, person.subject_id, FIELDS))  # type: ignore[arg-type]
    assert len(ledger.leaves("disclose")) == 1
