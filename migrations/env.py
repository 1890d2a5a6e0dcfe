"""How alembic reaches the database: as the owner, with short lock and statement time-outs."""

import sqlalchemy
from alembic import context

from vault.settings import read_settings
from vault.tables import metadata
from vault.trail_tables import PARTITION

SCHEMAS = frozenset({"vault", "keys"})


def _ours(name: str | None, kind: str, _parents: object) -> bool:
    if kind == "table":
        return not PARTITION.fullmatch(name or "")
    return kind != "schema" or name in SCHEMAS


def run() -> None:
    """Run migrations on the connection handed in, or on the one the settings name."""
    connection = context.config.attributes.get("connection")
    if connection is None:
        url = sqlalchemy.make_url(read_settings().database_url or "").set(drivername="postgresql+psycopg", username="riserbo_owner")
        engine = sqlalchemy.create_engine(url, hide_parameters=True)
        with engine.connect() as connection:
            _run(connection)
    else:
        _run(connection)


def _run(connection: sqlalchemy.Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        include_schemas=True,
        include_name=_ours,
        version_table="migration",
        version_table_schema="vault",
        compare_server_default=False,
    )
    with context.begin_transaction():
        connection.execute(sqlalchemy.text("SET LOCAL lock_timeout = '5s'"))
        connection.execute(sqlalchemy.text("SET LOCAL statement_timeout = '60s'"))
        connection.execute(sqlalchemy.text("CREATE SCHEMA IF NOT EXISTS vault"))
        connection.execute(sqlalchemy.text("CREATE SCHEMA IF NOT EXISTS keys"))
        context.run_migrations()


run()
