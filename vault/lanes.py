"""Disclosure lanes: threads that run `disclose_all` for many asks at once, so that many requests share one statement and commit.

A lane takes what is queued, up to 64 asks of one controller, and never waits for company: idle it serves one at once, busy it finds
the next group waiting. It owns its recorder lane, hence its own writer chain. Queues are per controller, served in turn, bounded.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Condition, Thread
from typing import Any

import structlog

from vault.assembly import Vault
from vault.audit.recorder import RecorderLane
from vault.errors import AuditUnavailable, DatabaseUnavailable, Unavailable, VaultError
from vault.operations.disclose import disclose_all
from vault.operations.disclosure import Ask, Profile

BATCH = 64
WAITING = 256  # asks in one process; more are refused before latency collapses
PATIENCE_S = 3.0
IDLE_S = 60.0
MOST_WRITERS = 32  # of one lane, each with a connection

log = structlog.get_logger()
Answer = Profile | VaultError
Deliver = Callable[[list[tuple[Any, Answer]]], None]


@dataclass(frozen=True, slots=True)
class _Waiting:
    ask: Ask
    waiter: Any
    deliver: Deliver
    deadline: float


@dataclass(slots=True)
class _Queues:
    """Asks by controller, in arrival order, and the order in which controllers are served."""

    lock: Condition = field(default_factory=Condition)
    asks: dict[str, deque[_Waiting]] = field(default_factory=dict)
    turn: deque[str] = field(default_factory=deque)
    waiting: int = 0
    closed: bool = False


class Lanes:
    """The lanes of one process."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._queues = _Queues()
        self._threads = [Thread(target=self._run, name=f"lane-{n}", daemon=True) for n in range(vault.settings.lanes)]
        for thread in self._threads:
            thread.start()

    def submit(self, ask: Ask, waiter: Any, deliver: Deliver) -> None:
        """Queue an ask. `deliver` is called once for each batch, in a lane's thread, with (waiter, answer) pairs.

        Raises DatabaseUnavailable (`overloaded`) when 256 asks wait already.
        """
        queues = self._queues
        waiting = _Waiting(ask, waiter, deliver, self._vault.monotonic() + PATIENCE_S)
        with queues.lock:
            if queues.closed or queues.waiting >= WAITING:
                raise DatabaseUnavailable("overloaded", retry_after_s=1)
            controller_id = ask.context.controller_id
            line = queues.asks.get(controller_id)
            if line is None:
                line = queues.asks[controller_id] = deque()
                queues.turn.append(controller_id)
            line.append(waiting)
            queues.waiting += 1
            queues.lock.notify()

    def alive(self) -> bool:
        """Return whether every lane runs."""
        return all(thread.is_alive() for thread in self._threads)

    def close(self) -> None:
        """Answer what is queued, then stop."""
        with self._queues.lock:
            self._queues.closed = True
            self._queues.lock.notify_all()
        for thread in self._threads:
            thread.join(timeout=PATIENCE_S)

    def _run(self) -> None:
        writers = _Writers(self._vault)
        while (batch := self._next()) is not None:
            if batch:
                _hand_out(self._serve(writers, batch))
                with _outlived(len(batch)):
                    self._vault.policy.recheck(self._vault.monotonic())
            writers.close_idle()
        writers.close_all()

    def _next(self) -> list[_Waiting] | None:
        """Return the next group of one controller; empty after an idle while, None when closed and drained."""
        queues = self._queues
        with queues.lock:
            if not queues.turn and not queues.closed:
                queues.lock.wait(timeout=IDLE_S / 2)
            if not queues.turn:
                return None if queues.closed else []
            controller_id = queues.turn.popleft()
            line = queues.asks[controller_id]
            batch = [line.popleft() for _ in range(min(BATCH, len(line)))]
            queues.waiting -= len(batch)
            if line:
                queues.turn.append(controller_id)
                queues.lock.notify()
            else:
                del queues.asks[controller_id]
            return batch

    def _serve(self, writers: "_Writers", batch: Sequence[_Waiting]) -> list[tuple[_Waiting, Answer]]:
        late = DatabaseUnavailable("overloaded", retry_after_s=1)
        now = self._vault.monotonic()
        fresh = [one for one in batch if one.deadline >= now]
        answered: list[tuple[_Waiting, Answer]] = [(one, late) for one in batch if one.deadline < now]
        if fresh:
            answered += zip(fresh, self._disclose(writers, [one.ask for one in fresh]), strict=True)
        return answered

    def _disclose(self, writers: "_Writers", asks: Sequence[Ask]) -> Sequence[Answer]:
        controller_id = asks[0].context.controller_id
        try:
            return disclose_all(self._vault, asks, writers.of(controller_id).record_all)
        except Unavailable as error:
            return [error] * len(asks)
        except VaultError as error:
            return self._singly(writers, asks, error)
        except Exception as error:  # noqa: BLE001  # a lane outlives any fault: who caused it gets 503, nothing was shown
            log.error("lane_fault", kind=type(error).__name__, batch=len(asks))
            writers.drop(controller_id)
            return self._singly(writers, asks, AuditUnavailable(retry_after_s=1))

    def _singly(self, writers: "_Writers", asks: Sequence[Ask], error: VaultError) -> Sequence[Answer]:
        """One ask spoilt the batch: serve each alone, so that only that one fails. What was recorded stays recorded."""
        if len(asks) == 1:
            return [error]
        return [answer for ask in asks for answer in self._disclose(writers, [ask])]


class _Writers:
    """The recorder lanes one disclosure lane holds, one for each controller it served within the last minute."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._lanes: dict[str, tuple[RecorderLane, float]] = {}

    def of(self, controller_id: str) -> RecorderLane:
        """Return this controller's recorder lane, opened at its first ask."""
        held = self._lanes.pop(controller_id, None)
        if held is None and len(self._lanes) >= MOST_WRITERS:
            self.drop(next(iter(self._lanes)))  # the one unused for longest
        lane = held[0] if held is not None else self._vault.audit.open_lane(controller_id)
        self._lanes[controller_id] = (lane, self._vault.monotonic())
        return lane

    def drop(self, controller_id: str) -> None:
        """Let go of a lane that failed."""
        held = self._lanes.pop(controller_id, None)
        if held is not None:
            held[0].close()

    def close_idle(self) -> None:
        """Close the lanes of controllers nobody asked about for a minute."""
        limit = self._vault.monotonic() - IDLE_S
        for controller_id in [one for one, (_, used) in self._lanes.items() if used < limit]:
            self.drop(controller_id)

    def close_all(self) -> None:
        """Close every lane."""
        for controller_id in list(self._lanes):
            self.drop(controller_id)


def _hand_out(answered: Sequence[tuple[_Waiting, Answer]]) -> None:
    """Wake each receiver once for all its answers."""
    receivers: dict[Deliver, list[tuple[Any, Answer]]] = {}
    for one, answer in answered:
        receivers.setdefault(one.deliver, []).append((one.waiter, answer))
    for deliver, pairs in receivers.items():
        with _outlived(len(pairs)):
            deliver(pairs)


@contextmanager
def _outlived(batch: int) -> Iterator[None]:
    """Let no fault outside the disclosure end the lane either."""
    try:
        yield
    except Exception as error:  # noqa: BLE001  # the other lanes would follow, and then nothing is served
        log.error("lane_fault", kind=type(error).__name__, batch=batch)
