"""Write about an entry of the log: a note, or how its review stands. Nothing written is ever changed, and each is an entry itself.

States go open, in-review, closed; a closed one is opened again by another remark. A note's words are sealed in the entry that
records it, under the key of the person the reviewed entry is about: they go with the person. Nobody writes about an entry of their
own.
"""

from dataclasses import dataclass, field
from typing import Any, Final

import sqlalchemy as sa

from vault import tables
from vault.assembly import Vault
from vault.errors import Conflict, Fault, InvalidValue
from vault.operations.acting import carrying_out, record, refuse
from vault.operations.open_entry import to_review
from vault.operations.reveal import text_fault
from vault.operations.reviewing import remarks
from vault.policy.model import Context

STATES: Final = ("open", "in-review", "closed")
VERDICTS: Final = ("justified", "unjustified", "training", "breach", "false-alarm")
_AFTER: Final = {None: {"open", "in-review"}, "open": {"in-review"}, "in-review": {"open", "closed"}, "closed": {"open"}}


@dataclass(frozen=True, slots=True)
class Remark:
    """A note, a state, or both. `verdict` goes with `closed`, and with nothing else."""

    state: str | None = None
    verdict: str | None = None
    note: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Remarked:
    """Which remark it is of that entry, and the entry that recorded it."""

    number: int
    entry_id: str


def annotate(vault: Vault, context: Context, entry_id: str, remark: Remark) -> Remarked:
    """Write a remark. Raises InvalidValue, AccessDenied (`own-entry`), NotFound, Conflict (`review-state`; somebody was faster)."""
    if faults := list(_faults(remark)):
        raise InvalidValue(faults=faults)
    acting, _ = to_review(vault, "review-note", context, entry_id)
    before = remarks(vault, context.controller_id, entry_id)
    standing = next((one.state for one in reversed(before) if one.state is not None), None)
    if remark.state is not None and remark.state not in _AFTER[standing]:
        raise refuse(vault, acting, Conflict("review-state"))
    number = before[-1].number + 1 if before else 1
    result = remark.state or "noted"
    note = {"note": remark.note} if remark.note is not None else {}
    verdict = {"verdict": remark.verdict} if remark.verdict is not None else {}
    record(vault, acting, details={"reviewed": entry_id, "result": result}, internal={**note, **verdict})
    row: dict[str, Any] = {
        "controller_id": context.controller_id, "entry_id": entry_id, "number": number, "review_id": acting.entry_id,
        "by": context.caller.id, "at": acting.at, "state": remark.state, "verdict": remark.verdict,
    }  # fmt: skip
    with carrying_out(vault, acting) as transaction:
        transaction.execute(_INSERT, row)
    return Remarked(number, acting.entry_id)


def _faults(remark: Remark) -> list[Fault]:
    faults = []
    if remark.state is None and remark.note is None:
        faults.append(Fault("/state", "missing"))
    if remark.state is not None and remark.state not in STATES:
        faults.append(Fault("/state", "state.unknown"))
    if (remark.state == "closed") != (remark.verdict is not None) or remark.verdict not in (None, *VERDICTS):
        faults.append(Fault("/verdict", "verdict.unfit"))
    if (wrong := text_fault(remark.note, needed=False)) is not None:
        faults.append(Fault("/note", wrong))
    return faults


_INSERT = sa.insert(tables.review_remark)
