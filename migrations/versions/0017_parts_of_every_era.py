"""Parts of a pass over every leaf say of which era they are, and what that era follows.

A part there is belongs to the era of its list. A pass that had begun in a later era and has no verdict begins again, for it may
have passed the leaf that says what the era follows. Going back takes the parts of lists that were read over several eras away:
they are read again, over the present era alone.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0017"
down_revision = "0016"

ALTER = "ALTER TABLE vault.affected_part"


def upgrade() -> None:
    """Add the columns, and say of each part what era it is of."""
    op.add_column("affected_part", sa.Column("era", sa.Integer(), nullable=True), schema="vault")
    op.add_column("affected_part", sa.Column("follows", JSONB(), nullable=True), schema="vault")
    same = "p.controller_id = l.controller_id AND p.list_id = l.list_id"
    verdict = "SELECT FROM vault.affected_part v WHERE v.controller_id = l.controller_id AND v.list_id = l.list_id"
    _changing(
        f"UPDATE vault.affected_part p SET era = l.era FROM vault.affected_list l WHERE {same}",
        f"DELETE FROM vault.affected_part p USING vault.affected_list l WHERE {same} AND l.era > 1"
        f" AND NOT EXISTS ({verdict} AND v.verdict IS NOT NULL)",
    )
    op.alter_column("affected_part", "era", nullable=False, schema="vault")


def downgrade() -> None:
    """Take the parts away that nobody could check any more, and drop the columns."""
    _changing(
        "DELETE FROM vault.affected_part p USING vault.affected_part f"
        " WHERE f.controller_id = p.controller_id AND f.list_id = p.list_id AND f.follows IS NOT NULL"
    )
    for name in ("era", "follows"):
        op.drop_column("affected_part", name, schema="vault")


def _changing(*statements: str) -> None:
    """Change rows that nobody may change, of every company: the owner sees none while row security is forced."""
    op.execute("SET LOCAL statement_timeout = 0")
    for table in ("affected_list", "affected_part"):
        op.execute(f"ALTER TABLE vault.{table} NO FORCE ROW LEVEL SECURITY")
    op.execute(f"{ALTER} DISABLE TRIGGER append_only")
    for statement in statements:
        op.execute(statement)
    op.execute(f"{ALTER} ENABLE TRIGGER append_only")
    for table in ("affected_list", "affected_part"):
        op.execute(f"ALTER TABLE vault.{table} FORCE ROW LEVEL SECURITY")
