"""What people proved on a ticket; grants of break-glass, which nobody approves or reviews for themselves. No rows before it."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

APP_WRITES = {"vault.verification": "SELECT, INSERT, UPDATE", "vault.break_glass": "SELECT, INSERT, UPDATE"}


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


def _break_glass() -> None:
    op.create_table(
        "break_glass",
        sa.Column("controller_id", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.Column("grant_id", sa.Text(), nullable=False),
        sa.Column("requester", sa.Text(), nullable=False),
        sa.Column("ticket_id", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("fields", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("minutes", sa.Integer(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("approve_by", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("approver", sa.Text(), nullable=True),
        sa.Column("approved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("review_due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reviewer", sa.Text(), nullable=True),
        sa.Column("reviewed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("verdict", sa.Text(), nullable=True),
        sa.Column("tell_subject", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("entry_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("controller_id", "subject_id", "grant_id", name="break_glass_pkey"),
        sa.CheckConstraint("approver <> requester", name="break_glass_approved_by_another"),
        sa.CheckConstraint("reviewer <> requester AND reviewer <> coalesce(approver, '')", name="break_glass_reviewed_by_a_third"),
        schema="vault",
    )
    op.create_index("break_glass_by_id", "break_glass", ["controller_id", "grant_id"], unique=False, schema="vault")
    op.create_index("break_glass_by_requester", "break_glass", ["controller_id", "requester"], unique=False, schema="vault")


TABLES = {"vault.verification": _verification, "vault.break_glass": _break_glass}
