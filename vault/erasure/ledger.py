"""The erasure ledger: one line for each act a restored backup would undo, kept outside the database and its backups. Pure.

1. A line is the RFC 8785 JSON of `{"agr","ctl","keys","kv","n","op","prev","req","rm":{"classes","fields"},"sig","sub","t","v":1}`
   and a newline; it is read strictly: any other bytes for the same thing are no line.
2. `n` counts from 1 without a gap; `prev` is the SHA-256, in hex, of the line before without its newline, 64 zeros for the first.
3. `sub` and each of `agr` are MACs, in hex, under keyring `ledger/<kv>` of `named(controller_id, id)`: the ledger names nobody.
4. `sig` is base64 of the Ed25519 signature, by `document-sign/<n>`, of `riserbo.ledger.line.v1`, a zero byte, and the line without
   `sig`. A line's signature covers `prev`, so that of the last line answers for all before it.
5. `found` begins a controller. An act (`intent` erases, `forget` what is of an old cancer; `withdraw`, `narrow`, `suppress`,
   `object`, `restrict`, `amend`, `obscure`, `deceased`, and `alive` where that was an error) is written before its transaction
   commits; `live` says that it did, `void` that nothing came of it, `final` that no backup can bring it back. A closing line
   repeats `ctl`, `sub`, `req` and `agr` of its act; `req` is that of the request, or the act's entry. No line has a value in it.
   What gives back (`lift` of a restriction, `alive`) comes to nothing where no line says that it was done. An act carried out
   after others is told again, as the last.
6. A database's mark is (n, SHA-256) of the last act it has applied. Acts that were closed, and lie beyond the mark, were done in a
   database younger than this one: it went back.

Source: `rights.md` 6.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Final, Literal, Protocol

import orjson
import rfc8785

from vault.notes import SIGNATURE_BYTES, holds
from vault.octets import lp

Op = Literal[
    "found", "intent", "live", "void", "final", "withdraw", "suppress", "object", "restrict", "forget", "narrow", "obscure",
    "deceased", "alive", "amend", "lift",
]  # fmt: skip
ACTS: Final[frozenset[Op]] = frozenset(
    {"intent", "withdraw", "suppress", "object", "restrict", "forget", "narrow", "obscure", "deceased", "alive", "amend", "lift"}
)
GIVING_BACK: Final[frozenset[Op]] = frozenset({"alive", "lift"})
CLOSING: Final[frozenset[Op]] = frozenset({"live", "void"})
LINE_MAX_BYTES: Final = 1 << 16
Standing = Literal["level", "unfounded", "ahead", "behind", "different"]

_OPS: Final[frozenset[str]] = ACTS | CLOSING | {"found", "final"}
_LABEL: Final = b"riserbo.ledger.line.v1\0"
_MEMBERS: Final = frozenset({"agr", "ctl", "keys", "kv", "n", "op", "prev", "req", "rm", "sig", "sub", "t", "v"})
_HASH: Final = re.compile(r"[0-9a-f]{64}")
_ID: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
REQUEST: Final = re.compile(r"(?:[a-z0-9][a-z0-9_-]{0,62})?")
_NAME: Final = re.compile(r"\*|[a-z][a-z0-9_-]{0,62}")
_MOST: Final = 2**53 - 1  # what RFC 8785 can say


@dataclass(frozen=True, slots=True)
class Said:
    """What one line says. `subject` and `agreements` are MACs in hex, `keys` ids of data keys, `at_ms` Unix milliseconds."""

    op: Op
    controller_id: str
    at_ms: int
    subject: str = ""
    agreements: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    request: str = ""
    mac_key: int = 1

    def closed(self, op: Op, at_ms: int) -> "Said":
        """Return the line that closes this act."""
        return replace(self, op=op, at_ms=at_ms, keys=(), classes=(), fields=())

    @property
    def act(self) -> tuple[str, ...]:
        """What an act and the line that closes it have in common."""
        return (self.controller_id, self.subject, self.request, *self.agreements)


@dataclass(frozen=True, slots=True)
class Tail:
    """Where a ledger ends: the number of its last line and that line's SHA-256."""

    number: int
    digest: bytes


