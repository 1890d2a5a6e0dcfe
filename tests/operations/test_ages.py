"""Children grow up: what is allowed follows their date of birth as time passes, though the date is sealed and nobody opens it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from tests.makers import make_context, make_subject, register, terms
from tests.operations.conftest import Ledger
from vault.assembly import Vault
from vault.errors import InvalidValue, NotFound
from vault.operations.agree import agree
from vault.operations.amend import amend
from vault.operations.disclose import disclose
from vault.operations.disclosure import Ask
from vault.operations.enroll import Enrolled
from vault.operations.withdraw import withdraw
from vault.policy.model import Context

ROME = ZoneInfo("Europe/Rome")
SECOND = timedelta(seconds=1)
CONTACT = {"given_name": "Ada", "email": "ada@example.it"}


@pytest.fixture
def system(vault: Vault, controller_id: str) -> Context:
    register(vault, controller_id, "system")
    return make_context(controller_id, "system", channel="phone")


@pytest.fixture
def enrolled(vault: Vault, controller_id: str, system: Context) -> Callable[[date], Enrolled]:
    """Enrol somebody of a date of birth under a contract and a consent to marketing."""
    del system

    def enrol(born: date) -> Enrolled:
        return make_subject(vault, controller_id, {**CONTACT, "date_of_birth": born.isoformat()}, ("retail", "marketing"))

    return enrol


def birthday_soon(vault: Vault, years: int) -> date:
    """Return the birth date of somebody who will be so many years old in the middle of the month after next."""
    soon = (vault.now().astimezone(ROME).date().replace(day=1) + timedelta(days=64)).replace(day=17)
    return soon.replace(year=soon.year - years)


def at(vault: Vault, instant: datetime) -> Vault:
    return replace(vault, now=lambda: instant)


def midnight(day: date) -> datetime:
    return datetime.combine(day, time(), ROME).astimezone(UTC)


def grown(born: date, years: int) -> datetime:
    """Return when somebody counts as so old by the clock: the month after the birthday begins."""
    birthday = born.replace(year=born.year + years)
    return midnight((birthday.replace(day=1) + timedelta(days=32)).replace(day=1))


def is_marketed_to(vault: Vault, controller_id: str, person: Enrolled) -> bool:
    context = make_context(controller_id, "system", purpose="marketing")
    try:
        return disclose(vault, Ask(context, person.subject_id, ("email",))).fields["email"].state == "token"
    except NotFound:
        return False


def consents_alone(vault: Vault, system: Context, person: Enrolled) -> bool:
    """Whether the person may consent to an online service without a guardian; if so, they now have."""
    online = replace(vault.templates["marketing@1"], online_service=True)
    try:
        agree(replace(vault, templates={**vault.templates, "marketing@1": online}), system, person.subject_id, terms("marketing"))
    except InvalidValue as refusal:
        return [one.code for one in refusal.faults] != ["guardian-needed"]
    return True


def test_a_child_grows_up_without_anybody_doing_anything(
    vault: Vault, controller_id: str, enrolled: Callable[[date], Enrolled], ledger: Ledger
) -> None:
    """17 and then 18: up to the second before, and from the beginning of the month on."""
    born = birthday_soon(vault, 18)
    person, when = enrolled(born), grown(born, 18)
    assert ledger.rows("vault.subject", columns="minor, adult_at") == [("14-17", when)]
    seen = [is_marketed_to(at(vault, one), controller_id, person) for one in (vault.now(), when - SECOND, when, when + SECOND)]
    assert seen == [False, False, True, True]
    assert ledger.rows("vault.subject", columns="minor") == [("14-17",)]


def test_from_fourteen_on_one_consents_alone(
    vault: Vault, system: Context, enrolled: Callable[[date], Enrolled], ledger: Ledger
) -> None:
    born = birthday_soon(vault, 14)
    person, when = enrolled(born), grown(born, 14)
    assert ledger.rows("vault.subject", columns="minor, adult_at") == [("under-14", grown(born, 18))]
    assert [consents_alone(at(vault, one), system, person) for one in (vault.now(), when - SECOND, when)] == [False, False, True]


def test_where_the_date_is_at_hand_the_band_is_exact(vault: Vault, controller_id: str, system: Context, ledger: Ledger) -> None:
    """Enrolled on the birthday itself, or the day before it, whatever the clock would say."""
    del system
    for years, bands in ((14, ("14-17", "under-14")), (18, ("adult", "14-17"))):
        born = birthday_soon(vault, years)
        noon = at(vault, midnight(born.replace(year=born.year + years)) + timedelta(hours=12))
        for day, band in zip((born, born + timedelta(days=1)), bands, strict=True):
            person = make_subject(noon, controller_id, {**CONTACT, "date_of_birth": day.isoformat()})
            kept = ledger.rows("vault.subject", f"subject_id = '{person.subject_id}'", "minor, adult_at")
            assert kept == [(band, None if band == "adult" else grown(born, 18))]


def test_the_band_follows_a_date_that_is_written_and_none_that_is_removed(
    vault: Vault, controller_id: str, system: Context, ledger: Ledger
) -> None:
    person = make_subject(vault, controller_id, CONTACT)
    child = birthday_soon(vault, 14)

    def kept(version: int, born: date | None) -> tuple[str, datetime | None]:
        value = None if born is None else born.isoformat()
        amend(vault, system, person.subject_id, person.agreements[0], {"date_of_birth": value}, version)
        (row,) = ledger.rows("vault.subject", columns="minor, adult_at")
        return row[0], row[1]

    assert ledger.rows("vault.subject", columns="minor, adult_at") == [("unknown", None)]
    assert kept(1, child) == ("under-14", grown(child, 18))
    assert kept(2, None) == ("under-14", grown(child, 18))
    assert kept(3, date(1980, 2, 29)) == ("adult", None)
    assert kept(4, birthday_soon(vault, 18)) == ("14-17", grown(birthday_soon(vault, 18), 18))


def test_the_database_holds_no_birthday(vault: Vault, enrolled: Callable[[date], Enrolled], ledger: Ledger) -> None:
    """Everybody of one month looks alike."""
    born = birthday_soon(vault, 14)
    for day in (2, 9, 28):
        enrolled(born.replace(day=day))
    enrolled(date(1980, 2, 29))
    assert set(ledger.rows("vault.subject", columns="minor, adult_at")) == {("under-14", grown(born, 18)), ("adult", None)}


def test_when_the_date_may_be_read_no_more_its_month_goes(
    vault: Vault, controller_id: str, system: Context, enrolled: Callable[[date], Enrolled], ledger: Ledger
) -> None:
    """Emptied or archived: the band stays, for nobody is grown up by a withdrawal."""
    born = birthday_soon(vault, 14)
    person = enrolled(born)
    withdraw(vault, system, person.agreements[0], {})
    assert ledger.rows("vault.subject", columns="minor, adult_at") == [("under-14", grown(born, 18))]  # the consent holds the class
    withdraw(vault, system, person.agreements[1], {})
    assert ledger.rows("keys.data_key", "class = 'contact'", "state") == [("archived",)]
    assert ledger.rows("vault.subject", columns="minor, adult_at") == [("under-14", None)]
