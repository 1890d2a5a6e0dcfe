"""Requests of people, and the steps of each. No rows before it."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision = "0021"
down_revision = "0020"

_BY_TWO = "kind IN ('erasure', 'deceased') OR (special AND kind IN ('access', 'portability'))"
INSTANT = sa.DateTime(timezone=True)
RIGHTS = {"request": "SELECT, INSERT, UPDATE", "request_step": "SELECT, INSERT"}


def upgrade() -> None:
    """Create the tables, secured as all are; steps are never changed, and nobody fulfils what they accepted where it takes two."""
    _request()
    _request_step()
    own = "controller_id = current_setting('riserbo.controller', true)"
    for name, rights in RIGHTS.items():
        op.execute(f"ALTER TABLE vault.{name} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE vault.{name} FORCE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY own_rows ON vault.{name} USING ({own}) WITH CHECK ({own})")
        op.execute(f"GRANT {rights} ON vault.{name} TO riserbo_app")
    changing, emptying = "BEFORE UPDATE OR DELETE ON vault.request_step FOR EACH ROW", "BEFORE TRUNCATE ON vault.request_step"
    op.execute(f"CREATE TRIGGER append_only {changing} EXECUTE FUNCTION vault.refuse_change()")
    op.execute(f"CREATE TRIGGER not_emptied {emptying} FOR EACH STATEMENT EXECUTE FUNCTION vault.refuse_change()")


def downgrade() -> None:
    """Remove them, with what people asked."""
    for name in RIGHTS:
        op.execute(f"DROP TABLE vault.{name}")


def _request() -> None:
    op.create_table(
        "request",
        sa.Column("controller_id", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("fields", ARRAY(sa.Text()), nullable=False),
        sa.Column("special", sa.Boolean(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("received_at", INSTANT, nullable=False),
        sa.Column("registered_at", INSTANT, nullable=False),
        sa.Column("registered_by", sa.Text(), nullable=False),
        sa.Column("regime", sa.Text(), nullable=False),
        sa.Column("base_due", sa.Date(), nullable=False),
        sa.Column("due", sa.Date(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("waiting", sa.Text(), nullable=False),
        sa.Column("extended", sa.SmallInteger(), nullable=True),
        sa.Column("level", sa.SmallInteger(), nullable=False),
        sa.Column("accepted_by", sa.Text(), nullable=True),
        sa.Column("fulfilled_by", sa.Text(), nullable=True),
        sa.Column("plan", sa.LargeBinary(), nullable=True),
        sa.Column("begun", sa.Boolean(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("alarm", sa.Text(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("entry_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("controller_id", "request_id", name="request_pkey"),
        sa.CheckConstraint(f"NOT ({_BY_TWO}) OR fulfilled_by <> accepted_by", name="request_second_person"),
        schema="vault",
    )
    op.create_index("request_by_subject", "request", ["controller_id", "subject_id"], schema="vault")


def _request_step() -> None:
    op.create_table(
        "request_step",
        sa.Column("controller_id", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("verb", sa.Text(), nullable=False),
        sa.Column("stated", JSONB(), nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("secret_version", sa.Integer(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("entry_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("controller_id", "request_id", "number", name="request_step_pkey"),
        schema="vault",
    )
