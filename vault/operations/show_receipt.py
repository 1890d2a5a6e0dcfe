"""Show the receipt of one event of an agreement, as the person may keep it: JSON-LD, the same signed, or Kantara's form.

A receipt is made from what is on record whenever it is asked for, and comes out the same each time. It opens no field and no
evidence: it says what was agreed, not what was shared.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import orjson

from vault.agreements import records as agreements
from vault.agreements.kantara import gives_consent, kantara_receipt
from vault.agreements.receipts import Agreed, Publisher, pairwise_handle, receipt_line
from vault.agreements.terms import valid_until
from vault.agreements.wording import Wording
from vault.assembly import Vault
from vault.errors import Conflict, NotFound
from vault.operations.acting import Acting, prepare, record, refuse, require_permission, require_person, telling
from vault.operations.signing import signed_document
from vault.policy.model import Context

Form = Literal["dpv", "note", "kantara"]
HANDLES = 1  # the version of the `web` secret behind handles: a person's name in receipts outlives its rotation


@dataclass(frozen=True, slots=True)
class Shown:
    """The answer: the receipt's bytes, and the entry that recorded it."""

    receipt: bytes
    entry_id: str


def show_receipt(vault: Vault, context: Context, agreement_id: str, form: Form = "dpv", number: int | None = None) -> Shown:
    """Show the receipt of event `number`, by default the last.

    Raises NotFound, AccessDenied, Conflict (`not-a-consent`, `controller-not-described`, `template-unknown`).
    """
    with vault.database.snapshot(context.controller_id) as rows:
        subject_id = agreements.whose(rows, context.controller_id, agreement_id)
    acting = prepare(vault, "show_receipt", context, subject_id or agreement_id)
    require_permission(vault, acting)
    require_person(vault, acting)
    try:
        wording, publisher, agreed = receipt_facts(vault, acting, agreement_id, form, number)
    except (NotFound, Conflict) as error:
        raise refuse(vault, acting, error) from None
    details = {"agreements": {"*": agreement_id}, "receipt": agreed.receipt_id, "form": form}
    record(vault, acting, terms=(wording.reference,), details=details)
    with telling(vault, acting):
        return Shown(_FORMS[form](vault, context.controller_id, publisher, wording, agreed), acting.entry_id)


def receipt_facts(
    vault: Vault, acting: Acting, agreement_id: str, form: Form, number: int | None
) -> tuple[Wording, Publisher, Agreed]:
    """Return what the receipt says. Raises NotFound for an event there is not, Conflict where it cannot be said."""
    controller_id, subject_id = acting.context.controller_id, acting.subject_id
    with vault.database.snapshot(controller_id) as rows:
        found = agreements.agreed(rows, controller_id, subject_id, agreement_id)
    if found is None:  # gone since its person was looked up
        raise NotFound
    made, events = found
    told = events if number is None else [one for one in events if one.number <= number]
    if not told or (number is not None and told[-1].number != number):
        raise NotFound
    wording = vault.wordings.get(f"{made.template_id}@{made.template_version}")
    if wording is None or wording.digest != made.template_digest:
        raise Conflict("template-unknown")
    zone = vault.controller(controller_id).zone
    ends = made.valid_until
    agreed = Agreed(
        agreement_id,
        pairwise_handle(vault.keys.secret(controller_id, "web", HANDLES).key, subject_id),
        made.text_language,
        made.text_sha256,
        told,
        None if ends == valid_until(made.valid_from, wording.validity, zone) else ends,
    )
    if form == "kantara" and not gives_consent(wording, agreed):
        raise Conflict("not-a-consent")
    return wording, vault.publisher(controller_id), agreed


def _dpv(vault: Vault, _controller_id: str, publisher: Publisher, wording: Wording, agreed: Agreed) -> bytes:
    return receipt_line(vault.settings.host, publisher, wording, agreed)


def _note(vault: Vault, controller_id: str, publisher: Publisher, wording: Wording, agreed: Agreed) -> bytes:
    return signed_document(vault, controller_id, _dpv(vault, controller_id, publisher, wording, agreed))


def _kantara(_vault: Vault, _controller_id: str, publisher: Publisher, wording: Wording, agreed: Agreed) -> bytes:
    return orjson.dumps(kantara_receipt(publisher, wording, agreed))


_FORMS: dict[Form, Callable[[Vault, str, Publisher, Wording, Agreed], bytes]] = {"dpv": _dpv, "note": _note, "kantara": _kantara}
