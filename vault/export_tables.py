"""The tables of exports: what somebody takes away, its sealed bytes until they did; `vault/tables.py` names them with the rest."""

from sqlalchemy import BigInteger, Boolean, Column, Integer, text
from sqlalchemy.dialects.postgresql import JSONB

from vault.columns import instant as _instant
from vault.columns import octets as _bytes
from vault.columns import table as _table
from vault.columns import words as _text

export = _table(
    "export",
    _text("export_id"),
    _text("subject_id"),
    _text("set"),  # access portability
    _text("language"),
    _text("request_id", nullable=True),
    Column("asker", JSONB, nullable=False),  # who asked, as their token said: by their right it is made
    _text("channel"),
    _text("ticket_id", nullable=True),
    _text("state"),  # building ready taken spent expired replaced failed erased
    Column("done", BigInteger, nullable=False, server_default=text("0")),
    Column("total", BigInteger, nullable=False, server_default=text("0")),
    Column("attempt", Integer, nullable=False, server_default=text("0")),
    _instant("leased_until", nullable=True),  # until when whoever makes it is believed to be alive
    _bytes("salt", nullable=True),
    _bytes("public", nullable=True),  # what wraps the key; gone once it has
    _bytes("asked", nullable=True),  # a MAC over what was asked, by whom and for which passphrase
    _bytes("wrap", nullable=True),  # opens with the passphrase alone; gone once it was taken
    Column("special", Boolean, nullable=False, server_default=text("false")),  # data of Art. 9 are in it
    Column("size", BigInteger, nullable=False, server_default=text("0")),  # sealed
    Column("starts", Integer, nullable=False, server_default=text("0")),
    _instant("started_at", nullable=True),
    _instant("asked_at"),
    _instant("expires_at"),
    _text("entry_id"),
    key=("export_id",),
)

export_part = _table(  # of one attempt to make it; those of another are nobody's
    "export_part",
    _text("export_id"),
    Column("attempt", Integer, nullable=False),
    Column("number", Integer, nullable=False),
    _bytes("octets"),
    key=("export_id", "attempt", "number"),
)
