"""Disclosure lanes: asks that wait are served together and answered each for itself; nothing one ask does reaches another."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from threading import Event, Thread
from typing import Any

import psycopg
import pytest
from structlog.testing import capture_logs

from tests.conftest import Controllers
from tests.makers import make_context, make_subject, make_ticket, register
from vault import lanes as module
from vault.assembly import Rules, Vault
from vault.database import Database
from vault.errors import AuditUnavailable, ContextIncomplete, DatabaseUnavailable, NotFound, Unreadable, VaultError
from vault.lanes import BATCH, IDLE_S, PATIENCE_S, WAITING, Lanes
from vault.opening import Opened
from vault.operations.disclosure import Ask, Profile
from vault.policy.engine import Policy
from vault.policy.model import Decision

PATIENCE = 20.0
VALUES = {"given_name": "Giulia", "family_name": "Bianchi", "email": "giulia@example.it"}
FIELDS = ("given_name", "email")


@dataclass
class Clock:
    """A monotonic clock that may be put forward."""

    ahead_s: float = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead_s


@dataclass(eq=False)
class Receiver:
    """Who waits: keeps the batches in which answers came. While `held`, it keeps the lane from going on."""

    batches: list[list[tuple[Any, Profile | VaultError]]] = field(default_factory=list)
    held: Event = field(default_factory=Event)
    reached: Event = field(default_factory=Event)

    def __call__(self, pairs: list[tuple[Any, Profile | VaultError]]) -> None:
        self.batches.append(pairs)

    def hold(self, pairs: list[tuple[Any, Profile | VaultError]]) -> None:
        """Take an answer and do not return before `held` is set: what is asked meanwhile waits together."""
        assert len(pairs) == 1
        self.reached.set()
        assert self.held.wait(PATIENCE)

    def answers(self, count: int) -> dict[Any, Profile | VaultError]:
        """Return the answers by waiter, once there are so many."""
        until(lambda: sum(map(len, self.batches)) >= count)
        return {waiter: answer for pairs in self.batches for waiter, answer in pairs}


def until(holds: Callable[[], bool]) -> None:
    ends_at = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < ends_at
        time.sleep(0.005)


@dataclass
class Office:
    """One lane before one controller's people, and the asks of an agent there."""

    vault: Vault
    lanes: Lanes
    clock: Clock
    controller_id: str
    people: tuple[str, ...]

    def ask(self, person: int | str = 0, fields: tuple[str, ...] = FIELDS, ticket: str | None = None, **stated: Any) -> Ask:
        subject_id = self.people[person] if isinstance(person, int) else person
        context = make_context(self.controller_id, "t1", ticket=ticket or f"TCK-{subject_id[-6:]}")
        return Ask(replace(context, **stated), subject_id, fields)

    def together(self, asks: Sequence[Ask], receiver: Receiver | None = None) -> Receiver:
        """Let all of them wait while the lane is busy, then let it go on."""
        receiver = receiver or Receiver()
        self.occupy(receiver)
        for number, ask in enumerate(asks):
            self.lanes.submit(ask, number, receiver)
        receiver.held.set()
        return receiver

    def occupy(self, receiver: Receiver) -> None:
        """Keep the lane busy until `receiver.held` is set."""
        self.lanes.submit(self.ask(), "busy", receiver.hold)
        assert receiver.reached.wait(PATIENCE)


@pytest.fixture(scope="module")
def staffed(opened: Opened, shared_controllers: Controllers) -> Callable[[], tuple[str, tuple[str, ...]]]:
    """Make a controller with an agent, two people with tickets of theirs and one without."""

    def make() -> tuple[str, tuple[str, ...]]:
        controller_id = shared_controllers()
        register(opened.vault, controller_id, "t1")
        people = tuple(make_subject(opened.vault, controller_id, VALUES).subject_id for _ in range(3))
        for person in people[:2]:
            make_ticket(opened.vault, controller_id, person, "t1", f"TCK-{person[-6:]}")
        return controller_id, people

    return make


@pytest.fixture(scope="module")
def here(staffed: Callable[[], tuple[str, tuple[str, ...]]]) -> tuple[str, tuple[str, ...]]:
    """The controller most of these tests share."""
    return staffed()


