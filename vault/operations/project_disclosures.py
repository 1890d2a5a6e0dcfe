"""Keep the ledger of disclosures (GDPR 15(1)(c), 19): what went to whom, read from the trail by position.

A job reads on from where the last one came to; an erasure reads what is left of its person at once. Both may read the same entry:
a line is a sum that takes it once. Who an entry is about says the row beside it, and is believed only where the person's own tag in
the leaf bears it out. Details are opened for the agreement alone, in memory; nothing is shown to anybody.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Final

import sqlalchemy as sa
import structlog

from vault.assembly import Vault
from vault.audit import entry
from vault.audit.affected import Evidence, is_about
from vault.audit.affected_records import audit_keys, evidence, first_position, next_leaves
from vault.audit.records import FIRST_ERA, Head, head
from vault.audit.scan import members_of
from vault.errors import Unreadable
from vault.keys.data_keys import open_bytes, unwrap_audit_key
from vault.operations.acting import HOUSE, Acting, carrying_out, prepare, record
from vault.operations.show_accesses import own_entry
from vault.policy.model import Caller, Context
from vault.recipients import records
from vault.recipients.disclosures import Line, disclosed, lines_of, summed

AT_ONCE: Final = 5_000  # leaves in one step
STEPS: Final = 200  # of one run of the job: the next minute goes on
_CALLER: Final = Caller(id="job:disclosures", kind="job", roles=frozenset(), client_id="riserbo")

log = structlog.get_logger()


def project_disclosures(vault: Vault, controller_id: str) -> int:
    """Read on; return how many entries told of a disclosure. What was read and not kept is read again."""
    done = 0
    for _ in range(STEPS):
        read = _step(vault, controller_id)
        if read is None:
            break
        done += read
    return done


def catch_up(vault: Vault, acting: Acting) -> list[Line]:
    """Return what went to recipients of the person of an act that is on record, up to its own entry. Raises AuditUnavailable."""
    vault.settle(acting.context.controller_id)
    own_entry(vault, acting)
    return read_off(vault, acting.context.controller_id, acting.subject_id)


def read_off(vault: Vault, controller_id: str, subject_id: str) -> list[Line]:
    """Return what went to recipients of a person, by all entries that have a position."""
    with vault.database.snapshot(controller_id) as rows:
        mark = records.mark(rows, controller_id) or (FIRST_ERA, 0)
        places = records.places_after(rows, controller_id, subject_id, mark)
        known = records.disclosures(rows, controller_id, subject_id)
        by_era: dict[int, list[int]] = {}
        for era, position in places:
            by_era.setdefault(era, []).append(position)
        found = [line for era, positions in by_era.items() for line in _lines(vault, controller_id, rows, era, positions)]
    return summed([*known, *(one for one in found if one.subject_id == subject_id)])


def _step(vault: Vault, controller_id: str) -> int | None:
    """Read the next leaves, keep their lines and the mark; None where there is nothing to read."""
    with vault.database.snapshot(controller_id) as rows:
        at = head(rows, controller_id)
        mark = records.mark(rows, controller_id)
        era, begin = mark or (FIRST_ERA, 0)
        if at is None or (era, begin) >= (at.era, at.size):
            return None
        here = at if era == at.era else Head(era, 1 << 62)  # an era that ended: as long as it is
        begin = max(begin, first_position(rows, controller_id, here) or 0)  # what was pruned is read no more
        end = min(begin + AT_ONCE, here.size)
        leaves = next_leaves(rows, controller_id, era, begin, end)
        positions = [position for position, leaf in leaves if disclosed(members_of(leaf) or {}) is not None]
        lines = summed(_lines(vault, controller_id, rows, era, positions))
    to = (era, end) if leaves or era == at.era else (era + 1, 0)
    acting = _recorded(vault, controller_id, len(positions)) if lines else None
    if acting is not None:
        with carrying_out(vault, acting) as transaction:
            _keep(transaction, controller_id, mark, to, lines)
    else:
        with vault.database.transaction(controller_id) as transaction:
            _keep(transaction, controller_id, mark, to, lines)
    return len(positions)


def _keep(
    transaction: sa.Connection, controller_id: str, read: tuple[int, int] | None, to: tuple[int, int], lines: Sequence[Line]
) -> None:
    """Keep lines and mark together; another process may be as far, and has then kept the same."""
    if records.mark(transaction, controller_id, lock=True) == read:
        records.add_disclosures(transaction, controller_id, lines)
        records.set_mark(transaction, controller_id, to)


def _recorded(vault: Vault, controller_id: str, count: int) -> Acting:
    context = Context(controller_id, _CALLER, "legal-compliance", "api")
    acting = prepare(vault, "project_disclosures", context, permission=HOUSE)
    record(vault, acting, count=count, details={"result": "read"})
    return acting


def _lines(vault: Vault, controller_id: str, rows: sa.Connection, era: int, positions: Sequence[int]) -> Iterator[Line]:
    """Yield the lines of the entries at these positions; one that nobody can be shown to be the person of is left out."""
    found = list(evidence(rows, controller_id, era, positions))
    wraps = audit_keys(rows, controller_id, sorted({one.subject_id for one in found if one.subject_id is not None}))

    @cache
    def audit_key(subject_id: str) -> bytes | None:
        try:
            return unwrap_audit_key(vault.keys, controller_id, subject_id, *wraps[subject_id])
        except (KeyError, Unreadable):
            return None

    def chain_key(subject_id: str, stream: str) -> bytes | None:
        key = audit_key(subject_id)
        return entry.chain_key(key, stream) if key is not None else None

    for one in found:
        leaf = members_of(one.leaf) or {}
        if disclosed(leaf) is None or "subject" not in leaf:
            continue  # a search without a hit, and the like
        if one.subject_id is None or not is_about(one, leaf, chain_key):
            log.warning("disclosure_unattributed", controller_id=controller_id, entry_id=leaf["id"])
            continue
        key = audit_key(one.subject_id)
        details = _details(controller_id, one, leaf["id"], key) if key is not None else {}
        yield from lines_of(leaf, details, one.subject_id, (era, one.position))


def _details(controller_id: str, one: Evidence, entry_id: str, key: bytes) -> dict[str, object]:
    """Return what was sealed beside an entry for its person; nothing where that is gone, or is not what was committed to."""
    place = entry.details_place(controller_id, one.subject_id or "", entry_id)
    try:
        clear = open_bytes(entry.details_key(key), place, one.sealed or b"")
        return dict(entry.opened(members_of(one.leaf) or {}, clear).details)
    except (Unreadable, ValueError):
        return {}
