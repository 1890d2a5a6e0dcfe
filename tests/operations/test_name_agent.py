"""An agent is named by two people, for one suspicion or one report, for a while; and each look is on record."""

import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from tests.makers import make_context, make_subject, make_ticket, register
from tests.operations.conftest import Ledger
from vault.assembly import Vault
from vault.audit.reading import ReadEntry
from vault.errors import AccessDenied, Conflict, InvalidValue, NotFound
from vault.opening import Opened
from vault.operations.callers import Registration, register_caller
from vault.operations.disclose import disclose
from vault.operations.disclosure import Ask
from vault.operations.hand_over_accesses import hand_over_accesses
from vault.operations.name_agent import Naming, Plea, approve_naming, ask_naming, see_name, see_plea
from vault.operations.open_entry import open_entry
from vault.policy.model import Caller, Context

WHY = "la cliente vuole sapere chi ha guardato il suo conto"
SUSPICION, REQUEST = "sus_" + "a" * 26, "req_" + "a" * 26


@dataclass(frozen=True)
class House:
    """A customer, an access of theirs by an agent, an officer and an approver."""

    vault: Vault
    subject_id: str
    entry_id: str
    officer: Context
    approver: Context

    def ask(self, kind: Any = "suspicion", **said: Any) -> Naming:
        reference = SUSPICION if kind == "suspicion" else REQUEST
        return ask_naming(self.vault, self.officer, replace(Plea(self.entry_id, kind, reference, WHY), **said))

    def after(self, **passed: float) -> Vault:
        return replace(self.vault, now=lambda: self.vault.now() + timedelta(**passed))


@pytest.fixture
def house(vault: Vault, controller_id: str, opened: Opened) -> House:
    register(vault, controller_id, "t1", "t2", "dpo")
    register_caller(vault, controller_id, Registration("lead-1", ("t2", "unmask-approver")))
    made = make_subject(vault, controller_id, {"given_name": "Giulia", "email": "g@example.it"})
    ticket = make_ticket(vault, controller_id, made.subject_id, "t1")
    shown = disclose(vault, Ask(make_context(controller_id, "t1", ticket=ticket), made.subject_id))
    opened.trail.settle(controller_id)
    lead = Caller("lead-1", "agent", frozenset({"t2", "unmask-approver"}), "zammad", step_up=True)
    approver = Context(controller_id, lead, "customer-care", "phone", ticket)
    return House(vault, made.subject_id, shown.entry_id, make_context(controller_id, "dpo"), approver)


def test_two_people_name_an_agent_and_each_look_is_on_record(
    house: House, ledger: Ledger, opened_entry: Callable[[str], ReadEntry]
) -> None:
    asked = house.ask()
    approve_naming(house.vault, house.approver, asked.naming_id)
    looks = [see_name(house.vault, house.officer, asked.naming_id) for _ in range(2)]
    assert {one.caller_id for one in looks} == {"t1-1"}
    for verb, number in (("ask_unmask", 1), ("approve_unmask", 1), ("unmask", 2)):
        assert ledger.outcomes(verb) == ["done"] * number
    said = opened_entry(asked.entry_id)
    assert (said.internal["why"], said.internal["reference"]) == (WHY, SUSPICION)
    assert WHY not in json.dumps(said.leaf) + json.dumps(said.details)
    assert "t1-1" not in json.dumps(said.internal)


def test_nothing_is_told_before_another_person_approved(house: House, ledger: Ledger) -> None:
    asked = house.ask()
    with pytest.raises(Conflict):
        see_name(house.vault, house.officer, asked.naming_id)
    own = replace(house.approver, caller=replace(house.approver.caller, id="dpo-1"))
    register_caller(house.vault, house.officer.controller_id, Registration("dpo-1", ("unmask-approver",)))
    with pytest.raises(AccessDenied) as refused:
        approve_naming(house.vault, own, asked.naming_id)
    assert refused.value.code == "self-approval"
    assert ledger.outcomes("approve_unmask") == ["refused"]


@pytest.mark.parametrize(("change", "code"), [({"step_up": False}, "step-up-needed"), ({"actor": "helpdesk"}, "own-token-needed")])
def test_the_approver_is_one_who_proves_it(house: House, change: dict[str, Any], code: str) -> None:
    asked = house.ask()
    register_caller(house.vault, house.officer.controller_id, Registration("helpdesk", ("system",), acts_for_agents=True))
    with pytest.raises(AccessDenied) as refused:
        approve_naming(house.vault, replace(house.approver, caller=replace(house.approver.caller, **change)), asked.naming_id)
    assert refused.value.code == code


def test_an_approval_comes_within_a_day_once_and_lapses_after_seven(house: House) -> None:
    late = house.ask()
    with pytest.raises(Conflict):
        approve_naming(house.after(hours=24), house.approver, late.naming_id)
    asked = house.ask()
    approve_naming(house.after(hours=23), house.approver, asked.naming_id)
    with pytest.raises(Conflict):
        approve_naming(house.vault, house.approver, asked.naming_id)
    assert see_name(house.after(days=7), house.officer, asked.naming_id).caller_id == "t1-1"
    with pytest.raises(Conflict):
        see_name(house.after(days=8), house.officer, asked.naming_id)


