"""Systems that may act for agents, and until when a training counts. Those there are may not, and theirs do not end."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Add the columns; the trainings of a caller and their ends stand in the same order."""
    instants = sa.ARRAY(sa.DateTime(timezone=True))
    until: sa.Column[list[object]] = sa.Column("training_until", instants, server_default=sa.text("'{}'"), nullable=False)
    op.add_column("caller", until, schema="vault")
    acts: sa.Column[bool] = sa.Column("acts_for_agents", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    op.add_column("caller", acts, schema="vault")
    op.create_check_constraint(
        "caller_trained_until", "caller", "cardinality(training_until) IN (0, cardinality(training))", schema="vault"
    )


def downgrade() -> None:
    """Remove them: trainings that have ended count again, and no system acts for agents."""
    op.drop_constraint("caller_trained_until", "caller", schema="vault")
    op.drop_column("caller", "acts_for_agents", schema="vault")
    op.drop_column("caller", "training_until", schema="vault")
