"""Blind indexes: a keyed hash by which a value is found without being kept in clear. Pure.

One key for each index name and version, so equal values in two indexes do not look alike. What it gives away is equality and
frequency inside one controller; low-entropy values fall to whoever steals the secret, which only custody of the secret cures.

The same secret compares a value somebody said with the one that is kept, so that neither the work nor its time depends on them.
"""

from hmac import compare_digest, digest

from vault.octets import expand, lp, u16

BIDX_BYTES = 16


def bidx(secret: bytes, index_name: str, version: int, text: str) -> bytes:
    """Return the 16 bytes under which `text` is found in `index_name`.

    `secret` is the controller's index secret (32 bytes); `version` (u16) numbers normaliser and key together; `text` is what
    `normalise.index_text` returned, never what was typed.
    """
    key = expand(secret, lp("riserbo.index.v1") + lp(index_name) + u16(version))
    return digest(key, text.encode(), "sha256")[:BIDX_BYTES]


def matches(secret: bytes, field: str, said: str, kept: str, *, there: bool) -> bool:
    """Return whether the two texts are the same, in constant time; with nothing there, any text is compared and never matches."""
    key = expand(secret, lp("riserbo.verify.v1") + lp(field))
    held = digest(key, kept.encode(), "sha256")
    return compare_digest(digest(key, said.encode(), "sha256"), held) & there
