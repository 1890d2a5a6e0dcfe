"""What is known of one call while it runs: its ids, and what its log line will say. Kept in the ASGI scope."""

from dataclasses import dataclass
from typing import cast

from starlette.requests import HTTPConnection
from starlette.types import Scope

_KEY = "riserbo.call"


@dataclass(slots=True)
class Call:
    """Ids and codes only; nothing here was sent by anyone but `request_id` and `trace_id`, whose forms are closed."""

    request_id: str = "-"
    trace_id: str | None = None
    controller_id: str | None = None
    decision_id: str | None = None
    entry_id: str | None = None
    problem: str | None = None
    refusal: str | None = None  # which check of the guard
    noted: dict[str, bytes] | None = None  # where a receipt is wanted: the leaf hash of each entry, by its id
    unhurried: bool = False  # whatever its answer is, it leaves at the stroke of a clock


def begin_call(scope: Scope, call: Call) -> None:
    """Tie the call to its scope."""
    scope[_KEY] = call


def call_of(at: HTTPConnection | Scope) -> Call:
    """Return the call of this request; one made up where the edge was not passed."""
    scope = at.scope if isinstance(at, HTTPConnection) else at
    return cast(Call, scope.setdefault(_KEY, Call()))
