"""What every table is made of: one set of tables, the kinds of column, and a key that begins with the controller."""

from typing import Any

from sqlalchemy import Column, DateTime, LargeBinary, MetaData, PrimaryKeyConstraint, Table, Text

metadata = MetaData()


def instant(name: str, *, nullable: bool = False) -> "Column[Any]":
    """An instant, with its zone."""
    return Column(name, DateTime(timezone=True), nullable=nullable)


def words(name: str, *, nullable: bool = False) -> "Column[Any]":
    """Text."""
    return Column(name, Text, nullable=nullable)


def octets(name: str, *, nullable: bool = False) -> "Column[Any]":
    """Bytes: what is sealed, wrapped or hashed."""
    return Column(name, LargeBinary, nullable=nullable)


def table(name: str, *columns: "Column[Any]", key: tuple[str, ...], schema: str = "vault", ranges_of: str | None = None) -> Table:
    """A table whose key begins with the controller; `ranges_of` is the column by whose ranges it lies in partitions."""
    return Table(
        name,
        metadata,
        words("controller_id"),
        *columns,
        PrimaryKeyConstraint("controller_id", *key, name=f"{name}_pkey"),
        schema=schema,
        postgresql_partition_by=f"RANGE ({ranges_of})" if ranges_of else None,
    )
