"""Group commit: callers share a controller's recorder lanes as leaders and followers.

Whoever finds a lane free writes at once, alone if alone. Whoever does not waits in line; the lane's holder, when done, hands it to
the first in line, who takes along what waits behind. No timer waits for company: an idle lane answers at once, a busy one finds a
group waiting.
"""

from collections import deque
from collections.abc import Callable, Sequence
from threading import Lock

from vault.audit.lane import Lane
from vault.audit.prepared import Prepared
from vault.errors import AuditUnavailable, Unavailable

MOST_TOGETHER = 64
MOST_WAITING = 1000


class _Unit:
    """One caller's entries on their way: committed together, with or without others'."""

    __slots__ = ("batch", "failed", "hashes", "lane", "wake")

    def __init__(self, batch: Sequence[Prepared]) -> None:
        self.batch = batch
        self.hashes: list[bytes] | None = None
        self.failed: int | None = None  # seconds after which to try again
        self.lane: Lane | None = None  # handed over: this caller leads
        self.wake = Lock()
        self.wake.acquire()


class LaneGroup:
    """The shared lanes of one controller."""

    def __init__(self, make: Callable[[], Lane], lanes: int, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._lock = Lock()
        self._lanes = [make() for _ in range(lanes)]
        self._free = list(self._lanes)
        self._queue: deque[_Unit] = deque()

    def commit(self, batch: Sequence[Prepared], deadline: float) -> list[bytes]:
        """Commit one caller's entries, all or none; return their leaf hashes in order. Raises AuditUnavailable by the deadline."""
        unit = _Unit(batch)
        with self._lock:
            lane = self._free.pop() if self._free else None
            if lane is None:
                if len(self._queue) >= MOST_WAITING:
                    raise AuditUnavailable(retry_after_s=1)
                self._queue.append(unit)
        if lane is None:
            lane = self._wait(unit, deadline)
        if lane is not None:
            self._lead(lane, unit, deadline)
        if unit.hashes is None:
            raise AuditUnavailable(retry_after_s=unit.failed or 1)
        return unit.hashes

    def rest(self, idle_s: float) -> None:
        """Close the writers and connections of lanes nobody has used for so long."""
        while (lane := self._idle_lane(idle_s)) is not None:
            try:
                lane.close()
            finally:
                self._hand_over(lane)

    def close(self) -> None:
        """Close every lane. Callers have gone."""
        for lane in self._lanes:
            lane.close()

    def _idle_lane(self, idle_s: float) -> Lane | None:
        with self._lock:
            for at, lane in enumerate(self._free):
                if lane.opened and self._monotonic() - lane.used_at > idle_s:
                    return self._free.pop(at)
        return None

    def _wait(self, unit: _Unit, deadline: float) -> Lane | None:
        """Wait until the entries are committed (None), or this caller has to lead (the lane)."""
        if unit.wake.acquire(timeout=max(0.0, deadline - self._monotonic())):
            return unit.lane
        with self._lock:
            if unit in self._queue:
                self._queue.remove(unit)
        return unit.lane  # handed over at the last moment: it must be led or passed on

    def _lead(self, lane: Lane, unit: _Unit, deadline: float) -> None:
        group = [unit]
        try:
            with self._lock:
                room = MOST_TOGETHER - len(unit.batch)
                while self._queue and len(self._queue[0].batch) <= room:
                    room -= len(self._queue[0].batch)
                    group.append(self._queue.popleft())
            hashes = iter(lane.commit([prepared for one in group for prepared in one.batch], deadline))
            for one in group:
                one.hashes = [next(hashes) for _ in one.batch]
        except Unavailable as error:
            for one in group:
                one.failed = error.retry_after_s
        finally:  # whatever happened, nobody is left waiting and the lane goes on
            for one in group[1:]:
                one.wake.release()
            self._hand_over(lane)

    def _hand_over(self, lane: Lane) -> None:
        with self._lock:
            if not self._queue:
                self._free.append(lane)
                return
            successor = self._queue.popleft()
            successor.lane = lane
        successor.wake.release()
