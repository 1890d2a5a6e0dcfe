"""What deciding costs: a row that is not in the tables, and an answer out of them, as ratios measured in one run.

The unit is a single decision: one request to the engine with parsed policies, entities and schema. A miss works out both gates for
thirty fields under three agreements; a hit answers the same question out of the tables, with ids and the record of the decision.
Counted is on-CPU time of the thread: all of it is computing, and who else uses the machine is no part of the ratio.

    python -m benchmarks --only policy
"""

import gc
import json
from collections.abc import Callable, Mapping
from statistics import median
from time import thread_time_ns
from typing import Any, cast

from benchmarks.people import MASKED_READ
from vault.policy.bundle import load_bundle
from vault.policy.cedar import CedarEngine, principal, view_requests
from vault.policy.engine import Policy
from vault.policy.groups import buckets
from vault.policy.rows import Rung
from vault.policy.situations import Situation, situation

ROUNDS = 9
SINGLE, MISSES, HITS = 40, 2, 2_000  # of each in a round
AGREED = ("health-insurance@1", "retail@1", "marketing@1")


def measure_decisions(told: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Return the figures of section `policy`: medians over rounds, each ratio taken within its round."""
    bundle = load_bundle()
    policy = Policy(bundle)
    asked = situation(bundle, "dsr-officer", AGREED).within(channel="email")
    fields = tuple(MASKED_READ.fields or ())
    single = _single(policy, asked)
    policy.warm()
    rounds = []
    for number in range(ROUNDS):
        gc.collect()
        one = _microseconds(single, SINGLE)
        missed = _microseconds(lambda: _forgotten(policy, asked, fields), MISSES)
        asked.decided(policy, *fields)
        hit = _microseconds(lambda: asked.decided(policy, *fields), HITS)
        rounds.append((one, missed, hit))
        told(f"decisions, round {number + 1} of {ROUNDS}")
    return {
        "fields": len(fields),
        "single_us": _short(median(one for one, _, _ in rounds)),
        "miss_us": _short(median(missed for _, missed, _ in rounds)),
        "hit_us": _short(median(hit for _, _, hit in rounds)),
        "miss_in_singles": _short(median(missed / one for one, missed, _ in rounds)),
        "hits_in_a_miss": _short(median(missed / hit for _, missed, hit in rounds)),
        "rounds": len(rounds),
    }


def _single(policy: Policy, asked: Situation) -> Callable[[], object]:
    """Return one evaluation of gate 2, all parsed: whether this caller may see this field in clear."""
    lexicon = policy.lexicon
    key = asked.key(lexicon.everything)
    part = next(one for one in buckets(lexicon, policy._groups["view"]) if one.field.name == "email")
    requests = view_requests(key, [(part, (Rung("view_clear"),))])
    engine = cast(CedarEngine, policy._engine)
    caller = json.dumps([principal(key.principal, key.roles, key.training)])
    graph = engine._world.with_added_json_str(caller, engine._schema)
    return lambda: engine._some(requests, graph)


def _forgotten(policy: Policy, asked: Situation, fields: tuple[str, ...]) -> Mapping[str, Any]:
    """Decide with nothing in the tables."""
    for table in (policy._laws, policy._views, policy._plates):
        table.clear()
    return asked.decided(policy, *fields).fields


def _microseconds(act: Callable[[], object], times: int) -> float:
    began = thread_time_ns()
    for _ in range(times):
        act()
    return (thread_time_ns() - began) / times / 1_000


def _short(value: float) -> float:
    return float(f"{value:.4g}")
