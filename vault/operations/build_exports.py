"""Make the packages somebody asked for: a job. What it writes goes through the encryptor into rows, and counts once it is whole.

An attempt that is killed leaves parts without an export; the next one begins anew, with a new key, and drops them. Whoever makes
one says so by a lease, renewed with each part: two processes at it do no harm, for only the latest attempt becomes the export.
"""

from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Final

import structlog
from cryptography.cobblestone import Cobblestone256Encryptor

from vault.assembly import Vault
from vault.errors import AuditUnavailable, Conflict, DatabaseUnavailable, KeysUnavailable, Unreadable, VaultError
from vault.exports import records
from vault.exports.asked import LABEL, said
from vault.exports.records import ExportRow
from vault.keys.packages import new_package_key, package_place, sealing
from vault.operations.acting import HOUSE, carrying_out, prepare, record
from vault.operations.export_subject import KEPT, context_of, end_exports, house
from vault.operations.marking import is_as_marked
from vault.operations.pack_export import Order, pack_export

PART_BYTES: Final = 262_144
LEASE: Final = timedelta(minutes=2)
MOST_ATTEMPTS: Final = 50
_LATER: Final = (AuditUnavailable, DatabaseUnavailable, KeysUnavailable)

log = structlog.get_logger()


def build_exports(vault: Vault, controller_id: str) -> int:
    """Make every export that waits, and end those that are over; return how many were made."""
    end_exports(vault, controller_id)
    made = 0
    while True:
        with vault.database.transaction(controller_id) as transaction:
            now = vault.now()
            found = records.claim(transaction, controller_id, now, now + LEASE)
        if found is None:
            return made
        try:
            _build(vault, controller_id, found)
            made += 1
        except VaultError as error:
            log.error("job_put_off", controller_id=controller_id, entry_id=found.entry_id, code=error.code)
            if found.attempt >= MOST_ATTEMPTS or not isinstance(error, (*_LATER, Conflict)):
                _fail(vault, controller_id, found, error.code)


def _build(vault: Vault, controller_id: str, one: ExportRow) -> None:
    _require_as_asked(vault, controller_id, one)
    place = package_place(controller_id, one.subject_id, one.export_id)
    key, wrap = new_package_key(one.public or b"", place)
    parts = _Parts(vault, controller_id, one, sealing(key, place))
    packed = pack_export(
        vault, Order(context_of(controller_id, one), one.subject_id, one.set, one.language), parts.write, parts.advance
    )
    parts.close()
    with vault.database.transaction(controller_id) as transaction:
        until = vault.now() + KEPT
        if not records.finish(transaction, controller_id, one, wrap, parts.size, until, special=packed.special):
            raise Conflict("export-not-ours")


def _require_as_asked(vault: Vault, controller_id: str, one: ExportRow) -> None:
    """Raise Unreadable, after an alarm, for a row that is not as somebody asked: it was put there, or changed, past us."""
    if not is_as_marked(vault, controller_id, LABEL, said(asdict(one)), one.asked):
        log.error("unreadable", code="export-not-as-asked", entry_id=one.entry_id)
        raise Unreadable("export-not-as-asked")


def _fail(vault: Vault, controller_id: str, one: ExportRow, code: str) -> None:
    """End what can never be made: who asked has lost the right to it, or something does not open."""
    acting = prepare(vault, "end_export", house(controller_id), one.subject_id, permission=HOUSE)
    record(vault, acting, outcome="failed", details={"result": code, "export": one.export_id})
    with carrying_out(vault, acting) as transaction:
        records.end(transaction, controller_id, one.export_id, "failed")


@dataclass(slots=True)
class _Parts:
    """Where a package goes: sealed, and in rows of a quarter of a megabyte. Raises Conflict once another attempt has begun."""

    vault: Vault
    controller_id: str
    of: ExportRow
    under: Cobblestone256Encryptor
    size: int = 0
    number: int = 0
    _so_far: tuple[int, int] = (0, 0)
    _held: bytearray = field(default_factory=bytearray)

    def write(self, octets: bytes) -> None:
        """Seal the next bytes, and keep them once they are many."""
        self._held += self.under.update(octets)
        if len(self._held) >= PART_BYTES:
            self._keep()

    def advance(self, done: int, total: int) -> None:
        """Take note of how far it is, to be told with the next part."""
        self._so_far = done, total

    def close(self) -> None:
        """Seal the end."""
        self._held += self.under.finalize()
        self._keep()

    def _keep(self) -> None:
        with self.vault.database.transaction(self.controller_id) as transaction:
            until = self.vault.now() + LEASE
            if not records.advance(transaction, self.controller_id, self.of, self._so_far, until):
                raise Conflict("export-not-ours")
            records.add_part(transaction, self.controller_id, self.of, self.number, bytes(self._held))
        self.size, self.number = self.size + len(self._held), self.number + 1
        self._held.clear()
