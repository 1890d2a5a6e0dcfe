"""The tables of recipients: who receives data and on what terms; `vault/tables.py` names them with the rest."""

from sqlalchemy import ARRAY, BigInteger, Boolean, Column, Index, Integer, Text, text

from vault.columns import instant, octets, table, words

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
    words("channel"),  # how it is told of an erasure: webhook opendsr manual
    words("endpoint", nullable=True),
    octets("certificate", nullable=True),  # in PEM: what callbacks of OpenDSR are checked by
    instant("disabled_at", nullable=True),  # it answered 410: nothing is sent there any more
    Column("secret_serial", Integer, nullable=False),  # of the key its webhooks are signed with
    Column("secret_version", Integer, nullable=False),  # of the controller's secret that key is made from
    instant("secret_at", nullable=True),  # since when it is that serial; null: since ever
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

recipient_task = table(  # what one recipient is to be told; never forgotten
    "recipient_task",
    words("task_id"),
    words("subject_id"),
    words("recipient"),
    words("recipient_id", nullable=True),  # null: it was not on the register
    words("kind"),  # erasure rectification restriction lifting withdrawal
    Column("fields", ARRAY(Text), nullable=False),
    Column("whole", Boolean, nullable=False),  # they are all it received
    words("handle"),  # by which it knows the person; nobody else does
    words("cause"),  # the entry of the act
    words("request_id", nullable=True),
    words("state"),  # pending sent acknowledged completed refused manual excused
    instant("made_at"),
    instant("due_at"),
    instant("moved_at"),
    Column("attempts", Integer, nullable=False),
    instant("next_at", nullable=True),  # when to send it; null: not by us
    instant("alarmed_at", nullable=True),  # that its deadline came and it had not ended
    Column("version", Integer, nullable=False),
    words("entry_id"),
    key=("task_id",),
)
Index("recipient_task_of_cause", *(recipient_task.c[name] for name in ("controller_id", "cause", "kind", "recipient")), unique=True)
Index("recipient_task_by_subject", recipient_task.c.controller_id, recipient_task.c.subject_id)
Index(
    "recipient_task_to_send",
    recipient_task.c.controller_id,
    recipient_task.c.next_at,
    postgresql_where=text("next_at IS NOT NULL"),
)
Index(
    "recipient_task_to_alarm",
    recipient_task.c.controller_id,
    recipient_task.c.due_at,
    postgresql_where=text("alarmed_at IS NULL AND state NOT IN ('completed', 'excused')"),
)

recipient_task_step = table(  # insert-only; what somebody wrote is sealed
    "recipient_task_step",
    words("task_id"),
    Column("number", Integer, nullable=False),
    words("state"),
    words("role"),  # job recipient officer
    words("by"),
    words("code", nullable=True),  # what an endpoint answered, or that it did not
    instant("at"),
    Column("secret_version", Integer, nullable=False),
    octets("sealed"),
    words("entry_id"),
    key=("task_id", "number"),
)

dsr_request = table(  # what others asked by OpenDSR, of somebody or of nobody
    "dsr_request",
    words("recipient_id"),  # who sent it
    words("asked_id"),  # as the sender calls it
    words("kind"),
    octets("digest"),  # keyed, of its bytes: by which it is known again
    Column("secret_version", Integer, nullable=False),
    words("request_id", nullable=True),  # null: whom it names is nobody here
    instant("received_at"),
    instant("expected_at"),
    instant("cancelled_at", nullable=True),
    words("entry_id"),
    key=("recipient_id", "asked_id"),
)
