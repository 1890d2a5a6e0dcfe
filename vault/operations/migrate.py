"""Bring the database to this version: roles by a superuser once, then every schema change as the owner."""

from importlib import resources
from typing import Any

import psycopg
import sqlalchemy
from alembic import command
from alembic.config import Config


def migrate(url: str, admin_url: str | None) -> None:
    """Create the roles (when an administrator's address is given) and run all migrations. Safe to repeat."""
    if admin_url is not None:
        _create_roles(admin_url)
    engine = sqlalchemy.create_engine(owner_url(url), hide_parameters=True)
    try:
        with engine.connect() as connection:
            command.upgrade(configuration(connection), "head")
    finally:
        engine.dispose()


def owner_url(url: str) -> sqlalchemy.URL:
    """Return the address with the owner's role, who owns every table and may change the schema."""
    return sqlalchemy.make_url(url).set(drivername="postgresql+psycopg", username="riserbo_owner")


def configuration(connection: sqlalchemy.Connection) -> Config:
    """Return alembic's configuration for an open connection of the owner."""
    alembic = Config()
    alembic.set_main_option("script_location", str(resources.files("migrations")))
    alembic.attributes["connection"] = connection
    return alembic


def _create_roles(admin_url: str) -> None:
    address = sqlalchemy.make_url(admin_url)
    arguments: dict[str, Any] = {**address.translate_connect_args(username="user", database="dbname"), **address.query}
    with psycopg.connect(autocommit=True, **arguments) as connection:
        connection.execute((resources.files("migrations") / "roles.sql").read_bytes())
