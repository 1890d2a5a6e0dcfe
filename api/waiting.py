"""How a request waits for a disclosure lane without holding a thread: one wake-up of the event loop for each batch of answers.

The answer is encoded in the lane's thread. A request that is cancelled or waits too long stays recorded: the log over-reports then.
"""

from asyncio import Future, get_running_loop  # noqa: TID251 - an event and a scope of anyio's cost as much as all else here, twice
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from vault.errors import DatabaseUnavailable, Unreadable, VaultError
from vault.lanes import Lanes
from vault.operations.disclosure import Ask, Profile

PATIENCE_S = 3.0


@dataclass(frozen=True, slots=True)
class Encoded:
    """A profile ready to be sent: the JSON, and what its headers say."""

    body: bytes
    decision_id: str
    entry_id: str
    version: int


Answered = Encoded | VaultError
Waiter = Future[Answered]


async def ask_lane(lanes: Lanes, ask: Ask) -> Encoded:
    """Return the answer of a lane. Raises what it answers for a refusal; DatabaseUnavailable after three seconds."""
    loop = get_running_loop()  # asyncio's or uvloop's: both wake by call_soon_threadsafe
    waiter: Waiter = loop.create_future()
    lanes.submit(ask, waiter, _deliver)
    patience = loop.call_later(PATIENCE_S, _give_up, waiter)
    try:
        answer = await waiter
    finally:
        patience.cancel()
    if isinstance(answer, VaultError):
        raise answer.with_traceback(None)  # one error may answer a whole batch: it would gather every request's frames
    return answer


def _deliver(pairs: Sequence[tuple[Waiter, Profile | VaultError]]) -> None:
    """Take a batch of answers, in a lane's thread."""
    woken: dict[Any, list[tuple[Waiter, Answered]]] = {}
    for waiter, answer in pairs:
        answered = answer if isinstance(answer, VaultError) else _encoded(answer)
        woken.setdefault(waiter.get_loop(), []).append((waiter, answered))
    for loop, answers in woken.items():
        with suppress(RuntimeError):  # the loop is closed: nobody waits there any more
            loop.call_soon_threadsafe(_wake, answers)


def _encoded(profile: Profile) -> Answered:
    try:
        body = profile.encoded()
    except TypeError:  # a value that is no JSON: what was stored is not what was sealed
        return Unreadable(decision_id=profile.decision_id, entry_id=profile.entry_id)
    return Encoded(body, profile.decision_id, profile.entry_id, profile.version)


def _give_up(waiter: Waiter) -> None:
    _wake([(waiter, DatabaseUnavailable("overloaded", retry_after_s=1))])


def _wake(answers: Sequence[tuple[Waiter, Answered]]) -> None:
    for waiter, answer in answers:
        if not waiter.done():  # cancelled, or told that it waited too long
            waiter.set_result(answer)
