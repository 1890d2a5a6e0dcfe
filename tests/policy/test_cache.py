"""The tables: a decision out of them equals a fresh one, whatever happened in between; and nobody is in them."""

import random
from dataclasses import replace
from itertools import count
from typing import Any

import orjson
import pytest

from tests.policy.changes import CHANGES, CONTEXTS, FIELDS, perturbed
from tests.policy.makers import agreed, bundle, seeded, situation
from vault.policy.cache import Table
from vault.policy.cedar import CedarEngine
from vault.policy.decision import Verdict
from vault.policy.engine import Policy
from vault.policy.inputs import LawKey
from vault.policy.lexicon import Lexicon
from vault.policy.model import AgreementFacts, Decision
from vault.policy.situations import Situation


class Remembering(CedarEngine):
    """Answers equal requests from memory. What it compares is the whole request, so it knows nothing of our keys."""

    def __init__(self, policies: Any, schema: str, lexicon: Lexicon) -> None:
        super().__init__(policies, schema, lexicon)
        self.memory: dict[bytes, list[Verdict]] = {}
        self.calls = 0

    def evaluate(self, entities: Any, requests: Any) -> list[Verdict]:
        self.calls += 1
        asked = orjson.dumps([entities, requests])
        if asked not in self.memory:
            self.memory[asked] = super().evaluate(entities, requests)
        return self.memory[asked]


@pytest.fixture(scope="module")
def cedar() -> Remembering:
    return Remembering(bundle().policies, bundle().schema, bundle().lexicon)


def fresh(policy: Policy, asked: Situation, fields: tuple[str, ...]) -> Decision:
    """Return the decision as nothing but the engine would give it."""
    for table in (policy._laws, policy._views, policy._plates):
        table.clear()
    return asked.decided(policy, *fields)


def test_the_row_used_least_recently_makes_room() -> None:
    table: Table[str, int] = Table(3)
    for number, key in enumerate("abc"):
        table.put(key, number)
    assert table.find("a") == 0
    table.put("d", 3)
    assert [table.find(key) for key in "abcd"] == [0, None, 2, 3]
    assert len(table) == 3


def test_a_cleared_table_is_empty() -> None:
    table: Table[str, int] = Table(2)
    table.put("a", 1)
    table.clear()
    assert table.find("a") is None


def test_putting_again_replaces_and_counts_as_used() -> None:
    table: Table[str, int] = Table(2)
    for key, number in (("a", 1), ("b", 2), ("a", 3), ("c", 4)):
        table.put(key, number)
    assert [table.find(key) for key in "abc"] == [3, None, 4]


def test_a_row_may_go_while_it_is_being_found() -> None:
    class Emptied(Table[str, int]):
        """Another thread clears the table between the look-up and the mark."""

    table = Emptied(1)
    table.put("a", 1)
    rows = table._rows

    class Racing(type(rows)):  # type: ignore[misc]
        def move_to_end(self, key: str) -> None:
            raise KeyError(key)

    table._rows = Racing(rows)
    assert table.find("a") == 1


def test_a_table_of_no_rows_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one row"):
        Table(0)


CALLERS = ("t1", "t2", "customer", "system-marketing")


class Desk:
    """A few persons and callers, and what happens to them."""

    def __init__(self, seed: int) -> None:
        self.draw = seeded(seed)
        ids = count()
        templates = (["retail@1"], ["retail@1", "marketing@1"], ["health-insurance@1", "marketing@1"], ["marketing@1"])
        self.persons = [
            [agreed(name)._replace(agreement_id=f"agr_{next(ids)}", valid_from_ms=next(ids)) for name in templates[number % 4]]
            for number in range(4)
        ]
        self.about: list[dict[str, Any]] = [{} for _ in self.persons]

    def something_happens(self) -> None:
        number = self.draw.randrange(len(self.persons))
        held = self.persons[number]
        which = self.draw.randrange(len(held))
        changes: dict[str, Any] = self.draw.choice(
            (
                {"consent": "withdrawn"},
                {"consent": "valid", "phase": "in"},
                {"consent": "expired", "phase": "after"},
                {"phase": self.draw.choice(("before", "in", "after"))},
                {"excluded": frozenset(self.draw.choice((("email",), ("iban", "phone"), ())))},
                {"foreign": frozenset(self.draw.choice((("mobile",), ())))},
                {"superseded": self.draw.random() < 0.3},
                {"after_restriction": self.draw.random() < 0.5},
            )
        )
        held[which] = held[which]._replace(**changes)
        self.about[number] = self.draw.choice(
            (
                {},
                {"restricted": frozenset({"email", "iban"})},
                {"objected_marketing": True},
                {"minor": "14-17"},
            )
        )

    def asks(self) -> Situation:
        number = self.draw.randrange(len(self.persons))
        made = situation(self.draw.choice(CALLERS)).about(agreements=tuple(self.persons[number]), **self.about[number])
        return self.draw.choice(CHANGES)(made, self.draw) if self.draw.random() < 0.05 else made


