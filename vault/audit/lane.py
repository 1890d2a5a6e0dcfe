"""A recorder lane: one writer with its own connection, used by one thread at a time.

Nothing in memory moves before a commit is acknowledged. Where the answer is lost, the lane looks whether the batch is there; if it
cannot know, it leaves that writer for ever and opens another, whose first entry names the one left.
"""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress

from vault.audit import entry
from vault.audit.acknowledged import Acknowledged
from vault.audit.batch import NOT_AS_EXPECTED
from vault.audit.checkpoint import origin
from vault.audit.entry import Draft
from vault.audit.exchange import TEXT, Exchange, Refusal, Statement, Unanswered
from vault.audit.prepared import Means, Prepared, prepare
from vault.audit.writer import Built, Head, Place, Writer, build, heads_as_read
from vault.database import Database
from vault.errors import AuditUnavailable, Unavailable, VaultError
from vault.octets import text_array

WHOLE_CALL_S = 3.0
REBUILDS = 3
_LOOKING_S = 0.5  # kept back from the whole, to find out what became of a batch
_BOUNDS = {"lock_timeout": "500ms", "statement_timeout": "2s"}
_UNIQUE_VIOLATION = "23505"

_ERA = Statement(b"riserbo_era", b"SELECT era FROM vault.audit_head WHERE controller_id = $1::text", (TEXT,))
# Who has no head is given one of no entries, so that each is locked in the order in which batches take them: to lock those that
# are there first and insert the others afterwards would let two batches wait for each other.
_HEADS = Statement(
    b"riserbo_heads",
    b"INSERT INTO vault.audit_subject_head AS head (controller_id, subject_id, stream, era, number, tag)"
    b" SELECT $1::text, w.subject_id, w.stream, $2::integer, 0, ''"
    b" FROM unnest($3::text[], $4::text[]) AS w(subject_id, stream)"
    b" ON CONFLICT (controller_id, subject_id, stream) DO UPDATE SET number = head.number"
    b" RETURNING subject_id, stream, number, encode(tag, 'hex'), era",
    (TEXT, TEXT, TEXT, TEXT),
)
_STANDS = Statement(
    b"riserbo_stands",
    b"SELECT coalesce((SELECT era FROM vault.audit_head WHERE controller_id = $1::text) = $3::integer, false)"
    b" AND NOT EXISTS (SELECT FROM vault.audit_rejected WHERE controller_id = $1::text AND writer_id = $2::text)",
    (TEXT, TEXT, TEXT),
)
_FOUND = Statement(
    b"riserbo_found",
    b"SELECT 1 FROM vault.audit_pending WHERE controller_id = $1::text AND writer_id = $2::text AND number = $3::bigint"
    b" UNION ALL SELECT 1 FROM vault.audit_writer WHERE controller_id = $1::text AND writer_id = $2::text AND number >= $3::bigint",
    (TEXT, TEXT, TEXT),
)


