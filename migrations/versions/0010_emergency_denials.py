"""Emergency denials, for 72 hours at most; and when a person was told of break-glass: grants there are count as not told yet."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

CRITERIA = ("role", "caller_id", "purpose", "field", "class", "channel", "recipient")


def upgrade() -> None:
    """Create the table, secured as all are; add the column."""
    op.create_table(
        "policy_denial",
        sa.Column("controller_id", sa.Text(), nullable=False),
        sa.Column("denial_id", sa.Text(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=True) for name in CRITERIA),
        sa.Column("began_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("entry_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("controller_id", "denial_id", name="policy_denial_pkey"),
        sa.CheckConstraint(f"num_nonnulls({', '.join(CRITERIA)}) > 0", name="policy_denial_says_what"),
        sa.CheckConstraint("ends_at <= began_at + interval '72 hours'", name="policy_denial_ends"),
        schema="vault",
    )
    op.create_index("policy_denial_by_end", "policy_denial", ["controller_id", "ends_at"], unique=False, schema="vault")
    own = "controller_id = current_setting('riserbo.controller', true)"
    op.execute("ALTER TABLE vault.policy_denial ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE vault.policy_denial FORCE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY own_rows ON vault.policy_denial USING ({own}) WITH CHECK ({own})")
    op.execute("GRANT SELECT, INSERT ON vault.policy_denial TO riserbo_app")
    op.execute("GRANT UPDATE (ends_at) ON vault.policy_denial TO riserbo_app")
    op.add_column("break_glass", sa.Column("told_at", sa.DateTime(timezone=True), nullable=True), schema="vault")


def downgrade() -> None:
    """Remove both, rows included: what was denied is then denied no longer."""
    op.drop_column("break_glass", "told_at", schema="vault")
    op.execute("DROP TABLE vault.policy_denial")
