"""Show a person who looked at their data, when, what for and resting on what: page by page, the newest first.

The report is an access too: its entry is committed before anything is read out, and stands first. The officers' part of an entry
and the held stream are shown to nobody here; an agent appears under a name only this person knows them by (CJEU C-579/21).
Data of special categories having been shown, a person needs level 3 (Garante, 4 June 2015); else level 2, as policy says.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
import sqlalchemy as sa
import structlog

from vault import tables
from vault.assembly import Vault
from vault.audit import chain_records as chains
from vault.audit import entry
from vault.audit.accesses import Audience, ChainRow, Opened, concerns_others, opened_row, told
from vault.errors import AccessDenied, AuditUnavailable, Fault, InvalidValue, Unreadable
from vault.keys import data_keys
from vault.octets import b64u, b64u_decode, expand, lp, u64
from vault.operations.acting import Acting, prepare, record, refuse, require_permission, require_person, telling
from vault.operations.facts import is_self
from vault.policy.model import Context

log = structlog.get_logger()
VERB: Final = "show_accesses"
SPECIAL: Final = "special"  # the class of data of Art. 9 and 10, and of nothing else
LEVEL_FOR_SPECIAL: Final = 3
LONGEST_WAIT_S: Final = 2.0
_LOOK_EVERY_S: Final = 0.02
_CURSOR_LABEL: Final = lp("riserbo.accesses-cursor.v2")


@dataclass(frozen=True, slots=True)
class Accesses:
    """One page of what happened to a person's data; `next` is the cursor of the page after it, None at the end."""

    accesses: Sequence[dict[str, Any]]
    next: str | None
    entry_id: str


def show_accesses(vault: Vault, context: Context, subject_id: str, limit: int, cursor: str | None = None) -> Accesses:
    """Show one page. Raises NotFound, AccessDenied (`level-needed`), InvalidValue for a cursor that is none of this list.

    The first page waits until its own entry has its position: AuditUnavailable `entry-pending` if that is long.
    """
    before = _seen(vault, context.controller_id, subject_id, cursor) if cursor is not None else None
    acting = recorded(vault, context, subject_id, "page")
    with telling(vault, acting):
        if before is None:
            own_entry(vault, acting)
        with vault.database.snapshot(context.controller_id) as rows:
            found = chains.page(rows, context.controller_id, subject_id, before, limit + 1)
        shown = read(vault, acting, found[:limit])
        audience = audience_of(vault, acting, shown)
        following = _cursor(vault, context.controller_id, subject_id, found[limit - 1]) if len(found) > limit else None
        return Accesses([told(one, audience) for one in shown], following, acting.entry_id)


def recorded(vault: Vault, context: Context, subject_id: str, form: str) -> Acting:
    """Return the act of showing, once it is allowed and on record. Raises NotFound, AccessDenied, AuditUnavailable."""
    acting = prepare(vault, VERB, context, subject_id)
    require_permission(vault, acting)
    require_person(vault, acting)
    if is_self(context, subject_id, acting.person) and context.caller.level < LEVEL_FOR_SPECIAL:
        with vault.database.snapshot(context.controller_id) as rows:
            special = chains.touched(rows, context.controller_id, subject_id, SPECIAL)
        if special:
            raise refuse(vault, acting, AccessDenied("level-needed"))
    record(vault, acting, details={"form": form})
    return acting


def own_entry(vault: Vault, acting: Acting) -> ChainRow:
    """Return this act's own entry once it has its position. Raises AuditUnavailable (`entry-pending`) if that is long."""
    ends_at = vault.monotonic() + LONGEST_WAIT_S
    controller_id = acting.context.controller_id
    while True:
        with vault.database.snapshot(controller_id) as rows:  # given back before the wait: others need it meanwhile
            found = chains.own_entry(rows, controller_id, acting.subject_id, acting.entry_id)
        if found is not None:
            return found
        if vault.monotonic() > ends_at:
            raise AuditUnavailable("entry-pending", retry_after_s=1, entry_id=acting.entry_id)
        time.sleep(_LOOK_EVERY_S)


