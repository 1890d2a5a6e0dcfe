"""The parts a running vault is put together from: pools, keys, MACs, signatures, the erasure ledger, each made of the settings."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from vault import tables
from vault.assembly import Controller, Signing
from vault.connectors.erasure_ledger import DirectoryLedger
from vault.connectors.key_exports import ledger_lines_told
from vault.connectors.keyrings.file import FileKeyring
from vault.connectors.policy_keys import read_witnesses
from vault.database import Database
from vault.errors import NotFound
from vault.keys import records
from vault.keys.controller_keys import ControllerKeyRows, ControllerKeys
from vault.settings import Settings

_CONTROLLER: Final = sa.select(tables.controller.c.zone, tables.controller.c.languages)
CHECKPOINT_KEY, RECEIPT_KEY, DOCUMENT_KEY, LEDGER_KEY = "audit-sign/1", "audit-receipt/1", "document-sign/1", "ledger/1"
NAMES: Final = ("audit-mac/1", CHECKPOINT_KEY, RECEIPT_KEY, DOCUMENT_KEY, LEDGER_KEY)  # of the keys a keyring holds beside roots


@contextmanager
def pools(url: str, role: str) -> Iterator[Database]:
    """Yield the pools of a role, and close them."""
    database = Database(url, role)
    try:
        yield database
    finally:
        database.close()


def controller_keys(settings: Settings, app: Database, keyring: FileKeyring) -> ControllerKeys:
    """Return the keys of controllers, read when they are asked for."""

    def load(controller_id: str) -> ControllerKeyRows:
        with app.snapshot(controller_id) as rows:
            return records.load_controller(rows, controller_id)

    def reserve(controller_id: str, epoch: int, count: int) -> int:
        with app.transaction(controller_id) as rows:
            return records.reserve_wraps(rows, controller_id, epoch, count)

    return ControllerKeys(
        keyring, load, time.monotonic, settings.key_lifetime_s, installation=settings.installation, reserve=reserve
    )


def mac_of(keyring: FileKeyring) -> Callable[[str, bytes], bytes]:
    """Return what makes MACs with a key of the keyring."""
    return lambda key, message: keyring.mac(key, [message])[0]


def mac_of_those_there(keyring: FileKeyring) -> Callable[[str, bytes], bytes | None]:
    """Return what makes MACs with keys that rows name: None where there is none of that name, or no more."""
    return lambda key, message: None if keyring.state(key) in ("absent", "destroyed") else keyring.mac(key, [message])[0]


def signing_of(keyring: FileKeyring, settings: Settings) -> Signing:
    """Return what signs documents and receipts, and the public keys of what the vault signs."""
    return Signing(
        sign_document=lambda message: keyring.sign(DOCUMENT_KEY, message),
        sign_receipt=lambda message: keyring.sign(RECEIPT_KEY, message),
        document_key=keyring.public_key(DOCUMENT_KEY),
        checkpoint_key=keyring.public_key(CHECKPOINT_KEY),
        receipt_key=keyring.public_key(RECEIPT_KEY),
        witnesses=read_witnesses(settings.witness_keys),
    )


def ledger_of(keyring: FileKeyring, settings: Settings) -> DirectoryLedger:
    """Return the erasure ledger in its directories."""
    return DirectoryLedger(
        settings.erasure_ledgers,
        forbidden=[settings.data],
        sign=lambda message: keyring.sign(DOCUMENT_KEY, message),
        public=keyring.public_key(DOCUMENT_KEY),
        mac=lambda message: keyring.mac(LEDGER_KEY, [message])[0],
        at_least=ledger_lines_told(settings.exports_of_keys, settings.installation),
    )


def controller_of(app: Database, controller_id: str) -> Controller:
    """Return a controller as its row says. Raises NotFound."""
    rows = app.read(controller_id, _CONTROLLER, {})
    if not rows:
        raise NotFound("controller-not-found")
    return Controller(controller_id, ZoneInfo(rows[0].zone), tuple(rows[0].languages))
