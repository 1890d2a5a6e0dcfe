"""Carry out what the erasure ledger tells of and this database does not show: after a crash, and after a backup was restored.

What the ledger tells of was decided once, so nobody decides it again: the acts run with the house's right, each on record. People
are found by the data keys that were to go, then by making the MAC of everybody there is; whoever is not here needs no erasing.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import structlog

from vault.assembly import Vault
from vault.erasure import records as erasures
from vault.erasure.ledger import GIVING_BACK, Line, Op, Tail, to_replay
from vault.errors import LedgerUnavailable, VaultError
from vault.keys import frame
from vault.operations.acting import HOUSE, NOBODY, Acting, is_gone, prepare, record
from vault.operations.erase import carry_out, finish
from vault.operations.erasing import read_case
from vault.operations.forget_barred import forget_again
from vault.operations.narrow import narrow_recorded
from vault.operations.object_to import What, object_recorded
from vault.operations.obscure import obscure_recorded
from vault.operations.on_ledger import close, found_on_ledger
from vault.operations.record_death import death_recorded
from vault.operations.restrict import lift_recorded, restrict_recorded
from vault.operations.withdraw import withdraw_recorded
from vault.policy.model import Caller, Context

log = structlog.get_logger()
_CALLER = Caller(id="job:ledger", kind="job", roles=frozenset(), client_id="riserbo")


@dataclass(frozen=True, slots=True)
class Replayed:
    """How many acts of the ledger were carried out, by what they are, and for how many people."""

    acts: Mapping[str, int]
    people: int


def catch_up(vault: Vault) -> None:
    """Begin what is not on the ledger yet, and carry out what nothing closed. One that cannot be is put off, and said so."""
    for controller_id in vault.database.controllers():
        try:
            found_on_ledger(vault, controller_id)
            finish_acts(vault, controller_id)
        except VaultError as error:
            log.error("ledger_put_off", controller_id=controller_id, code=error.code)


def finish_acts(vault: Vault, controller_id: str, until: datetime | None = None) -> int:
    """Carry out every act of a controller that nothing closed, told until then; return how many.

    Whatever runs beside this ends its own acts within minutes. A database that went back is left alone.
    """
    until_ms = int((until or vault.now()).timestamp() * 1000)
    unfinished = [one for one in vault.ledger.unfinished(controller_id) if one.said.at_ms <= until_ms]
    if not unfinished or vault.ledger.standing(controller_id, _mark(vault, controller_id)) != "level":
        return 0
    governed, people = vault.governed(controller_id), _People(vault, controller_id)
    found = [_apply(governed, controller_id, line, people) for line in unfinished if _is_open(vault, line)]
    return len(found)


def replay(vault: Vault, controller_id: str) -> Replayed:
    """Carry out everything the ledger tells of beyond this database's mark, in its order; repeated, what is left of it.

    Raises LedgerUnavailable where the ledger is not ahead: one that is behind, or another, is looked at by somebody first.
    """
    mark = _mark(vault, controller_id)
    stands = vault.ledger.standing(controller_id, mark)
    if stands not in ("level", "ahead"):
        raise LedgerUnavailable(f"ledger-{stands}")
    governed = vault.governed(controller_id)
    lines = to_replay(vault.ledger.lines(), controller_id, mark.number if mark is not None else 0)
    acts: Counter[str] = Counter()
    known, people = _People(vault, controller_id), 0
    for line in lines:
        people += _apply(governed, controller_id, line, known)
        acts[line.said.op] += 1
    if lines:
        acting = _acting(governed, controller_id, NOBODY, "ledger-replay")
        record(
            governed, acting, details={"result": "replayed"}, count=people, internal={"acts": dict(acts), "to": lines[-1].number}
        )
    _follow(vault, controller_id, lines[-1] if lines else None)
    return Replayed(acts, people)


class _People:
    """Who a line names: by its keys, and where those lead to nobody it names, among everybody, whose names are made once."""

    def __init__(self, vault: Vault, controller_id: str) -> None:
        self._vault, self._controller_id = vault, controller_id

    def named(self, line: Line) -> list[str]:
        """Return the people of a line."""
        with self._vault.database.snapshot(self._controller_id) as rows:
            known = erasures.owners(rows, self._controller_id, line.said.keys)
        found = [one for one in known if self._name(one) == line.said.subject]
        return found or self._everybody.get(line.said.subject, [])

    @cached_property
    def _everybody(self) -> Mapping[str, list[str]]:
        with self._vault.database.snapshot(self._controller_id) as rows:
            return {self._name(one): [one] for one in erasures.everybody(rows, self._controller_id)}

    def _name(self, subject_id: str) -> str:
        return self._vault.ledger.name(self._controller_id, subject_id)


def _apply(vault: Vault, controller_id: str, line: Line, known: _People) -> int:
    """Carry out one act for everybody it names here, and close it; return for how many. Raises VaultError.

    What gives back and was left open was perhaps never done: it is not done now, which errs on the private side.
    """
    if line.said.op in GIVING_BACK and _is_open(vault, line):
        vault.ledger.append(line.said.closed("void", int(vault.now().timestamp() * 1000)))
        return 0
    people = known.named(line)
    for subject_id in people:
        verb, act = _ACTS[line.said.op]
        act(vault, _acting(vault, controller_id, subject_id, verb), line)
    _follow(vault, controller_id, line)
    close(vault, line)
    return len(people)


def _is_open(vault: Vault, line: Line) -> bool:
    return any(one.number == line.number for one in vault.ledger.unfinished(line.said.controller_id))


def _follow(vault: Vault, controller_id: str, line: Line | None) -> None:
    """Let the mark follow a line that is applied, also where it named nobody here."""
    with vault.database.transaction(controller_id) as transaction:
        mark = erasures.mark(transaction, controller_id, lock=True)
        if mark is None:
            erasures.found_mark(transaction, controller_id, line.tail if line is not None else _first(vault, controller_id))
        elif line is not None:
            erasures.advance_mark(transaction, controller_id, line.tail)


def _first(vault: Vault, controller_id: str) -> Tail:
    """Return where a controller begins on the ledger."""
    return next(one.tail for one in vault.ledger.lines() if one.said.controller_id == controller_id)


def _mark(vault: Vault, controller_id: str) -> Tail | None:
    with vault.database.snapshot(controller_id) as rows:
        return erasures.mark(rows, controller_id)


def _acting(vault: Vault, controller_id: str, subject_id: str, verb: str) -> Acting:
    context = Context(controller_id, _CALLER, "rights-fulfilment", "api")
    return prepare(vault, verb, context, subject_id, vault.catalogue.classes, permission=HOUSE)


def _erase(vault: Vault, acting: Acting, line: Line) -> None:
    if not is_gone(acting.person):
        carry_out(vault, acting, read_case(vault, acting), None, line)
        return
    with vault.database.snapshot(acting.context.controller_id) as rows:
        done = erasures.erasures(rows, acting.context.controller_id, acting.subject_id)
    for one in done:
        if one.ledger_number == line.number:
            finish(vault, acting, one, line)


def _lift(vault: Vault, acting: Acting, line: Line) -> None:
    """Lift what was lifted, but of fields whose right values were lost before it: nothing rests on the wrong ones."""
    row = acting.person.subject
    if row is None or not row.restricted:
        return
    amended = [one for one in vault.ledger.lines() if one.said.op == "amend" and one.said.subject == line.said.subject]
    with vault.database.snapshot(acting.context.controller_id) as rows:
        place = (rows, acting.context.controller_id, acting.subject_id)
        lost = [one for one in amended if one.number < line.number and not erasures.wrote(*place, one.said.request)]
    wrong = frozenset(name for one in lost for name in one.said.fields) & _present(acting)
    record(vault, acting, details={"result": "unrestricted"}, internal={"fields": sorted(frozenset(line.said.fields) - wrong)})
    lift_recorded(vault, acting, frozenset(line.said.fields), line, wrong)


def _present(acting: Acting) -> frozenset[str]:
    """Return the fields somebody has a value in here."""
    return frozenset(name for row in acting.person.frames.values() for name in frame.read(row.frame).entries)


def _withdraw(vault: Vault, acting: Acting, line: Line) -> None:
    for one in acting.person.agreements:
        named = vault.ledger.name(acting.context.controller_id, one.agreement_id)
        if one.status == "in_force" and named in line.said.agreements:
            record(vault, acting, details={"agreements": {"*": one.agreement_id}})
            withdraw_recorded(vault, acting, one.agreement_id, b"{}", line)


def _restrict(vault: Vault, acting: Acting, line: Line) -> None:
    if not is_gone(acting.person):
        record(vault, acting, details={"result": "restricted"}, internal={"fields": list(line.said.fields)})
        restrict_recorded(vault, acting, frozenset(line.said.fields), line)


def _narrow(vault: Vault, acting: Acting, line: Line) -> None:
    for one in acting.person.agreements:
        named = vault.ledger.name(acting.context.controller_id, one.agreement_id)
        if one.status == "in_force" and named in line.said.agreements:
            left_out = frozenset(line.said.fields)
            if left_out <= one.excluded:
                continue
            record(vault, acting, terms=(one.template,), details={"agreements": {one.agreement_id: sorted(left_out)}})
            narrow_recorded(vault, acting, one, left_out, b"{}", line)


def _obscure(vault: Vault, acting: Acting, line: Line) -> None:
    if not is_gone(acting.person):
        record(vault, acting, internal={"fields": list(line.said.fields)})
        obscure_recorded(vault, acting, frozenset(line.said.fields), line)


def _die(vault: Vault, acting: Acting, line: Line) -> None:
    """Somebody is dead from here on; of the day the ledger knows only that it was recorded on its line's."""
    row = acting.person.subject
    if row is not None and not is_gone(acting.person) and not row.deceased:
        zone = vault.controller(acting.context.controller_id).zone
        on = datetime.fromtimestamp(line.said.at_ms / 1000, zone).date()
        record(vault, acting, details={"result": "deceased"}, internal={"recorded": on.isoformat()})
        death_recorded(vault, acting, on, line)


