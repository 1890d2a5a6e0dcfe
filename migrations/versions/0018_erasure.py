"""Erasure: the mark of the ledger, what was erased, certificates, tombstones, suppressions. No rows before it.

What an erasure takes away the application may delete from now on: tickets and what people proved on them. Of an audit key it may
say until when it is needed.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0018"
down_revision = "0017"

INSTANT = sa.DateTime(timezone=True)
APPEND_ONLY = ("vault.erasure", "vault.certificate")
APP_WRITES = {
    "vault.ledger_mark": "SELECT, INSERT, UPDATE",
    "vault.erasure": "SELECT, INSERT",
    "vault.certificate": "SELECT, INSERT",
    "vault.tombstone": "SELECT, INSERT, DELETE",
    "vault.suppression": "SELECT, INSERT, DELETE",
}


def upgrade() -> None:
    """Create the tables, secured as all are."""
    for create in (_ledger_mark, _erasure, _certificate, _tombstone, _suppression):
        create()
    own = "controller_id = current_setting('riserbo.controller', true)"
    for name, rights in APP_WRITES.items():
        op.execute(f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {name} FORCE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY own_rows ON {name} USING ({own}) WITH CHECK ({own})")
        op.execute(f"GRANT {rights} ON {name} TO riserbo_app")
    for name in APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON {name} FOR EACH ROW EXECUTE FUNCTION vault.refuse_change()"
        )
        op.execute(
            f"CREATE TRIGGER not_emptied BEFORE TRUNCATE ON {name} FOR EACH STATEMENT EXECUTE FUNCTION vault.refuse_change()"
        )
    op.execute("GRANT DELETE ON vault.ticket, vault.verification TO riserbo_app")
    op.execute("GRANT UPDATE (shred_after) ON keys.subject_audit_key TO riserbo_app")


def downgrade() -> None:
    """Remove them, rows included."""
    op.execute("REVOKE UPDATE (shred_after) ON keys.subject_audit_key FROM riserbo_app")
    op.execute("REVOKE DELETE ON vault.ticket, vault.verification FROM riserbo_app")
    for name in reversed(APP_WRITES):
        op.execute(f"DROP TABLE {name}")


def _ledger_mark() -> None:
    op.create_table(
        "ledger_mark",
        sa.Column("controller_id", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("controller_id", name="ledger_mark_pkey"),
        schema="vault",
    )


def _erasure() -> None:
    op.create_table(
        "erasure",
        sa.Column("controller_id", sa.Text(), nullable=False),
        sa.Column("erasure_id", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("accepted_by", sa.Text(), nullable=True),
        sa.Column("approved_by", sa.Text(), nullable=True),
        sa.Column("plan_digest", sa.LargeBinary(), nullable=False),
        sa.Column("result", JSONB(), nullable=False),
        sa.Column("ledger_number", sa.BigInteger(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("erased_at", INSTANT, nullable=False),
        sa.Column("entry_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("controller_id", "erasure_id", name="erasure_pkey"),
        sa.CheckConstraint("accepted_by <> approved_by", name="erasure_second_person"),
        schema="vault",
    )


def _certificate() -> None:
    op.create_table(
        "certificate",
        sa.Column("controller_id", sa.Text(), nullable=False),
        sa.Column("certificate_id", sa.Text(), nullable=False),
        sa.Column("erasure_id", sa.Text(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("note", sa.LargeBinary(), nullable=False),
        sa.Column("issued_at", INSTANT, nullable=False),
        sa.Column("entry_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("controller_id", "certificate_id", name="certificate_pkey"),
        schema="vault",
    )


def _tombstone() -> None:
    op.create_table(
        "tombstone",
        sa.Column("controller_id", sa.Text(), nullable=False),
        sa.Column("index_name", sa.Text(), nullable=False),
        sa.Column("secret_version", sa.Integer(), nullable=False),
        sa.Column("normaliser", sa.Integer(), nullable=False),
        sa.Column("mac", sa.LargeBinary(), nullable=False),
        sa.Column("erased_at", INSTANT, nullable=False),
        sa.Column("ends_at", INSTANT, nullable=False),
        sa.Column("entry_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("controller_id", "index_name", "secret_version", "normaliser", "mac", name="tombstone_pkey"),
        schema="vault",
    )


def _suppression() -> None:
    op.create_table(
        "suppression",
        sa.Column("controller_id", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("index_name", sa.Text(), nullable=False),
        sa.Column("secret_version", sa.Integer(), nullable=False),
        sa.Column("normaliser", sa.Integer(), nullable=False),
        sa.Column("mac", sa.LargeBinary(), nullable=False),
        sa.Column("objected_at", INSTANT, nullable=False),
        sa.Column("entry_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint(
            "controller_id", "channel", "index_name", "secret_version", "normaliser", "mac", name="suppression_pkey"
        ),
        schema="vault",
    )
