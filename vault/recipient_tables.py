"""The tables of recipients: who receives data and on what terms; `vault/tables.py` names them with the rest."""

from sqlalchemy import ARRAY, BigInteger, Column, Integer, Text

from vault.columns import instant, table, words

recipient = table(  # a line is changed, never deleted: entries and tasks name it
    "recipient",
    words("name"),  # as entries say it: a party of the policy, or a company that is one of that kind
    words("recipient_id"),
    words("party"),  # as which agreements name it
    words("role"),  # processor joint-controller controller authority
    words("country"),  # where data go, ISO 3166-1 alpha-2
    words("transfer_tool"),  # GDPR 45 to 49, or none
    words("contract", nullable=True),  # reference of the processing agreement (28(3)), never its text
    instant("contract_from", nullable=True),
    instant("contract_until", nullable=True),
    words("instructions", nullable=True),  # reference of what the processor was told to do (28(3)(a))
    Column("subprocessors", ARRAY(Text), nullable=False),
    words("channel"),  # how it is told of an erasure: webhook manual
    words("endpoint", nullable=True),
    instant("disabled_at", nullable=True),  # it answered 410: nothing is sent there any more
    Column("secret_serial", Integer, nullable=False),  # of the key its webhooks are signed with
    Column("days", Integer, nullable=False),  # until when it is to have answered
    instant("registered_at"),
    instant("ended_at", nullable=True),
    words("entry_id"),
    key=("name",),
)

disclosure = table(  # what went to whom, projected from the trail: it may be made anew from there
    "disclosure",
    words("subject_id"),
    words("recipient"),
    words("field"),
    words("level"),  # as entries say it: clear masked:<mask> token
    words("agreement_id"),  # empty where nothing tells it any more
    Column("first_at", BigInteger, nullable=False),  # ms since 1970, as entries say it
    Column("last_at", BigInteger, nullable=False),
    Column("era", Integer, nullable=False),  # of the last entry
    Column("position", BigInteger, nullable=False),
    key=("subject_id", "recipient", "field", "level", "agreement_id"),
)

disclosure_mark = table(  # up to where the trail was projected
    "disclosure_mark",
    Column("era", Integer, nullable=False),
    Column("position", BigInteger, nullable=False),
    key=(),
)
