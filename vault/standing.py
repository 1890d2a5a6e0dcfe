"""Which rules this process decides by, for each controller, and how sure it is of that.

A thread asks the table of activations each two seconds, and at once when it is told (NOTIFY, on a connection of its own). A new
sequence is compared with the trail, its bundle built aside and tried on the table of roles, and then put in the old one's place
by one assignment: who began with the old rules ends with them. Whoever could not be confirmed for five seconds decides nothing.
"""

import select
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from threading import Event, Lock, Thread
from typing import Any, Final

import psycopg
import structlog

from vault.assembly import Rules
from vault.database import EVERY_CONTROLLER, Database
from vault.errors import PolicyUnavailable, VaultError
from vault.keys.controller_keys import ControllerKeys
from vault.operations.in_force import DIFFERS, NEVER, in_force
from vault.policy import records as policies
from vault.policy.bundle import kept_bundle
from vault.policy.records import CHANNEL, ActivationRow
from vault.policy.trial import smoke

POLL_S: Final = 2.0
RETRY_S: Final = 0.5  # after a look that failed: five seconds hold more than two tries
UNCONFIRMED_S: Final = 5.0
HALF_DONE_S: Final = 2.0  # longer than there is between an entry, its position and the row
UNCONFIRMED, UNFIT = "policy-unconfirmed", "policy-bundle-unfit"
_LISTEN: Final = f"LISTEN {CHANNEL}"

log = structlog.get_logger()


@dataclass(slots=True)
class _Held:
    """What one controller's requests are decided by. `confirmed_at` is monotonic; `code`: why nothing is; `told`: that was said."""

    row: ActivationRow | None
    rules: Rules | None
    confirmed_at: float
    code: str | None = None
    told: bool = False


