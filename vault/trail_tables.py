"""The tables of the audit trail; `vault/tables.py` names them with the rest.

Entries lie in partitions by position, details and look-up rows by month. A partition is named after its table: `_first` is what was
there before there were any, `_rest` the default, which takes what no other is made for.
"""

import re
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from vault.columns import instant as _instant
from vault.columns import octets as _bytes
from vault.columns import table as _table
from vault.columns import words as _text

PARTITION = re.compile(r"audit_(entry|detail|lookup)_(first|rest|\d+(_\d+)?)")

_LOOKUP = (  # a convenience that may be deleted or rebuilt, never evidence
    ("entry_id", Text),
    ("stream", Text),
    ("operation", Text),
    ("outcome", Text),
    ("kind", Text),
    ("caller_id", Text),
    ("roles", ARRAY(Text)),
    ("team", Text),
    ("recipient", Text),
    ("purpose", Text),
    ("channel", Text),
    ("ticket", LargeBinary),  # 8-byte keyed hash
    ("station", LargeBinary),  # the same
    ("ticket_state", Text),
    ("classes", ARRAY(Text)),
    ("clear_classes", ARRAY(Text)),
    ("clear_count", Integer),
    ("flags", Integer),
)


def _lookup() -> list["Column[Any]"]:
    return [Column(name, kind, nullable=True) for name, kind in _LOOKUP]


audit_pending = _table(
    "audit_pending",
    _text("writer_id"),
    Column("number", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),  # ms since 1970
    _bytes("leaf"),
    _bytes("mac"),
    _bytes("sealed", nullable=True),
    _text("subject_id"),  # `-` for none
    Column("chain_number", BigInteger, nullable=False),
    _bytes("chain_previous"),
    *_lookup(),
    key=("writer_id", "number"),
)

audit_entry = _table(
    "audit_entry",
    Column("era", Integer, nullable=False),
    Column("position", BigInteger, nullable=False),
    _bytes("leaf"),
    _bytes("leaf_hash"),
    _bytes("mac"),
    key=("era", "position"),
    ranges_of="position",
)

audit_detail = _table(
    "audit_detail",
    Column("at", BigInteger, nullable=False),
    Column("position", BigInteger, nullable=False),
    _text("subject_id"),
    Column("era", Integer, nullable=False),
    _text("entry_id"),
    _bytes("sealed", nullable=True),
    _text("stream"),
    Column("chain_number", BigInteger, nullable=False),
    _bytes("chain_previous"),
    key=("at", "position", "subject_id"),
    ranges_of="at",
)

audit_lookup = _table(
    "audit_lookup",
    Column("at", BigInteger, nullable=False),
    Column("position", BigInteger, nullable=False),
    _text("subject_id"),
    Column("era", Integer, nullable=False),
    *_lookup(),
    key=("at", "position", "subject_id"),
    ranges_of="at",
)
Index(
    "audit_lookup_by_subject",
    audit_lookup.c.controller_id,
    audit_lookup.c.subject_id,
    audit_lookup.c.at.desc(),
    audit_lookup.c.position.desc(),
)
Index(
    "audit_lookup_by_caller",
    audit_lookup.c.controller_id,
    audit_lookup.c.caller_id,
    audit_lookup.c.at.desc(),
    audit_lookup.c.position.desc(),
)
Index(
    "audit_lookup_by_ticket",
    audit_lookup.c.controller_id,
    audit_lookup.c.ticket,
    audit_lookup.c.at.desc(),
    audit_lookup.c.position.desc(),
    postgresql_where=text("ticket IS NOT NULL"),
)
Index("audit_lookup_by_entry", audit_lookup.c.controller_id, audit_lookup.c.entry_id)
Index(
    "audit_lookup_of_policy",  # a handful of rows: what came into force, asked at each start
    audit_lookup.c.controller_id,
    audit_lookup.c.at,
    audit_lookup.c.position,
    postgresql_where=text("operation = 'policy:activated'"),
)
Index(
    "audit_lookup_flagged",
    audit_lookup.c.controller_id,
    audit_lookup.c.at.desc(),
    audit_lookup.c.position.desc(),
    postgresql_where=text("flags <> 0"),
)

audit_subject_head = _table(
    "audit_subject_head",
    _text("subject_id"),
    _text("stream"),  # open held; decoy: subject_id is a writer's id
    Column("era", Integer, nullable=False),
    Column("number", BigInteger, nullable=False),
    _bytes("tag"),
    key=("subject_id", "stream"),
)

audit_writer = _table(
    "audit_writer",
    _text("writer_id"),
    Column("number", BigInteger, nullable=False),  # sequenced
    _bytes("leaf_hash"),
    Column("mac_key", Integer, nullable=False),  # audit-mac/<n>, as its first entry says
    _instant("seen_at"),
    Column("closed", Boolean, nullable=False),
    Column("era", Integer, nullable=False),
    Column("position", BigInteger, nullable=True),  # of that entry; null for those sequenced before it was kept
    key=("writer_id",),
)

audit_head = _table(
    "audit_head",
    Column("era", Integer, nullable=False),
    Column("size", BigInteger, nullable=False),
    key=(),
)

audit_tile = _table(
    "audit_tile",
    Column("era", Integer, nullable=False),
    Column("level", SmallInteger, nullable=False),
    Column("idx", BigInteger, nullable=False),
    _bytes("hashes"),
    key=("era", "level", "idx"),
)

audit_checkpoint = _table(  # a copy only; the signer's state is outside the database
    "audit_checkpoint",
    Column("era", Integer, nullable=False),
    Column("size", BigInteger, nullable=False),
    _text("note"),
    _instant("signed_at"),
    key=("era", "size"),
)

audit_pruned = _table(  # where a log begins: insert-only, by the owner alone; its entry `log-prune` says the same
    "audit_pruned",
    Column("era", Integer, nullable=False),
    Column("bound", BigInteger, nullable=False),
    Column("about", JSONB, nullable=False),
    _instant("pruned_at"),
    _text("entry_id"),
    key=("era", "bound"),
)

audit_witnessed = _table(  # what witnesses signed of checkpoints: insert-only, served with them
    "audit_witnessed",
    Column("era", Integer, nullable=False),
    Column("seconds", BigInteger, nullable=False),  # since 1970, as the witness says
    _text("witness"),
    Column("size", BigInteger, nullable=False),
    _text("line"),
    _text("entry_id"),
    key=("era", "seconds", "witness"),
)

audit_daily = _table(  # without the caller: with one there would be nearly as many rows as entries
    "audit_daily",
    Column("day", Integer, nullable=False),  # days since 1970
    _text("operation"),
    _text("outcome"),
    _text("purpose"),
    _text("recipient"),
    Column("entries", BigInteger, nullable=False),
    Column("clear_values", BigInteger, nullable=False),
    key=("day", "operation", "outcome", "purpose", "recipient"),
)

audit_rejected = _table(
    "audit_rejected",
    _text("writer_id"),
    Column("number", BigInteger, nullable=False),
    _bytes("leaf"),
    _bytes("mac"),
    _bytes("sealed", nullable=True),
    key=("writer_id", "number"),
)
