"""Filters of the log that officers keep by name: whoever saved one changes or removes it, every officer may use it.

What is kept holds labels for callers and tickets, never their ids, and no value of anybody. Each change, and each look at the list,
is an entry.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from vault import tables
from vault.assembly import Vault
from vault.audit.entry import canonical
from vault.audit.filters import Filter, digest
from vault.errors import AccessDenied, NotFound
from vault.octets import b64u
from vault.operations.acting import Acting, carrying_out, prepare, record, refuse, require_permission
from vault.operations.review import labelled
from vault.operations.reviewing import Names
from vault.policy.model import Context

VERB = "review-filter"


@dataclass(frozen=True, slots=True)
class SavedFilter:
    """A filter by name; `owner` is a pseudonym, `own` says whether it is the reader's."""

    name: str
    owner: str
    own: bool
    asked: Filter
    saved_at: datetime


@dataclass(frozen=True, slots=True)
class SavedFilters:
    """All that are kept, by name, and the entry of this look at them."""

    filters: tuple[SavedFilter, ...]
    entry_id: str


def save_filter(vault: Vault, context: Context, name: str, asked: Filter) -> str:
    """Keep a filter, over an earlier one of the same officer; return the entry's id. Raises AccessDenied (`not-yours`)."""
    acting = _prepared(vault, context)
    _require_own(vault, acting, name)
    names = Names.of(vault, context.controller_id)
    kept = labelled(names, asked)
    record(vault, acting, details={"result": "saved"}, internal={"query": {"digest": b64u(digest(names.cursors, kept))}})
    row = {
        "controller_id": context.controller_id, "name": name, "owner": context.caller.id,
        "filter": canonical(kept.stated()).decode(), "saved_at": acting.at, "entry_id": acting.entry_id,
    }  # fmt: skip
    with carrying_out(vault, acting) as transaction:
        transaction.execute(_UPSERT, row)
    return acting.entry_id


def remove_filter(vault: Vault, context: Context, name: str) -> str:
    """Remove a filter; return the entry's id. Raises NotFound, AccessDenied (`not-yours`)."""
    acting = _prepared(vault, context)
    if not _require_own(vault, acting, name):
        raise refuse(vault, acting, NotFound("filter-not-found"))
    record(vault, acting, details={"result": "removed"})
    with carrying_out(vault, acting) as transaction:
        transaction.execute(_DELETE, {"of_controller": context.controller_id, "of_name": name, "of_owner": context.caller.id})
    return acting.entry_id


def list_filters(vault: Vault, context: Context) -> SavedFilters:
    """Return every filter kept."""
    acting = _prepared(vault, context)
    rows = vault.database.read(context.controller_id, _ALL, {"controller": context.controller_id})
    record(vault, acting, details={"result": "listed"}, count=len(rows))
    names = Names.of(vault, context.controller_id)
    found = tuple(
        SavedFilter(
            row.name, names.caller(row.owner), row.owner == context.caller.id, Filter(**orjson.loads(row.filter)), row.saved_at
        )
        for row in rows
    )
    return SavedFilters(found, acting.entry_id)


def _prepared(vault: Vault, context: Context) -> Acting:
    acting = prepare(vault, VERB, context)
    require_permission(vault, acting)
    return acting


def _require_own(vault: Vault, acting: Acting, name: str) -> bool:
    """Return whether there is one of this name; refuse, on record, somebody else's."""
    context = acting.context
    rows = vault.database.read(context.controller_id, _OWNER, {"controller": context.controller_id, "name": name})
    if rows and rows[0].owner != context.caller.id:
        raise refuse(vault, acting, AccessDenied("not-yours"))
    return bool(rows)


def _upsert() -> Any:
    new = insert(tables.review_filter)
    changed = {name: new.excluded[name] for name in ("filter", "saved_at", "entry_id")}
    # Somebody may have taken the name since it was looked at: theirs is left alone.
    return new.on_conflict_do_update(
        index_elements=["controller_id", "name"], set_=changed, where=tables.review_filter.c.owner == new.excluded.owner
    )


_F = tables.review_filter.c
_UPSERT = _upsert()
_OWNER = sa.select(_F.owner).where(_F.controller_id == sa.bindparam("controller"), _F.name == sa.bindparam("name"))
_ALL = sa.select(_F.name, _F.owner, _F.filter, _F.saved_at).where(_F.controller_id == sa.bindparam("controller")).order_by(_F.name)
_DELETE = sa.delete(tables.review_filter).where(
    _F.controller_id == sa.bindparam("of_controller"), _F.name == sa.bindparam("of_name"), _F.owner == sa.bindparam("of_owner")
)
