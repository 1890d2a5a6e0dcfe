"""What a record says of a decision: enough to take it again, and to compare. Pure.

Of `input` and `gate1` what is false, none, empty or zero is left out: a record is kept for ten years, and most of what could be
said of a request is not so.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from vault.policy.inputs import Circumstance, ViewKey
from vault.policy.lexicon import Lexicon
from vault.policy.model import AgreementFacts, Context, TicketFacts
from vault.policy.rows import Lawfulness, Plate, View


def record(
    bundle: str,
    subject_id: str,
    laws: Sequence[tuple[Lawfulness, AgreementFacts]],
    row: View,
    filled: Plate,
    occasion: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, Any]:
    """Return the compact record of a decision: enough to work it out again, and to compare.

    `lawful`, `bits`, `returned` and `deciding` hold masks
    over the bundle's fields; `spelt_out` names them. `occasion` holds what no rule rests on (`occasion_of`).
    """
    lawful = 0
    for law, _ in laws:
        lawful |= law.bits
    return {
        "bundle": bundle,
        "subject": subject_id,
        "input": filled.given,
        "gate1": [{"agreement": one.agreement_id, **law.said} for law, one in laws],
        "lawful": f"{lawful:x}",
        "row": row.digest,
        "returned": filled.returned,
        "deciding": {laws[one.number][1].agreement_id: one.bits for one in filled.shares},
        "obligations": filled.obligations,
        **occasion,
    }


def occasion_of(context: Context, ticket: TicketFacts) -> dict[str, Any]:
    """Return who acted for whom, and how old in seconds the answer on the ticket was: for whoever reads the record."""
    caller = context.caller
    by = {"by": {"caller": caller.id, "actor": caller.actor}} if caller.actor is not None else {}
    return by if ticket.age_s is None else {**by, "ticket_age_s": ticket.age_s}


def spelt_out(lexicon: Lexicon, kept: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    """Return what a record says was returned of each field, and the agreement that decided each shown one."""
    returned = {name: what for what, bits in kept["returned"].items() for name in lexicon.names(int(bits, 16))}
    deciding = {name: one for one, bits in kept["deciding"].items() for name in lexicon.names(int(bits, 16))}
    return returned, deciding


def given_law(lexicon: Lexicon, one: Circumstance) -> dict[str, Any]:
    """Return what a record says of gate 1's input."""
    return {
        "recipient": one.recipient,
        "region": one.region,
        "operation": one.operation,
        "objected": one.objected,
        "objected_marketing": one.objected_marketing,
        "time_barred": one.time_barred,
        "deceased": one.deceased,
        "acts_for_subject": one.acts_for_subject,
        "restricted": f"{lexicon.mask(one.restricted):x}",
        **({} if one.terms is None else {"terms": list(one.terms[1:])}),
    }


def given_view(lexicon: Lexicon, key: ViewKey) -> dict[str, Any]:
    """Return what a record says of gate 2's input."""
    return {
        "principal": key.principal,
        "roles": sorted(key.roles),
        "training": sorted(key.training),
        "act": key.act,
        "purpose": key.purpose,
        "channel": key.channel,
        "ticket": {"state": key.ticket, "assigned": key.assigned},
        "caller_verified": key.caller_verified,
        "level": key.level,
        "step_up": key.step_up,
        "break_glass": key.break_glass,
        "minor": key.minor,
        "is_self": key.is_self,
        "in_care": key.in_care,
        "request_accepted": key.request_accepted,
        "request_fields": sorted(key.request_fields),
        "restricted": f"{lexicon.mask(key.restricted):x}",
    }


def stated(given: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what says nothing."""
    return {name: one for name, one in given.items() if one not in (False, 0, [], "none", "0")}
