"""The recorder: nothing is opened before its entry is committed, and only a committed entry makes a permit.

`record` and `record_all` share lanes as leader and followers; a disclosure lane or an import has a lane of its own. Whole call at
most three seconds, then AuditUnavailable. There is no second door, and no setting that switches this one off.
"""

import os
from collections.abc import Callable, MutableMapping, Sequence
from copy import copy
from datetime import datetime
from threading import Lock

from vault.audit.acknowledged import Acknowledged
from vault.audit.entry import Draft
from vault.audit.group import LaneGroup
from vault.audit.lane import WHOLE_CALL_S, Lane
from vault.audit.prepared import AuditSecret, Means, Prepared, prepare
from vault.database import Database
from vault.errors import AuditUnavailable
from vault.permit import LIFETIME_S, ReadPermit

IDLE_S = 60.0
_CLOSED_RETRY_S = 5

Noted = MutableMapping[str, bytes]  # entry id -> leaf hash, of what was committed for one request


class Recorder:
    """Writes entries of every controller, one writer a lane. One for each process; threads share it."""

    def __init__(
        self,
        database: Database,
        *,
        mac: Callable[[str, bytes], bytes],
        unwrap_audit_key: Callable[[str, str, int, bytes], bytes],
        audit_secret: Callable[[str], AuditSecret],
        seal: Callable[[bytes, bytes, bytes], bytes],
        draw: Callable[[int], bytes],
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
        new_id: Callable[[str], str],
        origin_host: str,
        is_open: Callable[[str], bool],
        wake: Callable[[str], None] = lambda _controller_id: None,
        lanes: int = 2,
        mac_key: int = 1,
    ) -> None:
        self._database = database
        self._means = Means(mac, unwrap_audit_key, audit_secret, seal, draw, now, monotonic, new_id, origin_host, mac_key)
        self._is_open = is_open
        self._wake = wake
        self._lanes = lanes
        self._process = os.getpid()
        self._making = Lock()
        self._groups: dict[str, LaneGroup] = {}
        self._acknowledged: dict[str, Acknowledged] = {}
        self._noted: Noted | None = None

    def noting(self, noted: Noted) -> "Recorder":
        """Return this recorder, lanes and all, for a request that wants receipts: what it commits is noted besides."""
        self._expect_own_process()
        other = copy(self)
        other._noted = noted  # noqa: SLF001 - of this class
        return other

    def era(self, controller_id: str) -> int:
        """Return the era of the newest entry this process has committed, 0 before there is one."""
        return self.acknowledged(controller_id).era

    def record(self, controller_id: str, draft: Draft) -> ReadPermit:
        """Commit one entry and return its permit. Raises AuditUnavailable: then nothing may be opened or changed."""
        return self.record_all(controller_id, (draft,))[0]

    def record_all(self, controller_id: str, drafts: Sequence[Draft]) -> list[ReadPermit]:
        """Commit the entries at once, all or AuditUnavailable; return their permits in order."""
        return self._record(controller_id, drafts, self._group(controller_id).commit)

    def open_lane(self, controller_id: str) -> "RecorderLane":
        """Return a lane of one's own, with its writer and connection, for one thread; its owner closes it."""
        self._expect_own_process()
        return RecorderLane(self, controller_id)

    def acknowledged(self, controller_id: str) -> Acknowledged:
        """Return what this process's writers wait to see in the log."""
        with self._making:
            return self._acknowledged.setdefault(controller_id, Acknowledged(self._means.monotonic))

    def rest(self) -> None:
        """Close shared lanes that nobody has used for a minute."""
        for group in list(self._groups.values()):
            group.rest(IDLE_S)

    def close(self) -> None:
        """Close the shared lanes; each writer writes its last entry."""
        groups, self._groups = self._groups, {}
        for group in groups.values():
            group.close()

    def _record(
        self, controller_id: str, drafts: Sequence[Draft], commit: Callable[[Sequence[Prepared], float], list[bytes]]
    ) -> list[ReadPermit]:
        deadline = self._means.monotonic() + WHOLE_CALL_S
        if not drafts:
            return []
        if not self._is_open(controller_id):
            raise AuditUnavailable(retry_after_s=_CLOSED_RETRY_S)
        batch = [prepare(self._means, controller_id, draft) for draft in drafts]
        hashes = commit(batch, deadline)
        self._wake(controller_id)
        if self._noted is not None:
            self._noted.update((one.draft.entry_id, leaf_hash) for one, leaf_hash in zip(batch, hashes, strict=True))
        expires_at = self._means.monotonic() + LIFETIME_S
        return [
            ReadPermit(
                one.draft.entry_id, controller_id, one.draft.subject_id, dict(one.draft.opens), leaf_hash, expires_at,
            )
            for one, leaf_hash in zip(batch, hashes, strict=True)
        ]  # fmt: skip

    def _lane(self, controller_id: str) -> Lane:
        return Lane(self._database, self._means, controller_id, self.acknowledged(controller_id))

    def _group(self, controller_id: str) -> LaneGroup:
        self._expect_own_process()
        group = self._groups.get(controller_id)
        if group is None:
            made = LaneGroup(lambda: self._lane(controller_id), self._lanes, self._means.monotonic)
            with self._making:
                group = self._groups.setdefault(controller_id, made)
        return group

    def _expect_own_process(self) -> None:
        """After a fork start anew: locks may have been copied while held, and no writer may be used twice."""
        if self._process != os.getpid():
            self._process, self._making = os.getpid(), Lock()
            self._groups, self._acknowledged = {}, {}


class RecorderLane:
    """One writer and its connection, used by ONE thread: a disclosure lane, or an import."""

    def __init__(self, recorder: Recorder, controller_id: str) -> None:
        self._recorder = recorder
        self._controller_id = controller_id
        self._lane = recorder._lane(controller_id)  # noqa: SLF001 - one class in two: what is shared, and what is not

    def record_all(self, drafts: Sequence[Draft]) -> list[ReadPermit]:
        """Commit the entries at once, all or AuditUnavailable; return their permits in order."""
        return self._recorder._record(self._controller_id, drafts, self._lane.commit)  # noqa: SLF001

    def close(self) -> None:
        """Write the writer's last entry and close the connection. Never raises."""
        self._lane.close()
