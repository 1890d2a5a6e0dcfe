"""Rows of an import: who is known already, what was said of them last time, and many rows at once.

COPY straight into a table is refused under row-level security, so rows are copied into a temporary table that goes with the
transaction, and one INSERT … SELECT a table moves them.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, cast

import psycopg
import sqlalchemy as sa
from psycopg import sql
from psycopg.types.json import Jsonb
from sqlalchemy import Connection, Table, bindparam
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from vault.octets import lp
from vault.tables import blind_index, import_line

_BINARY_NAMES: Mapping[type[Any], str] = {
    sa.Text: "text",
    sa.BigInteger: "int8",
    sa.Integer: "int4",
    sa.SmallInteger: "int2",
    sa.Boolean: "bool",
    sa.DateTime: "timestamptz",
    sa.LargeBinary: "bytea",
    sa.ARRAY: "text[]",
    JSONB: "jsonb",
}

_WHO = bindparam("controller", type_=sa.Text())
_FOUND = sa.select(blind_index.c.bidx, blind_index.c.subject_id).where(
    blind_index.c.controller_id == _WHO,
    blind_index.c.index_name == bindparam("index_name", type_=sa.Text()),
    blind_index.c.version == bindparam("version", type_=sa.Integer()),
    blind_index.c.bidx == sa.any_(bindparam("values", type_=ARRAY(sa.LargeBinary))),
)
_SAID = sa.select(
    import_line.c.subject_id, import_line.c.digest_version, import_line.c.digest, import_line.c.file_sha256, import_line.c.line
).where(import_line.c.controller_id == _WHO, import_line.c.subject_id == sa.any_(bindparam("subjects", type_=ARRAY(sa.Text))))
_SEEN = (
    sa.update(import_line)
    .where(import_line.c.controller_id == _WHO, import_line.c.subject_id == bindparam("subject"))
    .values(file_sha256=bindparam("file"), line=bindparam("at_line"))
)
_LOCK = sa.select(sa.func.pg_advisory_xact_lock(sa.column("lock"))).select_from(
    sa.select(sa.func.unnest(bindparam("locks", type_=ARRAY(sa.BigInteger))).label("lock"))
    .order_by(sa.literal_column("1"))
    .subquery()
)


@dataclass(frozen=True, slots=True)
class KnownLine:
    """A customer number the vault holds: whose, and the last line that said so. `digest` is None when no import did."""

    subject_id: str
    digest_version: int = 0
    digest: bytes | None = None
    file_sha256: bytes = b""
    line: int = 0


def known_lines(
    rows: Connection, controller_id: str, index_name: str, version: int, values: Collection[bytes]
) -> dict[bytes, KnownLine]:
    """Return what is known of each blind index among `values` that somebody has."""
    parameters = {"controller": controller_id, "index_name": index_name, "version": version, "values": list(values)}
    subjects = {bytes(row.bidx): row.subject_id for row in rows.execute(_FOUND, parameters)}
    if not subjects:
        return {}
    said = rows.execute(_SAID, {"controller": controller_id, "subjects": sorted(subjects.values())})
    lines = {row.subject_id: KnownLine(row.subject_id, row.digest_version, row.digest, row.file_sha256, row.line) for row in said}
    return {value: lines.get(subject_id, KnownLine(subject_id)) for value, subject_id in subjects.items()}


def lock_values(rows: Connection, controller_id: str, index_name: str, values: Iterable[bytes]) -> None:
    """Wait until no other transaction decides whether these unique values are taken.

    The locks are those `keys.records.lock_value` takes; in ascending order, so that two imports do not wait for each other.
    """
    names = (sha256(lp(controller_id) + lp(index_name) + value).digest()[:8] for value in values)
    rows.execute(_LOCK, {"locks": sorted(int.from_bytes(name, "big", signed=True) for name in names)})


def mark_seen(rows: Connection, controller_id: str, file_sha256: bytes, lines: Mapping[str, int]) -> None:
    """Keep where the customers (subject id → line) stand in the file that named them last."""
    if lines:
        rows.execute(
            _SEEN,
            [
                {"controller": controller_id, "subject": subject_id, "file": file_sha256, "at_line": line}
                for subject_id, line in lines.items()
            ],
        )


def insert_many(rows: Connection, table: Table, made: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows that all name the same columns, in the same order."""
    if not made:
        return
    columns = [table.c[name] for name in made[0]]
    for column in columns:
        if isinstance(column.type, JSONB):
            made = [{**row, column.name: Jsonb(row[column.name])} for row in made]
    names = [column.name for column in columns]
    staged = sa.table(f"staged_{table.name}", *(sa.column(name) for name in names))
    _copy(cast("psycopg.Connection[Any]", rows.connection.driver_connection), table, staged.name, columns, made)
    rows.execute(sa.insert(table).from_select(names, sa.select(*staged.c)))


def _copy(
    driver: "psycopg.Connection[Any]",
    table: Table,
    staged: str,
    columns: Sequence["sa.Column[Any]"],
    made: Sequence[Mapping[str, Any]],
) -> None:
    names = sql.SQL(",").join(sql.Identifier(column.name) for column in columns)
    place = {"staged": sql.Identifier(staged), "names": names, "table": sql.Identifier(str(table.schema), table.name)}
    with driver.cursor() as cursor:
        cursor.execute(
            sql.SQL("CREATE TEMPORARY TABLE {staged} ON COMMIT DROP AS SELECT {names} FROM {table} WITH NO DATA").format(**place)
        )
        with cursor.copy(sql.SQL("COPY {staged} ({names}) FROM STDIN (FORMAT BINARY)").format(**place)) as copy:
            copy.set_types([_binary_name(column) for column in columns])
            for row in made:
                copy.write_row(tuple(row.values()))


def _binary_name(column: "sa.Column[Any]") -> str:
    return next(_BINARY_NAMES[kind] for kind in type(column.type).__mro__ if kind in _BINARY_NAMES)
