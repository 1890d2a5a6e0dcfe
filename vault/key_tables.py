"""Tables of schema `keys`: keys and secrets, all wrapped, blind indexes and tokens; `vault/tables.py` names them with the rest.

The one reference between tables is here: to the keys of a controller, a handful of rows, which any sharding keeps beside each part.
"""

from sqlalchemy import BigInteger, Column, ForeignKeyConstraint, Index, Integer, Table

from vault.columns import instant, octets, table, words

controller_key = table(
    "controller_key",
    Column("epoch", BigInteger, nullable=False),
    words("state"),  # open closing closed
    octets("blob"),  # wrapped by the keyring's root of that epoch
    octets("commit"),
    Column("wraps_reserved", BigInteger, nullable=False),
    instant("created_at"),
    key=("epoch",),
    schema="keys",
)


def _of_an_epoch(of: Table) -> None:
    """Have the database keep a controller key for as long as anything is wrapped under it."""
    columns = ["controller_id", "epoch"]
    of.append_constraint(ForeignKeyConstraint(columns, [f"keys.controller_key.{one}" for one in columns], name=f"{of.name}_epoch"))


controller_secret = table(
    "controller_secret",
    words("purpose"),  # index token settings web suppress tombstone audit
    Column("version", Integer, nullable=False),
    octets("wrap"),
    words("state"),  # current old
    key=("purpose", "version"),
    schema="keys",
)

data_key = table(
    "data_key",
    words("subject_id"),
    words("class"),
    Column("generation", BigInteger, nullable=False),
    words("data_key_id"),
    octets("commit"),
    octets("manifest"),
    Column("seals", BigInteger, nullable=False),
    words("state"),  # current draining retired; archived: only holds keep it, and no decision sees it
    key=("subject_id", "class", "generation"),
    schema="keys",
)

data_key_wrap = table(
    "data_key_wrap",
    words("subject_id"),
    words("class"),
    Column("generation", BigInteger, nullable=False),
    words("holder_kind"),  # agreement hold
    words("holder_id"),
    Column("epoch", BigInteger, nullable=False),
    octets("wrap"),
    key=("subject_id", "class", "generation", "holder_kind", "holder_id", "epoch"),
    schema="keys",
)
_of_an_epoch(data_key_wrap)

subject_audit_key = table(
    "subject_audit_key",
    words("subject_id"),
    Column("epoch", BigInteger, nullable=False),
    octets("wrap"),
    instant("shred_after", nullable=True),
    key=("subject_id", "epoch"),
    schema="keys",
)
_of_an_epoch(subject_audit_key)

epoch_change = table(  # from one controller key to the next
    "epoch_change",
    Column("epoch", BigInteger, nullable=False),
    Column("to_epoch", BigInteger, nullable=False),
    Column("rewrapped", BigInteger, nullable=False),  # wraps and audit keys made anew
    instant("begun_at"),
    instant("ended_at", nullable=True),  # when the first key was gone from the database
    key=("epoch",),
    schema="keys",
)

key_export = table(  # a copy of schema `keys` outside the database, sealed by a root key
    "key_export",
    instant("made_at"),
    Column("epoch", BigInteger, nullable=False),  # of the root that seals it
    octets("digest"),  # SHA-256 of the file
    key=("made_at",),
    schema="keys",
)

blind_index = table(
    "blind_index",
    words("index_name"),
    Column("version", Integer, nullable=False),
    octets("bidx"),
    words("subject_id"),
    key=("index_name", "version", "bidx", "subject_id"),
    schema="keys",
)
Index("blind_index_by_subject", blind_index.c.controller_id, blind_index.c.subject_id)

token = table(
    "token",
    octets("token_id"),
    words("subject_id"),
    words("field"),
    words("recipient"),
    words("agreement_id"),
    Column("serial", BigInteger, nullable=False),
    instant("expires_at", nullable=True),
    key=("token_id", "subject_id"),
    schema="keys",
)
Index("token_by_subject", token.c.controller_id, token.c.subject_id, token.c.field, token.c.recipient)
