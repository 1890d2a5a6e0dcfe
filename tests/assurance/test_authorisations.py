"""An agent's authorisation ends in every process within a second: removed, or over by its date."""

import json
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from tests.conftest import Controllers
from tests.makers import make_subject, make_ticket, register
from vault.opening import Opened
from vault.operations.callers import Registration, end_registration, register_caller

ROOT = Path(__file__).parents[2]
WITHIN_S = 1.0
PATIENCE_S = 30.0


class Process:
    """A vault of its own that keeps asking."""

    def __init__(self, opened: Opened, *place: str) -> None:
        line = [sys.executable, "-m", "tests.assurance.asking", str(opened.vault.settings.home), opened.addresses.url, *place]
        self.program = subprocess.Popen(line, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)

    def next(self, said: str) -> float:
        """Return when this was first said: the next change must be this one."""
        assert self.program.stdout is not None
        assert select.select([self.program.stdout], [], [], PATIENCE_S)[0], f"never said {said}"
        change = json.loads(self.program.stdout.readline())
        assert change["said"] == said
        return float(change["at"])

    def close(self) -> None:
        """End it by ending its input."""
        self.program.communicate(timeout=PATIENCE_S)


@contextmanager
def processes(opened: Opened, controllers: Controllers) -> Iterator[tuple[str, list[Process]]]:
    """Yield a controller and two processes that ask as its agent `t1-1`, who is not registered yet."""
    controller_id = controllers()
    register(opened.vault, controller_id, "system")
    person = make_subject(opened.vault, controller_id, {"given_name": "Giulia"}).subject_id
    make_ticket(opened.vault, controller_id, person, "t1")
    with ExitStack() as closing:
        running = [Process(opened, controller_id, person, "TCK-1", "t1") for _ in range(2)]
        for one in running:
            closing.callback(one.close)
        for one in running:
            one.next("not-found")
        yield controller_id, running


def registered(opened: Opened, controller_id: str, running: list[Process], lasts_s: float | None = None) -> float:
    """Register the agent and wait until both processes show them the person; return when it ends, on the monotonic clock."""
    now, at = opened.vault.now(), time.monotonic()
    until = None if lasts_s is None else now + timedelta(seconds=lasts_s)
    register_caller(opened.vault, controller_id, Registration("t1-1", ("t1",), "support", valid_until=until))
    for one in running:
        one.next("clear")
    return at + (lasts_s or 0)


def trials(opened: Opened, controllers: Controllers, count: int) -> list[float]:
    """Return how long each process went on after the authorisation had ended: by removal and by date, in turn."""
    took = []
    with processes(opened, controllers) as (controller_id, running):
        for number in range(count):
            if number % 2:
                ended = registered(opened, controller_id, running, 0.5)
            else:
                registered(opened, controller_id, running)
                end_registration(opened.vault, controller_id, "t1-1")
                ended = time.monotonic()
            took += [one.next("not-found") - ended for one in running]
    return took


def test_an_authorisation_that_ends_ends_in_every_process_within_a_second(opened: Opened, controllers: Controllers) -> None:
    took = trials(opened, controllers, 20)
    sys.stdout.write(f"{len(took)} of 40 in time, the longest {max(took):.3f} s\n")
    assert len(took) == 40
    assert max(took) < WITHIN_S


@pytest.mark.drill
def test_so_do_a_hundred(opened: Opened, controllers: Controllers) -> None:
    took = trials(opened, controllers, 100)
    sys.stdout.write(f"{len(took)} of 200 in time, the longest {max(took):.3f} s\n")
    assert max(took) < WITHIN_S
