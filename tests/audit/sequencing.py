"""Two sequencers at once, killed at any moment: run as a program of its own, for a process with threads must not fork.

Arguments: superuser's address, controller, rounds, and how many entries must be sequenced in the end. Prints the rounds it ran.
"""

import os
import signal
import sys
import time
from pathlib import Path

from tests.audit.makers import HOST, mac
from vault.audit.health import TrailHealth
from vault.audit.sequencer import Sequencer
from vault.database import Database


def sequence(url: str, controller_id: str, most: int) -> None:
    database = Database(url, "riserbo_sequencer")
    sequencer = Sequencer(database, mac=mac, origin_host=HOST, health=TrailHealth(time.monotonic), most=most)
    while True:
        sequencer.run_once(controller_id)


def start(url: str, controller_id: str, most: int) -> int:
    child = os.fork()
    if child == 0:
        try:
            sequence(url, controller_id, most)
        finally:
            os._exit(1)
    return child


def main() -> None:
    url, controller_id, rounds, stop_file = sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4])
    running = [start(url, controller_id, 7), start(url, controller_id, 300)]
    for number in range(rounds):
        time.sleep(0.02 + 0.013 * (number % 7))
        victim = running.pop(0)
        os.kill(victim, signal.SIGKILL)
        os.waitpid(victim, 0)
        running.append(start(url, controller_id, 7 if number % 2 else 300))
    while not stop_file.exists():
        time.sleep(0.02)
    for child in running:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    print(rounds)


if __name__ == "__main__":
    main()
