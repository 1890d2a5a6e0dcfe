"""Recover a controller's log: the only way on after a rollback, and after a chain that does not hold.

After a rollback the log has lost what was signed. It is not signed on: the era is frozen as it stands, and the next begins at
position 0 with `writer-open` and `log-recover`, which carries the last checkpoint of before and how many entries are lost. Old
proofs stay valid. Rows still pending are moved aside verbatim, and a `log-reject` names each writer. Where a chain alone is broken
the era goes on: only that writer's rows are moved aside. Two operators and a reason stand in the entry, sealed.

Each step may be repeated: a recovery that was interrupted is finished by the next.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from threading import Event
from unicodedata import category, normalize

from sqlalchemy import Connection

from vault.assembly import Vault
from vault.audit import records, recovering
from vault.audit.checkpoint import Checkpoint, Note, SignerState, origin, parse_note, signed_by
from vault.audit.entry import Draft
from vault.audit.eras import AT, RECOVERY, REJECTION, Beginning, kept_of
from vault.audit.merkle import Tree
from vault.audit.recorder import Recorder
from vault.audit.records import FIRST_ERA, Head
from vault.audit.recovering import Rejected
from vault.audit.sequencer import Sequencer
from vault.audit.signer import NO_STATE, Signer, Standing, beginning_at, stand
from vault.database import Database
from vault.errors import AuditUnavailable, Conflict, Fault, InvalidValue, NotFound

SHORTEST_REASON = 10
LONGEST_NAME = 255
ROUNDS = 50


@dataclass(frozen=True, slots=True)
class Decided:
    """Who decided, and why; and whether they say that the signer's state is lost for good, not only elsewhere."""

    operators: tuple[str, str]
    reason: str
    state_is_gone: bool = False


