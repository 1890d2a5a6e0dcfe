"""The ledger of disclosures: what the trail says went to whom, once, wherever the reading was interrupted."""

from dataclasses import dataclass, replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.conftest import Controllers
from tests.makers import make_context, make_subject, make_ticket, register
from tests.operations.conftest import Ledger
from vault.assembly import Vault
from vault.opening import Opened
from vault.operations import project_disclosures as projecting
from vault.operations.acting import HOUSE, prepare, record
from vault.operations.callers import Registration, register_caller
from vault.operations.disclose import disclose
from vault.operations.disclosure import Ask
from vault.operations.project_disclosures import catch_up, project_disclosures
from vault.policy.model import Context
from vault.recipients import records
from vault.recipients.disclosures import Line, received

VALUES = {"given_name": "Giulia", "email": "giulia@example.it", "iban": "IT60X0542811101000000123456"}


@dataclass(frozen=True)
class House:
    """A controller, and agents of several recipients."""

    opened: Opened
    controller_id: str

    @property
    def vault(self) -> Vault:
        return self.opened.vault

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.opened, self.controller_id)

    def person(self) -> str:
        return make_subject(self.vault, self.controller_id, VALUES).subject_id

    def shown(self, subject_id: str, recipient: str, *fields: str) -> str:
        """Show fields to an agent of this recipient; return the entry."""
        caller = f"{recipient}-agent"
        register_caller(self.vault, self.controller_id, Registration(caller, ("t1",), recipient=recipient))
        ticket = make_ticket(self.vault, self.controller_id, subject_id, "t1", f"T-{caller}-{subject_id[-8:]}", assignee=caller)
        context = make_context(self.controller_id, "t1", ticket=ticket)
        agent = replace(context, caller=replace(context.caller, id=caller))
        return disclose(self.vault, Ask(agent, subject_id, fields)).entry_id

    def projected(self) -> int:
        self.opened.trail.settle(self.controller_id)
        return project_disclosures(self.vault, self.controller_id)

    def lines(self, subject_id: str) -> list[Line]:
        with self.vault.database.snapshot(self.controller_id) as rows:
            return records.disclosures(rows, self.controller_id, subject_id)

    def received(self, subject_id: str) -> dict[str, frozenset[str]]:
        return received(self.lines(subject_id))


@pytest.fixture(scope="module")
def house(opened: Opened, shared_controllers: Controllers) -> House:
    found = House(opened, shared_controllers())
    register(opened.vault, found.controller_id, "dpo", "t1", "dsr-officer")
    return found


def test_each_recipient_received_exactly_what_it_was_shown(house: House) -> None:
    subject_id = house.person()
    house.shown(subject_id, "helpdesk", "email")
    house.shown(subject_id, "helpdesk", "given_name", "email")
    house.shown(subject_id, "controller", "iban")  # their own staff is no recipient
    house.projected()
    assert house.received(subject_id) == {"helpdesk": frozenset({"given_name", "email"})}
    by_field = {one.field: one for one in house.lines(subject_id)}
    ((agreement,),) = house.ledger.rows(
        "vault.agreement_state", f"subject_id = '{subject_id}' AND status = 'in_force'", "agreement_id"
    )
    assert {one.agreement_id for one in by_field.values()} == {agreement}
    assert (by_field["email"].level, by_field["given_name"].level) == ("masked:email_domain", "clear")
    assert by_field["email"].first_at < by_field["email"].last_at == by_field["given_name"].first_at


def test_what_is_read_twice_is_there_once(house: House) -> None:
    subject_id = house.person()
    house.shown(subject_id, "helpdesk", "email")
    house.projected()
    before = house.lines(subject_id)
    assert house.projected() == 0
    house.ledger.owner(f"DELETE FROM vault.disclosure_mark WHERE controller_id = '{house.controller_id}'")
    assert house.projected() > 0
    assert house.lines(subject_id) == before