@pytest.fixture
def offices(vault: Vault) -> Iterator[Callable[..., Office]]:
    """Open lanes, one thread each unless told otherwise; they are closed at the end."""
    opened: list[Lanes] = []

    def make(here: tuple[str, tuple[str, ...]], *, threads: int = 1, **changes: Any) -> Office:
        clock = Clock()
        settings = vault.settings.model_copy(update={"lanes": threads})
        own = replace(vault, settings=settings, monotonic=clock, **changes)
        if "policy" in changes:  # lanes ask what is in force: this is
            own = replace(own, in_force=lambda _: Rules(own.policy, own.catalogue, own.templates, own.wordings))
        opened.append(Lanes(own))
        return Office(own, opened[-1], clock, *here)

    yield make
    for lanes in opened:
        lanes.close()


@pytest.fixture
def office(offices: Callable[..., Office], here: tuple[str, tuple[str, ...]]) -> Office:
    return offices(here)


def count_entries(opened: Opened, controller_id: str) -> int:
    opened.trail.settle(controller_id)
    with psycopg.connect(opened.addresses.url) as owner:
        found = owner.execute("SELECT size FROM vault.audit_head WHERE controller_id = %s", (controller_id,)).fetchone()
    return 0 if found is None else int(found[0])


def operations(opened: Opened, controller_id: str) -> list[str]:
    """Return what the log's entries record, in order."""
    opened.trail.settle(controller_id)
    with psycopg.connect(opened.addresses.url) as owner:
        asked = "SELECT operation FROM vault.audit_lookup WHERE controller_id = %s ORDER BY position"
        return [str(one) for (one,) in owner.execute(asked, (controller_id,))]


# --- together, and each for itself ---------------------------------------------------------------------------------------------


def test_an_ask_alone_is_served_at_once(office: Office) -> None:
    receiver = Receiver()
    office.lanes.submit(office.ask(), "w", receiver)
    answer = receiver.answers(1)["w"]
    assert isinstance(answer, Profile)
    assert answer.fields["given_name"].value == "Giulia"


def test_what_waits_together_is_answered_together_and_recorded_each_for_itself(office: Office, opened: Opened) -> None:
    before = count_entries(opened, office.controller_id)
    receiver = office.together([office.ask(number % 2) for number in range(10)])
    answers = receiver.answers(10)
    assert [len(pairs) for pairs in receiver.batches] == [10]
    assert {answer.subject_id for answer in answers.values() if isinstance(answer, Profile)} == set(office.people[:2])
    assert len({answer.entry_id for answer in answers.values()}) == 10
    assert count_entries(opened, office.controller_id) >= before + 10


def test_no_group_is_larger_than_sixty_four(office: Office) -> None:
    receiver = office.together([office.ask()] * (BATCH + 6))
    assert all(isinstance(answer, Profile) for answer in receiver.answers(BATCH + 6).values())
    assert [len(pairs) for pairs in receiver.batches] == [BATCH, 6]


def spoil(opened: Opened, subject_id: str) -> None:
    with psycopg.connect(opened.addresses.url, autocommit=True) as owner:
        owner.execute(
            "UPDATE vault.profile_frame SET frame = substr(frame, 1, length(frame) - 1) WHERE subject_id = %s", (subject_id,)
        )


def test_one_asks_refusal_never_touches_its_neighbours(offices: Callable[..., Office], staffed: Any, opened: Opened) -> None:
    office = offices(staffed())
    spoil(opened, office.people[1])
    nobody, without_a_ticket = "sub_" + "z" * 26, office.people[2]
    asks = [
        office.ask(0), office.ask(nobody), office.ask(0), office.ask(1), office.ask(without_a_ticket, ticket="TCK-none"),
        office.ask(0),
    ]  # fmt: skip
    receiver = office.together(asks)
    answers = receiver.answers(len(asks))
    assert [len(pairs) for pairs in receiver.batches] == [len(asks)]
    assert [type(answers[number]) for number in range(len(asks))] == [Profile, NotFound, Profile, Unreadable, Profile, Profile]
    assert all(answers[number].fields["given_name"].value == "Giulia" for number in (0, 2, 5))
    assert all(answer.entry_id for answer in answers.values())  # each on record, the refusals too


def test_an_ask_that_cannot_even_be_decided_fails_alone(office: Office) -> None:
    """An error before the recording would spoil the batch: the others are served one by one."""
    receiver = office.together([office.ask(), office.ask(purpose="curiosity"), office.ask(1)])
    answers = receiver.answers(3)
    assert [type(answers[number]) for number in range(3)] == [Profile, ContextIncomplete, Profile]


