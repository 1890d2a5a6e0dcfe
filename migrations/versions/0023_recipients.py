"""The register of recipients, and what went to whom.

No rows before it: every party goes by what the policy bundle says of it, and disclosures are read from the trail.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0023"
down_revision = "0022"

INSTANT = sa.DateTime(timezone=True)
_DISCLOSURE = ("subject_id", "recipient", "field", "level", "agreement_id")


def upgrade() -> None:
    """Create the table, secured as all are."""
    op.create_table(
        "recipient",
        sa.Column("controller_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("recipient_id", sa.Text(), nullable=False),
        sa.Column("party", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("country", sa.Text(), nullable=False),
        sa.Column("transfer_tool", sa.Text(), nullable=False),
        sa.Column("contract", sa.Text(), nullable=True),
        sa.Column("contract_from", INSTANT, nullable=True),
        sa.Column("contract_until", INSTANT, nullable=True),
        sa.Column("instructions", sa.Text(), nullable=True),
        sa.Column("subprocessors", ARRAY(sa.Text()), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("endpoint", sa.Text(), nullable=True),
        sa.Column("disabled_at", INSTANT, nullable=True),
        sa.Column("secret_serial", sa.Integer(), nullable=False),
        sa.Column("days", sa.Integer(), nullable=False),
        sa.Column("registered_at", INSTANT, nullable=False),
        sa.Column("ended_at", INSTANT, nullable=True),
        sa.Column("entry_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("controller_id", "name", name="recipient_pkey"),
        schema="vault",
    )
    _secure("recipient", "SELECT, INSERT, UPDATE")
    _disclosures()


def downgrade() -> None:
    """Remove it."""
    op.execute("DROP TABLE vault.recipient, vault.disclosure, vault.disclosure_mark")


def _disclosures() -> None:
    """What went to whom: nothing yet, and a job reads the trail from its beginning."""
    op.create_table(
        "disclosure",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("controller_id", *_DISCLOSURE)),
        sa.Column("first_at", sa.BigInteger(), nullable=False),
        sa.Column("last_at", sa.BigInteger(), nullable=False),
        sa.Column("era", sa.Integer(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("controller_id", *_DISCLOSURE, name="disclosure_pkey"),
        schema="vault",
    )
    _secure("disclosure", "SELECT, INSERT, UPDATE")
    op.create_table(
        "disclosure_mark",
        sa.Column("controller_id", sa.Text(), nullable=False),
        sa.Column("era", sa.Integer(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("controller_id", name="disclosure_mark_pkey"),
        schema="vault",
    )
    _secure("disclosure_mark", "SELECT, INSERT, UPDATE")


def _secure(table: str, rights: str) -> None:
    own = "controller_id = current_setting('riserbo.controller', true)"
    op.execute(f"ALTER TABLE vault.{table} ENABLE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE vault.{table} FORCE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY own_rows ON vault.{table} USING ({own}) WITH CHECK ({own})")
    op.execute(f"GRANT {rights} ON vault.{table} TO riserbo_app")
