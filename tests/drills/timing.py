"""Whether two sorts of calls take the same time: Welch's t, as dudect uses it (Reparaz, Balasch, Verbauwhede 2017).

What is slow is slow for reasons of its own, so t is taken of all samples and again of those below each of some percentiles of all
samples together; the largest counts. Above 4.5 somebody who measures often enough tells the two apart.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from math import sqrt
from random import Random
from statistics import fmean, variance
from time import monotonic, perf_counter_ns

from tests.policy.makers import seeded

CROPS = (1.0, 0.99, 0.95, 0.9, 0.8, 0.5)
TOLD_APART = 4.5
FEWEST = 30  # of a sort below a crop; fewer say nothing


def welch(one: Sequence[float], other: Sequence[float]) -> float:
    """Return Welch's t of two samples."""
    spread = sqrt(variance(one) / len(one) + variance(other) / len(other))
    return (fmean(one) - fmean(other)) / spread if spread else 0.0


def told_apart(samples: Mapping[str, Sequence[int]]) -> dict[tuple[str, str], float]:
    """Return the largest |t| of every pair, over the crops."""
    found = {}
    for one, other in combinations(samples, 2):
        both = sorted((*samples[one], *samples[other]))
        edges = [both[min(len(both) - 1, int(len(both) * crop))] for crop in CROPS]
        cropped = [[[took for took in samples[name] if took <= edge] for name in (one, other)] for edge in edges]
        found[one, other] = max(abs(welch(*pair)) for pair in cropped if min(map(len, pair)) >= FEWEST)
    return found


def interleaved(acts: Mapping[str, Callable[[], object]], count: int, minutes: float, draw: Random) -> dict[str, list[int]]:
    """Do `count` acts in random order, or as many as `minutes` allow, and return how long each sort took, in nanoseconds.

    The first tenth, a thousand at most, only warms up.
    """
    names, until, warm = tuple(acts), monotonic() + minutes * 60, min(count // 10, 1_000)
    took: dict[str, list[int]] = {name: [] for name in names}
    for number in range(count + warm):
        name = draw.choice(names)
        act = acts[name]
        began = perf_counter_ns()
        act()
        ended = perf_counter_ns()
        if number >= warm:
            took[name].append(ended - began)
        if monotonic() > until:
            break
    return took


def side_by_side(
    acts: Mapping[str, Callable[[], object]], count: int, minutes: float, draw: Random, callers: int
) -> dict[str, list[int]]:
    """Do `count` acts as `interleaved` does, by as many `callers` at once: for acts that mostly wait."""
    draws = [seeded(draw.getrandbits(32)) for _ in range(callers)]
    with ThreadPoolExecutor(callers) as pool:
        parts = list(pool.map(lambda own: interleaved(acts, count // callers, minutes, own), draws))
    return {name: [took for part in parts for took in part[name]] for name in acts}
