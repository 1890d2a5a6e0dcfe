"""Tokens: the same for the same place and recipient, another for anybody else, never again after what they rest on has ended."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.makers import make_context, make_subject, make_ticket, register, terms
from tests.operations.conftest import Ledger
from vault.assembly import Vault
from vault.database import Database
from vault.errors import DatabaseUnavailable, KeysUnavailable
from vault.operations.agree import agree
from vault.operations.callers import Registration, register_caller
from vault.operations.disclose import disclose, disclose_all
from vault.operations.disclosure import Ask
from vault.operations.enroll import Enrolled
from vault.operations.withdraw import withdraw
from vault.policy.model import Context

VALUES = {"given_name": "Giulia", "email": "giulia@example.it", "tax_code": "RSSMRA85T10A562S", "vat_number": "00743110157"}


@pytest.fixture
def person(vault: Vault, controller_id: str) -> Enrolled:
    register(vault, controller_id, "t1", "system")
    return make_subject(vault, controller_id, VALUES)


def reader(vault: Vault, controller_id: str, subject_id: str, caller_id: str = "t1-1", recipient: str = "helpdesk") -> Context:
    """Return the context of a first-tier agent of this recipient with a ticket of theirs about the person."""
    register_caller(vault, controller_id, Registration(caller_id, ("t1",), "support", recipient=recipient))
    ticket = make_ticket(vault, controller_id, subject_id, "t1", f"T-{caller_id}-{subject_id[-4:]}", assignee=caller_id)
    context = make_context(controller_id, "t1", ticket=ticket)
    return replace(context, caller=replace(context.caller, id=caller_id))


def tokens(vault: Vault, context: Context, subject_id: str, *fields: str) -> dict[str, str]:
    shown = disclose(vault, Ask(context, subject_id, fields)).fields
    assert {one.state for one in shown.values()} == {"token"}
    return {name: str(one.value) for name, one in shown.items()}


def test_a_token_is_stable_and_kept_once(vault: Vault, controller_id: str, person: Enrolled, ledger: Ledger) -> None:
    context = reader(vault, controller_id, person.subject_id)
    first = tokens(vault, context, person.subject_id, "tax_code", "vat_number")
    assert tokens(vault, context, person.subject_id, "tax_code", "vat_number") == first
    assert first["tax_code"] != first["vat_number"]
    kept = ledger.rows("keys.token", "true ORDER BY field", "field, recipient, serial, agreement_id, expires_at")
    assert kept == [(name, "helpdesk", 1, person.agreements[0], None) for name in ("tax_code", "vat_number")]
    assert not any(text in repr(ledger.rows("keys.token")) for text in first.values())


def test_two_recipients_can_not_join_on_their_tokens(vault: Vault, controller_id: str, person: Enrolled) -> None:
    ours = tokens(vault, reader(vault, controller_id, person.subject_id), person.subject_id, "tax_code")
    colleague = tokens(vault, reader(vault, controller_id, person.subject_id, "t1-2"), person.subject_id, "tax_code")
    theirs = tokens(vault, reader(vault, controller_id, person.subject_id, "t1-3", "controller"), person.subject_id, "tax_code")
    assert ours == colleague
    assert ours != theirs


def test_two_people_with_one_value_have_two_tokens(vault: Vault, controller_id: str, person: Enrolled) -> None:
    other = make_subject(vault, controller_id, VALUES)
    contexts = [reader(vault, controller_id, one) for one in (person.subject_id, other.subject_id)]
    both = [tokens(vault, context, one.subject_id, "tax_code") for context, one in zip(contexts, (person, other), strict=True)]
    assert both[0] != both[1]


def test_a_token_whose_agreement_ended_is_never_shown_again(
    vault: Vault, controller_id: str, person: Enrolled, ledger: Ledger
) -> None:
    by_phone = make_context(controller_id, "system", channel="phone")
    campaign = make_context(controller_id, "system", purpose="marketing")
    seen = []
    for _ in range(3):
        made = agree(vault, by_phone, person.subject_id, terms("marketing"))
        shown = [tokens(vault, campaign, person.subject_id, "email")["email"] for _ in range(2)]
        assert shown[0] == shown[1]
        seen.append(shown[0])
        withdraw(vault, by_phone, made.agreement_id, {})
    assert len(set(seen)) == 3
    kept = ledger.rows("keys.token", "field = 'email' ORDER BY serial", "serial, expires_at IS NULL")
    assert kept == [(1, False), (2, False), (3, False)]


class Failing(Database):
    """The database, whose transactions fail."""

    def transaction(self, controller_id: str) -> "Failing":  # type: ignore[override]
        """Fail."""
        raise DatabaseUnavailable(controller_id)


def asked(context: Context, subject_id: str, fields: Sequence[str]) -> Ask:
    return Ask(context, subject_id, tuple(fields))


def test_a_token_that_cannot_be_kept_is_not_shown_and_its_neighbours_are_answered(
    vault: Vault, controller_id: str, person: Enrolled, database_url: str
) -> None:
    context = reader(vault, controller_id, person.subject_id)
    failing = Failing(database_url, "riserbo_app")
    asks = [asked(context, person.subject_id, fields) for fields in (["given_name"], ["tax_code"], ["given_name", "tax_code"])]
    answers = disclose_all(replace(vault, database=failing), asks)
    assert [type(one).__name__ for one in answers] == ["Profile", "DatabaseUnavailable", "DatabaseUnavailable"]
    failing.close()
    assert tokens(vault, context, person.subject_id, "tax_code")


class Keyless:
    """Keys that open values and have no secrets left."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def __getattr__(self, name: str) -> object:
        if name == "secret":
            raise KeysUnavailable
        return getattr(self._vault.keys, name)


def test_without_the_secret_no_token_is_shown_and_the_neighbours_are_answered(
    vault: Vault, controller_id: str, person: Enrolled
) -> None:
    context = reader(vault, controller_id, person.subject_id)
    asks = [asked(context, person.subject_id, fields) for fields in (["given_name"], ["tax_code"])]
    answers = disclose_all(replace(vault, keys=Keyless(vault)), asks)  # type: ignore[arg-type]
    assert [type(one).__name__ for one in answers] == ["Profile", "KeysUnavailable"]
