"""What recipients are to be told (GDPR 19), who owes it, and how a task may move. Pure.

Accepted is not erased: what answers 2xx has acknowledged. It is completed by the recipient's own word or an officer's
statement with evidence, and what an officer excuses (impossible, or a disproportionate effort) says why. Nothing else ends a task.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args

from vault.recipients.disclosures import Line

Kind = Literal["erasure", "rectification", "restriction", "lifting", "withdrawal"]
State = Literal["pending", "sent", "acknowledged", "completed", "refused", "manual", "excused"]
By = Literal["job", "recipient", "officer"]

STATES: Final[tuple[State, ...]] = get_args(State)
ENDED: Final = frozenset({"completed", "excused"})
TYPES: Final[Mapping[Kind, str]] = {  # as a webhook names it: the outbox's name with a dot
    "erasure": "subject.erased",
    "rectification": "subject.amended",
    "restriction": "subject.restricted",
    "lifting": "subject.unrestricted",
    "withdrawal": "agreement.withdrawn",
}
CAUSES: Final[Mapping[str, Kind]] = {  # facts of the outbox that recipients hear of; an erasure makes its tasks itself
    "subject:amended": "rectification",
    "subject:restricted": "restriction",
    "subject:unrestricted": "lifting",
    "agreement:withdrawn": "withdrawal",
    "agreement:narrowed": "withdrawal",
    "class:emptied": "erasure",
    "field:erased": "erasure",
}
OVERLAP_MS: Final = 5_000
_OPEN: Final[tuple[State, ...]] = ("pending", "sent", "acknowledged", "manual", "refused")
_MOVES: Final[Mapping[By, Mapping[State, frozenset[State]]]] = {
    "job": {
        "pending": frozenset({"sent", "acknowledged", "manual"}),
        "sent": frozenset({"sent", "acknowledged", "manual"}),
    },
    "recipient": {
        **dict.fromkeys(("pending", "sent", "manual"), frozenset[State]({"acknowledged", "completed", "refused"})),
        "acknowledged": frozenset({"completed", "refused"}),
        "refused": frozenset({"completed"}),
    },
    "officer": {state: frozenset[State]({"completed", "refused", "excused", "manual"}) - {state} for state in _OPEN},
}


@dataclass(frozen=True, slots=True)
class Owed:
    """What one recipient is to be told: of these fields, which are all it received or not."""

    recipient: str
    fields: tuple[str, ...]
    whole: bool


def may_move(state: State, to: State, by: By) -> bool:
    """Return whether a task may go there, moved by the job that delivers, by the recipient or by an officer."""
    return to in _MOVES[by].get(state, frozenset())


def unheard(lines: Iterable[Line], before: Iterable[tuple[str, Collection[str], int]]) -> list[Line]:
    """Return the lines whose erasure nobody was told of yet; `before`: recipient, fields and instant (ms) of each telling."""
    told = list(before)
    return [
        one
        for one in lines
        if not any(whose == one.recipient and one.field in fields and one.last_at <= at for whose, fields, at in told)
    ]


def owed(
    lines: Iterable[Line], fields: Collection[str] | None = None, agreement_id: str | None = None, until_ms: int | None = None
) -> list[Owed]:
    """Return who is to be told of what: each recipient exactly the fields it received.

    `fields` that the act was of, None for all of them; `agreement_id`: of those alone that rested on it, or on nobody knows what;
    `until_ms`: what went there a while later has it right already; what went there while the act was on its way may not.
    """
    every: dict[str, set[str]] = {}
    these: dict[str, set[str]] = {}
    for one in lines:
        every.setdefault(one.recipient, set()).add(one.field)
        rests = agreement_id is None or one.agreement_id in ("", agreement_id)
        if rests and (fields is None or one.field in fields) and (until_ms is None or one.first_at <= until_ms + OVERLAP_MS):
            these.setdefault(one.recipient, set()).add(one.field)
    return [Owed(name, tuple(sorted(found)), found == every[name]) for name, found in sorted(these.items())]
