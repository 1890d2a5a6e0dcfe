"""Legal holds. No rows before it."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0022"
down_revision = "0021"

INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create the table, secured as all are; two persons place a hold, and two release it."""
    op.create_table(
        "legal_hold",
        sa.Column("controller_id", sa.Text(), nullable=False),
        sa.Column("hold_id", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.Column("fields", ARRAY(sa.Text()), nullable=False),
        sa.Column("law", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("placed_at", INSTANT, nullable=False),
        sa.Column("placed_by", sa.Text(), nullable=False),
        sa.Column("approved_by", sa.Text(), nullable=True),
        sa.Column("release_asked_by", sa.Text(), nullable=True),
        sa.Column("released_by", sa.Text(), nullable=True),
        sa.Column("review_at", sa.Date(), nullable=False),
        sa.Column("until", sa.Date(), nullable=True),
        sa.Column("secret_version", sa.Integer(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("entry_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("controller_id", "hold_id", name="legal_hold_pkey"),
        sa.CheckConstraint("approved_by <> placed_by", name="legal_hold_second_person"),
        sa.CheckConstraint("released_by <> release_asked_by", name="legal_hold_released_by_two"),
        schema="vault",
    )
    op.execute("ALTER TABLE vault.legal_hold ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE vault.legal_hold FORCE ROW LEVEL SECURITY")
    own = "controller_id = current_setting('riserbo.controller', true)"
    op.execute(f"CREATE POLICY own_rows ON vault.legal_hold USING ({own}) WITH CHECK ({own})")
    op.execute("GRANT SELECT, INSERT, UPDATE ON vault.legal_hold TO riserbo_app")


def downgrade() -> None:
    """Remove it. What only a hold kept is kept by its wrap until somebody erases the person."""
    op.execute("DROP TABLE vault.legal_hold")
