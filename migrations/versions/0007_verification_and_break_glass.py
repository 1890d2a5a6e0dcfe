"""What people proved on a ticket. No rows exist before it."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0003"

APP_WRITES = {"vault.verification": "SELECT, INSERT, UPDATE"}


def upgrade() -> None:
    """Create the tables, secured as all are."""
    for name, create in TABLES.items():
        create()
        own = "controller_id = current_setting('riserbo.controller', true)"
        op.execute(f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {name} FORCE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY own_rows ON {name} USING ({own}) WITH CHECK ({own})")
        op.execute(f"GRANT {APP_WRITES[name]} ON {name} TO riserbo_app")


def downgrade() -> None:
    """Remove them, rows included."""
    for name in TABLES:
        op.execute(f"DROP TABLE {name}")


def _verification() -> None:
    op.create_table(
        "verification",
        sa.Column("controller_id", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.Column("caller_id", sa.Text(), nullable=False),
        sa.Column("ticket_id", sa.Text(), nullable=False),
        sa.Column("field", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("tried_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("valid_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("entry_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("controller_id", "subject_id", "caller_id", "ticket_id", "field", name="verification_pkey"),
        schema="vault",
    )


TABLES = {"vault.verification": _verification}
