"""The tables of people's requests: where each stands, and every step to there; `vault/tables.py` names them with the rest."""

from sqlalchemy import ARRAY, BigInteger, Boolean, Column, Date, Index, Integer, SmallInteger, Text
from sqlalchemy.dialects.postgresql import JSONB

from vault.columns import instant as _instant
from vault.columns import octets as _bytes
from vault.columns import table as _table
from vault.columns import words as _text

request = _table(  # where it stands; a request is never forgotten
    "request",
    _text("request_id"),
    _text("subject_id"),
    _text("kind"),
    Column("fields", ARRAY(Text), nullable=False),  # empty: of everything
    Column("special", Boolean, nullable=False),  # special categories are concerned
    _text("channel"),
    _instant("received_at"),
    _instant("registered_at"),
    _text("registered_by"),
    _text("regime"),  # name@version, as selected on the day; a newer version moves no date
    Column("base_due", Date, nullable=False),
    Column("due", Date, nullable=True),  # null while the clock stands still
    _text("state"),
    _text("waiting"),  # nothing identity clarification fee
    Column("extended", SmallInteger, nullable=True),  # which of the regime's extensions
    Column("level", SmallInteger, nullable=False),  # of identity, as reached
    _text("accepted_by", nullable=True),
    _text("fulfilled_by", nullable=True),  # never who accepted it, where two persons are asked: a constraint holds it
    _bytes("plan", nullable=True),  # SHA-256 of what was accepted, and of nothing else
    Column("begun", Boolean, nullable=False),
    _text("outcome", nullable=True),  # complete partial nothing-held
    _text("alarm", nullable=True),  # the last that was raised
    Column("version", Integer, nullable=False),
    _text("entry_id"),
    key=("request_id",),
)
Index("request_by_subject", request.c.controller_id, request.c.subject_id)

request_step = _table(  # insert-only; what somebody wrote is sealed
    "request_step",
    _text("request_id"),
    Column("number", Integer, nullable=False),
    _text("verb"),
    Column("stated", JSONB, nullable=False),  # of closed lists, numbers and dates
    _instant("at"),
    _text("by"),
    _text("role"),
    Column("secret_version", Integer, nullable=False),
    _bytes("sealed"),
    _text("entry_id"),
    key=("request_id", "number"),
)

rectification = _table(  # where a value came from that was corrected: kept; what was proposed goes when it ends
    "rectification",
    _text("request_id"),
    Column("number", Integer, nullable=False),  # the last proposal of a request counts
    _text("subject_id"),
    _text("agreement_id"),
    Column("replaces", JSONB, nullable=False),  # each field, and the version of the value before, 0 for none
    _text("evidence"),
    _text("asked_by"),
    _instant("asked_at"),
    Column("contacts", JSONB, nullable=False),  # by which they can be told, each with the version it had then
    _bytes("digest"),  # SHA-256 of what was proposed, as it is sealed
    _text("told_by", nullable=True),
    _text("told_through", nullable=True),  # a field: the contact as it was before
    _instant("told_at", nullable=True),
    _instant("applied_at", nullable=True),
    Column("applied_version", Integer, nullable=True),  # of the person: that of the new values
    _text("entry_id"),
    _bytes("mark"),  # a MAC over all the rest, under secret `settings`
    key=("request_id", "number"),
)

rectification_draft = _table(  # what is proposed, sealed under the key of its class
    "rectification_draft",
    _text("subject_id"),
    _text("request_id"),
    Column("number", Integer, nullable=False),
    _text("class"),
    Column("generation", Integer, nullable=False),
    _bytes("frame"),
    key=("subject_id", "request_id", "number", "class"),
)

letter = _table(  # what people were written about a request: never to which address, never the text
    "letter",
    _text("letter_id"),
    _text("request_id"),
    _text("subject_id"),
    _text("about"),  # received accepted fulfilled refused withdrawn duplicate unidentified contact-changing
    _text("state"),  # waiting sent failed: of what failed a person tells
    _text("code", nullable=True),  # what the last attempt came to, where it was not taken
    _instant("made_at"),
    Column("attempts", Integer, nullable=False),
    _instant("next_at", nullable=True),
    _instant("sent_at", nullable=True),
    _text("entry_id"),
    key=("letter_id",),
)
Index("letter_of_request", letter.c.controller_id, letter.c.request_id)
Index("letter_waiting", letter.c.controller_id, letter.c.next_at, postgresql_where=letter.c.next_at.is_not(None))

one_time_code = _table(  # codes to contacts on record: never the digits, never the address
    "one_time_code",
    _text("code_id"),
    _text("request_id"),
    _text("subject_id"),
    _text("through"),  # a field: the contact it goes to
    Column("value_version", BigInteger, nullable=True),  # of that contact, once it was sent
    _text("state"),  # waiting sent failed proved void
    _bytes("kept", nullable=True),  # a keyed hash, while it can be answered
    Column("tries", Integer, nullable=False),
    _instant("asked_at"),
    _text("asked_by"),
    _instant("expires_at"),
    _text("entry_id"),
    key=("code_id",),
)
Index(  # one at a time can be answered
    "one_time_code_live",
    one_time_code.c.controller_id,
    one_time_code.c.request_id,
    unique=True,
    postgresql_where=one_time_code.c.state.in_(("waiting", "sent")),
)

prohibition = _table(  # insert-only: what people forbid for after their death; the last one counts
    "prohibition",
    _text("subject_id"),
    Column("number", Integer, nullable=False),
    Column("rights", ARRAY(Text), nullable=False),  # none: taken back
    _text("evidence"),  # own-session document-seen
    _instant("recorded_at"),
    _text("recorded_by"),
    _text("entry_id"),
    key=("subject_id", "number"),
)
