"""Record that a person has died, or that it was an error.

From the next read on what rested on their consent decides nothing, nobody markets to them, their own token is nobody's, and nobody
on the telephone is verified as them; contracts, duties of law and claims go on. Who has an interest of their own, a mandate or
family reasons (Codice, art. 2-terdecies) is answered by the request officer.
"""

from datetime import date
from typing import Literal

from vault.assembly import Vault
from vault.erasure.ledger import Line
from vault.errors import Conflict, Fault, InvalidValue
from vault.operations.acting import Acting, prepare, record, refuse, require_permission, require_person
from vault.operations.on_ledger import carrying_out_on_ledger, close, said_of
from vault.operations.restrict import Changed
from vault.outbox import announce
from vault.policy.model import Context
from vault.profiles import states

Evidence = Literal["death-certificate", "civil-registry", "notary", "court"]


def record_death(vault: Vault, context: Context, subject_id: str, on: date | None, evidence: Evidence) -> Changed:
    """Record the day somebody died; None: they did not. Raises InvalidValue, NotFound, AccessDenied, Conflict `not-deceased`."""
    zone = vault.controller(context.controller_id).zone
    if on is not None and on > vault.now().astimezone(zone).date():
        raise InvalidValue(faults=[Fault("/on", "date.future")])
    acting = prepare(vault, "record_death", context, subject_id)
    require_permission(vault, acting)
    require_person(vault, acting)
    row = acting.person.subject
    if on is None and (row is None or not row.deceased):
        raise refuse(vault, acting, Conflict("not-deceased"))
    said = {"on": on.isoformat()} if on is not None else {}
    result = "deceased" if on is not None else "death-retracted"
    record(vault, acting, details={"result": result, "evidence": evidence}, internal=said)
    return death_recorded(vault, acting, on)


def death_recorded(vault: Vault, acting: Acting, on: date | None, line: Line | None = None) -> Changed:
    """Carry out what is recorded already; the ledger knows it, but not the day, or a restored backup would market to the dead."""
    controller_id, subject_id = acting.context.controller_id, acting.subject_id
    name = "subject:died" if on is not None else "subject:death-retracted"
    with carrying_out_on_ledger(vault, acting, line) as kept:
        version, _ = states.locked(kept.rows, controller_id, subject_id)
        states.change(kept.rows, controller_id, subject_id, deceased_on=on)
        announce(kept.rows, vault, controller_id, name, acting.entry_id, acting.at, subject_id=subject_id)
        kept.tell(said_of(vault, "deceased" if on else "alive", controller_id, subject_id, request=acting.entry_id))
    close(vault, kept.line)
    return Changed(version, acting.entry_id)