EMPTY: Final = Tail(0, bytes(32))


@dataclass(frozen=True, slots=True)
class Line:
    """One line as it stands: what it says, its number, the digest of the one before, its signature, its bytes."""

    said: Said
    number: int
    previous: bytes
    signature: bytes
    octets: bytes

    @property
    def tail(self) -> Tail:
        """Where a ledger ends that ends with this line."""
        return Tail(self.number, sha256(self.octets).digest())

    def signed_by(self, public: bytes) -> bool:
        """Whether the signature is of this line, by the key of these 32 bytes."""
        return holds(public, self.signature, message(self.said, Tail(self.number - 1, self.previous)))


class Ledger(Protocol):
    """The ledger as operations use it. Raises LedgerUnavailable whenever it cannot answer, or cannot be trusted."""

    def append(self, said: Said) -> Line:
        """Write a line, durable in every copy when this returns; on failure in none."""
        ...

    def lines(self, after: int = 0) -> Iterator[Line]:
        """Yield the lines after a number, in order."""
        ...

    def tail(self) -> Tail:
        """Return where it ends."""
        ...

    def unfinished(self, controller_id: str) -> list[Line]:
        """Return the acts of a controller that nothing closed, in order."""
        ...

    def standing(self, controller_id: str, mark: Tail | None) -> Standing:
        """Return how a controller's database stands to the ledger by its mark."""
        ...

    def name(self, controller_id: str, id_: str) -> str:
        """Return what the ledger calls a person or an agreement."""
        ...


def named(controller_id: str, id_: str) -> bytes:
    """Return what is MACed to name a person or an agreement."""
    return lp("riserbo.ledger.v1") + lp(controller_id) + lp(id_)


def message(said: Said, after: Tail) -> bytes:
    """Return what is signed for a line that follows `after`."""
    return _LABEL + rfc8785.dumps(_members(said, after))


def encode(said: Said, after: Tail, signature: bytes) -> bytes:
    """Return the line that follows `after`, without its newline. Raises ValueError for what `parse` would not take."""
    signed = {**_members(said, after), "sig": base64.b64encode(signature).decode()}
    octets = rfc8785.dumps(signed)
    parse(octets)
    return octets


def parse(octets: bytes) -> Line:
    """Return a line, given without its newline. Raises ValueError for anything but the one way to write it."""
    if len(octets) > LINE_MAX_BYTES:
        raise ValueError("line too long")
    found = orjson.loads(octets)
    if not isinstance(found, dict) or found.keys() != _MEMBERS or not _is_said(found):
        raise ValueError("not a line of the ledger")
    removed = found["rm"]
    said = Said(
        found["op"], found["ctl"], found["t"], found["sub"], tuple(found["agr"]), tuple(found["keys"]), tuple(removed["classes"]),
        tuple(removed["fields"]), found["req"], found["kv"],
    )  # fmt: skip
    line = Line(said, found["n"], bytes.fromhex(found["prev"]), _signature(found["sig"]), octets)
    if rfc8785.dumps(found) != octets:
        raise ValueError("not canonical")
    return line


def _members(said: Said, after: Tail) -> dict[str, Any]:
    return {
        "agr": list(said.agreements), "ctl": said.controller_id, "keys": list(said.keys), "kv": said.mac_key, "n": after.number + 1,
        "op": said.op, "prev": after.digest.hex(), "req": said.request,
        "rm": {"classes": list(said.classes), "fields": list(said.fields)}, "sub": said.subject, "t": said.at_ms, "v": 1,
    }  # fmt: skip


