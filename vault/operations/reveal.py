"""Reveal a few named fields in clear, for a reason the person will see: a disclosure of its own, on the caller's own ticket.

What may be revealed to whom is policy's (act `reveal`). Budgets are for each person and caller, each caller, each team, and count
values asked for, shown or not: a script meets the limit however it asks. Counters commit before a refusal is raised.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from vault import budgets
from vault.assembly import Vault
from vault.budgets import Budget
from vault.errors import Fault, InvalidValue, NotFound
from vault.operations.acting import Acting, prepare, refuse, require_permission, require_person
from vault.operations.disclose import disclose
from vault.operations.disclosure import Ask, Profile
from vault.operations.facts import break_glass_state
from vault.operations.within_limits import within_limits
from vault.policy.model import Context

REASONS: Final[Mapping[str, Mapping[str, str]]] = {  # as the person reads them
    "CALLBACK": {"it": "Ricontatto", "en": "Call back"},
    "ADDRESS_CHECK": {"it": "Verifica indirizzo", "en": "Address check"},
    "PAYMENT_CHECK": {"it": "Verifica pagamento", "en": "Payment check"},
    "DELIVERY": {"it": "Consegna", "en": "Delivery"},
    "LEGAL_DUTY": {"it": "Obbligo di legge", "en": "Legal duty"},
    "OTHER": {"it": "Altro (spiegare)", "en": "Other (explain)"},
}
SHORTEST_TEXT: Final = 20
LONGEST_TEXT: Final = 1_000


@dataclass(frozen=True, slots=True)
class Wish:
    """What a caller wants to see, and why: a code, and words that only officers read."""

    fields: tuple[str, ...]
    reason: str
    justification: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Revealed:
    """The answer: the fields as policy showed them, and after how many seconds they are to be removed from the screen."""

    profile: Profile
    hide_after_s: int


def reveal(vault: Vault, context: Context, subject_id: str, wish: Wish) -> Revealed:
    """Show the named fields. Raises InvalidValue, TooMany with the seconds to wait, and what `disclose` raises."""
    fields = _fit(vault, wish)
    acting = prepare(vault, "reveal", context, subject_id)
    if break_glass_state(acting.grants, context, acting.caller, "reveal", fields, acting.at) == "none":
        require_permission(vault, acting)
        _require_own_ticket(vault, acting)
    require_person(vault, acting)
    within_limits(vault, acting, _budgets(vault, acting), "reveal-budget", len(fields))
    ask = Ask(context, subject_id, fields, "reveal", "reveal", wish.reason, wish.justification)
    return Revealed(disclose(vault, ask), vault.policy.limits.hide_after_s)


def text_fault(text: str | None, *, needed: bool) -> str | None:
    """Return what is wrong with somebody's own words, as a code; None when they will do."""
    words = " ".join((text or "").split())
    if needed and len(words) < SHORTEST_TEXT:
        return "text.too-short"
    if len(text or "") > LONGEST_TEXT:
        return "text.too-long"
    return "text.syntax" if any("\ud800" <= one <= "\udfff" for one in words) else None


def _fit(vault: Vault, wish: Wish) -> tuple[str, ...]:
    """Return the fields, once each. Raises InvalidValue by pointer and code, and says nothing of anybody."""
    fields = tuple(dict.fromkeys(wish.fields))
    faults = []
    if not 0 < len(fields) <= vault.policy.limits.fields_at_once:
        faults.append(Fault("/fields", "fields.count"))
    if any(name not in vault.catalogue.fields for name in fields):
        faults.append(Fault("/fields", "field.unknown"))
    if wish.reason not in REASONS:
        faults.append(Fault("/reason", "reason.unknown"))
    if (wrong := text_fault(wish.justification, needed=wish.reason == "OTHER")) is not None:
        faults.append(Fault("/justification", wrong))
    if faults:
        raise InvalidValue(faults=faults)
    return fields


def _require_own_ticket(vault: Vault, acting: Acting) -> None:
    """Refuse, on record, whose ticket is not verified: an asserted one shows masks at most. Policy saw to whose it is."""
    if acting.ticket.state != "verified":
        raise refuse(vault, acting, NotFound())


def _budgets(vault: Vault, acting: Acting) -> list[Budget]:
    """Return what this reveal is taken from, narrowest first."""
    limits, caller_id, team = vault.policy.limits, acting.context.caller.id, acting.caller.team
    found = budgets.budgets_of(caller_id, f"reveal/{acting.subject_id}", limits.reveal_per_caller_and_subject)
    found += budgets.budgets_of(caller_id, "reveal", limits.reveal_per_caller)
    return found + (budgets.budgets_of(team, "reveal-of-team", limits.reveal_per_team) if team is not None else [])
