"""Real keys for tests: a file keyring in a directory of the test's own, and controllers' rows in a dictionary instead of tables."""

import itertools
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from vault.connectors.keyrings.file import FileKeyring, Seal, make_keyring
from vault.keys.controller_keys import ControllerKeyRows, ControllerKeys, new_controller
from vault.keys.data_keys import NewClass, NewValue, SealedClass, seal_class
from vault.permit import LIFETIME_S, ReadPermit

INSTANT = datetime(2026, 10, 1, 9, 30, tzinfo=UTC)
CREDENTIAL = bytes(range(32))
INSTALLATION = "riserbo"
CONTROLLER, SUBJECT, CLASS, AGREEMENT = "ctl-1", "sub-1", "contact", "agr-1"


def make_file_keyring(parent: Path) -> FileKeyring:
    directory = parent / "keyring"
    seal = Seal("credential", CREDENTIAL)
    make_keyring(directory, seal, draw=secrets.token_bytes)
    return FileKeyring(directory, seal, now=lambda: INSTANT, draw=secrets.token_bytes)


class Table:
    """Controllers' rows, as a database would keep them; counts the loads."""

    def __init__(self, rows: Mapping[str, ControllerKeyRows]) -> None:
        self.rows = dict(rows)
        self.loads = 0
        self.reserved: dict[tuple[str, int], int] = {}

    def load(self, controller_id: str) -> ControllerKeyRows:
        self.loads += 1
        return self.rows.get(controller_id, ControllerKeyRows([], []))

    def reserve(self, controller_id: str, epoch: int, count: int) -> int:
        self.reserved[controller_id, epoch] = self.reserved.get((controller_id, epoch), 0) + count
        return self.reserved[controller_id, epoch]


def make_table(keyring: FileKeyring, controllers: Sequence[str] = (CONTROLLER,), epoch: int = 7) -> Table:
    return Table({name: new_controller(keyring, INSTALLATION, name, epoch) for name in controllers})


def make_keys(
    keyring: FileKeyring, table: Table, monotonic: Callable[[], float] = time.monotonic, lifetime_s: float = 300.0
) -> ControllerKeys:
    return ControllerKeys(keyring, table.load, monotonic, lifetime_s, installation=INSTALLATION, reserve=table.reserve)


def make_class(
    keys: ControllerKeys,
    values: Mapping[str, object],
    *,
    holders: Sequence[str] = (AGREEMENT,),
    collected: str = AGREEMENT,
    controller_id: str = CONTROLLER,
    subject_id: str = SUBJECT,
    class_name: str = CLASS,
    generation: int = 1,
) -> SealedClass:
    new = [NewValue(name, value, collected, 1) for name, value in values.items()]
    return as_read(
        controller_id,
        subject_id,
        seal_class(keys, controller_id, subject_id, class_name, "dk_1", new, holders, generation),
    )


def as_read(controller_id: str, subject_id: str, new: NewClass) -> SealedClass:
    wraps = {wrap.holder_id: (wrap.epoch, wrap.wrap) for wrap in new.wraps}
    return SealedClass(controller_id, subject_id, new.class_name, new.generation, new.commit, new.manifest, new.frame, wraps)


_entries = itertools.count()


def make_permit(
    agreements: Mapping[str, str], *, controller_id: str = CONTROLLER, subject_id: str = SUBJECT, at: float = 0.0
) -> ReadPermit:
    return ReadPermit(f"ent-{next(_entries)}", controller_id, subject_id, agreements, b"\0" * 32, at + LIFETIME_S)