class Standing:
    """The rules in force, of every controller. Made once in a process; `start` it, `stop` it."""

    def __init__(self, database: Database, keys: ControllerKeys, shipped: Rules, monotonic: Callable[[], float]) -> None:
        """`shipped` are rules that are built already: those of the bundle this process was started with."""
        self._database, self._keys, self._monotonic = database, keys, monotonic
        self._held: dict[str, _Held] = {}
        self._built: dict[str, Rules | str] = {shipped.policy.digest: shipped}  # by digest; a code where it cannot be used
        self._shipped = shipped
        self._building: set[str] = set()
        self._wanted: set[str] = set()  # by the look that is going on: not yet in anybody's hands
        self._builder = ThreadPoolExecutor(1, "riserbo-policy-build")
        self._looking = Lock()
        self._failed = False
        self._stopping = Event()
        self._poked, self._poke = socket.socketpair()
        self._listening: psycopg.Connection[Any] | None = None
        self._thread = Thread(target=self._watch, name="riserbo-policy", daemon=True)

    def in_force(self, controller_id: str) -> Rules:
        """Return the rules of a controller; reads nothing and waits for nothing. Raises PolicyUnavailable, with a code."""
        held = self._held.get(controller_id)
        if held is None:
            raise PolicyUnavailable(UNCONFIRMED, retry_after_s=1)
        if held.code is not None or held.rules is None:
            raise PolicyUnavailable(held.code or UNCONFIRMED, retry_after_s=2)
        if self._monotonic() - held.confirmed_at > UNCONFIRMED_S:
            raise PolicyUnavailable(UNCONFIRMED, retry_after_s=2)
        return held.rules

    def state(self, controller_id: str) -> tuple[bool, str]:
        """Return whether a controller's requests are decided, and by what, or why not."""
        try:
            self.in_force(controller_id)
        except PolicyUnavailable as error:
            return False, error.code
        held = self._held.get(controller_id)
        return True, f"{held.row.sequence} {held.row.digest}" if held is not None and held.row is not None else ""

    def start(self) -> None:
        """Look at every controller, build what is in force, and go on looking. What is half done elsewhere is waited for."""
        ends_at = self._monotonic() + HALF_DONE_S
        with suppress(VaultError):
            self.look()
            while DIFFERS in {held.code for held in self._held.values()} and self._monotonic() < ends_at:
                self._stopping.wait(0.1)
                self.look()
        self._builder.submit(lambda: None).result()  # it does one thing after the other: what was asked for is built
        with suppress(VaultError):
            self.look()
        self._thread.start()

    def stop(self) -> None:
        """Stop looking; after five seconds nothing is decided any more."""
        self._stopping.set()
        self._wake()
        if self._thread.ident is not None:
            self._thread.join()
        self._builder.shutdown(cancel_futures=True)
        self._deafen()
        self._poke.close()
        self._poked.close()

    def began(self, controller_id: str, row: ActivationRow, rules: Rules) -> None:
        """Take what this process itself has just put in force for a controller it created."""
        with self._looking:
            self._held[controller_id] = _Held(row, rules, self._monotonic())

    def look(self) -> None:
        """Ask once for every controller. Raises DatabaseUnavailable when not even the register can be read."""
        with self._looking:
            self._wanted.clear()
            self._failed = True  # until the register was read
            known = self._database.controllers()
            self._failed = False
            for controller_id in known:
                try:
                    self._look_at(controller_id)
                except VaultError as error:  # not confirmed: that tells after five seconds
                    self._failed = True
                    log.error("policy_unconfirmed", controller_id=controller_id, code=error.code)
            for gone in self._held.keys() - set(known):
                del self._held[gone]
            self._forget()

    def _look_at(self, controller_id: str) -> None:
        at, held = self._monotonic(), self._held.get(controller_id)
        with self._database.snapshot(controller_id) as rows:
            head = policies.head(rows, controller_id)
        if held is not None and held.row == head and held.rules is not None and held.code is None:
            held.confirmed_at = at
            return
        try:
            row = in_force(self._database, self._keys, controller_id)
        except PolicyUnavailable as error:
            self._close(controller_id, head, error.code)
            return
        rules = self._rules_of(controller_id, row)
        if isinstance(rules, Rules):
            self._held[controller_id] = _Held(row, rules, at)
            if held is not None and held.rules is not None:
                log.info("policy_in_force", controller_id=controller_id, sequence=row.sequence, bundle=row.digest)
        elif rules is not None:
            self._close(controller_id, row, rules)

    def _close(self, controller_id: str, row: ActivationRow | None, code: str) -> None:
        """Decide nothing for this controller from now on. An alarm when the next look finds the same: it may be half done."""
        held = self._held.get(controller_id)
        again = held is not None and held.code == code
        if again and held is not None and not held.told and code != NEVER:
            log.error("policy_closed", controller_id=controller_id, code=code)
        self._held[controller_id] = _Held(row, None, float("-inf"), code, told=again)

    # --- building, aside ---

    def _rules_of(self, controller_id: str, row: ActivationRow) -> Rules | str | None:
        """Return the rules of a bundle, a code when they cannot be used, None while they are being built."""
        self._wanted.add(row.digest)
        found = self._built.get(row.digest)
        if found is None and row.digest not in self._building:
            self._building.add(row.digest)
            self._builder.submit(self._build, controller_id, row.digest)
        return found

    def _build(self, controller_id: str, digest: str) -> None:
        try:
            with self._database.snapshot(controller_id) as rows:
                archive = policies.kept_archive(rows, controller_id, digest)
            self._built[digest] = self._made(archive or b"", digest)
        except VaultError as error:  # the next look asks again
            log.error("policy_unconfirmed", controller_id=controller_id, code=error.code)
        finally:
            self._building.discard(digest)
            self._wake()
        built = self._built.get(digest)
        if isinstance(built, Rules):  # after the swap: a row that is not there yet is worked out by whoever needs it
            with suppress(RuntimeError):  # stopped meanwhile
                self._builder.submit(built.policy.warm, self._stopping.is_set)

    def _made(self, archive: bytes, digest: str) -> Rules | str:
        try:
            bundle = kept_bundle(archive, digest)
            rules = Rules.of(bundle)
            failed = smoke(bundle, rules.policy)
        except (VaultError, ValueError, KeyError, TypeError, AttributeError):  # made for another version of this program
            return UNFIT
        return UNFIT if failed else rules

    def _forget(self) -> None:
        """Let go of rules nobody uses; those of this program stay."""
        used = {held.row.digest for held in self._held.values() if held.row is not None}
        for digest in self._built.keys() - used - self._wanted - {self._shipped.policy.digest} - self._building:
            del self._built[digest]

    # --- the thread ---

    def _watch(self) -> None:
        while not self._stopping.is_set():
            self._wait()
            if not self._stopping.is_set():
                with suppress(VaultError):
                    self.look()

    def _wait(self) -> None:
        """Wait until somebody says that a policy changed, or two seconds."""
        listening = self._heard()
        ears: list[Any] = [self._poked] if listening is None else [self._poked, listening]
        ready, _, _ = select.select(ears, [], [], RETRY_S if self._failed else POLL_S)
        if self._poked in ready:
            self._poked.recv(64)
        if listening is not None and listening in ready:
            try:
                for _ in listening.notifies(timeout=0):
                    pass
            except psycopg.Error:
                self._deafen()

    def _heard(self) -> "psycopg.Connection[Any] | None":
        """Return the connection that is told; a pooler or an outage may leave none, and the poll alone remains."""
        if self._listening is None or self._listening.closed:
            try:
                self._listening = self._database.dedicated(EVERY_CONTROLLER)
                self._listening.execute(_LISTEN)
            except (VaultError, psycopg.Error):
                self._deafen()
        return self._listening

    def _deafen(self) -> None:
        listening, self._listening = self._listening, None
        if listening is not None:
            listening.close()

    def _wake(self) -> None:
        with suppress(OSError):  # stopped already
            self._poke.send(b".")
