"""Which era a writer wrote in, where its last entry lies, and what witnesses signed.

Writers there before are of the first era, for there was no other; where their last entry lies is not known.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Add the columns; create the table, secured as all are, insert-only."""
    op.add_column("audit_writer", sa.Column("era", sa.Integer(), nullable=False, server_default="1"), schema="vault")
    op.alter_column("audit_writer", "era", server_default=None, schema="vault")
    op.add_column("audit_writer", sa.Column("position", sa.BigInteger(), nullable=True), schema="vault")
    op.create_table(
        "audit_witnessed",
        sa.Column("controller_id", sa.Text(), nullable=False),
        sa.Column("era", sa.Integer(), nullable=False),
        sa.Column("seconds", sa.BigInteger(), nullable=False),
        sa.Column("witness", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("line", sa.Text(), nullable=False),
        sa.Column("entry_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("controller_id", "era", "seconds", "witness", name="audit_witnessed_pkey"),
        schema="vault",
    )
    own = "controller_id = current_setting('riserbo.controller', true)"
    op.execute("ALTER TABLE vault.audit_witnessed ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE vault.audit_witnessed FORCE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY own_rows ON vault.audit_witnessed USING ({own}) WITH CHECK ({own})")
    op.execute("GRANT SELECT, INSERT ON vault.audit_witnessed TO riserbo_app")
    op.execute("GRANT SELECT ON vault.audit_witnessed TO riserbo_sequencer, riserbo_signer")
    for name, event in (("append_only", "UPDATE OR DELETE"), ("not_emptied", "TRUNCATE")):
        each = "ROW" if name == "append_only" else "STATEMENT"
        op.execute(
            f"CREATE TRIGGER {name} BEFORE {event} ON vault.audit_witnessed FOR EACH {each} EXECUTE FUNCTION vault.refuse_change()"
        )


def downgrade() -> None:
    """Remove all of it, rows included."""
    op.execute("DROP TABLE vault.audit_witnessed")
    op.drop_column("audit_writer", "position", schema="vault")
    op.drop_column("audit_writer", "era", schema="vault")
