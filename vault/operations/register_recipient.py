"""Keep the register of recipients: who receives data, as which party of the policy, and on what terms (GDPR 28, 30(1)(d), 44).

What the register says counts from the next read on: a processor whose agreement is missing or over, or a recipient outside the EEA
without a transfer tool, gets nothing (gate 1: `no-processing-agreement`, `no-transfer-tool`). A party that is not on the register
goes by what the policy bundle says of it.
"""

from collections.abc import Iterator
from typing import Final

from vault.assembly import Vault
from vault.errors import Fault, InvalidValue, NotFound
from vault.operations.acting import HOUSE, Acting, carrying_out, prepare, record, refuse
from vault.operations.sealed_words import PURPOSE
from vault.policy.model import Caller, Context
from vault.recipients import records
from vault.recipients.opendsr import key_of
from vault.recipients.records import RecipientRow
from vault.recipients.register import Entry, faults

VERB: Final = "register_recipient"
_OPERATOR: Final = Caller(id="operator", kind="operator", roles=frozenset({"operator"}), client_id="riserbo")
_STATED: Final = ("name", "party", "role", "country", "transfer_tool", "contract", "instructions", "channel")


def register_recipient(vault: Vault, controller_id: str, entry: Entry) -> RecipientRow:
    """Write a recipient over any earlier line of that name; return it. Raises InvalidValue by pointer and code."""
    wrong = list(faults(entry, vault.policy.recipients))
    if entry.certificate is not None and key_of(entry.certificate) is None:
        wrong.append(Fault("/certificate", "certificate.unfit"))
    if wrong:
        raise InvalidValue(faults=wrong)
    acting = _prepared(vault, controller_id)
    known = _known(vault, controller_id, entry.name)
    before = known if known is not None and known.ended_at is None else None  # whoever comes under an ended name is another
    moved = before is not None and before.endpoint != entry.endpoint
    made = RecipientRow(
        name=entry.name, recipient_id=before.recipient_id if before is not None else vault.new_id("rcp"), party=entry.party,
        role=entry.role, country=entry.country, transfer_tool=entry.transfer_tool, contract=entry.contract,
        contract_from=entry.contract_from, contract_until=entry.contract_until, instructions=entry.instructions,
        subprocessors=list(entry.subprocessors), channel=entry.channel, endpoint=entry.endpoint,
        certificate=entry.certificate,
        disabled_at=before.disabled_at if before is not None and not moved else None,
        secret_serial=before.secret_serial if before is not None else 1,
        secret_version=before.secret_version if before is not None else vault.keys.secret(controller_id, PURPOSE).version,
        secret_at=before.secret_at if before is not None else None, days=entry.days,
        registered_at=before.registered_at if before is not None else acting.at, ended_at=None, entry_id=acting.entry_id,
    )  # fmt: skip
    record(vault, acting, details={"result": "registered"}, internal={"recipient": dict(_said(made))})
    with carrying_out(vault, acting) as transaction:
        records.put(transaction, controller_id, made)
    return made


def end_recipient(vault: Vault, controller_id: str, name: str) -> str:
    """Say that data go there no more: it gets nothing from the next read on. Return the entry's id. Raises NotFound."""
    acting = _prepared(vault, controller_id)
    if _known(vault, controller_id, name) is None:
        raise refuse(vault, acting, NotFound("recipient-not-found"))
    record(vault, acting, details={"result": "ended"}, internal={"recipient": {"name": name}})
    with carrying_out(vault, acting) as transaction:
        records.end(transaction, controller_id, name, acting.at, acting.entry_id)
    return acting.entry_id


def _prepared(vault: Vault, controller_id: str) -> Acting:
    return prepare(vault, VERB, Context(controller_id, _OPERATOR, "legal-compliance", "api"), permission=HOUSE)


def _known(vault: Vault, controller_id: str, name: str) -> RecipientRow | None:
    with vault.database.snapshot(controller_id) as rows:
        return records.recipients(rows, controller_id).get(name)


def _said(one: RecipientRow) -> Iterator[tuple[str, object]]:
    """Yield what an entry says of a line; nothing of where webhooks go but that they do."""
    yield from ((name, getattr(one, name) or "") for name in _STATED)
    yield "subprocessors", list(one.subprocessors)
    yield "days", one.days
    for name in ("contract_from", "contract_until"):
        at = getattr(one, name)
        yield name, at.isoformat() if at is not None else ""
