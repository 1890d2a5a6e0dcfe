"""Tables of the job queue (procrastinate), in schema `jobs`: arguments are ids only, so no row security. No rows exist yet."""

from alembic import op
from procrastinate.schema import SchemaManager

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create procrastinate's own schema, of the version installed, for the application."""
    driver = op.get_bind().connection.driver_connection
    if driver is None:
        raise RuntimeError("migrations run on a live connection")
    driver.execute("CREATE SCHEMA jobs")
    driver.execute("SET LOCAL search_path = jobs")
    driver.execute(SchemaManager.get_schema().encode())
    driver.execute("SET LOCAL search_path TO DEFAULT")
    op.execute("GRANT USAGE ON SCHEMA jobs TO riserbo_app")
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA jobs TO riserbo_app")
    op.execute("GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA jobs TO riserbo_app")
    op.execute("GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA jobs TO riserbo_app")


def downgrade() -> None:
    """Remove the queue and the jobs in it."""
    op.execute("DROP SCHEMA jobs CASCADE")
