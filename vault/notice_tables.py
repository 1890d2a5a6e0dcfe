"""The tables of notices: what people were told, when, and what they are to be told; `vault/tables.py` names them with the rest."""

from sqlalchemy import BigInteger, Column, Index, Integer, text

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

data_source = table(  # where a value is from that is not from the person, and until when they are to be told of it
    "data_source",
    words("subject_id"),
    words("field"),
    Column("value_version", BigInteger, nullable=False),
    words("source"),  # a code of the controller's own, never a name
    instant("obtained_at"),
    instant("recorded_at"),
    words("regime", nullable=True),  # name@version; null: of what they must not learn of nobody is told
    instant("due_at", nullable=True),
    words("because"),  # obtained contacted disclosed
    instant("told_at", nullable=True),
    words("told_by", nullable=True),  # the entry of the notice that ended it
    words("alarm", nullable=True),  # the last that was raised
    words("entry_id"),
    key=("subject_id", "field", "value_version"),
)
Index(
    "data_source_untold",
    data_source.c.controller_id,
    data_source.c.due_at,
    postgresql_where=text("told_at IS NULL AND due_at IS NOT NULL"),
)
