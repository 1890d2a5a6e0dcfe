"""The instrument itself: it finds what is there, in the middle or in the tail, and nothing where nothing is."""

from random import Random

from tests.drills.timing import TOLD_APART, interleaved, told_apart
from tests.policy.makers import seeded


def noise(draw: Random, more_us: float = 0.0, count: int = 4_000) -> list[int]:
    """Return times as a database gives them, in nanoseconds: about a millisecond, some far above."""
    return [int(1e6 + draw.expovariate(1 / 2e5) + more_us * 1e3 + (draw.random() < 0.02) * 3e7) for _ in range(count)]


def test_equal_work_is_not_told_apart() -> None:
    draw = seeded(1)
    assert max(told_apart({"one": noise(draw), "other": noise(draw), "third": noise(draw)}).values()) < TOLD_APART


def test_thirty_microseconds_are_found_under_noise_a_thousand_times_as_large() -> None:
    draw = seeded(2)
    found = told_apart({"one": noise(draw), "other": noise(draw), "slow": noise(draw, 30)})
    assert found["one", "other"] < TOLD_APART
    assert min(found["one", "slow"], found["other", "slow"]) > TOLD_APART


def test_times_are_taken_of_each_sort_and_the_warm_up_counts_for_none() -> None:
    done: list[str] = []
    acts = {name: lambda name=name: done.append(name) for name in "ab"}
    took = interleaved(acts, 200, 1, seeded(3))
    assert (len(done), sum(map(len, took.values()))) == (220, 200)
    assert all(len(one) > 60 for one in took.values())
    assert sum(map(len, interleaved(acts, 10_000_000, 0.0005, seeded(3)).values())) < 10_000_000
