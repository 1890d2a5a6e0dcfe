"""Restrict the processing of a person's fields, or of all of them, and lift it again (Art. 18).

What is restricted is stored, and serves legal claims, the person's rights, and agreements they give after it; nothing else reads it
from the next read on, no exception included. It is lifted only once the person has been told (18(3)).
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from vault.assembly import Vault
from vault.erasure.ledger import Line
from vault.errors import Conflict, Fault, InvalidValue
from vault.operations.acting import Acting, prepare, record, refuse, require_permission, require_person
from vault.operations.on_ledger import carrying_out_on_ledger, close, said_of
from vault.outbox import announce
from vault.policy.model import EVERYTHING, Context
from vault.profiles import states
from vault.profiles.records import SubjectRow

Ground = Literal["accuracy", "unlawful", "claims", "objection"]
GROUNDS: Final = ("accuracy", "unlawful", "claims", "objection")  # Art. 18(1)(a) to (d)
ALL: Final = frozenset({EVERYTHING})


@dataclass(frozen=True, slots=True)
class Changed:
    """The answer to a change of a person's state: their new version, and the entry."""

    version: int
    entry_id: str


def restrict(vault: Vault, context: Context, subject_id: str, ground: str, fields: Collection[str] | None = None) -> Changed:
    """Restrict these fields, or all. Raises InvalidValue, NotFound, AccessDenied."""
    named = _named(vault, fields, [] if ground in GROUNDS else [Fault("/ground", "ground.unknown")])
    acting = prepare(vault, "restrict", context, subject_id)
    require_permission(vault, acting)
    require_person(vault, acting)
    record(vault, acting, **_told(vault, named, result="restricted", ground=ground))
    return restrict_recorded(vault, acting, named)


def restrict_recorded(vault: Vault, acting: Acting, named: frozenset[str], line: Line | None = None) -> Changed:
    """Carry a restriction out whose entry is committed; the ledger knows it, or a restored backup would lift it."""
    controller_id, subject_id = acting.context.controller_id, acting.subject_id
    with carrying_out_on_ledger(vault, acting, line) as kept:
        version, now = states.locked(kept.rows, controller_id, subject_id)
        restricted = _all_or(frozenset(now.restricted) | named)
        states.change(kept.rows, controller_id, subject_id, restricted=sorted(restricted), restricted_at=acting.at)
        announce(kept.rows, vault, controller_id, "subject:restricted", acting.entry_id, acting.at,
                 subject_id=subject_id, fields=_hers(vault, named))  # fmt: skip
        kept.tell(said_of(vault, "restrict", controller_id, subject_id, fields=tuple(sorted(named)), request=acting.entry_id))
    close(vault, kept.line)
    return Changed(version, acting.entry_id)


def lift_restriction(
    vault: Vault, context: Context, subject_id: str, notified_at: datetime | None, fields: Collection[str] | None = None
) -> Changed:
    """Lift the restriction of these fields, or all of it; `notified_at` is when the person was told.

    Raises InvalidValue, NotFound, AccessDenied, Conflict: `not-restricted`, or `notice-needed` where they were not told before.
    """
    named = _named(vault, fields, [])
    acting = prepare(vault, "lift_restriction", context, subject_id)
    require_permission(vault, acting)
    require_person(vault, acting)
    _require_restricted(vault, acting, named)
    _require_told(vault, acting, notified_at)
    record(vault, acting, **_told(vault, named, result="unrestricted", notified_at=notified_at.isoformat() if notified_at else ""))
    return lift_recorded(vault, acting, named)


def lift_recorded(
    vault: Vault, acting: Acting, named: frozenset[str], line: Line | None = None, wrong: frozenset[str] = frozenset()
) -> Changed:
    """Lift what is on record, but not of fields that are `wrong` here; the ledger knows it, or a replay would restrict again."""
    controller_id, subject_id = acting.context.controller_id, acting.subject_id
    with carrying_out_on_ledger(vault, acting, line) as kept:
        version, now = states.locked(kept.rows, controller_id, subject_id)
        before = frozenset(now.restricted)
        left = _left(vault, before, named) | (wrong if EVERYTHING in before else wrong & before)
        since = now.restricted_at if left else None
        states.change(kept.rows, controller_id, subject_id, restricted=sorted(left), restricted_at=since)
        announce(kept.rows, vault, controller_id, "subject:unrestricted", acting.entry_id, acting.at,
                 subject_id=subject_id, fields=_hers(vault, _lifted(vault, before, left)))  # fmt: skip
        kept.tell(said_of(vault, "lift", controller_id, subject_id, fields=tuple(sorted(named)), request=acting.entry_id))
    close(vault, kept.line)
    return Changed(version, acting.entry_id)


def _named(vault: Vault, fields: Collection[str] | None, faults: list[Fault]) -> frozenset[str]:
    """Return the fields, or ALL where none are named. Raises InvalidValue by pointer and code, and says nothing of anybody."""
    if fields is not None and not fields:
        faults.append(Fault("/fields", "fields.count"))
    if any(name not in vault.catalogue.fields for name in fields or ()):
        faults.append(Fault("/fields", "field.unknown"))
    if faults:
        raise InvalidValue(faults=faults)
    return ALL if fields is None else frozenset(fields)


def _told(vault: Vault, named: frozenset[str], **said: str) -> dict[str, Any]:
    """Return what the entry says: to the person what concerns them, to officers every field (d.lgs. 231/2007, art. 39)."""
    return {"details": {**said, "fields": _hers(vault, named)}, "internal": {"fields": sorted(named)}}


def _hers(vault: Vault, named: frozenset[str]) -> list[str]:
    return sorted(named - vault.catalogue.never_to_subject)


def _require_restricted(vault: Vault, acting: Acting, named: frozenset[str]) -> None:
    row = acting.person.subject
    if row is None or _left(vault, row.restricted, named) == row.restricted:
        raise refuse(vault, acting, Conflict("not-restricted"))


def _require_told(vault: Vault, acting: Acting, notified_at: datetime | None) -> None:
    """Refuse, on record, unless the person was told after it began and before now."""
    row: SubjectRow | None = acting.person.subject
    began = row.restricted_at if row is not None else None
    if notified_at is None or notified_at >= acting.at or (began is not None and notified_at < began):
        raise refuse(vault, acting, Conflict("notice-needed"))


def _all_or(restricted: frozenset[str]) -> frozenset[str]:
    return ALL if EVERYTHING in restricted else restricted


def _lifted(vault: Vault, before: frozenset[str], left: frozenset[str]) -> frozenset[str]:
    """Return what is restricted no more."""
    if EVERYTHING in before and not left:
        return ALL
    return (frozenset(vault.catalogue.fields) if EVERYTHING in before else before) - left


def _left(vault: Vault, restricted: frozenset[str], named: frozenset[str]) -> frozenset[str]:
    """Return what stays restricted. Of everything, all but the named fields."""
    if EVERYTHING in named:
        return frozenset()
    return (frozenset(vault.catalogue.fields) if EVERYTHING in restricted else restricted) - named
