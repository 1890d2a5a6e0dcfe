"""The tables of the breach register (GDPR 33(5)), all insert-only; `vault/tables.py` names them with the rest."""

from sqlalchemy import ARRAY, BigInteger, Column, Integer, Text
from sqlalchemy.dialects.postgresql import JSONB

from vault.columns import instant as _instant
from vault.columns import octets as _bytes
from vault.columns import table as _table
from vault.columns import words as _text

breach = _table(
    "breach",
    _text("breach_id"),
    Column("kinds", ARRAY(Text), nullable=False),  # confidentiality integrity availability
    Column("regimes", ARRAY(Text), nullable=False),  # name@version, as selected on the day
    _instant("detected_at", nullable=True),
    _instant("aware_at"),
    _instant("opened_at"),
    _text("opened_by"),
    Column("secret_version", Integer, nullable=False),  # of the controller's secret `settings`
    _bytes("sealed"),  # what somebody wrote: summary, why aware then
    _text("entry_id"),
    key=("breach_id",),
)

breach_phase = _table(  # what was done about it, in order; free text is sealed
    "breach_phase",
    _text("breach_id"),
    Column("number", Integer, nullable=False),
    _text("phase"),  # assessed notified subjects-told closed
    Column("stated", JSONB, nullable=False),  # of closed lists, numbers and instants
    _instant("at"),
    _text("by"),
    Column("secret_version", Integer, nullable=False),
    _bytes("sealed"),
    _text("entry_id"),
    key=("breach_id", "number"),
)

breach_deadline = _table(  # computed once, when what it starts from is known; a newer version of a law moves none
    "breach_deadline",
    _text("breach_id"),
    _text("regime"),  # name@version
    Column("step", Integer, nullable=False),
    _text("notice"),
    _text("since"),  # aware classified, or the notice it follows
    _instant("since_at"),
    _instant("due_at"),
    _text("entry_id"),
    key=("breach_id", "regime", "step"),
)

affected_list = _table(  # what was asked for, frozen at a size and root of the log
    "affected_list",
    _text("breach_id"),
    _text("list_id"),
    Column("criteria", JSONB, nullable=False),
    Column("era", Integer, nullable=False),
    Column("size", BigInteger, nullable=False),
    _bytes("root"),
    _text("checkpoint", nullable=True),  # the newest signed one up to that size
    _instant("asked_at"),
    _text("by"),
    _text("entry_id"),
    key=("breach_id", "list_id"),
)

affected_part = _table(  # how far the pass over every leaf has come, and what it met; the last one has the verdict
    "affected_part",
    _text("list_id"),
    Column("number", Integer, nullable=False),
    Column("era", Integer, nullable=False),  # a part is of one era
    Column("begun", BigInteger, nullable=False),  # the first leaf there was: what lies before was pruned
    Column("reached", BigInteger, nullable=False),  # up to where leaves were read
    _bytes("frontier"),  # roots of the perfect parts of the tree up to there
    Column("positions", ARRAY(BigInteger), nullable=False),  # of entries that count, since the part before
    _text("verdict", nullable=True),  # confirmed differs
    _instant("at"),
    Column("secret_version", Integer, nullable=False),
    _bytes("mac"),  # over the list, this part and the one before, under secret `settings`
    Column("follows", JSONB(none_as_null=True), nullable=True),  # the era before, as a leaf of this part says: era size root lost
    key=("list_id", "number"),
)
