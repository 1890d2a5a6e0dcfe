"""One-time codes to contacts on record. No rows before it: none was sent."""

import sqlalchemy as sa
from alembic import op

revision = "0034"
down_revision = "0033"

INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create the table, secured as all are."""
    op.create_table(
        "one_time_code",
        *(
            sa.Column(name, sa.Text(), nullable=False)
            for name in ("controller_id", "code_id", "request_id", "subject_id", "through")
        ),
        sa.Column("value_version", sa.BigInteger(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("kept", sa.LargeBinary(), nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("asked_at", INSTANT, nullable=False),
        sa.Column("asked_by", sa.Text(), nullable=False),
        sa.Column("expires_at", INSTANT, nullable=False),
        sa.Column("entry_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("controller_id", "code_id", name="one_time_code_pkey"),
        schema="vault",
    )
    live = sa.text("state IN ('waiting', 'sent')")
    op.create_index(
        "one_time_code_live", "one_time_code", ["controller_id", "request_id"], schema="vault", unique=True, postgresql_where=live
    )
    own = "controller_id = current_setting('riserbo.controller', true)"
    op.execute("ALTER TABLE vault.one_time_code ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE vault.one_time_code FORCE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY own_rows ON vault.one_time_code USING ({own}) WITH CHECK ({own})")
    op.execute("GRANT SELECT, INSERT, UPDATE ON vault.one_time_code TO riserbo_app")


def downgrade() -> None:
    """Remove it. A code that was sent proves nothing any more."""
    op.execute("DROP TABLE vault.one_time_code")
