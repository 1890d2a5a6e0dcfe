"""Hand out the key a recipient checks its messages with, or change it: whoever runs the vault, on record.

The key is made of the controller's secret each time and kept nowhere. Changed, messages carry both signatures for seven days.
"""

from dataclasses import replace
from typing import Final

from vault.assembly import Vault
from vault.errors import Conflict, NotFound
from vault.operations.acting import HOUSE, carrying_out, prepare, record, refuse
from vault.operations.sealed_words import PURPOSE
from vault.policy.model import Caller, Context
from vault.recipients import records
from vault.recipients.delivery import OVERLAP, key_text, signing_key

VERB: Final = "webhook_key"
_OPERATOR: Final = Caller(id="operator", kind="operator", roles=frozenset({"operator"}), client_id="riserbo")


def webhook_key(vault: Vault, controller_id: str, name: str, *, change: bool = False) -> tuple[str, str]:
    """Return `whsec_` and the key in base64, and the entry. Raises NotFound; Conflict `key-just-changed` within the seven days."""
    acting = prepare(vault, VERB, Context(controller_id, _OPERATOR, "legal-compliance", "api"), permission=HOUSE)
    with vault.database.snapshot(controller_id) as rows:
        one = records.recipients(rows, controller_id).get(name)
    if one is None or one.channel != "webhook":
        raise refuse(vault, acting, NotFound("recipient-not-found"))
    if change and one.secret_at is not None and acting.at < one.secret_at + OVERLAP:
        raise refuse(vault, acting, Conflict("key-just-changed"))
    record(vault, acting, details={"result": "changed" if change else "shown"}, internal={"recipient": {"name": name}})
    with carrying_out(vault, acting) as transaction:
        if change:
            one = replace(one, secret_serial=one.secret_serial + 1, secret_at=acting.at, entry_id=acting.entry_id)
            records.rekey(transaction, controller_id, one)
    key = signing_key(vault.keys.secret(controller_id, PURPOSE, one.secret_version).key, one.recipient_id, one.secret_serial)
    return key_text(key), acting.entry_id
