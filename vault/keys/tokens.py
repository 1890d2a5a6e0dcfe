"""Tokens: what a recipient may keep and join on instead of a value. Pure.

A token is computed, so it can be shown again without being kept; what is stored is a keyed hash of it, so a stolen table resolves
nothing. Two recipients get two tokens for one value and cannot compare them.
"""

from vault.octets import base32_id, expand, lp, mac, u32


def token_text(secret: bytes, subject_id: str, field: str, recipient: str, serial: int) -> str:
    """Return `tok_` and 26 base32 characters. `secret` is the controller's `token` secret.

    `serial` starts at 1 and grows when the agreement the token was shown under ends: the old token dies with it.
    """
    key = expand(secret, lp("riserbo.token-id.v1"))
    message = lp(subject_id) + lp(field) + lp(recipient) + u32(serial)
    return f"tok_{base32_id(mac(key, message)[:16])}"


def token_id(secret: bytes, text: str) -> bytes:
    """Return the 32 bytes under which a token's row is found."""
    return mac(expand(secret, lp("riserbo.token.v1")), text.encode())
