"""Two at once: one wins, the other is told, and what is left is what one of the two orders would have left.

Nothing is left to luck: a third connection holds the rows both need until both wait for them, then lets go.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from tests.assurance.desk import Desk
from tests.makers import make_subject, terms
from vault.errors import Conflict, Stale, Unreadable, VaultError
from vault.operations.agree import Made, agree
from vault.operations.amend import Amended, amend
from vault.operations.disclose import disclose
from vault.operations.disclosure import Ask
from vault.operations.enroll import Enrolled, enroll
from vault.operations.withdraw import Withdrawn, withdraw

GROUND = {"given_name": "Giulia", "email": "giulia.bianchi@example.it", "preferred_language": "it"}
Act = Callable[[], object]


class Together:
    """Runs acts at once while a lock is held, and lets go when all of them wait."""

    def __init__(self, url: str) -> None:
        self._url = url

    def run(self, acts: Sequence[Act], holding: str, *values: Any) -> list[object]:
        """Return what each act returned, or the error of the vault's that it raised. `holding` is the statement that locks."""
        waiting: list[Future[object]] = []
        with ThreadPoolExecutor(len(acts)) as pool, psycopg.connect(self._url) as holder, psycopg.connect(self._url) as watcher:
            watcher.autocommit = True  # within a transaction the activity of others is seen once and for all
            holder.execute(holding.encode(), values)
            for number, act in enumerate(acts, 1):
                waiting.append(pool.submit(act))
                _until_waiting(watcher, number)
            holder.rollback()
            return [_outcome(one) for one in waiting]


def _until_waiting(watcher: "psycopg.Connection[Any]", number: int) -> None:
    ends_at = time.monotonic() + 1.8  # below the lock time-out
    query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND usename = 'riserbo_app'"
    while time.monotonic() < ends_at:
        found = watcher.execute(query).fetchone()
        if found is not None and found[0] >= number:
            return
        time.sleep(0.01)
    raise AssertionError("it does not wait")


def _outcome(one: "Future[object]") -> object:
    try:
        return one.result(timeout=10)
    except VaultError as error:
        return error


@pytest.fixture
def together(database_url: str) -> Together:
    return Together(database_url)


@pytest.fixture
def count(database_url: str, desk: Desk) -> Iterator[Callable[[str], int]]:
    with psycopg.connect(database_url, autocommit=True) as connection:

        def counted(what: str) -> int:
            query = f"SELECT count(*) FROM {what} AND controller_id = %s"
            found = connection.execute(query.encode(), (desk.controller_id,)).fetchone()
            assert found is not None
            return int(found[0])

        yield counted


KEYS = "SELECT 1 FROM keys.data_key WHERE controller_id = %s FOR UPDATE"
INDEX = "LOCK TABLE keys.blind_index IN EXCLUSIVE MODE"


def enrolled(desk: Desk, *agreed: str, number: str | None = None) -> Enrolled:
    return make_subject(desk.vault, desk.controller_id, {**GROUND, **({"customer_number": number} if number else {})}, agreed)


def one_each(outcomes: Sequence[object], won: type[Any], lost: type[Exception]) -> tuple[Any, Any]:
    """Return who won and who lost."""
    assert sorted(type(one).__name__ for one in outcomes) == sorted([won.__name__, lost.__name__]), outcomes
    return next(one for one in outcomes if isinstance(one, won)), next(one for one in outcomes if isinstance(one, lost))


@pytest.mark.parametrize("round_", range(3))
def test_of_two_withdrawals_one_wins(desk: Desk, together: Together, count: Callable[[str], int], round_: int) -> None:
    person = enrolled(desk, "retail", "marketing")
    acts = [lambda: withdraw(desk.vault, desk.context("system"), person.agreements[1], {"method": "portal"})] * 2
    won, lost = one_each(together.run(acts, KEYS, desk.controller_id), Withdrawn, Conflict)
    assert lost.code == "agreement-not-in-force"
    assert won.version == 2
    assert count(f"vault.agreement_event WHERE agreement_id = '{person.agreements[1]}'") == 2
    assert count(f"keys.data_key_wrap WHERE holder_id = '{person.agreements[1]}'") == 0
    assert count("vault.event WHERE name = 'agreement:withdrawn'") == 1
    entries = [desk.entry(one).leaf for one in desk.entries()]
    outcomes = [leaf["outcome"] for leaf in entries if leaf["operation"] == "withdraw"]
    assert sorted(outcomes) == ["done", "done", "failed"]  # both intents, and that one of them did not happen
    failed = next(leaf for leaf in entries if leaf["outcome"] == "failed")
    assert failed["ref"] in {leaf["id"] for leaf in entries}


@pytest.mark.parametrize("first", ["amend", "withdraw"])
def test_amending_and_withdrawing_the_same_agreement_end_in_one_order(
    desk: Desk, together: Together, count: Callable[[str], int], first: str
) -> None:
    """Neither waits for the other for ever, and no value is left under an agreement that has ended."""
    person = enrolled(desk, "marketing")
    agreement_id = person.agreements[0]

    def amending() -> Amended:
        return amend(desk.vault, _marketing(desk), person.subject_id, agreement_id, {"email": "new@example.it"}, 1)

    def withdrawing() -> Withdrawn:
        return withdraw(desk.vault, desk.context("system"), agreement_id, {})

    acts: list[Act] = [amending, withdrawing] if first == "amend" else [withdrawing, amending]
    outcomes = together.run(acts, KEYS, desk.controller_id)
    amended, withdrawn = outcomes if first == "amend" else outcomes[::-1]
    assert isinstance(withdrawn, Withdrawn), outcomes
    assert isinstance(amended, Amended | Stale), outcomes
    assert withdrawn.version == (3 if isinstance(amended, Amended) else 2)
    for table in ("vault.profile_frame", "vault.field_history", "keys.data_key", "keys.data_key_wrap", "keys.blind_index"):
        assert count(f"{table} WHERE subject_id = '{person.subject_id}'") == 0, table