@dataclass(frozen=True, slots=True)
class Tools:
    """What recovers: of its own health, for what closes the trail must not keep its repair from it. `recorder` is always open."""

    database: Database  # the sequencer's
    state: SignerState
    signer: Signer
    sequencer: Sequencer
    recorder: Recorder


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a recovery came to: the era that began, what it says of the one before, its first checkpoint, rows moved aside."""

    era: int
    beginning: Beginning
    note: str
    rejected: tuple[Rejected, ...]


def recover(vault: Vault, tools: Tools, controller_id: str, decided: Decided) -> Recovered:
    """Freeze the era that went back and begin the next. Raises InvalidValue, NotFound.

    Raises Conflict: `nothing-to-recover`; `signer-state-behind` where only the state is missing, and nobody said that it is gone.
    Raises Unavailable; then the trail stays closed, and this is to be repeated.
    """
    _expect_fit(decided)
    standing = _standing(vault, tools, controller_id)
    if standing.fault is None:
        raise Conflict("nothing-to-recover")
    era = standing.head.era
    if not _begun(tools, controller_id, standing):
        if not decided.state_is_gone:
            _expect_state(vault, tools, controller_id, standing)
        era = _highest(tools.state, partial(origin, vault.settings.host, controller_id), era) + 1
        with tools.database.transaction(controller_id) as rows:
            recovering.begin_era(rows, controller_id, standing.head.era, era)
    beginning, rejected = _say(vault, tools, controller_id, decided, era)
    rejected += _sequence(vault, tools, controller_id, decided, era)
    return Recovered(era, beginning, tools.signer.begin(controller_id).text, tuple(rejected))


def reject(vault: Vault, tools: Tools, controller_id: str, writer_id: str, decided: Decided) -> Rejected:
    """Move the rows of a writer aside whose chain is broken, from the break on, and record it first.

    Raises InvalidValue, NotFound, Conflict: `log-went-back` (recover the log), `nothing-to-recover` (its chain holds).
    """
    _expect_fit(decided)
    if _standing(vault, tools, controller_id).fault is not None:
        raise Conflict("log-went-back")
    tools.sequencer.drain(controller_id)
    found = tools.sequencer.found_break(controller_id)
    if found is None or found.writer_id != writer_id:
        faults = [Fault("--writer", f"broken: {found.writer_id or found.what}")] if found is not None else []
        raise Conflict("nothing-to-recover", faults=faults)
    with tools.database.snapshot(controller_id) as rows:
        expected = recovering.rejectable(rows, controller_id, writer_id, found.number)
    tools.recorder.record(controller_id, _rejection(vault, decided, expected))
    tools.recorder.close()
    with tools.database.transaction(controller_id) as rows:
        recovering.reject(rows, controller_id, expected)
    tools.sequencer.drain(controller_id)
    return expected


def _expect_fit(decided: Decided) -> None:
    faults = []
    names = [_compared(one) for one in decided.operators]
    if not all(names) or names[0] == names[1] or max(map(len, names)) > LONGEST_NAME:
        faults.append(Fault("/operators", "operators.not-two"))
    if any(category(sign).startswith("C") for one in decided.operators for sign in one):
        faults.append(Fault("/operators", "operators.characters"))
    if len(decided.reason.strip()) < SHORTEST_REASON:
        faults.append(Fault("/reason", "reason.too-short"))
    if faults:
        raise InvalidValue(faults=faults)


def _compared(name: str) -> str:
    """Return a name as two of them are compared: written otherwise, it is the same person."""
    return " ".join(normalize("NFKC", normalize("NFKC", name).casefold()).split())


def _standing(vault: Vault, tools: Tools, controller_id: str) -> Standing:
    with tools.database.snapshot(controller_id) as rows:
        standing = stand(rows, controller_id, vault.settings.host, tools.state, tools.signer.vkey)
    if standing is None:
        raise NotFound("controller-not-found")
    return standing


def _begun(tools: Tools, controller_id: str, standing: Standing) -> bool:
    """Whether the era is one that a recovery began and did not finish: nobody has signed it, here or in the copies."""
    era = standing.head.era
    if standing.fault != NO_STATE or era == FIRST_ERA:
        return False
    with tools.database.snapshot(controller_id) as rows:
        if records.copies(rows, controller_id, era):
            return False
        return not standing.head.size or beginning_at(rows, controller_id, era, standing.origin) is not None


def _expect_state(vault: Vault, tools: Tools, controller_id: str, standing: Standing) -> None:
    """Expect that the signer's state holds what the copies beside the log do: else it may be another's, or not mounted."""
    name = standing.origin
    with tools.database.snapshot(controller_id) as rows:
        copied, _ = _known(_signed(tools, name, records.copies(rows, controller_id, standing.head.era)))
    kept, _ = _known(_signed(tools, name, _listed(tools.state, name)))
    if max((one.size for one in copied), default=-1) > max((one.size for one in kept), default=-1):
        said = f"{vault.settings.state} holds less than the database was signed for: mount the right one, or --state-is-gone"
        raise Conflict("signer-state-behind", faults=[Fault("RISERBO_AUDIT_STATE", said)])


def _say(vault: Vault, tools: Tools, controller_id: str, decided: Decided, era: int) -> tuple[Beginning, list[Rejected]]:
    """Write the first entries of an era that has none; return what they say. What else is pending is moved aside before."""
    with tools.database.transaction(controller_id) as rows:
        at = recovering.lock(rows, controller_id)
        if not at.size:
            recovering.set_aside(rows, controller_id, era, ())
    with tools.database.snapshot(controller_id) as rows:
        ended = recovering.frozen_before(rows, controller_id, era)
        beginning = _beginning(vault, tools, controller_id, rows, ended, era)
        rejected = [one for of in (ended.era, era) for one in recovering.rejected_in(rows, controller_id, of)]
    if not at.size:
        says = _draft(vault, decided, RECOVERY, about=beginning.about)
        tools.recorder.record_all(controller_id, [says, *(_rejection(vault, decided, one) for one in rejected)])
        tools.recorder.close()
    return beginning, rejected


def _highest(state: SignerState, name: Callable[[int], str], era: int) -> int:
    """Return the newest era anything was signed of."""
    while state.last(name(era + 1)) is not None:
        era += 1
    return era


def _beginning(vault: Vault, tools: Tools, controller_id: str, rows: Connection, ended: Head, era: int) -> Beginning:
    """Return what is to be said of the era that ended, and of those after it that the database no longer knows."""
    name = partial(origin, vault.settings.host, controller_id)
    tree = Tree(ended.size, records.tile_reader(rows, controller_id, ended))
    points, newest = _known(_notes(tools, rows, controller_id, name(ended.era), ended.era))
    pruned = records.pruned_log(rows, controller_id, ended.era)
    kept = kept_of(ended.size, tree.root, points, pruned.bound if pruned is not None else 0)
    lost = max(0, max((one.size for one in points), default=0) - kept)
    for gone in range(ended.era + 1, era):
        points, found = _known(_notes(tools, rows, controller_id, name(gone), gone))
        newest = found or newest
        lost += max((one.size for one in points), default=0)
    try:
        root = tree.root()
    except ValueError:  # the tree cannot be read; what is left of it is frozen all the same
        root = bytes(32)
    return Beginning(name(ended.era), ended.size, root, kept, lost, newest)


def _known(notes: Iterator[Note]) -> tuple[list[Checkpoint], str]:
    """Return the checkpoints, and the text of the one with the greatest size; empty without any."""
    points: list[Checkpoint] = []
    most, newest = -1, ""
    for note in notes:
        points.append(note.checkpoint)
        if note.checkpoint.size > most:
            most, newest = note.checkpoint.size, note.text
    return points, newest


def _notes(tools: Tools, rows: Connection, controller_id: str, name: str, era: int) -> Iterator[Note]:
    """Return every checkpoint of an era that its key signed: the signer's, its list as far as it can be read, the copies."""
    return _signed(tools, name, [*_listed(tools.state, name), *records.copies(rows, controller_id, era)])


