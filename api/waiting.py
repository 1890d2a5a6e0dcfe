"""How a request waits for a disclosure lane without holding a thread: one wake-up of the event loop for each batch of answers.

The answer is encoded in the lane's thread. A request that is cancelled or waits too long stays recorded: the log over-reports then.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import anyio
from anyio.lowlevel import current_token

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


@dataclass(slots=True, eq=False)
class _Waiter:
    loop: Any  # whatever runs here, asyncio's or uvloop's: both wake by call_soon_threadsafe
    woken: anyio.Event = field(default_factory=anyio.Event)
    answer: Encoded | VaultError | None = None


async def ask_lane(lanes: Lanes, ask: Ask) -> Encoded:
    """Return the answer of a lane. Raises what it answers for a refusal; DatabaseUnavailable after three seconds."""
    waiter = _Waiter(current_token().native_token)
    lanes.submit(ask, waiter, _deliver)
    with anyio.move_on_after(PATIENCE_S):
        await waiter.woken.wait()
    if waiter.answer is None:
        raise DatabaseUnavailable("overloaded", retry_after_s=1)
    if isinstance(waiter.answer, VaultError):
        raise waiter.answer
    return waiter.answer


def _deliver(pairs: Sequence[tuple[_Waiter, Profile | VaultError]]) -> None:
    """Take a batch of answers, in a lane's thread."""
    woken: dict[Any, list[anyio.Event]] = {}
    for waiter, answer in pairs:
        waiter.answer = answer if isinstance(answer, VaultError) else _encoded(answer)
        woken.setdefault(waiter.loop, []).append(waiter.woken)
    for loop, events in woken.items():
        with suppress(RuntimeError):  # the loop is closed: nobody waits there any more
            loop.call_soon_threadsafe(_wake, events)


def _encoded(profile: Profile) -> Encoded | VaultError:
    try:
        body = profile.encoded()
    except TypeError:  # a value that is no JSON: what was stored is not what was sealed
        return Unreadable(decision_id=profile.decision_id, entry_id=profile.entry_id)
    return Encoded(body, profile.decision_id, profile.entry_id, profile.version)


def _wake(events: list[anyio.Event]) -> None:
    for event in events:
        event.set()
