"""Deny at once: one authorised person withholds from a role, a caller, a purpose … what policy would show, for 72 hours at most.

A denial can only withhold. The next disclosing statement reads it, in every process, so it is in force with the next reading; it
ends by itself or is lifted, and what it withheld is as it was. Changing who sees what is a new bundle.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa

from vault import tables
from vault.assembly import Vault
from vault.errors import Conflict, Fault, InvalidValue, NotFound
from vault.operations.acting import HOUSE, Acting, carrying_out, prepare, record, refuse
from vault.operations.callers import ROLES
from vault.operations.receiving import recipient_names
from vault.operations.reveal import text_fault
from vault.outbox import announce
from vault.policy.model import CHANNELS, Caller, Context

HOURS: Final = range(1, 73)
LONGEST_ID: Final = 255


@dataclass(frozen=True, slots=True)
class What:
    """What is denied: all that is stated must be so. Without field and class: every field."""

    role: str | None = None
    caller_id: str | None = None
    purpose: str | None = None
    field: str | None = None
    class_name: str | None = None
    channel: str | None = None
    recipient: str | None = None

    def stated(self) -> dict[str, str]:
        """Return what is stated, by column."""
        return {name.replace("class_name", "class"): one for name, one in asdict(self).items() if one is not None}


@dataclass(frozen=True, slots=True)
class Order:
    """A denial somebody orders, for how long, and why in their own words."""

    what: What
    hours: int
    why: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Denial:
    """A denial as it stands."""

    denial_id: str
    what: What
    began_at: datetime
    ends_at: datetime
    entry_id: str


def deny(vault: Vault, controller_id: str, order: Order) -> Denial:
    """Deny, and return the denial. Raises InvalidValue naming each member that is wrong."""
    if faults := list(_faults(vault, controller_id, order)):
        raise InvalidValue(faults=faults)
    acting = _in_house(vault, "deny", controller_id)
    made = Denial(vault.new_id("dny"), order.what, acting.at, acting.at + timedelta(hours=order.hours), acting.entry_id)
    said = {"result": "denied", "denial": made.denial_id}
    stated = order.what.stated()
    record(vault, acting, details=said, internal={"denied": stated, "hours": order.hours, "why": order.why})
    row = {
        **dict.fromkeys(_CRITERIA), **stated, "controller_id": controller_id, "denial_id": made.denial_id,
        "began_at": made.began_at, "ends_at": made.ends_at, "by": acting.context.caller.id, "entry_id": made.entry_id,
    }  # fmt: skip
    with carrying_out(vault, acting) as transaction:
        transaction.execute(_INSERT, row)
        announce(transaction, vault, controller_id, "policy:denied", acting.entry_id, acting.at, denial_id=made.denial_id)
    return made


def lift_denial(vault: Vault, controller_id: str, denial_id: str) -> str:
    """End a denial before its time; return the entry's id. Raises NotFound, Conflict (`denial-over`)."""
    acting = _in_house(vault, "lift_denial", controller_id)
    found = [one for one in _all(vault, controller_id) if one.denial_id == denial_id]
    if not found:
        raise refuse(vault, acting, NotFound("denial-not-found"))
    if found[0].ends_at <= acting.at:
        raise refuse(vault, acting, Conflict("denial-over"))
    record(vault, acting, details={"result": "lifted", "denial": denial_id})
    with carrying_out(vault, acting) as transaction:
        transaction.execute(_LIFT, {"of_controller_id": controller_id, "of_denial_id": denial_id, "now": acting.at})
        announce(transaction, vault, controller_id, "policy:denial-lifted", acting.entry_id, acting.at, denial_id=denial_id)
    return acting.entry_id


def denials_in_force(vault: Vault, controller_id: str) -> list[Denial]:
    """Return the denials in force, the latest first."""
    at = vault.now()
    return [one for one in _all(vault, controller_id) if at < one.ends_at]


def _all(vault: Vault, controller_id: str) -> list[Denial]:
    rows = vault.database.read(controller_id, _EVERY, {"controller_id": controller_id})
    return [Denial(one.denial_id, What(*one[:_STATED]), one.began_at, one.ends_at, one.entry_id) for one in rows]


def _in_house(vault: Vault, verb: str, controller_id: str) -> Acting:
    """Return the act of whoever runs the vault: their right is that of the operating system's account."""
    operator = Caller(id="operator", kind="operator", roles=frozenset({"operator"}), client_id="riserbo")
    return prepare(vault, verb, Context(controller_id, operator, "legal-compliance", "api"), permission=HOUSE)


def closed_lists(vault: Vault, controller_id: str) -> dict[str, frozenset[str]]:
    """Return what each member of a denial may be, for those that are of a closed list."""
    return {
        "role": ROLES | {"customer"},
        "purpose": vault.policy.purposes,
        "field": frozenset(vault.catalogue.fields),
        "class": frozenset(vault.catalogue.classes),
        "channel": frozenset(CHANNELS),
        "recipient": recipient_names(vault, controller_id),
    }


def _faults(vault: Vault, controller_id: str, order: Order) -> Iterator[Fault]:
    """Yield what is of no closed list, by member."""
    known, what = closed_lists(vault, controller_id), order.what
    stated = what.stated()
    if not stated:
        yield Fault("/what", "denial.of-nothing")
    yield from (Fault(f"/{name}", "unknown") for name, one in stated.items() if name in known and one not in known[name])
    if what.caller_id is not None and not (what.caller_id.isprintable() and 0 < len(what.caller_id) <= LONGEST_ID):
        yield Fault("/caller_id", "malformed")
    if order.hours not in HOURS:
        yield Fault("/hours", "hours.range")
    if (wrong := text_fault(order.why, needed=True)) is not None:
        yield Fault("/why", wrong)


_CRITERIA: Final = ("role", "caller_id", "purpose", "field", "class", "channel", "recipient")
_D = tables.policy_denial.c
_INSERT = sa.insert(tables.policy_denial)
_STATED: Final = len(_CRITERIA)
_EVERY = (
    sa.select(*(_D[name] for name in _CRITERIA), _D.denial_id, _D.began_at, _D.ends_at, _D.entry_id)
    .where(_D.controller_id == sa.bindparam("controller_id"))
    .order_by(_D.began_at.desc())
)
_LIFT = (
    sa.update(tables.policy_denial)
    .where(_D.controller_id == sa.bindparam("of_controller_id"), _D.denial_id == sa.bindparam("of_denial_id"))
    .values(ends_at=sa.bindparam("now"))
)