def test_a_fault_of_ours_in_one_ask_fails_that_ask_alone(office: Office) -> None:
    with capture_logs() as logged:
        receiver = office.together([office.ask(), office.ask(fields=("no_such_field",)), office.ask(1)])
        answers = receiver.answers(3)
    assert [type(answers[number]) for number in range(3)] == [Profile, AuditUnavailable, Profile]
    assert [one["kind"] for one in logged if one["event"] == "lane_fault"] == ["KeyError", "KeyError"]
    assert "no_such_field" not in repr(logged)
    assert office.lanes.alive()


# --- bounds --------------------------------------------------------------------------------------------------------------------


def test_more_than_two_hundred_and_fifty_six_waiting_are_refused_at_once(office: Office) -> None:
    receiver = Receiver()
    office.occupy(receiver)
    for number in range(WAITING):
        office.lanes.submit(office.ask(), number, receiver)
    with pytest.raises(DatabaseUnavailable) as refusal:
        office.lanes.submit(office.ask(), "one too many", receiver)
    assert (refusal.value.code, refusal.value.retry_after_s) == ("overloaded", 1)
    receiver.held.set()
    answers = receiver.answers(WAITING)
    assert "one too many" not in answers
    assert sum(isinstance(answer, Profile) for answer in answers.values()) >= BATCH  # the last may have come too late
    office.lanes.submit(office.ask(), "after", receiver)
    assert isinstance(receiver.answers(WAITING + 1)["after"], Profile)


def test_who_has_waited_too_long_is_neither_read_nor_recorded(office: Office, opened: Opened) -> None:
    receiver = Receiver()
    office.occupy(receiver)
    before = count_entries(opened, office.controller_id)
    office.lanes.submit(office.ask(), "late", receiver)
    office.clock.ahead_s += PATIENCE_S + 0.1
    office.lanes.submit(office.ask(), "in time", receiver)
    receiver.held.set()
    answers = receiver.answers(2)
    assert isinstance(answers["late"], DatabaseUnavailable)
    assert answers["late"].code == "overloaded"
    assert isinstance(answers["in time"], Profile)
    assert count_entries(opened, office.controller_id) == before + 1


def test_controllers_are_served_in_turn(offices: Callable[..., Office], here: Any, staffed: Any) -> None:
    office, there = offices(here), staffed()
    guest = replace(office, controller_id=there[0], people=there[1])
    receiver = Receiver()
    office.occupy(receiver)
    for number in range(2 * BATCH):
        office.lanes.submit(office.ask(), ("here", number), receiver)
    office.lanes.submit(guest.ask(), ("there", 0), receiver)
    receiver.held.set()
    receiver.answers(2 * BATCH + 1)
    assert [(pairs[0][0][0], len(pairs)) for pairs in receiver.batches] == [("here", BATCH), ("there", 1), ("here", BATCH)]
    assert all(len({waiter[0] for waiter, _ in pairs}) == 1 for pairs in receiver.batches)  # never two controllers in a group


# --- beginning and end -----------------------------------------------------------------------------------------------------------


def test_closing_answers_what_waits_and_takes_no_more(office: Office, opened: Opened) -> None:
    receiver = Receiver()
    office.occupy(receiver)
    for number in range(5):
        office.lanes.submit(office.ask(), number, receiver)
    closing = Thread(target=office.lanes.close)
    closing.start()
    until(lambda: office.lanes._queues.closed)
    with pytest.raises(DatabaseUnavailable):
        office.lanes.submit(office.ask(), "after", receiver)
    receiver.held.set()
    closing.join(PATIENCE)
    assert all(isinstance(answer, Profile) for answer in receiver.answers(5).values())
    assert not office.lanes.alive()
    assert operations(opened, office.controller_id)[-1] == "writer-close"


def test_a_lane_that_is_idle_can_be_closed(offices: Callable[..., Office], here: Any) -> None:
    office = offices(here, threads=3)
    assert office.lanes.alive()
    office.lanes.close()
    assert not office.lanes.alive()


