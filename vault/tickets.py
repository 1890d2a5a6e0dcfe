"""What a helpdesk says of a ticket, and the port through which it is asked.

Two ways: the helpdesk pushes its tickets here, and what was pushed last is what it says (`PushedTickets`); or it is asked at each
access and its answer serves for a minute (`LiveTickets`). Whoever cannot be asked says nothing: the ticket is then only asserted.
"""

from collections.abc import Callable
from datetime import datetime
from threading import Lock
from typing import Final, Literal, NamedTuple, Protocol

SERVES_S: Final = 60.0
SLOW_S: Final = 1.0  # an ask that took longer counts as one that failed: lanes wait for it
REST_S: Final = 5.0  # so long nobody is asked after a failure
KEPT: Final = 10_000

State = Literal["open", "pending", "closed", "absent"]


class Question(NamedTuple):
    """Whose access to whom is to rest on which ticket."""

    controller_id: str
    caller_id: str
    ticket_id: str
    subject_id: str  # `-` when nobody is acted on yet


class Said(NamedTuple):
    """One ticket as it was at an instant: references, never text. `absent`: the helpdesk has no such ticket."""

    subject_id: str
    state: str
    assignee: str | None
    team: str | None
    at: datetime


class Unanswered(Exception):
    """A helpdesk that does not answer, or not in a form that is understood. The text is a constant code."""


class TicketDirectory(Protocol):
    """Whoever says what a ticket is."""

    def said(self, asked: Question, pushed: Said | None, at: datetime) -> Said | None:
        """Return what is said of the ticket; None when nobody says anything. Never raises.

        `pushed` is the ticket as it was read with the person, in the same snapshot; `at` is now.
        """


class PushedTickets:
    """Tickets the helpdesk has told of: what it told last holds until it tells otherwise."""

    def said(self, asked: Question, pushed: Said | None, at: datetime) -> Said | None:
        """Return what was pushed."""
        del asked, at
        return pushed


class LiveTickets:
    """Tickets asked of the helpdesk. One answer serves one agent's accesses to one person on one ticket, for 60 s.

    `ask` returns the ticket as it is, by a clock of the helpdesk's choosing, or None where there is none; it ends within SLOW_S and
    raises Unanswered. After a failure nobody is asked for 5 s, so that a helpdesk that is down does not stop the desk.
    """

    def __init__(self, ask: Callable[[Question], Said | None], monotonic: Callable[[], float]) -> None:
        self._ask, self._monotonic = ask, monotonic
        self._kept: dict[Question, tuple[Said, float]] = {}  # with the end of its minute; the oldest first
        self._rests_until = float("-inf")
        self._lock = Lock()

    def said(self, asked: Question, pushed: Said | None, at: datetime) -> Said | None:
        """Return the answer of the last minute, or a new one; None when there is none to be had."""
        del pushed
        began = self._monotonic()
        with self._lock:
            kept = self._kept.get(asked)
            if kept is not None and began < kept[1]:
                return kept[0]
            if began < self._rests_until:
                return None
        try:
            answer = self._ask(asked) or Said("", "absent", None, None, at)
        except Unanswered:
            self._rest()
            return None
        if self._monotonic() - began > SLOW_S:
            self._rest()
        self._keep(asked, answer, began)
        return answer

    def _rest(self) -> None:
        with self._lock:
            self._rests_until = self._monotonic() + REST_S

    def _keep(self, asked: Question, answer: Said, began: float) -> None:
        with self._lock:
            self._kept.pop(asked, None)
            if len(self._kept) >= KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[asked] = (answer, began + SERVES_S)
