"""Import customers of another system, with what they agreed to: fast, any length of file, killed and repeated at will.

Reading runs ahead in a process of its own; this thread seals and records, one more inserts; between them stand a few chunks.
For each chunk the entries are committed first, by the import's own recorder lane, one for each customer; then one transaction
inserts what was sealed. A kill between the two leaves entries of acts that did not happen, the safe direction.

Repeating it changes nothing: a customer number the vault knows is found by its blind index, and if

- the same file names it in another line: refused, `customer_number.duplicate` (the first valid line wins);
- the line says what it said when it was imported: `unchanged`, whatever was amended in the vault since;
- the line says something else: refused, `customer_number.exists_different`; no import brought it: `customer_number.exists`;
- somebody with one of its identifiers was erased: refused, `previously-erased`. A list is no evidence that they agreed anew.

Nothing is overwritten silently: what changed elsewhere is amended as such, by a verb that records it field by field.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from hashlib import sha256
from hmac import compare_digest
from pathlib import Path
from typing import Any, BinaryIO, Literal

import sqlalchemy as sa

from vault import tables
from vault.assembly import Vault
from vault.audit.recorder import RecorderLane
from vault.errors import Fault, InvalidValue, Unavailable, VaultError
from vault.importing import records as lines
from vault.importing.ahead import read_ahead, read_here
from vault.importing.lines import Record, chunks, records
from vault.importing.mapping import CUSTOMER_NUMBER, load_mapping
from vault.importing.reading import Customer, CustomerReader, FieldKind, Refusal
from vault.importing.records import KnownLine
from vault.importing.report import Report
from vault.operations.imported import (
    Newcomer,
    Numbered,
    Run,
    line_digest,
    numbered,
    require_sources,
    run_entry,
    sealed,
    templates_of,
)
from vault.operations.keeping import keep_templates
from vault.operations.known_again import known_again
from vault.profiles.catalogue import names_card_secret
from vault.profiles.normalise import normalise

WORTH_A_PROCESS_BYTES = 1 << 20
CHUNKS_UNDER_WAY = 2  # one inserted while the next is sealed
ENTRIES_AT_ONCE = 250  # a commit of the trail has three seconds, on a busy machine too
_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What became of the lines. `accepted` counts those written and those found equal (`unchanged`)."""

    accepted: int
    unchanged: int
    refused: int
    refused_by_code: dict[str, int]
    report: Path


@dataclass(frozen=True, slots=True)
class Chunk:
    """What is to be done about some lines, or was. `seen`: subject id → line, of customers another file named last."""

    last_line: int
    new: Sequence[Newcomer]
    unchanged: int
    seen: dict[str, int]
    refusals: Sequence[Refusal]


@dataclass(frozen=True, slots=True)
class _Inserting:
    """A recorded chunk on its way; `done` gives the numbers that were known after all."""

    chunk: Chunk
    done: "Future[dict[bytes, KnownLine]]"


def run_import(
    vault: Vault,
    controller_id: str,
    path: Path,
    mapping: Path,
    progress: Callable[[int, int | None], None] | None = None,
    report: Path | None = None,
) -> ImportResult:
    """Import a file by a mapping. `progress` is told the last line done and how many lines there are.

    Refused lines go to `report`, by default RISERBO_HOME/state/imports/<time>.csv. Raises InvalidValue: mapping, header or report
    is at fault, and nothing was read; NotFound: no such controller; Unavailable: what was done so far stays, run it again.
    """
    layout = load_mapping(mapping.read_bytes(), vault.catalogue.fields, names_card_secret)
    controller, templates, at = vault.controller(controller_id), templates_of(vault, layout), vault.now()
    require_sources(vault, layout, at)
    with path.open("rb") as file:
        digest, total = _measured(file)
        run = Run(vault, controller, layout, templates, digest, at)
        found = records(file, layout.file)
        reader = _reader(run, found)
        reading = read_ahead if path.stat().st_size > WORTH_A_PROCESS_BYTES else read_here
        kept = report or vault.settings.state / "imports" / f"{at:%Y%m%dT%H%M%S.%fZ}.csv"
        with Report(kept) as refused, closing(reading(reader, chunks(found))) as read:
            accepted = unchanged = 0
            for chunk in Importing(run).carry_out(read):
                accepted += len(chunk.new) + chunk.unchanged
                unchanged += chunk.unchanged
                refused.add(chunk.refusals)
                if progress is not None:
                    progress(chunk.last_line, total)
    return ImportResult(accepted, unchanged, refused.counts.total(), dict(sorted(refused.counts.items())), refused.path)


