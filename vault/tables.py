"""Every table, in schemas `vault` and `keys`. Each primary key begins with `controller_id`; row-level security is forced on all.

But for one (`key_tables`), no foreign keys stand in the way of sharding by `subject_id`; nor do sequences, or unique constraints
without the distribution key.
Rights and row security are in `migrations/`; what is sealed is `bytea`, never text.
"""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Index,
    Integer,
    SmallInteger,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from vault.breach_tables import affected_list, affected_part, breach, breach_deadline, breach_phase
from vault.columns import instant as _instant
from vault.columns import metadata
from vault.columns import octets as _bytes
from vault.columns import table as _table
from vault.columns import words as _text
from vault.erasure_tables import certificate, erasure, ledger_mark, legal_hold, retention_run, suppression, tombstone
from vault.export_tables import export, export_part
from vault.key_tables import (
    blind_index,
    controller_key,
    controller_secret,
    data_key,
    data_key_wrap,
    epoch_change,
    key_export,
    subject_audit_key,
    token,
)
from vault.notice_tables import data_source, notice_served, notice_text
from vault.recipient_tables import disclosure, disclosure_mark, dsr_request, recipient, recipient_task, recipient_task_step
from vault.request_tables import letter, one_time_code, prohibition, rectification, rectification_draft, request, request_step
from vault.trail_tables import (
    audit_checkpoint,
    audit_daily,
    audit_detail,
    audit_entry,
    audit_head,
    audit_lookup,
    audit_pending,
    audit_pruned,
    audit_rejected,
    audit_subject_head,
    audit_tile,
    audit_witnessed,
    audit_writer,
)

__all__ = [  # the tables of the trail, of breaches and of erasure are named here too: who reads tables need not know the files
    "affected_list",
    "affected_part",
    "audit_checkpoint",
    "audit_daily",
    "audit_detail",
    "audit_entry",
    "audit_head",
    "audit_lookup",
    "audit_pending",
    "audit_pruned",
    "audit_rejected",
    "audit_subject_head",
    "audit_tile",
    "audit_witnessed",
    "audit_writer",
    "blind_index",
    "breach",
    "breach_deadline",
    "breach_phase",
    "certificate",
    "controller_key",
    "controller_secret",
    "data_key",
    "data_key_wrap",
    "data_source",
    "disclosure",
    "disclosure_mark",
    "dsr_request",
    "epoch_change",
    "erasure",
    "export",
    "export_part",
    "key_export",
    "ledger_mark",
    "legal_hold",
    "letter",
    "metadata",
    "notice_served",
    "notice_text",
    "one_time_code",
    "prohibition",
    "recipient",
    "recipient_task",
    "recipient_task_step",
    "rectification",
    "rectification_draft",
    "request",
    "request_step",
    "retention_run",
    "subject_audit_key",
    "suppression",
    "token",
    "tombstone",
]

# --- whose data, and who may ask -------------------------------------------------------------------------------------------

controller = _table("controller", _text("zone"), Column("languages", ARRAY(Text), nullable=False), _instant("created_at"), key=())

subject = _table(
    "subject",
    _text("subject_id"),
    Column("version", BigInteger, nullable=False),  # the ETag: every change of person, agreement or values raises it
    _text("state"),  # active restricted archived erased
    Column("restricted", ARRAY(Text), nullable=False, server_default=text("'{}'")),  # fields under restriction; `*`: all
    _instant("restricted_at", nullable=True),
    Column("objected", Boolean, nullable=False, server_default=text("false")),
    Column("objected_marketing", Boolean, nullable=False, server_default=text("false")),
    _instant("objected_at", nullable=True),  # to marketing: a consent given later stands
    _text("minor"),  # under-14 14-17 adult unknown, as it was when the date of birth was written
    _instant("adult_at", nullable=True),  # of minors alone: the beginning of a month, never the birthday itself
    _instant("time_barred_at", nullable=True),  # from when an old cancer is nobody's to ask about; nothing of it is said
    Column("deceased_on", Date, nullable=True),
    Column("obscured", ARRAY(Text), nullable=False, server_default=text("'{}'")),  # values by field@value_version
    _instant("created_at"),
    _text("entry_id"),
    key=("subject_id",),
)

