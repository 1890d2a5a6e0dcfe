"""Take what a registered sender asks by OpenDSR 2.0 for somebody: signed, or nobody reads it (sections 7 and 8).

Who may send is a recipient on the register with a pinned certificate, until it ends. It is believed that it sent these bytes, never
that the person asked: what it sends is a request in state `received`, at no level of identity, and waits until somebody verified
who asks. Whether whom it names is here shows in no status, header or body before that.
"""

from contextlib import suppress
from dataclasses import replace
from datetime import datetime, time, timedelta
from typing import Final

import structlog

from vault.assembly import Vault
from vault.budgets import Budget
from vault.errors import AccessDenied, Conflict, InvalidValue, NotFound, Stale
from vault.keys.tokens import token_id
from vault.octets import expand, lp, mac
from vault.operations.acting import HOUSE, NOBODY, Acting, carrying_out, is_gone, prepare, record, refuse
from vault.operations.disclosure import SPECIAL
from vault.operations.find import look_up
from vault.operations.open_request import Asked, dated, period_for, request_made, step_of
from vault.operations.sealed_words import PURPOSE
from vault.operations.within_limits import within_limits
from vault.outbox import announce
from vault.policy.model import Caller, Context
from vault.recipients import inbound, opendsr
from vault.recipients import inbound_records as asked_rows
from vault.recipients import records as register
from vault.recipients.inbound_records import DsrRow
from vault.recipients.records import RecipientRow
from vault.rights import records
from vault.rights.moves import OPEN, OPEN_DSR, Move, Where, moved
from vault.rights.records import RequestRow

VERB: Final = "take_dsr_request"
SUPPORTED: Final = inbound.DISCOVERY
LONGEST_BODY: Final = opendsr.LONGEST  # bytes
_AN_HOUR: Final = 100

log = structlog.get_logger()


def take_dsr_request(vault: Vault, controller_id: str, domain: str | None, signature: str | None, body: bytes) -> bytes:
    """Put down what is asked, once, and return the answer (7.3). The same bytes again are answered as they were.

    Raises AccessDenied `signature`, InvalidValue, Conflict `subject-request-id` for that id and other bytes, TooMany,
    PolicyUnavailable.
    """
    sender = _sender(vault, controller_id, domain, signature, body)
    vault = vault.governed(controller_id)
    asked = inbound.read_request(body)
    made = _known(vault, controller_id, sender, asked.asked_id, body)
    if made is None:
        acting = _acting(vault, controller_id, sender, NOBODY)
        within_limits(vault, acting, [Budget(sender.recipient_id, VERB, _AN_HOUR, timedelta(hours=1))], "request-budget")
        with suppress(Stale):  # that id came twice at once: what was put down first is answered
            made = _put_down(vault, _about(vault, sender, acting, asked), sender, asked, body)
        made = made or _known(vault, controller_id, sender, asked.asked_id, body)
    if made is None:
        raise Stale
    return inbound.created(controller_id, made.asked_id, made.received_at, made.expected_at, body)


def show_dsr_request(
    vault: Vault, controller_id: str, asked_id: str, domain: str | None, signature: str | None, at: str | None
) -> bytes:
    """Return where a request stands, to whoever sent it (8.3). Raises AccessDenied `signature`, NotFound."""
    acting, row, request = _own(vault, controller_id, asked_id, domain, signature, at, "GET")
    vault = vault.closing(controller_id)
    status = _status(row, request, acting.at)
    record(vault, acting, details={"result": status})
    return inbound.standing(controller_id, asked_id, row.expected_at, status)


def cancel_dsr_request(
    vault: Vault, controller_id: str, asked_id: str, domain: str | None, signature: str | None, at: str | None
) -> bytes:
    """Take a request back for whoever sent it, while it is pending; again changes nothing.

    Raises AccessDenied `signature`, NotFound, Conflict `request-state`, Stale where it moves at that moment.
    """
    acting, row, request = _own(vault, controller_id, asked_id, domain, signature, at, "DELETE")
    vault = vault.closing(controller_id)
    if row.cancelled_at is None:
        if _status(row, request, acting.at) != "pending":
            raise refuse(vault, acting, Conflict("request-state"))
        _take_back(vault, acting, row, request)
    return inbound.cancellation(controller_id, asked_id, row.received_at)


def _sender(vault: Vault, controller_id: str, domain: str | None, signature: str | None, octets: bytes) -> RecipientRow:
    """Return who signed these bytes. Raises AccessDenied, the same for whoever did not; nothing of it is on record."""
    if controller_id in vault.database.controllers():
        with vault.database.snapshot(controller_id) as rows:
            lines = register.recipients(rows, controller_id).values()
        for one in lines:
            if one.ended_at is not None or one.certificate is None or one.endpoint is None:
                continue
            if opendsr.signed(one.certificate, one.endpoint, domain, signature, octets):
                return one
        log.warning("dsr_request_refused", controller_id=controller_id, code="signature")
    raise AccessDenied("signature")


def _acting(vault: Vault, controller_id: str, sender: RecipientRow, subject_id: str) -> Acting:
    caller = Caller(id=sender.name, kind="system", roles=frozenset(), client_id="riserbo")
    context = Context(controller_id, caller, "rights-fulfilment", "api")
    return prepare(vault, VERB, context, subject_id, classes=[SPECIAL], permission=HOUSE)


def _known(vault: Vault, controller_id: str, sender: RecipientRow, asked_id: str, body: bytes) -> DsrRow | None:
    """Return what this sender put down under that id, if it did. Raises Conflict where those were other bytes."""
    with vault.database.snapshot(controller_id) as rows:
        known = asked_rows.read(rows, controller_id, sender.recipient_id, asked_id)
    if known is not None and _digest(vault, controller_id, body, known.secret_version)[1] != known.digest:
        raise Conflict("subject-request-id")
    return known


