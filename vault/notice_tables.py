"""The tables of notices: what people were told, in which words, when; `vault/tables.py` names them with the rest."""

from sqlalchemy import Column, Index, Integer

from vault.columns import instant, octets, table, words

notice_text = table(  # insert-only: as people were given it; the files it came from are another day's files
    "notice_text",
    words("notice"),
    Column("version", Integer, nullable=False),
    words("language"),
    octets("sha256"),
    octets("text"),
    instant("kept_at"),
    key=("notice", "version", "language"),
)

notice_served = table(  # insert-only: that somebody was given one
    "notice_served",
    words("subject_id"),
    words("entry_id"),
    words("notice"),
    Column("version", Integer, nullable=False),
    words("language"),
    octets("sha256"),  # of the words
    words("channel"),
    instant("given_at"),
    instant("recorded_at"),
    words("by"),
    words("role"),
    key=("subject_id", "entry_id"),
)
Index("notice_served_by_notice", notice_served.c.controller_id, notice_served.c.notice, notice_served.c.version)