caller = _table(  # the register of callers: agents, systems, officers, operators
    "caller",
    _text("caller_id"),
    Column("roles", ARRAY(Text), nullable=False),
    _text("team", nullable=True),
    Column("training", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    Column("training_until", ARRAY(DateTime(timezone=True)), nullable=False, server_default=text("'{}'")),  # null: no end
    Column("acts_for_agents", Boolean, nullable=False, server_default=text("false")),  # a system that may name an agent
    _text("recipient"),  # the party of the recipient register the caller works for
    _text("region"),  # ISO 3166-1 alpha-2, site of the desk
    _instant("valid_from"),
    _instant("valid_until", nullable=True),
    _text("entry_id"),
    key=("caller_id",),
)

ticket = _table(  # pushed by the helpdesk: references, never text
    "ticket",
    _text("ticket_id"),
    _text("system"),
    _text("subject_id"),
    _text("state"),  # open pending closed
    _text("assignee", nullable=True),
    _text("team", nullable=True),
    _text("topic", nullable=True),
    Column("fields", ARRAY(Text), nullable=False, server_default=text("'{}'")),  # an accepted request is of; none: of everything
    _instant("updated_at"),
    _text("entry_id"),
    key=("ticket_id",),
)
Index("ticket_by_subject", ticket.c.controller_id, ticket.c.subject_id, ticket.c.assignee, ticket.c.topic)

budget = _table(  # counters that survive a refusal: look-ups, revealed values, misses
    "budget",
    _text("caller_id"),  # whose counter it is: a caller, a team, a person
    _text("kind"),
    _instant("window_at"),
    Column("spent", Integer, nullable=False),
    key=("caller_id", "kind"),
)

verification = _table(  # what a person knew about themselves, to whom and on which ticket: the field, never its value
    "verification",
    _text("subject_id"),
    _text("caller_id"),
    _text("ticket_id"),
    _text("field"),
    _text("kind"),  # relation civil phrase
    _instant("tried_at"),
    _instant("valid_until", nullable=True),  # of the last match; null when there was none
    _text("entry_id"),
    key=("subject_id", "caller_id", "ticket_id", "field"),
)

break_glass = _table(  # grants that lift role and assignment for one person's named fields, for a while
    "break_glass",
    _text("subject_id"),
    _text("grant_id"),
    _text("requester"),
    _text("ticket_id"),
    _text("purpose"),
    _text("reason"),
    Column("fields", ARRAY(Text), nullable=False),
    Column("minutes", Integer, nullable=False),
    _instant("opened_at"),
    _instant("approve_by"),
    _instant("expires_at"),
    _text("approver", nullable=True),
    _instant("approved_at", nullable=True),
    _instant("review_due_at"),
    _text("reviewer", nullable=True),
    _instant("reviewed_at", nullable=True),
    _text("verdict", nullable=True),  # JUSTIFIED UNJUSTIFIED TRAINING BREACH
    Column("tell_subject", Boolean, nullable=False, server_default=text("true")),
    _text("entry_id"),
    _instant("told_at", nullable=True),  # when the person's notice went out
    key=("subject_id", "grant_id"),
)
Index("break_glass_by_id", break_glass.c.controller_id, break_glass.c.grant_id)
Index("break_glass_by_requester", break_glass.c.controller_id, break_glass.c.requester)

naming = _table(  # whose name was asked for: one agent, for a suspicion or for one report to a customer
    "naming",
    _text("naming_id"),
    _text("kind"),  # suspicion report
    _text("of_entry_id"),  # an access of theirs
    _text("subject_id"),  # whom it concerned; `-` for nobody
    _text("reference"),  # the suspicion, or the person's request
    _text("asked_by"),
    _instant("asked_at"),
    _instant("approve_by"),
    _text("approver", nullable=True),
    _instant("approved_at", nullable=True),
    _instant("lapses_at", nullable=True),
    _instant("used_at", nullable=True),  # of a report: it is one
    _text("entry_id"),
    key=("naming_id",),
)

policy_denial = _table(  # what nobody gets for a while, whatever policy says: all that is stated must be so
    "policy_denial",
    _text("denial_id"),
    _text("role", nullable=True),
    _text("caller_id", nullable=True),
    _text("purpose", nullable=True),
    _text("field", nullable=True),
    _text("class", nullable=True),
    _text("channel", nullable=True),
    _text("recipient", nullable=True),
    _instant("began_at"),
    _instant("ends_at"),
    _text("by"),
    _text("entry_id"),
    key=("denial_id",),
)
Index("policy_denial_by_end", policy_denial.c.controller_id, policy_denial.c.ends_at)

# --- what was agreed -------------------------------------------------------------------------------------------------------

template = _table(  # as people agreed to it: the files it came from are another day's files
    "template",
    _text("template_id"),
    Column("template_version", Integer, nullable=False),
    _bytes("digest"),
    _bytes("document"),  # RFC 8785; its SHA-256 is the digest
    _instant("kept_at"),
    key=("template_id", "template_version"),
)

template_text = _table(
    "template_text",
    _text("template_id"),
    Column("template_version", Integer, nullable=False),
    _text("language"),
    _bytes("sha256"),
    _bytes("text"),
    key=("template_id", "template_version", "language"),
)

agreement = _table(
    "agreement",
    _text("subject_id"),
    _text("agreement_id"),
    _text("template_id"),
    Column("template_version", Integer, nullable=False),
    _bytes("template_digest"),
    _text("text_language"),
    _bytes("text_sha256"),
    _instant("valid_from"),
    _instant("valid_until", nullable=True),
    _text("supersedes", nullable=True),
    _text("entry_id"),
    key=("subject_id", "agreement_id"),
)
Index("agreement_by_id", agreement.c.controller_id, agreement.c.agreement_id)

agreement_event = _table(
    "agreement_event",
    _text("subject_id"),
    _text("agreement_id"),
    Column("number", Integer, nullable=False),
    _text("kind"),  # requested refused given renewed narrowed withdrawn revoked invalidated ended superseded expired
    _instant("recorded_at"),
    _instant("effective_at"),
    _text("channel"),
    _text("role"),
    _text("caller_id"),
    _bytes("evidence"),  # field envelope under the subject's audit key
    Column("excluded", ARRAY(Text), nullable=False, server_default=text("'{}'")),  # names of fields, from this event on
    _text("entry_id"),
    key=("subject_id", "agreement_id", "number"),
)

agreement_state = _table(  # derived from the events; what `disclose` reads
    "agreement_state",
    _text("subject_id"),
    _text("agreement_id"),
    _text("template"),  # id@version
    _text("status"),  # in_force withdrawn superseded ended
    _text("consent"),  # valid withdrawn expired none (the basis is not consent)
    Column("excluded", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    _instant("valid_from"),
    _instant("valid_until", nullable=True),
    _text("entry_id"),
    key=("subject_id", "agreement_id"),
)

# --- the values, sealed ----------------------------------------------------------------------------------------------------

profile_frame = _table(
    "profile_frame",
    _text("subject_id"),
    _text("class"),
    Column("generation", BigInteger, nullable=False),
    _bytes("frame"),
    _text("entry_id"),
    key=("subject_id", "class", "generation"),  # one is current; another may be archived beside it
)

field_history = _table(
    "field_history",
    _text("subject_id"),
    _text("class"),
    _text("field"),
    Column("value_version", BigInteger, nullable=False),
    Column("generation", BigInteger, nullable=False),
    _text("agreement_id"),
    _bytes("envelope"),
    _instant("at"),
    _text("entry_id"),
    key=("subject_id", "class", "field", "value_version"),
)

stored_answer = _table(  # idempotency: answers hold ids only
    "stored_answer",
    _bytes("request_key"),  # HMAC of caller and Idempotency-Key
    _bytes("request_digest"),  # HMAC of method, path and body
    Column("status", SmallInteger, nullable=True),  # null while in flight
    Column("answer", JSONB, nullable=True),
    _text("subject_id", nullable=True),
    _instant("expires_at"),
    key=("request_key",),
)

import_line = _table(  # tells a line imported before from a changed one without opening anything; goes with the subject
    "import_line",
    _text("subject_id"),
    Column("digest_version", Integer, nullable=False),  # of the index secret under which the digest was made
    _bytes("digest"),  # HMAC of the normalised line
    _bytes("file_sha256"),
    Column("line", BigInteger, nullable=False),  # where the customer stood in the last file that named them
    _text("entry_id"),
    key=("subject_id",),
)

event = _table(  # the outbox: facts for the outside, ids only
    "event",
    _text("event_id"),
    _text("name"),  # noun:fact
    Column("data", JSONB, nullable=False),
    _instant("at"),
    _instant("sent_at", nullable=True),
    _text("entry_id"),
    key=("event_id",),
)
Index(
    "event_to_tell",  # of the many facts the few that recipients hear of, until they do
    event.c.controller_id,
    event.c.at,
    postgresql_where=text(
        "sent_at IS NULL AND name IN ('subject:amended', 'subject:restricted', 'subject:unrestricted', 'agreement:withdrawn',"
        " 'agreement:narrowed', 'class:emptied')"
    ),
)
Index(
    "event_of_writing",  # what a person's values were written by
    event.c.controller_id,
    event.c.data["subject_id"].astext,
    event.c.at,
    postgresql_where=text("name IN ('subject:amended', 'subject:enrolled')"),
)

# --- policy: insert-only, kept as long as the entries that name it ----------------------------------------------------------

policy_bundle = _table(
    "policy_bundle",
    _text("digest"),  # sha256:<hex>, of what the archive holds
    _bytes("archive"),
    _instant("kept_at"),
    key=("digest",),
)

policy_activation = _table(  # compared with the entries `policy:activated` of the trail, which says the same
    "policy_activation",
    Column("sequence", BigInteger, nullable=False),
    _text("digest"),
    _text("previous", nullable=True),
    _text("note", nullable=True),  # signed by two people; null for the bundle a controller began with
    _instant("activated_at"),
    _text("entry_id"),
    Column("secret_version", Integer, nullable=False),  # of the controller's secret `settings`
    _bytes("mac"),
    key=("sequence",),
)

# --- review: what officers wrote about entries, and filters they keep ------------------------------------------------------------

review_remark = _table(  # insert-only; a note's words are sealed in the entry `review_id`, never here
    "review_remark",
    _text("entry_id"),  # of the entry that is reviewed
    Column("number", Integer, nullable=False),
    _text("review_id"),  # the entry that recorded it
    _text("by"),
    _instant("at"),
    _text("state", nullable=True),  # open in-review closed
    _text("verdict", nullable=True),  # of a closed one: justified unjustified training breach false-alarm
    key=("entry_id", "number"),
)

review_filter = _table(  # labels stand for callers and tickets
    "review_filter",
    _text("name"),
    _text("owner"),
    _text("filter"),  # canonical JSON
    _instant("saved_at"),
    _text("entry_id"),
    key=("name",),
)

# --- how rows lie in their pages: set by migrations, compared by their tests -------------------------------------------------

OPTIONS = {
    "audit_pending": {  # comes and goes by the thousand; whole in its pages, for ciphertext does not compress
        "toast_tuple_target": "8160",
        "vacuum_truncate": "false",
        "autovacuum_vacuum_scale_factor": "0",
        "autovacuum_vacuum_threshold": "2000",
        "autovacuum_vacuum_insert_threshold": "-1",
        "autovacuum_vacuum_cost_delay": "0",
        "autovacuum_analyze_threshold": "2000000000",
    },
    "audit_subject_head": {"fillfactor": "70"},  # each entry moves one: room for that in the page spares the index
}
UNCOMPRESSED = {("audit_pending", "leaf"), ("audit_pending", "sealed"), ("audit_detail", "sealed")}  # STORAGE EXTERNAL
