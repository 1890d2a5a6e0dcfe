"""How a value and a key are sealed, byte by byte, and what each is bound to. Pure: keys and nonces are arguments.

A field envelope is `format=1 ‖ suite=1 ‖ generation u32 ‖ nonce 12 ‖ ciphertext ‖ tag`, a wrap
`format=1 ‖ suite=1 ‖ custody ‖ epoch u32 ‖ nonce 12 ‖ ciphertext ‖ tag` of a 32-byte key. Suite 1 is AES-256-GCM (SP 800-38D).
A *place* is the part of the additional data that says where the sealed thing belongs; the header follows it, so header and place
are authenticated together. Everything in a place is immutable: a row moved by SQL no longer opens.

What does not open raises Unreadable, and never says which step failed.
"""

from bisect import bisect_left
from collections.abc import Iterable
from hashlib import sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vault.errors import Unreadable
from vault.octets import expand, lp, mac, u32, u64

KEY_BYTES = 32
NONCE_BYTES = 12
WRAP_BYTES = 67
SMALLEST_ENVELOPE_BYTES = 50

_FIELD_HEAD = b"\x01\x01"  # format, suite
_WRAP_HEAD = b"\x01\x01\x00"  # format, suite, local custody


def _padded_sizes() -> tuple[int, ...]:
    sizes = [16, 32, 64, 128, 256]
    while sizes[-1] < 1 << 24:
        sizes.append(16 * -(-sizes[-1] * 5 // 64))
    return tuple(sizes)


_SIZES = _padded_sizes()
_FIELD_LABEL = lp("riserbo.field.v1")
_WRAP_LABEL = lp("riserbo.wrap.v1")
_COMMIT_LABEL = lp("riserbo.commit.v1")
_MANIFEST_LABEL = lp("riserbo.manifest.v1")
_AUDIT_KEY_LABEL = lp("riserbo.audit-key.v1")


def pad(clear: bytes, least_bytes: int = 16) -> bytes:
    """Return `clear ‖ 80 ‖ zeros` (ISO/IEC 7816-4), in one of few sizes: 16, 32, 64, 128, 256, then a quarter more each time.

    The size is at least `least_bytes`: the length of a health answer must not be the answer. Raises ValueError above 16 MiB.
    """
    at = bisect_left(_SIZES, max(len(clear) + 1, least_bytes))
    if at == len(_SIZES):
        raise ValueError("value too long")
    return (clear + b"\x80").ljust(_SIZES[at], b"\0")


def unpad(padded: bytes) -> bytes:
    """Return what `pad` was given. Raises Unreadable where the mark is missing."""
    clear, mark, zeros = padded.rpartition(b"\x80")
    if not mark or zeros.strip(b"\0"):
        raise Unreadable
    return clear


def seal_with(cipher: AESGCM, place: bytes, generation: int, nonce: bytes, padded: bytes) -> bytes:
    """Return the field envelope of a padded value under a cipher made once for many values of one data key."""
    head = _FIELD_HEAD + u32(generation)
    return head + nonce + cipher.encrypt(nonce, padded, place + head)


def open_many(
    key: bytes, shared_place: bytes, generation: int, sealed: Iterable[tuple[str, bytes, bytes]]
) -> list[tuple[str, bytes]]:
    """Return the values of many field envelopes under one key, by name. Raises Unreadable.

    `sealed` are name, end of the place, and envelope; `shared_place` is the beginning all places share; all envelopes are of
    `generation`.
    """
    head = _FIELD_HEAD + u32(generation)
    decrypt = AESGCM(key).decrypt
    clears = []
    for name, place, envelope in sealed:
        if len(envelope) < SMALLEST_ENVELOPE_BYTES or not envelope.startswith(head):
            raise Unreadable
        try:
            padded = decrypt(envelope[6:18], envelope[18:], shared_place + place + head)
        except InvalidTag:
            raise Unreadable from None
        clears.append((name, unpad(padded)))
    return clears


def seal_value(key: bytes, place: bytes, generation: int, nonce: bytes, clear: bytes) -> bytes:
    """Return the field envelope of one value, padded: 34 bytes over its padded size. A nonce serves a key once."""
    return seal_with(AESGCM(key), place, generation, nonce, pad(clear))


def open_value(key: bytes, place: bytes, envelope: bytes) -> bytes:
    """Return the value of one field envelope. Raises Unreadable."""
    ((_, clear),) = open_many(key, place, envelope_generation(envelope), [("", b"", envelope)])
    return clear


def envelope_generation(envelope: bytes) -> int:
    """Return the generation a field envelope names; authentic only once it has opened."""
    return int.from_bytes(envelope[2:6], "big")


def wrap_key(key: bytes, place: bytes, epoch: int, nonce: bytes, inner: bytes) -> bytes:
    """Return the 67 bytes of `inner` (a 32-byte key) under a controller key of `epoch`, in local custody."""
    if len(inner) != KEY_BYTES:
        raise ValueError("not a key")
    head = _WRAP_HEAD + u32(epoch)
    return head + nonce + AESGCM(key).encrypt(nonce, inner, place + head)


def unwrap_key(key: bytes, place: bytes, epoch: int, wrap: bytes) -> bytes:
    """Return the 32 bytes inside a wrap. Raises Unreadable; another format, suite or custody than ours is refused too."""
    if len(wrap) != WRAP_BYTES or wrap[:3] != _WRAP_HEAD or wrap_epoch(wrap) != epoch:
        raise Unreadable
    try:
        return AESGCM(key).decrypt(wrap[7:19], wrap[19:], place + wrap[:7])
    except InvalidTag:
        raise Unreadable from None


def wrap_epoch(wrap: bytes) -> int:
    """Return the epoch a wrap names; authentic only once it has opened."""
    return int.from_bytes(wrap[3:7], "big")


def class_place(controller_id: str, subject_id: str, class_name: str) -> bytes:
    """Return the part of a field's place that all fields of one class share."""
    return _FIELD_LABEL + lp(controller_id) + lp(subject_id) + lp(class_name)


def field_place(controller_id: str, subject_id: str, class_name: str, field: str, value_version: int, agreement_id: str) -> bytes:
    """Return where a value belongs. `agreement_id` is the agreement it was collected under, which never changes."""
    return class_place(controller_id, subject_id, class_name) + lp(field) + u64(value_version) + lp(agreement_id)


def scope(controller_id: str, subject_id: str, class_name: str, generation: int) -> bytes:
    """Return what one data key is for."""
    return lp(controller_id) + lp(subject_id) + lp(class_name) + u32(generation)


def wrap_place(data_key_scope: bytes, holder_kind: str, holder_id: str) -> bytes:
    """Return where a data key's wrap belongs; `holder_kind` is `agreement` or `hold`."""
    return _WRAP_LABEL + data_key_scope + lp(holder_kind) + lp(holder_id)


def secret_place(controller_id: str, purpose: str, version: int) -> bytes:
    """Return where the wrap of a controller's secret belongs."""
    return lp("riserbo.secret.v1") + lp(controller_id) + lp(purpose) + u32(version)


def audit_key_place(controller_id: str, subject_id: str) -> bytes:
    """Return where the wrap of a subject's audit key belongs."""
    return _AUDIT_KEY_LABEL + lp(controller_id) + lp(subject_id)


def commitment(data_key: bytes, data_key_scope: bytes) -> bytes:
    """Return 32 bytes that fit one key only: GCM lets one ciphertext open under two keys, this does not."""
    return expand(data_key, _COMMIT_LABEL + data_key_scope)


def controller_commitment(controller_key: bytes, controller_id: str, epoch: int) -> bytes:
    """Return the same for a controller key, under a label of its own."""
    return expand(controller_key, lp("riserbo.controller-commit.v1") + lp(controller_id) + u32(epoch))


def manifest(data_key: bytes, data_key_scope: bytes, frame: bytes) -> bytes:
    """Return 16 bytes that authenticate a whole frame: which fields there are, and in which version."""
    return mac(expand(data_key, _MANIFEST_LABEL), data_key_scope + frame)[:16]


def custody_bind(data_key_scope: bytes, holder_kind: str, holder_id: str) -> bytes:
    """Return what a key service sees instead of a subject: 32 bytes that name a wrap's scope and holder to nobody else."""
    return sha256(lp("riserbo.custody.v1") + data_key_scope + lp(holder_kind) + lp(holder_id)).digest()
