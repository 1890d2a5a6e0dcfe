"""A recorded decision comes out as it was recorded; a record that was altered does not; what would have been needed is true."""

from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.policy.changes import CONTEXTS, FIELDS, perturbed
from tests.policy.makers import agreed, bundle, policy, seeded, situation
from vault.policy.cedar import CedarEngine
from vault.policy.decision import _said
from vault.policy.engine import Policy
from vault.policy.explaining import MOST_TRIED, Unlike, _tried, needed, replay
from vault.policy.inputs import LawKey, ViewKey, circumstance, law_key, view_key
from vault.policy.lexicon import ROLES
from vault.policy.model import CHANNELS
from vault.policy.recorded import given_law, given_view, stated
from vault.policy.replay import circumstance_of, keys_of, law_key_of, view_key_of
from vault.policy.rows import Verdict
from vault.policy.situations import Situation

LEXICON = bundle().lexicon
RECORDED = 520


def recorded(asked: Situation, *fields: str) -> dict[str, Any]:
    """Return the record as it comes back out of an entry."""
    kept: dict[str, Any] = orjson.loads(orjson.dumps(dict(asked.decided(policy(), *fields).record)))
    return kept


@pytest.mark.parametrize("recorded_decisions", [RECORDED, pytest.param(10_000, marks=pytest.mark.drill)])
def test_varied_decisions_replay_to_equal_rows(recorded_decisions: int) -> None:
    draw = seeded(4711)
    shown = 0
    for _ in range(recorded_decisions):
        made = perturbed(draw)
        if draw.random() < 0.3:
            made = made.about(agreements=(*made.subject.agreements, agreed(draw.choice(("retail@1", "marketing@1")), 7)))
        kept = recorded(made, *draw.sample(FIELDS, draw.randrange(1, len(FIELDS))))
        again = replay(policy(), kept)
        assert again.plate.returned == kept["returned"]
        shown += bool(kept["deciding"])
    assert shown > recorded_decisions / 4  # a test of refusals alone would be blind


def test_every_context_of_the_table_of_roles_replays() -> None:
    """By an engine without a memory: what it is asked again it works out again."""
    anew = Policy(bundle())
    for start in CONTEXTS:
        for template in bundle().templates:
            replay(anew, recorded(situation(start, [template]), *FIELDS))


def test_a_look_up_replays_although_it_is_about_nobody() -> None:
    made = situation("t1", context={"act": "find"})
    kept = recorded(made, "email", "iban", "health_note")
    assert kept["gate1"] == []
    assert replay(policy(), kept).keys.view.lawful == LEXICON.everything


def test_what_an_emergency_denial_withheld_replays_and_is_never_more_than_the_rules_show() -> None:
    draw = seeded(72)
    withheld = 0
    for _ in range(60):
        made = perturbed(draw)
        asked, denied = draw.sample(FIELDS, 12), frozenset(draw.sample(FIELDS, 8))
        before = made.decided(policy(), *asked)
        after = made.called_by(denied=denied).decided(policy(), *asked)
        for name in asked:
            is_denied = name in denied and before.fields[name].level != "withheld"
            because = "emergency-denial" if is_denied else before.fields[name].because
            assert after.fields[name].because == because
            assert after.levels[name] == ("withheld" if is_denied else before.levels[name])
            assert (name in after.opened()) <= (name not in denied)
            withheld += is_denied
        again = replay(policy(), orjson.loads(orjson.dumps(dict(after.record))))
        assert again.plate.fields == after.fields
        ways = needed(policy(), again)
        assert not denied & {name for name in ways if after.fields[name].because == "emergency-denial"}
    assert withheld > 20


def test_a_row_with_denials_is_made_for_one_answer() -> None:
    """Or a few denials of many callers would push the rows everybody needs out of the table."""
    own = Policy(bundle())
    made = situation("t1")
    made.decided(own, "email", "iban")
    kept = len(own._plates)
    for name in ("email", "iban"):
        assert made.called_by(denied=frozenset({name})).decided(own, "email", "iban").fields[name].because == "emergency-denial"
    assert len(own._plates) == kept
    assert made.decided(own, "email").fields["email"].level == "masked"


