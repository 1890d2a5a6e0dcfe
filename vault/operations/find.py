"""Find a person by one exact value: a keyed hash is looked up, nothing is decrypted to search.

Known, forbidden and unknown look alike: a miss takes its decision on a decoy, a hit without right is dropped, each is recorded.
Look-ups are budgeted for each caller, and a refused one counts.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from vault.assembly import Vault
from vault.budgets import Budget
from vault.errors import AccessDenied, Fault, InvalidValue
from vault.keys import records as keys
from vault.operations.acting import Acting, prepare, refuse, require_permission
from vault.operations.disclose import disclose_all
from vault.operations.disclosure import Ask, Profile
from vault.operations.enrolment import canonical
from vault.operations.facts import NO_ONE_AGREED
from vault.operations.within_limits import within_limits
from vault.policy.masks import show
from vault.policy.model import Context
from vault.profiles.blind_index import bidx
from vault.profiles.normalise import index_text

MOST_MATCHES = 20
LOOK_UPS = 10
WINDOW = timedelta(minutes=1)
LABEL = ("given_name", "family_name")
NOBODY = "sub_" + "a" * 26


@dataclass(frozen=True, slots=True)
class Match:
    """One person found; `label` is masked."""

    subject_id: str
    label: str


@dataclass(frozen=True, slots=True)
class Found:
    """The answer, and the entry of its first disclosure."""

    matches: tuple[Match, ...]
    entry_id: str


def find(vault: Vault, context: Context, by: str, value: Any) -> Found:
    """Look a person up. Raises InvalidValue (`/by`, `/value`), TooMany with the seconds to wait, AccessDenied."""
    acting = prepare(vault, "find", context)
    require_permission(vault, acting)
    within_limits(vault, acting, [Budget(context.caller.id, "find", LOOK_UPS, WINDOW)], "look-up-budget")
    _require_searchable(vault, acting, by)
    subjects = look_up(vault, context.controller_id, by, value)
    asks = [Ask(context, subject_id, LABEL, operation="find") for subject_id in subjects or [NOBODY]]
    answers = disclose_all(vault, asks)
    matches = tuple(Match(one.subject_id, _label(one)) for one in answers if isinstance(one, Profile))
    return Found(matches, answers[0].entry_id or "")


def _require_searchable(vault: Vault, acting: Acting, by: str) -> None:
    """Refuse a field that cannot be looked up (422), or not by this caller (403)."""
    field = vault.catalogue.fields.get(by)
    if field is None or field.index is None:
        raise InvalidValue(faults=[Fault("/by", "field.not-searchable")])
    decision = vault.policy.decide(acting.context, "find", acting.caller, acting.ticket, NO_ONE_AGREED, [by])
    if decision.fields[by].level == "withheld":
        raise refuse(vault, acting, AccessDenied(decision.fields[by].because))


def look_up(vault: Vault, controller_id: str, by: str, value: Any) -> list[str]:
    """Return who has this value, at most `MOST_MATCHES`. Raises InvalidValue (`/value`)."""
    field = vault.catalogue.fields[by]
    index = field.index or by
    try:
        text = index_text(field.type, canonical(field, value))
    except InvalidValue as error:
        raise InvalidValue(faults=[Fault("/value", one.code) for one in error.faults]) from None
    secret = vault.keys.secret(controller_id, "index")
    with vault.database.snapshot(controller_id) as rows:
        found = keys.look_up(rows, controller_id, index, {secret.version: bidx(secret.key, index, secret.version, text)})
    return sorted(found)[:MOST_MATCHES]


def _label(profile: Profile) -> str:
    parts = (profile.fields[name] for name in LABEL)
    shown = (part.value if part.state == "masked" else show("initial", part.value) for part in parts if part.value is not None)
    return " ".join(str(one) for one in shown)
