"""How rows of the trail lie in their pages. Rows that exist stay as they lie; new ones, and new versions, follow.

Waiting entries are kept whole in their pages: to compress ciphertext gains nothing, and to move it aside cost a second table and
index at each of writing, reading and moving. They are vacuumed by number, for they come and go by the thousand; nobody plans by
their statistics. Chain heads leave room in their pages, so that a head that moves need not touch the index.
"""

from alembic import op

revision = "0003"
down_revision = "0002"

OPTIONS = {
    "audit_pending": {
        "toast_tuple_target": "8160",
        "vacuum_truncate": "false",
        "autovacuum_vacuum_scale_factor": "0",
        "autovacuum_vacuum_threshold": "2000",
        "autovacuum_vacuum_insert_threshold": "-1",
        "autovacuum_vacuum_cost_delay": "0",
        "autovacuum_analyze_threshold": "2000000000",
    },
    "audit_subject_head": {"fillfactor": "70"},
}
UNCOMPRESSED = {"audit_pending": ("leaf", "sealed"), "audit_detail": ("sealed",)}


def upgrade() -> None:
    """Say how new rows are to lie."""
    for table, options in OPTIONS.items():
        op.execute(f"ALTER TABLE vault.{table} SET ({', '.join(f'{name} = {value}' for name, value in options.items())})")
    _store("EXTERNAL")


def downgrade() -> None:
    """Leave it to PostgreSQL again."""
    for table, options in OPTIONS.items():
        op.execute(f"ALTER TABLE vault.{table} RESET ({', '.join(options)})")
    _store("EXTENDED")


def _store(how: str) -> None:
    for table, columns in UNCOMPRESSED.items():
        for column in columns:
            op.execute(f"ALTER TABLE vault.{table} ALTER COLUMN {column} SET STORAGE {how}")
