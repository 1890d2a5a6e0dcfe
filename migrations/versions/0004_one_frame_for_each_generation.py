"""One frame for each generation of a class's data key, so that what is archived can lie beside what is shared anew.

A current key that no agreement holds any more, only holds (a duty to keep), becomes archived: no decision sees its class. The
primary key of `vault.profile_frame` is built anew, in a moment without readers; frames stay as they are. Going back fails where a
class has two frames: one of them would be lost.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

CONTROLLERS = sa.text("SELECT controller_id FROM vault.controller ORDER BY controller_id")
AS_CONTROLLER = sa.text("SELECT set_config('riserbo.controller', :controller_id, true)")
ARCHIVE = sa.text("""
    UPDATE keys.data_key AS k SET state = 'archived' WHERE state = 'current' AND NOT EXISTS (
      SELECT 1 FROM keys.data_key_wrap AS w WHERE w.controller_id = k.controller_id AND w.subject_id = k.subject_id
        AND w.class = k.class AND w.generation = k.generation AND w.holder_kind = 'agreement')""")
TAKE_BACK = sa.text("UPDATE keys.data_key SET state = 'current' WHERE state = 'archived'")


def upgrade() -> None:
    """Let a class have several frames, and archive what only holds keep."""
    _identify("controller_id", "subject_id", "class", "generation")
    _in_each_controller(ARCHIVE)


def downgrade() -> None:
    """Let a class have one frame again."""
    _identify("controller_id", "subject_id", "class")
    _in_each_controller(TAKE_BACK)


def _identify(*columns: str) -> None:
    op.drop_constraint("profile_frame_pkey", "profile_frame", schema="vault")
    op.create_primary_key("profile_frame_pkey", "profile_frame", list(columns), schema="vault")


def _in_each_controller(change: sa.TextClause) -> None:
    """Change rows controller by controller: row security is forced on the owner too."""
    rows = op.get_bind()
    rows.execute(AS_CONTROLLER, {"controller_id": "*"})
    for controller_id in rows.execute(CONTROLLERS).scalars().all():
        rows.execute(AS_CONTROLLER, {"controller_id": controller_id})
        rows.execute(change)
    rows.execute(AS_CONTROLLER, {"controller_id": ""})
