"""What accepted requests are of, beside the tickets that stand for them: whoever has taken one sees that, and nothing else."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0035"
down_revision = "0034"

REACHED = "ARRAY['email', 'mobile', 'phone', 'address', 'iban']"
TOLD_BY = "ARRAY['address', 'email', 'mobile', 'phone']"


def upgrade() -> None:
    """Add the column; open requests fill it."""
    op.add_column("ticket", sa.Column("fields", ARRAY(sa.Text()), nullable=False, server_default=sa.text("'{}'")), schema="vault")
    for table in ("ticket", "request"):
        op.execute(f"ALTER TABLE vault.{table} NO FORCE ROW LEVEL SECURITY")
    op.execute(
        f"""UPDATE vault.ticket t SET fields = CASE
                WHEN r.kind = 'rectification' AND r.fields && {REACHED} THEN r.fields || {TOLD_BY} ELSE r.fields END
            FROM vault.request r
            WHERE t.controller_id = r.controller_id AND t.ticket_id = r.request_id AND t.topic = 'request'
                AND t.state <> 'closed'"""
    )
    for table in ("ticket", "request"):
        op.execute(f"ALTER TABLE vault.{table} FORCE ROW LEVEL SECURITY")


def downgrade() -> None:
    """Remove the column: whoever has taken a request sees everything again."""
    op.drop_column("ticket", "fields", schema="vault")
