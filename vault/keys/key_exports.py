"""Key exports: a copy of schema `keys`, sealed by an epoch's root key and worth nothing once that is destroyed.

file      = "RSX1" ‖ u32 length ‖ header ‖ Cobblestone-256 stream (C2SP chunked-encryption)
header    = RFC 8785 JSON {"epoch","format":1,"installation","ledger_n","made_at","sealed":[{"blob","by":"keyring"}]}
            `ledger_n`: how many lines the erasure ledger had; whoever puts it back has as many at least. The oldest do not say it
stream    under 32 random bytes, which the blob wraps under `root/<epoch>`, bound to {"installation","made_at","use":"key-export"};
            context = lp("riserbo.export.v1") ‖ SHA-256(all bytes before the stream)
body      = lines of JSON {"controller","row","table"}, bytes in base64 and instants in RFC 3339; the last {"end":true,"rows":n}

What was cut off, moved or altered is Unreadable, whichever it was. Source: `cryptography.md` 6.
"""

import base64
import binascii
import secrets  # noqa: TID251 (keys of exports are drawn here)
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from itertools import count
from typing import Any, Final

import orjson
import rfc8785
from cryptography.cobblestone import Cobblestone256Decryptor, Cobblestone256Encryptor
from cryptography.exceptions import InvalidTag

from vault.errors import Unreadable
from vault.keys.envelope import KEY_BYTES
from vault.keys.keyring import Context, Keyring, root_name
from vault.octets import lp, u32

MAGIC: Final = b"RSX1"
HEADER_MAX_BYTES: Final = 1 << 16
AT_ONCE_BYTES: Final = 1 << 18

Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Written:
    """What a place for exports says of one it took: how to read it again, its SHA-256, and how to keep it."""

    read: Callable[[], Iterable[bytes]]
    digest: bytes
    keep: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Header:
    """What a key export says of itself before it is opened."""

    installation: str
    made_at: str
    epoch: int
    ledger_n: int | None
    blob: bytes

    @property
    def context(self) -> Context:
        """What the keyring binds the stream's key to."""
        return {"installation": self.installation, "made_at": self.made_at, "use": "key-export"}

    def octets(self) -> bytes:
        """Return all bytes before the stream."""
        sealed = [{"blob": base64.b64encode(self.blob).decode(), "by": "keyring"}]
        said: Any = {"epoch": self.epoch, "format": 1, "installation": self.installation, "made_at": self.made_at, "sealed": sealed}
        if self.ledger_n is not None:
            said["ledger_n"] = self.ledger_n
        header = rfc8785.dumps(said)
        return MAGIC + u32(len(header)) + header


def seal_export(
    keyring: Keyring, installation: str, made_at: datetime, epoch: int, ledger_n: int, rows: Iterable[tuple[str, str, Values]]
) -> Iterator[bytes]:
    """Yield a key export of these rows (controller, table, values), piece by piece. Raises KeysUnavailable."""
    key = secrets.token_bytes(KEY_BYTES)
    header = Header(installation, made_at.isoformat(), epoch, ledger_n, b"")
    (blob,) = keyring.wrap(root_name(epoch), [(key, header.context)])
    head = replace(header, blob=blob).octets()
    yield head
    under = Cobblestone256Encryptor(key, _place(head))
    held, counted = bytearray(), count()
    for controller_id, table, values in rows:
        next(counted)
        held += orjson.dumps({"controller": controller_id, "row": values, "table": table}, default=_spelt) + b"\n"
        if len(held) >= AT_ONCE_BYTES:
            yield bytes(under.update(bytes(held)))
            held.clear()
    held += orjson.dumps({"end": True, "rows": next(counted)}) + b"\n"
    yield bytes(under.update(bytes(held)))
    yield bytes(under.finalize())


def read_header(octets: bytes) -> tuple[Header, int]:
    """Return the header of a key export and where its stream begins. Raises Unreadable."""
    try:
        end = len(MAGIC) + 4 + int.from_bytes(octets[len(MAGIC) : len(MAGIC) + 4], "big")
        if octets[: len(MAGIC)] != MAGIC or not len(MAGIC) + 4 < end <= min(len(octets), HEADER_MAX_BYTES):
            raise Unreadable
        said = orjson.loads(octets[len(MAGIC) + 4 : end])
        (sealed,) = said["sealed"]
        blob = base64.b64decode(sealed["blob"], validate=True)
        header = Header(said["installation"], said["made_at"], said["epoch"], said.get("ledger_n"), blob)
        whole = header.octets() == octets[:end]  # any other spelling of it is no header
        whole &= header.ledger_n is None or type(header.ledger_n) is int
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error):
        raise Unreadable from None
    if not whole:
        raise Unreadable
    return header, end


def open_export(keyring: Keyring, installation: str, pieces: Iterable[bytes]) -> Iterator[tuple[str, str, Values]]:
    """Yield the rows of a key export (controller, table, values as spelt). It counts only once it has been read to its end.

    Raises Unreadable where it is not whole, of another installation, or its root was destroyed; KeysUnavailable.
    """
    read = iter(pieces)
    first = _begun(read)
    header, begins = read_header(first)
    if header.installation != installation:
        raise Unreadable
    (key,) = keyring.unwrap([(header.blob, header.context)])
    if not isinstance(key, bytes):
        raise Unreadable
    under = Cobblestone256Decryptor(key, _place(first[:begins]))
    for number, line in enumerate(_lines(_opened(under, first[begins:], read))):
        said = _parsed(line)
        if said.get("end") is True:
            if said["rows"] != number:
                raise Unreadable
            return
        yield said["controller"], said["table"], said["row"]
    raise Unreadable


def header_of(pieces: Iterable[bytes]) -> Header:
    """Return what a key export says of itself. It counts only once the export has been opened to its end. Raises Unreadable."""
    return read_header(_begun(iter(pieces)))[0]


def _begun(read: Iterator[bytes]) -> bytes:
    """Return the first pieces, in which the header is."""
    first = bytearray()
    while len(first) < HEADER_MAX_BYTES and (piece := next(read, b"")):
        first += piece
    return bytes(first)


def _place(head: bytes) -> bytes:
    return lp("riserbo.export.v1") + sha256(head).digest()


def _opened(under: Cobblestone256Decryptor, first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    try:
        yield bytes(under.update(first))
        for piece in rest:
            yield bytes(under.update(piece))
        yield bytes(under.finalize())
    except InvalidTag:
        raise Unreadable from None


def _lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    held = b""
    for piece in pieces:
        *whole, held = (held + piece).split(b"\n")
        yield from whole
    if held:
        raise Unreadable


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        said: dict[str, Any] = orjson.loads(line)
    except ValueError:
        raise Unreadable from None
    return said


def _spelt(value: object) -> str:
    if isinstance(value, bytes | memoryview):
        return base64.b64encode(bytes(value)).decode()
    raise TypeError
