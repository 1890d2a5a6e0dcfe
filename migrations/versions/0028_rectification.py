"""Corrections somebody asks for: what was proposed, until it ends; and where a corrected value came from.

No rows before it: what was corrected until now has its entries.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0028"
down_revision = "0027"

INSTANT = sa.DateTime(timezone=True)
RIGHTS = {"rectification": "SELECT, INSERT, UPDATE", "rectification_draft": "SELECT, INSERT, DELETE"}


def upgrade() -> None:
    """Create the tables, secured as all are."""
    op.create_table(
        "rectification",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("controller_id", "request_id")),
        sa.Column("number", sa.Integer(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("subject_id", "agreement_id")),
        sa.Column("replaces", JSONB(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("evidence", "asked_by")),
        sa.Column("asked_at", INSTANT, nullable=False),
        sa.Column("contacts", JSONB(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=True) for name in ("told_by", "told_through")),
        *(sa.Column(name, INSTANT, nullable=True) for name in ("told_at", "applied_at")),
        sa.Column("applied_version", sa.Integer(), nullable=True),
        sa.Column("entry_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("controller_id", "request_id", "number", name="rectification_pkey"),
        schema="vault",
    )
    op.create_table(
        "rectification_draft",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("controller_id", "subject_id", "request_id")),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("class", sa.Text(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("frame", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("controller_id", "subject_id", "request_id", "number", "class", name="rectification_draft_pkey"),
        schema="vault",
    )
    own = "controller_id = current_setting('riserbo.controller', true)"
    for name, rights in RIGHTS.items():
        op.execute(f"ALTER TABLE vault.{name} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE vault.{name} FORCE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY own_rows ON vault.{name} USING ({own}) WITH CHECK ({own})")
        op.execute(f"GRANT {rights} ON vault.{name} TO riserbo_app")

    # What a helpdesk said of exercised rights is believed no more: an accepted request says so itself from here on.
    op.execute("ALTER TABLE vault.ticket NO FORCE ROW LEVEL SECURITY")
    op.execute("DELETE FROM vault.ticket WHERE topic = 'request'")
    op.execute("ALTER TABLE vault.ticket FORCE ROW LEVEL SECURITY")


def downgrade() -> None:
    """Remove them. What was proposed and not carried out is lost."""
    for name in reversed(RIGHTS):
        op.execute(f"DROP TABLE vault.{name}")
