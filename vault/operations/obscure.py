"""Obscure values of health data: from the next read on, for all but the person it is as if they had never been.

That they were obscured is obscured too (Garante, 4 June 2015): nothing is told to the outside, the fields are named to officers
alone, and the answer is the same whether or not there was a value. Each value is obscured by its version: what is written later
shows, and who writes it in good faith reads it back.
"""

from collections.abc import Collection, Mapping

from vault.assembly import Vault
from vault.erasure.ledger import Line
from vault.errors import Fault, InvalidValue
from vault.keys import frame
from vault.operations.acting import Acting, carrying_out, prepare, record, require_permission, require_person
from vault.operations.on_ledger import carrying_out_on_ledger, close, said_of
from vault.operations.restrict import Changed
from vault.policy.model import Context
from vault.profiles import states


def obscure(vault: Vault, context: Context, subject_id: str, fields: Collection[str]) -> Changed:
    """Obscure what these fields hold now. Raises InvalidValue for a field that is not special, NotFound, AccessDenied."""
    named = frozenset(fields)
    return obscure_recorded(vault, _recorded(vault, "obscure", context, subject_id, named), named)


def obscure_recorded(vault: Vault, acting: Acting, fields: frozenset[str], line: Line | None = None) -> Changed:
    """Obscure what is recorded already; the ledger knows it, or a restored backup would show it again."""
    controller_id, subject_id = acting.context.controller_id, acting.subject_id
    with carrying_out_on_ledger(vault, acting, line) as kept:
        version, now = states.locked(kept.rows, controller_id, subject_id)
        those = _those(states.frames(kept.rows, controller_id, subject_id), fields)
        states.change(kept.rows, controller_id, subject_id, obscured=sorted(frozenset(now.obscured) | those))
        kept.tell(said_of(vault, "obscure", controller_id, subject_id, fields=tuple(sorted(fields)), request=acting.entry_id))
    close(vault, kept.line)
    return Changed(version, acting.entry_id)


def lift_obscuring(vault: Vault, context: Context, subject_id: str, fields: Collection[str]) -> Changed:
    """Show these fields again to whoever may see them. Raises as `obscure`."""
    named = frozenset(fields)
    acting = _recorded(vault, "lift_obscuring", context, subject_id, named)
    with carrying_out(vault, acting) as transaction:
        version, now = states.locked(transaction, context.controller_id, subject_id)
        those = _those(states.frames(transaction, context.controller_id, subject_id), named)
        states.change(transaction, context.controller_id, subject_id, obscured=sorted(frozenset(now.obscured) - those))
    return Changed(version, acting.entry_id)


def _recorded(vault: Vault, verb: str, context: Context, subject_id: str, fields: frozenset[str]) -> Acting:
    """Put it on record, which names the fields to officers alone."""
    known = vault.catalogue.fields
    if not fields or any(name not in known or not known[name].special for name in fields):
        raise InvalidValue(faults=[Fault("/fields", "field.not-special" if fields else "fields.count")])
    acting = prepare(vault, verb, context, subject_id)
    require_permission(vault, acting)
    require_person(vault, acting)
    record(vault, acting, internal={"fields": sorted(fields)})
    return acting


def _those(frames: Mapping[str, bytes], fields: Collection[str]) -> frozenset[str]:
    """Return the values there are in these fields, by field@value_version."""
    entries = [item for octets in frames.values() for item in frame.read(octets).entries.items()]
    return frozenset(f"{name}@{one[0]}" for name, one in entries if name in fields)
