"""Evaluating: the same answers and refusals as a disclosure, on record, with nothing shown or opened."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.makers import make_complete_subject, make_context, make_ticket, register
from tests.operations.conftest import Ledger
from tests.policy.makers import bundle
from vault.assembly import Vault
from vault.errors import NotFound
from vault.operations.disclose import disclose
from vault.operations.disclosure import Ask
from vault.operations.evaluate import Action, Evaluated, Question, evaluate_all
from vault.operations.explain import explain
from vault.policy.model import Context

NOBODY = "sub_" + "z" * 26


@pytest.fixture
def person(vault: Vault, controller_id: str) -> str:
    register(vault, controller_id, "t1", "t2", "system", "dpo")
    return make_complete_subject(vault, controller_id, "retail")


@pytest.fixture
def desk(vault: Vault, controller_id: str, person: str) -> Context:
    return make_context(controller_id, "t1", ticket=make_ticket(vault, controller_id, person, "t1"))


def ask(context: Context, subject_id: str, field: str, action: Action = "view", party: Any = None) -> Question:
    return Question(context, party or ("agent", context.caller.id), action, subject_id, field)


def test_an_evaluation_says_what_a_disclosure_would_show(vault: Vault, desk: Context, person: str) -> None:
    names = ("given_name", "email", "tax_code", "health_note", "credit_score")
    shown = disclose(vault, Ask(desk, person, names)).fields
    for name, one in zip(names, evaluate_all(vault, [ask(desk, person, name) for name in names]), strict=True):
        assert isinstance(one, Evaluated)
        assert (one.level, one.mask, one.reason) == (shown[name].state, shown[name].mask, shown[name].because)
        assert one.decision is (one.level != "withheld")


@pytest.mark.parametrize(
    ("field", "allowed"),
    [
        ("given_name", {"view", "view_clear", "view_masked", "view_token"}),
        ("email", {"view", "view_masked", "view_token"}),
        ("tax_code", {"view", "view_token"}),
        ("health_note", set()),
    ],
)
def test_an_action_is_allowed_when_the_field_is_shown_as_clearly(
    vault: Vault, desk: Context, person: str, field: str, allowed: set[str]
) -> None:
    actions: tuple[Action, ...] = ("view", "view_clear", "view_masked", "view_token")
    answers = evaluate_all(vault, [ask(desk, person, field, action) for action in actions])
    assert {action for action, one in zip(actions, answers, strict=True) if isinstance(one, Evaluated) and one.decision} == allowed


@pytest.mark.parametrize(
    ("field", "ticket", "said"),
    [
        ("email", "own", (True, "verify", "verify-desk")),
        ("birth_place", "own", (True, "verify", "verify-desk")),
        ("tax_code", "own", (False, "withheld", "role")),
        ("health_note", "own", (False, "withheld", "special-category")),
        ("email", "asserted", "not-found"),
        ("email", "closed", "ticket-closed"),
    ],
)
def test_a_check_is_evaluated_as_it_would_be_decided_and_opens_nothing(
    vault: Vault, desk: Context, person: str, ledger: Ledger, field: str, ticket: str, said: Any
) -> None:
    make_ticket(vault, desk.controller_id, person, "t1", "TCK-closed", state="closed")
    context = {"own": desk, "asserted": replace(desk, ticket_id="TCK-unheard"), "closed": replace(desk, ticket_id="TCK-closed")}[
        ticket
    ]
    answer = evaluate_all(vault, [ask(context, person, field, "verify")])[0]
    found = (answer.decision, answer.level, answer.reason) if isinstance(answer, Evaluated) else answer.code
    assert found == said
    leaf = ledger.leaves("evaluate")[-1]
    assert (leaf["count"], "fields" in leaf, leaf["id"]) == (0, False, answer.entry_id)
    assert ledger.rows("vault.verification") == ledger.rows("vault.budget") == []


def test_what_policy_lets_anybody_check_the_catalogue_can_check(vault: Vault) -> None:
    """So an evaluation never says yes to a check that is then refused as none."""
    named = {name for one in bundle().policies.values() for name in _fields(one) if one["annotations"]["reason"] == "verify-desk"}
    assert named
    assert all(vault.catalogue.fields[name].verify != "none" for name in named)


def _fields(node: Any) -> Iterator[str]:
    if isinstance(node, list):
        for one in node:
            yield from _fields(one)
    elif isinstance(node, dict):
        if node.get("type") == "Vault::Field":
            yield node["id"]
        for one in node.values():
            yield from _fields(one)


def test_each_question_is_on_record_and_nothing_is_shown(vault: Vault, desk: Context, person: str, ledger: Ledger) -> None:
    answers = evaluate_all(vault, [ask(desk, person, "given_name"), ask(desk, NOBODY, "given_name")])
    by_id = {leaf["id"]: leaf for leaf in ledger.leaves("evaluate")}
    leaves = [by_id[one.entry_id or ""] for one in answers]
    assert [leaf["outcome"] for leaf in leaves] == ["allowed", "refused"]
    assert not any(member in leaf for leaf in leaves for member in ("fields", "terms"))
    assert [leaf["count"] for leaf in leaves] == [0, 0]
    assert ledger.rows("vault.audit_lookup", "operation = 'evaluate'", "clear_count, clear_classes") == [(0, []), (0, [])]
    told = explain(vault, desk, answers[0].decision_id or "").document
    assert told["fields"]["given_name"]["state"] == "clear"


def test_unknown_and_forbidden_people_look_alike(vault: Vault, desk: Context, person: str) -> None:
    stranger = make_context(desk.controller_id, "t2", ticket="TCK-9", purpose="marketing")
    for subject_id in (person, NOBODY):
        answer = evaluate_all(vault, [ask(stranger, subject_id, "email")])[0]
        assert isinstance(answer, NotFound)
        assert answer.code == "not-found"


def test_nobody_asks_about_the_rights_of_another(vault: Vault, desk: Context, person: str) -> None:
    own = make_context(desk.controller_id, "customer", subject_id=person)
    system = make_context(desk.controller_id, "system", ticket=desk.ticket_id)
    yes = [ask(own, person, "email", party=("subject", person)), ask(system, person, "email", party=("system", "system-1"))]
    assert all(isinstance(one, Evaluated) and one.decision for one in evaluate_all(vault, yes))
    for context, party in (
        (desk, ("agent", "t2-1")), (desk, ("system", "t1-1")), (own, ("agent", "t1-1")), (own, ("subject", NOBODY)),
        (system, ("agent", "t1-1")),
    ):  # fmt: skip
        assert isinstance(evaluate_all(vault, [ask(context, person, "given_name", party=party)])[0], NotFound)
