"""The vault: every table, forced row-level security, rights by role. No rows exist before it."""

import sqlalchemy as sa
from alembic import op

from vault.tables import metadata

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
    connection = op.get_bind()
    metadata.create_all(connection)
    for table in metadata.sorted_tables:
        _secure(f"{table.schema}.{table.name}", table.name)
    for schema in ("vault", "keys"):
        op.execute(f"GRANT USAGE ON SCHEMA {schema} TO riserbo_app")
    op.execute("GRANT USAGE ON SCHEMA vault TO riserbo_sequencer, riserbo_signer")
    for role, rights in (("riserbo_app", APP_WRITES), ("riserbo_sequencer", SEQUENCER_WRITES), ("riserbo_signer", SIGNER_WRITES)):
        for table_name, verbs in rights.items():
            if sa.inspect(connection).has_table(table_name.split(".")[1], schema=table_name.split(".")[0]):
                op.execute(f"GRANT {verbs} ON {table_name} TO {role}")
    op.execute("GRANT SELECT (controller_id, writer_id, number, at) ON vault.audit_pending TO riserbo_app")
    op.execute("GRANT SELECT ON vault.migration TO riserbo_app")
    op.execute("GRANT SELECT (controller_id, writer_id, number, at) ON vault.audit_pending TO riserbo_signer")
    _refuse_changes()


def _secure(table: str, name: str) -> None:
    own = "controller_id = current_setting('riserbo.controller', true)"
    reading = f"{own} OR current_setting('riserbo.controller', true) = '*'" if name == "controller" else own
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY own_rows ON {table} USING ({reading}) WITH CHECK ({own})")


def _refuse_changes() -> None:
    op.execute("""
        CREATE FUNCTION vault.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'append-only' USING ERRCODE = '55000'; END $$""")
    for name in APPEND_ONLY:
        op.execute(f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON vault.{name} FOR EACH ROW EXECUTE FUNCTION vault.refuse_change()")
        op.execute(f"CREATE TRIGGER not_emptied BEFORE TRUNCATE ON vault.{name} FOR EACH STATEMENT EXECUTE FUNCTION vault.refuse_change()")


def downgrade() -> None:
    """Remove everything, rows included."""
    metadata.drop_all(op.get_bind())
    op.execute("DROP FUNCTION vault.refuse_change()")
