"""What people forbid for after their death. No rows before it."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0033"
down_revision = "0032"


def upgrade() -> None:
    """Create the table, secured as all are; rows are added and never changed."""
    op.create_table(
        "prohibition",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("controller_id", "subject_id")),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("rights", ARRAY(sa.Text()), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("recorded_by", "entry_id")),
        sa.PrimaryKeyConstraint("controller_id", "subject_id", "number", name="prohibition_pkey"),
        schema="vault",
    )
    own = "controller_id = current_setting('riserbo.controller', true)"
    op.execute("ALTER TABLE vault.prohibition ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE vault.prohibition FORCE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY own_rows ON vault.prohibition USING ({own}) WITH CHECK ({own})")
    op.execute("GRANT SELECT, INSERT ON vault.prohibition TO riserbo_app")
    changing, emptying = "BEFORE UPDATE OR DELETE ON vault.prohibition FOR EACH ROW", "BEFORE TRUNCATE ON vault.prohibition"
    op.execute(f"CREATE TRIGGER append_only {changing} EXECUTE FUNCTION vault.refuse_change()")
    op.execute(f"CREATE TRIGGER not_emptied {emptying} FOR EACH STATEMENT EXECUTE FUNCTION vault.refuse_change()")


def downgrade() -> None:
    """Remove it, with what people forbade."""
    op.execute("DROP TABLE vault.prohibition")
