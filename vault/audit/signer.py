"""The signer: one for each installation, it signs how long each log is and what its root is.

It refuses a log that is shorter than what it last signed, and a tree that is not that one's continuation, proving it with the code
that verifies. Its own last notes are its only memory, kept outside the database and durable before a signature leaves.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import orjson
from sqlalchemy import Connection

from vault.audit import records
from vault.audit.checkpoint import Checkpoint, Note, SignerState, note_text, origin, parse_note, signed_by
from vault.audit.eras import AT, Beginning, beginning_of, era_of
from vault.audit.health import TrailHealth
from vault.audit.merkle import Tree
from vault.audit.proofs import extends
from vault.audit.records import Head
from vault.database import Database
from vault.errors import AuditUnavailable
from vault.notes import VerifierKey

BEHIND = "head-behind"  # the log is shorter than its signed checkpoint: a restored or truncated database
OTHER_TREE = "tree-inconsistent"  # the log is not the continuation of what was signed
NO_STATE = "signer-state-missing"
BAD_STATE = "signer-state-damaged"
FAULTS = (BEHIND, OTHER_TREE, NO_STATE, BAD_STATE)


@dataclass(frozen=True, slots=True)
class Standing:
    """How a log stands to its signer's last note: `fault` None when it is that one or its continuation."""

    head: Head
    origin: str
    last: Note | None
    fault: str | None
    root: bytes = b""


def stand(
    rows: Connection, controller_id: str, host: str, state: SignerState, vkey: Callable[[str], VerifierKey], *, prove: bool = True
) -> Standing | None:
    """Compare a log with its signer's state; None when the controller has no log. Raises Unavailable when either cannot be read.

    Without `prove` only sizes are compared. The head is read again after the state: a log grows while it is looked at. A log of an
    era before the one that was signed last is behind, whatever its size.
    """
    first = records.head(rows, controller_id)
    if first is None:
        return None
    name = origin(host, controller_id, first.era)
    text, newer = state.last(name), state.last(origin(host, controller_id, first.era + 1))
    at = records.head(rows, controller_id) or first
    if at.era != first.era:  # a recovery has just begun the next
        return stand(rows, controller_id, host, state, vkey, prove=prove)
    if text is None:
        return Standing(at, name, None, NO_STATE if at.size or at.era != records.FIRST_ERA else None)
    last = _own(text, name, vkey(name))
    if last is None:
        return Standing(at, name, None, BAD_STATE)
    if at.size < last.checkpoint.size or newer is not None:
        return Standing(at, name, last, BEHIND)
    if not prove:
        return Standing(at, name, last, None)
    tree = Tree(at.size, records.tile_reader(rows, controller_id, at))
    try:
        root, path = tree.root(), tree.consistency(last.checkpoint.size)
    except ValueError:  # a tile is cut or missing
        return Standing(at, name, last, OTHER_TREE)
    same = extends(last.checkpoint.root, last.checkpoint.size, root, at.size, path)
    return Standing(at, name, last, None if same else OTHER_TREE, root)


def _own(text: str, name: str, key: VerifierKey) -> Note | None:
    """Return a note that this key signed about this log."""
    try:
        note = parse_note(text)
    except ValueError:
        return None
    return note if note.checkpoint.origin == name and signed_by(note, key) else None


def beginning_at(rows: Connection, controller_id: str, era: int, name: str) -> Beginning | None:
    """Return what the second entry of an era says of one before it, of the same log; None where it is no such entry."""
    leaf = records.leaf_at(rows, controller_id, era, AT)
    try:
        members = orjson.loads(leaf or b"null")
    except orjson.JSONDecodeError:
        return None
    said = beginning_of(members if isinstance(members, dict) else None)
    if said is None or said.origin.rpartition("/")[0] != name.rpartition("/")[0] or era_of(said.origin) >= era:
        return None
    return said


