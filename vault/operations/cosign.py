"""Take a witness's signature of a checkpoint back: checked against the pinned keys, recorded, and kept beside the checkpoint.

A note that the log's key signed and its signer does not know is refused and alarmed: somebody else signs with that key.
"""

from collections.abc import Sequence

import sqlalchemy as sa
import structlog
from sqlalchemy.dialects.postgresql import insert

from vault import tables
from vault.assembly import Vault
from vault.audit.checkpoint import Note, SignerState, origin, parse_note, signed_by
from vault.audit.entry import Draft
from vault.audit.eras import era_of
from vault.audit.witness import Cosignature, Doubt, cosignatures
from vault.errors import Conflict, Fault, InvalidValue
from vault.notes import VerifierKey

AHEAD_S = 600  # of our clock: a witness that signs in the future would hide that nobody looks any more
_T = tables.audit_witnessed
_KNOWN = sa.select(_T.c.entry_id).where(
    _T.c.controller_id == sa.bindparam("controller"),
    _T.c.era == sa.bindparam("era"),
    _T.c.seconds == sa.bindparam("seconds"),
    _T.c.witness == sa.bindparam("witness"),
)
_KEEP = insert(_T).on_conflict_do_nothing()

log = structlog.get_logger()


def cosign(vault: Vault, controller_id: str, text: str, witnesses: Sequence[VerifierKey], state: SignerState) -> list[Cosignature]:
    """Keep what witnesses signed of one of our checkpoints; return what is new of it.

    Raises InvalidValue: not a checkpoint of this log, no witness that is pinned, a wrong signature, a time ahead of ours. Raises
    Conflict (`checkpoint-unknown`) for one that the signer never made. Nothing is kept in either case.
    """
    note = _own(vault, controller_id, text)
    lines = _lines(note, witnesses, int(vault.now().timestamp()))
    _expect_known(controller_id, note, state)
    point, era = note.checkpoint, era_of(note.checkpoint.origin)
    known = {"controller": controller_id, "era": era}
    new = [
        one
        for one in lines
        if not vault.database.read(controller_id, _KNOWN, known | {"seconds": one.seconds, "witness": one.witness})
    ]
    if not new:
        return []
    entry_id = vault.new_id("ent")
    draft = Draft(entry_id=entry_id, operation="witness", outcome="done", kind="operator", about={"checkpoint": point.body})
    vault.audit.record(controller_id, draft)
    row = {"controller_id": controller_id, "era": era, "size": point.size, "entry_id": entry_id}
    with vault.database.transaction(controller_id) as rows:
        rows.execute(_KEEP, [{**row, "seconds": one.seconds, "witness": one.witness, "line": one.line} for one in new])
    return new


def _own(vault: Vault, controller_id: str, text: str) -> Note:
    """Return the note, if it is a checkpoint of this controller's log, of any era, signed by its key."""
    try:
        note = parse_note(text)
    except ValueError:
        raise InvalidValue(faults=[Fault("FILE", "checkpoint.syntax")]) from None
    name = note.checkpoint.origin
    if name != origin(vault.settings.host, controller_id, era_of(name)):
        raise InvalidValue(faults=[Fault("FILE", "checkpoint.of-another-log")])
    if not signed_by(note, VerifierKey(name, vault.signing.checkpoint_key)):
        raise InvalidValue(faults=[Fault("FILE", "checkpoint.signature")])
    return note


def _lines(note: Note, witnesses: Sequence[VerifierKey], now_s: int) -> list[Cosignature]:
    try:
        lines = cosignatures(note, witnesses)
    except Doubt:
        raise InvalidValue(faults=[Fault("FILE", "cosignature.signature")]) from None
    if not lines:
        raise InvalidValue(faults=[Fault("FILE", "cosignature.no-pinned-witness")])
    if any(one.seconds > now_s + AHEAD_S for one in lines):
        raise InvalidValue(faults=[Fault("FILE", "cosignature.ahead")])
    return lines


def _expect_known(controller_id: str, note: Note, state: SignerState) -> None:
    body = note.checkpoint.body + "\n"
    if not any(text.startswith(body) for text in state.notes(note.checkpoint.origin)):
        log.error("trail", controller_id=controller_id, step="cosign", code="checkpoint-unknown")
        raise Conflict("checkpoint-unknown")