names = st.frozensets(st.sampled_from(FIELDS), max_size=4)
laws = st.builds(
    lambda template, consent, phase, excluded, foreign, flags: (template, consent, phase, excluded, foreign, *flags),
    st.sampled_from(sorted(bundle().templates)),
    st.sampled_from(("valid", "withdrawn", "expired", "none")),
    st.sampled_from(("before", "in", "after")),
    names,
    names,
    st.tuples(st.booleans(), st.booleans()),
)
views = st.builds(
    ViewKey,
    st.sampled_from(("agent", "system", "subject")),
    st.frozensets(st.sampled_from(ROLES)),
    st.sampled_from((frozenset[str](), frozenset({"gdpr-art9"}))),
    st.sampled_from(("profile", "reveal", "export", "amend")),
    st.sampled_from(sorted(LEXICON.purposes)),
    st.sampled_from(CHANNELS),
    st.sampled_from(("none", "asserted", "verified", "closed", "of-another-person", "not-yours")),
    st.booleans(),
    st.booleans(),
    st.integers(0, 3),
    st.booleans(),
    st.sampled_from(("none", "open", "approved")),
    *[st.booleans()] * 4,
    names,
    st.integers(0, LEXICON.everything),
    st.integers(0, LEXICON.everything),
)


@given(view=views, law=laws, said=st.tuples(*[st.booleans()] * 5), bits=st.integers(0, LEXICON.everything))
def test_from_keys_to_a_record_and_back_nothing_is_lost(
    view: ViewKey, law: tuple[Any, ...], said: tuple[bool, ...], bits: int
) -> None:
    acts, objected, marketing, barred, deceased = said
    shared = circumstance(*_plain())._replace(
        purpose=view.purpose, acts_for_subject=acts, restricted=view.restricted, objected=objected,
        objected_marketing=marketing, minor=view.minor, time_barred=barred, deceased=deceased,
    )  # fmt: skip
    key = LawKey._make((*law, shared))
    kept = orjson.loads(orjson.dumps(stated({**given_view(LEXICON, view), **given_law(LEXICON, shared)})))
    assert circumstance_of(LEXICON, kept) == shared
    assert view_key_of(LEXICON, kept, view.lawful, view.after_restriction) == view
    assert law_key_of(orjson.loads(orjson.dumps(_said(key, bits))), shared) == key


def _plain() -> tuple[Any, ...]:
    made = situation("t1")
    return made.context, made.act, made.caller, made.ticket, made.subject


def test_the_keys_of_a_record_are_those_the_decision_was_made_with() -> None:
    draw = seeded(5)
    for _ in range(100):
        made = perturbed(draw)
        shared = circumstance(made.context, made.act, made.caller, made.ticket, made.subject)
        keys = keys_of(LEXICON, recorded(made, "email", "iban"))
        assert keys.laws == (law_key(made.subject.agreements[0], shared),)
        facts = (made.context, made.act, made.caller, made.ticket, made.subject)
        assert keys.view == view_key(*facts, keys.view.lawful, keys.view.after_restriction)
        assert set(keys.asked) == {"email", "iban"}


ALTERED: Mapping[str, Any] = {
    "row": lambda kept: {**kept, "row": "sha256:" + "0" * 64},
    "lawful": lambda kept: {**kept, "lawful": "1"},
    "returned": lambda kept: {**kept, "returned": {"clear": next(iter(kept["returned"].values()))}},
    "deciding": lambda kept: {**kept, "deciding": {"agr_other": next(iter(kept["deciding"].values()))}},
    "bits": lambda kept: {**kept, "gate1": [{**kept["gate1"][0], "bits": "1"}, *kept["gate1"][1:]]},
    "order": lambda kept: {**kept, "gate1": kept["gate1"][::-1]},
    "obligations": lambda kept: {**kept, "obligations": ["notify-dpo"]},
    "role": lambda kept: {**kept, "input": {**kept["input"], "roles": ["t2"]}},
    "denied": lambda kept: {**kept, "input": {**kept["input"], "denied": "ff"}},
    "purpose": lambda kept: {**kept, "input": {**kept["input"], "purpose": "marketing"}},
    "template": lambda kept: {**kept, "gate1": [{**kept["gate1"][0], "template": "unheard-of@1"}]},
    "no gate 1": lambda kept: {name: one for name, one in kept.items() if name != "gate1"},
    "failed": lambda kept: {"bundle": kept["bundle"], "subject": kept["subject"], "failed": True},
    "not a record": lambda _kept: {"input": "x", "gate1": 3},
    "no hex": lambda kept: {**kept, "returned": {"clear": "zz"}},
}