def stale_answers(policy: Policy, desk: Desk, cedar: Remembering, requests: int, every: int) -> tuple[int, int]:
    """Return (compared, stale): each `every`-th answer of the tables against one worked out from nothing."""
    compared = stale = 0
    beside = Policy(bundle(), cedar)
    for number in range(requests):
        if desk.draw.random() < 0.2:
            desk.something_happens()
        asked = desk.asks()
        fields = tuple(desk.draw.sample(FIELDS, 6))
        answer = asked.decided(policy, *fields)
        if number % every == 0:
            compared += 1
            stale += answer != fresh(beside, asked, fields)
    return compared, stale


def test_an_answer_out_of_the_tables_is_never_stale(cedar: Remembering) -> None:
    assert stale_answers(Policy(bundle(), cedar), Desk(1), cedar, requests=800, every=4) == (200, 0)


def test_a_key_without_consent_and_phase_is_found_out(cedar: Remembering) -> None:
    class Naive(Table[LawKey, Any]):
        def find(self, key: LawKey) -> Any:
            return super().find(key._replace(consent="", phase=""))

        def put(self, key: LawKey, row: Any) -> None:
            super().put(key._replace(consent="", phase=""), row)

    policy = Policy(bundle(), cedar)
    policy._laws = Naive(4096)
    _, stale = stale_answers(policy, Desk(1), cedar, requests=150, every=3)
    assert stale > 0


@pytest.mark.parametrize("number", range(len(CHANGES)))
def test_each_thing_policy_can_see_is_in_a_key_or_changes_nothing(number: int, cedar: Remembering) -> None:
    draw = seeded(number)
    policy, beside = Policy(bundle(), cedar), Policy(bundle(), cedar)
    for start in ("t2", "customer", "system-marketing"):
        made = situation(start, ["marketing@1" if start == "system-marketing" else "retail@1"])
        made.decided(policy, *FIELDS)
        changed = CHANGES[number](made, draw)
        assert changed.decided(policy, *FIELDS) == fresh(beside, changed, FIELDS)


def test_nobody_is_in_the_tables(cedar: Remembering) -> None:
    policy, draw = Policy(bundle(), cedar), seeded(9)
    for _ in range(20):
        made = perturbed(draw)
        context = replace(made.context, caller=replace(made.context.caller, id="canary", client_id="canary"), ticket_id="canary")
        made = replace(made, context=replace(context, controller_id="canary", request_id="canary"))
        agreements = tuple(one._replace(agreement_id="agr_canary") for one in made.subject.agreements)
        made.about(subject_id="sub_canary", agreements=agreements).decided(policy, *FIELDS)
    kept = repr([(table._rows.keys(), list(table._rows.values())) for table in (policy._laws, policy._views, policy._plates)])
    assert "email" in kept
    assert "canary" not in kept


def test_hits_need_no_engine(cedar: Remembering) -> None:
    policy = Policy(bundle(), cedar)
    policy.warm()
    warmed = cedar.calls
    for start in CONTEXTS:
        for template in ("retail@1", "health-insurance@1", "marketing@1"):
            situation(start, [template]).decided(policy, *FIELDS)
    assert cedar.calls == warmed > 0


def test_a_later_agreement_changes_the_ids_and_no_row(cedar: Remembering) -> None:
    policy = Policy(bundle(), cedar)
    first = situation("t1").about(agreements=(_held("agr_b", 5), _held("agr_c", 5), _held("agr_a", 4)))
    assert set(first.decided(policy, "email", "iban").opened().values()) == {"agr_b"}
    rows = len(policy._laws), len(policy._views)
    later = first.about(agreements=(*first.subject.agreements, _held("agr_d", 6)))
    assert set(later.decided(policy, "email", "iban").opened().values()) == {"agr_d"}
    assert (len(policy._laws), len(policy._views)) == rows


def _held(agreement_id: str, valid_from_ms: int) -> AgreementFacts:
    return agreed("retail@1")._replace(agreement_id=agreement_id, valid_from_ms=valid_from_ms)


def test_the_draws_are_the_same_in_every_run() -> None:
    assert isinstance(seeded(1), random.Random)
    assert seeded(1).random() == seeded(1).random()
