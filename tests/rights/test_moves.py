"""The states of a request: everything it may do, nothing it may not, against a model of its own; and every map is total."""

from dataclasses import replace
from itertools import product
from typing import Any, get_args

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.policy.makers import shipped_text
from vault.rights.kinds import KINDS, REACHED, Kind, reaches
from vault.rights.moves import OPEN, OPEN_DSR, Move, Role, State, Verb, Waiting, Where, dpv_terms, moved, states_of

STATES, VERBS, ROLES, WAITS = get_args(State), get_args(Verb), get_args(Role), get_args(Waiting)

# As the design's table says it, written down a second time: from which states, by whom, to which.
TABLE: dict[str, tuple[str, str, str]] = {
    "verify": ("received", "request-officer system", "verified"),
    "ask": ("received verified accepted", "request-officer dpo", ""),
    "answer": ("received verified accepted", "request-officer dpo customer agent", ""),
    "extend": ("received verified accepted", "request-officer dpo", ""),
    "accept": ("verified accepted", "request-officer dpo system", "accepted"),
    "take": ("accepted", "request-officer", ""),
    "refuse": ("received verified accepted", "dpo", "refused"),
    "fulfil": ("accepted", "request-officer dpo system", "fulfilled"),
    "withdraw": ("received verified accepted", "customer", "withdrawn"),
    "duplicate": ("received", "request-officer", "duplicate"),
    "unidentify": ("received", "request-officer system", "unidentified"),
    "reopen": ("fulfilled refused", "dpo", "accepted"),
}


@pytest.mark.parametrize("verb", VERBS)
def test_every_state_and_role(verb: Verb) -> None:
    froms, whose, to = TABLE[verb]
    waiting: Waiting = "identity" if verb in ("answer", "unidentify") else "nothing"
    for state, role in product(STATES, ROLES):
        kind: Kind = "recipients" if role == "system" else "access"
        found = moved(Where(kind, state, waiting), Move(verb, role, "a", level=3, waiting="clarification"))
        if role not in whose.split():
            assert found == "not-yours-to-move"
        elif state not in froms.split():
            assert found == "request-state"
        else:
            assert isinstance(found, Where)
            assert found.state == (to or state)


@pytest.mark.parametrize("kind", get_args(Kind))
def test_below_its_level_nothing_is_verified(kind: Kind) -> None:
    terms = KINDS[kind]
    for special in (False, True):
        at = Where(kind, special=special)
        for level in range(4):
            found = moved(at, Move("verify", "system", "-", level=level))
            assert (found == "level-needed") is (level < terms.level_for(special=special))
    assert terms.level_for(special=True) >= terms.level_for(special=False)


@pytest.mark.parametrize(("level", "called_back", "fits"), [(2, False, False), (1, True, False), (2, True, True), (3, False, True)])
def test_how_a_person_is_reached_changes_on_better_proof(level: int, called_back: bool, fits: bool) -> None:
    move = Move("verify", "request-officer", "anna", level=level, called_back=called_back)
    assert isinstance(moved(Where("rectification", contact=True), move), Where) is fits
    assert isinstance(moved(Where("rectification"), move), Where) is (level >= 2)
    assert isinstance(moved(Where("access", special=True, contact=True), move), Where) is (level >= 3)


def test_which_fields_reach_a_person() -> None:
    assert all(reaches(fields) for fields in ([], ["iban"], ["given_name", "email"]))
    assert not reaches(["given_name", "gender"])
    assert all(f"\n  {name}:\n" in shipped_text("catalogue.yaml") for name in REACHED)


@pytest.mark.parametrize("kind", get_args(Kind))
@pytest.mark.parametrize("role", ["request-officer", "dpo", "system"])
def test_who_decides_what(kind: Kind, role: Role) -> None:
    decider = KINDS[kind].decided_by
    found = moved(Where(kind, "verified"), Move("accept", role, "a"))
    fits = role == "system" if decider == "nobody" else role in ("dpo", decider)
    assert (found == "not-yours-to-decide") is not fits


AT = Where("erasure", "accepted", accepted_by="anna")


@pytest.mark.parametrize(
    ("at", "move", "code"),
    [
        (AT, Move("fulfil", "dpo", "anna"), "same-person"),
        (replace(AT, kind="deceased"), Move("fulfil", "dpo", "anna"), "same-person"),
        (replace(AT, kind="access", special=True), Move("fulfil", "dpo", "anna"), "same-person"),
        (replace(AT, kind="portability", special=True), Move("fulfil", "dpo", "anna"), "same-person"),
        (replace(AT, begun=True), Move("refuse", "dpo", "bruno"), "erasure-begun"),
        (replace(AT, begun=True), Move("withdraw", "customer", "-"), "erasure-begun"),
        (replace(AT, kind="rectification", begun=True), Move("withdraw", "customer", "-"), "already-begun"),
        (replace(AT, extended=True), Move("extend", "dpo", "bruno"), "already-extended"),
        (AT, Move("extend", "dpo", "bruno", extendable=False), "extension-too-late"),
        (replace(AT, waiting="fee"), Move("ask", "dpo", "bruno", waiting="identity"), "already-waiting"),
        (AT, Move("ask", "dpo", "bruno"), "nothing-asked"),
        (AT, Move("answer", "customer", "-"), "not-waiting"),
        (Where("erasure", "verified", "clarification"), Move("accept", "dpo", "anna"), "already-waiting"),
        (Where("erasure", waiting="clarification"), Move("unidentify", "system", "-"), "identity-not-asked"),
        (Where("erasure", waiting="identity"), Move("unidentify", "system", "-", unanswered=False), "time-to-answer"),
    ],
)
def test_what_stands_in_the_way(at: Where, move: Move, code: str) -> None:
    assert moved(at, move) == code


