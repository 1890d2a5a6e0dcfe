"""Random bytes drawn ahead: none is handed out twice, in this thread, in another, or in a child process."""

import os
from threading import Thread

from vault.keys import draws
from vault.keys.draws import AHEAD_BYTES, draw


def test_draws_have_their_length_and_never_repeat() -> None:
    drawn = [draw(16) for _ in range(3 * AHEAD_BYTES // 16)]
    assert {len(one) for one in drawn} == {16}
    assert len(set(drawn)) == len(drawn)


def test_more_than_is_drawn_ahead_can_be_had_at_once() -> None:
    assert len(draw(AHEAD_BYTES + 1)) == AHEAD_BYTES + 1


def test_threads_draw_for_themselves() -> None:
    drawn: list[bytes] = []
    threads = [Thread(target=lambda: drawn.extend(draw(16) for _ in range(500))) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(set(drawn)) == 2_000


def test_what_was_drawn_ahead_is_forgotten_in_a_child() -> None:
    before = draws._ahead
    draws._forget()
    assert draws._ahead is not before
    assert draws._ahead.octets == b""


def test_a_child_process_hands_out_nothing_of_its_parents() -> None:
    draw(16)  # so that some are drawn ahead
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover - another process
        os.write(writing, draw(64))
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 64) != draw(64)
    os.close(reading)
    os.close(writing)
