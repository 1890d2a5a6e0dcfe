"""What the tests of the trail are made with: recorder, sequencer and signer over real PostgreSQL, with keys anybody can compute."""

import hmac
import itertools
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson
import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from vault.audit.checkpoint import Note, origin
from vault.audit.entry import Chain, Draft
from vault.audit.health import TrailHealth
from vault.audit.recorder import Recorder
from vault.audit.records import copies, found_log
from vault.audit.scan import GivenNote, Report
from vault.audit.scrub import ScrubKeys
from vault.audit.sequencer import Sequencer
from vault.audit.signer import Signer
from vault.audit.verify import verify_log
from vault.audit.watch import Watch
from vault.connectors.signer_state import DirectorySignerState
from vault.database import Database
from vault.keys.controller_keys import Secret
from vault.keys.envelope import open_value, seal_value
from vault.notes import VerifierKey
from vault.octets import base32_id

HOST = "vault.example"
MAC_ROOT = bytes(range(0xE0, 0x100))
SECRET = bytes(range(0xC0, 0xE0))
SIGNING = Ed25519PrivateKey.from_private_bytes(bytes(range(0x50, 0x70)))
_controllers = itertools.count()


def mac(name: str, message: bytes) -> bytes:
    return hmac.digest(MAC_ROOT, name.encode() + message if name != "audit-mac/1" else message, "sha256")


def sign(_name: str, message: bytes) -> bytes:
    return SIGNING.sign(message)


def public_key(_name: str) -> bytes:
    return SIGNING.public_key().public_bytes_raw()


def vkey(name: str) -> VerifierKey:
    return VerifierKey(name, public_key(""))


def audit_key(subject_id: str) -> bytes:
    return sha256(b"audit key " + subject_id.encode()).digest()


def unwrap(_controller_id: str, subject_id: str, _epoch: int, wrap: bytes) -> bytes:
    assert wrap == b"wrap"
    return audit_key(subject_id)


def seal(key: bytes, place: bytes, clear: bytes) -> bytes:
    return seal_value(key, place, 1, os.urandom(12), clear)


def unseal(key: bytes, place: bytes, envelope: bytes) -> bytes:
    return open_value(key, place, envelope)


KEYS = ScrubKeys(audit_key, lambda _version: SECRET, unseal)


def new_id(prefix: str) -> str:
    return f"{prefix}_{base32_id(os.urandom(16))}"


def now() -> datetime:
    return datetime.now(UTC)


def chain_of(subject_id: str, era: int = 0, number: int = 0, tag: bytes = b"") -> Chain:
    return Chain(subject_id, 1, b"wrap", era, number, tag)


def draft(subject_id: str = "", **other: Any) -> Draft:
    """A disclosure of `email` in clear of one person, or of nobody."""
    given: dict[str, Any] = {
        "entry_id": new_id("ent"),
        "operation": "disclose",
        "outcome": "allowed",
        "kind": "agent",
        "caller_id": "agent-1",
        "roles": ("t1",),
        "recipient": "helpdesk",
        "purpose": "customer-care",
        "channel": "phone",
        "fields": {"email": "clear"},
        "count": 1,
        "terms": ("retail@1",),
        "bundle": bytes(range(32)),
        "details": {"decision_id": "dec_x", "agreements": {"email": "agr-1"}},
        "internal": {"caller_id": "agent-1", "station": "PDL-0231"},
        "opens": {"email": "agr-1"},
        "subject_id": subject_id,
        "chain": chain_of(subject_id) if subject_id else None,
        "team": "desk",
        "ticket_id": "TCK-1",
        "ticket_state": "verified",
        "classes": ("contact",),
        "clear_classes": ("contact",),
    }
    return Draft(**(given | other))