def _is_said(found: Mapping[str, Any]) -> bool:
    removed = found["rm"]
    return (
        all(type(found[name]) is int and 1 <= found[name] <= _MOST for name in ("kv", "n", "t", "v")) and found["v"] == 1
        and isinstance(found["op"], str) and found["op"] in _OPS
        and _fits(_ID, found["ctl"]) and _fits(REQUEST, found["req"]) and _fits(_HASH, found["prev"])
        and (_fits(_HASH, found["sub"]) if found["op"] != "found" else found["sub"] == "")
        and _all_fit(_HASH, found["agr"]) and _all_fit(_ID, found["keys"])
        and isinstance(removed, dict) and removed.keys() == {"classes", "fields"}
        and _all_fit(_NAME, removed["classes"]) and _all_fit(_NAME, removed["fields"])
    )  # fmt: skip


def _fits(pattern: "re.Pattern[str]", text: object) -> bool:
    return isinstance(text, str) and pattern.fullmatch(text) is not None


def _all_fit(pattern: "re.Pattern[str]", texts: object) -> bool:
    return isinstance(texts, list) and all(_fits(pattern, one) for one in texts)


def _signature(text: object) -> bytes:
    try:
        octets = base64.b64decode(text, validate=True) if isinstance(text, str) else b""
    except binascii.Error:
        octets = b""
    if len(octets) != SIGNATURE_BYTES or base64.b64encode(octets).decode() != text:
        raise ValueError("not a signature")
    return octets


class Chain:
    """A ledger read line by line: it ends where its last line does, and knows which acts are open and which were done."""

    def __init__(self) -> None:
        self.tail = EMPTY
        self._digests = bytearray()  # of every line, 32 bytes each
        self._founded: set[str] = set()
        self._done: dict[str, int] = {}  # by controller: the last act that was closed as live
        self._open: dict[tuple[str, ...], Line] = {}

    def add(self, octets: bytes) -> Line:
        """Take the next line, without its newline. Raises ValueError, having taken nothing, where it does not follow."""
        line = parse(octets)
        if (line.number, line.previous) != (self.tail.number + 1, self.tail.digest):
            raise ValueError("a line does not follow")
        self.tail = line.tail
        self._digests += self.tail.digest
        self._note(line)
        return line

    def _note(self, line: Line) -> None:
        said = line.said
        self._founded.add(said.controller_id)
        if said.op in ACTS:
            self._open[said.act] = line
        elif said.op in CLOSING and (act := self._open.pop(said.act, None)) is not None and said.op == "live":
            self._done[said.controller_id] = max(act.number, self._done.get(said.controller_id, 0))

    def unfinished(self, controller_id: str) -> list[Line]:
        """Return the acts of a controller that nothing closed, in order."""
        return sorted((one for one in self._open.values() if one.said.controller_id == controller_id), key=lambda one: one.number)

    def standing(self, controller_id: str, mark: Tail | None) -> Standing:
        """Return how the database of this mark stands: `unfounded` when neither knows of the other, `ahead` is the ledger."""
        if mark is None:
            return "ahead" if controller_id in self._founded else "unfounded"
        if mark.number > self.tail.number:
            return "behind"
        if self._digests[(mark.number - 1) * 32 : mark.number * 32] != mark.digest:
            return "different"
        return "ahead" if self._done.get(controller_id, 0) > mark.number else "level"


def to_replay(lines: Iterable[Line], controller_id: str, mark: int) -> list[Line]:
    """Return the acts of a controller beyond a mark, in order, but those that came to nothing."""
    found: dict[int, Line] = {}
    acts: dict[tuple[str, ...], int] = {}
    for line in lines:
        if line.said.controller_id != controller_id:
            continue
        if line.said.op in ACTS:
            acts[line.said.act] = line.number
            if line.number > mark:
                found[line.number] = line
        elif line.said.op == "void":
            found.pop(acts.get(line.said.act, 0), None)
    return [found[number] for number in sorted(found)]
