"""A remembering engine says what the engine would: it is asked once, anew where policies differ, and again where it failed."""

from collections.abc import Sequence
from typing import Any

import orjson
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from tests.policy.changes import FIELDS, perturbed
from tests.policy.makers import bundle, seeded, situation
from vault.policy import cedar
from vault.policy.cedar import CedarEngine
from vault.policy.decision import rungs, view_of
from vault.policy.groups import buckets
from vault.policy.inputs import ViewKey
from vault.policy.remembering import Memory, Remembering
from vault.policy.rows import Verdict

LEXICON = bundle().lexicon
PARTS = buckets(LEXICON, [(LEXICON.positions[name],) for name in ("given_name", "email", "iban", "health_note")])
KEY = situation("t1").key(LEXICON.everything)


class Counting:
    """Counts what it is asked; fails when told to."""

    def __init__(self) -> None:
        self.asked, self.fails = 0, False
        self._engine = CedarEngine(bundle().policies, LEXICON, bundle().schema)

    def evaluate(self, entities: Sequence[Any], requests: Sequence[Any]) -> list[Verdict]:
        self.asked += len(requests)
        found = self._engine.evaluate(entities, requests)
        return [one._replace(failed=True) for one in found] if self.fails else found


def said(engine: Any, key: ViewKey = KEY) -> list[Verdict]:
    caller = [cedar.principal(key.principal, key.roles, key.training)]
    found: list[Verdict] = engine.evaluate(caller, cedar.view_requests(key, [(part, rungs(key, part)) for part in PARTS]))
    return found


def test_a_memory_says_what_the_engine_says() -> None:
    draw, engine = seeded(8), CedarEngine(bundle().policies, LEXICON, bundle().schema)
    remembering = Remembering(engine, bundle().policies)
    for _ in range(60):
        key = perturbed(draw).key(draw.getrandbits(len(FIELDS)))
        assert said(remembering, key) == said(engine, key)


def test_what_was_said_is_not_asked_again_unless_it_failed() -> None:
    engine = Counting()
    remembering = Remembering(engine, bundle().policies)
    engine.fails = True
    assert all(one.failed for one in said(remembering))
    engine.fails = False
    first = said(remembering)
    asked = engine.asked
    assert said(remembering) == first
    assert engine.asked == asked == 2 * len(first)
    assert not any(one.failed for one in first)


def test_another_caller_is_another_question() -> None:
    remembering = Remembering(CedarEngine(bundle().policies, LEXICON, bundle().schema), bundle().policies)
    assert said(remembering) != said(remembering, KEY._replace(roles=frozenset({"billing"})))


def test_what_is_taken_over_is_what_untouched_families_said() -> None:
    memory = Memory()
    said(Remembering(Counting(), bundle().policies, memory))
    for dropped, again in (("t1-contact", True), ("gate1-consent", False), ("find-support", False)):
        engine = Counting()
        policies = {name: one for name, one in bundle().policies.items() if name != dropped}
        said(Remembering(engine, policies, memory))
        assert bool(engine.asked) is again, dropped


def test_nothing_is_taken_over_from_what_was_held_to_something_else() -> None:
    memory, engine = Memory(), Counting()
    said(Remembering(Counting(), bundle().policies, memory, b"a world"))
    said(Remembering(engine, bundle().policies, memory, b"another"))
    assert engine.asked


def test_of_more_families_than_are_kept_those_asked_least_recently_are_forgotten() -> None:
    memory = Memory(kept=2)
    first = memory.known(b"first")
    second = memory.known(b"second")
    assert memory.known(b"first") is first
    memory.known(b"third")
    assert memory.known(b"first") is first
    assert memory.known(b"second") is not second


bodies = st.dictionaries(
    st.from_regex(r"[a-z][a-z0-9_-]{0,20}", fullmatch=True),
    st.recursive(
        st.none() | st.text(max_size=20),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.from_regex(r"[a-z_]{1,9}", fullmatch=True), inner, max_size=3)
        ),
        max_leaves=8,
    ),
    max_size=5,
)


@given(body=bodies)
def test_the_body_of_a_row_is_digested_in_its_canonical_form(body: dict[str, Any]) -> None:
    assert orjson.dumps(body, option=orjson.OPT_SORT_KEYS) == rfc8785.dumps(body)


def test_rows_keep_their_digests() -> None:
    """A digest in a record of ten years ago is compared with one of today."""
    body = {"iban": {"level": "masked", "mask": "iban_last4", "by": ["t1-financial"], "blocked": {"view_clear": ["default-deny"]}}}
    assert view_of(LEXICON, KEY, (), body).digest == "sha256:46ce6da452ac3c61183d62563e6838e5606f590343daad64dd7f27740781def5"
