"""Break-glass: each step left out is refused, nobody oversees themselves, and what law closes stays closed."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from tests.makers import EVERYTHING, make_context, make_subject, make_ticket, register, years_before
from tests.operations.conftest import Ledger
from vault.assembly import Vault
from vault.audit.filters import FLAGS
from vault.errors import Conflict, InvalidValue, VaultError
from vault.operations.break_glass import Grant, Plea, break_glass, working_days_after
from vault.operations.callers import Registration, register_caller
from vault.operations.oversee import Review, approve_break_glass, review_break_glass
from vault.operations.reveal import Wish, reveal
from vault.operations.tell_of_grants import tell_of_grants
from vault.policy.model import Context

WORDS = "il cliente rischia la truffa in questo momento"
PLEA = Plea(("iban", "email"), "FRAUD_IN_PROGRESS", WORDS)
CRITICAL = replace(PLEA, fields=("iban", "passport"))
CHILD = {"given_name": "Ada", "email": "ada@example.it"}
VALUES = {name: value for name, value in EVERYTHING.items() if name != "related_person"}


@dataclass(frozen=True)
class House:
    """A person, somebody eligible with a second factor and a ticket that is not theirs, and who oversees them."""

    vault: Vault
    subject_id: str
    agent: Context
    approver: Context
    dpo: Context

    def shown(self, *fields: str, vault: Vault | None = None, agent: Context | None = None) -> dict[str, str]:
        """Return how fields are revealed, or the code of the refusal under `refused`."""
        try:
            profile = reveal(vault or self.vault, agent or self.agent, self.subject_id, Wish(fields, "CALLBACK")).profile
        except VaultError as error:
            return {"refused": error.code}
        return {name: one.state for name, one in profile.fields.items()}

    def open(self, plea: Plea = PLEA) -> Grant:
        return break_glass(self.vault, self.agent, self.subject_id, plea)


def at(vault: Vault, **later: float) -> Vault:
    now = vault.now() + timedelta(**later)
    return replace(vault, now=lambda: now)


def acting_as(controller_id: str, caller_id: str, role: str, ticket: str | None) -> Context:
    context = make_context(controller_id, "dpo" if role == "dpo" else "t2", ticket=ticket, purpose="fraud-prevention")
    roles = frozenset({role}) if role == "dpo" else frozenset({"t2", role})
    return replace(context, caller=replace(context.caller, id=caller_id, roles=roles, step_up=True))


@pytest.fixture
def house(vault: Vault, controller_id: str) -> House:
    register(vault, controller_id, "t2")
    for caller_id, roles in (
        ("agent-1", ("t2", "break-glass-eligible")), ("lead-1", ("t2", "break-glass-approver")), ("dpo-1", ("dpo",)),
    ):  # fmt: skip
        register_caller(vault, controller_id, Registration(caller_id, roles, "support"))
    person = make_subject(vault, controller_id, VALUES).subject_id
    ticket = make_ticket(vault, controller_id, person, "t2", "TCK-others")
    agent = acting_as(controller_id, "agent-1", "break-glass-eligible", ticket)
    approver = acting_as(controller_id, "lead-1", "break-glass-approver", ticket)
    return House(vault, person, agent, approver, acting_as(controller_id, "dpo-1", "dpo", None))


def code(act: Callable[[], Any]) -> str:
    with pytest.raises(VaultError) as refusal:
        act()
    return refusal.value.code


def test_a_grant_opens_its_fields_for_its_time_and_nothing_else(house: House) -> None:
    assert house.shown("email") == {"refused": "ticket-not-yours"}
    grant = house.open()
    assert grant.needs_approval == ()
    assert house.shown("email", "iban") == {"email": "clear", "iban": "clear"}
    assert house.shown("email", "mobile") == {"refused": "ticket-not-yours"}, "a field of no grant"
    assert house.shown("email", vault=at(house.vault, minutes=31)) == {"refused": "ticket-not-yours"}
    assert house.shown("email", agent=replace(house.agent, purpose="customer-care")) == {"refused": "ticket-not-yours"}
    assert house.shown("email", agent=replace(house.agent, ticket_id="TCK-unheard")) == {"refused": "not-found"}


def test_what_a_grant_opened_is_flagged_and_what_was_read_without_is_not(house: House, ledger: Ledger) -> None:
    house.shown("given_name")
    house.open()
    house.shown(*PLEA.fields)
    ledger.leaves("reveal")
    flags = ledger.rows("vault.audit_lookup", "operation = 'reveal' ORDER BY position", "flags")
    assert [flags[0], flags[-1]] == [(0,), (FLAGS["break-glass"],)]


def test_the_officer_is_told_at_once_and_the_person_sees_the_reason_not_the_words(house: House, ledger: Ledger) -> None:
    grant = house.open()
    assert ledger.rows("vault.event", "name = 'break-glass:opened'", "entry_id, data->>'grant_id'") == [
        (grant.entry_id, grant.grant_id)
    ]
    [leaf] = ledger.leaves("break_glass")
    assert (leaf["id"], leaf["outcome"]) == (grant.entry_id, "done")
    assert WORDS not in repr(leaf) + repr(ledger.rows("vault.break_glass")) + repr(ledger.rows("vault.event")) + repr(PLEA)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"fields": ()}, ("/fields", "fields.count")),
        ({"fields": tuple(VALUES)[:11]}, ("/fields", "fields.count")),
        ({"fields": ("no_such_field",)}, ("/fields", "field.unknown")),
        ({"reason": "CURIOSITY"}, ("/reason", "reason.unknown")),
        ({"reason": "SYSTEM_OUTAGE"}, ("/reason", "reason.not-of-purpose")),
        ({"minutes": 14}, ("/minutes", "minutes.range")),
        ({"minutes": 61}, ("/minutes", "minutes.range")),
        ({"justification": "urgente"}, ("/justification", "text.too-short")),
    ],
)
def test_a_plea_that_says_too_little_is_told_so(house: House, changes: dict[str, Any], fault: tuple[str, str]) -> None:
    with pytest.raises(InvalidValue) as refusal:
        house.open(replace(PLEA, **changes))
    assert [(one.pointer, one.code) for one in refusal.value.faults] == [fault]


def test_each_step_left_out_is_refused(house: House, ledger: Ledger) -> None:
    caller, subject_id = house.agent.caller, house.subject_id

    def tried(**changes: Any) -> str:
        return code(lambda: break_glass(house.vault, replace(house.agent, **changes), subject_id, PLEA))

    assert tried(caller=replace(caller, step_up=False)) == "step-up-needed"
    assert tried(caller=replace(caller, roles=frozenset({"t2"}))) == "ticket-not-yours", "not eligible"
    assert tried(caller=replace(caller, id="t2-1")) == "role", "not eligible by the register"
    assert tried(ticket_id=None) == "not-found"
    assert set(ledger.outcomes("break_glass")) == {"refused"}
    assert ledger.rows("vault.break_glass") == []


def test_what_one_may_reveal_anyway_needs_no_grant(house: House, controller_id: str) -> None:
    own = make_ticket(house.vault, controller_id, house.subject_id, "t2", "TCK-own", assignee="agent-1")
    agent = replace(house.agent, ticket_id=own, purpose="customer-care")
    plea = Plea(("given_name",), "SYSTEM_OUTAGE", WORDS)
    assert code(lambda: break_glass(house.vault, agent, house.subject_id, plea)) == "not-denied"


def test_without_an_agreement_there_is_no_grant(house: House, controller_id: str) -> None:
    other = make_subject(house.vault, controller_id, {"email": "ada@example.it"}, ("marketing",)).subject_id
    ticket = make_ticket(house.vault, controller_id, other, "t2", "TCK-2")
    plea = replace(PLEA, fields=("email",))
    assert code(lambda: break_glass(house.vault, replace(house.agent, ticket_id=ticket), other, plea)) == "purpose-not-agreed"
    unheard = replace(house.agent, ticket_id="TCK-unheard")
    for subject_id in (other, "sub_" + "z" * 26):
        assert code(lambda who=subject_id: break_glass(house.vault, unheard, who, plea)) == "not-found"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("field", "reason"), [("card", "never-clear"), ("credit_score", "field-excluded"), ("health_note", "no-agreement")]
)
def test_what_is_never_shown_or_covered_is_not_opened(house: House, field: str, reason: str) -> None:
    assert code(lambda: house.open(replace(PLEA, fields=(field,)))) in (reason, "special-category")


def test_a_channel_s_cap_and_a_restriction_hold(house: House, ledger: Ledger) -> None:
    chat = replace(house.agent, channel="chat")
    assert code(lambda: break_glass(house.vault, chat, house.subject_id, PLEA)) == "channel-cap"
    house.open()
    assert house.shown("email", agent=chat) == {"email": "withheld"}
    ledger.owner(
        f"UPDATE vault.subject SET restricted = '{{email,iban}}', restricted_at = now() WHERE subject_id = '{house.subject_id}'"
    )
    assert house.shown("email") == {"refused": "restricted"}
    assert code(house.open) == "restricted"


# --- other eyes


def test_what_is_critical_waits_for_another_person(house: House) -> None:
    grant = house.open(CRITICAL)
    assert grant.needs_approval == ("passport",)
    assert house.shown("iban") == {"iban": "clear"}
    assert house.shown("passport") == {"passport": "withheld"}
    approve_break_glass(house.vault, house.approver, grant.grant_id)
    assert house.shown("passport") == {"passport": "clear"}


def test_a_grant_says_of_every_field_that_waits_that_it_waits(house: House) -> None:
    """A child's data and a ticket nobody has confirmed keep closed what else would open alone."""
    child = make_subject(
        house.vault, house.agent.controller_id, {**CHILD, "date_of_birth": years_before(house.vault.now().date(), 15)}
    )
    ticket = make_ticket(house.vault, house.agent.controller_id, child.subject_id, "t2", "TCK-child")
    unheard = replace(house.agent, ticket_id="TCK-unheard")
    for agent, person in ((replace(house.agent, ticket_id=ticket), child.subject_id), (unheard, house.subject_id)):
        there = replace(house, agent=agent, subject_id=person)
        grant = there.open(replace(PLEA, fields=("given_name", "email")))
        assert grant.needs_approval == ("email",)
        assert there.shown("given_name") == {"given_name": "clear"}
        assert there.shown("email") in ({"email": "withheld"}, {"refused": "not-found"})
        approve_break_glass(there.vault, there.approver, grant.grant_id)
        assert there.shown("email") == {"email": "clear"}


