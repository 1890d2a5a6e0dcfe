"""An index by which the facts are found that a person's values were written: who sends codes, and who replays, asks for them."""

import sqlalchemy as sa
from alembic import op

revision = "0037"
down_revision = "0036"


def upgrade() -> None:
    """Create it."""
    op.create_index(
        "event_of_writing",
        "event",
        ["controller_id", sa.text("(data ->> 'subject_id')"), "at"],
        schema="vault",
        postgresql_where=sa.text("name IN ('subject:amended', 'subject:enrolled')"),
    )


def downgrade() -> None:
    """Remove it."""
    op.drop_index("event_of_writing", "event", schema="vault")
