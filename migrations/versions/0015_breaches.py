"""The breach register: breaches, what was done about them, their deadlines, lists of whose data was touched. All insert-only."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0015"
down_revision = "0014"

APPEND_ONLY = ("breach", "breach_phase", "breach_deadline", "affected_list", "affected_part")
INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create the tables, secured as all are; nobody may change a row, not even by mistake of the owner."""
    for create in (_breach, _breach_phase, _breach_deadline, _affected_list, _affected_part):
        create()
    own = "controller_id = current_setting('riserbo.controller', true)"
    for name in APPEND_ONLY:
        op.execute(f"ALTER TABLE vault.{name} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE vault.{name} FORCE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY own_rows ON vault.{name} USING ({own}) WITH CHECK ({own})")
        op.execute(f"GRANT SELECT, INSERT ON vault.{name} TO riserbo_app")
        op.execute(
            f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON vault.{name}"
            " FOR EACH ROW EXECUTE FUNCTION vault.refuse_change()"
        )
        op.execute(
            f"CREATE TRIGGER not_emptied BEFORE TRUNCATE ON vault.{name} FOR EACH STATEMENT EXECUTE FUNCTION vault.refuse_change()"
        )


def downgrade() -> None:
    """Remove them, rows included."""
    for name in APPEND_ONLY:
        op.execute(f"DROP TABLE vault.{name}")


def _breach() -> None:
    op.create_table(
        "breach",
        sa.Column("controller_id", sa.Text(), nullable=False),
        sa.Column("breach_id", sa.Text(), nullable=False),
        sa.Column("kinds", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("regimes", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("detected_at", INSTANT, nullable=True),
        sa.Column("aware_at", INSTANT, nullable=False),
        sa.Column("opened_at", INSTANT, nullable=False),
        sa.Column("opened_by", sa.Text(), nullable=False),
        sa.Column("secret_version", sa.Integer(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("entry_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("controller_id", "breach_id", name="breach_pkey"),
        schema="vault",
    )


def _breach_phase() -> None:
    op.create_table(
        "breach_phase",
        sa.Column("controller_id", sa.Text(), nullable=False),
        sa.Column("breach_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("phase", sa.Text(), nullable=False),
        sa.Column("stated", JSONB(), nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("secret_version", sa.Integer(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("entry_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("controller_id", "breach_id", "number", name="breach_phase_pkey"),
        schema="vault",
    )


def _breach_deadline() -> None:
    op.create_table(
        "breach_deadline",
        sa.Column("controller_id", sa.Text(), nullable=False),
        sa.Column("breach_id", sa.Text(), nullable=False),
        sa.Column("regime", sa.Text(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("notice", sa.Text(), nullable=False),
        sa.Column("since", sa.Text(), nullable=False),
        sa.Column("since_at", INSTANT, nullable=False),
        sa.Column("due_at", INSTANT, nullable=False),
        sa.Column("entry_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("controller_id", "breach_id", "regime", "step", name="breach_deadline_pkey"),
        schema="vault",
    )


def _affected_list() -> None:
    op.create_table(
        "affected_list",
        sa.Column("controller_id", sa.Text(), nullable=False),
        sa.Column("breach_id", sa.Text(), nullable=False),
        sa.Column("list_id", sa.Text(), nullable=False),
        sa.Column("criteria", JSONB(), nullable=False),
        sa.Column("era", sa.Integer(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.Column("checkpoint", sa.Text(), nullable=True),
        sa.Column("asked_at", INSTANT, nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("entry_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("controller_id", "breach_id", "list_id", name="affected_list_pkey"),
        schema="vault",
    )


def _affected_part() -> None:
    op.create_table(
        "affected_part",
        sa.Column("controller_id", sa.Text(), nullable=False),
        sa.Column("list_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("begun", sa.BigInteger(), nullable=False),
        sa.Column("reached", sa.BigInteger(), nullable=False),
        sa.Column("frontier", sa.LargeBinary(), nullable=False),
        sa.Column("positions", sa.ARRAY(sa.BigInteger()), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=True),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("secret_version", sa.Integer(), nullable=False),
        sa.Column("mac", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("controller_id", "list_id", "number", name="affected_part_pkey"),
        schema="vault",
    )