def test_a_writer_nobody_has_needed_for_a_minute_is_closed(offices: Callable[..., Office], staffed: Any, opened: Opened) -> None:
    office, there = offices(staffed()), staffed()
    guest, receiver = replace(office, controller_id=there[0], people=there[1]), Receiver()
    office.lanes.submit(office.ask(), 1, receiver)
    receiver.answers(1)
    office.clock.ahead_s += IDLE_S - 5
    office.lanes.submit(guest.ask(), 2, receiver)
    receiver.answers(2)
    assert "writer-close" not in operations(opened, office.controller_id)
    office.clock.ahead_s += 6
    office.lanes.submit(guest.ask(), 3, receiver)
    until(lambda: "writer-close" in operations(opened, office.controller_id))
    assert "writer-close" not in operations(opened, guest.controller_id)


def test_a_lane_holds_no_more_writers_than_its_cap(
    offices: Callable[..., Office], staffed: Any, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_WRITERS", 1)
    office, there = offices(staffed()), staffed()
    guest, receiver = replace(office, controller_id=there[0], people=there[1]), Receiver()
    for number, asked in enumerate((office, guest, guest, office)):
        office.lanes.submit(asked.ask(), number, receiver)
        assert isinstance(receiver.answers(number + 1)[number], Profile)
    assert operations(opened, office.controller_id).count("writer-close") == 1
    assert operations(opened, guest.controller_id).count("writer-close") == 1


def test_a_lane_that_nobody_asks_looks_after_its_writers_all_the_same(
    offices: Callable[..., Office], here: Any, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "IDLE_S", 0.02)
    office, receiver = offices(here), Receiver()
    closed = operations(opened, office.controller_id).count("writer-close")
    office.lanes.submit(office.ask(), 1, receiver)
    receiver.answers(1)
    until(lambda: operations(opened, office.controller_id).count("writer-close") > closed)
    assert office.lanes.alive()


# --- faults ----------------------------------------------------------------------------------------------------------------------


class Faulty(Policy):
    """The policy, with a fault that no error of ours describes, as often as it is told."""

    faults = 0
    rechecks = 0

    def decide(self, *arguments: Any) -> Decision:
        """Fail, or decide."""
        if self.faults:
            self.faults -= 1
            raise RuntimeError(VALUES["email"])
        return super().decide(*arguments)

    def recheck(self, at: float) -> bool:
        """Fail, or look again."""
        if self.rechecks:
            self.rechecks -= 1
            raise RuntimeError(VALUES["email"])
        return super().recheck(at)


@pytest.fixture(scope="module")
def faulty(opened: Opened) -> Faulty:
    return Faulty(opened.vault.policy._bundle)


def test_a_fault_in_the_disclosure_answers_503_and_the_lane_lives_on(
    offices: Callable[..., Office], here: Any, faulty: Faulty
) -> None:
    office, receiver = offices(here, policy=faulty), Receiver()
    faulty.faults = 1
    with capture_logs() as logged:
        office.lanes.submit(office.ask(), "first", receiver)
        first = receiver.answers(1)["first"]
    assert isinstance(first, AuditUnavailable)
    assert first.retry_after_s == 1
    assert VALUES["email"] not in repr(logged) + repr(first)
    office.lanes.submit(office.ask(), "second", receiver)
    assert isinstance(receiver.answers(2)["second"], Profile)
    assert office.lanes.alive()


def test_a_fault_after_the_answer_or_in_who_receives_it_does_not_end_the_lane(
    offices: Callable[..., Office], here: Any, faulty: Faulty
) -> None:
    def deaf(_pairs: object) -> None:
        raise RuntimeError

    office, receiver = offices(here, policy=faulty), Receiver()
    faulty.rechecks = 1
    with capture_logs() as logged:
        office.lanes.submit(office.ask(), "first", deaf)
        office.lanes.submit(office.ask(), "second", receiver)
        assert isinstance(receiver.answers(1)["second"], Profile)
        until(lambda: not faulty.rechecks)
        office.lanes.submit(office.ask(), "third", receiver)
        assert isinstance(receiver.answers(2)["third"], Profile)
    assert {one["kind"] for one in logged if one["event"] == "lane_fault"} == {"RuntimeError"}
    assert VALUES["email"] not in repr(logged)


def test_a_batch_that_cannot_be_read_is_unavailable_as_a_whole(offices: Callable[..., Office], here: Any) -> None:
    away = Database("postgresql://nobody@/riserbo?host=/nonexistent", "riserbo_app")
    office, receiver = offices(here, database=away), Receiver()
    for number in range(3):
        office.lanes.submit(office.ask(), number, receiver)
    assert {type(answer) for answer in receiver.answers(3).values()} == {DatabaseUnavailable}
    assert office.lanes.alive()
    away.close()
