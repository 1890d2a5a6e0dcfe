"""The part of an export that tells who looked: the list, as JSON and as a table, what it is checked by, and a proof for each entry.

The same list as `hand_over_accesses` makes, and checked by the same program, but a stretch at a time: a person of whom a hundred
thousand entries tell costs no more memory than one of whom ten do. Its end is an entry of its own, so that nothing can be cut off.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
import structlog

from vault.assembly import Vault
from vault.audit import chain_records as chains
from vault.audit import entry
from vault.audit.accesses import Audience, ChainRow, Opened, concerns_others, evidence, told, unbroken
from vault.audit.merkle import Tree
from vault.audit.proofs import LogProof
from vault.audit.records import head, tile_reader
from vault.errors import AuditUnavailable, Unreadable
from vault.exports.processing import Recipients
from vault.exports.sheets import sheet
from vault.exports.zipped import Package
from vault.operations.acting import Acting
from vault.operations.hand_over_accesses import covering_checkpoint, line_of, verifier
from vault.operations.show_accesses import audience_of, audit_key, own_entry, read, recorded
from vault.operations.signing import signed_document
from vault.policy.model import Context
from vault.recipients.disclosures import disclosed

log = structlog.get_logger()
AT_ONCE: Final = 250  # entries in one statement, and in memory
COLUMNS: Final = (
    *("entry_id", "position", "at", "month", "operation", "outcome", "purpose", "reason", "role", "team", "agent", "name"),
    *("system", "channel", "recipient", "fields", "agreement", "basis", "ticket"),
)


@dataclass(frozen=True, slots=True)
class Report:
    """A list of accesses that ends with its own entry, and the checkpoint that covers it."""

    vault: Vault
    acting: Acting
    last: ChainRow
    size: int
    note: str
    eras_before: int
    ats: Sequence[int]  # of its entries, in order
    positions: Sequence[int]
    key: bytes = field(repr=False)  # of the person's chain

    def stretches(self) -> Iterator[tuple[list[Opened], Audience]]:
        """Yield the entries in order, opened, so many at a time, each with who hears of it. Raises Unreadable, with an alarm."""
        before: list[ChainRow] = []
        for begins in range(0, len(self.positions), AT_ONCE):
            found = self._from(begins)
            if not found or not unbroken([*before, *found], self.key):
                log.error("unreadable", code="accesses-missing", entry_id=self.acting.entry_id)
                raise Unreadable("accesses-missing")
            opened = read(self.vault, self.acting, found)
            yield opened, audience_of(self.vault, self.acting, opened)
            before = found[-1:]
        if not before or before[-1].entry_id != self.last.entry_id:
            log.error("unreadable", code="accesses-missing", entry_id=self.acting.entry_id)
            raise Unreadable("accesses-missing")

    def _from(self, begins: int) -> list[ChainRow]:
        context, these = self.acting.context, slice(begins, begins + AT_ONCE)
        ats, positions = self.ats[these], self.positions[these]
        with self.vault.database.snapshot(context.controller_id) as rows:
            return chains.stretch(rows, context.controller_id, self.acting.subject_id, self.last.era, ats, positions)


def begin_report(vault: Vault, context: Context, subject_id: str) -> Report:
    """Put the report on record and return it. Raises NotFound, AccessDenied, AuditUnavailable while no checkpoint covers it."""
    acting = recorded(vault, context, subject_id, "bundle")
    vault.settle(context.controller_id)
    last = own_entry(vault, acting)
    size, note = covering_checkpoint(vault, context.controller_id, last)
    with vault.database.snapshot(context.controller_id) as rows:
        before = chains.eras_before(rows, context.controller_id, subject_id, last.era)
        ats, positions = chains.places(rows, context.controller_id, subject_id, last)
    return Report(vault, acting, last, size, note, before, ats, positions, entry.chain_key(audit_key(vault, acting), "open"))


def pack_accesses(report: Report, package: Package, recipients: Recipients, advance: Callable[[int], object]) -> None:
    """Write `accesses/`; `recipients` takes every entry, `advance` how many entries and proofs were written since."""
    digests = {
        "accesses": package.add("accesses/accesses.json", _list(report, recipients, advance)),
        "evidence": package.add("accesses/evidence.json", _evidence(report)),
    }
    package.add("accesses/accesses.csv", sheet(COLUMNS, _rows(report)))
    package.add("accesses/checkpoint", [report.note.encode()])
    line = line_of({name: one.hex() for name, one in digests.items()}, report.acting.subject_id, report.last.entry_id)
    package.add("accesses/signed", [signed_document(report.vault, report.acting.context.controller_id, line)])
    package.add("offline.py", [verifier()])
    for entry_id, text in _proofs(report):
        package.add(f"accesses/proofs/{entry_id}.tlog-proof", [text.encode()])
        advance(1)


def _list(report: Report, recipients: Recipients, advance: Callable[[int], object]) -> Iterator[bytes]:
    """Yield `accesses.json`, gathering recipients on the way. An entry that tells of others counts with its month alone."""
    kept_back = report.vault.catalogue.never_to_subject
    about = {"eras_before": report.eras_before, "report": report.last.entry_id, "subject_id": report.acting.subject_id, "v": 1}
    yield b'{"accesses":['
    between = b""
    for opened, audience in report.stretches():
        shown = [told(one, audience) for one in opened]
        for one, said in zip(opened, shown, strict=True):
            party, fields = disclosed(one.leaf) or ("", {})
            recipients.add(party, fields, said["at"][:10] if "at" in said else said["month"], kept_back)
        yield between + b",\n".join(orjson.dumps(one, option=orjson.OPT_SORT_KEYS) for one in shown)
        between = b",\n"
        advance(len(opened))
    yield b"]," + orjson.dumps(about)[1:]


def _rows(report: Report) -> Iterator[Mapping[str, Any]]:
    for opened, audience in report.stretches():
        yield from (told(one, audience) for one in opened)


def _evidence(report: Report) -> Iterator[bytes]:
    """Yield `evidence.json`: what the list is checked by, its head first."""
    between = b""
    for opened, audience in report.stretches():
        said = evidence(opened, audience, report.key)
        entries = said.pop("entries")
        if not between:
            yield orjson.dumps({**said, "report": report.last.entry_id})[:-1] + b',"entries":['
        yield between + b",\n".join(orjson.dumps(one) for one in entries)
        between = b",\n"
    yield b"]}"


def _proofs(report: Report) -> Iterator[tuple[str, str]]:
    """Yield the proof of each entry that is told in full: where an entry stands in the log would tell when it happened."""
    controller_id = report.acting.context.controller_id
    for opened, audience in report.stretches():
        shown = [one for one in opened if not concerns_others(one, audience)]
        with report.vault.database.snapshot(controller_id) as rows:
            at = head(rows, controller_id)
            if at is None or at.era != report.last.era:
                raise AuditUnavailable("era-ended")
            tree = Tree(report.size, tile_reader(rows, controller_id, at))
            made = [LogProof(one.row.position, tuple(tree.inclusion(one.row.position)), report.note).text for one in shown]
        yield from zip((one.row.entry_id for one in shown), made, strict=True)
