"""Counts of the days without the caller: with it, they were nearly as many rows as entries, and nobody reads them by caller.

What stands there is added up. Going back keeps the sums under caller `-`: whose they were is in look-up rows, as ever.
"""

from alembic import op

revision = "0016"
down_revision = "0015"

KEY = "controller_id, day, operation, outcome, purpose, recipient"


def upgrade() -> None:
    """Add the rows up, and drop the column. The owner must see all companies' rows meanwhile."""
    op.execute("SET LOCAL statement_timeout = 0")
    op.execute("ALTER TABLE vault.audit_daily NO FORCE ROW LEVEL SECURITY")
    op.execute(
        f"CREATE TABLE vault.audit_daily_summed AS SELECT {KEY}, sum(entries)::bigint AS entries,"
        f" sum(clear_values)::bigint AS clear_values FROM vault.audit_daily GROUP BY {KEY}"
    )
    op.execute("TRUNCATE vault.audit_daily")  # and not DELETE, which would leave the room taken
    op.execute(f"ALTER TABLE vault.audit_daily DROP COLUMN caller_id, ADD CONSTRAINT audit_daily_pkey PRIMARY KEY ({KEY})")
    op.execute(f"INSERT INTO vault.audit_daily ({KEY}, entries, clear_values) SELECT * FROM vault.audit_daily_summed")
    op.execute("DROP TABLE vault.audit_daily_summed")
    op.execute("ALTER TABLE vault.audit_daily FORCE ROW LEVEL SECURITY")


def downgrade() -> None:
    """Put the column back, empty."""
    op.execute("ALTER TABLE vault.audit_daily ADD COLUMN caller_id text NOT NULL DEFAULT '-'")
    op.execute("ALTER TABLE vault.audit_daily ALTER COLUMN caller_id DROP DEFAULT, DROP CONSTRAINT audit_daily_pkey")
    op.execute(f"ALTER TABLE vault.audit_daily ADD CONSTRAINT audit_daily_pkey PRIMARY KEY ({KEY}, caller_id)")
