"""Verify a controller's audit trail: everything recomputed from leaf bytes, against every checkpoint known.

With the keyring and the signer's state every check is made. With a checkpoint somebody kept and the log's public key alone, every
check is made that needs no secret: that is what an outsider can do.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import lru_cache, partial
from itertools import count

import sqlalchemy as sa

from vault import tables
from vault.assembly import Vault
from vault.audit import verify_records
from vault.audit.checkpoint import SignerState, origin, parse_note
from vault.audit.cosigned import Cosigned
from vault.audit.receipts import Promises
from vault.audit.records import FIRST_ERA, head
from vault.audit.scan import GivenNote, Report, with_findings
from vault.audit.scrub import ScrubKeys
from vault.audit.verify import Mac, verify_log, verify_since
from vault.database import Database
from vault.errors import Unreadable
from vault.keys import data_keys
from vault.notes import VerifierKey, parse_vkey

_K = tables.subject_audit_key.c
_AUDIT_KEY = (
    sa.select(_K.epoch, _K.wrap)
    .where(_K.controller_id == sa.bindparam("controller_id"), _K.subject_id == sa.bindparam("subject_id"))
    .order_by(_K.epoch.desc())
    .limit(1)
)


def verify_trail(
    vault: Vault,
    database: Database,
    controller_id: str,
    state: SignerState,
    public_key: bytes,
    mac: Mac,
    against: Sequence[GivenNote] = (),
    receipts: Sequence[str] = (),
) -> Report:
    """Verify with everything: signer's state, MACs, details and look-up rows, witnesses' lines, notes and receipts somebody brings.

    `database` is the sequencer's: pending entries are nobody else's to read.
    """
    host = vault.settings.host
    with database.snapshot(controller_id) as rows:
        at = head(rows, controller_id)
    present = at.era if at is not None else FIRST_ERA
    notes = [*_of_every_era(state, host, controller_id, present), *against]
    origins = [origin(host, controller_id, era) for era in range(FIRST_ERA, present + 1)]
    promises = Promises(origins, vault.signing.receipt_key, int(vault.now().timestamp() * 1000)).hold(receipts)
    cosigned = Cosigned(partial(origin, host, controller_id), vault.signing.witnesses, notes)
    with database.transaction(controller_id) as rows:
        verify_records.begin(rows)
        for one in verify_records.cosigned(rows, controller_id):
            cosigned.take(*one)
    with database.transaction(controller_id) as rows:
        report = verify_log(
            rows, controller_id, origin_host=host, notes=[*notes, *cosigned.given], vkey=lambda of: VerifierKey(of, public_key),
            mac=mac, keys=scrub_keys(vault, controller_id), promises=promises,
        )  # fmt: skip
    return with_findings(report, cosigned.findings.all(), report.not_checked, report.unkeyed)


def verify_recent(
    vault: Vault, database: Database, controller_id: str, state: SignerState, public_key: bytes, mac: Mac, since: datetime
) -> Report:
    """Verify what was sequenced since an instant, and up to 65,535 entries before it, in the newest era.

    With MACs, details, look-up rows and the signer's notes of that time; without copies of them, witnesses' lines and receipts.
    Where the log stood then the signer's state says, which is not in the database. `database` is the sequencer's.
    """
    host = vault.settings.host
    with database.snapshot(controller_id) as rows:
        at = head(rows, controller_id)
    name = origin(host, controller_id, at.era if at is not None else FIRST_ERA)
    notes = list(state.notes(name, int(since.timestamp() * 1000)))
    with database.transaction(controller_id) as rows:
        return verify_since(
            rows, controller_id, _size(notes), origin_host=host, vkey=lambda of: VerifierKey(of, public_key), mac=mac,
            notes=[GivenNote(f"checkpoints.log, note {number} of these days", text) for number, text in enumerate(notes, 1)],
            keys=scrub_keys(vault, controller_id), carried=_audit_versions(vault, controller_id),
        )  # fmt: skip


def _size(notes: Sequence[str]) -> int:
    """Return how long the log was at the first of these notes; 0, which is to read everything, where it does not say."""
    try:
        return parse_note(notes[0]).checkpoint.size if notes else 0
    except ValueError:
        return 0


def _audit_versions(vault: Vault, controller_id: str) -> list[int]:
    """Return every version of secret `audit` there is, the newest first: any of them may be that of a writer of these days."""
    versions = [vault.keys.secret(controller_id, "audit").version]
    for version in range(versions[0] - 1, 0, -1):
        try:
            versions.append(vault.keys.secret(controller_id, "audit", version).version)
        except Unreadable:
            break
    return versions


def verify_alone(database: Database, controller_id: str, host: str, against: Sequence[GivenNote], vkey: str) -> Report:
    """Verify with checkpoints and the log's public key alone (a C2SP verifier key)."""
    key = parse_vkey(vkey)

    def of_era(name: str) -> VerifierKey:
        """One key signs every era of a log."""
        return VerifierKey(name, key.public) if name.rpartition("/")[0] == key.name.rpartition("/")[0] else key

    with database.transaction(controller_id) as rows:
        return verify_log(rows, controller_id, origin_host=host, notes=against, vkey=of_era, mac=None, alone=True)


def _of_every_era(state: SignerState, host: str, controller_id: str, era: int) -> Iterator[GivenNote]:
    """Yield what was signed in each era up to the newest that anything was signed in."""
    for number in count(FIRST_ERA):
        name = origin(host, controller_id, number)
        if number > era and state.last(name) is None:
            return
        yield from _kept(state, name)


def _kept(state: SignerState, name: str) -> Iterator[GivenNote]:
    last = state.last(name)
    if last is not None:
        yield GivenNote("signer's state", last)
    for number, text in enumerate(state.notes(name), 1):
        yield GivenNote(f"checkpoints.log, note {number}", text)


def scrub_keys(vault: Vault, controller_id: str) -> ScrubKeys:
    """Return how sealed details of a controller's entries are opened. Whoever shows them has recorded the looking."""

    @lru_cache(maxsize=1024)  # a verification asks for each person's once, in turn: it must not end with all of them in memory
    def audit_key(subject_id: str) -> bytes | None:
        rows = vault.database.read(controller_id, _AUDIT_KEY, {"controller_id": controller_id, "subject_id": subject_id})
        if not rows:
            return None
        return data_keys.unwrap_audit_key(vault.keys, controller_id, subject_id, rows[0].epoch, rows[0].wrap)

    return ScrubKeys(audit_key, lambda version: vault.keys.secret(controller_id, "audit", version).key, data_keys.open_bytes)
