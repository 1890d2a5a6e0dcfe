"""Disclosure lanes: threads that run `disclose_all` for many asks at once, so that many requests share one statement and commit.

A lane takes what is queued, up to 64 asks of one controller, and never waits for company: idle it serves one at once, busy it finds
the next group waiting. It owns its recorder lane, hence its own writer chain. Queues are per controller, served in turn, bounded.

Of idle lanes the one that worked last is woken, for its connections are warm; and none while another is on its way to the queue.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock, Thread
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
    """Asks by controller, in arrival order, and the order in which controllers are served; who sleeps, and if one is coming."""

    lock: Lock = field(default_factory=Lock)
    asks: dict[str, deque[_Waiting]] = field(default_factory=dict)
    turn: deque[str] = field(default_factory=deque)
    waiting: int = 0
    closed: bool = False
    sleeping: list[Lock] = field(default_factory=list)
    coming: bool = False

    def add(self, one: _Waiting) -> None:
        """Queue an ask. Raises DatabaseUnavailable (`overloaded`) when there are too many, or nobody serves any more."""
        with self.lock:
            if self.closed or self.waiting >= WAITING:
                raise DatabaseUnavailable("overloaded", retry_after_s=1)
            controller_id = one.ask.context.controller_id
            line = self.asks.get(controller_id)
            if line is None:
                line = self.asks[controller_id] = deque()
                self.turn.append(controller_id)
            line.append(one)
            self.waiting += 1
            self._wake_one()

    def take(self, bell: Lock) -> list[_Waiting] | None:
        """Return the next group of one controller, or else put the lane to sleep and return nothing; None when all is over."""
        with self.lock:
            self.coming = False
            if not self.turn:
                self.sleeping.append(bell)
                return None if self.closed else []
            controller_id = self.turn.popleft()
            line = self.asks[controller_id]
            batch = [line.popleft() for _ in range(min(BATCH, len(line)))]
            self.waiting -= len(batch)
            if line:
                self.turn.append(controller_id)
            else:
                del self.asks[controller_id]
            if self.turn:
                self._wake_one()
            return batch

    def overslept(self, bell: Lock) -> bool:
        """Take a lane nobody woke off the list; False when it has just been woken after all."""
        with self.lock:
            if bell in self.sleeping:
                self.sleeping.remove(bell)
                return True
        return False

    def close(self) -> None:
        """Take no more asks, and wake everybody."""
        with self.lock:
            self.closed = True
            for bell in self.sleeping:
                bell.release()
            self.sleeping.clear()

    def _wake_one(self) -> None:
        if self.sleeping and not self.coming:
            self.coming = True
            self.sleeping.pop().release()


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
        self._queues.add(_Waiting(ask, waiter, deliver, self._vault.monotonic() + PATIENCE_S))

    def alive(self) -> bool:
        """Return whether every lane runs."""
        return all(thread.is_alive() for thread in self._threads)

    def close(self) -> None:
        """Answer what is queued, then stop."""
        self._queues.close()
        for thread in self._threads:
            thread.join(timeout=PATIENCE_S)

    def _run(self) -> None:
        writers = _Writers(self._vault)
        bell = Lock()
        bell.acquire()
        while (batch := self._next(bell)) is not None:
            if batch:
                _hand_out(self._serve(writers, batch))
                with _outlived(len(batch)):
                    writers.governed.policy.recheck(self._vault.monotonic())
            writers.close_idle()
        writers.close_all()

    def _next(self, bell: Lock) -> list[_Waiting] | None:
        """Return the next group of one controller; empty after an idle while, None when closed and drained."""
        queues = self._queues
        while (batch := queues.take(bell)) == []:
            if not bell.acquire(timeout=IDLE_S / 2):
                if queues.overslept(bell):
                    return []
                bell.acquire()
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
            vault = writers.governed = self._vault.governed(controller_id)  # the batch begins and ends with this bundle
            return disclose_all(vault, asks, writers.of(controller_id).record_all)
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
        self._vault = self.governed = vault  # the latter as the last batch had it
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
