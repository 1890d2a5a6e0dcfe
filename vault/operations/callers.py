"""The register of callers: who works for the controller, in which roles, until when. Every change is an entry.

It is read in the statement every access begins with, so a registration that ends, ends with the next access of every process.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from vault import tables
from vault.assembly import Vault
from vault.errors import Fault, InvalidValue, NotFound
from vault.operations.acting import HOUSE, Acting, carrying_out, prepare, record, refuse
from vault.policy.lexicon import TRAINING
from vault.policy.model import Caller, Context

CALLER_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@|+=/~-]{0,254}")  # the `sub` of a token: an id, nobody's words
TEAM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,63}")
REGION = re.compile(r"[A-Z]{2}")  # ISO 3166-1 alpha-2; a word here would be in no group of states, and policy would go by that
ROLES = frozenset({"t1", "t2", "billing", "medical", "dpo", "dsr-officer", "system", "operator"})
ROLES |= {"break-glass-eligible", "break-glass-approver", "unmask-approver"}
ALONE = frozenset({"dpo", "operator", "system"})  # as in a token: nobody is one thing by one token and another by the next
APART = frozenset({"break-glass-eligible", "break-glass-approver"})


@dataclass(frozen=True, slots=True)
class Registration:
    """One caller: `recipient` is the party they work for, `region` the site of their desk (ISO 3166-1 alpha-2).

    `training_until` says when a training ends to count, by its name; what it does not name does not end. `acts_for_agents`: a
    system that may name an agent it acts for (`act` in its tokens).
    """

    caller_id: str
    roles: Sequence[str]
    team: str | None = None
    training: Sequence[str] = ()
    recipient: str = "helpdesk"
    region: str = "IT"
    valid_until: datetime | None = None
    valid_from: datetime | None = None  # now
    training_until: Mapping[str, datetime] = field(default_factory=dict)
    acts_for_agents: bool = False


def register_caller(vault: Vault, controller_id: str, registration: Registration) -> str:
    """Write the registration over any earlier one; return the entry's id. Raises InvalidValue by pointer and code."""
    if faults := list(_faults(registration)):
        raise InvalidValue(faults=faults)
    acting = _prepared(vault, controller_id)
    record(vault, acting, details={"result": "registered"}, internal={"registration": _said(registration)})
    training = sorted(registration.training)
    row = {
        "controller_id": controller_id, "caller_id": registration.caller_id, "roles": sorted(set(registration.roles)),
        "team": registration.team, "training": training,
        "training_until": [registration.training_until.get(name) for name in training], "recipient": registration.recipient,
        "region": registration.region, "valid_from": registration.valid_from or acting.at, "valid_until": registration.valid_until,
        "acts_for_agents": registration.acts_for_agents, "entry_id": acting.entry_id,
    }  # fmt: skip
    with carrying_out(vault, acting) as transaction:
        transaction.execute(_UPSERT, row)
    return acting.entry_id


def end_registration(vault: Vault, controller_id: str, caller_id: str) -> str:
    """End a registration now; the line stays, for what rests on it. Return the entry's id. Raises NotFound for an id of none."""
    acting = _prepared(vault, controller_id)
    named = {"of_controller": controller_id, "of_caller": caller_id}
    if not vault.database.read(controller_id, _OF_CALLER, named):
        raise refuse(vault, acting, NotFound("caller-not-found"))
    record(vault, acting, details={"result": "ended"}, internal={"registration": {"caller_id": caller_id}})
    with carrying_out(vault, acting) as transaction:
        transaction.execute(_END, {**named, "at": acting.at, "entry": acting.entry_id})
    return acting.entry_id


def _prepared(vault: Vault, controller_id: str) -> Acting:
    operator = Caller(id="operator", kind="operator", roles=frozenset({"operator"}), client_id="riserbo")
    return prepare(vault, "register_caller", Context(controller_id, operator, "legal-compliance", "api"), permission=HOUSE)


def _faults(one: Registration) -> Iterator[Fault]:
    """Yield what is wrong, by pointer and code."""
    roles = frozenset(one.roles)
    if not roles <= ROLES or (ALONE & roles and len(roles) > 1) or roles >= APART:
        yield Fault("/roles", "roles.unfit")
    if not CALLER_ID.fullmatch(one.caller_id):
        yield Fault("/caller_id", "caller.syntax")
    if one.team is not None and not TEAM.fullmatch(one.team):
        yield Fault("/team", "team.syntax")
    if not REGION.fullmatch(one.region):
        yield Fault("/region", "region.syntax")
    if not {*one.training} <= {*TRAINING} or len({*one.training}) < len(one.training):
        yield Fault("/training", "training.unknown")
    if not one.training_until.keys() <= {*one.training}:
        yield Fault("/training_until", "training.unknown")
    if one.acts_for_agents and "system" not in roles:
        yield Fault("/acts_for_agents", "role.not-system")


def _said(registration: Registration) -> dict[str, object]:
    until, since = registration.valid_until, registration.valid_from
    return {
        "caller_id": registration.caller_id,
        "roles": sorted(registration.roles),
        "team": registration.team or "",
        "training": sorted(registration.training),
        "recipient": registration.recipient,
        "region": registration.region,
        "training_until": {name: one.isoformat() for name, one in registration.training_until.items()},
        "valid_from": since.isoformat() if since is not None else "",
        "valid_until": until.isoformat() if until is not None else "",
        "acts_for_agents": registration.acts_for_agents,
    }


def _upsert() -> sa.Insert:
    new = insert(tables.caller)
    changed = {c.name: new.excluded[c.name] for c in tables.caller.c if c.name not in ("controller_id", "caller_id")}
    return new.on_conflict_do_update(index_elements=["controller_id", "caller_id"], set_=changed)


_UPSERT = _upsert()

_C = tables.caller.c
_THIS = sa.and_(_C.controller_id == sa.bindparam("of_controller"), _C.caller_id == sa.bindparam("of_caller"))
_OF_CALLER = sa.select(_C.caller_id).where(_THIS)
_END = (
    sa.update(tables.caller)
    .where(_THIS)
    .values(
        valid_until=sa.func.least(_C.valid_until, sa.bindparam("at", type_=_C.valid_until.type)), entry_id=sa.bindparam("entry")
    )
)