def read(vault: Vault, acting: Acting, rows: Iterable[ChainRow]) -> list[Opened]:
    """Return entries opened. Raises Unreadable, with an alarm, where what is sealed is not what the leaf committed to."""
    key, controller_id = entry.details_key(audit_key(vault, acting)), acting.context.controller_id
    found = []
    for row in rows:
        place = entry.details_place(controller_id, acting.subject_id, row.entry_id)
        try:
            clear = data_keys.open_bytes(key, place, row.sealed) if row.sealed is not None else None
            found.append(opened_row(row, orjson.loads(row.leaf), clear))
        except (ValueError, Unreadable):
            log.error("unreadable", code="entry-differs", entry_id=row.entry_id)
            raise Unreadable("entry-differs") from None
    return found


def audit_key(vault: Vault, acting: Acting) -> bytes:
    """Return the person's audit key. Raises Unreadable where they have none."""
    if acting.person.audit_key is None:
        raise Unreadable
    return data_keys.unwrap_audit_key(vault.keys, acting.context.controller_id, acting.subject_id, *acting.person.audit_key)


def audience_of(vault: Vault, acting: Acting, opened: Iterable[Opened]) -> Audience:
    """Return whose report it is, with what is known now of the tickets these entries name."""
    tickets = sorted({one.ticket_id for one in opened if one.ticket_id is not None})
    known = vault.database.read(
        acting.context.controller_id, _ABOUT, {"controller_id": acting.context.controller_id, "tickets": tickets}
    )
    own = {acting.context.caller.id} if is_self(acting.context, acting.subject_id, acting.person) else set()
    return Audience(
        acting.subject_id,
        entry.label_key(audit_key(vault, acting)),
        {one.ticket_id: one.subject_id for one in known},
        vault.policy.about_others,
        own | {acting.subject_id},
    )


def shows_month_only(vault: Vault, acting: Acting, entry_id: str) -> bool:
    """Return whether the person's list shows an entry's month alone, or nothing of it. Then nothing else may date it for them.

    Raises Unreadable, with an alarm.
    """
    with vault.database.snapshot(acting.context.controller_id) as rows:
        found = chains.own_entry(rows, acting.context.controller_id, acting.subject_id, entry_id)
    if found is None:
        return True
    opened = read(vault, acting, [found])
    return concerns_others(opened[0], audience_of(vault, acting, opened))


def _cursor(vault: Vault, controller_id: str, subject_id: str, last: ChainRow) -> str:
    """Return where the next page begins, sealed: it would date an entry that shows its month only. No other list takes it."""
    key, place = _cursors(vault, controller_id, subject_id)
    return b64u(data_keys.seal_bytes(key, place, u64(last.at) + u64(last.position)))


def _seen(vault: Vault, controller_id: str, subject_id: str, cursor: str) -> tuple[int, int]:
    """Return (at, position) of the last entry of the page before. Raises InvalidValue."""
    key, place = _cursors(vault, controller_id, subject_id)
    try:
        seen = data_keys.open_bytes(key, place, b64u_decode(cursor))
    except (ValueError, Unreadable):
        raise InvalidValue(faults=[Fault("cursor", "malformed")]) from None
    return int.from_bytes(seen[:8], "big"), int.from_bytes(seen[8:], "big")


def _cursors(vault: Vault, controller_id: str, subject_id: str) -> tuple[bytes, bytes]:
    """Return the key that seals where a page ends, and the place: one person's list."""
    key = expand(vault.keys.secret(controller_id, "web").key, _CURSOR_LABEL)
    return key, _CURSOR_LABEL + lp(controller_id) + lp(subject_id)


_T = tables.ticket.c
_ABOUT = sa.select(_T.ticket_id, _T.subject_id).where(
    _T.controller_id == sa.bindparam("controller_id"), _T.ticket_id == sa.any_(sa.bindparam("tickets", type_=sa.ARRAY(sa.Text)))
)
