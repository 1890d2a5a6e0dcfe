"""Exports: what somebody takes away, and its sealed bytes until they did. No row is changed that was there before."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0019"
down_revision = "0018"

RIGHTS = {"export": "SELECT, INSERT, UPDATE", "export_part": "SELECT, INSERT, DELETE"}
INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create the tables, secured as all are: an export is never forgotten, its bytes are never changed."""
    _export()
    _export_part()
    own = "controller_id = current_setting('riserbo.controller', true)"
    for name, rights in RIGHTS.items():
        op.execute(f"ALTER TABLE vault.{name} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE vault.{name} FORCE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY own_rows ON vault.{name} USING ({own}) WITH CHECK ({own})")
        op.execute(f"GRANT {rights} ON vault.{name} TO riserbo_app")


def downgrade() -> None:
    """Remove them, and with them what nobody has taken yet."""
    for name in RIGHTS:
        op.execute(f"DROP TABLE vault.{name}")


def _export() -> None:
    op.create_table(
        "export",
        sa.Column("controller_id", sa.Text(), nullable=False),
        sa.Column("export_id", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.Column("set", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("asker", JSONB(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("ticket_id", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("done", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
        sa.Column("total", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
        sa.Column("attempt", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.Column("leased_until", INSTANT, nullable=True),
        sa.Column("salt", sa.LargeBinary(), nullable=True),
        sa.Column("public", sa.LargeBinary(), nullable=True),
        sa.Column("asked", sa.LargeBinary(), nullable=True),
        sa.Column("wrap", sa.LargeBinary(), nullable=True),
        sa.Column("special", sa.Boolean(), nullable=False, server_default=sa.text("false")),
        sa.Column("size", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
        sa.Column("starts", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.Column("started_at", INSTANT, nullable=True),
        sa.Column("asked_at", INSTANT, nullable=False),
        sa.Column("expires_at", INSTANT, nullable=False),
        sa.Column("entry_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("controller_id", "export_id", name="export_pkey"),
        schema="vault",
    )


def _export_part() -> None:
    op.create_table(
        "export_part",
        sa.Column("controller_id", sa.Text(), nullable=False),
        sa.Column("export_id", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("octets", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("controller_id", "export_id", "attempt", "number", name="export_part_pkey"),
        schema="vault",
    )