class Signer:
    """Signs checkpoints. `sign` and `public_key` are the keyring's, of key `audit-sign/<n>`.

    `announce(origin, note)` tells the outside of each, once it is durable; it neither waits nor raises.
    """

    def __init__(
        self,
        database: Database,
        state: SignerState,
        *,
        sign: Callable[[str, bytes], bytes],
        public_key: Callable[[str], bytes],
        origin_host: str,
        health: TrailHealth,
        now: Callable[[], datetime],
        sign_key: int = 1,
        announce: Callable[[str, str], None] = lambda _origin, _note: None,
    ) -> None:
        self._announce = announce
        self._database = database
        self._state = state
        self._sign = sign
        self._public_key = public_key
        self._host = origin_host
        self._health = health
        self._now = now
        self._key_name = f"audit-sign/{sign_key}"

    def vkey(self, name: str) -> VerifierKey:
        """Return the key by which notes of this origin are checked."""
        return VerifierKey(name, self._public_key(self._key_name))

    def found(self, controller_id: str) -> None:
        """Sign the empty log, so that a state that has gone missing later is seen. Repeating it changes nothing."""
        with self._state.holding(), self._database.snapshot(controller_id) as rows:
            standing = stand(rows, controller_id, self._host, self._state, self.vkey)
            if standing is not None and standing.last is None and standing.fault is None:
                self._release(standing.origin, Head(standing.head.era, 0), Tree(0, lambda _level, _index: b"").root())

    def begin(self, controller_id: str) -> Note:
        """Sign the first entries of an era that a recovery began, once its second is there: the one that says so.

        Raises AuditUnavailable where an era was signed before.
        """
        with self._state.holding():
            with self._database.snapshot(controller_id) as rows:
                standing = stand(rows, controller_id, self._host, self._state, self.vkey)
                if standing is None or standing.fault != NO_STATE or standing.head.era == records.FIRST_ERA:
                    raise AuditUnavailable(retry_after_s=60)
                if beginning_at(rows, controller_id, standing.head.era, standing.origin) is None:
                    raise AuditUnavailable(retry_after_s=5)
                root = Tree(standing.head.size, records.tile_reader(rows, controller_id, standing.head)).root()
            note = self._release(standing.origin, standing.head, root)
        with self._database.transaction(controller_id) as rows:
            records.keep_copy(rows, controller_id, standing.head, note.text, self._now())
            for era in range(records.FIRST_ERA, standing.head.era):  # the last of each era that ended, for whoever asks for it
                name = origin(self._host, controller_id, era)
                last = _own(self._state.last(name) or "", name, self.vkey(name))
                if last is not None:
                    records.keep_copy(rows, controller_id, Head(era, last.checkpoint.size), last.text, self._now())
        return note

    def run_once(self, controller_id: str) -> Note | None:
        """Sign the log if it has grown, and return the newest note; None for an empty log that was never signed.

        Its copy lies beside the log then, also where another thread signed it and has not come to that yet, or never did.

        Raises AuditUnavailable when it must not be signed (the reason is on the trail's health), or cannot be.
        """
        with self._state.holding():
            with self._database.snapshot(controller_id) as rows:
                standing = stand(rows, controller_id, self._host, self._state, self.vkey)
            if standing is None:
                return None
            self.report(controller_id, standing)
            if standing.fault is not None:
                raise AuditUnavailable(retry_after_s=60)
            note = standing.last
            if note is None or not standing.head.size:
                return note
            if note.checkpoint.size < standing.head.size:
                note = self._release(standing.origin, standing.head, standing.root)
        with self._database.transaction(controller_id) as rows:
            records.keep_copy(rows, controller_id, standing.head, note.text, self._now())
        return note

    def report(self, controller_id: str, standing: Standing) -> None:
        """Put on the trail's health how the log stands to its last note."""
        for fault in FAULTS:
            self._health.judge(controller_id, fault, stands=standing.fault == fault)

    def _release(self, name: str, at: Head, root: bytes) -> Note:
        """Sign, make durable, and only then return the note."""
        point = Checkpoint(name, at.size, root)
        signature = self._sign(self._key_name, point.body.encode())
        text = note_text(point, [self.vkey(name).line(signature)])
        self._state.keep(name, text, int(self._now().timestamp() * 1000))
        self._announce(name, text)
        return parse_note(text)
