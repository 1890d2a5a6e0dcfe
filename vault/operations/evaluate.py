"""Answer whether a caller may see a field, and how clearly, without opening it (AuthZEN 1.0).

Decided by the same statement, the same policy and with the same refusals as a disclosure, and recorded like one; the entry says
that nothing was shown. Whoever names another caller than themselves is decided on a decoy: their rights are not others' to ask for.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from vault.assembly import Vault
from vault.audit.entry import Draft
from vault.errors import AccessDenied, NotFound, Refused
from vault.operations.disclose import decide_on, read_all
from vault.operations.disclosure import Ask, Case, decision_of, disclosure_draft
from vault.policy.model import Act, Caller, Context, Level

Action = Literal["view", "view_clear", "view_masked", "view_token", "verify"]
PartyKind = Literal["agent", "system", "subject"]
MOST_QUESTIONS: Final = 64
DECOY: Final = "sub_" + "a" * 26
_SUFFICES: Final[dict[Action, tuple[Level, ...]]] = {
    "view": ("clear", "masked", "token"),
    "view_clear": ("clear",),
    "view_masked": ("clear", "masked"),
    "view_token": ("clear", "masked", "token"),
    "verify": ("clear",),  # what policy says of a check that shows nothing: allowed, or not
}


@dataclass(frozen=True, slots=True)
class Question:
    """May this caller do this with this field of this person? `party` is who the question names."""

    context: Context
    party: tuple[PartyKind, str]
    action: Action
    subject_id: str
    field: str


@dataclass(frozen=True, slots=True)
class Evaluated:
    """Yes or no, and how the field would be shown now. `level` is `verify` for a check that is allowed: it shows nothing."""

    decision: bool
    level: str
    mask: str | None
    reason: str
    decision_id: str
    entry_id: str


def evaluate_all(vault: Vault, questions: Sequence[Question]) -> list[Evaluated | Refused]:
    """Answer up to 64 questions of one controller, in order; a hidden person is a refusal. Each is on record when this returns.

    Raises AuditUnavailable or DatabaseUnavailable; the fields are known ones.
    """
    controller_id = questions[0].context.controller_id
    now = vault.now()
    asks = [_ask(one) for one in questions]
    read = read_all(vault, controller_id, asks)
    cases = [decide_on(vault, ask, read, now) for ask in asks]
    vault.audit.record_all(controller_id, [_draft(vault, *one) for one in zip(questions, cases, strict=True)])
    return [_answer(one, case) for one, case in zip(questions, cases, strict=True)]


def _ask(question: Question) -> Ask:
    act: Act = "verify" if question.action == "verify" else "profile"
    return Ask(question.context, _whom(question), (question.field,), act, "evaluate")


def _whom(question: Question) -> str:
    return question.subject_id if _asks_for_themselves(question) else DECOY


def _asks_for_themselves(question: Question) -> bool:
    return question.party == party_of(question.context.caller)


def party_of(caller: Caller) -> tuple[PartyKind, str]:
    """Return how a question names this caller."""
    if caller.kind == "subject":
        return "subject", caller.subject_id or caller.id
    return ("system" if caller.kind in ("system", "job") else "agent"), caller.id


def _draft(vault: Vault, question: Question, case: Case) -> Draft:
    """Return the entry: what was asked and decided, and that no field was shown or opened."""
    made = disclosure_draft(vault, case)
    details = {"result": "evaluated", **made.details, "agreements": {}, "basis": {}, "action": question.action}
    return replace(made, details=details, opens={}, fields={}, count=0, terms=(), classes=(), clear_classes=())


def _answer(question: Question, case: Case) -> Evaluated | Refused:
    decision_id = decision_of(case.entry_id)
    if case.decision.hidden and case.decision.told is not None and _asks_for_themselves(question):
        return AccessDenied(case.decision.told, decision_id=decision_id, entry_id=case.entry_id)
    if case.decision.hidden:
        return NotFound(decision_id=decision_id, entry_id=case.entry_id)
    shown = case.decision.fields[question.field]
    suffices = shown.level in _SUFFICES[question.action]
    level = "verify" if question.action == "verify" and suffices else shown.level
    return Evaluated(suffices, level, shown.mask, shown.because, decision_id, case.entry_id)
