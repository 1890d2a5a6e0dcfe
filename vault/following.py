"""Whether this database follows the erasure ledger, for each controller: one that went back behind it serves nobody.

A thread looks each two seconds. What is closed is looked at again by whoever asks, so that it opens as soon as the ledger was
replayed; what is open is trusted until the next look.
"""

from collections.abc import Callable
from contextlib import suppress
from threading import Event, Thread
from typing import Final

import structlog

from vault.assembly import Rules
from vault.database import Database
from vault.erasure import records as erasures
from vault.erasure.ledger import Ledger
from vault.errors import Fault, LedgerUnavailable, VaultError

POLL_S: Final = 2.0
REPLAY: Final = "riserbo restore --replay-erasures"
LEVEL: Final = "level"

log = structlog.get_logger()


class Following:
    """How each controller's database stands to the ledger. Made once in a process; `start` it, `stop` it."""

    def __init__(self, database: Database, ledger: Ledger) -> None:
        self._database, self._ledger = database, ledger
        self._stands: dict[str, str] = {}
        self._stopping = Event()
        self._thread = Thread(target=self._watch, name="riserbo-ledger", daemon=True)

    def start(self) -> None:
        """Look, and go on looking."""
        self._thread.start()

    def stop(self) -> None:
        """Stop looking."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()

    def state(self, controller_id: str) -> str:
        """Return `level`, or why nothing is served: `ahead behind different unfounded`, of the ledger, or `unreadable`.

        Raises DatabaseUnavailable.
        """
        found = self._look(controller_id)
        if found not in (LEVEL, "unreadable"):
            found = self._look(controller_id)  # an act may have come between the two halves of a look
        if found != LEVEL and self._stands.get(controller_id) != found:
            log.error("ledger_closed", controller_id=controller_id, code=f"ledger-{found}")
        self._stands[controller_id] = found
        return found

    def guard(self, in_force: Callable[[str], Rules]) -> Callable[[str], Rules]:
        """Return what gives the rules of a controller, or raises LedgerUnavailable where its database went back."""

        def guarded(controller_id: str) -> Rules:
            if self._stands.get(controller_id) != LEVEL:
                self.require(controller_id)
            return in_force(controller_id)

        return guarded

    def require(self, controller_id: str) -> None:
        """Expect that a database follows the ledger. Raises LedgerUnavailable, which names the command that helps."""
        found = self.state(controller_id)
        if found != LEVEL:
            helps = [Fault(controller_id, f"ledger-{found}: run `{REPLAY}`")] if found == "ahead" else []
            raise LedgerUnavailable(f"ledger-{found}", faults=helps, retry_after_s=60)

    def _look(self, controller_id: str) -> str:
        with self._database.snapshot(controller_id) as rows:
            mark = erasures.mark(rows, controller_id)
        try:
            return self._ledger.standing(controller_id, mark)
        except LedgerUnavailable:
            return "unreadable"

    def _watch(self) -> None:
        while not self._stopping.wait(POLL_S):
            self._let_go()
            for controller_id in list(self._stands):
                try:
                    self.state(controller_id)
                except VaultError as error:  # the database says nothing: nor does it serve
                    log.error("ledger_unconfirmed", controller_id=controller_id, code=error.code)

    def _let_go(self) -> None:
        """Forget who is on the register no more: each look is a connection of theirs. Where it cannot be read, nobody is."""
        held = list(self._stands)
        with suppress(VaultError):
            known = set(self._database.controllers())
            for controller_id in held:
                if controller_id not in known:
                    self._stands.pop(controller_id, None)
