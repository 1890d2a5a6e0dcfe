"""Checkpoints posted elsewhere: the newest of each log, again until it is taken, and nothing waits for it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import httpx2
import pytest

from tests.audit.test_trail import reached
from vault.connectors.announcer import Announcer, announcing
from vault.errors import InvalidValue

URL = "https://keeper.example/notes"


class Target:
    """Takes posts; `answers` are the statuses to come, 200 after those, None for a connection that fails."""

    def __init__(self, *answers: int | None) -> None:
        self.answers = list(answers)
        self.taken: list[str] = []
        self.types: set[str] = set()
        self.held = threading.Event()
        self.held.set()

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.held.wait(10)
        answer = self.answers.pop(0) if self.answers else 200
        if answer is None:
            raise httpx2.ConnectError("no")
        if answer == 200:
            self.taken.append(request.content.decode())
            self.types.add(request.headers["Content-Type"])
        return httpx2.Response(answer)


@pytest.fixture
def closing() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def announcer(closing: ExitStack) -> Callable[[Target], Announcer]:
    def make(target: Target) -> Announcer:
        made = Announcer(URL, httpx2.MockTransport(target), first_s=0.01)
        closing.callback(made.close)
        return made

    return make


def test_each_note_is_posted_as_text(announcer: Callable[[Target], Announcer]) -> None:
    target = Target()
    made = announcer(target)
    made.announce("log/1", "one\n")
    assert reached(lambda: target.taken == ["one\n"])
    made.announce("log/1", "two\n")
    assert reached(lambda: target.taken == ["one\n", "two\n"])
    assert target.types == {"text/plain; charset=utf-8"}


def test_a_target_that_fails_is_tried_again(announcer: Callable[[Target], Announcer]) -> None:
    target = Target(None, 500, 302)
    announcer(target).announce("log/1", "one\n")
    assert reached(lambda: target.taken == ["one\n"])
    assert target.answers == []


def test_the_newest_note_of_a_log_replaces_the_one_that_waits(announcer: Callable[[Target], Announcer]) -> None:
    target = Target()
    target.held.clear()
    made = announcer(target)
    made.announce("log/1", "one\n")
    for text in ("two\n", "three\n"):
        made.announce("log/1", text)
    made.announce("other/1", "other\n")
    target.held.set()
    assert reached(lambda: {"three\n", "other\n"} <= set(target.taken))
    assert target.taken.count("three\n") == 1


def test_it_stops_while_its_target_is_dead() -> None:
    target = Target(*[500] * 1000)
    made = Announcer(URL, httpx2.MockTransport(target), first_s=60)
    made.announce("log/1", "one\n")
    assert reached(lambda: len(target.answers) < 1000)
    made.close()
    assert target.taken == []


def test_only_a_safe_address_is_spoken_to() -> None:
    with pytest.raises(InvalidValue) as refusal:
        Announcer("http://keeper.example/notes")
    assert refusal.value.faults[0].pointer == "RISERBO_CHECKPOINT_WEBHOOK"


def test_without_an_address_nothing_is_sent() -> None:
    announce, stop = announcing(None)
    announce("log/1", "one\n")
    stop()
    announce, stop = announcing("http://127.0.0.1:9/notes")
    stop()
