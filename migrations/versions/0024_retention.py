"""Runs of retention: what a night removed, and what waits for somebody.

No rows before it: what was over by then is found by the first run.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0024"
down_revision = "0023"

INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create the table, secured as all are."""
    op.create_table(
        "retention_run",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("controller_id", "run_id")),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in ("people", "due", "removed")),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("rules", JSONB(), nullable=False),
        sa.Column("approved_by", sa.Text(), nullable=True),
        sa.Column("approved_at", INSTANT, nullable=True),
        sa.Column("entry_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("controller_id", "run_id", name="retention_run_pkey"),
        schema="vault",
    )
    own = "controller_id = current_setting('riserbo.controller', true)"
    op.execute("ALTER TABLE vault.retention_run ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE vault.retention_run FORCE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY own_rows ON vault.retention_run USING ({own}) WITH CHECK ({own})")
    op.execute("GRANT SELECT, INSERT, UPDATE ON vault.retention_run TO riserbo_app")


def downgrade() -> None:
    """Remove it."""
    op.execute("DROP TABLE vault.retention_run")
