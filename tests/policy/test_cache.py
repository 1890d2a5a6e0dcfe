"""The tables: a decision out of them equals a fresh one, whatever happened in between; and nobody is in them."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from dataclasses import fields as dataclass_fields
from itertools import count
from typing import Any

import orjson
import pytest

from tests.policy.changes import CHANGES, CONTEXTS, FIELDS, perturbed
from tests.policy.makers import agreed, altered, bundle, seeded, shipped_text, situation
from vault.policy.bundle import Bundle, load_bundle
from vault.policy.cache import Table
from vault.policy.cedar import CedarEngine
from vault.policy.engine import Policy
from vault.policy.inputs import LawKey
from vault.policy.lexicon import Lexicon
from vault.policy.model import Act, AgreementFacts, Decision, PartyTerms
from vault.policy.rows import Verdict
from vault.policy.situations import Situation


class Remembering(CedarEngine):
    """Answers equal requests from memory. What it compares is the whole request, so it knows nothing of our keys."""

    def __init__(self, policies: Any, lexicon: Lexicon) -> None:
        super().__init__(policies, lexicon)
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
    return Remembering(bundle().policies, bundle().lexicon)


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
TEMPLATES = (("retail@1",), ("retail@1", "marketing@1"), ("health-insurance@1", "marketing@1"), ("marketing@1",))
HAPPENINGS: tuple[Mapping[str, Any], ...] = (  # to an agreement: withdrawn, given, expired, time, exclusions …
    {"consent": "withdrawn"},
    {"consent": "valid", "phase": "in"},
    {"consent": "expired", "phase": "after"},
    *({"phase": phase} for phase in ("before", "in", "after")),
    *({"excluded": frozenset(names)} for names in (("email",), ("iban", "phone"), ())),
    *({"foreign": frozenset(names)} for names in (("mobile",), ())),
    *({"superseded": over} for over in (True, False, False)),
    *({"after_restriction": after} for after in (True, False)),
)
STATES: tuple[Mapping[str, Any], ...] = (
    {},
    {"restricted": frozenset({"email", "iban"})},
    {"objected_marketing": True},
    {"minor": "14-17"},
)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, Bundle]:
    """The shipped bundle, and one in which the second tier's contact data are gone."""
    text = shipped_text("roles/t2.cedar")
    start = text.index('@id("t2-contact")')
    end = text.index("@id(", start + 1)
    other = altered(tmp_path_factory.mktemp("other"), {"roles/t2.cedar": text[:start] + text[end:]})
    return bundle(), load_bundle(other)


class Desk:
    """Some persons and callers, what happens to them, and the bundle in force."""

    def __init__(self, seed: int) -> None:
        self.draw = seeded(seed)
        ids = count()
        self.persons = [
            [agreed(name)._replace(agreement_id=f"agr_{next(ids)}", valid_from_ms=next(ids)) for name in TEMPLATES[number % 4]]
            for number in range(4)
        ]
        self.about: list[Mapping[str, Any]] = [{} for _ in self.persons]

    def something_happens(self) -> int:
        """Change one person; return which."""
        number = self.draw.randrange(len(self.persons))
        held = self.persons[number]
        which = self.draw.randrange(len(held))
        held[which] = held[which]._replace(**self.draw.choice(HAPPENINGS))
        self.about[number] = self.draw.choice(STATES)
        return number

    def asks(self, number: int | None = None, perturbed: float = 0.0) -> Situation:
        """Return somebody's question about a person."""
        number = self.draw.randrange(len(self.persons)) if number is None else number
        made = situation(self.draw.choice(CALLERS)).about(agreements=tuple(self.persons[number]), **self.about[number])
        return self.draw.choice(CHANGES)(made, self.draw) if self.draw.random() < perturbed else made


