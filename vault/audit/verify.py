"""Verifying a stored log: the scan over its rows, the pending rows behind them, and the scrub of what lies beside.

Run inside one read-only snapshot, streamed: memory does not depend on the log's length. With the keyring every check is made; with
a checkpoint and a public key alone, all those that need no secret.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from vault.audit import entry, verify_records
from vault.audit.checkpoint import Checkpoint, origin, parse_note
from vault.audit.eras import AT, RECOVERY, Beginning, beginning_of, era_of
from vault.audit.merkle import leaf_hash
from vault.audit.pruned import STEP, Pruned
from vault.audit.receipts import Promises
from vault.audit.records import FIRST_ERA, Head, head
from vault.audit.scan import Findings, FirstKey, GivenNote, Report, Scan, members_of, with_findings
from vault.audit.scrub import Scrub, ScrubKeys
from vault.audit.verify_records import EVERYTHING, LATEST_MS, Part
from vault.notes import VerifierKey

Mac = Callable[[str, bytes], bytes | None]  # None for a key that is not there; raises where keys do not answer


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
    promises: Promises | None = None,
) -> Report:
    """Verify one controller's log. `rows` is a fresh transaction of a role that reads pending rows (the sequencer's).

    `notes` are every checkpoint known: the signer's last, `checkpoints.log`, copies, and those somebody brings; they are taken
    before the snapshot, for a log grows. Without `mac` no MAC can be checked and without `keys` no details: a failure, unless
    `alone` says that only a checkpoint and a public key are at hand. `promises` are the receipts somebody brings. Raises
    Unavailable; a log not read has not been verified.
    """
    held = list(notes)
    verify_records.begin(rows)
    at = head(rows, controller_id) or Head(FIRST_ERA, 0)
    run = _Run(rows, controller_id, origin_host, held, vkey, mac, keys, promises or Promises((), b"", 0))
    later: Beginning | None = None
    reports: list[Report] = []
    links = Findings()
    for era in range(at.era, 0, -1):  # the newest first: it says what of the one before is gone, and whether details were shredded
        log = verify_records.Log(rows, controller_id, era)
        if era < at.era and not log.has_entries():
            _expect_given_up(links, held, origin(origin_host, controller_id, era), later)
            continue
        own = _beginning(log) if era > FIRST_ERA else None
        report = run.verified(log, at.size if era == at.era else None, later)
        if era < at.era:
            _link(links, later, report)
        reports.append(replace(report, lost=own.lost if own is not None else 0))
        later = own
        if era > FIRST_ERA and own is None:
            links.add("era", f"era {era} does not say what it follows", AT)
    if later is not None and later.size:
        links.add("era", f"nothing is left of {later.origin}")
    missing = [] if alone else _not_checked(mac, keys, held)
    missing += [] if run.promises.judge() else ["receipts"]
    beside = (*links.all(), *run.promises.findings.all())
    return replace(with_findings(reports[0], beside, missing, reports[0].unkeyed), before=tuple(reports[:0:-1]))


def verify_since(
    rows: Connection,
    controller_id: str,
    size: int,
    *,
    origin_host: str,
    notes: Iterable[GivenNote],
    vkey: Callable[[str], VerifierKey],
    mac: Mac,
    keys: ScrubKeys,
    carried: Sequence[int],
) -> Report:
    """Verify the newest era from the last multiple of 65,536 up to `size` on, from its beginning where that is pruned further.

    `rows` and `notes` as above; `carried` as `Scrub` takes them. What was before is taken as its tiles have it, which a checkpoint
    judges: an edited leaf there is not found here, nor what lies beside it. Raises Unavailable.
    """
    held = list(notes)
    verify_records.begin(rows)
    at = head(rows, controller_id) or Head(FIRST_ERA, 0)
    run = _Run(
        rows, controller_id, origin_host, held, vkey, mac, keys, Promises((), b"", 0), since=size // STEP * STEP, carried=carried
    )
    report = run.verified(verify_records.Log(rows, controller_id, at.era), at.size, None)
    return replace(report, not_checked=tuple(_not_checked(mac, keys, held)))


def _beginning(log: verify_records.Log) -> Beginning | None:
    """Return what an era says it follows: its second entry, or where that was pruned the entry that says so."""
    pruned = log.pruned()
    if pruned is not None:
        return beginning_of({"operation": RECOVERY, "about": pruned.begins})
    return beginning_of(members_of(log.leaf(AT) or b""))


def _expect_given_up(links: Findings, notes: Sequence[GivenNote], name: str, later: Beginning | None) -> None:
    """Of an era without entries there may be checkpoints only if a recovery said that they are lost."""
    for point in filter(None, map(_point, notes)):
        if point.origin == name and point.size and not (later is not None and later.gave_up(name, point.size)):
            links.add("era", f"{name} was signed, and nothing is left of it")


def _link(links: Findings, later: Beginning | None, report: Report) -> None:
    """Compare an era that ended with what the one after it says of it."""
    if later is not None and (later.origin, later.size, later.root) != (report.origin, report.size, report.root):
        links.add("era", f"{report.origin} is not what it was when it was frozen")


@dataclass(slots=True)
class _Run:
    """One verification, from the newest era to the first."""

    rows: Connection
    controller_id: str
    host: str
    notes: Sequence[GivenNote]
    vkey: Callable[[str], VerifierKey]
    mac: Mac | None
    keys: ScrubKeys | None
    promises: Promises
    shredded: bool = False
    since: int = 0
    carried: Sequence[int] = (0,)

    def verified(self, log: "verify_records.Log", size: int | None, later: Beginning | None) -> Report:
        """Verify one era; `size` is what the head says, None of one that ended, of which `later` says what it had lost."""
        name = origin(self.host, self.controller_id, log.era)
        notes = [one for one in self.notes if _concerns(one, name, later, is_last=size is not None)]
        scan = Scan(name, notes, self.vkey(name), log.tile, _first_keys(self.mac, self.controller_id))
        pruned = self._begin(scan, log)
        oldest_ms = self._take(scan, log, pruned)
        stray = log.stray_eras() if size is not None else []
        report = scan.finish(scan.size if size is None else size, log.writers(), log.highest_tiles(), stray)
        beside = Findings()
        if size is not None:
            scan.chains.findings = beside
            with closing(log.pending()) as pending:
                for leaf, leaf_mac in pending:
                    scan.chains.take(members_of(leaf) or {}, leaf, leaf_hash(leaf), leaf_mac, None)
        if pruned is not None:
            _at_the_bound(log, pruned, beside, shredded=self.shredded)
        unkeyed = 0
        if self.keys is not None:
            versions = {writer_id: link.secret_version for writer_id, link in scan.chains.links.items()}
            scrub = Scrub(
                self.controller_id, self.keys, versions, beside, began_before=scan.first > 0, carried=self.carried
            )  # fmt: skip
            part = EVERYTHING if pruned is not None or not scan.first else Part(scan.first, oldest_ms)
            unkeyed = _scrub(log, scrub, beside, part, shredded=self.shredded)
        return with_findings(report, beside.all(), (), unkeyed)

    def _begin(self, scan: Scan, log: "verify_records.Log") -> Pruned | None:
        """Begin where the reading does; return what was pruned before that, None where the log has more, or nothing, before."""
        pruned = log.pruned()
        if self.since > (pruned.bound if pruned is not None else 0):
            scan.begin_at(self.since, log.mac_keys())
            return None
        if pruned is not None:
            scan.begin_after(pruned)
        return pruned

    def _take(self, scan: Scan, log: "verify_records.Log", pruned: Pruned | None) -> int:
        """Take every entry from there on; return the earliest instant (ms) that one of them names."""
        oldest_ms = LATEST_MS
        with closing(log.entries(scan.first) if scan.first else log.entries()) as entries:
            for position, leaf, stored_hash, leaf_mac in entries:
                members = scan.take(position, leaf, stored_hash, leaf_mac)
                self.promises.meet(leaf)
                at_ms = members["at"] if isinstance(members.get("at"), int) else 0
                if pruned is not None and position == pruned.bound:
                    self.promises.began_ms = max(self.promises.began_ms, at_ms)
                oldest_ms = min(oldest_ms, at_ms)
                self.shredded = self.shredded or members.get("operation") == "details-shred"
        return oldest_ms


def _concerns(given: GivenNote, name: str, later: Beginning | None, *, is_last: bool) -> bool:
    """Whether a checkpoint is to be compared with this era. What is of no era, or not a checkpoint, is the last one's to refuse.

    One of those that the recovery after this era could not keep is not compared: the log says that it is lost.
    """
    point = _point(given)
    if point is None:
        return is_last
    if point.origin == name:
        return later is None or not later.gave_up(name, point.size)
    is_older = point.origin.rpartition("/")[0] == name.rpartition("/")[0] and 0 < era_of(point.origin) < era_of(name)
    return is_last and not is_older


def _point(given: GivenNote) -> Checkpoint | None:
    try:
        return parse_note(given.text).checkpoint
    except ValueError:
        return None


def _first_keys(mac: Mac | None, controller_id: str) -> FirstKey | None:
    if mac is None:
        return None
    return lambda version, writer_id: mac(f"audit-mac/{version}", entry.first_mac_message(controller_id, writer_id))


def _at_the_bound(log: "verify_records.Log", pruned: Pruned, findings: Findings, *, shredded: bool) -> None:
    """Expect nothing below the bound, and above it people's chains where they stood when the log was pruned."""
    if log.lies_below(pruned.bound):
        findings.add("prune", "rows lie below where the log begins", None, (0, pruned.bound))
    if not shredded and log.people_crossing(pruned.bound, pruned.people.size) != pruned.people.digest:
        findings.add("prune", "people's chains do not go on where they stood", pruned.bound)


def _scrub(log: "verify_records.Log", scrub: Scrub, findings: Findings, part: Part, *, shredded: bool) -> int:
    """Compare details and look-up rows with the leaves; return how many entries are of people without an audit key."""
    with closing(log.details(part)) as details:
        for row in details:
            scrub.detail(row)
    with closing(log.lookups(part)) as lookups:
        for found in lookups:
            scrub.lookup(found)
    if not shredded:  # erasure takes rows away, and says so in the log; pruning none that is above its bound
        for check, position in log.without_companions(part):
            findings.add(check, "an entry's row is missing", position)
    return scrub.unkeyed


def _not_checked(mac: Mac | None, keys: ScrubKeys | None, notes: Sequence[GivenNote]) -> list[str]:
    missing = {"mac": mac is None, "details": keys is None, "checkpoints": not notes}
    return [name for name, is_missing in missing.items() if is_missing]
