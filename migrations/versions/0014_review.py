"""What officers write about entries, filters they keep, and the index by which entries of a ticket are found. No row is changed."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"

TABLES = ("review_remark", "review_filter")


def upgrade() -> None:
    """Create both tables, secured as all are; what was written about an entry is never changed. Add the index."""
    _review_remark()
    _review_filter()
    own = "controller_id = current_setting('riserbo.controller', true)"
    for name in TABLES:
        op.execute(f"ALTER TABLE vault.{name} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE vault.{name} FORCE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY own_rows ON vault.{name} USING ({own}) WITH CHECK ({own})")
        op.execute(f"GRANT SELECT, INSERT ON vault.{name} TO riserbo_app")
    op.execute("GRANT UPDATE, DELETE ON vault.review_filter TO riserbo_app")
    op.execute(
        "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON vault.review_remark"
        " FOR EACH ROW EXECUTE FUNCTION vault.refuse_change()"
    )
    op.execute(
        "CREATE TRIGGER not_emptied BEFORE TRUNCATE ON vault.review_remark"
        " FOR EACH STATEMENT EXECUTE FUNCTION vault.refuse_change()"
    )
    op.create_index(
        "audit_lookup_by_ticket",
        "audit_lookup",
        ["controller_id", "ticket", sa.literal_column("at DESC"), sa.literal_column("position DESC")],
        unique=False,
        schema="vault",
        postgresql_where=sa.text("ticket IS NOT NULL"),
    )


def downgrade() -> None:
    """Remove all three, rows included: what was written about entries stays in the entries that recorded it."""
    op.drop_index("audit_lookup_by_ticket", table_name="audit_lookup", schema="vault")
    for name in TABLES:
        op.execute(f"DROP TABLE vault.{name}")


def _review_remark() -> None:
    op.create_table(
        "review_remark",
        sa.Column("controller_id", sa.Text(), nullable=False),
        sa.Column("entry_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("review_id", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.Text(), nullable=True),
        sa.Column("verdict", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("controller_id", "entry_id", "number", name="review_remark_pkey"),
        schema="vault",
    )


def _review_filter() -> None:
    op.create_table(
        "review_filter",
        sa.Column("controller_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("filter", sa.Text(), nullable=False),
        sa.Column("saved_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("entry_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("controller_id", "name", name="review_filter_pkey"),
        schema="vault",
    )
