"""From when an old cancer is nobody's to ask about: an instant takes the place of a yes or no that nothing ever set."""

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"


def upgrade() -> None:
    """Exchange the columns. What was barred before it, by whoever wrote that, stays barred."""
    op.add_column("subject", sa.Column("time_barred_at", sa.DateTime(timezone=True), nullable=True), schema="vault")
    _changing("UPDATE vault.subject SET time_barred_at = created_at WHERE time_barred")
    op.drop_column("subject", "time_barred", schema="vault")


def downgrade() -> None:
    """Exchange them back."""
    barred: sa.Column[bool] = sa.Column("time_barred", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    op.add_column("subject", barred, schema="vault")
    _changing("UPDATE vault.subject SET time_barred = true WHERE time_barred_at <= now()")
    op.drop_column("subject", "time_barred_at", schema="vault")


def _changing(statement: str) -> None:
    """Change rows of every company: the owner sees none while row security is forced."""
    op.execute("ALTER TABLE vault.subject NO FORCE ROW LEVEL SECURITY")
    op.execute(statement)
    op.execute("ALTER TABLE vault.subject FORCE ROW LEVEL SECURITY")