@dataclass
class Vaults:
    """The policy that serves, with its tables, and beside it one that forgets everything before each answer, for each bundle."""

    bundles: tuple[Bundle, Bundle]
    cedars: tuple[Remembering, Remembering]
    keep_tables: bool = False  # what would be wrong: a bundle's rows under the next one
    number: int = 0

    def __post_init__(self) -> None:
        self.serving = Policy(self.bundles[0], self.cedars[0])
        self.beside = [Policy(one, cedar) for one, cedar in zip(self.bundles, self.cedars, strict=True)]

    def swap(self) -> None:
        """Put the other bundle in force."""
        self.number = 1 - self.number
        before = self.serving
        self.serving = Policy(self.bundles[self.number], self.cedars[self.number])
        if self.keep_tables:
            self.serving._laws, self.serving._views, self.serving._plates = before._laws, before._views, before._plates


def stale_answers(vaults: Vaults, desk: Desk, requests: int, every: int, happens: float = 0.01) -> tuple[int, int]:
    """Return (compared, stale): each `every`-th answer of the tables, and the next about whoever something happened to, against one
    worked out from nothing. The bundle in force is swapped eight times.
    """
    compared = stale = 0
    for number in range(requests):
        changed = desk.something_happens() if desk.draw.random() < happens else None
        if number % (requests // 8) == requests // 16:
            vaults.swap()
        asked = desk.asks(changed, perturbed=0.003)
        fields = ASKED[desk.draw.randrange(len(ASKED))]
        answer = asked.decided(vaults.serving, *fields)
        if changed is not None or number % every == 0:
            compared += 1
            stale += answer != fresh(vaults.beside[vaults.number], asked, fields)
    return compared, stale


ASKED = tuple(tuple(seeded(number).sample(FIELDS, 6)) for number in range(12))


@pytest.fixture(scope="module")
def cedars(bundles: tuple[Bundle, Bundle], cedar: Remembering) -> tuple[Remembering, Remembering]:
    other = bundles[1]
    return cedar, Remembering(other.policies, other.lexicon)


@pytest.mark.parametrize(
    ("requests", "every"), [pytest.param(20_000, 100, id="20000"), pytest.param(100_000, 40, id="100000", marks=pytest.mark.drill)]
)
def test_an_answer_out_of_the_tables_is_never_stale(
    bundles: tuple[Bundle, Bundle], cedars: tuple[Remembering, Remembering], requests: int, every: int
) -> None:
    """With withdrawals, time, exclusions, restrictions and bundles swapped in between; ids and records compared too."""
    compared, stale = stale_answers(Vaults(bundles, cedars), Desk(1), requests, every)
    assert stale == 0
    assert compared > requests // every


class Naive(Table[LawKey, Any]):
    """The first table with a key that leaves consent and phase out."""

    def find(self, key: LawKey) -> Any:
        return super().find(key._replace(consent="", phase=""))

    def put(self, key: LawKey, row: Any) -> None:
        super().put(key._replace(consent="", phase=""), row)


def test_a_key_without_consent_and_phase_is_found_out(
    bundles: tuple[Bundle, Bundle], cedars: tuple[Remembering, Remembering]
) -> None:
    """The test above, on the key that suggests itself: it must fail."""
    vaults = Vaults((bundles[0], bundles[0]), (cedars[0], cedars[0]))
    vaults.serving._laws = Naive(4096)
    vaults.swap = lambda: None  # type: ignore[method-assign]
    _, stale = stale_answers(vaults, Desk(1), requests=800, every=4, happens=0.1)
    assert stale > 0


def test_tables_kept_over_a_swap_are_found_out(bundles: tuple[Bundle, Bundle], cedars: tuple[Remembering, Remembering]) -> None:
    _, stale = stale_answers(Vaults(bundles, cedars, keep_tables=True), Desk(1), requests=800, every=4, happens=0.1)
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


OWN = PartyTerms("helpdesk", contract_valid=True, transfer_tool="none", country="IT")
FLIPS: Mapping[str, Mapping[str, tuple[Any, ...]]] = {  # every attribute of what goes into a decision, and other values of it
    "caller": {
        "id": ("other",), "client_id": ("other",), "actor": ("other",), "team": ("other",), "subject_id": (None, "sub_other"),
        "kind": ("agent", "system", "subject", "dpo"),
        "roles": (frozenset({"t1"}), frozenset()), "level": (0, 1, 2), "step_up": (True,),
    },
    "context": {
        "controller_id": ("other",), "ticket_id": ("other",), "request_id": ("other",), "purpose": ("billing", "marketing"),
        "channel": ("chat", "api", "email"), "station": ("PDL-0231",), "relationship": ("current-account",),
    },
    "facts": {
        "roles": (frozenset({"t1"}), frozenset({"t1", "billing"}), frozenset()), "training": (frozenset({"gdpr-art9"}),),
        "recipient": ("care-unit", "controller"), "region": ("FR", "US"), "team": ("other",),
        "denied": (frozenset({"email", "iban"}),), "unfit": ("not-registered",),
        "terms": (OWN, OWN._replace(contract_valid=False), OWN._replace(party="care-unit"), OWN._replace(country="US")),
    },
    "ticket": {
        "state": ("none", "asserted", "verified", "closed", "not-yours", "of-another-person"), "assigned": (True, False),
        "in_care": (True,), "request_assigned": (True,), "request_fields": (frozenset({"iban"}),),
        "break_glass": ("open", "approved"), "caller_verified": (True,), "age_s": (0, 50),
    },
    "subject": {
        "subject_id": ("sub_other",), "agreements": ((),), "restricted": (frozenset({"email"}),), "objected": (True,),
        "objected_marketing": (True,), "minor": ("under-14", "14-17", "unknown"), "time_barred": (True,), "deceased": (True,),
    },
    "agreement": {
        "agreement_id": ("agr_other",), "template": ("marketing@1", "legal-claims@1"), "phase": ("before", "after"),
        "valid_from_ms": (9,), "consent": ("withdrawn", "expired", "valid"), "superseded": (True,),
        "excluded": (frozenset({"email"}),),
        "foreign": (frozenset({"email"}),), "after_restriction": (True,), "after_objection": (True,),
    },
}  # fmt: skip


def flipped(made: Situation, part: str, name: str, value: Any) -> Situation:
    """Return the situation with one attribute otherwise."""
    changed = {name: value}
    if part == "caller":
        return made.within(caller=replace(made.context.caller, **changed))
    if part == "agreement":
        return made.about(agreements=(made.subject.agreements[0]._replace(**changed), *made.subject.agreements[1:]))
    change = {"context": made.within, "facts": made.called_by, "ticket": made.with_ticket, "subject": made.about}[part]
    return change(**changed)


def test_every_attribute_of_a_decision_s_input_is_flipped() -> None:
    made = situation("t1")
    parts: dict[str, Any] = {
        "caller": made.context.caller, "context": made.context, "facts": made.caller, "ticket": made.ticket,
        "subject": made.subject, "agreement": made.subject.agreements[0],
    }  # fmt: skip
    for part, one in parts.items():
        names = set(one._fields) if hasattr(one, "_fields") else {field.name for field in dataclass_fields(one)}
        assert names - {"caller"} == set(FLIPS[part]), part


@pytest.mark.parametrize("act", ["profile", "reveal"])
@pytest.mark.parametrize("part", FLIPS)
def test_each_attribute_flipped_alone_is_in_a_key_or_changes_nothing(part: str, act: Act, cedar: Remembering) -> None:
    """After the unflipped question the tables are warm; what they answer to the flipped one is what they would from nothing."""
    policy, beside = Policy(bundle(), cedar), Policy(bundle(), cedar)
    for start in ("t2", "customer", "medical"):
        made = replace(situation(start, ["health-insurance@1", "marketing@1"]), act=act)
        for name, values in FLIPS[part].items():
            for value in values:
                made.decided(policy, *FIELDS)
                asked = flipped(made, part, name, value)
                assert asked.decided(policy, *FIELDS) == fresh(beside, asked, FIELDS), (start, name, value)


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


def test_warming_stops_when_it_is_enough() -> None:
    """A process that ends does not wait for tables nobody will ask."""
    cold = Policy(bundle())
    cold.warm(lambda: True)
    assert len(cold._views) == 0
