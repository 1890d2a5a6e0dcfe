"""Whose name was asked for, by whom, and who approved it; nobody had been named before. Existing rows are not touched."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Create the table, secured as all are. What was asked stays as it was asked; only approval and use are filled in."""
    op.create_table(
        "naming",
        sa.Column("controller_id", sa.Text(), nullable=False),
        sa.Column("naming_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("of_entry_id", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("asked_by", sa.Text(), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("approve_by", sa.DateTime(timezone=True), nullable=False),
        sa.Column("approver", sa.Text(), nullable=True),
        sa.Column("approved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lapses_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("entry_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("controller_id", "naming_id", name="naming_pkey"),
        sa.CheckConstraint("approver <> asked_by", name="naming_by_two"),
        sa.CheckConstraint("approved_at <= asked_at + interval '24 hours'", name="naming_in_time"),
        sa.CheckConstraint("lapses_at <= approved_at + interval '7 days'", name="naming_lapses"),
        schema="vault",
    )
    own = "controller_id = current_setting('riserbo.controller', true)"
    op.execute("ALTER TABLE vault.naming ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE vault.naming FORCE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY own_rows ON vault.naming USING ({own}) WITH CHECK ({own})")
    op.execute("GRANT SELECT, INSERT ON vault.naming TO riserbo_app")
    op.execute("GRANT UPDATE (approver, approved_at, lapses_at, used_at) ON vault.naming TO riserbo_app")


def downgrade() -> None:
    """Remove it, rows included: nothing that was asked for can then be approved or looked at."""
    op.execute("DROP TABLE vault.naming")
