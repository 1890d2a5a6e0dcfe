"""Promise whoever was answered that the entry of their call will be in the log: a receipt, signed by a key of its own.

A receipt is asked for with the call, and given with its answer or not at all: the entry is committed either way, and whoever must
have one asks again.
"""

from vault.assembly import Vault
from vault.audit.checkpoint import origin
from vault.audit.receipts import Receipt, receipt_message
from vault.errors import KeysUnavailable


def promise(vault: Vault, controller_id: str, leaf_hash: bytes) -> str | None:
    """Return the receipt of an entry this process has just committed; None where it cannot be signed now."""
    name = origin(vault.settings.host, controller_id, vault.audit.era(controller_id))
    at_ms = int(vault.now().timestamp() * 1000)
    try:
        signature = vault.signing.sign_receipt(receipt_message(name, leaf_hash, at_ms))
    except KeysUnavailable:  # the act is done and on record: its answer is not to be lost with the receipt
        return None
    return Receipt(at_ms, leaf_hash, signature).text
