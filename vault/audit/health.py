"""Whether the trail is fit to be relied on: what closes opening, and what warns that it soon will.

Nothing is opened while an entry may not reach the log, or the log may not be the one that was signed. Fed by sequencer, signer and
watch; read by the recorder before each entry and by `/readyz`. What has not been measured counts as closed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

from vault.errors import VaultError

OLDEST_PENDING_S = 60.0
MOST_PENDING = 100_000
OLDEST_UNSIGNED_S = 600.0
MOST_APART_S = 2.0
UNSAFE_SERVER = "server-settings"  # the database may lose what it acknowledged
STALE_S = 10.0  # a measurement older than this is made again before anything opens
EVERYWHERE = "*"

Look = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Measure:
    """One look at a controller's log: how many entries wait and how long, and for how long sequenced ones wait for a checkpoint."""

    waiting: int
    oldest_pending_s: float
    unsigned_s: float
    late_s: float = 0.0  # of entries this process acknowledged
    clocks_apart_s: float = 0.0  # process and database: a warning, never a fault
    witnessed_s: float | None = None  # since somebody outside last signed a checkpoint: a figure, never a fault
    unsafe_server: bool = False  # and the settings, which are a test's, allow it

    def exceeded(self, part: float = 1.0) -> tuple[str, ...]:
        """Return the limits of which this part is passed, by name."""
        passed = {
            "oldest-pending": self.oldest_pending_s > OLDEST_PENDING_S * part,
            "pending-count": self.waiting > MOST_PENDING * part,
            "checkpoint-age": self.unsigned_s > OLDEST_UNSIGNED_S * part,
            "lane-late": self.late_s > OLDEST_PENDING_S * part,
        }
        return tuple(name for name, is_passed in passed.items() if is_passed)

    def warnings(self) -> tuple[str, ...]:
        """Return the limits of which half is passed, and what is no fault but should be known."""
        known = {"clocks-apart": self.clocks_apart_s > MOST_APART_S, UNSAFE_SERVER: self.unsafe_server}
        return self.exceeded(0.5) + tuple(name for name, is_so in known.items() if is_so)


@dataclass(frozen=True, slots=True)
class State:
    """How a controller's trail stands. Open when `closed` is empty; `warnings` are limits passed by half."""

    closed: tuple[str, ...]
    warnings: tuple[str, ...]
    measure: Measure | None


class TrailHealth:
    """What every part of the trail reports of itself, by controller. Shared by threads."""

    def __init__(self, monotonic: Callable[[], float], look: Look | None = None) -> None:
        self.look = look  # how to measure one log now
        self._monotonic = monotonic
        self._lock = Lock()
        self._looking = Lock()
        self._measures: dict[str, tuple[Measure, float, tuple[str, ...]]] = {}  # with its instant and the limits passed
        self._faults: dict[str, frozenset[str]] = {}

    def measured(self, controller_id: str, measure: Measure) -> None:
        """Take a measurement made now."""
        with self._lock:
            self._measures[controller_id] = (measure, self._monotonic(), measure.exceeded())

    def judge(self, controller_id: str, fault: str, *, stands: bool) -> bool:
        """Say whether a fault stands, `*` for every log. Returns whether that is new."""
        with self._lock:
            known = self._faults.get(controller_id, frozenset())
            self._faults[controller_id] = known | {fault} if stands else known - {fault}
        return stands != (fault in known)

    def finds(self, controller_id: str, *faults: str) -> bool:
        """Return whether any of these faults stands for this log."""
        return not self._faults.get(controller_id, frozenset()).isdisjoint(faults)

    def is_open(self, controller_id: str) -> bool:
        """Return whether entries may be taken and values opened. Measures first where that is overdue."""
        known = self._measures.get(controller_id)
        if known is None or self._monotonic() - known[1] > STALE_S:
            return not self.state(controller_id).closed
        return not (known[2] or self._faults.get(EVERYWHERE) or self._faults.get(controller_id))  # before every entry: kept short

    def state(self, controller_id: str) -> State:
        """Return how this controller's trail stands."""
        known = self._measures.get(controller_id)
        if known is None or self._monotonic() - known[1] > STALE_S:
            self._measure_now(controller_id)
            known = self._measures.get(controller_id)
        faults = self._faults.get(EVERYWHERE, frozenset()) | self._faults.get(controller_id, frozenset())
        if known is None or self._monotonic() - known[1] > STALE_S:
            return State(tuple(sorted(faults | {"not-measured"})), (), None)
        return State(tuple(sorted(faults)) + known[2], known[0].warnings(), known[0])

    def _measure_now(self, controller_id: str) -> None:
        """Measure, unless another thread is at it: then this one finds the trail closed and its caller tries again."""
        if self.look is None or not self._looking.acquire(timeout=1.0):
            return
        try:
            known = self._measures.get(controller_id)
            if known is None or self._monotonic() - known[1] > STALE_S:
                self.look(controller_id)
        except VaultError:
            return  # not measured: closed
        finally:
            self._looking.release()