def test_nobody_approves_for_themselves(house: House, ledger: Ledger) -> None:
    grant = house.open(CRITICAL)
    own = replace(house.approver, caller=replace(house.approver.caller, id="agent-1"))
    assert code(lambda: approve_break_glass(house.vault, own, grant.grant_id)) == "grant-not-found"
    register_caller(house.vault, house.agent.controller_id, Registration("agent-1", ("break-glass-approver",)))
    assert code(lambda: approve_break_glass(house.vault, own, grant.grant_id)) == "self-approval"
    with pytest.raises(psycopg.errors.CheckViolation):
        ledger.owner(f"UPDATE vault.break_glass SET approver = requester WHERE grant_id = '{grant.grant_id}'")
    with pytest.raises(psycopg.errors.CheckViolation):
        ledger.owner(f"UPDATE vault.break_glass SET reviewer = requester WHERE grant_id = '{grant.grant_id}'")
    roles = ("break-glass-eligible", "break-glass-approver")
    with pytest.raises(InvalidValue):
        register_caller(house.vault, house.agent.controller_id, Registration("agent-1", roles))


def test_a_system_that_acts_for_two_is_not_two_persons(house: House) -> None:
    """A helpdesk system holds tokens of everybody at the desk: it may plead for one of them, and approve for none."""
    register_caller(house.vault, house.agent.controller_id, Registration("zammad", ("system",), acts_for_agents=True))
    agent, lead = (replace(one, caller=replace(one.caller, actor="zammad")) for one in (house.agent, house.approver))
    grant = break_glass(house.vault, agent, house.subject_id, CRITICAL)
    assert code(lambda: approve_break_glass(house.vault, lead, grant.grant_id)) == "own-token-needed"
    assert house.shown("passport", agent=agent) in ({"passport": "withheld"}, {"refused": "not-found"})
    approve_break_glass(house.vault, house.approver, grant.grant_id)
    assert house.shown("passport", agent=agent) == {"passport": "clear"}


