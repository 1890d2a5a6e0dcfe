"""Programs beside a vault: one reads a person many times at once, one is killed as it reads, one has its sequencers killed again.

    python -m tests.assurance.reading read CONTROLLER SUBJECT TICKET READS     prints the entries of what it was answered, as JSON
    python -m tests.assurance.reading die CONTROLLER SUBJECT TICKET            prints what it opens; it ends before its answer
    python -m tests.assurance.reading sequence CONTROLLER KILLS PAUSE FILE     ends when the file is there, and prints the kills

Killing begins with the first entry that waits: what is killed before that had nothing to do.

Settings come from the environment, the database's address among them. Neither forks while it has threads.
"""

import json
import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.audit.sequencing import killed_again_and_again
from tests.makers import make_context
from vault.audit.group import LaneGroup
from vault.audit.health import TrailHealth
from vault.audit.sequencer import Sequencer
from vault.database import Database
from vault.errors import Unavailable
from vault.keys import envelope
from vault.opening import open_keyring, open_vault
from vault.operations.disclose import disclose
from vault.operations.disclosure import Ask
from vault.settings import read_settings

AT_ONCE = 8
IDLE_S = 0.01


def read(controller_id: str, subject_id: str, ticket: str, reads: int) -> list[str]:
    """Return the entry of each reading that was answered. This process sequences nothing while it reads."""
    context = make_context(controller_id, "t2", ticket=ticket)
    with open_vault(read_settings()) as opened:
        opened.trail.stop()

        def one(_number: int) -> str | None:
            try:
                return disclose(opened.vault, Ask(context, subject_id, ("email", "given_name"))).entry_id
            except Unavailable:
                return None  # not answered: nothing is said of its entry

        with ThreadPoolExecutor(AT_ONCE) as pool:
            return [entry_id for entry_id in pool.map(one, range(reads)) if entry_id is not None]


def die(controller_id: str, subject_id: str, ticket: str) -> None:
    """Read once, and be killed when the entry is committed."""
    context, commit, open_many = make_context(controller_id, "t2", ticket=ticket), LaneGroup.commit, envelope.open_many

    def committing(*given: Any) -> list[bytes]:
        commit(*given)
        os.kill(os.getpid(), signal.SIGKILL)
        return []

    def opening(*given: Any) -> list[tuple[str, bytes]]:
        print("opened", flush=True)
        return open_many(*given)

    with open_vault(read_settings()) as opened:
        opened.trail.stop()
        LaneGroup.commit, envelope.open_many = committing, opening  # type: ignore[method-assign,assignment]
        print(disclose(opened.vault, Ask(context, subject_id, ("email", "given_name"))).entry_id)


def sequence(controller_id: str, kills: int, pause_s: float, stop_file: Path) -> None:
    settings = read_settings()
    keyring = open_keyring(settings)

    def sequencer(database: Database, most: int) -> Sequencer:
        return Sequencer(
            database,
            mac=lambda name, message: keyring.mac(name, [message])[0],
            origin_host=settings.host,
            health=TrailHealth(time.monotonic),
            most=most,
        )

    def run(most: int) -> None:
        own = sequencer(Database(str(settings.database_url), "riserbo_sequencer"), most)
        while True:
            if not own.run_once(controller_id):
                time.sleep(IDLE_S)  # else two of them leave the readers no core

    database = Database(str(settings.database_url), "riserbo_sequencer")
    looking = sequencer(database, 1)
    while not (looking.waiting(controller_id) or stop_file.exists()):
        time.sleep(IDLE_S)
    database.close()
    killed_again_and_again(run, kills, pause_s, stop_file)


def main() -> None:
    what, controller_id, *given = sys.argv[1:]
    if what == "read":
        print(json.dumps(read(controller_id, given[0], given[1], int(given[2]))))
    elif what == "die":
        die(controller_id, given[0], given[1])
    else:
        sequence(controller_id, int(given[0]), float(given[1]), Path(given[2]))
        print(given[0])


if __name__ == "__main__":
    main()
