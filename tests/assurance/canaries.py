"""Canaries: values no log, file, table or refusal may hold, however they are spelt; and the search for them.

Each is valid for its field (check digits, reserved domains), so that it travels as far as a customer's own value would. Fields
that cannot hold a secret of their own have none: closed lists (gender, language, marketing choice), a score of four digits, and
files, which no route takes.

The search reads bytes once: every aligned word of four bytes is looked up among the words of all needles, and only where one is
met are the needles themselves compared. So 3,000 needles cost what one does.
"""

import json
import os
import re
import stat
import sys
import zlib
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

from vault.profiles.catalogue import Catalogue, Field
from vault.profiles.normalise import normalise

FIELDS: Mapping[str, Any] = {
    "customer_number": "ZQ-7731904-K",
    "given_name": "Zvetlanka",
    "family_name": "Quattrocanarini",
    "date_of_birth": "1893-11-27",
    "birth_place": "Canarolo Sommerso",
    "email": "Zvetlanka.Quattro@canarini.example",
    "mobile": "3339271846",
    "phone": "0298173465",
    "address": {"street": "Vicolo del Canarino 4417", "postal_code": "20121", "city": "Canariòpoli", "province": "MI"},
    "contact_hours": "solo dopo il canto del gallo",
    "support_note": "chiede di non essere chiamata canarina",
    "verification_phrase": "canarino smeraldo ventuno",
    "tax_code": "ZVTQRC93S67H501H",
    "vat_number": "73918462059",
    "identity_document": "CQ73914ZX",
    "passport": "YZ8391746",
    "iban": "IT06X0542811101000073519284",
    "account_holder": "Conto Canarini Zeta",
    "card": {"reference": "crd-canary-83917", "bin": "411111", "last4": "1111", "expires": "2030-12"},
    "contract_number": "CN-83917-QZ4",
    "policy_number": "POL-83917462",
    "balance": {"amount": "83917462.51", "currency": "EUR"},
    "annual_income": {"amount": "71938264.07", "currency": "EUR"},
}
HEALTH: Mapping[str, Any] = {
    "related_person": "Ludmillo Cantapiano",
    "health_note": "soffre di canarinite cronica",
    "allergies": "piume di canarino giallo",
    "disability": "non distingue i canarini dai cardellini",
    "health_card_number": "80380009173846250019",
    "oncology_history": "guarita dal canarcinoma nel 1931",
}
UNSHARED: Mapping[str, Any] = {  # what no template grants: it can only be refused
    "union_membership": "tesserata dei canarinai uniti",
    "aml_note": "segnalata per canarini non dichiarati",
}
CHANGED: Mapping[str, Any] = {  # what amendments bring
    "email": "nuova.zvetlanka@canarini.example",
    "mobile": "3479183625",
    "contact_hours": "mai prima della muta",
    "support_note": "ora risponde a fischi brevi",
    "iban": "IT28A0306909606100000913577",
    "health_note": "la canarinite regredisce",
}
SOUGHT: Mapping[str, Any] = {
    "email": "ignota@canarini.example",
    "tax_code": "QNTZBG87T41F839A",
    "iban": "IT53Q0100003245348200917364",
}
IMPORTED: Mapping[str, Any] = {  # of a file's good lines
    "customer_number": "ZQ-8842015",
    "family_name": "Cinquecanarini",
    "given_name": "Brunildo",
    "birth_place": "Gabbiate Inferiore",
    "tax_code": "BRKWLF55C20A662Y",
    "email": "brunildo@voliere.example",
    "mobile": "3381746290",
    "address": {"street": "Largo della Voliera 993", "postal_code": "80133", "city": "Gabbiate", "province": "NA"},
    "iban": "IT21C9999999999000048159263",
    "policy_number": "POL-48159263",
    "support_note": "alleva canarini da combattimento",
}
STRAYS: Mapping[str, str] = {  # what only ever stands where it may not
    "bad iban": "IT07X0542811101000073519284",
    "bad tax code": "ZZKPLN60B15L219X",
    "bad mail": "zvetlanka.at.canarini.example",
    "ended mail": "zelinda.canarini.finita@example.it",
    "bad phone": "chiamare il canarino",
    "bad date": "31/02/1893 circa",
    "bad template": "contratto-canarino",
    "bad number": "canarino@numero 88",
    "card number": "4929739184620519",
    "odd cell": "cella canarina in eccesso",
    "open quote": "virgolette di canarino mai chiuse",
    "headerless": "intestazione di canarino assente",
    "broken body": "corpo canarino spezzato",
    "wrong type": "canarino al posto di un numero",
    "unknown member": "membroCanarino731",
    "large body": "canarino molto ingombrante",
    "claim": "canarina.rivendicata@canarini.example",
    "header": "intestazione-canarina-9173",
    "cookie": "biscotto-canarino-8264",
    "agent": "CanarinoNavigatore/91.7",
    "path": "sentiero-canarino-4417",
    "query": "domanda_canarina_5528",
    "key": "chiave-canarina-di-idempotenza",
    "evidence": "telefonata-canarina-6639",
    "if match": "versione-canarina-7741",
    "justification": "il canarino aspetta di essere richiamato",
    "short words": "canarino, subito",
    "garbage": "spazzatura canarina grezza",
}

