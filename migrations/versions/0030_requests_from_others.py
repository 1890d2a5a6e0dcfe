"""Requests that others send by OpenDSR: which request each became, and by what it is known again. No rows before it."""

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0028"

INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create the table, secured as all are."""
    op.create_table(
        "dsr_request",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("controller_id", "recipient_id", "asked_id", "kind")),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("secret_version", sa.Integer(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("received_at", INSTANT, nullable=False),
        sa.Column("expected_at", INSTANT, nullable=False),
        sa.Column("cancelled_at", INSTANT, nullable=True),
        sa.Column("entry_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("controller_id", "recipient_id", "asked_id", name="dsr_request_pkey"),
        schema="vault",
    )
    own = "controller_id = current_setting('riserbo.controller', true)"
    op.execute("ALTER TABLE vault.dsr_request ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE vault.dsr_request FORCE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY own_rows ON vault.dsr_request USING ({own}) WITH CHECK ({own})")
    op.execute("GRANT SELECT, INSERT, UPDATE ON vault.dsr_request TO riserbo_app")


def downgrade() -> None:
    """Remove it. The requests stay; whoever sent them is told of none."""
    op.execute("DROP TABLE vault.dsr_request")