def test_another_person_fulfils_and_reopening_begins_anew() -> None:
    done = moved(AT, Move("fulfil", "dpo", "bruno"))
    assert isinstance(done, Where)
    begun = replace(done, state="accepted", begun=True)
    anew = moved(begun, Move("accept", "dpo", "carla"))  # by another plan; what has begun has begun
    assert isinstance(anew, Where)
    assert (anew.accepted_by, anew.begun) == ("carla", True)
    again = moved(replace(done, extended=True, begun=True), Move("reopen", "dpo", "carla"))
    assert again == replace(AT, accepted_by="carla")
    assert moved(replace(AT, kind="access"), Move("fulfil", "request-officer", "anna")) != "same-person"


# --- the maps ---


@pytest.mark.parametrize("state", STATES)
def test_every_state_has_its_words_and_they_lead_back(state: State) -> None:
    for wait, extended, outcome, late in product(WAITS, (False, True), ("", "complete", "partial", "nothing-held"), (False, True)):
        terms = dpv_terms(Where("access", state, wait, extended), outcome, late=late)
        assert terms
        assert all(one.startswith("dpv:R") for one in terms)
    assert state in states_of(OPEN_DSR[state])
    assert (state in OPEN) is (OPEN_DSR[state] in ("pending", "in_progress"))


def test_words_of_the_design() -> None:
    assert dpv_terms(Where("access", waiting="identity")) == ("dpv:RequestAcknowledged", "dpv:RequestRequiresAction")
    assert dpv_terms(Where("access", "verified")) == ("dpv:RequestAcknowledged", "dpv:RequestRequiredActionPerformed")
    assert dpv_terms(Where("access", "accepted"), late=True) == ("dpv:RequestAccepted", "dpv:RequestActionDelayed")
    assert dpv_terms(Where("access", "fulfilled"), "partial") == ("dpv:RequestFulfilled", "dpv:RightNonFulfilmentNotice")
    assert dpv_terms(Where("access", "withdrawn")) == ("dpv:RequestUnfulfilled",)
    assert {one for status in ("pending", "in_progress", "completed", "cancelled") for one in states_of(status)} == set(STATES)
    assert states_of("unheard") == frozenset()


# --- against a model ---


class Requests(RuleBasedStateMachine):
    """A request under random hands, and a model that keeps its history and answers from that alone."""

    @initialize(kind=st.sampled_from(get_args(Kind)), special=st.booleans())
    def begin(self, kind: Kind, special: bool) -> None:
        self.at = Where(kind, special=special)
        self.done: list[Move] = []

    @rule(
        verb=st.sampled_from(VERBS), role=st.sampled_from(ROLES), by=st.sampled_from("abc"), level=st.integers(0, 3),
        waiting=st.sampled_from(WAITS), extendable=st.booleans(), unanswered=st.booleans(),
    )  # fmt: skip
    def move(self, **stated: Any) -> None:
        move = Move(**stated)
        found = moved(self.at, move)
        assert isinstance(found, Where) is self._may(move), (self.at, move, found)
        if isinstance(found, Where):
            self.at, self.done = found, [*self.done, move]

    @invariant()
    def stands_where_its_history_leads(self) -> None:
        if hasattr(self, "at"):
            assert (self.at.state, self.at.waiting, self.at.extended) == (self._state(), self._waiting(), self._extended())

    def _state(self) -> str:
        tos = [TABLE[one.verb][2] for one in self.done if TABLE[one.verb][2]]
        return tos[-1] if tos else "received"

    def _waiting(self) -> str:
        for one in reversed(self.done):
            if one.verb == "ask":
                return one.waiting
            if one.verb == "answer" or TABLE[one.verb][2]:
                return "nothing"
        return "nothing"

    def _extended(self) -> bool:
        since = [number for number, one in enumerate(self.done) if one.verb == "reopen"]
        return any(one.verb == "extend" for one in self.done[since[-1] + 1 if since else 0 :])

    def _by_two(self) -> bool:
        return self.at.kind in ("erasure", "deceased") or (self.at.special and self.at.kind in ("access", "portability"))

    def _may(self, move: Move) -> bool:
        froms, whose, _ = TABLE[move.verb]
        if move.role not in whose.split() or self._state() not in froms.split():
            return False
        terms, waits = KINDS[self.at.kind], self._waiting()
        needed = max(terms.level, terms.special if self.at.special else 0)
        accepted = [one.by for one in self.done if one.verb in ("accept", "reopen")]
        deciders = {"request-officer": {"request-officer", "dpo"}, "dpo": {"dpo"}, "nobody": {"system"}}[terms.decided_by]
        return {
            "verify": move.level >= needed,
            "accept": waits == "nothing" and move.role in deciders,
            "fulfil": not (self._by_two() and accepted[-1:] == [move.by]),
            "ask": waits == "nothing" and move.waiting != "nothing",
            "answer": waits != "nothing",
            "extend": move.extendable and not self._extended(),
            "unidentify": waits == "identity" and move.unanswered,
        }.get(move.verb, True)


Requests.TestCase.settings = settings(max_examples=60, stateful_step_count=50, deadline=None)
test_a_request_moves_as_the_model_does = Requests.TestCase
