"""Notices: the words people were given, and that they were; where values are from that are not from the person.

No rows before it: what people were told by then is not on record, nor where values are from.
"""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0024"

INSTANT = sa.DateTime(timezone=True)
RIGHTS = {"notice_text": "SELECT, INSERT", "notice_served": "SELECT, INSERT", "data_source": "SELECT, INSERT, UPDATE, DELETE"}


def upgrade() -> None:
    """Create the tables, secured as all are; what was given to whom is never changed."""
    _notice_text()
    _notice_served()
    _data_source()
    own = "controller_id = current_setting('riserbo.controller', true)"
    for name, rights in RIGHTS.items():
        op.execute(f"ALTER TABLE vault.{name} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE vault.{name} FORCE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY own_rows ON vault.{name} USING ({own}) WITH CHECK ({own})")
        op.execute(f"GRANT {rights} ON vault.{name} TO riserbo_app")
    for name in ("notice_text", "notice_served"):
        changing, emptying = f"BEFORE UPDATE OR DELETE ON vault.{name} FOR EACH ROW", f"BEFORE TRUNCATE ON vault.{name}"
        op.execute(f"CREATE TRIGGER append_only {changing} EXECUTE FUNCTION vault.refuse_change()")
        op.execute(f"CREATE TRIGGER not_emptied {emptying} FOR EACH STATEMENT EXECUTE FUNCTION vault.refuse_change()")


def downgrade() -> None:
    """Remove them, with what people were told."""
    for name in RIGHTS:
        op.execute(f"DROP TABLE vault.{name}")


def _notice_text() -> None:
    op.create_table(
        "notice_text",
        sa.Column("controller_id", sa.Text(), nullable=False),
        sa.Column("notice", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("text", sa.LargeBinary(), nullable=False),
        sa.Column("kept_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("controller_id", "notice", "version", "language", name="notice_text_pkey"),
        schema="vault",
    )


def _notice_served() -> None:
    op.create_table(
        "notice_served",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("controller_id", "subject_id", "entry_id", "notice")),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("given_at", INSTANT, nullable=False),
        sa.Column("recorded_at", INSTANT, nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("controller_id", "subject_id", "entry_id", name="notice_served_pkey"),
        schema="vault",
    )
    op.create_index("notice_served_by_notice", "notice_served", ["controller_id", "notice", "version"], schema="vault")


def _data_source() -> None:
    op.create_table(
        "data_source",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("controller_id", "subject_id", "field")),
        sa.Column("value_version", sa.BigInteger(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("obtained_at", INSTANT, nullable=False),
        sa.Column("recorded_at", INSTANT, nullable=False),
        sa.Column("regime", sa.Text(), nullable=True),
        sa.Column("due_at", INSTANT, nullable=True),
        sa.Column("because", sa.Text(), nullable=False),
        sa.Column("told_at", INSTANT, nullable=True),
        sa.Column("told_by", sa.Text(), nullable=True),
        sa.Column("alarm", sa.Text(), nullable=True),
        sa.Column("entry_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("controller_id", "subject_id", "field", "value_version", name="data_source_pkey"),
        schema="vault",
    )
    op.create_index(
        "data_source_untold",
        "data_source",
        ["controller_id", "due_at"],
        schema="vault",
        postgresql_where=sa.text("told_at IS NULL AND due_at IS NOT NULL"),
    )