class Lane:
    """Commits batches of one controller's entries. Opens connection and writer at the first batch."""

    def __init__(self, database: Database, means: Means, controller_id: str, acknowledged: Acknowledged) -> None:
        self._database = database
        self._means = means
        self._controller_id = controller_id
        self._acknowledged = acknowledged
        self._exchange: Exchange | None = None
        self._writer: Writer | None = None
        self._left: dict[str, str | int] = {}  # the writer abandoned last, and its last acknowledged number
        self._process = os.getpid()
        self.used_at = means.monotonic()

    def commit(self, batch: Sequence[Prepared], deadline: float) -> list[bytes]:
        """Commit the batch, all or none, and return the leaf hash of each entry in order.

        Raises AuditUnavailable when it cannot be known before `deadline` (monotonic) that they are on record.
        """
        self.used_at = self._means.monotonic()
        order = sorted(range(len(batch)), key=lambda at: batch[at].place)
        ordered = [batch[at] for at in order]
        exchange = self._connected(deadline)
        writer = self._ready(exchange, max(one.secret_version for one in batch), deadline)
        if any(one.secret_version != writer.secret_version for one in batch):
            raise AuditUnavailable(retry_after_s=1)  # the secret changed between the two: once a year
        opening = [] if writer.number else [self._own(writer, "writer-open", self._about(writer))]
        for rebuilds in range(1 + REBUILDS):
            if rebuilds and not self._in_place(writer, deadline):
                self._leave(writer)
                return self.commit(batch, deadline)  # by a writer of the present era
            heads = self._locked_heads(ordered, writer.era, deadline) if rebuilds else heads_as_read(ordered, writer.era)
            built = build(writer, [*opening, *ordered], heads, self._now_ms())
            if self._carried_out(built, deadline, begun=rebuilds > 0):
                hashes = dict(zip(order, built.hashes[len(opening) :], strict=True))
                return [hashes[at] for at in range(len(batch))]
        raise AuditUnavailable(retry_after_s=1)

    @property
    def opened(self) -> bool:
        """Whether it holds a writer or a connection."""
        return self._writer is not None or self._exchange is not None

    def close(self) -> None:
        """End the writer with its closing entry and close the connection. Never raises: a writer without an end counts as lost."""
        deadline = self._means.monotonic() + WHOLE_CALL_S
        with suppress(VaultError):  # the health page shows an unclean end
            if self._writer is not None and self._process == os.getpid():
                self._connected(deadline)
                self._finish(self._writer, deadline)
        self._drop_connection()
        if self._writer is not None:
            self._acknowledged.end(self._writer.writer_id)
        self._writer = None

    # --- connection and writer ---

    def _connected(self, deadline: float) -> Exchange:
        """Return a live connection. One the server closed while idle is replaced; the writer goes on, for nothing was under way."""
        if self._process != os.getpid():  # a fork: the parent goes on with this writer and this connection
            self._process, self._exchange, self._writer = os.getpid(), None, None
            self._left = {}
        if self._exchange is not None and self._exchange.lost():
            self._drop_connection()
        if self._means.monotonic() >= deadline:
            raise AuditUnavailable(retry_after_s=1)
        if self._exchange is None:
            self._exchange = self._connect(deadline)
        return self._exchange

    def _connect(self, deadline: float) -> Exchange:
        try:
            exchange = Exchange(self._database.dedicated(self._controller_id), self._means.monotonic)
        except Unavailable:
            raise AuditUnavailable(retry_after_s=5) from None
        try:
            exchange.open(_BOUNDS, deadline)
        except (Refusal, Unanswered):
            exchange.close()
            raise AuditUnavailable(retry_after_s=5) from None
        return exchange

    def _drop_connection(self) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.close()

    def _ready(self, exchange: Exchange, secret_version: int, deadline: float) -> Writer:
        """Return the writer of the next batch: the present one, or a new one that has written nothing yet."""
        writer = self._writer
        if writer is not None and (writer.secret_version != secret_version or writer.spent(self._means.monotonic())):
            self._finish(writer, deadline)
            writer = None
        if writer is None:
            writer = self._new_writer(exchange, secret_version, deadline)
        return writer

    def _new_writer(self, exchange: Exchange, secret_version: int, deadline: float) -> Writer:
        rows = self._asked(exchange, _ERA, [self._controller_id.encode()], deadline)
        if not rows or rows[0][0] is None:
            raise AuditUnavailable(retry_after_s=5)  # this controller has no log
        means, writer_id = self._means, self._means.new_id("wrt")
        key = means.mac(f"audit-mac/{means.mac_key}", entry.first_mac_message(self._controller_id, writer_id))
        era = int(rows[0][0])
        return Writer(self._controller_id, writer_id, era, secret_version, means.mac_key, means.monotonic(), key)

    def _about(self, writer: Writer) -> Mapping[str, str | int]:
        name = origin(self._means.origin_host, self._controller_id, writer.era)
        return {"origin": name, "mac_key": writer.mac_key, "audit_secret": writer.secret_version, **self._left}

    def _own(self, writer: Writer, operation: str, about: Mapping[str, str | int]) -> Prepared:
        """Return an entry of the log's own."""
        entry_id = self._means.new_id("ent")
        draft = Draft(entry_id=entry_id, operation=operation, outcome="done", kind="system", about=about)
        return prepare(self._means, writer.controller_id, draft)

    def _in_place(self, writer: Writer, deadline: float) -> bool:
        """Return whether a writer may go on: its era has not ended, and no operator rejected entries of it."""
        values = [writer.controller_id.encode(), writer.writer_id.encode(), b"%d" % writer.era]
        return self._asked(self._connected(deadline), _STANDS, values, deadline) == [[b"t"]]

    def _finish(self, writer: Writer, deadline: float) -> None:
        """Write the writer's last entry. Raises AuditUnavailable; the writer then goes on, or was left."""
        built = build(writer, [self._own(writer, "writer-close", {})], {}, self._now_ms())
        if not self._carried_out(built, deadline):  # its decoy is not where only this writer can have moved it
            self._leave(writer)
        self._acknowledged.end(writer.writer_id)
        self._writer = None

    # --- the exchange ---

    def _carried_out(self, built: Built, deadline: float, *, begun: bool = False) -> bool:
        """Commit a batch; False when a chain head was not as expected and nothing was written. Raises AuditUnavailable."""
        exchange = self._exchange
        if exchange is None or self._means.monotonic() >= deadline - _LOOKING_S:
            raise AuditUnavailable(retry_after_s=1)
        try:
            exchange.together(built.calls, deadline - _LOOKING_S, begun=begun)
        except Refusal as refusal:
            if refusal.sqlstate == NOT_AS_EXPECTED:
                return False
            if refusal.sqlstate == _UNIQUE_VIOLATION:  # somebody else wrote under this writer's name
                self._leave(self._writer or built.writer)
            raise AuditUnavailable(retry_after_s=1) from None
        except Unanswered:
            if not self._found(built, deadline):
                self._leave(self._writer or built.writer)
                raise AuditUnavailable(retry_after_s=1) from None
        self._writer, self._left = built.writer, {}
        self._acknowledged.era = built.writer.era
        self._acknowledged.add(built.writer.writer_id, built.writer.number, built.hashes[-1], built.writer.era)
        return True

    def _found(self, built: Built, deadline: float) -> bool:
        """Look on a new connection whether the batch is there after all. Not found, not reached, too late: False."""
        self._drop_connection()
        writer = built.writer
        values = [writer.controller_id.encode(), writer.writer_id.encode(), b"%d" % writer.number]
        try:
            return bool(self._asked(self._connected(deadline), _FOUND, values, deadline))
        except AuditUnavailable:
            return False

    def _leave(self, writer: Writer) -> None:
        """Abandon a writer: what it sent last may or may not turn up, so it never writes again."""
        acknowledged = self._writer.number if self._writer is not None else 0
        self._acknowledged.end(writer.writer_id)
        self._left = {"writer": writer.writer_id, "number": acknowledged}
        self._writer = None

    def _locked_heads(self, batch: Sequence[Prepared], era: int, deadline: float) -> dict[Place, Head]:
        """Begin a transaction that holds the chain heads of a batch's people, and return those of this era.

        Only after a head was not as expected: locking costs an exchange more, but somebody many ask for moves too fast to guess.
        """
        places = sorted({one.place for one in batch if one.chain_key})
        names, streams = (text_array([place[at] for place in places]) for at in (0, 1))
        values = [self._controller_id.encode(), b"%d" % era, names, streams]
        try:
            rows = self._connected(deadline).begin((_HEADS, values), deadline)
        except (Refusal, Unanswered):  # nothing was written, so the writer may go on
            raise AuditUnavailable(retry_after_s=1) from None
        return {
            (subject.decode(), stream.decode()): (int(number), bytes.fromhex(tag.decode()))
            for subject, stream, number, tag, of_era in rows
            if subject is not None and stream is not None and number is not None and tag is not None and of_era == b"%d" % era
        }

    def _asked(
        self, exchange: Exchange, statement: Statement, values: Sequence[bytes], deadline: float
    ) -> list[list[bytes | None]]:
        try:
            return exchange.alone((statement, values), deadline)
        except (Refusal, Unanswered):
            raise AuditUnavailable(retry_after_s=1) from None

    def _now_ms(self) -> int:
        return int(self._means.now().timestamp() * 1000)