def test_an_approval_left_out_late_or_without_right_is_refused(house: House) -> None:
    grant = house.open(CRITICAL)
    approve = lambda vault, context: code(lambda: approve_break_glass(vault, context, grant.grant_id))  # noqa: E731
    assert approve(house.vault, replace(house.approver, caller=replace(house.approver.caller, step_up=False))) == "step-up-needed"
    assert approve(house.vault, house.dpo) == "grant-not-found"
    assert code(lambda: approve_break_glass(house.vault, house.approver, "bgl_" + "z" * 26)) == "grant-not-found"
    assert approve(at(house.vault, minutes=15), house.approver) == "grant-closed"
    approve_break_glass(house.vault, house.approver, grant.grant_id)
    assert approve(house.vault, house.approver) == "grant-closed"


def test_a_review_by_a_third_person_ends_it_and_says_whether_the_person_is_told(house: House, ledger: Ledger) -> None:
    grant = house.open()
    assert code(lambda: review_break_glass(house.vault, house.approver, grant.grant_id, Review("JUSTIFIED"))) == "grant-not-found"
    unfactored = replace(house.dpo, caller=replace(house.dpo.caller, step_up=False))
    assert code(lambda: review_break_glass(house.vault, unfactored, grant.grant_id, Review("JUSTIFIED"))) == "step-up-needed"
    for unfit in (Review("FINE"), Review("JUSTIFIED", tell_subject=False), Review("BREACH", tell_subject=False, why_not="no")):
        with pytest.raises(InvalidValue):
            review_break_glass(house.vault, house.dpo, grant.grant_id, unfit)
    review = Review("UNJUSTIFIED", tell_subject=False, why_not="un'indagine ne sarebbe compromessa")
    review_break_glass(house.vault, house.dpo, grant.grant_id, review)
    assert house.shown("email") == {"refused": "ticket-not-yours"}
    told = ledger.rows("vault.event", "name = 'break-glass:reviewed'", "data->>'verdict', data->>'tell_subject'")
    assert told == [("UNJUSTIFIED", "no")]
    assert "indagine" not in repr(review) + repr(ledger.leaves("review_break_glass"))
    assert code(lambda: review_break_glass(house.vault, house.dpo, grant.grant_id, Review("JUSTIFIED"))) == "grant-closed"


