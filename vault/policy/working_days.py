"""Working days in Italy, and periods of days and months as Reg. (EEC, Euratom) 1182/71 art. 3 counts them. Pure.

Holidays are those of L. 260/1949 art. 2 as amended: 4 October again from 2026 (L. 151/2025). A patron saint's day is the
controller's own; it only ever lengthens.
"""

from calendar import monthrange
from collections.abc import Collection
from datetime import date, timedelta
from functools import lru_cache
from typing import Final

MonthDay = tuple[int, int]

_FIXED: Final[tuple[MonthDay, ...]] = (
    (1, 1), (1, 6), (4, 25), (5, 1), (6, 2), (8, 15), (11, 1), (12, 8), (12, 25), (12, 26),
)  # fmt: skip
_SAINT_FRANCIS, _SINCE = (10, 4), 2026
_SATURDAY: Final = 5


@lru_cache(maxsize=256)
def easter(year: int) -> date:
    """Return Easter Sunday, Gregorian (Meeus, Jones, Butcher: *Astronomical Algorithms*, 1991)."""
    century, of_century = divmod(year, 100)
    golden, leaps, rest = year % 19, century // 4, century % 4
    moon = (century - (century + 8) // 25 + 1) // 3
    epact = (19 * golden + century - leaps - moon + 15) % 30
    week = (32 + 2 * rest + 2 * (of_century // 4) - epact - of_century % 4) % 7
    late = (golden + 11 * epact + 22 * week) // 451
    month, day = divmod(epact + week - 7 * late + 114, 31)
    return date(year, month, day + 1)


def is_working_day(day: date, also: Collection[MonthDay] = ()) -> bool:
    """Say whether a day is neither Saturday, Sunday nor holiday, nor one of `also`, (month, day)."""
    if day.weekday() >= _SATURDAY or day == easter(day.year) + timedelta(days=1):
        return False
    of_year = (day.month, day.day)
    return of_year not in _FIXED and of_year not in also and not (of_year == _SAINT_FRANCIS and day.year >= _SINCE)


def rolled(day: date, also: Collection[MonthDay] = ()) -> date:
    """Return the day, or the next working day where it is none."""
    while not is_working_day(day, also):
        day += timedelta(days=1)
    return day


def working_days_after(day: date, count: int, also: Collection[MonthDay] = ()) -> date:
    """Return the last of so many working days after a day."""
    for _ in range(count):
        day = rolled(day + timedelta(days=1), also)
    return day


def months_after(day: date, months: int) -> date:
    """Return the same day so many months later, or the last of a shorter month (art. 3(2)(c))."""
    years, month = divmod(day.month - 1 + months, 12)
    year = day.year + years
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))
