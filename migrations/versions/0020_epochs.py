"""Changes of epoch and key exports; and wraps and audit keys refer to the controller key they are made with.

No row is changed. A key that something still rests on cannot go from now on, whoever deletes it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"

INSTANT = sa.DateTime(timezone=True)
OF_AN_EPOCH = ("data_key_wrap", "subject_audit_key")
APP_WRITES = {"keys.epoch_change": "SELECT, INSERT, UPDATE", "keys.key_export": "SELECT, INSERT"}
CHANGES = ("DELETE ON keys.controller_key", "UPDATE (epoch, wrap) ON keys.data_key_wrap, keys.subject_audit_key")


def upgrade() -> None:
    """Create the tables, secured as all are, and the references."""
    _epoch_change()
    _key_export()
    own = "controller_id = current_setting('riserbo.controller', true)"
    for name, rights in APP_WRITES.items():
        op.execute(f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {name} FORCE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY own_rows ON {name} USING ({own}) WITH CHECK ({own})")
        op.execute(f"GRANT {rights} ON {name} TO riserbo_app")
    op.execute("SET LOCAL statement_timeout = 0")  # every row is looked at
    for name in OF_AN_EPOCH:
        op.create_foreign_key(
            f"{name}_epoch", name, "controller_key", ["controller_id", "epoch"], ["controller_id", "epoch"],
            source_schema="keys", referent_schema="keys",
        )  # fmt: skip
    for right in CHANGES:
        op.execute(f"GRANT {right} TO riserbo_app")


def downgrade() -> None:
    """Remove them. An epoch that is closing stays so, and opens."""
    for right in CHANGES:
        op.execute(f"REVOKE {right} FROM riserbo_app")
    for name in OF_AN_EPOCH:
        op.drop_constraint(f"{name}_epoch", name, schema="keys")
    for name in APP_WRITES:
        op.execute(f"DROP TABLE {name}")


def _epoch_change() -> None:
    op.create_table(
        "epoch_change",
        sa.Column("controller_id", sa.Text(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("to_epoch", sa.BigInteger(), nullable=False),
        sa.Column("rewrapped", sa.BigInteger(), nullable=False),
        sa.Column("begun_at", INSTANT, nullable=False),
        sa.Column("ended_at", INSTANT, nullable=True),
        sa.PrimaryKeyConstraint("controller_id", "epoch", name="epoch_change_pkey"),
        schema="keys",
    )


def _key_export() -> None:
    op.create_table(
        "key_export",
        sa.Column("controller_id", sa.Text(), nullable=False),
        sa.Column("made_at", INSTANT, nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("controller_id", "made_at", name="key_export_pkey"),
        schema="keys",
    )