NOTICES = ("vault.event", "name = 'break-glass:notice-due'", "data->>'grant_id', data->>'subject_id', data->>'reason'")


def test_the_person_is_told_with_the_review_unless_the_officer_records_why_not(house: House, ledger: Ledger) -> None:
    first, second = house.open(), house.open()
    review_break_glass(house.vault, house.dpo, first.grant_id, Review("JUSTIFIED"))
    assert ledger.rows(*NOTICES) == [(first.grant_id, house.subject_id, "FRAUD_IN_PROGRESS")]
    silent = Review("JUSTIFIED", tell_subject=False, why_not="un'indagine ne sarebbe compromessa")
    review_break_glass(house.vault, house.dpo, second.grant_id, silent)
    assert tell_of_grants(at(house.vault, days=9), house.agent.controller_id) == 0, (
        "the one was told, of the other is recorded why not"
    )
    assert len(ledger.rows(*NOTICES)) == 1
    assert ledger.leaves("review_break_glass")[-1].keys() >= {"subject", "internal"}


def test_silence_is_no_reason_not_to_tell(house: House, ledger: Ledger) -> None:
    grant, controller_id = house.open(), house.agent.controller_id
    assert tell_of_grants(at(house.vault, hours=1), controller_id) == 0, "not yet due"
    assert tell_of_grants(at(house.vault, days=5), controller_id) == 1
    assert tell_of_grants(at(house.vault, days=5), controller_id) == 0, "once"
    assert [row[0] for row in ledger.rows(*NOTICES)] == [grant.grant_id]
    assert ledger.outcomes("tell_of_grants") == ["done"]
    review_break_glass(house.vault, house.dpo, grant.grant_id, Review("JUSTIFIED"))
    assert len(ledger.rows(*NOTICES)) == 1, "the review comes late, and does not tell again"
    assert WORDS not in repr(ledger.rows("vault.event"))


def test_a_grant_stands_in_the_person_s_own_chain(house: House, ledger: Ledger) -> None:
    """What the person is shown of their accesses is that chain: opening, each reveal, and the review are in it."""
    grant = house.open()
    house.shown("email")
    review_break_glass(house.vault, house.dpo, grant.grant_id, Review("TRAINING"))
    for operation in ("break_glass", "reveal", "review_break_glass"):
        [leaf] = ledger.leaves(operation)
        assert leaf["subject"]
    streams = ledger.rows("vault.audit_lookup", f"subject_id = '{house.subject_id}' AND operation = 'break_glass'", "stream")
    assert streams == [("open",)]


def test_who_asked_or_approved_does_not_review(house: House, ledger: Ledger) -> None:
    grant = house.open()
    for column in ("requester", "approver"):
        ledger.owner(f"UPDATE vault.break_glass SET {column} = 'dpo-1' WHERE grant_id = '{grant.grant_id}'")
        assert code(lambda: review_break_glass(house.vault, house.dpo, grant.grant_id, Review("JUSTIFIED"))) == "self-review"
        ledger.owner(f"UPDATE vault.break_glass SET requester = 'agent-1' WHERE grant_id = '{grant.grant_id}'")


def test_an_overdue_review_blocks_the_next_grant(house: House) -> None:
    grant = house.open()
    assert house.open().grant_id != grant.grant_id, "not yet due"
    late = at(house.vault, days=5)
    with pytest.raises(Conflict) as refusal:
        break_glass(late, house.agent, house.subject_id, PLEA)
    assert (refusal.value.code, bool(refusal.value.entry_id)) == ("review-overdue", True)


@pytest.mark.parametrize(("opened", "due"), [(2, 6), (3, 6), (5, 7), (7, 9), (8, 12)])
def test_two_working_days(opened: int, due: int) -> None:
    """January 2026: the 2nd is a Friday."""
    assert working_days_after(datetime(2026, 1, opened, 15, tzinfo=UTC), 2) == datetime(2026, 1, due, 15, tzinfo=UTC)
