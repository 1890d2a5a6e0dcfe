"""Cedar and the oracle, on the same requests: verdict, determining policies, errors."""

import random
from collections import Counter
from typing import Any

import pytest

from tests.policy.changes import CHANGES, FIELDS, perturbed
from tests.policy.makers import agreed, bundle, candidate, seeded, situation
from tests.policy.oracle import Erred, Oracle, Request, evaluated
from vault.policy import cedar
from vault.policy.cedar import CedarEngine, compiled
from vault.policy.decision import rungs
from vault.policy.engine import VERBS, Policy
from vault.policy.groups import Bucket, buckets
from vault.policy.inputs import ViewKey, circumstance, law_key, view_key
from vault.policy.rows import Verdict
from vault.policy.situations import Situation

SINGLE = tuple((number,) for number in range(len(FIELDS)))  # each field on its own: the oracle also checks the grouping's premise


@pytest.fixture(scope="module")
def engines() -> tuple[CedarEngine, Oracle]:
    one = bundle()
    return CedarEngine(one.policies, one.lexicon, one.schema), Oracle(one.policies, one.lexicon)


def law_of(made: Situation, engine: Any, parts: list[Bucket]) -> list[Verdict]:
    shared = circumstance(made.context, made.act, made.caller, made.ticket, made.subject)
    key = law_key(made.subject.agreements[0], shared)
    lexicon = bundle().lexicon
    entities = [cedar.agreement(lexicon.terms[key.template], key), *cedar.registered(lexicon, key)]
    found: list[Verdict] = engine.evaluate(entities, cedar.law_requests(key, parts))
    return found


def view_of(key: ViewKey, engine: Any, parts: list[Bucket]) -> list[Verdict]:
    ladders = [(part, rungs(key, part)) for part in parts]
    found: list[Verdict] = engine.evaluate(
        [cedar.principal(key.principal, key.roles, key.training)], cedar.view_requests(key, ladders)
    )
    return found


def test_cedar_and_the_oracle_agree_on_gate_one(engines: tuple[CedarEngine, Oracle]) -> None:
    draw, seen = seeded(1), Counter[bool]()
    for _ in range(150):
        made = perturbed(draw)
        parts = draw.sample(buckets(bundle().lexicon, SINGLE), 12)
        by_cedar, by_oracle = (law_of(made, engine, parts) for engine in engines)
        assert by_cedar == by_oracle
        seen.update(one.allowed for one in by_cedar)
    assert seen[True] / seen.total() > 0.3


def test_cedar_and_the_oracle_agree_on_gate_two(engines: tuple[CedarEngine, Oracle]) -> None:
    draw, seen, compared = seeded(2), Counter[bool](), 0
    lexicon = bundle().lexicon
    for _ in range(110):
        made = perturbed(draw)
        lawful = lexicon.everything if draw.random() < 0.7 else draw.getrandbits(len(FIELDS))
        after = lawful if draw.random() < 0.5 else 0
        key = view_key(made.context, made.act, made.caller, made.ticket, made.subject, lawful, after)
        key = key._replace(break_glass=draw.choice(("none", "none", "none", "open", "approved")))
        parts = draw.sample(buckets(lexicon, SINGLE), 8)
        by_cedar, by_oracle = (view_of(key, engine, parts) for engine in engines)
        assert by_cedar == by_oracle
        compared += len(by_cedar)
        outcome = iter(by_cedar)
        seen.update(any(one.allowed for one in [next(outcome) for _ in rungs(key, part)]) for part in parts)
    assert compared > 2000
    assert seen[True] / seen.total() > 0.3


def test_cedar_and_the_oracle_agree_on_look_ups_and_verbs(engines: tuple[CedarEngine, Oracle]) -> None:
    draw, lexicon = seeded(3), bundle().lexicon
    for _ in range(40):
        made = perturbed(draw)
        key = view_key(made.context, "find", made.caller, made.ticket, made.subject, lexicon.everything, 0)
        parts = draw.sample(buckets(lexicon, SINGLE), 5)
        assert view_of(key, engines[0], parts) == view_of(key, engines[1], parts)
        caller = [cedar.principal(key.principal, key.roles, key.training)]
        for verb in VERBS:
            request = [cedar.verb_request(verb, key)]
            assert engines[0].evaluate(caller, request) == engines[1].evaluate(caller, request)
        verify = [{**one, "action": {"type": "Vault::Action", "id": "verify"}} for one in _clear_requests(key, parts)]
        assert engines[0].evaluate(caller, verify) == engines[1].evaluate(caller, verify)


