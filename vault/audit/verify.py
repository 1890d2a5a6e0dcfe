"""Verifying a stored log: the scan over its rows, the pending rows behind them, and the scrub of what lies beside.

Run inside one read-only snapshot, streamed: memory does not depend on the log's length. With the keyring every check is made; with
a checkpoint and a public key alone, all those that need no secret.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import closing

from sqlalchemy import Connection

from vault.audit import entry, verify_records
from vault.audit.checkpoint import origin
from vault.audit.merkle import leaf_hash
from vault.audit.records import FIRST_ERA, Head, head
from vault.audit.scan import Findings, FirstKey, GivenNote, Report, Scan, members_of, with_findings
from vault.audit.scrub import Scrub, ScrubKeys
from vault.notes import VerifierKey

Mac = Callable[[str, bytes], bytes]


def verify_log(
    rows: Connection,
    controller_id: str,
    *,
    origin_host: str,
    notes: Iterable[GivenNote],
    vkey: Callable[[str], VerifierKey],
    mac: Mac | None,
    keys: ScrubKeys | None = None,
    alone: bool = False,
) -> Report:
    """Verify one controller's log. `rows` is a fresh transaction of a role that reads pending rows (the sequencer's).

    `notes` are every checkpoint known: the signer's last, `checkpoints.log`, copies, and those somebody brings; they are taken
    before the snapshot, for a log grows. Without `mac` no MAC can be checked and without `keys` no details: a failure, unless
    `alone` says that only a checkpoint and a public key are at hand. Raises Unavailable; a log not read has not been verified.
    """
    held = list(notes)
    verify_records.begin(rows)
    at = head(rows, controller_id) or Head(FIRST_ERA, 0)
    name = origin(origin_host, controller_id, at.era)
    log = verify_records.Log(rows, controller_id, at.era)
    scan = Scan(name, held, vkey(name), log.tile, _first_keys(mac, controller_id))
    pruned = log.pruned()
    if pruned is not None:
        scan.begin_after(pruned)
    shredded = False
    with closing(log.entries(pruned.bound) if pruned is not None else log.entries()) as entries:
        for position, leaf, stored_hash, leaf_mac in entries:
            members = scan.take(position, leaf, stored_hash, leaf_mac)
            shredded = shredded or members.get("operation") in ("details-shred", "log-prune")
    report = scan.finish(at.size, log.writers(), log.highest_tiles(), log.stray_eras())
    beside = Findings()
    scan.chains.findings = beside
    with closing(log.pending()) as pending:
        for leaf, leaf_mac in pending:
            scan.chains.take(members_of(leaf) or {}, leaf, leaf_hash(leaf), leaf_mac, None)
    unkeyed = 0
    if keys is not None:
        versions = {writer_id: link.secret_version for writer_id, link in scan.chains.links.items()}
        scrub = Scrub(controller_id, keys, versions, beside, began_before=pruned is not None)
        unkeyed = _scrub(log, scrub, beside, shredded=shredded)
    return with_findings(report, beside.all(), () if alone else _not_checked(mac, keys, held), unkeyed)


def _first_keys(mac: Mac | None, controller_id: str) -> FirstKey | None:
    if mac is None:
        return None
    return lambda version, writer_id: mac(f"audit-mac/{version}", entry.first_mac_message(controller_id, writer_id))


def _scrub(log: "verify_records.Log", scrub: Scrub, findings: Findings, *, shredded: bool) -> int:
    """Compare details and look-up rows with the leaves; return how many entries are of people without an audit key."""
    with closing(log.details()) as details:
        for row in details:
            scrub.detail(row)
    with closing(log.lookups()) as lookups:
        for found in lookups:
            scrub.lookup(found)
    if not shredded:  # erasure and pruning take rows away, and say so in the log
        for check, position in log.without_companions():
            findings.add(check, "an entry's row is missing", position)
    return scrub.unkeyed


def _not_checked(mac: Mac | None, keys: ScrubKeys | None, notes: Sequence[GivenNote]) -> list[str]:
    missing = {"mac": mac is None, "details": keys is None, "checkpoints": not notes}
    return [name for name, is_missing in missing.items() if is_missing]
