"""A mark on each correction: over who proposed what, who was told, and what came of it. What waits is to be proposed anew."""

import sqlalchemy as sa
from alembic import op

revision = "0036"
down_revision = "0035"

TABLES = ("rectification", "rectification_draft", "request")


def upgrade() -> None:
    """Add the column. No migration has keys: what waits goes, and what was carried out is shown no more."""
    for table in TABLES:
        op.execute(f"ALTER TABLE vault.{table} NO FORCE ROW LEVEL SECURITY")
    op.execute("DELETE FROM vault.rectification_draft")
    op.execute("DELETE FROM vault.rectification WHERE applied_at IS NULL")
    op.execute("UPDATE vault.request SET plan = NULL WHERE kind = 'rectification' AND state = 'accepted' AND NOT begun")
    op.add_column("rectification", sa.Column("mark", sa.LargeBinary(), nullable=False, server_default=""), schema="vault")
    op.alter_column("rectification", "mark", server_default=None, schema="vault")
    for table in TABLES:
        op.execute(f"ALTER TABLE vault.{table} FORCE ROW LEVEL SECURITY")


def downgrade() -> None:
    """Remove the column."""
    op.drop_column("rectification", "mark", schema="vault")
