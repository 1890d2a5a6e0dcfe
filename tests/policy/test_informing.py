"""By when people are told of data from others: a month, or sooner; never later."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.policy.makers import policy
from vault.policy.informing import REGIME, Informing, informing
from vault.policy.periods import Period, period_in_force

ROME = ZoneInfo("Europe/Rome")
INSTANTS = st.datetimes(datetime(2018, 5, 26), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - given a zone there


def period() -> Period:
    found = period_in_force(policy().periods, REGIME, date(2026, 11, 1))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("obtained", "until"),
    [
        ("2026-01-31T10:00:00+01:00", "2026-02-28T23:59:59.999999+01:00"),  # clamped; a Saturday, and not rolled
        ("2026-03-05T10:00:00+01:00", "2026-04-05T23:59:59.999999+02:00"),  # Easter
        ("2026-10-11T22:30:00+00:00", "2026-11-12T23:59:59.999999+01:00"),  # is 12 October in Rome
    ],
)
def test_a_month_from_obtaining_ends_with_its_local_day(obtained: str, until: str) -> None:
    found = informing(period(), datetime.fromisoformat(obtained), ROME)
    assert found == Informing(datetime.fromisoformat(until), "obtained")


def test_the_law_knows_no_extension_and_no_stop() -> None:
    assert (period().extended, period().rolls, period().stops) == ((), False, False)


@example(datetime(2018, 10, 1, 22, tzinfo=UTC), None, None)  # October has an hour more
@example(datetime(2021, 2, 28, 22, 59, tzinfo=UTC), None, None)  # and March one less
@given(INSTANTS, st.none() | INSTANTS, st.none() | INSTANTS)
def test_what_happens_makes_it_sooner_and_never_later(
    obtained: datetime, contacted: datetime | None, disclosed: datetime | None
) -> None:
    month = informing(period(), obtained, ROME)
    found = month.sooner("contacted", contacted).sooner("disclosed", disclosed)
    told = {"obtained": month.due_at, "contacted": contacted, "disclosed": disclosed}
    assert found.due_at == min(one for one in told.values() if one is not None) == told[found.because]
    days = month.due_at.astimezone(ROME).date() - obtained.astimezone(ROME).date()  # whole ones: clocks change in a month
    assert timedelta(days=28) <= days <= timedelta(days=31)
