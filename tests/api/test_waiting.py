"""A request waits for its lane without a thread, is woken once a batch, and never for longer than three seconds."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import anyio
import pytest

from api import waiting
from api.waiting import Encoded, ask_lane
from vault.errors import DatabaseUnavailable, NotFound, Unreadable, VaultError
from vault.operations.disclosure import Ask, Profile, Shown

PROFILE = Profile(
    "sub_1", "active", 7, "dec_1", "ent_1", "sha256:x", "billing", ("agr_1",), {"email": Shown("clear", "a@b.it", None, "r")}
)
ASK: Any = Ask(None, "sub_1")  # type: ignore[arg-type]  # the lane below looks at nothing


@dataclass
class Lane:
    """A lane of one batch: answers what it was told once `batch` asks wait, in a thread of its own."""

    answers: Sequence[Profile | VaultError]
    waiting: list[Any] = field(default_factory=list)
    threads: list[threading.Thread] = field(default_factory=list)

    def submit(self, ask: Ask, waiter: Any, deliver: Callable[[list[Any]], None]) -> None:
        assert ask is ASK
        self.waiting.append(waiter)
        if len(self.waiting) == len(self.answers):
            pairs = list(zip(self.waiting, self.answers, strict=True))
            self.threads.append(threading.Thread(target=deliver, args=(pairs,)))
            self.threads[-1].start()


def asked(*answers: Profile | VaultError) -> list[Encoded | VaultError]:
    lane: Any = Lane(answers)
    outcomes: list[Any] = [None] * len(answers)

    async def one(number: int) -> None:
        try:
            outcomes[number] = await ask_lane(lane, ASK)
        except VaultError as error:
            outcomes[number] = error

    async def everybody() -> None:
        async with anyio.create_task_group() as group:
            for number in range(len(answers)):
                group.start_soon(one, number)

    anyio.run(everybody)
    for thread in lane.threads:
        thread.join()
    return outcomes


def test_an_answer_comes_back_encoded() -> None:
    (answer,) = asked(PROFILE)
    assert answer == Encoded(PROFILE.encoded(), "dec_1", "ent_1", 7)


def test_each_of_a_batch_gets_its_own_answer() -> None:
    refusal = NotFound(entry_id="ent_2")
    first, second, third = asked(PROFILE, refusal, PROFILE)
    assert isinstance(first, Encoded)
    assert second is refusal
    assert isinstance(third, Encoded)


def test_a_value_that_is_no_json_spoils_its_own_answer_only() -> None:
    odd = Profile("sub_2", "active", 7, "dec_2", "ent_2", "sha256:x", "billing", (), {"email": Shown("clear", {1, 2}, None, "r")})
    first, second = asked(odd, PROFILE)
    assert isinstance(first, Unreadable)
    assert (first.entry_id, first.decision_id) == ("ent_2", "dec_2")
    assert isinstance(second, Encoded)


def test_nobody_waits_longer_than_three_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    assert waiting.PATIENCE_S == 3.0
    monkeypatch.setattr(waiting, "PATIENCE_S", 0.05)

    class Deaf:
        def submit(self, *_: object) -> None:
            pass

    silent: Any = Deaf()
    with pytest.raises(DatabaseUnavailable) as unavailable:
        anyio.run(ask_lane, silent, ASK)
    assert unavailable.value.retry_after_s == 1


def test_an_answer_for_a_loop_that_ended_harms_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server stopped while a lane was at work: the lane goes on to its next batch."""
    monkeypatch.setattr(waiting, "PATIENCE_S", 0.01)
    kept: list[Any] = []

    class Late:
        def submit(self, _: Ask, waiter: Any, deliver: Callable[[Any], None]) -> None:
            kept.append((waiter, deliver))

    late: Any = Late()
    with pytest.raises(DatabaseUnavailable):
        anyio.run(ask_lane, late, ASK)
    waiter, deliver = kept[0]
    deliver([(waiter, PROFILE)])


def test_an_answer_for_a_request_that_was_cancelled_harms_nobody() -> None:
    lane: Any = Lane((PROFILE, PROFILE))
    outcomes: list[Encoded] = []

    async def given_up() -> None:
        with anyio.move_on_after(0):
            await ask_lane(lane, ASK)

    async def patient() -> None:
        outcomes.append(await ask_lane(lane, ASK))

    async def both() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(given_up)
            group.start_soon(patient)

    anyio.run(both)
    assert len(lane.waiting) == 2
    assert lane.waiting[0].cancelled()
    assert outcomes == [Encoded(PROFILE.encoded(), "dec_1", "ent_1", 7)]


def test_the_loop_is_woken_once_for_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    woken: list[int] = []
    honest = waiting._wake

    def counting(answers: Sequence[Any]) -> None:
        woken.append(len(answers))
        honest(answers)

    monkeypatch.setattr(waiting, "_wake", counting)
    asked(PROFILE, PROFILE, PROFILE)
    assert woken == [3]
