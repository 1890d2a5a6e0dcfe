"""Whoever says what a ticket is: an answer serves a minute for one agent, one ticket and one person, and no answer is no trust."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from vault.tickets import KEPT, REST_S, SERVES_S, SLOW_S, LiveTickets, PushedTickets, Question, Said, Unanswered

AT = datetime(2026, 11, 22, tzinfo=UTC)
ASKED = Question("acme", "agent-1", "T-1", "sub-1")
OPEN = Said("sub-1", "open", "agent-1", None, AT)


@dataclass
class Desk:
    """A helpdesk with a clock of its own: it answers, takes `slow` seconds, or does not answer."""

    answer: Said | None = OPEN
    down: bool = False
    slow: float = 0.0
    time: float = 1_000.0
    asked: list[Question] = field(default_factory=list)

    def ask(self, asked: Question) -> Said | None:
        self.asked.append(asked)
        self.time += self.slow
        if self.down:
            raise Unanswered("down")
        return self.answer


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def live(desk: Desk) -> LiveTickets:
    return LiveTickets(desk.ask, lambda: desk.time)


def test_what_was_pushed_is_what_is_said() -> None:
    assert PushedTickets().said(ASKED, OPEN, AT) is OPEN
    assert PushedTickets().said(ASKED, None, AT) is None


def test_a_live_directory_does_not_go_by_what_was_pushed(live: LiveTickets, desk: Desk) -> None:
    desk.answer = OPEN._replace(state="closed")
    assert live.said(ASKED, OPEN, AT) == desk.answer
    desk.answer, desk.time = None, desk.time + SERVES_S
    assert live.said(ASKED, OPEN, AT) == Said("", "absent", None, None, AT)


def test_an_answer_serves_a_minute_and_not_a_moment_longer(live: LiveTickets, desk: Desk) -> None:
    live.said(ASKED, None, AT)
    desk.answer, start = OPEN._replace(state="closed"), desk.time
    desk.time = start + SERVES_S - 0.001
    kept = live.said(ASKED, None, AT + timedelta(seconds=60))
    assert (kept, len(desk.asked)) == (OPEN, 1)
    desk.time = start + SERVES_S
    assert live.said(ASKED, None, AT) == desk.answer


@pytest.mark.parametrize("other", [{"controller_id": "b"}, {"caller_id": "b"}, {"ticket_id": "T-2"}, {"subject_id": "sub-2"}])
def test_an_answer_serves_one_agent_one_ticket_and_one_person(live: LiveTickets, desk: Desk, other: dict[str, str]) -> None:
    live.said(ASKED, None, AT)
    live.said(ASKED._replace(**other), None, AT)
    assert desk.asked == [ASKED, ASKED._replace(**other)]


def test_who_does_not_answer_is_left_alone_for_a_while(live: LiveTickets, desk: Desk) -> None:
    desk.down = True
    assert [live.said(ASKED, OPEN, AT) for _ in range(3)] == [None] * 3
    assert len(desk.asked) == 1
    desk.down, desk.time = False, desk.time + REST_S
    assert live.said(ASKED, None, AT) == OPEN


def test_what_is_kept_serves_while_the_helpdesk_is_down_and_then_no_longer(live: LiveTickets, desk: Desk) -> None:
    live.said(ASKED, None, AT)
    desk.down = True
    assert live.said(ASKED._replace(ticket_id="T-2"), None, AT) is None
    assert live.said(ASKED, None, AT) == OPEN
    desk.time += SERVES_S
    assert live.said(ASKED, None, AT) is None


def test_a_slow_answer_is_believed_and_not_asked_for_again_at_once(live: LiveTickets, desk: Desk) -> None:
    desk.slow = SLOW_S + 0.1
    assert live.said(ASKED, None, AT) == OPEN
    assert live.said(ASKED._replace(ticket_id="T-2"), None, AT) is None
    assert len(desk.asked) == 1


def test_answers_are_kept_up_to_a_bound(live: LiveTickets) -> None:
    for number in range(KEPT + 5):
        live.said(ASKED._replace(ticket_id=f"T-{number}"), None, AT)
    assert len(live._kept) == KEPT
    assert ASKED._replace(ticket_id="T-0") not in live._kept