class Importing:
    """One import under way: sorts, seals and records in the caller's thread, inserts in one of its own."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._controller_id = run.controller.controller_id
        self._index = run.vault.catalogue.fields[CUSTOMER_NUMBER].index or CUSTOMER_NUMBER
        self._column = run.layout.fields[CUSTOMER_NUMBER].columns()[0]
        # Numbers of the chunks that may not be committed yet when the next one is looked up.
        self._recent: deque[dict[bytes, int]] = deque(maxlen=CHUNKS_UNDER_WAY + 1)

    def carry_out(self, read: Iterable[list[Customer | Refusal]]) -> Iterator[Chunk]:
        """Yield each chunk when it is committed, in order. Raises Unavailable: what was yielded stays."""
        begun, counts = run_entry(self._run, "allowed"), Counter(accepted=0, unchanged=0, refused=0)
        under_way: deque[_Inserting] = deque()
        with closing(self._run.vault.audit.open_lane(self._controller_id)) as lane, ThreadPoolExecutor(1, "import") as writer:
            lane.record_all([begun])
            try:
                for chunk in self._committed(read, lane, writer, under_way):
                    counts.update(accepted=len(chunk.new) + chunk.unchanged, unchanged=chunk.unchanged, refused=len(chunk.refusals))
                    yield chunk
                lane.record_all([run_entry(self._run, "partial" if counts["refused"] else "done", counts)])
            except VaultError:
                lost = [one for one in under_way if one.done.exception() is not None]
                self._undo(lane, [newcomer for one in lost for newcomer in one.chunk.new])
                with suppress(Unavailable):
                    lane.record_all([run_entry(self._run, "failed", counts, ref=begun.entry_id)])
                raise

    def _committed(
        self,
        read: Iterable[list[Customer | Refusal]],
        lane: RecorderLane,
        writer: ThreadPoolExecutor,
        under_way: "deque[_Inserting]",
    ) -> Iterator[Chunk]:
        for part in read:
            chunk = self._sorted_out(part)
            self._record(lane, chunk.new)
            under_way.append(_Inserting(chunk, writer.submit(self._insert, chunk)))
            if len(under_way) == CHUNKS_UNDER_WAY:
                yield self._settled(lane, under_way)
        while under_way:
            yield self._settled(lane, under_way)

    def _record(self, lane: RecorderLane, new: Sequence[Newcomer]) -> None:
        """Commit the entries of new customers. If one group cannot be, the groups before it did not happen after all."""
        for at in range(0, len(new), ENTRIES_AT_ONCE):
            try:
                lane.record_all([one.draft for one in new[at : at + ENTRIES_AT_ONCE]])
            except VaultError:
                self._undo(lane, new[:at])
                raise

    def _undo(self, lane: RecorderLane, new: Sequence[Newcomer]) -> None:
        """Say of recorded customers that they were not taken in after all; if that cannot be said, the log over-reports."""
        undone = [run_entry(self._run, "failed", ref=one.draft.entry_id) for one in new]
        with suppress(Unavailable):
            for at in range(0, len(undone), ENTRIES_AT_ONCE):
                lane.record_all(undone[at : at + ENTRIES_AT_ONCE])

    def _settled(self, lane: RecorderLane, under_way: "deque[_Inserting]") -> Chunk:
        """Return the oldest chunk as it was inserted. Numbers somebody took meanwhile are told apart here."""
        chunk, taken = under_way[0].chunk, under_way[0].done.result()
        under_way.popleft()
        if not taken:
            return chunk
        late = [one for one in chunk.new if one.numbered.bidx in taken]
        self._undo(lane, late)
        verdicts = [(one.numbered, self._verdict(one.numbered, taken[one.numbered.bidx])) for one in late]
        refusals = [self._refusal(one, verdict) for one, verdict in verdicts if verdict != "unchanged"]
        return replace(
            chunk,
            new=[one for one in chunk.new if one.numbered.bidx not in taken],
            unchanged=chunk.unchanged + len(late) - len(refusals),
            refusals=sorted([*chunk.refusals, *refusals], key=lambda one: one.line),
        )

    def _sorted_out(self, part: list[Customer | Refusal]) -> Chunk:
        """Tell new customers from known ones and duplicates, and seal the new."""
        customers = [numbered(self._run, one) for one in part if isinstance(one, Customer)]
        with self._run.vault.database.snapshot(self._controller_id) as rows:
            known = self._known(rows, [one.bidx for one in customers])
            again = known_again(
                self._run.vault, rows, self._controller_id, [one.customer.values for one in customers], self._run.at
            )
        refusals = [one for one in part if isinstance(one, Refusal)]
        new: list[Newcomer] = []
        mine: dict[bytes, int] = {}
        seen: dict[str, int] = {}
        unchanged = 0
        self._recent.append(mine)
        for one, before in zip(customers, again, strict=True):
            if any(one.bidx in numbers for numbers in self._recent):
                refusals.append(self._refusal(one, "duplicate"))
            elif (line := known.get(one.bidx)) is None:
                made = sealed(self._run, one, before)
                if isinstance(made, Refusal):
                    refusals.append(made)
                    continue
                new.append(made)
                mine[one.bidx] = one.customer.line
            elif (verdict := self._verdict(one, line)) == "unchanged":
                unchanged += 1
                mine[one.bidx] = one.customer.line
                seen |= {line.subject_id: one.customer.line} if line.file_sha256 != self._run.file_sha256 else {}
            else:
                refusals.append(self._refusal(one, verdict))
        return Chunk(part[-1].line, new, unchanged, seen, sorted(refusals, key=lambda one: one.line))

    def _insert(self, chunk: Chunk) -> dict[bytes, KnownLine]:
        """Insert the new customers in one transaction; return those known after all, who were not inserted."""
        if not chunk.new and not chunk.seen:
            return {}
        values = [one.numbered.bidx for one in chunk.new]
        with self._run.vault.database.transaction(self._controller_id) as transaction:
            lines.lock_values(transaction, self._controller_id, self._index, values)
            taken = self._known(transaction, values)
            made: dict[sa.Table, list[dict[str, Any]]] = {}
            for one in chunk.new:
                if one.numbered.bidx not in taken:
                    for table, rows in one.rows.items():
                        made.setdefault(table, []).extend(rows)
            keep_templates(self._run.vault, transaction, self._controller_id, made.get(tables.agreement, ()), self._run.at)
            for table, rows in made.items():
                lines.insert_many(transaction, table, rows)
            lines.mark_seen(transaction, self._controller_id, self._run.file_sha256, chunk.seen)
        return taken

    def _known(self, rows: sa.Connection, values: Sequence[bytes]) -> dict[bytes, KnownLine]:
        version = self._run.vault.keys.secret(self._controller_id, "index").version
        return lines.known_lines(rows, self._controller_id, self._index, version, values)

    def _verdict(self, one: Numbered, known: KnownLine) -> Literal["unchanged", "duplicate", "exists", "exists_different"]:
        if known.digest is None:
            return "exists"
        if known.file_sha256 == self._run.file_sha256 and known.line != one.customer.line:
            return "duplicate"
        same = compare_digest(known.digest, line_digest(self._run, one.customer, known.digest_version))
        return "unchanged" if same else "exists_different"

    def _refusal(self, one: Numbered, problem: str) -> Refusal:
        return Refusal(one.customer.line, self._column, f"{CUSTOMER_NUMBER}.{problem}")


def _reader(run: Run, found: Iterator[Record]) -> CustomerReader:
    """Return the reader of this file. Raises InvalidValue where the first record of a CSV file is not the mapping's header."""
    header = None
    if run.layout.file.format == "csv":
        header = next(found, None)
        if header is None:
            raise InvalidValue("invalid-mapping", faults=[Fault("/file", "file.empty")])
    kinds = {name: FieldKind(one.type, frozenset(one.values)) for name, one in run.vault.catalogue.fields.items()}
    return CustomerReader(run.layout, kinds, normalise, run.at.astimezone(run.controller.zone).date(), header)


def _measured(file: BinaryIO) -> tuple[bytes, int]:
    """Return the SHA-256 of a file and how many lines it has; it is then at its beginning."""
    digest, total, last = sha256(), 0, b"\n"
    while block := file.read(_BLOCK_BYTES):
        digest.update(block)
        total += block.count(b"\n")
        last = block[-1:]
    file.seek(0)
    return digest.digest(), total + (last != b"\n")
