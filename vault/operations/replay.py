"""Carry out what the erasure ledger tells of and this database does not show: after a crash, and after a backup was restored.

What the ledger tells of was decided once, so nobody decides it again: the acts run with the house's right, each on record. People
are found by the data keys that were to go, then by making the MAC of everybody there is; whoever is not here needs no erasing.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from vault.assembly import Vault
from vault.erasure import records as erasures
from vault.erasure.ledger import Line, Op, Tail, to_replay
from vault.errors import LedgerUnavailable, VaultError
from vault.operations.acting import HOUSE, NOBODY, Acting, is_gone, prepare, record
from vault.operations.erase import carry_out, finish
from vault.operations.erasing import read_case
from vault.operations.forget_barred import forget_again
from vault.operations.object_to import What, object_recorded
from vault.operations.on_ledger import close, found_on_ledger
from vault.operations.restrict import restrict_recorded
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


def finish_acts(vault: Vault, controller_id: str) -> int:
    """Carry out every act of a controller that nothing closed; return how many. A database that went back is left alone."""
    unfinished = vault.ledger.unfinished(controller_id)
    if not unfinished or vault.ledger.standing(controller_id, _mark(vault, controller_id)) != "level":
        return 0
    governed = vault.governed(controller_id)
    for line in unfinished:
        _apply(governed, controller_id, line)
    return len(unfinished)


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
    people = 0
    for line in lines:
        people += _apply(governed, controller_id, line)
        acts[line.said.op] += 1
    if lines:
        acting = _acting(governed, controller_id, NOBODY, "ledger-replay")
        record(
            governed, acting, details={"result": "replayed"}, count=people, internal={"acts": dict(acts), "to": lines[-1].number}
        )
    _follow(vault, controller_id, lines[-1] if lines else None)
    return Replayed(acts, people)


def _apply(vault: Vault, controller_id: str, line: Line) -> int:
    """Carry out one act for everybody it names here, and close it; return for how many. Raises VaultError."""
    people = _named(vault, controller_id, line)
    for subject_id in people:
        verb, act = _ACTS[line.said.op]
        act(vault, _acting(vault, controller_id, subject_id, verb), line)
    _follow(vault, controller_id, line)
    close(vault, line)
    return len(people)


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


def _named(vault: Vault, controller_id: str, line: Line) -> list[str]:
    """Return who a line names: by its keys, and where those lead to nobody it names, by looking at everybody."""
    with vault.database.snapshot(controller_id) as rows:
        for known in (erasures.owners(rows, controller_id, line.said.keys), erasures.everybody(rows, controller_id)):
            if found := [one for one in known if vault.ledger.name(controller_id, one) == line.said.subject]:
                return found
    return []


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
    "forget": ("forget_barred", _forget),
    "suppress": ("object_to_marketing", _object("marketing")),
    "object": ("object", _object("interests")),
}
