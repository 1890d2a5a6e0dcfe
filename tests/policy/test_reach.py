"""What the matrix reaches: every reason, every way out of a prohibition, both sides of every bound; and who wrote it.

Asked with the oracle of each case that names a policy, so an exemption counts only where it alone makes the policy silent.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.policy.makers import bundle, situation
from tests.policy.matrix import MATRIX, conditions, roles
from tests.policy.oracle import Oracle, Request, _uid, applies, evaluated, graph_of, value_of
from vault.policy import cedar
from vault.policy.cedar import notes
from vault.policy.decision import PERMISSIONS, REFUSALS
from vault.policy.engine import VERBS
from vault.policy.files import parsed
from vault.policy.groups import Bucket
from vault.policy.inputs import circumstance, law_key
from vault.policy.rows import Rung
from vault.policy.trial import _request_key

Json = dict[str, Any]
LEXICON = bundle().lexicon
POLICIES = bundle().policies
FILES = {path.name: parsed(path.read_bytes()) for path in sorted(MATRIX.glob("*.yaml"))}
QUESTIONS = [one for document in FILES.values() for one in document.get("requests", ())]
LAWS = [one for document in FILES.values() for one in document.get("laws", ())]


def question(case: Json) -> Request:
    """Return one of `requests` as the oracle takes it."""
    key, action = _request_key(bundle(), dict(case)), case["action"]
    entities = [cedar.principal(key.principal, key.roles, key.training)]
    if action in VERBS:
        return asked(cedar.verb_request(action, key), entities, LEXICON)
    place = LEXICON.positions[case["field"]]
    part = Bucket(LEXICON.fields[place], (place,))
    return asked(cedar.view_requests(key, [(part, [Rung(action)])])[0], entities, LEXICON)


def law(case: Json) -> Request:
    """Return one of `laws` as the oracle takes it."""
    made = situation(case["from"], [case["agreement"]], case.get("context"), case.get("person"))
    key = law_key(made.subject.agreements[0], circumstance(made.context, made.act, made.caller, made.ticket, made.subject))
    known = LEXICON.recipients
    told = {name: replace(known[name], **one) for name, one in case.get("parties", {}).items()}
    lexicon = replace(LEXICON, recipients={**known, **told}) if told else LEXICON
    place = lexicon.positions[case["field"]]
    request = cedar.law_requests(key, [Bucket(lexicon.fields[place], (place,))])[0]
    return asked(request, [cedar.agreement(lexicon.terms[key.template], key)], lexicon)


ORACLE = Oracle({}, LEXICON)


def asked(request: Json, entities: list[dict[str, Any]], lexicon: Any) -> Request:
    oracle = ORACLE if lexicon is LEXICON else Oracle({}, lexicon)
    graph = {**oracle._base, **graph_of([*oracle._world, *entities], only={_uid(one["uid"]) for one in entities})}
    variables = {name: _uid(request[name]) for name in ("principal", "action", "resource")}
    return Request({**variables, "context": value_of(request["context"])}, graph)


def told_of() -> Iterator[tuple[str, bool, Request]]:
    """Yield each policy that a case names, whether it is to speak, and what is asked."""
    for case, made in (*((one, question) for one in QUESTIONS), *((one, law) for one in LAWS)):
        for word in ("speaks", "silent"):
            if word in case:
                yield case[word], word == "speaks", made(case)


TOLD = list(told_of())


def bodies(policy: Json, kind: str) -> list[Json]:
    return [one["body"] for one in policy["conditions"] if one["kind"] == kind]


def ways(body: Json) -> list[Json]:
    """Return what `or` joins."""
    return [*ways(body["||"]["left"]), *ways(body["||"]["right"])] if "||" in body else [body]


EXEMPTIONS = [
    (name, number) for name, one in POLICIES.items() for body in bodies(one, "unless") for number in range(len(ways(body)))
]


@pytest.mark.parametrize(("name", "number"), EXEMPTIONS)
def test_each_way_out_of_a_prohibition_is_seen_to_open_it_alone(name: str, number: int) -> None:
    (body,) = bodies(POLICIES[name], "unless")
    without = {**POLICIES[name], "conditions": [one for one in POLICIES[name]["conditions"] if one["kind"] == "when"]}
    alone = [number == one for one in range(len(ways(body)))]
    assert any(
        policy == name and not speaks and applies(without, request) and [evaluated(one, request) for one in ways(body)] == alone
        for policy, speaks, request in TOLD
    )


def bounds(node: Any) -> Iterator[tuple[str, Json, int]]:
    """Yield each comparison with a number: operator, what is compared, number."""
    if isinstance(node, list):
        for one in node:
            yield from bounds(one)
    elif isinstance(node, dict):
        for operator, operands in node.items():
            if operator in ("<", "<=", ">", ">="):
                yield operator, operands["left"], operands["right"]["Value"]
            else:
                yield from bounds(operands)


STRENGTH = {".": {"left": {".": {"left": {"Var": "context"}, "attr": "mask"}}, "attr": "strength"}}
BOUNDS = [(name, *found) for name, one in POLICIES.items() for found in bounds(one["conditions"])]
OF_MASKS = [(name, number) for name, _, left, number in BOUNDS if left == STRENGTH]


@pytest.mark.parametrize(("name", "operator", "left", "number"), [one for one in BOUNDS if one[2] != STRENGTH])
def test_both_sides_of_each_bound_are_asked(name: str, operator: str, left: Json, number: int) -> None:
    """The number itself on its side, and its neighbour on the other, with nothing else between speaking and silence."""
    inside, outside = {"<": (number - 1, number), ">=": (number, number - 1)}[operator]
    speaks = {evaluated(left, request) for policy, speaking, request in TOLD if policy == name and speaking}
    silent = {evaluated(left, request) for policy, speaking, request in TOLD if policy == name and not speaking}
    assert inside in speaks
    assert outside in silent


@pytest.mark.parametrize(("name", "number"), OF_MASKS)
def test_both_sides_of_each_bound_on_masks_are_in_the_table(name: str, number: int) -> None:
    """A cell whose field has a weaker mask, one below the bound, and is shown through the one at the bound."""
    role = POLICIES[name]["principal"].get("in", {}).get("entity", {}).get("id", "customer")
    strength = {field.name: dict(field.ladder) for field in LEXICON.fields}
    assert any(
        case.context == role and case.mask is not None
        and strength[case.field][case.mask] == number and number - 1 in strength[case.field].values()
        for case in roles()
    )  # fmt: skip


def test_every_reason_a_policy_gives_is_expected_somewhere() -> None:
    noted = notes(POLICIES)
    expected = {case.because for case in roles()} | {cell[2] for case in conditions() for cell in case["expect"].values()}
    expected |= {cell[2] for document in FILES.values() for case in document.get("cases", ()) for cell in case["expect"].values()}
    speaking = {noted[name].reason for name, speaks, _ in TOLD if speaks}
    asked_of = [*(question(one) for one in QUESTIONS if one.get("allowed")), *(law(one) for one in LAWS if one.get("allowed"))]
    permits = {name: one for name, one in POLICIES.items() if one["effect"] == "permit"}
    allowed = {noted[name].reason for request in asked_of for name, one in permits.items() if applies(one, request)}
    assert expected | speaking | allowed >= {one.reason for one in noted.values()}
    # What no policy says is said by what surrounds policy, and tested there.
    surrounding = {"agreed", "policy-error", "emergency-denial", "reveal-needed"}
    assert {*REFUSALS, *PERMISSIONS} - (expected | speaking | allowed) <= surrounding


def test_there_are_enough_cases_and_sixty_of_another_hand() -> None:
    expectations = len(list(roles())) + sum(
        len(case["expect"]) for document in FILES.values() for case in document.get("cases", ())
    )
    cases = len(list(roles())) + sum(
        len(document.get(kind, ())) for document in FILES.values() for kind in ("cases", "requests", "laws")
    )
    assert cases >= 400
    assert expectations >= 1_200
    second = FILES["second.yaml"]
    assert sum(len(second.get(kind, ())) for kind in ("cases", "requests", "laws")) >= 60
