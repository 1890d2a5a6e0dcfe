"""Simulating: what would be shown, without anybody's data; a real person only for those who may ask."""

from typing import Any

import orjson
import pytest

from tests.conftest import Controllers
from tests.makers import EVERYTHING, make_complete_subject, make_context, make_ticket, register
from tests.operations.conftest import Ledger
from vault.assembly import Vault
from vault.errors import AccessDenied, InvalidValue, NotFound
from vault.opening import Opened
from vault.operations.disclose import disclose
from vault.operations.disclosure import Ask
from vault.operations.explain import explain
from vault.operations.simulate import Simulated, Supposed, Supposition, simulate
from vault.policy.model import Context

NOBODY = "sub_" + "z" * 26
FIELDS = ("given_name", "email", "iban", "health_note")


@pytest.fixture
def officer(vault: Vault, controller_id: str) -> Context:
    return registered(vault, controller_id)


@pytest.fixture(scope="module")
def supposing(opened: Opened, shared_controllers: Controllers) -> Context:
    """The officer of a controller of which nobody is a customer, for those who only suppose one: that leaves entries alone."""
    return registered(opened.vault, shared_controllers())


def registered(vault: Vault, controller_id: str) -> Context:
    register(vault, controller_id, "t1", "dpo", "dsr-officer", "system", "operator")
    return make_context(controller_id, "dpo")


def by_t1(**said: Any) -> Supposition:
    usual: dict[str, Any] = {
        "kind": "agent", "roles": frozenset({"t1"}), "purpose": "customer-care", "channel": "phone", "ticket": "verified",
        "assigned": True, "agreements": (Supposed("retail@1"),), "fields": FIELDS,
    }  # fmt: skip
    return Supposition(**{**usual, **said})


def levels(done: Simulated) -> dict[str, str]:
    return dict(done.decision.levels)


def test_a_supposed_person_is_decided_on_like_a_real_one(vault: Vault, officer: Context) -> None:
    person = make_complete_subject(vault, officer.controller_id, "retail")
    desk = make_context(officer.controller_id, "t1", ticket=make_ticket(vault, officer.controller_id, person, "t1"))
    real = {name: one.state for name, one in disclose(vault, Ask(desk, person, FIELDS)).fields.items()}
    for supposed in (by_t1(), by_t1(subject_id=person, agreements=())):
        done = simulate(vault, officer, supposed)
        assert {name: one.level for name, one in done.decision.fields.items()} == real
        assert done.templates["email"] == "retail@1"
        assert done.outcome == "answered"


def test_a_simulation_is_on_record_opens_nothing_and_can_be_explained(vault: Vault, officer: Context, ledger: Ledger) -> None:
    person = make_complete_subject(vault, officer.controller_id, "retail")
    done = simulate(vault, officer, by_t1(subject_id=person, agreements=()))
    assert [leaf["id"] for leaf in ledger.leaves("simulate")] == [done.entry_id]
    assert not any(member in ledger.leaves("simulate")[0] for member in ("fields", "count"))
    told = explain(vault, officer, done.decision_id).document
    assert told["fields"]["email"]["policies"]
    own = make_context(officer.controller_id, "customer", subject_id=person)
    assert explain(vault, own, done.decision_id).document["because"] == "nothing-shown"
    values = [value for value in EVERYTHING.values() if isinstance(value, str) and len(value) > 4]
    assert not [value for value in values if value.encode() in orjson.dumps(told)]


@pytest.mark.parametrize("role", ["t1", "operator", "system", "customer"])
def test_a_real_person_is_for_officers_alone_and_others_cannot_tell(vault: Vault, officer: Context, role: str) -> None:
    person = make_complete_subject(vault, officer.controller_id, "retail")
    context = make_context(officer.controller_id, role, subject_id=person if role == "customer" else None)
    for subject_id in (person, NOBODY):
        with pytest.raises(NotFound):
            simulate(vault, context, by_t1(subject_id=subject_id, agreements=()))
    with pytest.raises(NotFound):
        simulate(vault, officer, by_t1(subject_id=NOBODY, agreements=()))
    dsr = make_context(officer.controller_id, "dsr-officer")
    assert simulate(vault, dsr, by_t1(subject_id=person, agreements=())).policies is False


