"""By when somebody is told of data that did not come from them (GDPR 14(3)). Pure.

1. Within the period of the bundle from when they were obtained, one month: until its last local day ends (14(3)(a)).
2. Earlier where the person is communicated with: at the first contact (14(3)(b)).
3. Earlier where they go to another recipient: when they first do (14(3)(c)).
"""

from dataclasses import dataclass
from datetime import UTC, datetime, time
from typing import Final, Literal
from zoneinfo import ZoneInfo

from vault.policy.periods import Period, due_of

REGIME: Final = "gdpr-14-3"
Because = Literal["obtained", "contacted", "disclosed"]


@dataclass(frozen=True, slots=True)
class Informing:
    """Until which instant the person is told in time, in UTC, and why then."""

    due_at: datetime
    because: Because

    def sooner(self, because: Because, at: datetime | None) -> "Informing":
        """Return it as it is once that has happened too."""
        return self if at is None or at >= self.due_at else Informing(at, because)


def informing(period: Period, obtained_at: datetime, zone: ZoneInfo) -> Informing:
    """Return until when somebody is told of what was obtained then, where nothing makes it sooner."""
    last = due_of(period, obtained_at.astimezone(zone).date()).base_due
    return Informing(datetime.combine(last, time.max, zone).astimezone(UTC), "obtained")
