"""The masked read against the reference: all servers up at once, shuffled rounds of one-second windows.

Within a round each number of connections is tried once with each load, loads in random order, so that what a ratio compares lies
seconds apart. Between windows the servers fall quiet first, so that work one load left behind is not charged to the next.
"""

import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass

from benchmarks.figures import Round, Window, one_entry_each
from benchmarks.load import Load, window
from benchmarks.people import FLOOR, MASKED_READ, T2_DEFAULT, WORKLOADS
from benchmarks.processes import Server, free_port, serving, settle
from benchmarks.sample import NotReady, WrongAnswer, check_answers, inserted, recorded
from benchmarks.seed import Seeded, World, hello_requests, vault_command

REFERENCE = "hello_commit"
SYNCHRONOUS = "hello_commit_sync"
CONNECTIONS = (1, 8, 64)
TRIES = 3
TRY_AGAIN_S = 5.0
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured: rounds that count, rounds before them, seconds of a window, and when to stop (monotonic)."""

    rounds: int
    warm_up: int
    seconds: int
    until: float


@contextmanager
def contenders(made: World, seeded: Seeded) -> Iterator[list[Load]]:
    """Start every server and yield the loads they are put under."""
    hello = hello_requests(made)
    with ExitStack() as servers:
        loads = []
        for name in (REFERENCE, SYNCHRONOUS):
            server = servers.enter_context(_reference(made, name))
            loads.append(Load(name, server.port, hello, server.pid, made.postgres_pid))
        server = servers.enter_context(_floor(made))
        loads.append(Load(FLOOR, server.port, seeded.requests[MASKED_READ.name], server.pid, made.postgres_pid))
        server = servers.enter_context(_vault(made))
        loads += [Load(one.name, server.port, seeded.requests[one.name], server.pid, made.postgres_pid) for one in WORKLOADS]
        yield loads


def verified(made: World, seeded: Seeded, loads: Sequence[Load]) -> None:
    """Look at a hundred answers of each workload of the vault. Raises WrongAnswer."""
    port = next(load.port for load in loads if load.name == MASKED_READ.name)
    for workload in WORKLOADS:
        for _ in range(TRIES):
            try:
                check_answers(made, seeded, port, workload)
                break
            except NotReady:
                time.sleep(TRY_AGAIN_S)
        else:
            raise WrongAnswer(f"{workload.name}: unavailable, {TRIES} times")


def measure(made: World, loads: Sequence[Load], plan: Plan, say: Say) -> list[Round]:
    """Run the rounds that fit before the plan's end. Raises WrongAnswer when answers and entries do not tally."""
    before = {"vault": recorded(made), "references": inserted(made)}
    dice = random.Random(time.time_ns())  # noqa: S311  # shuffling is no secret
    rounds: list[Round] = []
    tally = _Tally()
    took = 0.0
    for number in range(plan.warm_up + plan.rounds):
        begun = time.monotonic()
        if begun + took > plan.until:
            say(f"time is up after {len(rounds)} rounds")
            break
        one = _round(loads, plan, dice, tally)
        took = time.monotonic() - begun
        say(f"round {number + 1} of {plan.warm_up + plan.rounds}, {took:.0f} s" + (", warming up" if number < plan.warm_up else ""))
        if number >= plan.warm_up:
            rounds.append(one)
    settle([load.pid for load in loads])
    tally.check("vault", recorded(made) - before["vault"])
    tally.check("references", inserted(made) - before["references"])
    return rounds


def _round(loads: Sequence[Load], plan: Plan, dice: random.Random, tally: "_Tally") -> Round:
    windows: dict[tuple[str, int], Window] = {}
    roots = sorted({pid for load in loads for pid in (load.pid, load.postgres)})
    for connections in dice.sample(CONNECTIONS, len(CONNECTIONS)):
        for load in dice.sample(list(loads), len(loads)):
            settle(roots)
            seen = window(load, connections, plan.seconds, dice.randrange(2**31))
            windows[load.name, connections] = seen
            tally.add("vault" if load.name in (MASKED_READ.name, T2_DEFAULT.name, FLOOR) else "references", seen, connections)
    return windows


class _Tally:
    """What was answered by whom, to be held against what was recorded."""

    def __init__(self) -> None:
        self._answered: dict[str, int] = {}
        self._cut: dict[str, int] = {}

    def add(self, who: str, seen: Window, connections: int) -> None:
        self._answered[who] = self._answered.get(who, 0) + max(0, seen.answered - seen.failed)
        self._cut[who] = self._cut.get(who, 0) + connections + seen.failed

    def check(self, who: str, entries: int) -> None:
        answered, cut = self._answered.get(who, 0), self._cut.get(who, 0)
        if not one_entry_each(answered, entries, cut):
            raise WrongAnswer(f"{who}: {answered} answers, {entries} entries")


def _reference(made: World, name: str) -> AbstractContextManager[Server]:
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.reference", name, "--port", str(port), "--dsn", made.reference_url]
    return serving(name, command, port, "/hello", made.home, made.environment)


def _floor(made: World) -> AbstractContextManager[Server]:
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.floor", "--port", str(port)]
    return serving(FLOOR, command, port, "/readyz", made.home, made.environment)


def _vault(made: World) -> AbstractContextManager[Server]:
    port = free_port()
    command = vault_command("serve", "--host", "127.0.0.1", "--port", str(port))
    return serving("riserbo", command, port, "/readyz", made.home, made.environment)