def _live(vault: Vault, acting: Acting, line: Line) -> None:
    row = acting.person.subject
    if row is not None and row.deceased:
        record(vault, acting, details={"result": "death-retracted"})
        death_recorded(vault, acting, None, line)


def _contest(vault: Vault, acting: Acting, line: Line) -> None:
    """What was amended in a database that is lost is wrong here: nothing rests on it until somebody has put it right (18(1)(a))."""
    if is_gone(acting.person):
        return
    with vault.database.transaction(acting.context.controller_id) as rows:
        erasures.mark(rows, acting.context.controller_id, lock=True)  # another process may be about to commit it
        if erasures.wrote(rows, acting.context.controller_id, acting.subject_id, line.said.request):
            return
    if wrong := _present(acting) & frozenset(line.said.fields):
        record(vault, acting, details={"result": "restricted", "ground": "accuracy"}, internal={"fields": sorted(wrong)})
        restrict_recorded(vault, acting, wrong, line)


def _forget(vault: Vault, acting: Acting, line: Line) -> None:
    if not is_gone(acting.person):
        forget_again(vault, acting, line)


def _object(what: What) -> Callable[[Vault, Acting, Line], None]:
    def act(vault: Vault, acting: Acting, line: Line) -> None:
        if not is_gone(acting.person):
            record(vault, acting, details={"result": "objected", "to": what})
            object_recorded(vault, acting, what, line)

    return act


_ACTS: Mapping[Op, tuple[str, Callable[[Vault, Acting, Line], None]]] = {
    "intent": ("erase", _erase),
    "withdraw": ("withdraw", _withdraw),
    "restrict": ("restrict", _restrict),
    "lift": ("lift_restriction", _lift),
    "forget": ("forget_barred", _forget),
    "narrow": ("narrow", _narrow),
    "obscure": ("obscure", _obscure),
    "deceased": ("record_death", _die),
    "alive": ("record_death", _live),
    "amend": ("restrict", _contest),
    "suppress": ("object_to_marketing", _object("marketing")),
    "object": ("object", _object("interests")),
}
