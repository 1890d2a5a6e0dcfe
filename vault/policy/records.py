"""Rows of policy: the bundles that are kept, and which came into force when. Both tables are insert-only."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import sha256

import orjson
import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import insert

from vault import tables
from vault.octets import expand, mac

CHANNEL = "riserbo_policy"  # who listens is told the controller whose policy changed

_bundle, _activation = tables.policy_bundle, tables.policy_activation
_CONTROLLER = sa.bindparam("controller", type_=sa.Text())
_COLUMNS = (
    *(_activation.c.sequence, _activation.c.digest, _activation.c.previous, _activation.c.note),
    *(_activation.c.activated_at, _activation.c.entry_id, _activation.c.secret_version, _activation.c.mac),
)
_ROWS = sa.select(*_COLUMNS).where(_activation.c.controller_id == _CONTROLLER)
_ALL = _ROWS.order_by(_activation.c.sequence)
_HEAD = _ROWS.order_by(_activation.c.sequence.desc()).limit(1)
_ARCHIVE = sa.select(_bundle.c.archive).where(_bundle.c.controller_id == _CONTROLLER, _bundle.c.digest == sa.bindparam("digest"))
_KEEP = insert(_bundle).on_conflict_do_nothing()
_CLAIM = sa.select(sa.func.pg_try_advisory_xact_lock(sa.bindparam("place", type_=sa.BigInteger())))
_TELL = sa.select(sa.func.pg_notify(CHANNEL, sa.bindparam("controller", type_=sa.Text())))


@dataclass(frozen=True, slots=True)
class ActivationRow:
    """One bundle that came into force. `note` is what two people signed; None for the one a controller began with.

    `mac` is under a secret of the controller, of that version: who can write rows alone puts nothing in force.
    """

    sequence: int
    digest: str
    previous: str | None
    note: str | None
    activated_at: datetime
    entry_id: str
    secret_version: int = 0
    mac: bytes = field(default=b"", repr=False)

    @property
    def said(self) -> dict[str, str | int]:
        """Return what the trail's entry says of it, in the open part: digests and numbers, nobody's name."""
        noted = sha256(self.note.encode()).hexdigest() if self.note is not None else "-"
        return {"sequence": self.sequence, "digest": self.digest, "previous": self.previous or "-", "note": noted}


def authentic(row: ActivationRow, controller_id: str, secret: bytes, version: int) -> ActivationRow:
    """Return the row with its MAC: HMAC-SHA-256 over what it says, by which entry and for whom, under a key made for this alone."""
    told = orjson.dumps({**row.said, "controller": controller_id, "entry": row.entry_id}, option=orjson.OPT_SORT_KEYS)
    return replace(row, secret_version=version, mac=mac(expand(secret, b"riserbo-activation/1"), told))


def activations(rows: Connection, controller_id: str) -> Sequence[ActivationRow]:
    """Return everything that came into force, the first one first."""
    return [ActivationRow(*one) for one in rows.execute(_ALL, {"controller": controller_id})]


def head(rows: Connection, controller_id: str) -> ActivationRow | None:
    """Return what came into force last."""
    found = rows.execute(_HEAD, {"controller": controller_id}).one_or_none()
    return ActivationRow(*found) if found is not None else None


def kept_archive(rows: Connection, controller_id: str, digest: str) -> bytes | None:
    """Return a kept bundle, None when this controller never had it."""
    found = rows.execute(_ARCHIVE, {"controller": controller_id, "digest": digest}).scalar_one_or_none()
    return bytes(found) if found is not None else None


def claim(rows: Connection, controller_id: str) -> bool:
    """Return whether this transaction is the one that changes what is in force; no other is until it ends."""
    place = sha256(f"{CHANNEL}/{controller_id}".encode()).digest()[:8]
    return bool(rows.execute(_CLAIM, {"place": int.from_bytes(place, "big", signed=True)}).scalar_one())


def insert_activation(rows: Connection, controller_id: str, row: ActivationRow, archive: bytes) -> None:
    """Keep the bundle and put its activation down; whoever listens is told when this is committed."""
    kept = {"controller_id": controller_id, "digest": row.digest, "archive": archive, "kept_at": row.activated_at}
    rows.execute(_KEEP, kept)
    values = {column.name: getattr(row, column.name) for column in _COLUMNS}
    rows.execute(sa.insert(_activation), {"controller_id": controller_id, **values})
    rows.execute(_TELL, {"controller": controller_id})