def _signed(tools: Tools, name: str, texts: Iterable[str]) -> Iterator[Note]:
    for text in texts:
        try:
            note = parse_note(text)
        except ValueError:
            continue
        if note.checkpoint.origin == name and signed_by(note, tools.signer.vkey(name)):
            yield note


def _listed(state: SignerState, name: str) -> Iterator[str]:
    if (last := state.last(name)) is not None:
        yield last
    try:
        yield from state.notes(name)
    except AuditUnavailable:  # a damaged list is no reason to stay closed for ever
        return


def _rejection(vault: Vault, decided: Decided, one: Rejected) -> Draft:
    return _draft(vault, decided, REJECTION, about={"writer": one.writer_id, "number": one.number}, count=one.count)


def _draft(vault: Vault, decided: Decided, operation: str, *, about: dict[str, object], count: int | None = None) -> Draft:
    operators = [one.strip() for one in decided.operators]
    return Draft(
        entry_id=vault.new_id("ent"), operation=operation, outcome="done", kind="operator", caller_id=operators[0],
        roles=("operator",), about=about, count=count, internal={"operators": operators, "reason_text": decided.reason.strip()},
    )  # fmt: skip


def _sequence(vault: Vault, tools: Tools, controller_id: str, decided: Decided, era: int) -> list[Rejected]:
    """Sequence the first entries; return what had to be moved aside for that. Raises AuditUnavailable: to be repeated."""
    gone: list[Rejected] = []
    for _ in range(ROUNDS):
        tools.sequencer.drain(controller_id)
        with tools.database.snapshot(controller_id) as rows:
            if records.leaf_at(rows, controller_id, era, AT) is not None:
                return gone
        if tools.sequencer.found_break(controller_id) is None:
            Event().wait(0.1)  # another process has the head, and does the same
            continue
        own = tools.recorder.acknowledged(controller_id).writers()
        with tools.database.transaction(controller_id) as rows:
            found = recovering.set_aside(rows, controller_id, era, own)
        tools.recorder.record_all(controller_id, [_rejection(vault, decided, one) for one in found])
        tools.recorder.close()
        gone += found
    raise AuditUnavailable(retry_after_s=5)
