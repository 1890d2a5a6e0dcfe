"""Certify an erasure: the account of it as one line of RFC 8785 JSON, a signed note that anybody checks with the public key alone.

It says what was destroyed and how, what is kept and why, the ledger's line, the entry and where the trail's tree had it; no name
and no value. Recipients stand as they do on its day. What is not known yet is null: an epoch's root that was not destroyed
makes nothing final.
"""

from contextlib import suppress
from typing import Any, Final

import orjson
import rfc8785
from sqlalchemy import Connection

from vault.assembly import Vault
from vault.audit import records as audit
from vault.erasure import records as erasures
from vault.erasure.ledger import Line
from vault.erasure.plan import spelt
from vault.erasure.records import CertificateRow, ErasureRow
from vault.errors import NotFound, Unavailable, Unreadable
from vault.notes import signed_text
from vault.operations.show_log import newest_note
from vault.operations.signing import document_key, signed_document
from vault.operations.tasking import told_of
from vault.recipients import task_records

_OURS: Final = frozenset({"certificate_id", "controller_id", "ledger", "audit", "epochs", "issued_at", "recipients"})


def certify(vault: Vault, controller_id: str, made: ErasureRow, line: Line, stage: str) -> tuple[str, bytes]:
    """Return the certificate of an erasure at this stage, signed and kept; the one there is, if there is one."""
    with vault.database.snapshot(controller_id) as rows:
        before = erasures.certificate_of(rows, controller_id, made.erasure_id, stage)
    if before is not None:
        return before
    with suppress(Unavailable):
        vault.settle(controller_id)
    at, certificate_id = vault.now(), vault.new_id("crt")
    with vault.database.snapshot(controller_id) as rows:
        trail = _in_the_trail(vault, rows, controller_id, made.entry_id)
        owing = told_of(task_records.caused_by(rows, controller_id, made.entry_id), at)
    said = {
        **made.result, "recipients": owing, "certificate_id": certificate_id, "controller_id": controller_id,
        "ledger": _place(line), "audit": trail,
        "epochs": [made.epoch], "state": f"erased-{stage}", "issued_at": spelt(at),
    }  # fmt: skip
    note = signed_document(vault, controller_id, rfc8785.dumps(said))
    with vault.database.transaction(controller_id) as transaction:
        row = CertificateRow(certificate_id, made.erasure_id, stage, note, at, made.entry_id)
        erasures.add_certificate(transaction, controller_id, row)
    return certificate_id, note


def certified(vault: Vault, controller_id: str, note: bytes, line: Line) -> dict[str, Any]:
    """Return what a certificate says of the erasure this line of the ledger tells of. Raises Unreadable for any other note."""
    try:
        body = signed_text(document_key(vault, controller_id), note)
    except ValueError:
        raise Unreadable("certificate-differs") from None
    said: dict[str, Any] = orjson.loads(body)  # ours: it was signed
    if (said.get("ledger"), said.get("controller_id")) != (_place(line), controller_id):
        raise Unreadable("certificate-differs")
    return said


def account_of(said: dict[str, Any]) -> dict[str, Any]:
    """Return the account a certificate was made from."""
    return {name: value for name, value in said.items() if name not in _OURS}


def _place(line: Line) -> dict[str, Any]:
    return {"n": line.number, "sha256": line.tail.digest.hex()}


def _in_the_trail(vault: Vault, rows: Connection, controller_id: str, entry_id: str) -> dict[str, Any]:
    """Return where the log has the entry, and under which checkpoint; null while it has no position or no signature."""
    stored = audit.entry_by_id(rows, controller_id, entry_id)
    place: dict[str, Any] = {"entry_id": entry_id, "position": None, "checkpoint": None}
    if stored is None:
        return place
    place["position"] = stored.position
    with suppress(NotFound, Unreadable):
        point = newest_note(vault, rows, controller_id, stored.era).checkpoint
        if stored.position < point.size:
            place["checkpoint"] = {"origin": point.origin, "size": point.size, "root": point.root.hex()}
    return place
