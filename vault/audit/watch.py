"""The watch: measures each log, and compares what this process acknowledged with what the log holds.

The sequencer says what is there; only who wrote an entry can say that one is missing. So each process watches its own writers. It
also compares each log with the signer's last note: proved when the process starts, by length at every look after.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import count
from threading import Lock

import orjson
import structlog
from sqlalchemy import Connection

from vault.audit import records
from vault.audit.acknowledged import Acknowledged
from vault.audit.checkpoint import SignerState, parse_note, signed_by
from vault.audit.health import EVERYWHERE, MOST_PENDING, UNSAFE_SERVER, Measure, TrailHealth
from vault.audit.signer import FAULTS, OTHER_TREE, Standing, stand
from vault.audit.witness import Doubt, cosignatures
from vault.database import Database
from vault.notes import VerifierKey

ALTERED = "lane-altered"  # an acknowledged entry was sequenced with another hash, or is no longer where it was

log = structlog.get_logger()


class Watch:
    """Measures logs for one process. `acknowledged` are its recorder's marks; None where nothing is recorded.

    `witnesses` are pinned: only what they signed is an age.
    """

    def __init__(
        self,
        database: Database,
        state: SignerState,
        *,
        public_key: Callable[[str], bytes],
        origin_host: str,
        health: TrailHealth,
        now: Callable[[], datetime],
        acknowledged: Callable[[str], Acknowledged] | None = None,
        unsafe_server_allowed: bool = False,
        sign_key: int = 1,
        witnesses: Sequence[VerifierKey] = (),
    ) -> None:
        self._database = database
        self._state = state
        self._public_key = public_key
        self._host = origin_host
        self._health = health
        self._now = now
        self._acknowledged = acknowledged
        self._unsafe_server_allowed = unsafe_server_allowed
        self._witnesses = witnesses
        self._key_name = f"audit-sign/{sign_key}"
        self._proved: set[str] = set()  # logs proved to continue their last checkpoint since this process began
        self._eras: dict[str, int] = {}  # as seen at the last look
        self._numbers = count(1)
        self._telling = Lock()
        self._told: dict[str, int] = {}  # which look has reported of a log last

    def look(self, controller_id: str) -> None:
        """Measure one log and report. Raises Unavailable; a log that was not measured counts as closed.

        Looks may overlap: what one saw says nothing any more once another that began later has reported.
        """
        number = next(self._numbers)
        with self._database.snapshot(controller_id) as rows:
            counted = records.count(rows, controller_id, MOST_PENDING + 1)
            prove = controller_id not in self._proved
            standing = stand(rows, controller_id, self._host, self._state, self._vkey, prove=prove)
            if counted is None or standing is None:
                return
            self._follow(controller_id, standing.head.era)
            unsigned_s = self._unsigned_s(rows, controller_id, standing)
            late_s = self._late_s(rows, controller_id)
            witnessed_s = self._witnessed_s(rows, controller_id, standing)
        with self._telling:
            if number < self._told.get(controller_id, 0):
                return
            self._told[controller_id] = number
            self._report(controller_id, OTHER_TREE if unsigned_s is None else standing.fault, proved=prove)
            self._health.judge(EVERYWHERE, UNSAFE_SERVER, stands=not (counted.durable or self._unsafe_server_allowed))
            apart_s = abs(counted.clock_s - self._now().timestamp())
            oldest_s, unsafe = self._age_s(counted.oldest_ms), not counted.durable and self._unsafe_server_allowed
            measure = Measure(counted.waiting, oldest_s, unsigned_s or 0.0, late_s, apart_s, witnessed_s, unsafe)
            self._health.measured(controller_id, measure)

    def _report(self, controller_id: str, fault: str | None, *, proved: bool) -> None:
        """Put on the trail's health how the log stands to its last note. What a proof has found, only a proof takes back."""
        if fault is not None:
            self._proved.discard(controller_id)
        elif proved:
            self._proved.add(controller_id)
        if fault is not None or proved:
            for one in FAULTS:
                if self._health.judge(controller_id, one, stands=fault == one) and fault == one:
                    log.error("trail", controller_id=controller_id, step="stand", code=one)

    def _follow(self, controller_id: str, era: int) -> None:
        """Notice that a recovery began another era: what this process wrote in the one before, that one's end has settled."""
        if self._eras.setdefault(controller_id, era) == era:
            return
        self._eras[controller_id] = era
        self._proved.discard(controller_id)  # the new one is proved before anything opens
        self._health.judge(controller_id, ALTERED, stands=False)
        if self._acknowledged is not None:
            self._acknowledged(controller_id).forget_before(era)

    def _vkey(self, name: str) -> VerifierKey:
        return VerifierKey(name, self._public_key(self._key_name))

    def _age_s(self, at_ms: int | None) -> float:
        return 0.0 if at_ms is None else max(0.0, self._now().timestamp() - at_ms / 1000)

    def _unsigned_s(self, rows: Connection, controller_id: str, standing: Standing) -> float | None:
        """Return how long the oldest sequenced entry has waited for a checkpoint, None when that entry is not there."""
        signed = standing.last.checkpoint.size if standing.last is not None else 0
        if standing.fault is not None or standing.head.size <= signed:
            return 0.0
        leaf = records.leaf_at(rows, controller_id, standing.head.era, signed)
        return None if leaf is None else self._age_s(orjson.loads(leaf)["at"])

    def _witnessed_s(self, rows: Connection, controller_id: str, standing: Standing) -> float | None:
        """Return how long ago a pinned witness signed a checkpoint of this log last. A line that does not hold is only a row."""
        now_s = self._now().timestamp()
        for text in records.newest_witnessed(rows, controller_id, standing.head.era, int(now_s)):
            try:
                note = parse_note(text)
                lines = cosignatures(note, self._witnesses)
            except (ValueError, Doubt):
                continue
            ours = note.checkpoint.origin == standing.origin and signed_by(note, self._vkey(standing.origin))
            ages = [now_s - one.seconds for one in lines if ours and one.seconds <= now_s]
            if ages:
                return min(ages)
        return None

    def _late_s(self, rows: Connection, controller_id: str) -> float:
        if self._acknowledged is None:
            return 0.0
        marks = self._acknowledged(controller_id)
        writers = marks.writers()
        found = records.sequenced(rows, controller_id, writers) if writers else {}
        verdict = marks.compare(found)
        if verdict.late:
            marks.forget(records.rejected_among(rows, controller_id, writers))
            verdict = marks.compare(found)
        if verdict.altered:
            self._health.judge(controller_id, ALTERED, stands=True)
        return verdict.late_s
