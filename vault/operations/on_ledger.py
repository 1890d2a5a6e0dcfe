"""What a restored backup would bring back is told the erasure ledger before it happens. Shared by verbs that take away.

Within one transaction the controller's mark is locked, so acts of one controller commit in the order of their lines; what is to be
done is done; the line is made durable in every copy; the mark follows it; and only the commit makes it so. Where the line cannot be
written, nothing happened. Where it is not certain that the commit came about, the line stays open and is carried out at the start
of the next process, or at night: one too many errs on the private side.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import sqlalchemy as sa

from vault.assembly import Vault
from vault.erasure import records as erasures
from vault.erasure.ledger import Line, Op, Said, Tail
from vault.errors import LedgerUnavailable, Unavailable
from vault.operations.acting import Acting, telling

CLOSED_S = 60


@dataclass(slots=True)
class Kept:
    """An act under way: its transaction, and its line once it is durable."""

    vault: Vault
    rows: sa.Connection
    controller_id: str
    mark: Tail | None
    line: Line | None = None

    def tell(self, said: Said) -> Line:
        """Make the line of this act durable, or take the one there is; the mark follows it. Raises LedgerUnavailable.

        An act whose line others have passed by is told again, as the last: a backup of this database from before this moment bears
        a mark beyond the first line, and would not be asked to do it.
        """
        line = self.line
        if line is None or (self.mark is not None and line.number < self.mark.number):
            line = self.vault.ledger.append(said if line is None else line.said)
        erasures.advance_mark(self.rows, self.controller_id, line.tail)
        self.line = line
        return line


@contextmanager
def carrying_out_on_ledger(vault: Vault, acting: Acting, line: Line | None = None) -> Iterator[Kept]:
    """Yield an act whose entry is committed; it commits at the end of the block. `line`: the act a ledger tells of already.

    Raises LedgerUnavailable where the ledger says that this database went back: nothing is destroyed before that is settled.
    """
    controller_id = acting.context.controller_id
    with telling(vault, acting), vault.database.transaction(controller_id) as transaction:
        mark = erasures.mark(transaction, controller_id, lock=True)
        stands = vault.ledger.standing(controller_id, mark)
        if stands != "level" and line is None:
            raise LedgerUnavailable(f"ledger-{stands}", retry_after_s=CLOSED_S)
        yield Kept(vault, transaction, controller_id, mark, line)


def said_of(vault: Vault, op: Op, controller_id: str, subject_id: str, **more: tuple[str, ...] | str) -> Said:
    """Return the line of an act on a person, who is named by a MAC."""
    at_ms = int(vault.now().timestamp() * 1000)
    return Said(op, controller_id, at_ms, vault.ledger.name(controller_id, subject_id), **more)  # type: ignore[arg-type]  # by name


def close(vault: Vault, line: Line | None) -> None:
    """Say that an act was done, once. If that cannot be said it stays open, and is done again at the next start."""
    if line is None:
        return
    with suppress(Unavailable):
        if any(one.number == line.number for one in vault.ledger.unfinished(line.said.controller_id)):
            vault.ledger.append(line.said.closed("live", int(vault.now().timestamp() * 1000)))


def found_on_ledger(vault: Vault, controller_id: str) -> None:
    """Begin a controller on the ledger, and its mark; once. Raises LedgerUnavailable."""
    with vault.database.transaction(controller_id) as transaction:
        mark = erasures.mark(transaction, controller_id)
        if mark is None and vault.ledger.standing(controller_id, mark) == "unfounded":
            line = vault.ledger.append(Said("found", controller_id, int(vault.now().timestamp() * 1000)))
            erasures.found_mark(transaction, controller_id, line.tail)
