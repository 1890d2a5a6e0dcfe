"""Create a controller: its row, first controller key and secrets, and an empty audit log. An operator does this, once a company."""

from collections.abc import Callable, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import sqlalchemy as sa

from vault import tables
from vault.audit.records import found_log
from vault.database import CONTROLLER_ID, Database
from vault.errors import Conflict, Fault, InvalidValue
from vault.keys import epochs
from vault.keys.controller_keys import new_controller
from vault.keys.keyring import Keyring
from vault.keys.records import insert_controller

LANGUAGES = frozenset({"it", "en"})


def add_controller(
    database: Database,
    keyring: Keyring,
    installation: str,
    controller_id: str,
    zone: str,
    languages: Sequence[str],
    now: Callable[[], datetime],
) -> None:
    """Create it. Raises InvalidValue (`/controller_id`, `/zone`, `/languages`), Conflict when it is there already.

    It comes before the vault can record anything about it, so the log's own first entry is the first trace.
    """
    faults = []
    if not CONTROLLER_ID.fullmatch(controller_id):
        faults.append(Fault("/controller_id", "controller_id.syntax"))
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError):
        faults.append(Fault("/zone", "zone.unknown"))
    if not languages or not set(languages) <= LANGUAGES:
        faults.append(Fault("/languages", "language.unknown"))
    if faults:
        raise InvalidValue(faults=faults)
    if controller_id in database.controllers():
        raise Conflict("controller-exists")
    epoch = max((_epoch(database, one) for one in database.controllers()), default=1)
    made = new_controller(keyring, installation, controller_id, epoch)
    row = {"controller_id": controller_id, "zone": zone, "languages": list(languages), "created_at": now()}
    with database.transaction(controller_id) as transaction:
        transaction.execute(sa.insert(tables.controller), row)
        found_log(transaction, controller_id)
        insert_controller(transaction, controller_id, made, now())


def _epoch(database: Database, controller_id: str) -> int:
    """Return the epoch of a controller: all of an installation are in the same one, and a new one begins there."""
    with database.snapshot(controller_id) as rows:
        return max(one.epoch for one in epochs.epochs_of(rows, controller_id))
