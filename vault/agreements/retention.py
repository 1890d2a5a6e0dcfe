"""How long what was agreed is kept after its end, and what waits for somebody before it is removed. Pure.

Rules (GDPR 5(1)(e), 17(3)(b)):

1. While an agreement that brought a duty is in force the duty does not run out.
2. Each rule of the duty's template counts from its trigger, in calendar periods that are clamped and not rolled: ten years from
   29 February 2024 is kept through 28 February 2034, and erased in the run of 1 March.
3. The latest day decides, and the rule it comes from is shown.
4. No duty: it ends with its agreement.
5. A trigger the vault knows nothing of (a claim, a last entry) is taken to have come when the last agreement that brought the duty
   ended, never earlier; a duty of which nothing tells what brought it does not run out.
6. Nothing is removed while a hold, a restriction or a request of the person needs it, or one of their templates is unknown.
7. A run that is out of proportion waits for somebody: over 5 % of the people there are, or over twice what ten runs removed.

Source: `rights.md` 8.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from typing import Any, Final

from vault.agreements.terms import valid_until

RUNS: Final = 10
PART: Final = 20  # of all people, the part that may go in one night
FACTOR: Final = 2
_FROM_THE_BEGINNING: Final = frozenset({"collection", "receipt"})


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a template: from which trigger, for how long (ISO 8601), by what law; `code` is that of a refusal."""

    trigger: str
    period: str
    law: tuple[str, ...]
    code: str


@dataclass(frozen=True, slots=True)
class Ended:
    """One agreement of a person: `ended_at` None while it is in force; dormant where it waits for its trigger."""

    agreement_id: str
    template: str
    began_at: datetime
    ended_at: datetime | None
    dormant: bool = False


@dataclass(frozen=True, slots=True)
class Kept:
    """What a duty keeps until the end of which local day, by which rule; `until` None: it does not run out yet."""

    agreement_id: str
    template: str
    until: date | None
    rule: Rule | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be done of a person: `over` are the duties that are over, `whole` says that nothing else holds anything.

    `blocks` says what it waits for; then nothing is done.
    """

    over: tuple[Kept, ...]
    running: tuple[Kept, ...]
    whole: bool
    since: date | None  # from which day on it is due, blocked or not
    blocks: tuple[str, ...]

    @property
    def due(self) -> bool:
        """Whether something is to be removed now."""
        return not self.blocks and (self.whole or bool(self.over))


def rules_of(document: Mapping[str, Any]) -> tuple[Rule, ...]:
    """Return the rules of a template's document."""
    return tuple(Rule(one["trigger"], one["period"], tuple(one["law"]), one["code"]) for one in document["retention"])


def kept_by(
    duty: Ended, rules: Sequence[Rule], agreements: Sequence[Ended], companions: Mapping[str, Collection[str]], zone: tzinfo
) -> Kept:
    """Return what a duty keeps. `companions`: by template, the duties that come with it."""
    carriers = [one for one in agreements if duty.template in companions.get(one.template, ())]
    others = [one for one in agreements if not one.dormant]
    if any(one.ended_at is None for one in carriers) or not rules:
        return Kept(duty.agreement_id, duty.template, None, None)
    last: tuple[date, Rule] | None = None
    for rule in rules:
        whose = others if rule.trigger == "relationship-end" else carriers
        until = _last_day(_from(rule, duty, whose), rule.period, zone)
        if until is None:
            return Kept(duty.agreement_id, duty.template, None, rule)
        last = (until, rule) if last is None or until > last[0] else last
    return Kept(duty.agreement_id, duty.template, *(last or (None, None)))


def verdict(duties: Sequence[Kept], agreements: Sequence[Ended], today: date, blocks: Sequence[str]) -> Verdict:
    """Return what is to be done of a person today."""
    over = tuple(one for one in duties if one.until is not None and one.until < today)
    running = tuple(one for one in duties if one not in over)
    in_force = any(one.ended_at is None and not one.dormant for one in agreements)
    whole = not running and not in_force and any(one.ended_at is not None for one in agreements)
    days = [one.until for one in over if one.until is not None] or [one.ended_at.date() for one in agreements if one.ended_at]
    since = max(days) + timedelta(days=1) if days and (over or whole) else None
    return Verdict(over, running, whole, since, tuple(blocks))


def out_of_proportion(due: int, people: int, before: Sequence[int]) -> bool:
    """Return whether so many wait for somebody. `before`: how many the latest runs that removed anything did."""
    latest = before[:RUNS]
    often = len(latest) == RUNS and due * RUNS > FACTOR * sum(latest)
    return due > 0 and (often or due * PART > people)


def _from(rule: Rule, duty: Ended, whose: Sequence[Ended]) -> datetime | None:
    if rule.trigger in _FROM_THE_BEGINNING:
        return duty.began_at
    ends = [one.ended_at for one in whose]
    return max((one for one in ends if one is not None), default=None) if None not in ends else None


def _last_day(since: datetime | None, period: str, zone: tzinfo) -> date | None:
    end = valid_until(since, period, zone) if since is not None else None
    return (end - timedelta(seconds=1)).astimezone(zone).date() if end is not None else None