def _about(vault: Vault, sender: RecipientRow, acting: Acting, asked: inbound.Asked) -> Acting:
    """Return the act on whom all identities name, or on nobody where they do not name one and the same person."""
    those = [_named(vault, acting, sender, kind, value) for kind, value in asked.identities]
    both = set.intersection(*those)
    if len(both) != 1:
        return acting
    found = _acting(vault, acting.context.controller_id, sender, both.pop())
    return acting if found.person.subject is None or is_gone(found.person) else found


def _named(vault: Vault, acting: Acting, sender: RecipientRow, kind: str, value: str) -> set[str]:
    controller_id = acting.context.controller_id
    if kind == "email":
        with suppress(InvalidValue):
            return set(look_up(vault, controller_id, "email", value))
        return set()
    digest = token_id(vault.keys.secret(controller_id, "token").key, value)
    with vault.database.snapshot(controller_id) as rows:
        return asked_rows.of_handle(rows, controller_id, sender.name, sender.recipient_id, value, digest, acting.at)


def _put_down(vault: Vault, acting: Acting, sender: RecipientRow, asked: inbound.Asked, body: bytes) -> DsrRow:
    controller_id, at = acting.context.controller_id, acting.at.replace(microsecond=0)
    period = period_for(vault, acting, asked.kind, acting.at, special=False)  # one for all: a date tells nothing of the person
    expected = datetime.combine(
        dated(vault, controller_id, period, acting.at).base_due, time(23, 59, 59), vault.controller(controller_id).zone
    )
    version, digest = _digest(vault, controller_id, body)
    request, steps = request_made(vault, acting, Asked(asked.kind)) if acting.subject_id != NOBODY else (None, [])
    made = DsrRow(
        recipient_id=sender.recipient_id, asked_id=asked.asked_id, kind=asked.kind, digest=digest, secret_version=version,
        request_id=request.request_id if request is not None else None, received_at=at, expected_at=expected, cancelled_at=None,
        entry_id=acting.entry_id,
    )  # fmt: skip
    request_told = {"request": request.request_id} if request is not None else {}
    record(vault, acting, details={"result": "received", **request_told})
    with carrying_out(vault, acting) as transaction:
        if not asked_rows.add(transaction, controller_id, made):
            raise Stale
        if request is not None:
            records.add(transaction, controller_id, request, [replace(one, role="system") for one in steps])
            told = {"request_id": request.request_id}
            announce(transaction, vault, controller_id, "request:received", acting.entry_id, acting.at, **told)
    return made


def _own(
    vault: Vault, controller_id: str, asked_id: str, domain: str | None, signature: str | None, at: str | None, method: str
) -> tuple[Acting, DsrRow, RequestRow | None]:
    """Return what this sender asked under this id, and what it became. Raises AccessDenied, the recorded NotFound."""
    at_s = inbound.signed_at(at, vault.now())
    if at_s is None:
        raise AccessDenied("signature")
    address = f"https://{vault.settings.host}/opendsr/{controller_id}/requests/{asked_id}"
    sender = _sender(vault, controller_id, domain, signature, inbound.target(method, address, at_s))
    vault = vault.closing(controller_id)  # nothing is opened here
    with vault.database.snapshot(controller_id) as rows:
        row = asked_rows.read(rows, controller_id, sender.recipient_id, asked_id)
        request = records.read(rows, controller_id, row.request_id) if row is not None and row.request_id is not None else None
    acting = _acting(vault, controller_id, sender, request.subject_id if request is not None else NOBODY)
    if row is None:
        raise refuse(vault, acting, NotFound())
    return acting, row, request


def _status(row: DsrRow, request: RequestRow | None, now: datetime) -> str:
    verified = OPEN_DSR[request.state] if request is not None and request.level else None
    return inbound.status_of(verified, cancelled=row.cancelled_at is not None, expected_at=row.expected_at, now=now)


def _take_back(vault: Vault, acting: Acting, row: DsrRow, request: RequestRow | None) -> None:
    """Withdraw a request that is open still; of nobody's, and of one that ended unverified, it is noted alone."""
    controller_id = acting.context.controller_id
    record(vault, acting, details={"result": "withdraw", **({"request": request.request_id} if request is not None else {})})
    with carrying_out(vault, acting) as transaction:
        asked_rows.cancel(transaction, controller_id, row, acting.at, acting.entry_id)
        if request is None or request.state not in OPEN:
            return
        move = Move("withdraw", "customer", acting.context.caller.id)
        after = moved(request.where, move)
        if not isinstance(after, Where):
            raise Conflict(after)
        number = len(records.steps(transaction, controller_id, request.request_id)) + 1
        step = replace(step_of(vault, acting, request.request_id, number, move, {}), role="system")
        records.move(transaction, controller_id, request, request.after(after, entry_id=acting.entry_id), step)
        announce(
            transaction, vault, controller_id, "request:moved", acting.entry_id, acting.at, request_id=request.request_id,
            state=after.state,
        )  # fmt: skip


def _digest(vault: Vault, controller_id: str, body: bytes, version: int | None = None) -> tuple[int, bytes]:
    """Return by what these bytes are known again: keyed, for they may name somebody; and the secret's version."""
    secret = vault.keys.secret(controller_id, PURPOSE, version)
    return secret.version, mac(expand(secret.key, lp("riserbo.dsr-request.v1")), body)
