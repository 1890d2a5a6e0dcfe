"""The vault: every table, forced row-level security, rights by role. No rows exist before it."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None

SEALED_TABLES = ("agreement", "agreement_event")  # insert-only: not even the application may change what was agreed
APPEND_ONLY = ("audit_entry", "audit_checkpoint", *SEALED_TABLES)
READ = "GRANT SELECT ON {} TO riserbo_app"
APP_WRITES = {
    "vault.controller": "SELECT, INSERT",
    "vault.subject": "SELECT, INSERT, UPDATE",
    "vault.caller": "SELECT, INSERT, UPDATE",
    "vault.ticket": "SELECT, INSERT, UPDATE",
    "vault.budget": "SELECT, INSERT, UPDATE",
    "vault.agreement": "SELECT, INSERT",
    "vault.agreement_event": "SELECT, INSERT",
    "vault.agreement_state": "SELECT, INSERT, UPDATE",
    "vault.profile_frame": "SELECT, INSERT, UPDATE, DELETE",
    "vault.field_history": "SELECT, INSERT, DELETE",
    "vault.stored_answer": "SELECT, INSERT, UPDATE, DELETE",
    "vault.event": "SELECT, INSERT, UPDATE",
    "vault.import_line": "SELECT, INSERT, UPDATE, DELETE",
    "keys.controller_key": "SELECT, INSERT, UPDATE",
    "keys.controller_secret": "SELECT, INSERT, UPDATE",
    "keys.data_key": "SELECT, INSERT, UPDATE, DELETE",
    "keys.data_key_wrap": "SELECT, INSERT, DELETE",
    "keys.subject_audit_key": "SELECT, INSERT",
    "keys.blind_index": "SELECT, INSERT, DELETE",
    "keys.token": "SELECT, INSERT, UPDATE, DELETE",
    "vault.audit_pending": "INSERT",
    "vault.audit_subject_head": "SELECT, INSERT, UPDATE",
    "vault.audit_entry": "SELECT",
    "vault.audit_detail": "SELECT",
    "vault.audit_lookup": "SELECT",
    "vault.audit_writer": "SELECT",
    "vault.audit_head": "SELECT, INSERT",
    "vault.audit_tile": "SELECT",
    "vault.audit_checkpoint": "SELECT",
    "vault.audit_daily": "SELECT",
    "vault.audit_rejected": "SELECT",
}
SEQUENCER_WRITES = {
    "vault.controller": "SELECT",
    "vault.audit_pending": "SELECT, DELETE",
    "vault.audit_entry": "SELECT, INSERT",
    "vault.audit_detail": "SELECT, INSERT",
    "vault.audit_lookup": "SELECT, INSERT",
    "vault.audit_rejected": "SELECT, INSERT",
    "vault.audit_tile": "SELECT, INSERT, UPDATE",
    "vault.audit_head": "SELECT, INSERT, UPDATE",
    "vault.audit_writer": "SELECT, INSERT, UPDATE",
    "vault.audit_checkpoint": "SELECT",
    "vault.audit_daily": "SELECT, INSERT, UPDATE",
}
SIGNER_WRITES = {
    "vault.controller": "SELECT",
    "vault.audit_entry": "SELECT",
    "vault.audit_head": "SELECT",
    "vault.audit_tile": "SELECT",
    "vault.audit_checkpoint": "SELECT, INSERT",
}


def upgrade() -> None:
    """Create everything."""
    for name, create in TABLES.items():
        create()
        _secure(name)
    for schema in ("vault", "keys"):
        op.execute(f"GRANT USAGE ON SCHEMA {schema} TO riserbo_app")
    op.execute("GRANT USAGE ON SCHEMA vault TO riserbo_sequencer, riserbo_signer")
    for role, rights in (("riserbo_app", APP_WRITES), ("riserbo_sequencer", SEQUENCER_WRITES), ("riserbo_signer", SIGNER_WRITES)):
        for table_name, verbs in rights.items():
            op.execute(f"GRANT {verbs} ON {table_name} TO {role}")
    op.execute("GRANT SELECT (controller_id, writer_id, number, at) ON vault.audit_pending TO riserbo_app")
    op.execute("GRANT SELECT ON vault.migration TO riserbo_app")
    op.execute("GRANT SELECT (controller_id, writer_id, number, at) ON vault.audit_pending TO riserbo_signer")
    _refuse_changes()


def _secure(table: str) -> None:
    own = "controller_id = current_setting('riserbo.controller', true)"
    reading = f"{own} OR current_setting('riserbo.controller', true) = '*'" if table == "vault.controller" else own
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY own_rows ON {table} USING ({reading}) WITH CHECK ({own})")


def _refuse_changes() -> None:
    op.execute("""
        CREATE FUNCTION vault.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'append-only' USING ERRCODE = '55000'; END $$""")
    for name in APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON vault.{name}"
            " FOR EACH ROW EXECUTE FUNCTION vault.refuse_change()"
        )
        op.execute(
            f"CREATE TRIGGER not_emptied BEFORE TRUNCATE ON vault.{name} FOR EACH STATEMENT EXECUTE FUNCTION vault.refuse_change()"
        )


def downgrade() -> None:
    """Remove everything, rows included."""
    for name in TABLES:
        op.execute(f"DROP TABLE {name}")
    op.execute("DROP FUNCTION vault.refuse_change()")


# --- begin tables
def _blind_index() -> None:
    op.create_table(
        "blind_index",
        sa.Column("controller_id", sa.Text(), nullable=False),
        sa.Column("index_name", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("bidx", sa.LargeBinary(), nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("controller_id", "index_name", "version", "bidx", "subject_id", name="blind_index_pkey"),
        schema="keys",
    )
    op.create_index("blind_index_by_subject", "blind_index", ["controller_id", "subject_id"], unique=False, schema="keys")


def _controller_key() -> None:
    op.create_table(
        "controller_key",
        sa.Column("controller_id", sa.Text(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("blob", sa.LargeBinary(), nullable=False),
        sa.Column("commit", sa.LargeBinary(), nullable=False),
        sa.Column("wraps_reserved", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("controller_id", "epoch", name="controller_key_pkey"),
        schema="keys",
    )


def _controller_secret() -> None:
    op.create_table(
        "controller_secret",
        sa.Column("controller_id", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("wrap", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("controller_id", "purpose", "version", name="controller_secret_pkey"),
        schema="keys",
    )


def _data_key() -> None:
    op.create_table(
        "data_key",
        sa.Column("controller_id", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.Column("class", sa.Text(), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("data_key_id", sa.Text(), nullable=False),
        sa.Column("commit", sa.LargeBinary(), nullable=False),
        sa.Column("manifest", sa.LargeBinary(), nullable=False),
        sa.Column("seals", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("controller_id", "subject_id", "class", "generation", name="data_key_pkey"),
        schema="keys",
    )


def _data_key_wrap() -> None:
    op.create_table(
        "data_key_wrap",
        sa.Column("controller_id", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.Column("class", sa.Text(), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("holder_kind", sa.Text(), nullable=False),
        sa.Column("holder_id", sa.Text(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("wrap", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint(
            "controller_id", "subject_id", "class", "generation", "holder_kind", "holder_id", "epoch", name="data_key_wrap_pkey"
        ),
        schema="keys",
    )


def _subject_audit_key() -> None:
    op.create_table(
        "subject_audit_key",
        sa.Column("controller_id", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("wrap", sa.LargeBinary(), nullable=False),
        sa.Column("shred_after", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("controller_id", "subject_id", "epoch", name="subject_audit_key_pkey"),
        schema="keys",
    )


def _token() -> None:
    op.create_table(
        "token",
        sa.Column("controller_id", sa.Text(), nullable=False),
        sa.Column("token_id", sa.LargeBinary(), nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.Column("field", sa.Text(), nullable=False),
        sa.Column("recipient", sa.Text(), nullable=False),
        sa.Column("agreement_id", sa.Text(), nullable=False),
        sa.Column("serial", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("controller_id", "token_id", "subject_id", name="token_pkey"),
        schema="keys",
    )
    op.create_index("token_by_subject", "token", ["controller_id", "subject_id", "field", "recipient"], unique=False, schema="keys")


def _agreement() -> None:
    op.create_table(
        "agreement",
        sa.Column("controller_id", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.Column("agreement_id", sa.Text(), nullable=False),
        sa.Column("template_id", sa.Text(), nullable=False),
        sa.Column("template_version", sa.Integer(), nullable=False),
        sa.Column("template_digest", sa.LargeBinary(), nullable=False),
        sa.Column("text_language", sa.Text(), nullable=False),
        sa.Column("text_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("valid_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("valid_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("supersedes", sa.Text(), nullable=True),
        sa.Column("entry_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("controller_id", "subject_id", "agreement_id", name="agreement_pkey"),
        schema="vault",
    )
    op.create_index("agreement_by_id", "agreement", ["controller_id", "agreement_id"], unique=False, schema="vault")


def _agreement_event() -> None:
    op.create_table(
        "agreement_event",
        sa.Column("controller_id", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.Column("agreement_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("effective_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("caller_id", sa.Text(), nullable=False),
        sa.Column("evidence", sa.LargeBinary(), nullable=False),
        sa.Column("entry_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("controller_id", "subject_id", "agreement_id", "number", name="agreement_event_pkey"),
        schema="vault",
    )


def _agreement_state() -> None:
    op.create_table(
        "agreement_state",
        sa.Column("controller_id", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.Column("agreement_id", sa.Text(), nullable=False),
        sa.Column("template", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("consent", sa.Text(), nullable=False),
        sa.Column("excluded", sa.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("valid_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("valid_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("entry_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("controller_id", "subject_id", "agreement_id", name="agreement_state_pkey"),
        schema="vault",
    )


def _audit_checkpoint() -> None:
    op.create_table(
        "audit_checkpoint",
        sa.Column("controller_id", sa.Text(), nullable=False),
        sa.Column("era", sa.Integer(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("signed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("controller_id", "era", "size", name="audit_checkpoint_pkey"),
        schema="vault",
    )


def _audit_daily() -> None:
    op.create_table(
        "audit_daily",
        sa.Column("controller_id", sa.Text(), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("operation", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("recipient", sa.Text(), nullable=False),
        sa.Column("caller_id", sa.Text(), nullable=False),
        sa.Column("entries", sa.BigInteger(), nullable=False),
        sa.Column("clear_values", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "controller_id", "day", "operation", "outcome", "purpose", "recipient", "caller_id", name="audit_daily_pkey"
        ),
        schema="vault",
    )


def _audit_detail() -> None:
    op.create_table(
        "audit_detail",
        sa.Column("controller_id", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.Column("era", sa.Integer(), nullable=False),
        sa.Column("entry_id", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("chain_number", sa.BigInteger(), nullable=False),
        sa.Column("chain_previous", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("controller_id", "at", "position", "subject_id", name="audit_detail_pkey"),
        schema="vault",
    )


def _audit_entry() -> None:
    op.create_table(
        "audit_entry",
        sa.Column("controller_id", sa.Text(), nullable=False),
        sa.Column("era", sa.Integer(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("leaf", sa.LargeBinary(), nullable=False),
        sa.Column("leaf_hash", sa.LargeBinary(), nullable=False),
        sa.Column("mac", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("controller_id", "era", "position", name="audit_entry_pkey"),
        schema="vault",
    )


def _audit_head() -> None:
    op.create_table(
        "audit_head",
        sa.Column("controller_id", sa.Text(), nullable=False),
        sa.Column("era", sa.Integer(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("controller_id", name="audit_head_pkey"),
        schema="vault",
    )


def _audit_lookup() -> None:
    op.create_table(
        "audit_lookup",
        sa.Column("controller_id", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.Column("era", sa.Integer(), nullable=False),
        sa.Column("entry_id", sa.Text(), nullable=True),
        sa.Column("stream", sa.Text(), nullable=True),
        sa.Column("operation", sa.Text(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=True),
        sa.Column("caller_id", sa.Text(), nullable=True),
        sa.Column("roles", sa.ARRAY(sa.Text()), nullable=True),
        sa.Column("team", sa.Text(), nullable=True),
        sa.Column("recipient", sa.Text(), nullable=True),
        sa.Column("purpose", sa.Text(), nullable=True),
        sa.Column("channel", sa.Text(), nullable=True),
        sa.Column("ticket", sa.LargeBinary(), nullable=True),
        sa.Column("station", sa.LargeBinary(), nullable=True),
        sa.Column("ticket_state", sa.Text(), nullable=True),
        sa.Column("classes", sa.ARRAY(sa.Text()), nullable=True),
        sa.Column("clear_classes", sa.ARRAY(sa.Text()), nullable=True),
        sa.Column("clear_count", sa.Integer(), nullable=True),
        sa.Column("flags", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("controller_id", "at", "position", "subject_id", name="audit_lookup_pkey"),
        schema="vault",
    )
    op.create_index(
        "audit_lookup_by_caller",
        "audit_lookup",
        ["controller_id", "caller_id", sa.literal_column("at DESC"), sa.literal_column("position DESC")],
        unique=False,
        schema="vault",
    )
    op.create_index("audit_lookup_by_entry", "audit_lookup", ["controller_id", "entry_id"], unique=False, schema="vault")
    op.create_index(
        "audit_lookup_by_subject",
        "audit_lookup",
        ["controller_id", "subject_id", sa.literal_column("at DESC"), sa.literal_column("position DESC")],
        unique=False,
        schema="vault",
    )


def _audit_pending() -> None:
    op.create_table(
        "audit_pending",
        sa.Column("controller_id", sa.Text(), nullable=False),
        sa.Column("writer_id", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("leaf", sa.LargeBinary(), nullable=False),
        sa.Column("mac", sa.LargeBinary(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.Column("chain_number", sa.BigInteger(), nullable=False),
        sa.Column("chain_previous", sa.LargeBinary(), nullable=False),
        sa.Column("entry_id", sa.Text(), nullable=True),
        sa.Column("stream", sa.Text(), nullable=True),
        sa.Column("operation", sa.Text(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=True),
        sa.Column("caller_id", sa.Text(), nullable=True),
        sa.Column("roles", sa.ARRAY(sa.Text()), nullable=True),
        sa.Column("team", sa.Text(), nullable=True),
        sa.Column("recipient", sa.Text(), nullable=True),
        sa.Column("purpose", sa.Text(), nullable=True),
        sa.Column("channel", sa.Text(), nullable=True),
        sa.Column("ticket", sa.LargeBinary(), nullable=True),
        sa.Column("station", sa.LargeBinary(), nullable=True),
        sa.Column("ticket_state", sa.Text(), nullable=True),
        sa.Column("classes", sa.ARRAY(sa.Text()), nullable=True),
        sa.Column("clear_classes", sa.ARRAY(sa.Text()), nullable=True),
        sa.Column("clear_count", sa.Integer(), nullable=True),
        sa.Column("flags", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("controller_id", "writer_id", "number", name="audit_pending_pkey"),
        schema="vault",
    )


def _audit_rejected() -> None:
    op.create_table(
        "audit_rejected",
        sa.Column("controller_id", sa.Text(), nullable=False),
        sa.Column("writer_id", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("leaf", sa.LargeBinary(), nullable=False),
        sa.Column("mac", sa.LargeBinary(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("controller_id", "writer_id", "number", name="audit_rejected_pkey"),
        schema="vault",
    )


def _audit_subject_head() -> None:
    op.create_table(
        "audit_subject_head",
        sa.Column("controller_id", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("era", sa.Integer(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("tag", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("controller_id", "subject_id", "stream", name="audit_subject_head_pkey"),
        schema="vault",
    )


def _audit_tile() -> None:
    op.create_table(
        "audit_tile",
        sa.Column("controller_id", sa.Text(), nullable=False),
        sa.Column("era", sa.Integer(), nullable=False),
        sa.Column("level", sa.SmallInteger(), nullable=False),
        sa.Column("idx", sa.BigInteger(), nullable=False),
        sa.Column("hashes", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("controller_id", "era", "level", "idx", name="audit_tile_pkey"),
        schema="vault",
    )


def _audit_writer() -> None:
    op.create_table(
        "audit_writer",
        sa.Column("controller_id", sa.Text(), nullable=False),
        sa.Column("writer_id", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("leaf_hash", sa.LargeBinary(), nullable=False),
        sa.Column("mac_key", sa.Integer(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("controller_id", "writer_id", name="audit_writer_pkey"),
        schema="vault",
    )


def _budget() -> None:
    op.create_table(
        "budget",
        sa.Column("controller_id", sa.Text(), nullable=False),
        sa.Column("caller_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("window_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("spent", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("controller_id", "caller_id", "kind", name="budget_pkey"),
        schema="vault",
    )


def _caller() -> None:
    op.create_table(
        "caller",
        sa.Column("controller_id", sa.Text(), nullable=False),
        sa.Column("caller_id", sa.Text(), nullable=False),
        sa.Column("roles", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("team", sa.Text(), nullable=True),
        sa.Column("training", sa.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("recipient", sa.Text(), nullable=False),
        sa.Column("region", sa.Text(), nullable=False),
        sa.Column("valid_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("valid_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("entry_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("controller_id", "caller_id", name="caller_pkey"),
        schema="vault",
    )


def _controller() -> None:
    op.create_table(
        "controller",
        sa.Column("controller_id", sa.Text(), nullable=False),
        sa.Column("zone", sa.Text(), nullable=False),
        sa.Column("languages", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("controller_id", name="controller_pkey"),
        schema="vault",
    )


def _event() -> None:
    op.create_table(
        "event",
        sa.Column("controller_id", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("data", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("entry_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("controller_id", "event_id", name="event_pkey"),
        schema="vault",
    )


def _field_history() -> None:
    op.create_table(
        "field_history",
        sa.Column("controller_id", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.Column("class", sa.Text(), nullable=False),
        sa.Column("field", sa.Text(), nullable=False),
        sa.Column("value_version", sa.BigInteger(), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("agreement_id", sa.Text(), nullable=False),
        sa.Column("envelope", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("entry_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("controller_id", "subject_id", "class", "field", "value_version", name="field_history_pkey"),
        schema="vault",
    )


def _import_line() -> None:
    op.create_table(
        "import_line",
        sa.Column("controller_id", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.Column("digest_version", sa.Integer(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("file_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("line", sa.BigInteger(), nullable=False),
        sa.Column("entry_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("controller_id", "subject_id", name="import_line_pkey"),
        schema="vault",
    )


def _profile_frame() -> None:
    op.create_table(
        "profile_frame",
        sa.Column("controller_id", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.Column("class", sa.Text(), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("frame", sa.LargeBinary(), nullable=False),
        sa.Column("entry_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("controller_id", "subject_id", "class", name="profile_frame_pkey"),
        schema="vault",
    )


def _stored_answer() -> None:
    op.create_table(
        "stored_answer",
        sa.Column("controller_id", sa.Text(), nullable=False),
        sa.Column("request_key", sa.LargeBinary(), nullable=False),
        sa.Column("request_digest", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=True),
        sa.Column("answer", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("subject_id", sa.Text(), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("controller_id", "request_key", name="stored_answer_pkey"),
        schema="vault",
    )


def _subject() -> None:
    op.create_table(
        "subject",
        sa.Column("controller_id", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("restricted", sa.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("restricted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("objected", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("objected_marketing", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("objected_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("minor", sa.Text(), nullable=False),
        sa.Column("time_barred", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("entry_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("controller_id", "subject_id", name="subject_pkey"),
        schema="vault",
    )


def _ticket() -> None:
    op.create_table(
        "ticket",
        sa.Column("controller_id", sa.Text(), nullable=False),
        sa.Column("ticket_id", sa.Text(), nullable=False),
        sa.Column("system", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("assignee", sa.Text(), nullable=True),
        sa.Column("team", sa.Text(), nullable=True),
        sa.Column("topic", sa.Text(), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("entry_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("controller_id", "ticket_id", name="ticket_pkey"),
        schema="vault",
    )
    op.create_index(
        "ticket_by_subject", "ticket", ["controller_id", "subject_id", "assignee", "topic"], unique=False, schema="vault"
    )


TABLES = {  # by name: what creates it, as it was at this version
    "keys.blind_index": _blind_index,
    "keys.controller_key": _controller_key,
    "keys.controller_secret": _controller_secret,
    "keys.data_key": _data_key,
    "keys.data_key_wrap": _data_key_wrap,
    "keys.subject_audit_key": _subject_audit_key,
    "keys.token": _token,
    "vault.agreement": _agreement,
    "vault.agreement_event": _agreement_event,
    "vault.agreement_state": _agreement_state,
    "vault.audit_checkpoint": _audit_checkpoint,
    "vault.audit_daily": _audit_daily,
    "vault.audit_detail": _audit_detail,
    "vault.audit_entry": _audit_entry,
    "vault.audit_head": _audit_head,
    "vault.audit_lookup": _audit_lookup,
    "vault.audit_pending": _audit_pending,
    "vault.audit_rejected": _audit_rejected,
    "vault.audit_subject_head": _audit_subject_head,
    "vault.audit_tile": _audit_tile,
    "vault.audit_writer": _audit_writer,
    "vault.budget": _budget,
    "vault.caller": _caller,
    "vault.controller": _controller,
    "vault.event": _event,
    "vault.field_history": _field_history,
    "vault.import_line": _import_line,
    "vault.profile_frame": _profile_frame,
    "vault.stored_answer": _stored_answer,
    "vault.subject": _subject,
    "vault.ticket": _ticket,
}
# --- end tables
