"""Send the one-time codes people are to prove a contact by: a job, for whoever asks must not see whether one leaves, nor how fast.

The digits are made here, kept as a keyed hash before they leave, and in nothing else but the message. A contact that was written
since the request came, or in the last day, is sent none: who changed it may be an impostor (`rights.md` 1, `assurance.md`).
"""

from typing import Final

import structlog

from vault.assembly import Vault
from vault.errors import VaultError
from vault.keys.data_keys import open_fields
from vault.keys.draws import draw
from vault.operations.acting import HOUSE, Acting, carrying_out, prepare, record, telling
from vault.operations.facts import as_known, sealed_classes
from vault.operations.rectify import versions
from vault.operations.send_letters import SPOKEN, facts_about, through_of
from vault.policy.model import Caller, Context
from vault.rights import code_records as codes
from vault.rights import records
from vault.rights.code_records import CodeRow
from vault.rights.codes import DRAWN_BYTES, LIFE, code_digits, code_hash, code_mail, settled_since
from vault.rights.letter_words import Language
from vault.rights.letters import Mail, Send
from vault.rights.records import RequestRow

VERB: Final = "send_code"
_CALLER: Final = Caller(id="job:codes", kind="job", roles=frozenset(), client_id="riserbo")

log = structlog.get_logger()


def send_codes(vault: Vault, controller_id: str, send: Send) -> int:
    """Send the codes that were asked for and return how many left; forget those that are over."""
    with vault.database.transaction(controller_id) as transaction:
        codes.end(transaction, controller_id, vault.now())
        due = codes.waiting(transaction, controller_id)
    sent = 0
    for one in due:
        try:
            sent += _sent(vault, controller_id, one, send)
        except VaultError as error:  # it waits until it is over, and keeps nobody else waiting
            log.error("job_put_off", controller_id=controller_id, code=error.code, entry_id=one.entry_id)
    return sent


def _sent(vault: Vault, controller_id: str, one: CodeRow, send: Send) -> int:
    with vault.database.snapshot(controller_id) as rows:
        row = records.read(rows, controller_id, one.request_id)
    classes = {vault.catalogue.fields[name].class_name for name in (one.through, SPOKEN) if name in vault.catalogue.fields}
    acting = prepare(vault, VERB, Context(controller_id, _CALLER, "rights-fulfilment", "api"), one.subject_id, classes, HOUSE)
    agreement_id = through_of(vault, acting)
    if row is None or row.state != "received" or agreement_id is None or not _is_settled(vault, acting, row, one):
        return _failed(vault, acting, one)
    fields = (one.through, SPOKEN)
    details = {"result": "code-sent", "request": one.request_id}
    permit = record(vault, acting, opens=dict.fromkeys(fields, agreement_id), details=details)
    known = as_known(acting.context, one.subject_id, acting.person)[1]
    with telling(vault, acting):
        sealed = sealed_classes(controller_id, one.subject_id, acting.person)
        opened = {name: clear.value for name, clear in open_fields(vault.keys, permit, sealed, vault.monotonic()).items()}
    digits = code_digits(draw(DRAWN_BYTES))
    kept = code_hash(vault.keys.secret(controller_id, "index").key, one.request_id, one.code_id, digits)
    to = {"state": "sent", "kept": kept, "value_version": versions(known)[one.through], "expires_at": vault.now() + LIFE}
    with carrying_out(vault, acting) as transaction:
        if not codes.change(transaction, controller_id, one.code_id, "waiting", **to):
            return 0  # another process sends it, or a later one took its place
    language: Language = "en" if opened.get(SPOKEN) == "en" else "it"
    subject, text = code_mail(language, facts_about(vault, controller_id, row, language), digits)
    came = send(Mail(one.code_id, str(opened[one.through]), language, subject, text))
    if came.code is None:
        return 1
    log.warning("code_failed", controller_id=controller_id, code=came.code, entry_id=acting.entry_id)
    with vault.database.transaction(controller_id) as transaction:
        codes.change(transaction, controller_id, one.code_id, "sent", state="failed", kept=None)
    return 0


def _is_settled(vault: Vault, acting: Acting, row: RequestRow, one: CodeRow) -> bool:
    """Say whether there is such a contact, and it stood as it is before the request, and for a day where it was changed."""
    controller_id = acting.context.controller_id
    held = versions(as_known(acting.context, one.subject_id, acting.person)[1])
    since = settled_since(row.received_at, acting.at)
    with vault.database.snapshot(controller_id) as rows:
        return one.through in held and codes.is_settled(rows, controller_id, one.subject_id, one.through, since, row.received_at)


def _failed(vault: Vault, acting: Acting, one: CodeRow) -> int:
    record(vault, acting, outcome="failed", details={"result": "not-sent", "request": one.request_id})
    with carrying_out(vault, acting) as transaction:
        codes.change(transaction, acting.context.controller_id, one.code_id, "waiting", state="failed")
    return 0
