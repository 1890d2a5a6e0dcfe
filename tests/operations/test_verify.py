"""Checking what a caller says: match or no match, few misses, and past them right and wrong look alike."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from tests.makers import EVERYTHING, make_context, make_subject, make_ticket, register
from tests.operations.conftest import Ledger
from vault.assembly import Vault
from vault.errors import AccessDenied, InvalidValue, NotFound, Restricted, TooMany, Unreadable, VaultError
from vault.operations.enroll import Enrolled
from vault.operations.facts import proved
from vault.operations.reveal import Wish, reveal
from vault.operations.verify import verify
from vault.policy.model import Context
from vault.profiles.records import Proof

MISSING = ("related_person", "phone")  # not shared, and not there


@pytest.fixture
def person(vault: Vault, controller_id: str) -> Enrolled:
    register(vault, controller_id, "t1", "t2", "dpo")
    return make_subject(vault, controller_id, {name: value for name, value in EVERYTHING.items() if name not in MISSING})


@pytest.fixture
def agent(vault: Vault, controller_id: str, person: Enrolled) -> Context:
    """An agent of the second tier with a ticket of their own about the person."""
    return make_context(controller_id, "t2", ticket=make_ticket(vault, controller_id, person.subject_id, "t2"))


def said(vault: Vault, context: Context, subject_id: str, field: str, value: Any) -> bool | str:
    """Return whether it matched, or the code of the refusal."""
    try:
        return verify(vault, context, subject_id, field, value).match
    except VaultError as error:
        return error.code


def at(vault: Vault, **later: float) -> Vault:
    """Return the vault some time from now."""
    now = vault.now() + timedelta(**later)
    return replace(vault, now=lambda: now)


@pytest.mark.parametrize(
    ("field", "right", "wrong"),
    [
        ("date_of_birth", "1980-02-29", "1980-02-28"),
        ("birth_place", " roma ", "Rom"),
        ("customer_number", "c-0000001", "C0000002"),
        ("email", " GIULIA.bianchi@example.IT ", "giulia.bianchi@example.com"),
        ("mobile", "+393331234567", "+393331234568"),
        ("verification_phrase", "Il  GATTO dorme", "il gatto"),
        ("address", EVERYTHING["address"], {**EVERYTHING["address"], "street": "Via Roma 2"}),
    ],
)
def test_the_whole_value_matches_however_it_is_spelt(
    vault: Vault, person: Enrolled, agent: Context, field: str, right: Any, wrong: Any
) -> None:
    assert said(vault, agent, person.subject_id, field, right) is True
    assert said(vault, agent, person.subject_id, field, wrong) is False


def test_what_is_compared_and_what_came_of_it_is_on_record_and_no_value_is(
    vault: Vault, person: Enrolled, agent: Context, ledger: Ledger
) -> None:
    for value in ("1980-02-29", "1980-02-28"):
        verify(vault, agent, person.subject_id, "date_of_birth", value)
    leaves = ledger.leaves("verify")
    assert [(leaf["outcome"], leaf.get("fields")) for leaf in leaves] == [
        ("allowed", {"date_of_birth": "verified"}),
        ("allowed", None),
        ("allowed", {"date_of_birth": "verified"}),
        ("refused", None),
    ]
    assert [leaves[1]["ref"], leaves[3]["ref"]] == [leaves[0]["id"], leaves[2]["id"]]
    assert "1980" not in repr(leaves) + repr(ledger.rows("vault.verification", columns="subject_id, field, kind"))


def test_what_is_not_there_is_a_miss(vault: Vault, person: Enrolled, agent: Context) -> None:
    assert said(vault, agent, person.subject_id, "phone", "02 1234 5678") is False


@pytest.mark.parametrize("field", ["tax_code", "given_name", "no_such_field"])
def test_only_what_the_catalogue_allows_is_checked(vault: Vault, person: Enrolled, agent: Context, field: str) -> None:
    """The tax code never: it follows from name and birth."""
    with pytest.raises(InvalidValue) as refusal:
        verify(vault, agent, person.subject_id, field, "RSSMRA85T10A562S")
    assert [(one.pointer, one.code) for one in refusal.value.faults] == [("/field", "field.not-verifiable")]


def test_what_is_no_value_of_its_type_costs_nothing(vault: Vault, person: Enrolled, agent: Context, ledger: Ledger) -> None:
    with pytest.raises(InvalidValue) as refusal:
        verify(vault, agent, person.subject_id, "date_of_birth", "29 febbraio")
    assert [one.pointer for one in refusal.value.faults] == ["/value"]
    assert ledger.rows("vault.budget") == []


def test_it_takes_one_s_own_verified_ticket_and_an_agreement(
    vault: Vault, controller_id: str, person: Enrolled, agent: Context, ledger: Ledger
) -> None:
    make_ticket(vault, controller_id, person.subject_id, "t1", "TCK-other")
    for ticket, code in (("TCK-other", "ticket-not-yours"), ("TCK-unheard", "not-found"), (None, "not-found")):
        assert said(vault, replace(agent, ticket_id=ticket), person.subject_id, "email", EVERYTHING["email"]) == code
    with pytest.raises(NotFound):
        verify(vault, make_context(controller_id, "dpo"), person.subject_id, "email", EVERYTHING["email"])
    other = make_subject(vault, controller_id, {"email": "ada@example.it"}, ("marketing",)).subject_id
    on_other = replace(agent, ticket_id=make_ticket(vault, controller_id, other, "t2", "TCK-2"))
    with pytest.raises(AccessDenied) as refusal:
        verify(vault, on_other, other, "email", "ada@example.it")
    assert refusal.value.code == "purpose-not-agreed"
    assert ledger.rows("vault.budget") == []


def test_what_is_restricted_is_not_checked(vault: Vault, person: Enrolled, agent: Context, ledger: Ledger) -> None:
    ledger.owner(
        f"UPDATE vault.subject SET restricted = '{{email}}', restricted_at = now() WHERE subject_id = '{person.subject_id}'"
    )
    with pytest.raises(Restricted):
        verify(vault, agent, person.subject_id, "email", EVERYTHING["email"])


def test_a_policy_that_errs_checks_nothing(vault: Vault, person: Enrolled, agent: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vault.policy, "_stopped", True)
    with pytest.raises(VaultError) as refusal:
        verify(vault, agent, person.subject_id, "email", EVERYTHING["email"])
    assert refusal.value.code in ("not-found", "policy-error")


def test_what_was_spoilt_is_told_and_the_attempt_stays_counted(
    vault: Vault, person: Enrolled, agent: Context, ledger: Ledger
) -> None:
    ledger.owner(
        f"UPDATE vault.profile_frame SET frame = set_byte(frame, length(frame) - 1, 0) WHERE subject_id = '{person.subject_id}'"
    )
    with pytest.raises(Unreadable):
        verify(vault, agent, person.subject_id, "date_of_birth", "1980-02-29")
    assert ledger.outcomes("verify")[-1] == "failed"


# --- caps


@pytest.mark.parametrize("guesses", [200, pytest.param(10_000, marks=pytest.mark.drill)])
def test_however_many_guesses_of_a_birth_date_stop_at_the_third(
    vault: Vault, person: Enrolled, agent: Context, ledger: Ledger, guesses: int
) -> None:
    """Day after day, the right one among them: what is refused is never compared, so it tells nothing either."""
    days = (str(date(1980, 1, 1) + timedelta(days=day)) for day in range(guesses))
    refusals: Counter[tuple[bool | str, int]] = Counter()
    waits = set()
    for day in days:
        try:
            answer: bool | str = verify(vault, agent, person.subject_id, "date_of_birth", day).match
        except TooMany as refusal:
            answer = refusal.code
            waits.add(refusal.retry_after_s)
        refusals[answer, day == "1980-02-29"] += 1
    assert refusals == {(False, False): 3, ("verify-budget", False): guesses - 4, ("verify-budget", True): 1}
    assert all(wait is not None and 80_000 < wait <= 86_400 for wait in waits)
    kind = "miss/date_of_birth/86400"
    assert ledger.rows("vault.budget", f"kind = '{kind}'", "spent") == [(guesses,)], "counters of refusals are committed"
    assert ledger.rows("vault.verification", columns="valid_until") == [(None,)], "nothing was proved"
    assert said(at(vault, hours=25), agent, person.subject_id, "date_of_birth", "1980-02-29") is True


def test_five_misses_of_a_person_whoever_asks_and_whatever_of(
    vault: Vault, controller_id: str, person: Enrolled, agent: Context
) -> None:
    colleague = make_context(controller_id, "t1", ticket=make_ticket(vault, controller_id, person.subject_id, "t1", "TCK-t1"))
    for asker, field in (
        (agent, "customer_number"),
        (agent, "contract_number"),
        (colleague, "policy_number"),
        (colleague, "email"),
    ):
        wrong = "nobody@example.it" if field == "email" else "X-99"
        assert said(vault, asker, person.subject_id, field, wrong) is False
    assert said(vault, agent, person.subject_id, "birth_place", "Napoli") is False
    for asker, field, value in ((agent, "mobile", "3331234567"), (colleague, "mobile", "3330000000")):
        assert said(vault, asker, person.subject_id, field, value) == "verify-budget"


def test_ten_misses_of_a_caller_in_an_hour(vault: Vault, controller_id: str, person: Enrolled, agent: Context) -> None:
    fields = ("customer_number", "contract_number", "policy_number", "mobile")
    answers = []
    for number in range(3):
        other = make_subject(vault, controller_id, {"given_name": "Ada"}).subject_id
        own = replace(agent, ticket_id=make_ticket(vault, controller_id, other, "t2", f"TCK-x{number}"))
        answers += [said(vault, own, other, field, "3331234567") for field in fields]
    assert answers == [False] * 10 + ["verify-budget"] * 2
    assert said(at(vault, minutes=61), agent, person.subject_id, "mobile", "3331234567") is True


def test_a_match_costs_nothing(vault: Vault, person: Enrolled, agent: Context, ledger: Ledger) -> None:
    assert [said(vault, agent, person.subject_id, "mobile", "3331234567") for _ in range(12)] == [True] * 12
    assert {spent for (spent,) in ledger.rows("vault.budget", columns="spent")} == {0}


def test_attempts_side_by_side_do_not_pass_the_cap_together(vault: Vault, person: Enrolled, agent: Context) -> None:
    with ThreadPoolExecutor(8) as pool:
        guesses = [str(date(1980, 1, 1) + timedelta(days=day)) for day in range(16)]
        answers = list(pool.map(lambda one: said(vault, agent, person.subject_id, "date_of_birth", one), guesses))
    assert sorted(map(str, answers)) == ["False"] * 3 + ["verify-budget"] * 13


def test_a_refusal_says_when_to_come_again(vault: Vault, person: Enrolled, agent: Context) -> None:
    for _ in range(3):
        verify(vault, agent, person.subject_id, "mobile", "3330000000")
    with pytest.raises(TooMany) as refusal:
        verify(vault, agent, person.subject_id, "mobile", "3331234567")
    assert 86_000 < (refusal.value.retry_after_s or 0) <= 86_400
    assert refusal.value.entry_id


# --- who has proved who they are


PHRASE = ("verification_phrase", "il gatto dorme")
NUMBER, CONTRACT = ("customer_number", "C0000001"), ("contract_number", "CN-4711")
BIRTH, PLACE = ("date_of_birth", "1980-02-29"), ("birth_place", "Roma")


@pytest.mark.parametrize(
    ("facts", "verified"),
    [
        ((PHRASE,), True), ((NUMBER,), False), ((NUMBER, CONTRACT), False), ((NUMBER, BIRTH), True), ((BIRTH, PLACE), False),
        ((NUMBER, NUMBER), False), ((PLACE, BIRTH, CONTRACT), True),
    ],
)  # fmt: skip
def test_the_phrase_or_a_fact_of_the_relation_and_a_civil_one(
    vault: Vault, person: Enrolled, agent: Context, facts: tuple[tuple[str, str], ...], verified: bool
) -> None:
    for field, value in facts:
        assert verify(vault, agent, person.subject_id, field, value).match
    shown = reveal(vault, agent, person.subject_id, Wish(("email",), "CALLBACK")).profile.fields["email"]
    assert (shown.state == "clear", shown.value == EVERYTHING["email"]) == (verified, verified)


def test_a_civil_fact_the_agent_reads_in_clear_is_not_theirs_to_check(vault: Vault, controller_id: str, person: Enrolled) -> None:
    """An address stands in clear before billing: they could say it themselves."""
    register(vault, controller_id, "billing")
    context = make_context(controller_id, "billing", ticket=make_ticket(vault, controller_id, person.subject_id, "billing"))
    assert said(vault, context, person.subject_id, *NUMBER) is True
    assert said(vault, context, person.subject_id, "address", EVERYTHING["address"]) == "role"


def test_it_holds_for_this_agent_this_ticket_and_thirty_minutes(
    vault: Vault, controller_id: str, person: Enrolled, agent: Context
) -> None:
    verify(vault, agent, person.subject_id, *PHRASE)
    wish = Wish(("email",), "CALLBACK")

    def state(running: Vault, context: Context) -> str:
        return reveal(running, context, person.subject_id, wish).profile.fields["email"].state

    assert state(at(vault, minutes=29), agent) == "clear"
    assert state(at(vault, minutes=31), agent) == "masked"
    other_ticket = make_ticket(vault, controller_id, person.subject_id, "t2", "TCK-later")
    assert state(vault, replace(agent, ticket_id=other_ticket)) == "masked"


def test_who_then_does_not_know_it_has_not_proved_it(vault: Vault, person: Enrolled, agent: Context) -> None:
    verify(vault, agent, person.subject_id, *PHRASE)
    verify(vault, agent, person.subject_id, "verification_phrase", "il cane dorme")
    shown = reveal(vault, agent, person.subject_id, Wish(("email",), "CALLBACK")).profile.fields["email"]
    assert shown.state == "masked"


def test_nothing_is_proved_by_nothing(vault: Vault) -> None:
    assert not proved([], vault.now())
    assert not proved([Proof("verification_phrase", "phrase", None)], vault.now())