def _clear_requests(key: ViewKey, parts: list[Bucket]) -> list[dict[str, Any]]:
    profile = key._replace(act="profile")
    return cedar.view_requests(profile, [(part, rungs(profile, part)[:1]) for part in parts])


def nearly_typical(draw: random.Random) -> Situation:
    """The half in which much is shown: those who see most, and one thing changed."""
    made = situation(draw.choice(("t2", "billing", "medical", "dsr-officer", "customer")), ["health-insurance@1"])
    return draw.choice(CHANGES)(made, draw)


def decided_alike(seed: int, situations: int) -> Counter[str]:
    """Decide every field of some situations twice, and count by level; levels, masks, reasons, policies and ids are equal."""
    draw, one, found = seeded(seed), bundle(), Counter[str]()
    by_cedar, by_oracle = Policy(one, candidate().engine), Policy(one, Oracle(one.policies, one.lexicon))
    for _ in range(situations):
        made = perturbed(draw) if draw.random() < 0.5 else nearly_typical(draw)
        if draw.random() < 0.3:
            made = made.about(agreements=(*made.subject.agreements, agreed(draw.choice(("retail@1", "marketing@1")), 7)))
        if draw.random() < 0.2:
            made = made.with_ticket(break_glass=draw.choice(("open", "approved")))
        first, second = (made.decided(policy, *FIELDS) for policy in (by_cedar, by_oracle))
        assert (first.fields, first.opened(), first.record) == (second.fields, second.opened(), second.record)
        found.update(field.level for field in first.fields.values())
    assert found["withheld"] <= 0.7 * found.total(), "a comparison of refusals is blind"
    return found


def test_cedar_and_the_oracle_decide_alike() -> None:
    assert decided_alike(20, 60).keys() == {"clear", "masked", "token", "withheld"}


@pytest.mark.drill
def test_cedar_and_the_oracle_decide_fifty_thousand_alike() -> None:
    assert decided_alike(21, 1_400).total() > 50_000


def test_the_oracle_tells_a_changed_policy(engines: tuple[CedarEngine, Oracle]) -> None:
    one = bundle()
    weaker = Oracle({name: policy for name, policy in one.policies.items() if name != "gate1-special"}, one.lexicon)
    made, parts = situation("t1"), buckets(one.lexicon, SINGLE)
    assert law_of(made, engines[0], parts) != law_of(made, weaker, parts)


@pytest.mark.parametrize(
    "condition",
    [
        "9223372036854775807 + resource.sensitivity > 0",
        "context.ticket.verified",
        "resource.sensitivity",
        "resource.class < 3",
        "resource.special.contains(1)",
    ],
)
def test_what_the_oracle_cannot_evaluate_is_an_error(condition: str) -> None:
    policies = compiled(f'@id("x") permit (principal, action, resource) when {{ {condition} }};')
    oracle = Oracle(policies, bundle().lexicon)
    key = view_key_without_ticket()
    assert view_of(key, oracle, buckets(bundle().lexicon, SINGLE)[:1])[0].failed


def view_key_without_ticket() -> ViewKey:
    made = situation("t1", context={"ticket": "none"})
    return view_key(made.context, "profile", made.caller, made.ticket, made.subject, bundle().lexicon.everything, 0)


def test_an_expression_of_two_operators_is_an_error() -> None:
    with pytest.raises(Erred):
        evaluated({"Value": 1, "Var": "context"}, Request({}, {}))


def test_an_agreement_of_the_maker_is_what_it_says() -> None:
    assert agreed({"template": "marketing@1", "consent": "withdrawn"}, 3).agreement_id == "agr_3"
