"""What a person leaves out of an agreement stands with the event that said so; minors have a time at which they come of age.

Fields left out when agreeing are copied from the derived row to the event `given`, once, by the owner: the trigger that refuses
changes to events is put aside for that statement and is back before the transaction ends. Going back loses what later events left
out; the derived rows keep the sum.

Minors enrolled before have no such time, for their date of birth is sealed: they stay minors until the date is written again.

Templates and their texts are kept from the next agreement on, insert-only as agreements are; those agreed to before have their
digest and hash alone.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

CONTROLLERS = sa.text("SELECT controller_id FROM vault.controller ORDER BY controller_id")
AS_CONTROLLER = sa.text("SELECT set_config('riserbo.controller', :controller_id, true)")
COPY = sa.text("""
    UPDATE vault.agreement_event AS e SET excluded = s.excluded FROM vault.agreement_state AS s
      WHERE e.kind = 'given' AND s.excluded <> '{}' AND s.controller_id = e.controller_id AND s.subject_id = e.subject_id
        AND s.agreement_id = e.agreement_id""")
KEPT = ("template", "template_text")
ALTER = "ALTER TABLE vault.agreement_event"


def upgrade() -> None:
    """Let each event say what it left out, and each minor's row when the clock makes them an adult."""
    op.add_column("subject", sa.Column("adult_at", sa.DateTime(timezone=True), nullable=True), schema="vault")
    excluded: sa.Column[list[str]] = sa.Column("excluded", sa.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False)
    op.add_column("agreement_event", excluded, schema="vault")
    _template()
    _template_text()
    for name in KEPT:
        _secure(f"vault.{name}")
    op.execute(f"{ALTER} DISABLE TRIGGER append_only")
    _in_each_controller(COPY)
    op.execute(f"{ALTER} ENABLE TRIGGER append_only")


def downgrade() -> None:
    """Let the derived row alone say it, and bands stay as they are written."""
    for name in KEPT:
        op.drop_table(name, schema="vault")
    op.drop_column("subject", "adult_at", schema="vault")
    op.drop_column("agreement_event", "excluded", schema="vault")


def _in_each_controller(change: sa.TextClause) -> None:
    """Change rows controller by controller: row security is forced on the owner too."""
    rows = op.get_bind()
    rows.execute(AS_CONTROLLER, {"controller_id": "*"})
    for controller_id in rows.execute(CONTROLLERS).scalars().all():
        rows.execute(AS_CONTROLLER, {"controller_id": controller_id})
        rows.execute(change)
    rows.execute(AS_CONTROLLER, {"controller_id": ""})


def _template() -> None:
    op.create_table(
        "template",
        sa.Column("controller_id", sa.Text(), nullable=False),
        sa.Column("template_id", sa.Text(), nullable=False),
        sa.Column("template_version", sa.Integer(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.Column("kept_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("controller_id", "template_id", "template_version", name="template_pkey"),
        schema="vault",
    )


def _template_text() -> None:
    op.create_table(
        "template_text",
        sa.Column("controller_id", sa.Text(), nullable=False),
        sa.Column("template_id", sa.Text(), nullable=False),
        sa.Column("template_version", sa.Integer(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("text", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("controller_id", "template_id", "template_version", "language", name="template_text_pkey"),
        schema="vault",
    )


def _secure(table: str) -> None:
    """Secure a table as all are, and let nobody change what is in it."""
    own = "controller_id = current_setting('riserbo.controller', true)"
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY own_rows ON {table} USING ({own}) WITH CHECK ({own})")
    op.execute(f"GRANT SELECT, INSERT ON {table} TO riserbo_app")
    refuse = "EXECUTE FUNCTION vault.refuse_change()"
    op.execute(f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW {refuse}")
    op.execute(f"CREATE TRIGGER not_emptied BEFORE TRUNCATE ON {table} FOR EACH STATEMENT {refuse}")
