"""Letters: what people are written about their requests. No rows before it: nothing was sent."""

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"

INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create the table, secured as all are."""
    op.create_table(
        "letter",
        *(
            sa.Column(name, sa.Text(), nullable=False)
            for name in ("controller_id", "letter_id", "request_id", "subject_id", "about", "state")
        ),
        sa.Column("code", sa.Text(), nullable=True),
        sa.Column("made_at", INSTANT, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        *(sa.Column(name, INSTANT, nullable=True) for name in ("next_at", "sent_at")),
        sa.Column("entry_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("controller_id", "letter_id", name="letter_pkey"),
        schema="vault",
    )
    op.create_index("letter_of_request", "letter", ["controller_id", "request_id"], schema="vault")
    waiting = sa.text("next_at IS NOT NULL")
    op.create_index("letter_waiting", "letter", ["controller_id", "next_at"], schema="vault", postgresql_where=waiting)
    own = "controller_id = current_setting('riserbo.controller', true)"
    op.execute("ALTER TABLE vault.letter ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE vault.letter FORCE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY own_rows ON vault.letter USING ({own}) WITH CHECK ({own})")
    op.execute("GRANT SELECT, INSERT, UPDATE ON vault.letter TO riserbo_app")


def downgrade() -> None:
    """Remove it. What was not sent yet is not sent."""
    op.execute("DROP TABLE vault.letter")
