"""By when a request is answered: the periods of `policies/regimes.yaml`, and the days they make. Pure.

1. A period begins on the local day of receipt, which does not count, and ends with a local day (Reg. 1182/71 art. 3(1), (2)(c)).
2. Months are clamped to the last day of a shorter month; stops are added in days; only then is the day rolled, once.
3. An extension is counted from receipt, never from the date it extends, and must be told by `base_due`, which no stop moves.
4. A stop counts where the person was asked within five working days of receipt; what overlaps counts once; one that is not answered
   leaves the date open.

Source: GDPR 12(3); `rights.md` 2.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final, Literal

from vault.policy.working_days import MonthDay, months_after, rolled, working_days_after

ASKED_WITHIN: Final = 5  # working days
ALARMS: Final = ("half", "three-quarters", "nine-tenths", "three-days", "overdue")
Alarm = Literal["half", "three-quarters", "nine-tenths", "three-days", "overdue"]
_PARTS: Final[tuple[tuple[Alarm, float], ...]] = (("half", 0.5), ("three-quarters", 0.75), ("nine-tenths", 0.9))
_NAME: Final = re.compile(r"([a-z][a-z0-9-]*)@([1-9][0-9]*)")
_STATUS: Final = ("law", "proposed")
_MEMBERS: Final = frozenset({"law", "status", "valid_from", "counsel", "period", "extended", "rolls", "stops"})


@dataclass(frozen=True, slots=True)
class Span:
    """So many months, or so many days."""

    months: int = 0
    days: int = 0


@dataclass(frozen=True, slots=True)
class Period:
    """One version of one law on requests. `extended`: what the whole may become, from receipt."""

    name: str
    version: int
    law: str
    in_force: bool
    valid_from: date
    counsel: bool
    span: Span
    extended: tuple[Span, ...]
    rolls: bool
    stops: bool

    @property
    def reference(self) -> str:
        """The name and version that are stored."""
        return f"{self.name}@{self.version}"


@dataclass(frozen=True, slots=True)
class Stop:
    """The person was asked for something on a day, and answered on another; None while they have not."""

    asked: date
    answered: date | None = None


@dataclass(frozen=True, slots=True)
class Due:
    """Until the end of which day a request is in time. `due`: None while the clock stands still. `counted`: days of stops."""

    base_due: date
    due: date | None
    counted: int


def periods_of(document: Mapping[str, Any]) -> tuple[Period, ...]:
    """Return the periods of a parsed document, in its order; none where it has none. Raises ValueError naming the unfit one."""
    stated = document.get("requests", {})
    if type(stated) is not dict:
        raise ValueError("requests: are no periods")
    return tuple(_period(name, one) for name, one in stated.items())


def period_in_force(periods: Sequence[Period], name: str, on: date) -> Period | None:
    """Return the newest version of a law in force on a day, None where there is none; what is only proposed never is."""
    fit = [one for one in periods if one.name == name and one.in_force and one.valid_from <= on]
    return max(fit, key=lambda one: one.version, default=None)


def due_of(
    period: Period, received: date, stops: Sequence[Stop] = (), extended: int | None = None, also: Collection[MonthDay] = ()
) -> Due:
    """Return by when a request received on a local day is answered. `extended`: which of the period's extensions, if any."""
    base = _ends(period, received, period.span, 0, also)
    fit = [one for one in stops if period.stops and counts(received, one, also)]
    counted = _days(fit)
    if any(one.answered is None for one in fit):
        return Due(base, None, counted)
    return Due(
        base, _ends(period, received, period.span if extended is None else period.extended[extended], counted, also), counted
    )


def counts(received: date, stop: Stop, also: Collection[MonthDay] = ()) -> bool:
    """Say whether a stop counts: the person was asked soon enough."""
    return stop.asked <= working_days_after(received, ASKED_WITHIN, also)


def alarms(received: date, base_due: date, today: date) -> tuple[Alarm, ...]:
    """Return the alarms a request has come to on a day, by the date that no stop moves."""
    whole = (base_due - received).days
    come: list[Alarm] = [name for name, part in _PARTS if (today - received).days >= part * whole]
    if today >= base_due - timedelta(days=3):
        come.append("three-days")
    if today > base_due:
        come.append("overdue")
    return tuple(come)


def _ends(period: Period, received: date, span: Span, stopped: int, also: Collection[MonthDay]) -> date:
    day = months_after(received, span.months) + timedelta(days=span.days + stopped)
    return rolled(day, also) if period.rolls else day


def _days(stops: Sequence[Stop]) -> int:
    """Return the days of the answered stops, what overlaps counted once."""
    held: set[date] = set()
    for one in stops:
        if one.answered is not None:
            held |= {one.asked + timedelta(days=number) for number in range((one.answered - one.asked).days)}
    return len(held)


def _period(name: Any, stated: Any) -> Period:
    found = _NAME.fullmatch(name) if isinstance(name, str) else None
    if found is None or not isinstance(stated, dict) or stated.keys() != _MEMBERS:
        raise ValueError(f"{name}: is no period")
    if not _fits(stated):
        raise ValueError(f"{name}: a member is of the wrong kind")
    try:
        valid_from = date.fromisoformat(stated["valid_from"])
    except (TypeError, ValueError):
        raise ValueError(f"{name}: valid_from is no date") from None
    return Period(
        found[1], int(found[2]), stated["law"], stated["status"] == "law", valid_from, stated["counsel"],
        _span(name, stated["period"]), tuple(_span(name, one) for one in stated["extended"]), stated["rolls"], stated["stops"],
    )  # fmt: skip


def _fits(stated: Mapping[str, Any]) -> bool:
    flags = all(type(stated[one]) is bool for one in ("counsel", "rolls", "stops"))
    return flags and isinstance(stated["law"], str) and isinstance(stated["extended"], list) and stated["status"] in _STATUS


def _span(name: str, stated: Any) -> Span:
    if not isinstance(stated, dict) or len(stated) != 1 or not stated.keys() <= {"months", "days"}:
        raise ValueError(f"{name}: a span is one of months and days")
    ((unit, number),) = stated.items()
    if type(number) is not int or not 0 < number <= 366:
        raise ValueError(f"{name}: a span is a number of {unit}")
    return Span(**{unit: number})
