"""Carry out what the erasure ledger tells of and this database does not show: after a crash, and after a backup was restored.

What the ledger tells of was decided once, so nobody decides it again: the acts run with the house's right, each on record. People
are found by the data keys that were to go, then by making the MAC of everybody there is; whoever is not here needs no erasing.
"""

from collections.abc import Callable, Mapping

import structlog

from vault.assembly import Vault
from vault.erasure import records as erasures
from vault.erasure.ledger import Line, Op
from vault.errors import VaultError
from vault.operations.acting import HOUSE, Acting, is_gone, prepare
from vault.operations.erase import carry_out, finish
from vault.operations.erasing import read_case
from vault.operations.on_ledger import close, found_on_ledger
from vault.policy.model import Caller, Context

log = structlog.get_logger()
_CALLER = Caller(id="job:ledger", kind="job", roles=frozenset(), client_id="riserbo")


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
    if not unfinished:
        return 0
    with vault.database.snapshot(controller_id) as rows:
        mark = erasures.mark(rows, controller_id)
    if vault.ledger.standing(controller_id, mark) != "level":
        return 0
    governed = vault.governed(controller_id)
    for line in unfinished:
        apply(governed, controller_id, line)
    return len(unfinished)


def apply(vault: Vault, controller_id: str, line: Line) -> int:
    """Carry out one act for everybody it names here, and close it; return for how many. Raises VaultError."""
    people = _named(vault, controller_id, line)
    for subject_id in people:
        _APPLY[line.said.op](vault, _acting(vault, controller_id, subject_id, line), line)
    close(vault, line)
    return len(people)


def _named(vault: Vault, controller_id: str, line: Line) -> list[str]:
    with vault.database.snapshot(controller_id) as rows:
        known = erasures.owners(rows, controller_id, line.said.keys) or erasures.everybody(rows, controller_id)
    return [one for one in known if vault.ledger.name(controller_id, one) == line.said.subject]


def _acting(vault: Vault, controller_id: str, subject_id: str, line: Line) -> Acting:
    context = Context(controller_id, _CALLER, "rights-fulfilment", "api")
    verb = "erase" if line.said.op == "intent" else line.said.op
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


_APPLY: Mapping[Op, Callable[[Vault, Acting, Line], None]] = {"intent": _erase}
