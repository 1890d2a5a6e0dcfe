"""How a request moves: its states, who may move it whereto, and what has to hold. Anything else is a conflict. Pure.

received ─verify▶ verified ─accept▶ accepted ─fulfil▶ fulfilled (complete, partial, nothing-held); a changed plan is accepted anew
   └▶ duplicate, unidentified    received, verified, accepted ─▶ refused, withdrawn    fulfilled, refused ─reopen▶ accepted

Beside the state a request may wait for the person, and may have been extended, once. Source: `rights.md` 1.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal, get_args

from vault.rights.kinds import KINDS, Decider, Kind

State = Literal["received", "verified", "accepted", "fulfilled", "refused", "withdrawn", "duplicate", "unidentified"]
Waiting = Literal["nothing", "identity", "clarification", "fee"]
Verb = Literal[
    "verify", "ask", "answer", "extend", "accept", "take", "refuse", "fulfil", "withdraw", "duplicate", "unidentify", "reopen",
]  # fmt: skip
Role = Literal["customer", "agent", "request-officer", "dpo", "system"]

OPEN: Final[frozenset[State]] = frozenset({"received", "verified", "accepted"})
OUTCOMES: Final = ("complete", "partial", "nothing-held")


@dataclass(frozen=True, slots=True)
class Where:
    """Where a request stands. `level`: of identity, as reached; `accepted_by`: who accepted it, if it was."""

    kind: Kind
    state: State = "received"
    waiting: Waiting = "nothing"
    extended: bool = False
    level: int = 0
    special: bool = False
    contact: bool = False  # it is of how the person is reached or paid
    accepted_by: str = ""
    begun: bool = False  # what cannot be taken back is being done, or was


@dataclass(frozen=True, slots=True)
class Move:
    """What somebody wants to do. `level`: of identity, which a verification reached; `waiting`: what is asked for."""

    verb: Verb
    role: Role
    by: str
    level: int = 0
    waiting: Waiting = "nothing"
    extendable: bool = True  # there is an extension in the law, and its time has not passed
    unanswered: bool = True  # who they are was asked in time, and for long enough
    called_back: bool = False  # the person, by a contact that was known before


_OFFICERS: Final[frozenset[Role]] = frozenset({"request-officer", "dpo"})
_DECIDES: Final[Mapping[Decider, frozenset[Role]]] = {  # an officer for data protection may decide what a request officer may
    "request-officer": _OFFICERS, "dpo": frozenset({"dpo"}), "nobody": frozenset({"system"}),
}  # fmt: skip
_RULES: Final[Mapping[Verb, tuple[frozenset[State], frozenset[Role], State | None]]] = {
    "verify": (frozenset({"received"}), frozenset({"request-officer", "system"}), "verified"),
    "ask": (OPEN, _OFFICERS, None),
    "answer": (OPEN, _OFFICERS | {"customer", "agent"}, None),
    "extend": (OPEN, _OFFICERS, None),
    "accept": (frozenset({"verified", "accepted"}), _OFFICERS | {"system"}, "accepted"),
    "take": (frozenset({"accepted"}), frozenset({"request-officer"}), None),
    "refuse": (OPEN, frozenset({"dpo"}), "refused"),
    "fulfil": (frozenset({"accepted"}), _OFFICERS | {"system"}, "fulfilled"),
    "withdraw": (OPEN, frozenset({"customer"}), "withdrawn"),
    "duplicate": (frozenset({"received"}), frozenset({"request-officer"}), "duplicate"),
    "unidentify": (frozenset({"received"}), frozenset({"request-officer", "system"}), "unidentified"),
    "reopen": (frozenset({"fulfilled", "refused"}), frozenset({"dpo"}), "accepted"),
}
assert _RULES.keys() == set(get_args(Verb))  # noqa: S101 - total, or nothing starts


def moved(at: Where, move: Move) -> Where | str:
    """Return where a request stands after a move, or the code of the conflict that stands in its way."""
    states, roles, to = _RULES[move.verb]
    if move.role not in roles:
        return "not-yours-to-move"
    if at.state not in states:
        return "request-state"
    if (code := next((code for code, stands in _hindrances(at, move) if stands), None)) is not None:
        return code
    if move.verb in ("ask", "answer"):
        return replace(at, waiting=move.waiting if move.verb == "ask" else "nothing")
    if move.verb == "take":
        return at
    if to is None:
        return replace(at, extended=True)
    after = replace(at, state=to, waiting="nothing", level=move.level if move.verb == "verify" else at.level)
    if to != "accepted":
        return after
    anew = move.verb == "reopen"
    return replace(after, accepted_by=move.by, extended=at.extended and not anew, begun=at.begun and not anew)


def _hindrances(at: Where, move: Move) -> Iterator[tuple[str, bool]]:
    """Yield what else may stand in the way of this move, and whether it does."""
    terms = KINDS[at.kind]
    match move.verb:
        case "verify":
            contact = at.contact and not move.called_back
            yield "level-needed", move.level < terms.level_for(special=at.special, contact=contact)
        case "accept":
            yield "already-waiting", at.waiting != "nothing"
            yield "not-yours-to-decide", move.role not in _DECIDES[terms.decided_by]
        case "fulfil":
            yield "same-person", terms.second_for(special=at.special) and move.by == at.accepted_by
        case "ask":
            yield "already-waiting", at.waiting != "nothing"
            yield "nothing-asked", move.waiting == "nothing"
        case "answer":
            yield "not-waiting", at.waiting == "nothing"
        case "extend":
            yield "already-extended", at.extended
            yield "extension-too-late", not move.extendable
        case "refuse" | "withdraw":
            yield "erasure-begun" if at.kind == "erasure" else "already-begun", at.begun
        case "unidentify":
            yield "identity-not-asked", at.waiting != "identity"
            yield "time-to-answer", not move.unanswered


# --- how others call it: total, and back ---


def dpv_terms(at: Where, outcome: str = "", *, late: bool = False) -> tuple[str, ...]:
    """Return the DPV 2.3 terms of a request that stands there. `late`: extended, or past its date."""
    match at.state:
        case "received" | "verified" if at.waiting != "nothing":
            return ("dpv:RequestAcknowledged", "dpv:RequestRequiresAction")
        case "received":
            return ("dpv:RequestAcknowledged",)
        case "verified":
            return ("dpv:RequestAcknowledged", "dpv:RequestRequiredActionPerformed")
        case "accepted":
            return ("dpv:RequestAccepted", "dpv:RequestActionDelayed") if late or at.extended else ("dpv:RequestAccepted",)
        case "fulfilled":
            partial = ("dpv:RightNonFulfilmentNotice",) if outcome == "partial" else ()
            return ("dpv:RequestFulfilled", *partial)
        case "refused":
            return ("dpv:RequestRejected",)
        case _:
            return ("dpv:RequestUnfulfilled",)


OPEN_DSR: Final[Mapping[State, str]] = {
    "received": "pending", "verified": "pending", "accepted": "in_progress", "fulfilled": "completed", "refused": "cancelled",
    "withdrawn": "cancelled", "duplicate": "cancelled", "unidentified": "cancelled",
}  # fmt: skip


def states_of(open_dsr: str) -> frozenset[State]:
    """Return the states an OpenDSR 2.0 status may stand for; none for a word it does not have."""
    return frozenset(state for state, status in OPEN_DSR.items() if status == open_dsr)
