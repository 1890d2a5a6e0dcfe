"""The key of a package a person takes away: random, and wrapped under nothing but what their passphrase makes.

    private   = Argon2id(passphrase, salt16; t=3, 64 MiB, p=4), 32 bytes: an X25519 key (RFC 9106, RFC 7748)
    wrap      = HPKE base mode, X25519, HKDF-SHA256, AES-256-GCM (RFC 9180), of 32 random bytes, to its public half
    package   = Cobblestone-256 under those 32 bytes (C2SP chunked-encryption), the format of attachments
    place     = lp("riserbo.package.v1") ‖ lp(controller) ‖ lp(subject) ‖ lp(export): info of the wrap, context of the stream

A package is made by a job after the passphrase was shown, and nobody keeps the passphrase meanwhile: its public half is enough to
wrap with, and opens nothing. It goes too once the wrap is made: what is stored then yields the private half to no quantum computer.
The passphrase is 100 random bits; Argon2id is for whoever shortens it. What does not open is Unreadable, whichever step it was.
"""

import secrets  # noqa: TID251 (passphrases, salts and keys of packages are drawn here)
from typing import Final

from cryptography.cobblestone import Cobblestone256Decryptor, Cobblestone256Encryptor
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from vault.errors import Unreadable
from vault.octets import base32_id, lp

PASSPHRASE_CHARACTERS: Final = 20
SALT_BYTES: Final = 16
CHUNK_BYTES: Final = 16_384
OVERHEAD_BYTES, OF_CHUNK_BYTES = 56, 16
_PASSPHRASE_BYTES: Final = 13  # 104 bits, of which twenty characters show 100
_ITERATIONS, _LANES, _MEMORY_KIB = 3, 4, 65_536
_SUITE: Final = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


def new_passphrase() -> tuple[str, bytes]:
    """Return a passphrase of 20 base32 characters, to be shown once, and a salt to keep."""
    return base32_id(secrets.token_bytes(_PASSPHRASE_BYTES))[:PASSPHRASE_CHARACTERS], secrets.token_bytes(SALT_BYTES)


def package_place(controller_id: str, subject_id: str, export_id: str) -> bytes:
    """Return what a package and its wrap are bound to."""
    return lp("riserbo.package.v1") + lp(controller_id) + lp(subject_id) + lp(export_id)


def public_half(passphrase: str, salt: bytes) -> bytes:
    """Return the 32 bytes by which a key is wrapped for a passphrase. Takes a tenth of a second and 64 MiB."""
    return _private(passphrase, salt).public_key().public_bytes_raw()


def new_package_key(public: bytes, place: bytes) -> tuple[bytes, bytes]:
    """Return a new key, and its wrap."""
    key = secrets.token_bytes(32)
    return key, _SUITE.encrypt(key, X25519PublicKey.from_public_bytes(public), place)


def package_key(passphrase: str, salt: bytes, wrap: bytes, place: bytes) -> bytes:
    """Return the key of a package. Raises Unreadable for another passphrase, place or wrap."""
    try:
        return bytes(_SUITE.decrypt(wrap, _private(passphrase, salt), place))
    except (InvalidTag, ValueError):
        raise Unreadable from None


def sealing(key: bytes, place: bytes) -> Cobblestone256Encryptor:
    """Return what seals a package piece by piece: `update`, then `finalize`."""
    return Cobblestone256Encryptor(key, place)


def opening(key: bytes, place: bytes) -> Cobblestone256Decryptor:
    """Return what opens it likewise; each chunk is authenticated before it leaves, the end by `finalize` (InvalidTag)."""
    return Cobblestone256Decryptor(key, place)


def clear_size(sealed: int) -> int:
    """Return the size of a package from that of its sealed form. Raises Unreadable for a size it cannot have."""
    body = sealed - OVERHEAD_BYTES
    chunks, last = divmod(body, CHUNK_BYTES + OF_CHUNK_BYTES)
    if body < OF_CHUNK_BYTES or last < OF_CHUNK_BYTES:
        raise Unreadable  # the last chunk is always shorter than the others: this one was cut off
    return chunks * CHUNK_BYTES + last - OF_CHUNK_BYTES


def typed(passphrase: str) -> str:
    """Return a passphrase as it was made from how somebody types it: blanks, hyphens and capitals mean nothing."""
    return "".join(passphrase.split()).replace("-", "").lower()


def _private(passphrase: str, salt: bytes) -> X25519PrivateKey:
    stretched = Argon2id(salt=salt, length=32, iterations=_ITERATIONS, lanes=_LANES, memory_cost=_MEMORY_KIB)
    return X25519PrivateKey.from_private_bytes(stretched.derive(passphrase.encode()))