@dataclass
class Log:
    """One controller's log on a migrated database, and what reads and writes it."""

    url: str
    controller_id: str
    app: Database
    sequencing: Database
    signing: Database
    state: DirectorySignerState
    health: TrailHealth
    closing: list[Callable[[], None]] = field(default_factory=list)
    open: bool = True

    def recorder(self, **other: Any) -> Recorder:
        given: dict[str, Any] = {
            "mac": mac,
            "unwrap_audit_key": unwrap,
            "audit_secret": lambda _controller: Secret(1, SECRET),
            "seal": seal,
            "draw": os.urandom,
            "now": now,
            "monotonic": time.monotonic,
            "new_id": new_id,
            "origin_host": HOST,
            "is_open": lambda _controller: self.open,
        }
        recorder = Recorder(given.pop("database", self.app), **(given | other))
        self.closing.append(recorder.close)
        return recorder

    def sequencer(self, **other: Any) -> Sequencer:
        given: dict[str, Any] = {"mac": mac, "origin_host": HOST, "health": self.health}
        return Sequencer(self.sequencing, **(given | other))

    def signer(self, **other: Any) -> Signer:
        given: dict[str, Any] = {
            "sign": sign, "public_key": public_key, "origin_host": HOST, "health": self.health, "now": now,
        }  # fmt: skip
        return Signer(self.signing, other.pop("state", self.state), **(given | other))

    def watch(self, **other: Any) -> Watch:
        given: dict[str, Any] = {
            "public_key": public_key, "origin_host": HOST, "health": self.health, "now": now,
        }  # fmt: skip
        return Watch(self.app, self.state, **(given | other))

    def settle(self) -> Note:
        """Sequence everything and sign it."""
        sequencer = self.sequencer()
        sequencer.drain(self.controller_id)
        assert sequencer.found_break(self.controller_id) is None
        note = self.signer().run_once(self.controller_id)
        assert note is not None
        return note

    @property
    def origin(self) -> str:
        return origin(HOST, self.controller_id, 1)

    def notes(self) -> list[GivenNote]:
        """Every checkpoint known: the signer's last, its list, the copies beside the log."""
        last = self.state.last(self.origin)
        listed = [GivenNote("checkpoints.log", text) for text in self.state.notes(self.origin)]
        with self.app.snapshot(self.controller_id) as rows:
            copied = [GivenNote("copy", text) for text in copies(rows, self.controller_id, 1)]
        return [*([GivenNote("signer's state", last)] if last else []), *listed, *copied]

    def verify(self, **other: Any) -> Report:
        """Verify with everything there is."""
        given: dict[str, Any] = {"mac": mac, "notes": self.notes(), "keys": KEYS}
        with self.sequencing.transaction(self.controller_id) as rows:
            return verify_log(rows, self.controller_id, origin_host=HOST, vkey=vkey, **(given | other))

    def verify_against(self, note: str) -> Report:
        """Verify with one checkpoint and the public key alone."""
        return self.verify(mac=None, keys=None, notes=[GivenNote("given", note)], alone=True)

    def ask(self, statement: str, *values: Any) -> list[Any]:
        """Ask as superuser, past row-level security."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

    def attack(self, *statements: str) -> None:
        """Change rows as the owner of everything, triggers off."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("SET session_replication_role = replica")
            for statement in statements:
                connection.execute(statement)

    def pending(self) -> list[Any]:
        return self.ask(
            "SELECT writer_id, number, leaf, mac, subject_id, chain_number FROM vault.audit_pending WHERE controller_id = %s"
            " ORDER BY writer_id, number",
            self.controller_id,
        )

    def head(self, subject_id: str) -> tuple[int, bytes]:
        rows = self.ask(
            "SELECT number, tag FROM vault.audit_subject_head WHERE controller_id = %s AND subject_id = %s",
            self.controller_id, subject_id,
        )  # fmt: skip
        return (rows[0][0], bytes(rows[0][1])) if rows else (0, b"")


@contextmanager
def log_on(url: str, directory: Path) -> Iterator[Log]:
    controller_id = f"ctl-audit-{os.getpid()}-{next(_controllers)}"
    app, sequencing, signing = databases = [Database(url, f"riserbo_{role}") for role in ("app", "sequencer", "signer")]
    state, health = DirectorySignerState(directory), TrailHealth(time.monotonic)
    log = Log(url, controller_id, app, sequencing, signing, state, health)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("INSERT INTO vault.controller VALUES (%s, 'Europe/Rome', '{it}', now())", (controller_id,))
    with databases[0].transaction(controller_id) as rows:
        found_log(rows, controller_id)
    log.signer().found(controller_id)
    try:
        yield log
    finally:
        for close in log.closing:
            close()
        with psycopg.connect(url, autocommit=True) as connection:  # else whoever runs a trail here looks after this log as well
            connection.execute("DELETE FROM vault.controller WHERE controller_id = %s", (controller_id,))
        for database in databases:
            database.close()


def leaves(log: Log) -> list[dict[str, Any]]:
    return [orjson.loads(row[2]) for row in log.pending()]


def wrote(log: Log, *drafts: Draft) -> bool:
    ids = {one["id"] for one in leaves(log)}
    return all(one.entry_id in ids for one in drafts)
