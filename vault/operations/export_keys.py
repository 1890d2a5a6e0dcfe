"""Export the keys: what makes a data backup, taken without schema `keys`, restorable; and put an export back into a database.

A backup of data is a dump without the rows of schema `keys` and may be kept long; it opens with an export of the keys, which is
kept for days, and with the keyring. So whoever was erased is in old backups as bytes no living key opens.
Source: `cryptography.md` 6.
"""

import base64
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from vault import tables
from vault.assembly import Vault
from vault.database import Database
from vault.errors import Conflict, Fault, LedgerUnavailable, NotFound, Unreadable
from vault.keys import epochs
from vault.keys.key_exports import Written, header_of, open_export, seal_export
from vault.keys.keyring import Keyring
from vault.operations.acting import HOUSE, prepare, record
from vault.operations.change_epoch import house

KEYS: Final = (  # in the order in which they are put back
    tables.controller_key, tables.controller_secret, tables.data_key, tables.data_key_wrap, tables.subject_audit_key,
    tables.blind_index, tables.token, tables.epoch_change, tables.key_export,
)  # fmt: skip
_TABLES: Final = {one.name: one for one in KEYS}
_AT_ONCE: Final = 500
_THERE: Final = sa.select(tables.controller_key.c.epoch).where(tables.controller_key.c.controller_id == sa.bindparam("of")).limit(1)


@dataclass(frozen=True, slots=True)
class Exported:
    """A key export that was made and read again: of which epoch's root, how many rows, and the SHA-256 of its bytes."""

    made_at: datetime
    epoch: int
    rows: int
    digest: bytes


def export_keys(vault: Vault, keyring: Keyring, write: Callable[[datetime, Iterable[bytes]], Written]) -> Exported:
    """Export the keys of every controller. It is kept, and counts, once it was opened again and as many rows were in it.

    Each controller's trail tells of it first. Raises KeysUnavailable, AuditUnavailable, DatabaseUnavailable, LedgerUnavailable,
    Unreadable.
    """
    known, at, ledger_n = vault.database.controllers(), vault.now(), vault.ledger.tail().number
    epoch = min((_newest(vault, one) for one in known), default=0)
    if not known:
        raise NotFound("controller-not-found")
    for one in known:
        acting = prepare(vault, "key-export", house(one), permission=HOUSE)
        record(vault, acting, internal={"epoch": epoch})
    put = 0

    def rows() -> Generator[tuple[str, str, dict[str, Any]], None, None]:
        nonlocal put
        for one in known:
            with closing(_rows_of(vault.database, one)) as found:
                for row in found:
                    put += 1
                    yield row

    with closing(rows()) as exported:
        written = write(at, seal_export(keyring, vault.settings.installation, at, epoch, ledger_n, exported))
    found = sum(1 for _ in open_export(keyring, vault.settings.installation, written.read()))
    if found != put:
        raise Unreadable
    written.keep()
    for one in known:
        with vault.database.transaction(one) as transaction:
            made = {"controller_id": one, "made_at": at, "epoch": epoch, "digest": written.digest}
            transaction.execute(sa.insert(tables.key_export), made)
    return Exported(at, epoch, found, written.digest)


def restore_keys(
    database: Database, keyring: Keyring, installation: str, ledger_n: int, pieces: Callable[[], Iterable[bytes]]
) -> dict[str, int]:
    """Put an export's rows into a database that has none; return how many for each controller.

    The export is read twice: first whole, so that one that is cut off changes nothing. `ledger_n` is how many lines the erasure
    ledger has. Raises Unreadable, Conflict (`keys-there`), NotFound (`controller-not-found`, with its name) where the data are not
    there: they come first; LedgerUnavailable where the ledger had more lines when the export was made: it would bring back whoever
    they were of.
    """
    named = {one for one, _, _ in open_export(keyring, installation, pieces())}
    if (header_of(pieces()).ledger_n or 0) > ledger_n:
        raise LedgerUnavailable("ledger-behind", faults=[Fault("erasure-ledger", "shorter-than-it-was")])
    if missing := sorted(named - set(database.controllers())):
        raise NotFound("controller-not-found", faults=[Fault(one, "data-first") for one in missing])
    for one in sorted(named):
        with database.snapshot(one) as rows:
            if rows.execute(_THERE, {"of": one}).first() is not None:
                raise Conflict("keys-there", faults=[Fault(one, "keys-there")])
    return {one: _put_back(database, one, open_export(keyring, installation, pieces())) for one in sorted(named)}


def _put_back(database: Database, controller_id: str, rows: Iterable[tuple[str, str, Any]]) -> int:
    """Put one controller's rows back, all or none."""
    done = 0
    with database.transaction(controller_id) as transaction:
        table, held = "", list[dict[str, Any]]()
        for one, name, values in rows:
            if held and (name != table or one != controller_id or len(held) >= _AT_ONCE):
                transaction.execute(sa.insert(_TABLES[table]), held)
                done, held = done + len(held), []
            if one == controller_id:
                table = name
                held.append(_meant(name, values))
        if held:
            transaction.execute(sa.insert(_TABLES[table]), held)
    return done + len(held)


def _meant(name: str, values: dict[str, Any]) -> dict[str, Any]:
    """Return the values of a row as its table has them."""
    meant = dict(values)
    for column in _TABLES[name].columns:
        value = meant[column.name]
        if value is not None and isinstance(column.type, sa.LargeBinary):
            meant[column.name] = base64.b64decode(value)
        elif value is not None and isinstance(column.type, sa.DateTime):
            meant[column.name] = datetime.fromisoformat(value)
    return meant


def _rows_of(database: Database, controller_id: str) -> Generator[tuple[str, str, dict[str, Any]], None, None]:
    """Yield every row of a controller's keys, as they were at one instant."""
    with database.transaction(controller_id) as rows:
        rows.execute(sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
        rows.execute(sa.text("SET LOCAL statement_timeout = 0"))
        for table in KEYS:
            asking = sa.select(table).where(table.c.controller_id == controller_id)
            streamed = {"stream_results": True, "max_row_buffer": _AT_ONCE}
            with closing(rows.execute(asking, execution_options=streamed)) as found:
                for row in found.mappings():
                    yield controller_id, table.name, {str(name): value for name, value in row.items()}


def _newest(vault: Vault, controller_id: str) -> int:
    with vault.database.snapshot(controller_id) as rows:
        return max(one.epoch for one in epochs.epochs_of(rows, controller_id))