def test_who_did_not_ask_does_not_see(house: House) -> None:
    asked = house.ask()
    approve_naming(house.vault, house.approver, asked.naming_id)
    register_caller(house.vault, house.officer.controller_id, Registration("dpo-2", ("dpo",), recipient="controller"))
    other = replace(house.officer, caller=replace(house.officer.caller, id="dpo-2"))
    for context in (other, house.approver):
        with pytest.raises((NotFound, AccessDenied)):
            see_name(house.vault, context, asked.naming_id)
    with pytest.raises(NotFound):
        see_name(house.vault, house.officer, "nam_" + "z" * 26)


def test_only_an_officer_asks_of_an_agent_s_access_and_says_why(house: House, ledger: Ledger) -> None:
    with pytest.raises(InvalidValue):
        house.ask(why="perché sì")
    for entry_id in ("ent_" + "z" * 26, ledger.leaves("enroll")[0]["id"]):
        with pytest.raises(NotFound):
            house.ask(entry_id=entry_id)
    with pytest.raises(AccessDenied):
        ask_naming(house.vault, house.approver, Plea(house.entry_id, "suspicion", SUSPICION, WHY))


def rows(house: House, naming_id: str | None) -> list[dict[str, Any]]:
    package = hand_over_accesses(house.vault, house.officer, house.subject_id, naming=naming_id).package
    with zipfile.ZipFile(io.BytesIO(package)) as packed:
        return list(json.loads(packed.read("accesses/accesses.json"))["accesses"])


def test_a_name_stands_in_one_report_and_no_other(house: House) -> None:
    asked = house.ask("report")
    with pytest.raises(Conflict):
        rows(house, asked.naming_id)
    approve_naming(house.vault, house.approver, asked.naming_id)
    with pytest.raises(NotFound):  # it is for the report, not for a look
        see_name(house.vault, house.officer, asked.naming_id)
    named = [one for one in rows(house, asked.naming_id) if "name" in one]
    assert [(one["operation"], one["name"]) for one in named] == [("disclose", "t1-1")]
    assert not [one for one in rows(house, None) if "name" in one]
    with pytest.raises(Conflict):
        rows(house, asked.naming_id)
    with pytest.raises(NotFound):
        rows(house, house.ask().naming_id)


def test_a_name_in_a_report_is_an_entry_before_it_is_told(
    house: House, ledger: Ledger, opened_entry: Callable[[str], ReadEntry]
) -> None:
    asked = house.ask("report")
    approve_naming(house.vault, house.approver, asked.naming_id)
    assert [one for one in rows(house, asked.naming_id) if "name" in one]
    (told,) = ledger.leaves("unmask")
    said = opened_entry(told["id"])
    report = ledger.leaves("show_accesses")[-1]["id"]
    assert (said.internal["naming"], said.internal["of"], said.internal["report"]) == (asked.naming_id, house.entry_id, report)
    assert told["at"] >= ledger.leaves("show_accesses")[-1]["at"]
    assert "t1-1" not in json.dumps(said.internal)


def test_the_approver_sees_what_was_asked_and_why_and_never_whose(house: House, ledger: Ledger) -> None:
    asked = house.ask()
    seen = see_plea(house.vault, house.approver, asked.naming_id)
    assert seen.plea == Plea(house.entry_id, "suspicion", SUSPICION, WHY)
    assert set(seen.fields) == set(ledger.leaves("disclose")[0]["fields"])
    assert "t1-1" not in repr(seen)
    assert ledger.leaves("approve_unmask")[-1]["id"] == seen.entry_id
    with pytest.raises(AccessDenied):
        see_plea(house.vault, house.officer, asked.naming_id)
    with pytest.raises(NotFound):
        see_plea(house.vault, house.approver, "nam_" + "z" * 26)
    with pytest.raises(Conflict):
        see_plea(house.after(hours=24), house.approver, asked.naming_id)


def test_another_officer_reads_why_a_name_was_asked_for(house: House) -> None:
    asked = house.ask()
    register_caller(house.vault, house.officer.controller_id, Registration("dpo-2", ("dpo",), recipient="controller"))
    other = replace(
        make_context(house.officer.controller_id, "dpo", purpose="fraud-prevention"),
        caller=replace(house.officer.caller, id="dpo-2"),
    )
    told = open_entry(house.vault, other, asked.entry_id, "REVIEW").document["internal"]
    assert (told["why"], told["reference"], told["naming"], told["of"]) == (WHY, SUSPICION, asked.naming_id, house.entry_id)


def test_a_report_is_on_somebody(house: House) -> None:
    stranger = make_context(house.officer.controller_id, "t1", ticket="TCK-unheard-of")
    with pytest.raises(NotFound) as missed:
        disclose(house.vault, Ask(stranger, "sub_" + "z" * 26))
    of_nobody = missed.value.entry_id
    assert of_nobody is not None
    with pytest.raises(NotFound):
        house.ask("report", entry_id=of_nobody)
    asked = house.ask(entry_id=of_nobody)
    approve_naming(house.vault, house.approver, asked.naming_id)
    assert see_name(house.vault, house.officer, asked.naming_id).caller_id == "t1-1"
