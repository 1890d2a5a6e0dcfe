"""What a person leaves out of an agreement stands with the event that said so; minors have a time at which they come of age.

Fields left out when agreeing are copied from the derived row to the event `given`, once, by the owner: the trigger that refuses
changes to events is put aside for that statement and is back before the transaction ends. Going back loses what later events left
out; the derived rows keep the sum.

Minors enrolled before have no such time, for their date of birth is sealed: they stay minors until the date is written again.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0005"

CONTROLLERS = sa.text("SELECT controller_id FROM vault.controller ORDER BY controller_id")
AS_CONTROLLER = sa.text("SELECT set_config('riserbo.controller', :controller_id, true)")
COPY = sa.text("""
    UPDATE vault.agreement_event AS e SET excluded = s.excluded FROM vault.agreement_state AS s
      WHERE e.kind = 'given' AND s.excluded <> '{}' AND s.controller_id = e.controller_id AND s.subject_id = e.subject_id
        AND s.agreement_id = e.agreement_id""")
ALTER = "ALTER TABLE vault.agreement_event"


def upgrade() -> None:
    """Let each event say what it left out, and each minor's row when the clock makes them an adult."""
    op.add_column("subject", sa.Column("adult_at", sa.DateTime(timezone=True), nullable=True), schema="vault")
    excluded: sa.Column[list[str]] = sa.Column("excluded", sa.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False)
    op.add_column("agreement_event", excluded, schema="vault")
    op.execute(f"{ALTER} DISABLE TRIGGER append_only")
    _in_each_controller(COPY)
    op.execute(f"{ALTER} ENABLE TRIGGER append_only")


def downgrade() -> None:
    """Let the derived row alone say it, and bands stay as they are written."""
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
