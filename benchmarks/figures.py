"""The arithmetic of the comparisons: windows, ratios taken round by round, medians, gates. Pure.

A window is one second of load on one server. It is void when anything in it failed: a socket error, a time-out, a status outside
2xx. A ratio is taken inside a round, where both windows saw the same machine, and the median of the rounds is the figure; with
fewer than seven rounds in which both windows count there is none, and a gate on it fails.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import quantiles
from typing import Any

ENOUGH_ROUNDS = 7
Place = tuple[str, int]  # the load's name, connections


@dataclass(frozen=True, slots=True)
class Window:
    """What one window saw: requests answered, seconds, failures, on-CPU nanoseconds of server and PostgreSQL, latencies in µs."""

    answered: int
    seconds: float
    failed: int
    cpu_ns: int
    p50_us: float
    p99_us: float

    @property
    def void(self) -> bool:
        """Whether the window counts for nothing."""
        return self.failed > 0 or self.answered == 0

    @property
    def rps(self) -> float:
        """Requests per second."""
        return self.answered / self.seconds

    @property
    def cpu_us(self) -> float:
        """On-CPU microseconds for each request."""
        return self.cpu_ns / 1000 / self.answered


Round = Mapping[Place, Window]


@dataclass(frozen=True, slots=True)
class Spread:
    """A median with the quartiles around it, and how many values it rests on."""

    median: float
    low: float
    high: float
    count: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """One load against the reference at one number of connections; None where too few rounds count."""

    rps_ratio: Spread | None
    cpu_ratio: Spread | None
    p50_ratio: Spread | None
    p99_ratio: Spread | None
    rps: Spread | None
    cpu_us: Spread | None


@dataclass(frozen=True, slots=True)
class Gate:
    """A bound on one figure of the results. `path` leads to it; `goal` is what is hoped for."""

    path: tuple[str, ...]
    bound: float
    goal: float
    at_most: bool = False

    def holds(self, value: float) -> bool:
        """Return whether the figure is within the bound."""
        return value <= self.bound if self.at_most else value >= self.bound

    def reaches_goal(self, value: float) -> bool:
        """Return whether the figure is as good as hoped."""
        return value <= self.goal if self.at_most else value >= self.goal


@dataclass(frozen=True, slots=True)
class Verdict:
    """One gate's outcome: `pass`, `fail`, `void` (measured, but too few windows count) or `not run`."""

    gate: Gate
    value: float | None
    outcome: str


GATES = (
    Gate(("masked_read", "c64", "rps_ratio"), 0.6, 0.9),
    Gate(("masked_read", "c8", "rps_ratio"), 0.5, 0.75),
    Gate(("masked_read", "c64", "cpu_ratio"), 1.5, 1.0, at_most=True),
    Gate(("masked_read", "c8", "cpu_ratio"), 2.0, 1.4, at_most=True),
    Gate(("masked_read", "c1", "p50_ratio"), 2.0, 1.5, at_most=True),
    Gate(("masked_read", "c8", "p99_ratio"), 3.0, 2.0, at_most=True),
    Gate(("masked_read", "c64", "p99_ratio"), 3.0, 2.0, at_most=True),
    Gate(("slow_commit", "c64", "rps_ratio"), 1.0, 1.3),
    Gate(("slow_commit", "c8", "rps_ratio"), 0.6, 0.8),
    Gate(("slow_commit", "c1", "rps_ratio"), 0.6, 0.9),
    Gate(("import", "seal_ratio"), 0.5, 0.7),
    Gate(("import", "with_parsing_ratio"), 0.4, 0.6),
    Gate(("import", "peak_mb"), 300.0, 300.0, at_most=True),
    Gate(("policy", "miss_in_singles"), 200.0, 130.0, at_most=True),
    Gate(("policy", "hits_in_a_miss"), 500.0, 2_000.0),
)


def spread(values: Sequence[float], enough: int = ENOUGH_ROUNDS) -> Spread | None:
    """Return the median and quartiles; None for fewer than `enough` values."""
    if len(values) < max(enough, 1):
        return None
    low, middle, high = quantiles(values, n=4, method="inclusive") if len(values) > 1 else (values[0],) * 3
    return Spread(middle, low, high, len(values))


def compare(rounds: Sequence[Round], name: str, reference: str, connections: int) -> Comparison:
    """Compare a load with the reference, round by round; a round counts when neither window is void."""
    pairs = [(one[name, connections], one[reference, connections]) for one in rounds if _both(one, name, reference, connections)]
    return Comparison(
        rps_ratio=spread([mine.rps / theirs.rps for mine, theirs in pairs]),
        cpu_ratio=spread([mine.cpu_us / theirs.cpu_us for mine, theirs in pairs if theirs.cpu_ns]),
        p50_ratio=spread([mine.p50_us / theirs.p50_us for mine, theirs in pairs if theirs.p50_us]),
        p99_ratio=spread([mine.p99_us / theirs.p99_us for mine, theirs in pairs if theirs.p99_us]),
        rps=spread([mine.rps for mine, _ in pairs]),
        cpu_us=spread([mine.cpu_us for mine, _ in pairs]),
    )


def _both(one: Round, name: str, reference: str, connections: int) -> bool:
    windows = [one.get((who, connections)) for who in (name, reference)]
    return all(window is not None and not window.void for window in windows)


def one_entry_each(answered: int, entries: int, cut: int) -> bool:
    """Return whether each answer left exactly one entry.

    A window ends by closing its connections, so up to `cut` requests are recorded whose answer nobody waited for.
    """
    return answered <= entries <= answered + cut


def judge(results: Mapping[str, Any], gates: Sequence[Gate] = GATES) -> list[Verdict]:
    """Return each gate's verdict on the results."""
    return [_judged(results, gate) for gate in gates]


def _judged(results: Mapping[str, Any], gate: Gate) -> Verdict:
    place: Any = results
    for step in gate.path:
        if not isinstance(place, Mapping) or step not in place:
            return Verdict(gate, None, "not run")
        place = place[step]
    if place is None:
        return Verdict(gate, None, "void")
    return Verdict(gate, float(place), "pass" if gate.holds(float(place)) else "fail")


def failed_in_both(first: Sequence[Verdict], second: Sequence[Verdict]) -> list[Gate]:
    """Return the gates that neither run passed; one bad run is noise."""
    bad = ("fail", "void")
    again = {one.gate.path for one in second if one.outcome in bad}
    return [one.gate for one in first if one.outcome in bad and one.gate.path in again]
