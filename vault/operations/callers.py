"""The register of callers: who works for the controller, in which roles, until when. Every change is an entry."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from vault import tables
from vault.assembly import Vault
from vault.errors import Fault, InvalidValue
from vault.operations.acting import HOUSE, carrying_out, prepare, record
from vault.policy.model import Caller, Context

ROLES = frozenset({"t1", "t2", "billing", "medical", "dpo", "dsr-officer", "system", "operator"})
ROLES |= {"break-glass-eligible", "break-glass-approver"}
ALONE = frozenset({"dpo", "operator", "system"})  # as in a token: nobody is one thing by one token and another by the next
APART = frozenset({"break-glass-eligible", "break-glass-approver"})


@dataclass(frozen=True, slots=True)
class Registration:
    """One caller: `recipient` is the party they work for, `region` the site of their desk (ISO 3166-1 alpha-2)."""

    caller_id: str
    roles: Sequence[str]
    team: str | None = None
    training: Sequence[str] = ()
    recipient: str = "helpdesk"
    region: str = "IT"
    valid_until: datetime | None = None


def register_caller(vault: Vault, controller_id: str, registration: Registration) -> str:
    """Write the registration over any earlier one; return the entry's id. Raises InvalidValue for roles that exclude each other."""
    roles = frozenset(registration.roles)
    if not roles <= ROLES or (ALONE & roles and len(roles) > 1) or roles >= APART:
        raise InvalidValue(faults=[Fault("/roles", "roles.unfit")])
    operator = Caller(id="operator", kind="operator", roles=frozenset({"operator"}), client_id="riserbo")
    acting = prepare(vault, "register_caller", Context(controller_id, operator, "legal-compliance", "api"), permission=HOUSE)
    record(vault, acting, details={"result": "registered"}, internal={"registration": _said(registration)})
    row = {
        "controller_id": controller_id, "caller_id": registration.caller_id, "roles": sorted(roles), "team": registration.team,
        "training": sorted(registration.training), "recipient": registration.recipient, "region": registration.region,
        "valid_from": acting.at, "valid_until": registration.valid_until, "entry_id": acting.entry_id,
    }  # fmt: skip
    with carrying_out(vault, acting) as transaction:
        transaction.execute(_UPSERT, row)
    return acting.entry_id


def _said(registration: Registration) -> dict[str, object]:
    until = registration.valid_until
    return {
        "caller_id": registration.caller_id,
        "roles": sorted(registration.roles),
        "team": registration.team or "",
        "training": sorted(registration.training),
        "recipient": registration.recipient,
        "region": registration.region,
        "valid_until": until.isoformat() if until is not None else "",
    }


def _upsert() -> sa.Insert:
    new = insert(tables.caller)
    changed = {c.name: new.excluded[c.name] for c in tables.caller.c if c.name not in ("controller_id", "caller_id")}
    return new.on_conflict_do_update(index_elements=["controller_id", "caller_id"], set_=changed)


_UPSERT = _upsert()
