"""The few ways bytes are joined and derived here, so that every format says the same thing the same way. Pure.

Parts are length-prefixed, never separated: with a separator `a|b` + `c` would equal `a` + `b|c`. Integers are big-endian.
"""

import base64
from binascii import b2a_base64
from collections.abc import Iterable
from hashlib import sha256

_INNER = bytes(octet ^ 0x36 for octet in range(256))
_OUTER = bytes(octet ^ 0x5C for octet in range(256))

_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_BASE32 = "abcdefghijklmnopqrstuvwxyz234567"
_PAIRS = [first + second for first in _BASE32 for second in _BASE32]  # ids are made on every read: ten bits at a time


def lp(part: bytes | str) -> bytes:
    """Return u16 length ‖ bytes; text enters as UTF-8. Raises ValueError above 65,535 bytes."""
    octets = part.encode() if isinstance(part, str) else part
    try:
        return len(octets).to_bytes(2, "big") + octets
    except OverflowError:
        raise ValueError("part too long") from None


def lp8(part: bytes | str) -> bytes:
    """Return u8 length ‖ bytes. Raises ValueError above 255 bytes."""
    octets = part.encode() if isinstance(part, str) else part
    if len(octets) > 0xFF:
        raise ValueError("part too long")
    return len(octets).to_bytes(1, "big") + octets


def u16(number: int) -> bytes:
    """Return two bytes."""
    return number.to_bytes(2, "big")


def u32(number: int) -> bytes:
    """Return four bytes."""
    return number.to_bytes(4, "big")


def u64(number: int) -> bytes:
    """Return eight bytes."""
    return number.to_bytes(8, "big")


def mac(key: bytes, message: bytes) -> bytes:
    """Return HMAC-SHA-256 (RFC 2104) under a key of at most 64 bytes. Raises ValueError for a longer one.

    Spelt out: `hmac.digest` lets go of the interpreter lock for a microsecond's work, and a busy lane gets it back milliseconds
    later.
    """
    padded = key.ljust(64, b"\0")
    if len(padded) != 64:
        raise ValueError("key too long")
    inner, outer = sha256(padded.translate(_INNER)), sha256(padded.translate(_OUTER))
    inner.update(message)
    outer.update(inner.digest())
    return outer.digest()


def expand(key: bytes, info: bytes) -> bytes:
    """Return the first 32 bytes of HKDF-Expand with SHA-256: separates uses of one key that live and die together.

    One block of it is one HMAC over `info ‖ 01` (RFC 5869, section 2.3).
    """
    return mac(key, info + b"\x01")


def text_array(values: Iterable[str]) -> bytes:
    """Return a `text[]` as PostgreSQL reads it."""
    quoted = ('"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"' for value in values)
    return ("{" + ",".join(quoted) + "}").encode()


def b64u(octets: bytes) -> str:
    """Return base64url without padding (RFC 4648, section 5)."""
    return b2a_base64(octets, newline=False).rstrip(b"=").translate(_URL_SAFE).decode("ascii")


def b64u_decode(text: str) -> bytes:
    """Return the bytes of canonical base64url without padding. Raises ValueError for anything else, stray bits included."""
    try:
        octets = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        raise ValueError("not base64url") from None
    if b64u(octets) != text:
        raise ValueError("not canonical base64url")
    return octets


def base32_id(octets: bytes) -> str:
    """Return lower-case RFC 4648 base32 without padding: 16 bytes become 26 characters."""
    characters = -(-len(octets) * 8 // 5)
    pairs = -(-characters // 2)
    number = int.from_bytes(octets, "big") << (pairs * 10 - len(octets) * 8)
    return "".join([_PAIRS[number >> shift & 1023] for shift in range(pairs * 10 - 10, -1, -10)])[:characters]
