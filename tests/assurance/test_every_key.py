"""Two agreements hold one class: ending either takes its own key alone, ending both leaves nothing that any key there is reads.

The last is tried with every key of the database and the keyring on everything that was sealed, also on what has been deleted since:
a copy of the rows made before serves nobody.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.assurance.desk import Desk
from tests.assurance.every_key import Burglar
from tests.assurance.sealed import begin_epoch
from tests.assurance.yes import AlwaysYes
from tests.makers import terms
from tests.policy.makers import altered, relock, shipped_text
from vault.agreements.terms import Template
from vault.assembly import Vault
from vault.errors import NotFound, Unreadable
from vault.operations.agree import agree
from vault.operations.amend import amend
from vault.operations.disclose import disclose
from vault.operations.disclosure import Ask
from vault.operations.enroll import AgreementTerms, enroll
from vault.operations.withdraw import withdraw
from vault.policy.bundle import load_bundle
from vault.policy.engine import Policy

CONTACT = {"given_name": "Giuliana", "email": "giuliana.bianchi@example.it"}
FINANCIAL = {"iban": "IT60X0542811101000000123456", "tax_code": "RSSMRA85T10A562S"}
BEFORE = {"email": "prima.di.ora@example.it"}
VALUES = {**CONTACT, **FINANCIAL}
PURPOSES = {"care": "customer-care", "marketing": "marketing"}


@pytest.fixture
def sql(database_url: str) -> Iterator["psycopg.Connection[Any]"]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def caring(desk: Desk, tmp_path: Path) -> Vault:
    """The vault with a contract that no duty to keep comes with: when it ends, nothing has to stay."""
    care = (
        shipped_text("agreements/marketing.v1.yaml").replace("id: marketing", "id: care").replace("texts/marketing", "texts/care")
    )
    care = care.replace("basis: consent", "basis: contract").replace("purposes: [marketing]", "purposes: [customer-care]")
    care = care.replace("categories: [", "categories: [pd:Financial, vault:CodiceFiscale, ").replace("until: P24M", "until: open")
    texts: dict[str, str | None] = {f"texts/care.v1.{language}.md": "Assistenza.\n" for language in ("it", "en")}
    directory = altered(tmp_path, {"agreements/care.v1.yaml": care, **texts})
    relock(directory)
    bundle = load_bundle(directory)
    templates = {reference: Template.of(document) for reference, document in bundle.templates.items()}
    return replace(desk.vault, policy=Policy(bundle), templates=templates)


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody whose contact data a contract and a consent grant, each wrapped in an epoch of its own."""

    vault: Vault
    desk: Desk
    subject_id: str
    agreements: dict[str, str]

    def read(self, template: str) -> str:
        """Read for what an agreement is for, policy deciding as it does; return the agreement that decided."""
        context = replace(self.desk.context("system"), purpose=PURPOSES[template])
        (agreement_id,) = disclose(self.vault, Ask(context, self.subject_id, ("email",))).agreements
        return agreement_id

    def said_yes(self, template: str, *fields: str) -> dict[str, Any]:
        """Read under a policy that always says yes, resting on an agreement. Raises what the vault raises."""
        policy = AlwaysYes(self.vault.policy._bundle)
        policy.agreement_id = self.agreements[template]
        shown = disclose(replace(self.vault, policy=policy), Ask(self.desk.context("t1"), self.subject_id, fields))
        return {name: one.value for name, one in shown.fields.items()}

    def end(self, template: str) -> tuple[str, ...]:
        """Withdraw; return the classes that are gone with it."""
        return withdraw(self.vault, self.desk.context("system"), self.agreements[template], {}).emptied


@pytest.fixture
def person(caring: Vault, desk: Desk, sql: "psycopg.Connection[Any]") -> Person:
    system = desk.context("system")
    spoken = replace(system, channel="phone")
    shared = {**VALUES, **BEFORE}
    made = enroll(caring, spoken, shared, (AgreementTerms("care", None, "it", {}),))
    amend(caring, system, made.subject_id, made.agreements[0], {"email": VALUES["email"]}, 1)
    begin_epoch(desk, sql, 2)
    consent = agree(caring, spoken, made.subject_id, terms("marketing")).agreement_id
    return Person(caring, desk, made.subject_id, {"care": made.agreements[0], "marketing": consent})


@pytest.mark.parametrize(("ended", "other"), [("marketing", "care"), ("care", "marketing")])
def test_ending_one_of_two_leaves_the_data_to_the_other_alone(
    person: Person, desk: Desk, sql: "psycopg.Connection[Any]", ended: str, other: str
) -> None:
    for template in PURPOSES:
        assert person.said_yes(template, *CONTACT) == CONTACT  # it does say yes, and either wrap opens
        assert person.read(template) == person.agreements[template]
    gone = person.end(ended)
    with pytest.raises(Unreadable):
        person.said_yes(ended, *CONTACT)
    with pytest.raises(NotFound):
        person.read(ended)
    assert person.read(other) == person.agreements[other]
    assert person.said_yes(other, *CONTACT) == CONTACT
    assert gone == (() if ended == "marketing" else ("financial",))
    left = VALUES if ended == "marketing" else CONTACT
    assert Burglar(desk, sql).reads(Burglar(desk, sql).sealed(), VALUES) == left.keys()


def test_a_value_of_another_class_opens_under_no_policy(person: Person) -> None:
    """The consent holds the key of the contact data, and that key is all it holds."""
    assert person.said_yes("care", *FINANCIAL) == FINANCIAL
    for name in FINANCIAL:
        with pytest.raises(Unreadable):
            person.said_yes("marketing", name)
        with pytest.raises(Unreadable):  # beside one it does open
            person.said_yes("marketing", "email", name)


@pytest.mark.parametrize("order", [("marketing", "care"), ("care", "marketing")])
def test_ending_the_last_leaves_nothing_that_any_key_reads(
    person: Person, desk: Desk, sql: "psycopg.Connection[Any]", order: tuple[str, str]
) -> None:
    burglar = Burglar(desk, sql)
    copied = burglar.sealed()
    assert len(copied) == len(VALUES) + len(BEFORE)
    assert burglar.reads(copied, VALUES) == VALUES.keys()  # it does read, what is and what was
    assert burglar.reads(copied, BEFORE) == BEFORE.keys()
    for template in order:
        person.end(template)
    assert burglar.sealed() == []
    assert len(burglar.keys()) > 1
    assert burglar.reads(copied, VALUES) == set()
    assert burglar.reads(copied, BEFORE) == set()
    for template in PURPOSES:
        assert set(person.said_yes(template, *VALUES).values()) == {None}
