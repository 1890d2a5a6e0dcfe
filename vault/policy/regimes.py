"""Regimes: what the law gives how long for, from `policies/regimes.yaml`, and the instants that makes. Pure.

1. Hours run in UTC: 72 hours over a change of the clocks are 72 hours (GDPR 33(1); Reg. 1182/71 art. 3(2)(a)).
2. Months are calendar months of the local date, clamped to the last day of a shorter month, and end with that local day
   (Reg. 1182/71 art. 3(2)(c)). Deadlines of a breach never roll over Sundays or holidays.
3. Of several versions in force the newest counts; one that is only proposed never does.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from vault.policy.working_days import months_after

BEGINNINGS: Final = ("aware", "classified")  # what a clock may start from, besides a notice that was sent
_NAME: Final = re.compile(r"([a-z][a-z0-9-]*)@([1-9][0-9]*)")
_MEMBERS: Final = frozenset({"law", "status", "valid_from", "counsel", "unlikely", "notices", "steps"})


@dataclass(frozen=True, slots=True)
class Step:
    """One clock: this notice is due so long after that beginning. One of `hours` and `months` is 0."""

    notice: str
    since: str
    hours: int
    months: int


@dataclass(frozen=True, slots=True)
class Regime:
    """One version of one law. `needed_if_unlikely`: it asks for its notices also where a risk to people is unlikely."""

    name: str
    version: int
    law: str
    in_force: bool
    valid_from: date
    counsel: bool
    needed_if_unlikely: bool
    notices: tuple[str, ...]
    steps: tuple[Step, ...]

    @property
    def reference(self) -> str:
        """The name and version that are stored."""
        return f"{self.name}@{self.version}"


@dataclass(frozen=True, slots=True)
class Deadline:
    """One computed instant, with what it was computed from. Late is what comes after `due_at`."""

    regime: str  # name@version
    step: int
    notice: str
    since: str
    since_at: datetime
    due_at: datetime


def regimes_of(document: Mapping[str, Any]) -> tuple[Regime, ...]:
    """Return the regimes of a parsed document, in its order. Raises ValueError naming the one that is unfit."""
    stated = document.get("regimes")
    if not isinstance(stated, dict) or not stated:
        raise ValueError("there is no regime")
    return tuple(_regime(name, one) for name, one in stated.items())


def selected(regimes: Sequence[Regime], name: str, on: date) -> Regime | None:
    """Return the version of a law in force on a day, None where there is none; what is only proposed is never selected."""
    fit = [one for one in regimes if one.name == name and one.in_force and one.valid_from <= on]
    return max(fit, key=lambda one: one.version, default=None)


def deadlines(regime: Regime, known: Mapping[str, datetime], zone: ZoneInfo) -> list[Deadline]:
    """Return every clock that runs: those whose beginning is known. `known` holds beginnings, and when a notice was first sent."""
    return [
        Deadline(regime.reference, number, one.notice, one.since, known[one.since], due_at(one, known[one.since], zone))
        for number, one in enumerate(regime.steps)
        if one.since in known
    ]


def due_at(step: Step, since: datetime, zone: ZoneInfo) -> datetime:
    """Return the last instant that is in time, in UTC."""
    if step.hours:
        return since.astimezone(UTC) + timedelta(hours=step.hours)
    return datetime.combine(months_after(since.astimezone(zone).date(), step.months), time.max, zone).astimezone(UTC)


def _regime(name: Any, stated: Any) -> Regime:
    found = _NAME.fullmatch(name) if isinstance(name, str) else None
    if found is None or not isinstance(stated, dict) or stated.keys() != _MEMBERS:
        raise ValueError(f"{name}: is no regime")
    if faults := list(_faults(stated)):
        raise ValueError(f"{name}: {faults[0]}")
    return Regime(
        name=found[1],
        version=int(found[2]),
        law=stated["law"],
        in_force=stated["status"] == "law",
        valid_from=date.fromisoformat(stated["valid_from"]),
        counsel=stated["counsel"],
        needed_if_unlikely=stated["unlikely"] == "the-same",
        notices=tuple(stated["notices"]),
        steps=tuple(Step(one["notice"], one["from"], one.get("hours", 0), one.get("months", 0)) for one in stated["steps"]),
    )


def _faults(stated: Mapping[str, Any]) -> Iterator[str]:
    if not isinstance(stated["law"], str) or not isinstance(stated["counsel"], bool):
        yield "law or counsel is missing"
    if stated["status"] not in ("law", "proposed") or stated["unlikely"] not in ("nothing", "the-same"):
        yield "status or unlikely is of no list"
    try:
        date.fromisoformat(stated["valid_from"])
    except (TypeError, ValueError):
        yield "valid_from is no date"
    notices, steps = stated["notices"], stated["steps"]
    if not _are_names(notices) or not isinstance(steps, list) or not steps:
        yield "notices or steps are missing"
        return
    if not all(_is_step(one, notices) for one in steps):
        yield "a step names no notice, no beginning, or not one of hours and months"


def _are_names(stated: Any) -> bool:
    return isinstance(stated, list) and bool(stated) and all(isinstance(one, str) for one in stated)


def _is_step(stated: Any, notices: Sequence[str]) -> bool:
    if not isinstance(stated, dict) or len(stated) != 3 or stated.get("notice") not in notices:
        return False
    given = stated.get("hours", stated.get("months"))
    return stated.get("from") in (*BEGINNINGS, *notices) and type(given) is int and given > 0
