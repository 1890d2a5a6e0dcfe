"""The register of recipients, and what went to whom.

No rows before it: every party goes by what the policy bundle says of it, and disclosures are read from the trail.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0023"
down_revision = "0022"

INSTANT = sa.DateTime(timezone=True)
_FACTS = (
    *("subject:amended", "subject:restricted", "subject:unrestricted", "agreement:withdrawn", "agreement:narrowed"),
    "class:emptied",
)
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
        sa.Column("certificate", sa.LargeBinary(), nullable=True),
        sa.Column("disabled_at", INSTANT, nullable=True),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in ("secret_serial", "secret_version")),
        sa.Column("secret_at", INSTANT, nullable=True),
        sa.Column("days", sa.Integer(), nullable=False),
        sa.Column("registered_at", INSTANT, nullable=False),
        sa.Column("ended_at", INSTANT, nullable=True),
        sa.Column("entry_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("controller_id", "name", name="recipient_pkey"),
        schema="vault",
    )
    _secure("recipient", "SELECT, INSERT, UPDATE")
    _disclosures()
    _tasks()


def downgrade() -> None:
    """Remove it."""
    op.execute("DROP INDEX vault.event_to_tell")
    op.execute(
        "DROP TABLE vault.recipient, vault.disclosure, vault.disclosure_mark, vault.recipient_task, vault.recipient_task_step"
    )


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


def _tasks() -> None:
    """What recipients are to be told; a step is never changed. The facts there are already are told of too."""
    op.create_table(
        "recipient_task",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("controller_id", "task_id", "subject_id", "recipient")),
        sa.Column("recipient_id", sa.Text(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("fields", ARRAY(sa.Text()), nullable=False),
        sa.Column("whole", sa.Boolean(), nullable=False),
        sa.Column("handle", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        *(sa.Column(name, INSTANT, nullable=False) for name in ("made_at", "due_at", "moved_at")),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", INSTANT, nullable=True),
        sa.Column("alarmed_at", INSTANT, nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("entry_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("controller_id", "task_id", name="recipient_task_pkey"),
        schema="vault",
    )
    of_cause = ["controller_id", "cause", "kind", "recipient"]
    op.create_index("recipient_task_of_cause", "recipient_task", of_cause, unique=True, schema="vault")
    op.create_index("recipient_task_by_subject", "recipient_task", ["controller_id", "subject_id"], schema="vault")
    waiting = sa.text("next_at IS NOT NULL")
    op.create_index(
        "recipient_task_to_send", "recipient_task", ["controller_id", "next_at"], schema="vault", postgresql_where=waiting
    )
    quiet = sa.text("alarmed_at IS NULL AND state NOT IN ('completed', 'excused')")
    op.create_index(
        "recipient_task_to_alarm", "recipient_task", ["controller_id", "due_at"], schema="vault", postgresql_where=quiet
    )
    _secure("recipient_task", "SELECT, INSERT, UPDATE")
    op.create_table(
        "recipient_task_step",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("controller_id", "task_id")),
        sa.Column("number", sa.Integer(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("state", "role", "by")),
        sa.Column("code", sa.Text(), nullable=True),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("secret_version", sa.Integer(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("entry_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("controller_id", "task_id", "number", name="recipient_task_step_pkey"),
        schema="vault",
    )
    _secure("recipient_task_step", "SELECT, INSERT")
    changing = "BEFORE UPDATE OR DELETE ON vault.recipient_task_step FOR EACH ROW"
    op.execute(f"CREATE TRIGGER append_only {changing} EXECUTE FUNCTION vault.refuse_change()")
    emptying = "BEFORE TRUNCATE ON vault.recipient_task_step FOR EACH STATEMENT"
    op.execute(f"CREATE TRIGGER not_emptied {emptying} EXECUTE FUNCTION vault.refuse_change()")
    names = ", ".join(f"'{name}'" for name in _FACTS)
    untold = sa.text(f"sent_at IS NULL AND name IN ({names})")
    op.create_index("event_to_tell", "event", ["controller_id", "at"], schema="vault", postgresql_where=untold)
