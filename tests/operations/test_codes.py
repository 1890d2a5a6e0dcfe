"""One-time codes: to a contact on record and no other, bounded, used once, kept nowhere, and answered alike."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from tests.assurance.desk import Desk
from tests.conftest import Controllers
from tests.makers import make_context, make_ticket, register
from tests.operations.test_requests import House
from vault.errors import Conflict, InvalidValue, NotFound, Stale, TooMany
from vault.opening import Opened
from vault.operations.amend import amend
from vault.operations.open_request import Stands
from vault.operations.prove_contact import answer_code, ask_code
from vault.operations.restrict import restrict
from vault.operations.send_codes import send_codes
from vault.operations.show_requests import show_request
from vault.rights import code_records as codes
from vault.rights import records
from vault.rights.code_records import CodeRow
from vault.rights.codes import LIFE
from vault.rights.letters import Mail, Mailed
from vault.tables import metadata


@dataclass
class Post:
    """Whoever takes the messages: one place, in no network."""

    taken: list[Mail] = field(default_factory=list)
    came: Mailed = field(default_factory=Mailed)

    def __call__(self, mail: Mail) -> Mailed:
        self.taken.append(mail)
        return self.came

    @property
    def digits(self) -> str:
        found = re.search(r"\b[0-9]{6}\b", self.taken[-1].text)
        assert found is not None
        return found[0]


@pytest.fixture(scope="module")
def house(opened: Opened, shared_controllers: Controllers) -> House:
    found = House(opened, shared_controllers())
    register(opened.vault, found.controller_id, "dpo", "dsr-officer", "t1", "system")
    return found


@pytest.fixture
def post() -> Post:
    return Post()


def waiting(house: House, **values: Any) -> tuple[str, Stands]:
    """Return somebody and a request of theirs that waits for who they are."""
    subject_id = house.person(**values)
    return subject_id, house.asked(subject_id, context=house.own(subject_id, level=0))


def sent(house: House, post: Post, made: Stands) -> int:
    ask_code(house.vault, house.officer(), made.request.request_id, "email")
    return send_codes(house.vault, house.controller_id, post)


def answered(house: House, subject_id: str, made: Stands, digits: str) -> bool:
    return answer_code(house.vault, house.own(subject_id, level=0), made.request.request_id, digits).proved


def wrong(post: Post) -> str:
    return wrong_of(post.digits)


def wrong_of(digits: str) -> str:
    return f"{(int(digits) + 1) % 10**6:06d}"


def level(house: House, made: Stands) -> int:
    return int(show_request(house.vault, house.dpo(), made.request.request_id).document["level"])


def rows(house: House, made: Stands) -> list[tuple[Any, ...]]:
    said = "SELECT state, kept, tries, value_version FROM vault.one_time_code WHERE request_id = %s ORDER BY asked_at, code_id"
    with psycopg.connect(house.opened.addresses.url) as owner:
        return owner.execute(said, (made.request.request_id,)).fetchall()


def test_a_code_to_the_contact_on_record_proves_the_level_once(house: House, post: Post) -> None:
    """Seen failing with the code left in its place once it was used."""
    subject_id, made = waiting(house, email="codice@example.it")
    assert sent(house, post, made) == 1
    assert [one.to for one in post.taken] == ["codice@example.it"]
    assert level(house, made) == 0
    assert answered(house, subject_id, made, post.digits)
    told = show_request(house.vault, house.dpo(), made.request.request_id).document
    assert (told["state"], told["level"]) == ("received", 1)  # what needs more waits for more
    assert told["steps"][-1]["verb"] == "prove"
    assert told["steps"][-1]["stated"] == {"level": 1, "method": "code", "through": "email", "value_version": 1}
    assert rows(house, made) == [("proved", None, 1, 1)]
    assert not answered(house, subject_id, made, post.digits)
    assert (house.ledger.outcomes("ask_code")[-1], house.ledger.outcomes("send_code")[-1]) == ("done", "done")
    assert house.ledger.outcomes("answer_code")[-4:] == ["done", "allowed", "done", "refused"]


def test_the_digits_and_the_address_are_in_no_row_no_entry_and_no_log(
    house: House, post: Post, capfd: pytest.CaptureFixture[str]
) -> None:
    """Seen failing with the digits kept as they are, with them in the entry, and with them in the log."""
    subject_id, made = waiting(house, email="nessuna.riga@example.it")
    sent(house, post, made)
    digits, kept = post.digits, everything(house)
    post.came = Mailed("refused", final=True)
    sent(house, post, house.asked(subject_id, "erasure", house.own(subject_id, level=0)))
    assert not answered(house, subject_id, made, wrong_of(digits))
    assert answered(house, subject_id, made, digits)
    desk = Desk(None, None, house.opened, house.controller_id)  # type: ignore[arg-type]  # nobody calls the application
    entries = [str(desk.entry_named(one)) for one in last_entries(house)]
    logged = "".join(capfd.readouterr())
    assert "code_failed" in logged
    found = f"{kept} {everything(house)} {entries} {logged}"
    assert "code-tried" in found
    assert "nessuna.riga" not in found
    for secret in (digits, wrong_of(digits), post.digits):
        assert not re.search(rf"\b{secret}\b", found)


def test_a_contact_of_whoever_was_enrolled_since_proves_nothing(house: House, post: Post) -> None:
    """Seen failing with amendments alone asked: a request of yesterday was proved by an address of this morning."""
    subject_id = house.person(email="stamattina@example.it")
    yesterday = house.vault.now() - timedelta(days=1)
    made = house.asked(subject_id, context=house.officer(), received_at=yesterday)
    assert sent(house, post, made) == 0
    assert sent(house, post, waiting(house, email="ieri@example.it")[1]) == 1  # enrolled before they asked


def test_a_contact_that_is_restricted_is_sent_none(house: House, post: Post) -> None:
    """Seen failing with it used: an address somebody contests is not theirs to prove anything by."""
    subject_id, made = waiting(house, email="contesa2@example.it")
    make_ticket(house.vault, house.controller_id, subject_id, "dpo", "TCK-D2")
    restrict(house.vault, house.dpo(), subject_id, "accuracy", ["email"])
    assert sent(house, post, made) == 0
    assert post.taken == []


def last_entries(house: House) -> list[str]:
    house.opened.trail.settle(house.controller_id)
    rows = house.ledger.rows("vault.audit_lookup", "true ORDER BY position DESC LIMIT 12", "entry_id")
    return [str(one) for (one,) in rows]


def everything(house: House) -> str:
    """Return every row of this controller: texts and what is stated, and bytes as they are; no instants."""
    said: list[str] = []
    engine = sa.create_engine(sa.make_url(house.opened.addresses.url).set(drivername="postgresql+psycopg"))
    with engine.connect() as owner:
        for table in metadata.sorted_tables:
            for row in owner.execute(sa.select(table).where(table.c.controller_id == house.controller_id)):
                said += [
                    one.decode("latin-1") if isinstance(one, bytes) else str(one) for one in row if not isinstance(one, datetime)
                ]
    engine.dispose()
    return " ".join(said)


def test_five_tries_and_then_the_right_one_is_wrong(house: House, post: Post) -> None:
    """Seen failing without the bound."""
    subject_id, made = waiting(house)
    sent(house, post, made)
    assert [answered(house, subject_id, made, wrong(post)) for _ in range(5)] == [False] * 5
    assert rows(house, made) == [("void", None, 5, 1)]
    assert not answered(house, subject_id, made, post.digits)
    assert level(house, made) == 0


def test_tries_side_by_side_do_not_pass_the_bound(house: House, post: Post) -> None:
    """Seen failing with the count read first and written after."""
    subject_id, made = waiting(house)
    sent(house, post, made)
    with ThreadPoolExecutor(4) as threads:
        assert not any(threads.map(lambda _: answered(house, subject_id, made, wrong(post)), range(12)))
    assert rows(house, made) == [("void", None, 5, 1)]


def test_of_two_that_are_asked_for_side_by_side_one_can_be_answered(house: House, post: Post) -> None:
    """Seen failing without the index: two could be answered."""
    _, made = waiting(house)
    with house.vault.database.snapshot(house.controller_id) as found:
        row = records.read(found, house.controller_id, made.request.request_id)
    assert row is not None

    def asked() -> CodeRow:
        at = house.vault.now()
        told = (row.request_id, row.subject_id, "email", None, "waiting", None, 0, at, "dpo-1", at + LIFE, row.entry_id)
        return CodeRow(house.vault.new_id("otc"), *told)

    with house.vault.database.transaction(house.controller_id) as first:
        codes.add(first, house.controller_id, asked())
        with ThreadPoolExecutor(1) as thread:
            waits = thread.submit(lambda: other(house, asked()))
            assert not wait([waits], timeout=0.2).done  # for the first to be decided
            first.commit()
            with pytest.raises(Stale):
                waits.result()
    assert send_codes(house.vault, house.controller_id, post) == 1


def other(house: House, made: CodeRow) -> None:
    with house.vault.database.transaction(house.controller_id) as second:
        codes.add(second, house.controller_id, made)


def test_the_right_code_side_by_side_is_used_once(house: House, post: Post) -> None:
    """Seen failing with the code not asked for in the state it was tried in."""
    subject_id, made = waiting(house)
    sent(house, post, made)
    digits = post.digits
    with ThreadPoolExecutor(3) as threads:
        assert sum(threads.map(lambda _: answered(house, subject_id, made, digits), range(3))) == 1
    steps = show_request(house.vault, house.dpo(), made.request.request_id).document["steps"]
    assert [one["verb"] for one in steps] == ["receive", "prove"]


def test_a_code_is_over_after_ten_minutes_and_forgotten(house: House, post: Post) -> None:
    """Seen failing without the clock."""
    subject_id, made = waiting(house)
    sent(house, post, made)
    later = house.later(minutes=10, seconds=1)
    assert not answered(later, subject_id, made, post.digits)
    assert send_codes(later.vault, house.controller_id, post) == 0
    assert rows(house, made) == [("void", None, 0, 1)]


def test_a_code_is_of_one_request_and_the_last_one_counts(house: House, post: Post) -> None:
    """Seen failing with the codes of every request tried."""
    subject_id, first = waiting(house)
    second = house.asked(subject_id, "erasure", house.own(subject_id, level=0))
    sent(house, post, first)
    of_first = post.digits
    sent(house, post, second)
    if post.digits != of_first:
        assert not answered(house, subject_id, second, of_first)
    sent(house, post, first)
    if post.digits != of_first:
        assert not answered(house, subject_id, first, of_first)
    assert answered(house, subject_id, first, post.digits)
    assert (level(house, first), level(house, second)) == (1, 0)


def changed_since(house: House) -> tuple[str, Stands]:
    subject_id, made = waiting(house, email="vecchio.recapito@example.it")
    changed(house, subject_id, made)
    return subject_id, made


def changed_before(house: House) -> tuple[str, Stands]:
    subject_id = house.person(email="vecchio.recapito2@example.it")
    return subject_id, changed(house, subject_id, house.asked(subject_id, context=house.own(subject_id, level=0)))


def changed(house: House, subject_id: str, made: Stands) -> Stands:
    with psycopg.connect(house.opened.addresses.url) as owner:
        said = "SELECT agreement_id FROM vault.agreement WHERE subject_id = %s AND template_id LIKE 'retail%%'"
        (agreement_id,) = owner.execute(said, (subject_id,)).fetchone() or ("",)
    system = make_context(house.controller_id, "system", channel="api")
    amend(house.vault, system, subject_id, agreement_id, {"email": f"ladro{subject_id[-4:]}@example.it"}, 1)
    return house.asked(subject_id, "erasure", house.own(subject_id, level=0))


@pytest.mark.parametrize(
    "somebody", [changed_since, changed_before, lambda house: waiting(house, email=None, mobile="333 1234567")]
)
def test_a_new_contact_is_sent_none_and_the_answers_are_those_of_anybody(
    house: House, post: Post, somebody: Callable[[House], tuple[str, Stands]]
) -> None:
    """Seen failing with the contact taken as it is."""
    subject_id, made = somebody(house)
    told = ask_code(house.vault, house.own(subject_id, level=0), made.request.request_id, "email")
    other = waiting(house)[1]
    known = ask_code(house.vault, house.officer(), other.request.request_id, "email")
    assert told.expires_in_s == known.expires_in_s
    assert send_codes(house.vault, house.controller_id, post) == 1
    assert not any("ladro" in one.to for one in post.taken)
    assert rows(house, made) == [("failed", None, 0, None)]
    assert not answered(house, subject_id, made, "000000")


def test_of_two_processes_and_of_two_codes_one_is_sent(house: House, post: Post) -> None:
    """Seen failing with a code sent that another had taken the place of."""
    first, second = waiting(house)[1], waiting(house)[1]

    def meanwhile(mail: Mail) -> Mailed:
        if len(post.taken) == 0:
            assert send_codes(house.vault, house.controller_id, lambda _: Mailed()) == 1  # the second, by another process
            ask_code(house.vault, house.officer(), second.request.request_id, "email")
        return post(mail)

    for made in (first, second):
        ask_code(house.vault, house.officer(), made.request.request_id, "email")
    assert send_codes(house.vault, house.controller_id, meanwhile) == 1
    assert [one[0] for one in rows(house, second)] == ["void", "waiting"]
    assert send_codes(house.vault, house.controller_id, post) == 1
    assert len(post.taken) == 2


def test_who_asks_for_many_is_told_to_wait(house: House, post: Post) -> None:
    """Seen failing without the budget."""
    _, made = waiting(house)
    for _ in range(3):
        ask_code(house.vault, house.officer(), made.request.request_id, "email")
    with pytest.raises(TooMany, match="code-budget"):
        ask_code(house.vault, house.dpo(), made.request.request_id, "email")
    assert send_codes(house.vault, house.controller_id, post) == 1  # the last one; the others are void


def test_what_no_relay_takes_and_what_is_for_nobody(house: House, post: Post) -> None:
    post.came = Mailed("refused", final=True)
    subject_id, made = waiting(house)
    assert sent(house, post, made) == 0
    assert rows(house, made) == [("failed", None, 0, 1)]
    assert not answered(house, subject_id, made, post.digits)
    with pytest.raises(InvalidValue):
        ask_code(house.vault, house.officer(), made.request.request_id, "iban")
    with pytest.raises(NotFound):
        ask_code(house.vault, house.officer(), f"req_{'a' * 26}", "email")
    with pytest.raises(NotFound):  # somebody else's
        answer_code(house.vault, house.own(house.person()), made.request.request_id, "123456")


def test_a_request_that_has_its_level_is_asked_no_code(house: House) -> None:
    subject_id = house.person()
    made = house.asked(subject_id)
    with pytest.raises(Conflict, match="request-state"):
        ask_code(house.vault, house.officer(), made.request.request_id, "email")
    with pytest.raises(Conflict, match="request-state"):
        answer_code(house.vault, house.own(subject_id), made.request.request_id, "123456")


def test_the_desk_has_one_sent_on_a_verified_ticket_in_the_language_they_speak(house: House, post: Post) -> None:
    subject_id, made = waiting(house, preferred_language="en")
    with pytest.raises(NotFound):
        ask_code(house.vault, make_context(house.controller_id, "t1", ticket="TCK-NONE"), made.request.request_id, "email")
    desk = make_context(house.controller_id, "t1", ticket=make_ticket(house.vault, house.controller_id, subject_id, "t1", "TCK-C"))
    ask_code(house.vault, desk, made.request.request_id, "email")
    assert send_codes(house.vault, house.controller_id, post) == 1
    assert "the code for request" in post.taken[0].text
    assert answer_code(house.vault, desk, made.request.request_id, post.digits).proved
