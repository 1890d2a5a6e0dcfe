"""Review the log: one page of entries, newest first, as officers may read them. Reading the log is itself on record.

A page is one entry `review-search`, with a keyed digest of the filter and how many entries it shows, committed before it is shown;
a page of such entries is one more, and nothing recurses. Where details must be opened to filter (an agreement), it is committed
before they are, and counts what is looked at.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from vault.agreements import records as agreements
from vault.assembly import Vault
from vault.audit import records as audit
from vault.audit.filters import FLAGS, Filter, Place, Window, cursor, digest, read_cursor
from vault.audit.review import MOST_AT_ONCE, Asked, Length, Proposed, first_place, length, proposals
from vault.audit.scan import members_of
from vault.errors import Fault, InvalidValue
from vault.octets import b64u
from vault.operations.acting import prepare, record, require_permission, telling
from vault.operations.kept_entry import opened_entry
from vault.operations.reviewing import Names, instant, shown, standings
from vault.operations.verify_trail import scrub_keys
from vault.policy.model import Context

MOST: Final = 200
USUAL: Final = 50
MOST_EXAMINED: Final = 2_000  # entries whose leaves one page looks through: it may hold less than asked, and says that more follows
ANY_FLAG: Final = sum(FLAGS.values())

EntryFilter = Filter  # the name by which routes know it
Keep = Callable[[Proposed], bool]


@dataclass(frozen=True, slots=True)
class Page:
    """One page. `following` is the cursor of the next, None at the end; `length` how long the log is."""

    entries: tuple[dict[str, Any], ...]
    following: str | None
    window: tuple[str, str]
    length: Length
    entry_id: str


def review(vault: Vault, context: Context, asked: Filter, limit: int = USUAL, after: str | None = None) -> Page:
    """Return a page. Raises InvalidValue (`window-too-wide`, `cursor.unfit`), AccessDenied, AuditUnavailable."""
    acting = prepare(vault, "review-search", context)
    require_permission(vault, acting)
    controller_id, names = context.controller_id, Names.of(vault, context.controller_id)
    window, place = _start(names, asked, after, int(acting.at.timestamp() * 1000))
    wanted = narrowed(vault, controller_id, names, asked, window)
    found: list[Proposed] = []
    end: Place | None = None
    if wanted is not None:
        found, end = _found(vault, controller_id, wanted, place, limit, _keeping(asked))
    query = {"digest": b64u(digest(names.cursors, asked)), "hits": len(found)}
    about = {"asked_about": asked.caller} if asked.caller is not None else {}  # to confirm an id one knows takes nobody else
    record(vault, acting, count=len(found), internal={"query": query, **about})
    with telling(vault, acting):
        if asked.agreement is not None:
            found = _resting_on(vault, controller_id, asked.agreement, found)
        standing = standings(vault, controller_id, [one.row.entry_id for one in found])
        with vault.database.snapshot(controller_id) as rows:
            size = length(rows, controller_id)
    entries = tuple(shown(names, context, one, standing) for one in found)
    following = None if end is None else cursor(names.cursors, asked, window, end)
    return Page(entries, following, (instant(window.begins), instant(window.ends)), size, acting.entry_id)


def _start(names: Names, asked: Filter, after: str | None, now: int) -> tuple[Window, Place]:
    """Return window and place of a page. Raises InvalidValue."""
    if after is not None:
        try:
            return read_cursor(names.cursors, asked, after)
        except ValueError:
            raise InvalidValue(faults=[Fault("/cursor", "cursor.unfit")]) from None
    window = asked.window(now)
    if (wrong := asked.fault(window)) is not None:
        raise InvalidValue(wrong, faults=[Fault("/from", wrong)])
    return window, first_place(window)


def narrowed(vault: Vault, controller_id: str, names: Names, asked: Filter, window: Window) -> Asked | None:
    """Return a filter in terms of columns; None where it can meet nothing: a label of nobody, an agreement there is not."""
    values: dict[str, Any] = {
        name: one
        for name, one in asked.stated().items()
        if name in ("system", "role", "subject_id", "purpose", "outcome", "operation")
    }
    if asked.caller is not None:
        values["caller"] = names.caller_named(vault, controller_id, asked.caller)
    if asked.flag is not None:
        values["flags"] = ANY_FLAG if asked.flag == "any" else FLAGS[asked.flag]
    if asked.agreement is not None:
        with vault.database.snapshot(controller_id) as rows:
            whose = agreements.whose(rows, controller_id, asked.agreement)
        values["subject_id"] = whose if asked.subject_id in (None, whose) else None
    tickets = names.tickets(asked.ticket) if asked.ticket is not None else ()
    return None if None in values.values() else Asked(window, values, tickets)


def _keeping(asked: Filter) -> Keep | None:
    """Return what a leaf must say besides; None where look-up rows say it all."""
    name = asked.field
    return None if name is None else lambda one: name in (members_of(one.leaf or b"") or {}).get("fields", {})


def _found(
    vault: Vault, controller_id: str, wanted: Asked, place: Place, limit: int, keep: Keep | None
) -> tuple[list[Proposed], Place | None]:
    """Return at most `limit` entries from a place on, and where they ended; None where nothing follows."""
    step = min(limit + 1, MOST_AT_ONCE) if keep is None else MOST_AT_ONCE
    kept: list[Proposed] = []
    examined = 0
    with vault.database.snapshot(controller_id) as rows:
        while examined < MOST_EXAMINED:
            batch = proposals(rows, controller_id, wanted, place, step)
            for one in batch:
                if len(kept) == limit:
                    return kept, place
                place, examined = one.place, examined + 1
                if keep is None or keep(one):
                    kept.append(one)
            if len(batch) < step:
                return kept, None
    return kept, place


def _resting_on(vault: Vault, controller_id: str, agreement_id: str, found: list[Proposed]) -> list[Proposed]:
    """Return those entries whose sealed details name the agreement. All are of one person: its key is unwrapped once."""
    keys = scrub_keys(vault, controller_id)
    resting = []
    with vault.database.snapshot(controller_id) as rows:
        for one in found:
            stored = audit.entry_by_id(rows, controller_id, one.row.entry_id)
            if stored is None:
                continue
            named = opened_entry(vault, controller_id, stored, keys).details.get("agreements", {})
            if agreement_id in named or agreement_id in named.values():
                resting.append(one)
    return resting


def labelled(names: Names, asked: Filter) -> Filter:
    """Return a filter as it may be kept: with labels for the ids of callers and tickets."""
    hashed = names.tickets(asked.ticket)[0] if asked.ticket is not None else None
    return asked.labelled(names.labels, hashed)