def test_a_reading_that_was_overtaken_keeps_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process came as far meanwhile: its lines stand, and its mark does not go back."""
    subject_id = house.person()
    house.shown(subject_id, "helpdesk", "email")
    house.opened.trail.settle(house.controller_id)
    recorded = projecting._recorded

    def overtaken(vault: Vault, controller_id: str, count: int) -> Any:
        monkeypatch.setattr(projecting, "_recorded", recorded)
        project_disclosures(vault, controller_id)
        return recorded(vault, controller_id, count)

    monkeypatch.setattr(projecting, "_recorded", overtaken)
    house.projected()
    (line,) = house.lines(subject_id)
    assert line.first_at == line.last_at


def test_steps_go_on_where_the_last_one_ended(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.projected()
    people = [house.person() for _ in range(2)]
    for subject_id in people:
        house.shown(subject_id, "helpdesk", "email")
    monkeypatch.setattr(projecting, "AT_ONCE", 3)
    assert house.projected() == len(people)
    assert all(house.received(one) == {"helpdesk": frozenset({"email"})} for one in people)


def acting(house: House, subject_id: str) -> Any:
    context: Context = make_context(house.controller_id, "dpo", purpose="rights-fulfilment")
    made = prepare(house.vault, "erase", context, subject_id, permission=HOUSE)
    record(house.vault, made, outcome="allowed", details={"result": "planned"})
    return made


def test_catching_up_reads_what_the_job_has_not_come_to(house: House) -> None:
    """Seen failing without the wait for the act's own entry: the last accesses had no position yet, and nobody was told of them."""
    subject_id, other = house.person(), house.person()
    house.shown(subject_id, "helpdesk", "email")
    house.projected()
    house.shown(subject_id, "helpdesk", "given_name")
    house.shown(other, "helpdesk", "iban")
    found = catch_up(house.vault, acting(house, subject_id))
    assert received(found) == {"helpdesk": frozenset({"email", "given_name"})}
    assert {one.subject_id for one in found} == {subject_id}


def test_an_entry_attributed_to_another_person_counts_for_nobody(house: House) -> None:
    """Whoever owns the database may say whose entry it was; the tag in the leaf says that it was not."""
    subject_id, other = house.person(), house.person()
    entry_id = house.shown(subject_id, "helpdesk", "email")
    house.opened.trail.settle(house.controller_id)
    house.ledger.owner(
        f"SET session_replication_role = replica;UPDATE vault.audit_detail SET subject_id = '{other}' WHERE entry_id = '{entry_id}'"
    )
    with capture_logs() as logs:
        house.projected()
    assert ("disclosure_unattributed", entry_id) in [(one["event"], one.get("entry_id")) for one in logs]
    assert house.lines(other) == []


def test_what_no_longer_opens_went_there_all_the_same(house: House) -> None:
    subject_id = house.person()
    entry_id = house.shown(subject_id, "helpdesk", "email")
    house.opened.trail.settle(house.controller_id)
    house.ledger.owner(
        f"SET session_replication_role = replica; UPDATE vault.audit_detail SET sealed = NULL WHERE entry_id = '{entry_id}'"
    )
    house.projected()
    assert [(one.field, one.agreement_id) for one in house.lines(subject_id)] == [("email", "")]


def test_a_log_without_entries_or_of_a_new_era_is_read_on(house: House, controller_id: str) -> None:
    fresh = replace(house, controller_id=controller_id)
    assert fresh.projected() == 0
    house.projected()
    house.ledger.owner(
        f"UPDATE vault.disclosure_mark SET era = 0, position = 5 WHERE controller_id = '{house.controller_id}'"
    )  # an era that ended, of which nothing is left
    assert house.projected() >= 0
    with house.vault.database.snapshot(house.controller_id) as rows:
        mark = records.mark(rows, house.controller_id)
    assert mark is not None
    assert mark[0] == 1