def _marketing(desk: Desk) -> Any:
    context = desk.context("system")
    return type(context)(context.controller_id, context.caller, "marketing", context.channel, None, "req-test")


@pytest.mark.parametrize("first", ["agree", "withdraw"])
def test_an_agreement_made_while_the_last_one_ends_brings_no_key_back(
    desk: Desk, together: Together, count: Callable[[str], int], first: str
) -> None:
    """Its wraps are made from a key that may be gone when they are written: then they must not be."""
    person = enrolled(desk, "marketing")
    said = terms("marketing", channel="phone", indicated_at=desk.vault.now().isoformat(timespec="seconds"))

    def agreeing() -> Made:
        return agree(desk.vault, desk.context("system"), person.subject_id, said)

    def withdrawing() -> Withdrawn:
        return withdraw(desk.vault, desk.context("system"), person.agreements[0], {})

    acts: list[Act] = [agreeing, withdrawing] if first == "agree" else [withdrawing, agreeing]
    outcomes = together.run(acts, KEYS, desk.controller_id)
    made, withdrawn = outcomes if first == "agree" else outcomes[::-1]
    assert isinstance(withdrawn, Withdrawn), outcomes
    held = count(f"keys.data_key_wrap WHERE subject_id = '{person.subject_id}'")
    if withdrawn.emptied:
        assert held == count(f"keys.data_key WHERE subject_id = '{person.subject_id}'") == 0
    else:
        assert isinstance(made, Made), outcomes
        assert held == 1
        ask = Ask(_marketing(desk), person.subject_id, ("preferred_language",))
        assert disclose(desk.vault, ask).fields["preferred_language"].value == "it"


def test_of_two_amendments_of_one_version_one_wins(desk: Desk, together: Together, count: Callable[[str], int]) -> None:
    person = enrolled(desk, "retail")

    def amending(value: str) -> Act:
        return lambda: amend(desk.vault, desk.context("system"), person.subject_id, person.agreements[0], {"email": value}, 1)

    outcomes = together.run([amending("a@example.it"), amending("b@example.it")], KEYS, desk.controller_id)
    won, _ = one_each(outcomes, Amended, Stale)
    assert won.version == 2
    assert count(f"vault.field_history WHERE subject_id = '{person.subject_id}'") == 1
    value = ["a@example.it", "b@example.it"][outcomes.index(won)]
    shown = disclose(desk.vault, Ask(desk.context("customer", person.subject_id), person.subject_id, ("email",)))
    assert shown.fields["email"].value == value


@pytest.mark.parametrize("round_", range(3))
def test_of_two_enrolments_of_one_customer_number_one_wins(
    desk: Desk, together: Together, count: Callable[[str], int], round_: int
) -> None:
    acts = [lambda: _enrol(desk, "C0000001")] * 2
    won, lost = one_each(together.run(acts, INDEX), Enrolled, Conflict)
    assert lost.code == "already-enrolled"
    assert count("vault.subject WHERE true") == 1
    assert count("keys.data_key WHERE true") == 1
    assert count("keys.blind_index WHERE index_name = 'customer_number'") == 1
    query = {"by": "customer_number", "value": "c-0000001"}
    found = desk.call("POST", "/v1/subjects:search", "t1", query, ticket="TCK-asserted")
    assert [one["subject_id"] for one in found.json()["matches"]] == [won.subject_id]
    leaves = [desk.entry(one).leaf for one in desk.entries()]
    assert sorted(leaf["outcome"] for leaf in leaves if leaf["operation"] == "enroll") == ["done", "done", "failed"]


def _enrol(desk: Desk, number: str) -> Enrolled:
    return enroll(desk.vault, desk.context("system"), {**GROUND, "customer_number": number}, (terms("retail", channel="phone"),))


def test_one_customer_number_is_not_amended_to_another_s(desk: Desk, together: Together, count: Callable[[str], int]) -> None:
    """What two enrolments may not do, an enrolment and a correction, or two corrections, may not do either."""
    first, second, third = (enrolled(desk, "retail", number=f"C000000{n}") for n in (1, 2, 3))

    def amending(person: Enrolled, number: str) -> Amended:
        fields = {"customer_number": number}
        return amend(desk.vault, desk.context("system"), person.subject_id, person.agreements[0], fields, 1)

    with pytest.raises(Conflict) as refusal:
        amending(second, "C-000 0001")
    assert refusal.value.code == "value-taken"
    assert amending(first, "C-0000001").version == 2  # one's own number, spelt another way
    outcomes = together.run([lambda: amending(second, "C0000009"), lambda: amending(third, "C0000009")], INDEX)
    one_each(outcomes, Amended, Conflict)
    assert count("keys.blind_index WHERE index_name = 'customer_number'") == 3
    with pytest.raises(Conflict):
        _enrol(desk, "C0000009")


def test_a_read_that_began_before_a_withdrawal_is_the_last(desk: Desk) -> None:
    """What was read in one statement may still be shown; what starts after the commit may not."""
    person = enrolled(desk, "retail", "marketing")
    ask = Ask(_marketing(desk), person.subject_id, ("preferred_language",))
    assert disclose(desk.vault, ask).fields["preferred_language"].value == "it"
    withdraw(desk.vault, desk.context("system"), person.agreements[1], {})
    with pytest.raises(VaultError) as refusal:
        disclose(desk.vault, ask)
    assert not isinstance(refusal.value, Unreadable)
