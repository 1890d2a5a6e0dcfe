"""Which bundle is in force, and every one that ever was: insert-only. Controllers there before have none until one is activated."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

APPEND_ONLY = ("policy_bundle", "policy_activation")


def upgrade() -> None:
    """Create the tables, secured as all are, and the index by which the trail is asked what came into force."""
    _policy_bundle()
    _policy_activation()
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
    op.create_index(
        "audit_lookup_of_policy",
        "audit_lookup",
        ["controller_id", "at", "position"],
        unique=False,
        schema="vault",
        postgresql_where=sa.text("operation = 'policy:activated'"),
    )


def downgrade() -> None:
    """Remove them, rows included."""
    op.drop_index("audit_lookup_of_policy", table_name="audit_lookup", schema="vault")
    for name in APPEND_ONLY:
        op.execute(f"DROP TABLE vault.{name}")


def _policy_bundle() -> None:
    op.create_table(
        "policy_bundle",
        sa.Column("controller_id", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("archive", sa.LargeBinary(), nullable=False),
        sa.Column("kept_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("controller_id", "digest", name="policy_bundle_pkey"),
        schema="vault",
    )


def _policy_activation() -> None:
    op.create_table(
        "policy_activation",
        sa.Column("controller_id", sa.Text(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("previous", sa.Text(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("activated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("entry_id", sa.Text(), nullable=False),
        sa.Column("secret_version", sa.Integer(), nullable=False),
        sa.Column("mac", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("controller_id", "sequence", name="policy_activation_pkey"),
        schema="vault",
    )
