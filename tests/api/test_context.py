"""From a token and three headers to a context: who asks, why and where, and what is refused for saying too little or too much."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.authentication import Claims
from api.context import LEVELS, caller_of, read_context
from api.problems import Unauthenticated
from vault.errors import ContextIncomplete
from vault.policy.model import CHANNELS, Caller

AT = 1_800_000_000.0
SUBJECT = "sub_" + "a" * 26
AGENT = Claims("agent-1", "helpdesk-1", "acme", frozenset({"t1"}), int(AT) + 60, team="first")
CUSTOMER = replace(AGENT, subject=SUBJECT, client_id="portal", roles=frozenset({"customer"}), acr="https://www.spid.gov.it/SpidL3")
PURPOSES = frozenset({"customer-care", "billing"})
STATED = {"Vault-Purpose": "customer-care", "Vault-Channel": "phone", "Vault-Ticket": "TCK-1"}


def acting(*roles: str, **changes: object) -> Caller:
    return caller_of(replace(AGENT, roles=frozenset(roles), **changes), AT)  # type: ignore[arg-type]  # claims by name


# --- who


@pytest.mark.parametrize(
    ("role", "kind"),
    [
        ("t1", "agent"),
        ("t2", "agent"),
        ("billing", "agent"),
        ("medical", "agent"),
        ("dsr-officer", "agent"),
        ("dpo", "dpo"),
        ("operator", "operator"),
    ],
)
def test_a_role_makes_a_kind_of_caller(role: str, kind: str) -> None:
    caller = acting(role)
    assert (str(caller.kind), set(caller.roles), caller.id, caller.client_id) == (kind, {role}, "agent-1", "helpdesk-1")
    assert caller.team == "first"
    assert (caller.subject_id, caller.level, caller.step_up) == (None, 0, False)


def test_a_token_without_a_role_is_an_agent_who_may_nothing() -> None:
    assert (acting().kind, acting().roles) == ("agent", frozenset())


@pytest.mark.parametrize("roles", [(), ("system",), ("t2", "dpo"), ("operator",), ("customer",)])
def test_a_token_without_a_person_sees_what_a_system_sees(roles: tuple[str, ...]) -> None:
    caller = acting(*roles, subject="helpdesk-1")
    assert (str(caller.kind), set(caller.roles)) == ("system", {"system"})


@pytest.mark.parametrize(
    "roles", [("dpo", "t1"), ("customer", "t1"), ("operator", "t2"), ("dpo", "operator"), ("system",), ("system", "t1")]
)
def test_roles_that_exclude_each_other_are_refused(roles: tuple[str, ...]) -> None:
    with pytest.raises(Unauthenticated):
        acting(*roles)


def test_agents_may_have_several_roles() -> None:
    assert acting("t1", "billing").roles == {"t1", "billing"}


def test_a_customer_is_bound_to_one_person() -> None:
    assert caller_of(CUSTOMER, AT).subject_id == SUBJECT
    other = "sub_" + "b" * 26
    assert caller_of(replace(CUSTOMER, subject="auth0|77", subject_id=other), AT).subject_id == other
    with pytest.raises(Unauthenticated):
        caller_of(replace(CUSTOMER, subject="auth0|77"), AT)


def test_only_a_customer_is_bound() -> None:
    """An agent whose token names a person is not that person."""
    assert acting("t1", subject_id=SUBJECT).subject_id is None
    assert acting("t1", subject=SUBJECT).subject_id is None


@pytest.mark.parametrize(("acr", "level"), [*LEVELS.items(), (None, 0), ("3", 0), ("phr", 0)])
def test_a_session_has_the_level_of_its_acr(acr: str | None, level: int) -> None:
    assert caller_of(replace(CUSTOMER, acr=acr), AT).level == level
    assert acting("t1", acr=acr).level == 0


@pytest.mark.parametrize(
    ("acr", "since", "step_up"),
    [
        ("https://www.spid.gov.it/SpidL3", 0, True),
        ("https://www.spid.gov.it/SpidL2", 300, True),
        ("phr", 10, True),
        ("phrh", 10, True),
        ("https://www.spid.gov.it/SpidL1", 10, False),
        (None, 10, False),
        ("phr", 301, False),
        ("phr", -1, False),
        ("phr", None, False),
    ],
)
def test_step_up_is_a_second_factor_within_five_minutes(acr: str | None, since: int | None, step_up: bool) -> None:
    at = None if since is None else int(AT) - since
    assert acting("t2", acr=acr, authenticated_at=at).step_up is step_up


@pytest.mark.parametrize("roles", [("t1",), ("t1", "billing"), ("dsr-officer",), ()])
def test_a_system_acts_for_agents(roles: tuple[str, ...]) -> None:
    caller = acting(*roles, actor="helpdesk-1")
    assert (caller.id, caller.actor, str(caller.kind)) == ("agent-1", "helpdesk-1", "agent")
    assert acting(*roles).actor is None


@pytest.mark.parametrize("roles", [("dpo",), ("operator",), ("customer",)])
def test_a_system_acts_for_nobody_else(roles: tuple[str, ...]) -> None:
    with pytest.raises(Unauthenticated):
        acting(*roles, subject=SUBJECT, actor="helpdesk-1")


def test_step_up_ends_for_one_token_while_it_is_used() -> None:
    stepped = replace(AGENT, acr="phr", authenticated_at=int(AT))
    assert [caller_of(stepped, AT + since).step_up for since in (0, 300, 301, 300)] == [True, True, False, True]


# --- why and where


def raw(headers: dict[str, str] | list[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    pairs = list(headers.items()) if isinstance(headers, dict) else headers
    return [(name.lower().encode(), value.encode("latin-1")) for name, value in pairs]


def faults(headers: dict[str, str] | list[tuple[str, str]], caller: Caller | None = None) -> dict[str, str]:
    with pytest.raises(ContextIncomplete) as refusal:
        read_context(raw(headers), AGENT, caller or acting("t1"), PURPOSES, "call_x")
    return {fault.pointer: fault.code for fault in refusal.value.faults}


def test_a_complete_context_is_read() -> None:
    context = read_context(raw(STATED), AGENT, acting("t1"), PURPOSES, "call_x")
    assert (context.controller_id, context.purpose, context.channel, context.ticket_id, context.request_id) == (
        "acme", "customer-care", "phone", "TCK-1", "call_x",
    )  # fmt: skip
    assert context.caller == acting("t1")


@pytest.mark.parametrize("channel", CHANNELS)
def test_every_channel_is_known(channel: str) -> None:
    assert read_context(raw(STATED | {"Vault-Channel": channel}), AGENT, acting("t1"), PURPOSES, "").channel == channel


def test_everything_that_is_missing_is_named_at_once() -> None:
    assert faults({}) == {"Vault-Purpose": "missing", "Vault-Channel": "missing", "Vault-Ticket": "missing"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Vault-Purpose", "marketing"),
        ("Vault-Purpose", "Customer-Care"),
        ("Vault-Purpose", ""),
        ("Vault-Purpose", "customer-care, billing"),
        ("Vault-Channel", "telefono"),
        ("Vault-Channel", "Phone"),
        ("Vault-Ticket", ""),
        ("Vault-Ticket", "giulia@example.it"),
        ("Vault-Ticket", "two words"),
        ("Vault-Ticket", "x" * 65),
        ("Vault-Ticket", "-1"),
    ],
)
def test_what_is_not_on_the_list_is_unknown(name: str, value: str) -> None:
    assert faults(STATED | {name: value}) == {name: "unknown"}


@pytest.mark.parametrize("name", sorted(STATED))
def test_what_is_said_twice_is_refused(name: str) -> None:
    """Which of the two would be on record?"""
    assert faults([*STATED.items(), (name, STATED[name])]) == {name: "repeated"}


@pytest.mark.parametrize("roles", [("dpo",), ("operator",), ("dsr-officer",), ("dsr-officer", "t2")])
def test_officers_may_leave_the_ticket_out(roles: tuple[str, ...]) -> None:
    stated = {name: value for name, value in STATED.items() if name != "Vault-Ticket"}
    assert read_context(raw(stated), AGENT, acting(*roles), PURPOSES, "").ticket_id is None


def test_customers_and_systems_may_leave_the_ticket_out() -> None:
    stated = {name: value for name, value in STATED.items() if name != "Vault-Ticket"}
    for caller in (caller_of(CUSTOMER, AT), acting(subject="helpdesk-1")):
        assert read_context(raw(stated), AGENT, caller, PURPOSES, "").ticket_id is None
        assert faults(stated | {"Vault-Ticket": "giulia@example.it"}, caller) == {"Vault-Ticket": "unknown"}


@given(st.text(alphabet=st.characters(codec="latin-1", exclude_characters="\r\n\0"), max_size=40))
def test_no_header_is_repeated_in_the_refusal(value: str) -> None:
    with pytest.raises(ContextIncomplete) as refusal:
        read_context(raw(dict.fromkeys(STATED, value)), AGENT, acting("t1"), PURPOSES, "")
    assert {fault.code for fault in refusal.value.faults} <= {"unknown", "missing"}
    assert {fault.pointer for fault in refusal.value.faults} <= set(STATED)
