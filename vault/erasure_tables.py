"""Tables of erasure: how far the database follows the ledger, what was erased, its certificates, and what is left of identifiers.

A tombstone and a suppression are keyed hashes: nobody can be found by them, only known again.
"""

from sqlalchemy import ARRAY, BigInteger, Column, Date, Integer, Text
from sqlalchemy.dialects.postgresql import JSONB

from vault.columns import instant, octets, table, words

ledger_mark = table(  # the last line of the erasure ledger that this database has applied
    "ledger_mark",
    Column("number", BigInteger, nullable=False),
    octets("digest"),  # SHA-256 of that line
    key=(),
)  # beside the data it is about, not in schema `keys`: a backup without keys knows how far it had come

erasure = table(  # insert-only; nobody approves what they accepted: a constraint holds it
    "erasure",
    words("erasure_id"),
    words("subject_id"),
    words("request_id"),
    words("accepted_by", nullable=True),  # null, both: carried out by the ledger's line alone
    words("approved_by", nullable=True),
    octets("plan_digest"),
    Column("result", JSONB, nullable=False),
    Column("ledger_number", BigInteger, nullable=False),
    Column("epoch", BigInteger, nullable=False),  # what was destroyed was wrapped in this one or before
    instant("erased_at"),
    words("entry_id"),
    key=("erasure_id",),
)

certificate = table(  # insert-only; the signed note as it was handed out
    "certificate",
    words("certificate_id"),
    words("erasure_id"),
    words("stage"),  # live final
    octets("note"),
    instant("issued_at"),
    words("entry_id"),
    key=("certificate_id",),
)

tombstone = table(  # an identifier of somebody who was erased
    "tombstone",
    words("index_name"),
    Column("secret_version", Integer, nullable=False),
    Column("normaliser", Integer, nullable=False),
    octets("mac"),
    instant("erased_at"),
    instant("ends_at"),
    words("entry_id"),
    key=("index_name", "secret_version", "normaliser", "mac"),
)

suppression = table(  # an identifier whose owner objected to marketing: it survives their erasure
    "suppression",
    words("channel"),
    words("index_name"),
    Column("secret_version", Integer, nullable=False),
    Column("normaliser", Integer, nullable=False),
    octets("mac"),
    instant("objected_at"),
    words("entry_id"),
    key=("channel", "index_name", "secret_version", "normaliser", "mac"),
)

legal_hold = table(  # never forgotten; nobody approves what they placed, nor releases what they asked to: constraints hold it
    "legal_hold",
    words("hold_id"),
    words("subject_id"),
    Column("fields", ARRAY(Text), nullable=False),  # empty: everything
    words("law"),
    words("state"),  # proposed approved releasing released lapsed
    instant("placed_at"),
    words("placed_by"),
    words("approved_by", nullable=True),
    words("release_asked_by", nullable=True),
    words("released_by", nullable=True),
    Column("review_at", Date, nullable=False),
    Column("until", Date, nullable=True),
    Column("secret_version", Integer, nullable=False),
    octets("sealed"),  # why, in somebody's words
    Column("version", Integer, nullable=False),
    words("entry_id"),
    key=("hold_id",),
)

retention_run = table(  # a nightly run that removed something or waits for somebody; of the others there is an entry alone
    "retention_run",
    words("run_id"),
    instant("at"),
    words("state"),  # done waiting dropped
    Column("people", Integer, nullable=False),  # there were
    Column("due", Integer, nullable=False),
    Column("removed", Integer, nullable=False),
    octets("digest"),  # of whom it was due for, and what
    Column("rules", JSONB, nullable=False),  # how many by rule
    words("approved_by", nullable=True),
    instant("approved_at", nullable=True),
    words("entry_id"),
    key=("run_id",),
)