@pytest.mark.parametrize(("role", "allowed"), [("t1", True), ("operator", False), ("system", False), ("customer", False)])
def test_staff_may_suppose_and_nobody_else(vault: Vault, supposing: Context, role: str, allowed: bool) -> None:
    context = make_context(supposing.controller_id, role, subject_id=NOBODY if role == "customer" else None)
    if allowed:
        assert simulate(vault, context, by_t1()).decision.fields["email"].level == "masked"
        return
    with pytest.raises(AccessDenied) as refusal:
        simulate(vault, context, by_t1())
    assert refusal.value.entry_id is not None


def test_states_of_person_and_agreement_are_supposed(vault: Vault, supposing: Context) -> None:
    assert simulate(vault, supposing, by_t1(agreements=())).outcome == "answered"  # the verified ticket says the person is here
    assert simulate(vault, supposing, by_t1(agreements=(), ticket="none")).outcome == "not-found"
    assert simulate(vault, supposing, by_t1(restricted=frozenset(FIELDS))).outcome == "restricted"
    over = simulate(vault, supposing, by_t1(agreements=(Supposed("retail@1", "after"),)))
    assert over.decision.fields["email"].because == "agreement-expired"
    marketing: dict[str, Any] = {
        "kind": "system",
        "roles": frozenset({"system"}),
        "purpose": "marketing",
        "channel": "api",
        "ticket": "none",
    }
    for supposed, level in (
        (Supposed("marketing@1"), "token"),
        (Supposed("marketing@1", consent="valid"), "token"),
        (Supposed("marketing@1", consent="withdrawn"), "withheld"),
    ):
        assert levels(simulate(vault, supposing, by_t1(**marketing, agreements=(supposed,))))["email"] == level
    own = by_t1(
        kind="subject", roles=frozenset({"customer"}), purpose="rights-fulfilment", channel="portal", ticket="none", level=3
    )
    assert levels(simulate(vault, supposing, own))["email"] == "clear"
    assert levels(simulate(vault, supposing, by_t1(fields=())))["given_name"] == "clear"


UNKNOWN: dict[str, dict[str, Any]] = {
    "roles": {"roles": frozenset({"king"})}, "training": {"training": frozenset({"x"})}, "recipient": {"recipient": "nobody"},
    "region": {"region": "XX"}, "purpose": {"purpose": "curiosity"}, "restricted": {"restricted": frozenset({"x"})},
    "fields": {"fields": ("x",)}, "agreements/0/template": {"agreements": (Supposed("none@1"),)},
    "agreements/0/consent": {"agreements": (Supposed("retail@1", consent="valid"),)},
    "agreements/0/excluded": {"agreements": (Supposed("retail@1", excluded=frozenset({"x"})),)},
}  # fmt: skip


@pytest.mark.parametrize("member", UNKNOWN)
def test_what_is_of_no_closed_list_is_named(vault: Vault, supposing: Context, member: str) -> None:
    with pytest.raises(InvalidValue) as refusal:
        simulate(vault, supposing, by_t1(**UNKNOWN[member]))
    assert [one.pointer for one in refusal.value.faults] == [f"/{member}"]


def test_a_real_persons_agreements_are_not_supposed(vault: Vault, officer: Context) -> None:
    person = make_complete_subject(vault, officer.controller_id, "retail")
    with pytest.raises(InvalidValue) as refusal:
        simulate(vault, officer, by_t1(subject_id=person))
    assert [one.pointer for one in refusal.value.faults] == ["/agreements"]
