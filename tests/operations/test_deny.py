"""Emergency denials: in force with the next reading, in every process; they only withhold, end by themselves, and are on record."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner

from tests.makers import EVERYTHING, make_context, make_subject, make_ticket, register
from tests.operations.conftest import Ledger
from vault.__main__ import app
from vault.assembly import Vault
from vault.errors import AccessDenied, Conflict, InvalidValue, NotFound, Restricted, VaultError
from vault.opening import Opened
from vault.operations.deny import Order, What, denials_in_force, deny, lift_denial
from vault.operations.disclose import disclose
from vault.operations.disclosure import Ask, Profile
from vault.operations.explain import explain_in_house
from vault.operations.find import find
from vault.operations.verify import verify
from vault.policy.model import Context

WHY = "un conto di servizio è compromesso da stamattina"
FIELDS = ("given_name", "email", "iban", "tax_code", "balance")
VALUES = {name: EVERYTHING[name] for name in FIELDS}


@dataclass(frozen=True)
class House:
    """A person, and agents of the first tier, each with a ticket about them."""

    vault: Vault
    controller_id: str
    subject_id: str
    agent: Context

    def shown(self, vault: Vault | None = None, agent: Context | None = None) -> dict[str, str]:
        """Return state and reason of each field, or the code of the refusal."""
        try:
            profile = self.profile(vault, agent)
        except VaultError as error:
            return {"refused": error.code}
        return {name: one.because if one.state == "withheld" else one.state for name, one in profile.fields.items()}

    def profile(self, vault: Vault | None = None, agent: Context | None = None) -> Profile:
        return disclose(vault or self.vault, Ask(agent or self.agent, self.subject_id, FIELDS))

    def deny(self, *, hours: int = 24, **what: str) -> str:
        return deny(self.vault, self.controller_id, Order(What(**what), hours, WHY)).denial_id


def at(vault: Vault, instant: datetime) -> Vault:
    return replace(vault, now=lambda: instant)


@pytest.fixture
def house(vault: Vault, controller_id: str) -> House:
    register(vault, controller_id, "t1", "t2")
    person = make_subject(vault, controller_id, VALUES).subject_id
    agent = make_context(controller_id, "t1", ticket=make_ticket(vault, controller_id, person, "t1"))
    return House(vault, controller_id, person, agent)


AS_EVER = {"given_name": "clear", "email": "masked", "iban": "masked", "tax_code": "token", "balance": "role"}
NOTHING = {**dict.fromkeys(FIELDS, "emergency-denial"), "balance": "role"}


def test_it_is_in_force_with_the_next_reading_and_over_when_lifted(house: House) -> None:
    assert house.shown() == AS_EVER
    denial = house.deny(field="email")
    assert house.shown() == {**AS_EVER, "email": "emergency-denial"}
    lift_denial(house.vault, house.controller_id, denial)
    assert house.shown() == AS_EVER


@pytest.mark.parametrize(
    ("what", "left"),
    [
        ({"role": "t1"}, NOTHING),
        ({"role": "t2"}, AS_EVER),
        ({"caller_id": "t1-1"}, NOTHING),
        ({"caller_id": "t1-2"}, AS_EVER),
        ({"purpose": "customer-care"}, NOTHING),
        ({"purpose": "billing"}, AS_EVER),
        ({"channel": "phone"}, NOTHING),
        ({"channel": "chat"}, AS_EVER),
        ({"recipient": "helpdesk"}, NOTHING),
        ({"recipient": "care-unit"}, AS_EVER),
        ({"class_name": "contact"}, {**AS_EVER, "given_name": "emergency-denial", "email": "emergency-denial"}),
        ({"role": "t1", "field": "iban"}, {**AS_EVER, "iban": "emergency-denial"}),
        ({"role": "t2", "field": "iban"}, AS_EVER),
        ({"class_name": "contact", "field": "iban"}, AS_EVER),
        ({"role": "t1", "channel": "chat"}, AS_EVER),
    ],
)
def test_all_that_is_stated_must_be_so(house: House, what: dict[str, Any], left: Mapping[str, str]) -> None:
    house.deny(**what)
    assert house.shown() == left


def test_what_was_withheld_anyway_keeps_its_reason_and_no_denial_ever_shows_more(house: House) -> None:
    """It can only deny: whatever is denied, each field is as it was or withheld."""
    for name, value in (("role", "t1"), ("field", "balance"), ("class_name", "financial"), ("channel", "phone")):
        deny(house.vault, house.controller_id, Order(What(**{name: value}), 24, WHY))
        shown = house.shown()
        assert all(one in (AS_EVER[name], "emergency-denial") for name, one in shown.items())
        assert shown["balance"] == "role"


def test_without_a_verified_ticket_nothing_left_is_the_uniform_404(house: House) -> None:
    unheard = replace(house.agent, ticket_id="TCK-unheard")
    assert house.shown(agent=unheard)["given_name"] == "clear"
    house.deny(role="t1")
    assert house.shown(agent=unheard) == {"refused": "not-found"}


def test_a_restriction_under_a_denial_does_not_say_that_there_was_a_right(house: House, ledger: Ledger) -> None:
    ledger.owner(
        f"UPDATE vault.subject SET restricted = '{{{','.join(FIELDS)}}}', restricted_at = now()"
        f" WHERE subject_id = '{house.subject_id}'"
    )
    with pytest.raises(Restricted):
        house.profile()
    house.deny(role="t1")
    assert set(house.shown().values()) == {"restricted"}


def test_every_verb_about_fields_obeys(house: House, controller_id: str) -> None:
    mine = house.agent
    assert verify(house.vault, mine, house.subject_id, "email", EVERYTHING["email"]).match
    assert find(house.vault, mine, "email", EVERYTHING["email"]).matches
    house.deny(field="email")
    with pytest.raises(AccessDenied) as refusal:
        verify(house.vault, mine, house.subject_id, "email", EVERYTHING["email"])
    assert refusal.value.code == "emergency-denial"
    with pytest.raises(AccessDenied) as refusal:
        find(house.vault, mine, "email", EVERYTHING["email"])
    assert refusal.value.code == "emergency-denial"


def test_it_ends_by_itself_after_its_hours(house: House) -> None:
    house.deny(hours=2, role="t1")
    for hours, left in ((1.9, NOTHING), (2.1, AS_EVER)):
        later = house.vault.now() + timedelta(hours=hours)
        assert house.shown(at(house.vault, later)) == left
    assert [one.what.stated() for one in denials_in_force(house.vault, house.controller_id)] == [{"role": "t1"}]
    assert denials_in_force(at(house.vault, house.vault.now() + timedelta(hours=3)), house.controller_id) == []


def test_seventy_two_hours_are_the_most_even_for_the_database(house: House, ledger: Ledger) -> None:
    denial = house.deny(hours=72, role="t1")
    with pytest.raises(psycopg.errors.CheckViolation):
        ledger.owner(f"UPDATE vault.policy_denial SET ends_at = ends_at + interval '1 s' WHERE denial_id = '{denial}'")
    with pytest.raises(psycopg.errors.CheckViolation):
        ledger.owner(
            "INSERT INTO vault.policy_denial VALUES ('c', 'dny_x', NULL, NULL, NULL, NULL, NULL, NULL, NULL, now(), now(), '', '')"
        )


@pytest.mark.parametrize(
    ("order", "faults"),
    [
        (Order(What(), 1, WHY), {("/what", "denial.of-nothing")}),
        (Order(What("boss", "", "x", "y", "z", "pigeon", "moon"), 1, WHY),
         {("/role", "unknown"), ("/caller_id", "malformed"), ("/purpose", "unknown"), ("/field", "unknown"), ("/class", "unknown"),
          ("/channel", "unknown"), ("/recipient", "unknown")}),
        (Order(What("t1"), 73, "perché"), {("/hours", "hours.range"), ("/why", "text.too-short")}),
        (Order(What("t1"), 0, WHY), {("/hours", "hours.range")}),
    ],
)  # fmt: skip
def test_what_is_of_no_list_is_told_by_member(vault: Vault, controller_id: str, order: Order, faults: set[tuple[str, str]]) -> None:
    with pytest.raises(InvalidValue) as refusal:
        deny(vault, controller_id, order)
    assert {(one.pointer, one.code) for one in refusal.value.faults} == faults


def test_who_denied_what_and_why_is_on_record(house: House, ledger: Ledger) -> None:
    denial = house.deny(role="t1")
    lift_denial(house.vault, house.controller_id, denial)
    with pytest.raises(Conflict):
        lift_denial(house.vault, house.controller_id, denial)
    with pytest.raises(NotFound):
        lift_denial(house.vault, house.controller_id, "dny_" + "z" * 26)
    assert [leaf["outcome"] for leaf in ledger.leaves("deny")] == ["done"]
    assert [leaf["outcome"] for leaf in ledger.leaves("lift_denial")] == ["done", "refused", "refused"]
    told = ledger.rows("vault.event", "starts_with(name, 'policy:') ORDER BY at", "name, data->>'denial_id'")
    assert told == [("policy:denied", denial), ("policy:denial-lifted", denial)]
    assert "compromesso" not in repr(ledger.leaves("deny")) + repr(ledger.rows("vault.policy_denial")) + repr(Order(What(), 1, WHY))


def test_a_decision_under_a_denial_is_explained_after_it_is_over(house: House) -> None:
    denial = house.deny(class_name="contact")
    decision_id = house.profile().decision_id
    lift_denial(house.vault, house.controller_id, denial)
    told = explain_in_house(house.vault, house.controller_id, decision_id).document
    assert told["fields"]["email"]["because"] == "emergency-denial"
    assert told["fields"]["email"]["policies"] == ["emergency-denial"]
    assert told["fields"]["iban"]["state"] == "masked"
    assert "denied" in told["input"]


def test_another_process_s_denial_is_obeyed_within_a_second(
    house: House, database_url: str, keyring_home: Path, controller_id: str
) -> None:
    """The command ends when the denial is committed; this process reads on all the while."""
    said = ["policy", "deny", "--role", "t1", "--why", WHY, "-c", controller_id, "--json"]
    environment = {**os.environ, "RISERBO_DATABASE_URL": database_url, "RISERBO_HOME": str(keyring_home)}
    house.shown()
    with subprocess.Popen(
        [sys.executable, "-m", "vault", *said], env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as command:
        while command.poll() is None:
            assert house.shown() in (AS_EVER, NOTHING)
            time.sleep(0.1)
        ended = time.monotonic()
        assert house.shown() == NOTHING
        took = time.monotonic() - ended
        assert command.stdout is not None
        document = json.loads(command.stdout.read())
    assert command.returncode == 0
    assert took < 1
    assert document["denied"] == {"role": "t1"}


@pytest.fixture
def environment(database_url: str, keyring_home: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RISERBO_DATABASE_URL", database_url)
    monkeypatch.setenv("RISERBO_HOME", str(keyring_home))


@pytest.mark.usefixtures("environment")
def test_commands_deny_list_and_lift(house: House, controller_id: str) -> None:
    runner, own = CliRunner(), ["-c", controller_id]

    def run(*line: str) -> Any:
        done = runner.invoke(app, ["policy", *line, *own, "--json"])
        return {**json.loads(done.stdout), "exit": done.exit_code}

    assert "Nothing is denied" in runner.invoke(app, ["policy", "denials", *own]).stderr
    made = run("deny", "--class", "special", "--channel", "chat", "--hours", "2", "--why", WHY)
    assert made["denied"] == {"class": "special", "channel": "chat"}
    assert [one["denial_id"] for one in run("denials")["denials"]] == [made["denial_id"]]
    assert "class special, channel chat" in runner.invoke(app, ["policy", "denials", *own]).stderr
    assert run("lift", made["denial_id"])["exit"] == 0
    assert run("denials")["denials"] == []
    nothing = run("deny", "--why", WHY)
    assert (nothing["exit"], nothing["errors"][0]["code"]) == (1, "denial.of-nothing: state at least one")
    wrong = run("deny", "--class", "financal", "--caller", " ", "--hours", "99", "--why", "short")
    assert [one["pointer"] for one in wrong["errors"]] == ["--class", "--hours", "--why"]
    assert "financial" in wrong["errors"][0]["code"]
    assert wrong["errors"][1]["code"] == "hours.range: 1 to 72"
