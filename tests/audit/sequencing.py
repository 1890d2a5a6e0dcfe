"""Two sequencers at once, killed at any moment: run as a program of its own, for a process with threads must not fork.

Arguments: superuser's address, controller, rounds, and how many entries must be sequenced in the end. Prints the rounds it ran.
"""

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.audit.makers import HOST, mac
from vault.audit.health import TrailHealth
from vault.audit.sequencer import Sequencer
from vault.database import Database


def started(sequence: Callable[[int], None], most: int) -> int:
    """Start a sequencer that takes so many at a time, and return its process."""
    child = os.fork()
    if child == 0:
        try:
            sequence(most)
        finally:
            os._exit(1)
    return child


def killed_again_and_again(sequence: Callable[[int], None], rounds: int, pause_s: float, stop_file: Path) -> None:
    """Keep two sequencers going and kill one of them after each pause, until the rounds are over and the file is there."""
    running = [started(sequence, 7), started(sequence, 300)]
    for number in range(rounds):
        time.sleep(pause_s + 0.013 * (number % 7))
        victim = running.pop(0)
        os.kill(victim, signal.SIGKILL)
        os.waitpid(victim, 0)
        running.append(started(sequence, 7 if number % 2 else 300))
    while not stop_file.exists():
        time.sleep(0.02)
    for child in running:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def main() -> None:
    url, controller_id, rounds, stop_file = sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4])

    def sequence(most: int) -> None:
        database = Database(url, "riserbo_sequencer")
        sequencer = Sequencer(database, mac=mac, origin_host=HOST, health=TrailHealth(time.monotonic), most=most)
        while True:
            sequencer.run_once(controller_id)

    killed_again_and_again(sequence, rounds, 0.02, stop_file)
    print(rounds)


if __name__ == "__main__":
    main()
