"""Obscure values of health data: from the next read on, for all but the person it is as if they had never been.

That they were obscured is obscured too (Garante, 4 June 2015): nothing is told to the outside, the fields are named to officers
alone, and the answer is the same whether or not there was a value. Each value is obscured by its version: what is written later
shows, and who writes it in good faith reads it back.
"""

from collections.abc import Collection, Mapping

from vault.assembly import Vault
from vault.errors import Fault, InvalidValue
from vault.keys import frame
from vault.operations.acting import carrying_out, prepare, record, require_permission, require_person
from vault.operations.restrict import Changed
from vault.policy.model import Context
from vault.profiles import states


def obscure(vault: Vault, context: Context, subject_id: str, fields: Collection[str]) -> Changed:
    """Obscure what these fields hold now. Raises InvalidValue for a field that is not special, NotFound, AccessDenied."""
    return _change(vault, "obscure", context, subject_id, frozenset(fields))


def lift_obscuring(vault: Vault, context: Context, subject_id: str, fields: Collection[str]) -> Changed:
    """Show these fields again to whoever may see them. Raises as `obscure`."""
    return _change(vault, "lift_obscuring", context, subject_id, frozenset(fields))


def _change(vault: Vault, verb: str, context: Context, subject_id: str, fields: frozenset[str]) -> Changed:
    known = vault.catalogue.fields
    if not fields or any(name not in known or not known[name].special for name in fields):
        raise InvalidValue(faults=[Fault("/fields", "field.not-special" if fields else "fields.count")])
    acting = prepare(vault, verb, context, subject_id)
    require_permission(vault, acting)
    require_person(vault, acting)
    record(vault, acting, internal={"fields": sorted(fields)})
    with carrying_out(vault, acting) as transaction:
        version, now = states.locked(transaction, context.controller_id, subject_id)
        held = _held(states.frames(transaction, context.controller_id, subject_id))
        those = {one for one in held if one.partition("@")[0] in fields}
        before = frozenset(now.obscured)
        after = before | those if verb == "obscure" else before - those
        states.change(transaction, context.controller_id, subject_id, obscured=sorted(after))
    return Changed(version, acting.entry_id)


def _held(frames: Mapping[str, bytes]) -> frozenset[str]:
    """Return the values there are, by field@value_version."""
    return frozenset(f"{name}@{one[0]}" for octets in frames.values() for name, one in frame.read(octets).entries.items())
