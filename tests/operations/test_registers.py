"""Tickets, callers and controllers: what is written, who may, and that a change which fails is on record as one."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.conftest import Controllers
from tests.makers import make_complete_subject, make_context, make_subject, register
from tests.operations.conftest import Ledger
from vault.assembly import Vault
from vault.audit.reading import ReadEntry
from vault.errors import AccessDenied, AuditUnavailable, Conflict, DatabaseUnavailable, InvalidValue, NotFound, VaultError
from vault.opening import Opened
from vault.operations.callers import Registration, end_registration, register_caller
from vault.operations.controllers import add_controller
from vault.operations.disclose import disclose_all
from vault.operations.disclosure import Ask, Profile
from vault.operations.show_agreements import show_agreements
from vault.operations.tickets import TicketFactsIn, put_ticket
from vault.policy.model import Context

NOBODY = "sub_" + "z" * 26
TICKET = ("ticket_id", "system", "subject_id", "state", "assignee", "team", "topic", "entry_id")


@pytest.fixture(scope="module")
def refusing(opened: Opened, shared_controllers: Controllers) -> Ledger:
    """The log and the tables of a controller where whatever is tried is refused: nothing is left behind, so all may share it."""
    made = Ledger(opened, shared_controllers())
    register(opened.vault, made.controller_id, "system")
    return made


# --- tickets -------------------------------------------------------------------------------------------------------------------


def test_a_ticket_is_kept_as_it_stands_now(vault: Vault, controller_id: str, ledger: Ledger) -> None:
    register(vault, controller_id, "system")
    system = make_context(controller_id, "system")
    first = put_ticket(vault, system, "T-1", TicketFactsIn(NOBODY, "open", "t1-1", "support", "care"))
    second = put_ticket(vault, system, "T-1", TicketFactsIn(NOBODY, "closed"))
    assert ledger.rows("vault.ticket", columns=", ".join(TICKET)) == [("T-1", "zammad", NOBODY, "closed", None, None, None, second)]
    assert [leaf["id"] for leaf in ledger.leaves("put_ticket")] == [first, second]
    assert "T-1" not in repr(ledger.leaves("put_ticket"))


@pytest.mark.parametrize(
    ("facts", "faults"),
    [
        ({"assignee": "anna rossi, tel. 333"}, [("/assignee", "caller.syntax")]),
        ({"assignee": ""}, [("/assignee", "caller.syntax")]),
        ({"assignee": "x" * 256}, [("/assignee", "caller.syntax")]),
        ({"assignee": "àngela"}, [("/assignee", "caller.syntax")]),
        ({"team": "the customer is ill"}, [("/team", "team.syntax")]),
        ({"team": "x" * 65}, [("/team", "team.syntax")]),
        ({"assignee": "-", "team": "<b>"}, [("/assignee", "caller.syntax"), ("/team", "team.syntax")]),
    ],
)
def test_an_assignee_and_a_team_are_ids(
    vault: Vault, refusing: Ledger, facts: dict[str, str], faults: list[tuple[str, str]]
) -> None:
    with pytest.raises(InvalidValue) as refusal:
        put_ticket(vault, make_context(refusing.controller_id, "system"), "T-1", TicketFactsIn(NOBODY, "open", **facts))
    assert [(one.pointer, one.code) for one in refusal.value.faults] == faults
    assert refusing.rows("vault.ticket") == []


def test_an_id_may_be_what_helpdesks_make_of_it(vault: Vault, controller_id: str, ledger: Ledger) -> None:
    register(vault, controller_id, "system")
    facts = TicketFactsIn(NOBODY, "open", assignee="auth0|7-a@x.example", team="first-line/it")
    put_ticket(vault, make_context(controller_id, "system"), "T-1", facts)
    assert len(ledger.rows("vault.ticket")) == 1


@pytest.mark.parametrize("role", ["t2", "dpo", "operator"])
def test_only_a_helpdesk_system_tells_of_tickets(vault: Vault, controller_id: str, ledger: Ledger, role: str) -> None:
    register(vault, controller_id, role)
    with pytest.raises(AccessDenied) as refusal:
        put_ticket(vault, make_context(controller_id, role, ticket="T-1"), "T-1", TicketFactsIn(NOBODY, "open"))
    assert refusal.value.entry_id == ledger.leaves("put_ticket")[0]["id"]
    assert ledger.outcomes("put_ticket") == ["refused"]
    assert ledger.rows("vault.ticket") == []


def test_an_act_that_fails_after_its_entry_is_on_record_as_failed(vault: Vault, controller_id: str, ledger: Ledger) -> None:
    register(vault, controller_id, "system")
    ledger.owner(f"ALTER TABLE vault.ticket ADD CONSTRAINT refusing CHECK (controller_id <> '{controller_id}')")
    try:
        with pytest.raises(DatabaseUnavailable):
            put_ticket(vault, make_context(controller_id, "system"), "T-1", TicketFactsIn(NOBODY, "open"))
    finally:
        ledger.owner("ALTER TABLE vault.ticket DROP CONSTRAINT refusing")
    done, failed = ledger.leaves("put_ticket")
    assert (done["outcome"], failed["outcome"]) == ("done", "failed")
    assert failed["ref"] == done["id"]
    assert ledger.rows("vault.ticket") == []


def test_when_not_even_that_can_be_recorded_the_first_error_is_told(vault: Vault, controller_id: str, ledger: Ledger) -> None:
    """The trail then says that it happened, which is the safe direction."""
    register(vault, controller_id, "system")

    class Once:
        """The recorder, which writes one entry more and then no longer."""

        def __init__(self) -> None:
            self.left = 1

        def record(self, *arguments: object) -> object:
            if not self.left:
                raise AuditUnavailable
            self.left -= 1
            return vault.audit.record(*arguments)  # type: ignore[arg-type]

    ledger.owner(f"ALTER TABLE vault.ticket ADD CONSTRAINT refusing CHECK (controller_id <> '{controller_id}')")
    try:
        failing = replace(vault, audit=Once())  # type: ignore[arg-type]
        with pytest.raises(DatabaseUnavailable):
            put_ticket(failing, make_context(controller_id, "system"), "T-1", TicketFactsIn(NOBODY, "open"))
    finally:
        ledger.owner("ALTER TABLE vault.ticket DROP CONSTRAINT refusing")
    assert ledger.outcomes("put_ticket") == ["done"]


# --- callers -------------------------------------------------------------------------------------------------------------------


def test_a_registration_replaces_the_one_before(vault: Vault, controller_id: str, ledger: Ledger) -> None:
    first = register_caller(vault, controller_id, Registration("anna", ("t1", "billing"), "support", ("gdpr-art9",)))
    second = register_caller(vault, controller_id, Registration("anna", ("t2",), region="DE", recipient="controller"))
    columns = "caller_id, roles, team, training, recipient, region, entry_id"
    assert ledger.rows("vault.caller", columns=columns) == [("anna", ["t2"], None, [], "controller", "DE", second)]
    assert [leaf["id"] for leaf in ledger.leaves("register_caller")] == [first, second]


OFFICES = [("t1", "dpo"), ("dpo", "t2"), ("medical", "dpo"), ("billing", "dpo"), ("dsr-officer", "dpo"), ("dpo", "operator"),
           ("dpo", "break-glass-eligible"), ("dpo", "break-glass-approver"), ("operator", "t2"), ("system", "t1"),
           ("break-glass-approver", "break-glass-eligible"), ("root",), ("t1", "customer")]  # fmt: skip


@pytest.mark.parametrize("roles", OFFICES, ids="+".join)
def test_roles_that_exclude_each_other_or_are_none_are_refused(vault: Vault, refusing: Ledger, roles: tuple[str, ...]) -> None:
    before = refusing.rows("vault.caller")
    with pytest.raises(InvalidValue) as refusal:
        register_caller(vault, refusing.controller_id, Registration("anna", roles))
    assert [(fault.pointer, fault.code) for fault in refusal.value.faults] == [("/roles", "roles.unfit")]
    assert refusing.rows("vault.caller") == before


@pytest.mark.parametrize("ended", [True, False])
def test_a_registration_counts_until_its_end_and_not_a_moment_longer(vault: Vault, controller_id: str, ended: bool) -> None:
    register(vault, controller_id, "system")
    person = make_subject(vault, controller_id, {"given_name": "Giulia"})
    at = vault.now() + timedelta(seconds=5)
    register_caller(vault, controller_id, Registration("t1-1", ("t1",), "support", valid_until=at))
    reader = replace(vault, now=lambda: at if ended else at - timedelta(milliseconds=1))
    context = make_context(controller_id, "t1", ticket="T-1")
    put_ticket(vault, make_context(controller_id, "system"), "T-1", TicketFactsIn(person.subject_id, "open", "t1-1"))
    answer = disclose_all(reader, [Ask(context, person.subject_id, ("given_name",))])[0]
    assert isinstance(answer, NotFound if ended else Profile)


@pytest.mark.parametrize(
    ("registration", "pointer"),
    [
        (Registration("anna rossi", ("t1",)), "/caller_id"),
        (Registration("x" * 256, ("t1",)), "/caller_id"),
        (Registration("anna", ("t1",), "prima linea"), "/team"),
        (Registration("anna", ("t1",), ""), "/team"),
        *((Registration("anna", ("t1",), region=one), "/region") for one in ("Italy", "it", "ITA", "I\u0422", "IT\n", "")),
        (Registration("anna", ("medical",), training=("first-aid",)), "/training"),
        (Registration("anna", ("medical",), training=("gdpr-art9", "gdpr-art9")), "/training"),
        (Registration("anna", ("t1",), training_until={"gdpr-art9": datetime(2027, 1, 1, tzinfo=UTC)}), "/training_until"),
        (Registration("anna", ("t1",), acts_for_agents=True), "/acts_for_agents"),
    ],
)
def test_what_is_no_registration_is_told_by_pointer(
    vault: Vault, refusing: Ledger, registration: Registration, pointer: str
) -> None:
    before = refusing.rows("vault.caller")
    with pytest.raises(InvalidValue) as refusal:
        register_caller(vault, refusing.controller_id, registration)
    assert [one.pointer for one in refusal.value.faults] == [pointer]
    assert refusing.rows("vault.caller") == before


def test_a_registration_that_ends_is_on_record_and_stays_ended(vault: Vault, controller_id: str, ledger: Ledger) -> None:
    over = vault.now() - timedelta(days=1)
    register_caller(vault, controller_id, Registration("anna", ("t1",), valid_from=over - timedelta(days=1), valid_until=over))
    register_caller(vault, controller_id, Registration("bruno", ("t1",)))
    ended = end_registration(vault, controller_id, "bruno")
    again = end_registration(vault, controller_id, "anna")
    assert ledger.rows("vault.caller", "caller_id = 'anna'", "valid_until, entry_id") == [(over, again)]
    until, entry_id = ledger.rows("vault.caller", "caller_id = 'bruno'", "valid_until, entry_id")[0]
    assert (until <= vault.now(), entry_id) == (True, ended)
    with pytest.raises(NotFound):
        end_registration(vault, controller_id, "carla")
    assert ledger.outcomes("register_caller") == ["done", "done", "done", "done", "refused"]


# --- who acts for whom -----------------------------------------------------------------------------------------------------------


DESK = "zammad"


def on_behalf(controller_id: str, actor: str | None = DESK) -> Context:
    context = make_context(controller_id, "t1", ticket="T-1")
    return replace(context, caller=replace(context.caller, actor=actor))


@pytest.fixture
def person(vault: Vault, controller_id: str) -> str:
    register(vault, controller_id, "t1", "t2", "system")
    subject_id = make_subject(vault, controller_id, {"given_name": "Giulia"}).subject_id
    put_ticket(vault, make_context(controller_id, "system"), "T-1", TicketFactsIn(subject_id, "open", "t1-1"))
    return subject_id


def shown(vault: Vault, context: Context, subject_id: str) -> Profile | VaultError:
    return disclose_all(vault, [Ask(context, subject_id, ("given_name",))])[0]


def test_agent_and_system_stand_in_the_entry_and_in_the_record(
    vault: Vault, controller_id: str, person: str, opened_entry: Callable[[str], ReadEntry]
) -> None:
    register_caller(vault, controller_id, Registration(DESK, ("system",), acts_for_agents=True))
    answer = shown(vault, on_behalf(controller_id), person)
    assert isinstance(answer, Profile)
    internal = opened_entry(answer.entry_id).internal
    assert (internal["caller_id"], internal["actor"]) == ("t1-1", DESK)
    assert internal["decision"]["by"] == {"caller": "t1-1", "actor": DESK}
    looked = show_agreements(vault, on_behalf(controller_id), person)
    internal = opened_entry(looked.entry_id).internal
    assert (internal["caller_id"], internal["actor"]) == ("t1-1", DESK)
    alone = shown(vault, on_behalf(controller_id, None), person)
    assert isinstance(alone, Profile)
    internal = opened_entry(alone.entry_id).internal
    assert "actor" not in internal
    assert "by" not in internal["decision"]


@pytest.mark.parametrize(
    "registration",
    [
        None,
        Registration(DESK, ("system",)),
        Registration(DESK, ("system",), acts_for_agents=True, valid_until=datetime(2020, 1, 1, tzinfo=UTC)),
        Registration(DESK, ("system",), acts_for_agents=True, valid_from=datetime(2200, 1, 1, tzinfo=UTC)),
    ],
    ids=["unknown", "not-for-agents", "ended", "not-yet"],
)
def test_a_system_that_may_not_act_for_agents_is_refused(
    vault: Vault, controller_id: str, person: str, opened_entry: Callable[[str], ReadEntry], registration: Registration | None
) -> None:
    """Alike for somebody who is here and for nobody, and for every verb; officers read why."""
    if registration is not None:
        register_caller(vault, controller_id, registration)
    context = on_behalf(controller_id)
    answers = [shown(vault, context, person), shown(vault, context, NOBODY)]
    assert [type(one) for one in answers] == [NotFound, NotFound]
    for one in answers:
        internal = opened_entry(one.entry_id or "").internal
        assert (internal["caller_id"], internal["actor"], internal["unfit"]) == ("t1-1", DESK, "actor-not-registered")
    with pytest.raises(NotFound):
        show_agreements(vault, context, person)


@pytest.mark.parametrize(
    ("registration", "unfit"),
    [
        (None, "not-registered"),
        (Registration("t1-1", ("t1",), valid_until=datetime(2020, 1, 1, tzinfo=UTC)), "registration-ended"),
        (Registration("t1-1", ("t1",), valid_from=datetime(2200, 1, 1, tzinfo=UTC)), "not-yet-registered"),
    ],
    ids=["unknown", "ended", "not-yet"],
)
def test_an_agent_needs_a_registration_of_their_own(
    vault: Vault,
    controller_id: str,
    person: str,
    ledger: Ledger,
    opened_entry: Callable[[str], ReadEntry],
    registration: Registration | None,
    unfit: str,
) -> None:
    register_caller(vault, controller_id, Registration(DESK, ("system",), acts_for_agents=True))
    ledger.owner(f"DELETE FROM vault.caller WHERE controller_id = '{controller_id}' AND caller_id = 't1-1'")
    if registration is not None:
        register_caller(vault, controller_id, registration)
    answer = shown(vault, on_behalf(controller_id), person)
    assert isinstance(answer, NotFound)
    assert opened_entry(answer.entry_id or "").internal["unfit"] == unfit


@pytest.mark.parametrize(("left", "state"), [(timedelta(milliseconds=1), "clear"), (timedelta(0), "withheld")])
def test_a_training_counts_until_its_end(vault: Vault, controller_id: str, left: timedelta, state: str) -> None:
    register(vault, controller_id, "system")
    subject_id = make_complete_subject(vault, controller_id, "health-insurance")
    put_ticket(vault, make_context(controller_id, "system"), "T-1", TicketFactsIn(subject_id, "open", "medical-1", None, "care"))
    ends = vault.now() + timedelta(seconds=5)
    trained = Registration("medical-1", ("medical",), None, ("gdpr-art9",), "care-unit", training_until={"gdpr-art9": ends})
    register_caller(vault, controller_id, trained)
    reader = replace(vault, now=lambda: ends - left)
    answer = disclose_all(reader, [Ask(make_context(controller_id, "medical", ticket="T-1"), subject_id, ("health_note",))])[0]
    assert isinstance(answer, Profile)
    assert answer.fields["health_note"].state == state
    assert state == "clear" or answer.fields["health_note"].because == "special-category"


# --- controllers -----------------------------------------------------------------------------------------------------------------


def test_a_controller_is_created_once(opened: Opened, controller_id: str) -> None:
    with pytest.raises(Conflict) as refusal:
        opened.add_controller(controller_id)
    assert refusal.value.code == "controller-exists"


@pytest.mark.parametrize(
    ("named", "faults"),
    [
        (("Not one", "Europe/Rome", ["it"]), ["/controller_id"]),
        (("fine", "Mars/Olympus", ["it"]), ["/zone"]),
        (("fine", "../etc/passwd", ["it"]), ["/zone"]),
        (("fine", "Europe/Rome", []), ["/languages"]),
        (("*", "", ["it", "tlh"]), ["/controller_id", "/zone", "/languages"]),
    ],
)
def test_a_controller_that_makes_no_sense_is_not_created(
    opened: Opened, named: tuple[str, str, list[str]], faults: list[str]
) -> None:
    vault = opened.vault
    with pytest.raises(InvalidValue) as refusal:
        add_controller(vault.database, opened.keyring, vault.settings.installation, *named, vault.now)
    assert [fault.pointer for fault in refusal.value.faults] == faults
    assert "fine" not in vault.database.controllers()