@pytest.mark.parametrize("what", ALTERED)
def test_an_altered_record_is_never_explained_and_alarms(what: str) -> None:
    alarms: list[str] = []
    watched = Policy(bundle(), alarm=alarms.append)
    kept = recorded(situation("t1", ["retail@1", "marketing@1"]), "email", "given_name", "iban")
    replay(watched, kept)
    assert alarms == []
    with pytest.raises(Unlike):
        replay(watched, ALTERED[what](kept))
    assert alarms == ["decision-differs"]


def test_what_is_needed_is_true_and_the_least() -> None:
    """Whoever does as they are told is shown what they were told."""
    made = situation("t2", context={"ticket": "none"})
    kept = recorded(made, *FIELDS)
    ways = needed(policy(), replay(policy(), kept))
    assert set(ways) >= {"email", "iban"}
    for name, found in ways.items():
        for way in found:
            done = dict(way.changes)
            tried = made.with_ticket(state="verified" if "ticket" in done else made.ticket.state)
            tried = tried.with_ticket(assigned="assigned" in done, caller_verified="caller_verified" in done)
            tried = tried.within(purpose=done.get("purpose", "customer-care"), channel=done.get("channel", "phone"))
            again = Situation(tried.context, done.get("act", "profile"), tried.caller, tried.ticket, tried.subject)
            shown = again.decided(policy(), name).fields[name]
            assert (shown.level, shown.mask) == (way.shown.level, way.shown.mask), (name, done)


def test_a_reveal_is_named_where_it_would_open_and_nothing_where_nothing_would() -> None:
    made = situation("t2", context={"caller_verified": True})
    ways = needed(policy(), replay(policy(), recorded(made, *FIELDS)))
    assert [one.changes for one in ways["email"]] == [(("act", "reveal"),)]
    assert "given_name" not in ways  # clear already
    assert "health_note" not in ways


def test_no_change_tells_of_a_purpose_that_is_not_the_roles() -> None:
    made = situation("t1", ["retail@1", "marketing@1"])
    ways = needed(policy(), replay(policy(), recorded(made, *FIELDS)))
    purposes = {value for found in ways.values() for way in found for name, value in way.changes if name == "purpose"}
    assert purposes <= {"customer-care"}
    restricted = made.about(restricted=frozenset({"email"}))
    assert "email" not in needed(policy(), replay(policy(), recorded(restricted, "email", "given_name")))


@pytest.mark.parametrize("start", CONTEXTS)
def test_changes_are_few_and_of_two_things_at_most(start: str) -> None:
    draw = seeded(11)
    made = situation(start, context={"ticket": "none"})
    tried = list(_tried(policy(), replay(policy(), recorded(made, "email")).keys.view))
    assert len(tried) <= MOST_TRIED
    assert all(len({name for name, _ in changes}) == len(changes) <= 2 for changes in tried)
    assert sorted(map(len, tried)) == list(map(len, tried))
    for _ in range(5):
        perturbation = perturbed(draw)
        needed(policy(), replay(policy(), recorded(perturbation, *FIELDS)))


class Ailing(CedarEngine):
    """Fails for every request of a purpose."""

    def evaluate(self, entities: Any, requests: Any) -> list[Verdict]:
        if any(one["context"]["purpose"]["__entity"]["id"] == "customer-care" for one in requests):
            return [Verdict(allowed=False, by=(), failed=True)] * len(requests)
        return super().evaluate(entities, requests)


def test_a_change_the_engine_cannot_judge_is_not_proposed() -> None:
    made = situation("t1", context={"purpose": "billing"})
    replayed = replay(policy(), recorded(made, "email"))
    assert any(("purpose", "customer-care") in way.changes for way in needed(policy(), replayed)["email"])
    ailing = Policy(bundle(), Ailing(bundle().policies, LEXICON, bundle().schema))
    assert needed(ailing, replayed) == {}


def test_a_system_and_a_look_up_have_little_to_change() -> None:
    for start, act in (("system", "profile"), ("t1", "find")):
        replayed = replay(policy(), recorded(situation(start, context={"act": act}), "email"))
        assert all(name != "ticket" for changes in _tried(policy(), replayed.keys.view) for name, _ in changes)
