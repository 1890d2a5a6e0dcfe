"""Prove by a one-time code that who asks is reached where the person of a request was reached before (level 1, `rights.md` 1).

Whoever may move a request may have a code sent: to a contact on record, named by its field and never typed. What is answered is the
same whether there is such a contact or not. The code is made where it is sent (`send_codes`). It proves level 1 for that one
request, and moves nothing that needs more.
"""

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from vault.assembly import Vault
from vault.budgets import Budget
from vault.errors import Conflict, Fault, InvalidValue
from vault.operations.acting import Acting, carrying_out, record, refuse, tell_outcome
from vault.operations.move_request import VERB, required_request
from vault.operations.open_request import role_of, step_of
from vault.operations.within_limits import within_limits
from vault.policy.model import Context
from vault.rights import code_records as codes
from vault.rights import records
from vault.rights.code_records import CodeRow
from vault.rights.codes import CHANNELS, LEVEL, LIFE, TRIES, code_hash, is_code
from vault.rights.moves import Move
from vault.rights.records import RequestRow

ASK: Final = "ask_code"
ANSWER: Final = "answer_code"
OF_SUBJECT: Final = ((3, 3600), (5, 86400))  # codes, in seconds
OF_CALLER: Final = ((30, 3600),)


@dataclass(frozen=True, slots=True)
class Sending:
    """The answer to who wants a code sent: until when one can be answered. Whether any leaves is not said."""

    request_id: str
    expires_in_s: int
    entry_id: str


@dataclass(frozen=True, slots=True)
class Proof:
    """The answer to a code."""

    request_id: str
    proved: bool
    entry_id: str


def ask_code(vault: Vault, context: Context, request_id: str, through: str) -> Sending:
    """Have a code sent to a contact on record.

    Raises InvalidValue, NotFound, AccessDenied, TooMany, Stale, Conflict `request-state`.
    """
    acting, row = _required(vault, context, request_id, ASK)
    if through not in CHANNELS:
        raise refuse(vault, acting, InvalidValue(faults=[Fault("/through", "value.not-in-list")]))
    if row.state != "received":
        raise refuse(vault, acting, Conflict("request-state"))
    rates = ((row.subject_id, OF_SUBJECT), (context.caller.id, OF_CALLER))
    budgets = [Budget(holder, f"codes/{seconds}", most, timedelta(seconds=seconds)) for holder, of in rates for most, seconds in of]
    within_limits(vault, acting, budgets, "code-budget")
    record(vault, acting, details={"result": "code-asked", "request": request_id})
    made = CodeRow(
        vault.new_id("otc"), request_id, row.subject_id, through, None, "waiting", None, 0, acting.at, context.caller.id,
        acting.at + LIFE, acting.entry_id,
    )  # fmt: skip
    with carrying_out(vault, acting) as transaction:
        codes.add(transaction, context.controller_id, made)
    return Sending(request_id, int(LIFE.total_seconds()), acting.entry_id)


def answer_code(vault: Vault, context: Context, request_id: str, digits: str) -> Proof:
    """Say whether this is the code, and if so raise the level. Raises NotFound, AccessDenied, Stale, Conflict `request-state`.

    A wrong code, one that is over, spent or used, and one that was never sent are answered alike. Each try is on record and counted
    before anything is compared.
    """
    acting, row = _required(vault, context, request_id, ANSWER)
    if row.state != "received":
        raise refuse(vault, acting, Conflict("request-state"))
    controller_id = context.controller_id
    secret = vault.keys.secret(controller_id, "index").key
    record(vault, acting, details={"result": "code-tried", "request": request_id})
    with carrying_out(vault, acting) as transaction:
        one = codes.tried(transaction, controller_id, request_id, acting.at)
    said = code_hash(secret, request_id, one.code_id if one is not None else "", digits)
    if not is_code(one.kept if one is not None else None, said) or one is None:
        if one is not None and one.tries >= TRIES:
            with carrying_out(vault, acting) as transaction:
                codes.change(transaction, controller_id, one.code_id, "sent", state="void", kept=None)
        return Proof(request_id, proved=False, entry_id=tell_outcome(vault, acting, "refused", "code-refused"))
    entry_id = tell_outcome(vault, acting, "allowed", "code-proved")
    return Proof(request_id, _proved(vault, replace(acting, entry_id=entry_id), row, one), entry_id)


def _required(vault: Vault, context: Context, request_id: str, verb: str) -> tuple[Acting, RequestRow]:
    """Return who acts and the request: whoever may move it. The entries are of a verb of their own."""
    acting, row = required_request(vault, context, VERB, request_id)
    return replace(acting, verb=verb), row


def _proved(vault: Vault, acting: Acting, row: RequestRow, one: CodeRow) -> bool:
    """Use the code up and raise the level, with the contact as evidence, by reference; False where it was used meanwhile."""
    controller_id = acting.context.controller_id
    with carrying_out(vault, acting) as transaction:
        if not codes.change(transaction, controller_id, one.code_id, "sent", state="proved", kept=None):
            return False
        number = len(records.steps(transaction, controller_id, row.request_id)) + 1
        move = Move("verify", role_of(acting), acting.context.caller.id)
        stated = {"level": LEVEL, "method": "code", "through": one.through, "value_version": one.value_version}
        made = replace(step_of(vault, acting, row.request_id, number, move, {}, **stated), verb="prove")
        to = replace(row, level=max(row.level, LEVEL), entry_id=acting.entry_id)
        records.move(transaction, controller_id, row, to, made)
    return True