SHORTEST = 7  # bytes: any needle then holds an aligned word of four, wherever it stands
_BLOCK_WORDS = 16_384
_PACKED = re.compile(rb"\x1f\x8b\x08|\x78[\x01\x5e\x9c\xda]")  # RFC 1952, 1950
_MOST_PACKED, _MOST_UNPACKED = 1 << 16, 1 << 20


@dataclass(frozen=True, slots=True)
class Canary:
    """One value: as it was sent and as it is kept, where the two differ; bytes for a key."""

    name: str
    spellings: tuple[bytes, ...] = field(repr=False)

    @classmethod
    def of(cls, name: str, *spellings: str | bytes) -> "Canary":
        """Return the canary of these spellings."""
        return cls(name, tuple(dict.fromkeys(one.encode() if isinstance(one, str) else one for one in spellings)))

    def needles(self) -> Iterator[tuple[str, bytes]]:
        """Yield (encoding, bytes) of every way in which it must not be met."""
        for spelling in self.spellings:
            yield from encodings(spelling)


@dataclass(frozen=True, slots=True)
class Hit:
    """A canary where none may be. Never the value: this is printed."""

    where: str
    canary: str
    encoding: str


def encodings(value: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the value raw, in hex, in Base64 at three offsets, as its SHA-256; and text also as it is otherwise written."""
    digest = sha256(value).digest()
    yield from (("raw", value), ("reversed", value[::-1]), ("hex", value.hex().encode()), ("HEX", value.hex().upper().encode()))
    yield from (("sha-256", digest), ("sha-256 hex", digest.hex().encode()), ("sha-256 HEX", digest.hex().upper().encode()))
    for offset in range(3):
        yield f"base64+{offset}", _base64(value, offset)
        yield f"base64url+{offset}", _base64(value, offset).translate(bytes.maketrans(b"+/", b"-_"))
        yield f"sha-256 base64+{offset}", _base64(digest, offset)
    with suppress(UnicodeDecodeError):
        yield from _written(value.decode())


def _written(text: str) -> Iterator[tuple[str, bytes]]:
    yield from (("upper", text.upper().encode()), ("lower", text.lower().encode()), ("reversed text", text[::-1].encode()))
    yield from (("url", quote(text, safe="").encode()), ("json", json.dumps(text)[1:-1].encode()))
    yield from (("utf-16le", text.encode("utf-16-le")), ("utf-16be", text.encode("utf-16-be")))
    yield from ((f"{how} latin", said.encode("cp1252", "replace")) for how, said in (("raw", text), ("upper", text.upper())))


def _base64(value: bytes, offset: int) -> bytes:
    """Return the characters that are the same whatever stands before (`offset` bytes, modulo 3) and behind the value."""
    encoded = b64encode(bytes(offset) + value + b"\0\0")
    return encoded[-(-8 * offset // 6) : 8 * (offset + len(value)) // 6]


@cache
def fields() -> Mapping[str, Field]:
    """Return the catalogue's fields."""
    return Catalogue.of(yaml.safe_load((Path(__file__).parents[2] / "policies" / "catalogue.yaml").read_text())).fields


def of_values(origin: str, values: Mapping[str, Any]) -> Iterator[Canary]:
    """Yield the canaries of some fields: of an object each member that is long enough to be known again."""
    known = fields()
    for name, value in values.items():
        kept = normalise(known[name].type, value)
        if not isinstance(value, dict) or not isinstance(kept, dict):
            yield Canary.of(f"{origin} {name}", str(value), str(kept))
            continue
        for member, part in value.items():
            if len(part) > SHORTEST:
                yield Canary.of(f"{origin} {name}/{member}", part, str(kept[member]))


@cache
def planned() -> list[Canary]:
    """Return every canary that is known beforehand."""
    origins = {
        "enrolled": FIELDS, "health": HEALTH, "unshared": UNSHARED, "changed": CHANGED, "sought": SOUGHT, "imported": IMPORTED,
    }  # fmt: skip
    found = [canary for origin, values in origins.items() for canary in of_values(origin, values)]
    return found + [Canary.of(f"stray {name}", text) for name, text in STRAYS.items()]


class Search:
    """Looks for canaries in bytes, files, open files and rows. Counts what it has seen, since an empty place proves nothing."""

    def __init__(self, canaries: Iterable[Canary]) -> None:
        self._needles: dict[bytes, tuple[str, str]] = {}
        self._words: dict[int, set[bytes]] = {}
        self._longest = 0
        self.seen_bytes = 0
        for canary in canaries:
            for encoding, needle in canary.needles():
                if len(needle) < SHORTEST:
                    raise ValueError("too short to be known again")
                if self._needles.setdefault(needle, (canary.name, encoding)) == (canary.name, encoding):
                    self._longest = max(self._longest, len(needle))
                    for at in range(len(needle) - 3):
                        self._words.setdefault(int.from_bytes(needle[at : at + 4], sys.byteorder), set()).add(needle)
        self._known = frozenset(self._words)

    def octets(self, where: str, octets: bytes) -> list[Hit]:
        """Return what is found, also in whatever is compressed inside."""
        found = self._plain(where, octets)
        for packed in _PACKED.finditer(octets):
            with suppress(zlib.error):
                unpacked = zlib.decompressobj(wbits=47).decompress(
                    octets[packed.start() : packed.start() + _MOST_PACKED], _MOST_UNPACKED
                )
                found += self._plain(f"{where}, compressed at {packed.start()}", unpacked)
        return found

    def file(self, path: Path) -> list[Hit]:
        """Search one file; one that has gone meanwhile holds nothing."""
        with suppress(FileNotFoundError, PermissionError):
            return self.octets(str(path), path.read_bytes())
        return []

    def tree(self, root: Path, *, without: Iterable[Path] = ()) -> list[Hit]:
        """Search every regular file under a directory."""
        skipped = set(without)
        found: list[Hit] = []
        for path, directories, files in os.walk(root):
            directories[:] = [name for name in directories if Path(path) / name not in skipped]
            for name in files:
                one = Path(path) / name
                if one not in skipped and one.is_file() and not one.is_symlink():
                    found += self.file(one)
        return found

    def open_files(self, pid: int) -> list[Hit]:
        """Search the files a process holds open, deleted ones above all: they are in no directory."""
        found: list[Hit] = []
        with suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            for link in Path(f"/proc/{pid}/fd").iterdir():
                with suppress(OSError):
                    if stat.S_ISREG(link.stat().st_mode):
                        found += [Hit(f"{pid}: {link.readlink()}", hit.canary, hit.encoding) for hit in self.file(link)]
        return found

    def _plain(self, where: str, octets: bytes) -> list[Hit]:
        self.seen_bytes += len(octets)
        words = memoryview(octets + bytes(-len(octets) % 4)).cast("I")
        found: set[bytes] = set()
        for at in range(0, len(words), _BLOCK_WORDS):
            block = words[at : at + _BLOCK_WORDS]
            if self._known.isdisjoint(block):
                continue
            first, last = 4 * at - self._longest, 4 * (at + _BLOCK_WORDS) + self._longest
            for word in self._known & set(block):
                found |= {needle for needle in self._words[word] if octets.find(needle, max(0, first), last) >= 0}
        return [Hit(where, *self._needles[needle]) for needle in sorted(found)]


def family(pid: int) -> list[int]:
    """Return a process and all its descendants, as they are now."""
    parents: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parent = int(path.read_text().rpartition(")")[2].split()[1])
            parents.setdefault(parent, []).append(int(path.parent.name))
    found, grown = [], [pid]
    while grown:
        found.append(grown.pop())
        grown += parents.get(found[-1], [])
    return found
