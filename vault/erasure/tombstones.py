"""What is left of an identifier: a keyed hash by which it is known again and nothing else can be learnt. Pure.

A tombstone says that whoever had it was erased; a suppression, that they objected to marketing over a channel. `secret` is a
version of the controller's secret of that purpose, `text` the value normalised (`rights.md` 5, 6).
"""

from collections.abc import Mapping
from typing import Final

from vault.octets import lp, mac, u16

NORMALISER: Final = 1
BY_INDEX: Final = 2  # in the place of a text: the version of a blind index, a colon, its bytes in hex
CHANNELS: Final[Mapping[str, str]] = {"email": "email", "phone": "phone"}  # by blind index: what marketing reaches people by


def tombstone(secret: bytes, index_name: str, text: str, normaliser: int = NORMALISER) -> bytes:
    """Return the 32 bytes that stand for an identifier of somebody who was erased."""
    return mac(secret, lp("riserbo.tombstone.v1") + lp(index_name) + u16(normaliser) + lp(text))


def suppression(secret: bytes, channel: str, index_name: str, text: str, normaliser: int = NORMALISER) -> bytes:
    """Return the 32 bytes that stand for an identifier no marketing is sent to."""
    return mac(secret, lp("riserbo.suppress.v1") + lp(channel) + lp(index_name) + u16(normaliser) + lp(text))
