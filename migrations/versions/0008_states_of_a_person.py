"""When somebody died, and which values they have obscured. Nobody has, before it; what had is said by nothing, going back."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add the columns: nobody is known to have died, nothing is obscured."""
    op.add_column("subject", sa.Column("deceased_on", sa.Date(), nullable=True), schema="vault")
    op.add_column(
        "subject", sa.Column("obscured", sa.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False), schema="vault"
    )


def downgrade() -> None:
    """Remove them. What was obscured shows again: lift it, or keep this version."""
    op.drop_column("subject", "obscured", schema="vault")
    op.drop_column("subject", "deceased_on", schema="vault")
