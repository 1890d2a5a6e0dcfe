"""From when a cancer of long ago is nobody's to ask about: the terms of `policies/onco_terms.yaml`, and the day they make. Pure.

Calendar years from the end of treatment without relapse, clamped to the last day of a shorter month; the shortest term that fits
counts. Nothing of the illness is kept but that day. Source: L. 193/2023 art. 2, DM 22 March 2024; `rights.md` 9.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from vault.errors import Fault
from vault.policy.model import Treatment
from vault.policy.working_days import months_after

_MEMBERS: Final = frozenset({"schema", "law", "counsel", "years", "years_before_21", "kinds"})


@dataclass(frozen=True, slots=True)
class OncoTerms:
    """After how many years."""

    years: int
    years_before_21: int
    kinds: Mapping[str, int]


def onco_terms_of(document: Mapping[str, Any]) -> OncoTerms:
    """Return the terms of a parsed document. Raises ValueError naming what is unfit."""
    kinds = document.get("kinds")
    if document.keys() != _MEMBERS or type(kinds) is not dict:
        raise ValueError("members are missing, or there are others")
    stated = {"years": document["years"], "years_before_21": document["years_before_21"], **kinds}
    if unfit := [str(name) for name, years in stated.items() if type(years) is not int or not 0 < years <= 10]:
        raise ValueError(f"{unfit[0]}: is no number of years up to ten")
    return OncoTerms(document["years"], document["years_before_21"], dict(kinds))


def treatment_faults(terms: OncoTerms, said: Treatment, today: date) -> Iterator[Fault]:
    """Yield what is wrong with what was said."""
    if said.kind is not None and said.kind not in terms.kinds:
        yield Fault("/treatment/kind", "treatment.unknown")
    if said.ended_on is not None and said.ended_on > today:
        yield Fault("/treatment/ended_on", "date.ahead")


def barred_from(terms: OncoTerms, said: Treatment | None, today: date) -> date | None:
    """Return from which day it is barred: None while a treatment goes on; where nothing is said it ended today at the latest."""
    if said is not None and said.ended_on is None:
        return None
    fit = [terms.years]
    if said is not None and said.before_21:
        fit.append(terms.years_before_21)
    if said is not None and said.kind is not None:
        fit.append(terms.kinds[said.kind])
    ended_on = said.ended_on if said is not None and said.ended_on is not None else today
    return months_after(ended_on, 12 * min(fit))
