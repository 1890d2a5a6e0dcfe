"""What the review of the log shares: the names officers read instead of ids, and how an entry is shown to them.

Officers see who by pseudonym, of whom by subject id, and metadata; never a value. Look-up rows propose, leaves are what is shown:
where the two differ, the entry says so, and a caller whom its leaf does not confirm is not named.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from vault import tables
from vault.assembly import Vault
from vault.audit.entry import NOBODY, caller_key, lookup_hash, lookup_key
from vault.audit.filters import (
    CALLER_LABEL,
    FLAGS,
    TICKET_LABEL,
    caller_label,
    cursor_key,
    label_key,
    place_label,
    ticket_hash,
    ticket_label,
)
from vault.audit.review import Proposed, registered
from vault.audit.scan import members_of
from vault.audit.scrub import row_fits
from vault.operations.kept_entry import audit_secrets
from vault.policy.model import Context

HOUSE_CALLERS = ("operator",)  # who acts by commands is on no register
_LABELLED = {"session": "s", "station": "w", "ip": "i"}
_TOLD = (
    *("application", "unfit", "request", "justification", "why_not", "decision", "query", "grant", "note", "fault", "asked"),
    *("reason", "result", "verdict", "why", "reference", "naming", "of", "report"),
)


@dataclass(frozen=True, slots=True)
class Names:
    """The keys by which ids become what officers read, of one controller."""

    labels: bytes = field(repr=False)
    cursors: bytes = field(repr=False)
    callers: tuple[bytes, ...] = field(repr=False)  # of callers' tags: every version of the secret, the newest first
    lookups: tuple[bytes, ...] = field(repr=False)  # of tickets' hashes, likewise

    @classmethod
    def of(cls, vault: Vault, controller_id: str) -> "Names":
        """Return them. Raises KeysUnavailable."""
        secrets = [secret for _, secret in audit_secrets(vault, controller_id)]
        callers, lookups = ([of(secret) for secret in secrets] for of in (caller_key, lookup_key))
        return cls(label_key(secrets[0]), cursor_key(secrets[0]), tuple(callers), tuple(lookups))

    def caller(self, caller_id: str) -> str:
        """Return a caller's pseudonym."""
        return caller_label(self.labels, caller_id)

    def tickets(self, named: str) -> list[bytes]:
        """Return the hashes a ticket, named by id or by label, has in look-up rows."""
        if TICKET_LABEL.fullmatch(named):
            return [ticket_hash(named)]
        return [lookup_hash(key, "ticket", named) for key in self.lookups]

    def caller_named(self, vault: Vault, controller_id: str, named: str) -> str | None:
        """Return the id of a caller named by id, or by the label of somebody who is or was on the register; None for nobody."""
        if not CALLER_LABEL.fullmatch(named):
            return named
        with vault.database.snapshot(controller_id) as rows:
            known = [*registered(rows, controller_id), *HOUSE_CALLERS]
        return next((one for one in known if self.caller(one) == named), None)


def shown(names: Names, context: Context, one: Proposed, standing: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return an entry as officers read it in a page; `own` are those the reader cannot review alone."""
    row, leaf = one.row, members_of(one.leaf) if one.leaf is not None else None
    members = leaf or {}
    fits = row_fits(row, members, lambda: names.callers)
    return {
        "entry_id": str(members.get("id", row.entry_id)),
        "era": row.era,
        "position": row.position,
        "at": instant(int(members.get("at", row.at))),
        **{name: members.get(name) for name in ("operation", "outcome", "recipient", "purpose", "channel")},
        "caller": {
            "kind": members.get("kind"),
            "label": names.caller(row.caller_id) if fits and row.caller_id is not None else None,
            "roles": list(members.get("roles", ())),
            "team": row.team,
        },
        "subject_id": None if row.subject_id == NOBODY else row.subject_id,
        "ticket": None if row.ticket is None else {"label": ticket_label(bytes(row.ticket)), "state": row.ticket_state},
        "fields": dict(members.get("fields", {})),
        "flags": flags_of(row.flags),
        "sequenced": leaf is not None,
        "held": row.stream == "held",
        "own": row.caller_id == context.caller.id,
        "differs": not fits,
        "review": standing.get(row.entry_id),
    }


def flags_of(bits: int | None) -> list[str]:
    """Return the names of the flags that are set."""
    return [name for name, bit in FLAGS.items() if (bits or 0) & bit]


def instant(ms: int) -> str:
    """Return RFC 3339 in UTC, to the millisecond."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def for_officers(names: Names, internal: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of an entry that is kept for officers, without what names who it was: naming takes two people."""
    told = {name: internal[name] for name in _TOLD if name in internal}
    if "caller_id" in internal:
        told["caller"] = names.caller(str(internal["caller_id"]))
    if "actor" in internal:
        told["actor"] = names.caller(str(internal["actor"]))
    if isinstance(decision := told.get("decision"), Mapping) and "by" in decision:  # who acted for whom
        told["decision"] = {**decision, "by": {role: names.caller(str(one)) for role, one in decision["by"].items()}}
    places = {
        name: place_label(names.labels, prefix, str(internal[name])) for name, prefix in _LABELLED.items() if name in internal
    }
    return {**told, **places}


def standings(vault: Vault, controller_id: str, entry_ids: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return how the review of each of these entries stands, of those that have one: what was said last."""
    wanted = {"controller": controller_id, "entries": list(entry_ids)}
    rows = vault.database.read(controller_id, _STANDING, wanted) if wanted["entries"] else ()
    return {row.entry_id: {"state": row.state, "verdict": row.verdict} for row in rows}


def remarks(vault: Vault, controller_id: str, entry_id: str) -> Sequence[sa.Row[Any]]:
    """Return what was written about an entry, in order: number, entry, who, when, state and verdict."""
    return vault.database.read(controller_id, _REMARKS, {"controller": controller_id, "entry": entry_id})


_R = tables.review_remark.c
_STANDING = (
    sa.select(_R.entry_id, _R.state, _R.verdict)
    .where(
        _R.controller_id == sa.bindparam("controller"),
        _R.entry_id == sa.any_(sa.bindparam("entries", type_=sa.ARRAY(sa.Text))),
        _R.state.is_not(None),
    )
    .order_by(_R.entry_id, _R.number)
)
_REMARKS = (
    sa.select(_R.number, _R.review_id, _R.by, _R.at, _R.state, _R.verdict)
    .where(_R.controller_id == sa.bindparam("controller"), _R.entry_id == sa.bindparam("entry"))
    .order_by(_R.number)
)
