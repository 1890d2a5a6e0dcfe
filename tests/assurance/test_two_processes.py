"""What is withdrawn at one server is refused at the other within a second, however often the other has answered before.

No message passes between them: each read finds the rows as they now are, and nothing that was kept in memory stands in their place.
"""

from collections.abc import Iterator
from time import sleep

import pytest

from tests.assurance.pair import Pair, Read, two_servers

LIMIT_S = 1.0


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with two_servers() as pair:
        yield pair


def trial(pair: Pair, *, warm: bool) -> float:
    """Withdraw at the first server; return after how many seconds the second had refused, and refused from then on.

    `warm`: the second has answered about this person before and goes on being asked all the while, so what it keeps of keys and of
    decisions is what it has just used.
    """
    subject_id, agreement_id = pair.enrol()
    reading = pair.reading(subject_id)
    if not warm:
        sent, answered = pair.withdraw(subject_id, agreement_id)
        assert [reading.once() for _ in range(3)] == [404] * 3
        return reading.reads[0].ended - sent
    assert [reading.once() for _ in range(3)] == [200] * 3
    with reading.going_on():
        sent, answered = pair.withdraw(subject_id, agreement_id)
        while reading.reads[-1].begun < answered:
            sleep(0.005)
    return _refused_at(reading.reads, answered) - sent


def _refused_at(reads: list[Read], answered: float) -> float:
    """Return when the first refusal was told. Nothing is shown after it, and nothing to whoever asks after the answer."""
    first = next(number for number, one in enumerate(reads) if one.status == 404)
    assert {one.status for one in reads[:first]} == {200}
    assert {one.status for one in reads[first:]} == {404}
    assert all(one.status == 404 for one in reads if one.begun >= answered)
    return reads[first].ended


def slowest(pair: Pair, trials: int, capsys: pytest.CaptureFixture[str], *, warm: bool) -> float:
    """Return the longest of so many trials, which it also prints, captured or not."""
    taken = [trial(pair, warm=warm) for _ in range(trials)]
    said = "warm" if warm else "cold"
    with capsys.disabled():
        print(f"\n{trials} withdrawals, {said}: refused at the other server after at most {max(taken) * 1000:.0f} ms")
    return max(taken)


@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
def test_what_is_withdrawn_here_is_refused_there(pair: Pair, capsys: pytest.CaptureFixture[str], *, warm: bool) -> None:
    """From the answer on nothing is shown. How many milliseconds after the asking is printed, and the drill's to judge: a busy
    machine is slow at the withdrawal itself.
    """
    slowest(pair, 20, capsys, warm=warm)


@pytest.mark.drill
@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
def test_two_hundred_withdrawals_are_refused_there(pair: Pair, capsys: pytest.CaptureFixture[str], *, warm: bool) -> None:
    assert slowest(pair, 200, capsys, warm=warm) <= LIMIT_S
