"""What keeps a trail going in one process: a thread that sequences, and one that signs, watches and tidies up.

Each looks after the other: a thread that died is started again, and while neither runs the measurements grow old and opening stops.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from threading import Event, Lock, Thread

import structlog

from vault.audit import records
from vault.audit.entry import Draft
from vault.audit.health import TrailHealth
from vault.audit.recorder import Recorder
from vault.audit.sequencer import Sequencer
from vault.audit.signer import Signer
from vault.audit.watch import Watch
from vault.database import EVERY_CONTROLLER, Database
from vault.errors import AuditUnavailable, VaultError

BUSY_S = 0.5  # between two rounds while entries come in: a round costs as much as a hundred entries
IDLE_S = 0.5  # between two looks while none are; the recorder of this process wakes the sequencer at once
LOOK_S = 1.0
SIGN_S = 60.0
SIGN_ENTRIES = 5000
TIDY_S = 10.0
STOPS_WITHIN_S = 10.0
ROOM_S = 60.0  # between two looks whether partitions are to be made: a stretch of positions lasts longer at any rate
REGISTER_S = 5.0
SILENT = timedelta(hours=25)  # a writer rolls over after 24: one silent for longer has ended without saying so

log = structlog.get_logger()


class Trail:
    """Runs the trail of every controller of an installation. Made once in a process; `start` it, `stop` it.

    `signer` is None in processes of an installation whose signer runs elsewhere.
    """

    def __init__(
        self,
        database: Database,
        *,
        sequencer: Sequencer,
        signer: Signer | None,
        watch: Watch,
        health: TrailHealth,
        recorder: Recorder,
        new_id: Callable[[str], str],
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
    ) -> None:
        self._database = database
        self._sequencer = sequencer
        self._signer = signer
        self._watch = watch
        self._health = health
        self._recorder = recorder
        self._new_id = new_id
        self._now = now
        self._monotonic = monotonic
        self._stopping = Event()
        self._work = Event()
        self._due = Event()
        self._starting = Lock()
        self._threads: dict[str, Thread] = {}
        self._known: Sequence[str] = ()
        self._known_at = float("-inf")
        self._done_at: dict[tuple[str, str], float] = {}
        self._grown: dict[str, int] = {}
        self._woken: set[str] = set()  # the logs this process has written to

    def start(self) -> None:
        """Catch up with every log, prove and measure it, then start both threads.

        What an earlier process left pending or unsigned would else close the trail until the threads come round to it. A log that
        does not stand stays closed; the others open.
        """
        self._guarded(EVERY_CONTROLLER, "room", self._make_room)
        for controller_id in self._controllers():
            self._guarded(controller_id, "look", self._watch.look)  # first: a log that went back must not be sequenced on
            self._catch_up(controller_id)
            self._guarded(controller_id, "look", self._watch.look)
        self._start_threads()

    def stop(self) -> None:
        """Stop both threads, wait for them, and catch up with what this process wrote: its writers' last entries too.

        For ten seconds at most, whatever the number of companies: what is left is caught up by another process, or the next start.
        """
        self._stopping.set()
        self._work.set()
        self._due.set()
        for thread in list(self._threads.values()):
            thread.join()
        self._threads.clear()
        ends_at = self._monotonic() + STOPS_WITHIN_S
        for controller_id in sorted(self._woken):
            if self._monotonic() < ends_at:
                self._catch_up(controller_id)
        self._woken.clear()

    def wake(self, controller_id: str) -> None:
        """Say that an entry of this controller is pending."""
        self._woken.add(controller_id)
        if controller_id not in self._known:
            self._known_at = float("-inf")
        self._work.set()

    def settle(self, controller_id: str, within_s: float = 10.0) -> None:
        """Sequence all that is pending now and sign it. Raises AuditUnavailable when that is not reached."""
        deadline = self._monotonic() + within_s
        while self._sequencer.run_once(controller_id) or self._sequencer.waiting(controller_id):
            if self._monotonic() > deadline or self._sequencer.found_break(controller_id) is not None:
                raise AuditUnavailable(retry_after_s=5)
            self._stopping.wait(0.01)  # another process has the head
        if self._signer is not None:
            self._signer.run_once(controller_id)
        self._watch.look(controller_id)

    def _catch_up(self, controller_id: str) -> None:
        self._guarded(controller_id, "sequence", lambda one: self._sequencer.drain(one) > 0)
        self._guarded(controller_id, "sign", self._sign)

    # --- the two threads ---

    def _start_threads(self) -> None:
        with self._starting:
            for name, run in (("riserbo-sequencer", self._sequence), ("riserbo-trail", self._tend)):
                thread = self._threads.get(name)
                if not self._stopping.is_set() and (thread is None or not thread.is_alive()):
                    self._threads[name] = Thread(target=run, name=name, daemon=True)
                    self._threads[name].start()

    def _sequence(self) -> None:
        while not self._stopping.is_set():
            busy = False
            for controller_id in self._controllers():
                busy = self._guarded(controller_id, "sequence", self._sequence_one) or busy
            if busy:
                self._stopping.wait(BUSY_S)
            else:
                self._work.wait(IDLE_S)
            self._work.clear()
            self._start_threads()

    def _sequence_one(self, controller_id: str) -> bool:
        taken = self._sequencer.run_once(controller_id)
        grown = self._grown.get(controller_id, 0) + taken
        self._grown[controller_id] = grown
        if grown >= SIGN_ENTRIES:
            self._due.set()
        return taken > 0

    def _tend(self) -> None:
        while not self._stopping.is_set():
            for controller_id in self._controllers():
                self._guarded(controller_id, "look", self._watch.look)
                if self._grown.get(controller_id, 0) >= SIGN_ENTRIES or self._is_due("sign", controller_id, SIGN_S):
                    self._guarded(controller_id, "sign", self._sign)
                if self._is_due("lost", controller_id, SILENT.total_seconds() / 25):
                    self._guarded(controller_id, "lost", self._report_lost)
            if self._is_due("tidy", "", TIDY_S):
                self._recorder.rest()
            if self._is_due("room", "", ROOM_S):
                self._guarded(EVERY_CONTROLLER, "room", self._make_room)
            self._due.wait(LOOK_S)
            self._due.clear()
            self._start_threads()

    def _sign(self, controller_id: str) -> bool:
        self._done_at["sign", controller_id] = self._monotonic()
        self._grown[controller_id] = 0
        return self._signer is not None and self._signer.run_once(controller_id) is not None

    def _make_room(self, _all: str) -> bool:
        return self._sequencer.make_room() > 0

    def _report_lost(self, controller_id: str) -> bool:
        """Write an entry for each writer that ended without its closing one."""
        with self._database.snapshot(controller_id) as rows:
            lost = list(records.silent_writers(rows, controller_id, self._now() - SILENT))
        for writer_id, number in lost:
            about = {"writer": writer_id, "number": number}
            draft = Draft(entry_id=self._new_id("ent"), operation="writer-lost", outcome="done", kind="system", about=about)
            self._recorder.record(controller_id, draft)
        return bool(lost)

    def _guarded(self, controller_id: str, what: str, act: Callable[[str], bool | None]) -> bool:
        """Do one thing for one log; its failure is that log's, never another's. The health already says what it means."""
        try:
            return bool(act(controller_id))
        except VaultError as error:
            log.error("trail", controller_id=controller_id, step=what, code=error.code)
            return False

    def _is_due(self, what: str, controller_id: str, every_s: float) -> bool:
        now = self._monotonic()
        if now - self._done_at.get((what, controller_id), float("-inf")) < every_s:
            return False
        self._done_at[what, controller_id] = now
        return True

    def _controllers(self) -> Sequence[str]:
        """Return the register of controllers, read every five seconds; the last known one while the database is away."""
        if self._monotonic() - self._known_at > REGISTER_S:
            try:
                self._known = self._database.controllers()
            except VaultError as error:
                log.error("trail", step="register", code=error.code)
            self._known_at = self._monotonic()
        return self._known
