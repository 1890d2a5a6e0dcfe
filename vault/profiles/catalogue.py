"""The catalogue: what each field is, read from `policies/catalogue.yaml` and refused as a whole if anything in it is wrong. Pure.

Rules (GDPR Art. 9, 10; PCI DSS 4.0.1, 3.3.1):

1. A class is the grain of the key: class `special` holds data of GDPR Art. 9 and 10, and nothing else does.
2. No blind index on special data, nor on a type whose values can be guessed one by one: codes, names, dates, addresses, cards.
   Fields of one index have one type.
3. Card verification codes and PINs have no field, whatever it is called (PCI DSS 4.0.1, 3.3.1); a card is never shown in clear.
4. A code has its values here, with labels; every label is in both languages.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal

from vault.profiles.normalise import INDEXED_TYPES, TYPES

SCHEMA: Final = "riserbo-catalogue/1"

_KEYS: Final = frozenset(
    {
        *("type", "category", "class", "sensitivity", "special", "masks", "search", "index", "unique", "verify", "origin"),
        *("clear", "never_to_subject", "time_barred", "labels"),
    }
)
_CLOSED: Final[Mapping[str, tuple[object, ...]]] = {
    "type": tuple(sorted(TYPES)),
    "sensitivity": (1, 2, 3, 4),
    "search": ("exact", "none"),
    "verify": ("relation", "civil", "phrase", "none"),
    "origin": ("provided", "observed", "third-party", "derived"),
    "clear": ("allowed", "never"),
}
_SWITCHES: Final = ("special", "unique", "never_to_subject", "time_barred")
_LANGUAGES: Final = {"it", "en"}
_NAME = re.compile("[a-z][a-z0-9_]*")
_VALUE = re.compile("[a-z][a-z0-9-]*")
_TERM = re.compile("[a-z][a-z-]*:[A-Z][A-Za-z]*")
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_CARD_SECRETS: Final = frozenset({"cvv", "cvc", "cid", "pin", "cav", "csc"})
_CARD_SECRET_PHRASES: Final = (
    "cvv",
    "cvc",
    "pincode",
    "securitycode",
    "verificationcode",
    "codicedisicurezza",
    "codicesicurezza",
    "codicediverifica",
)


@dataclass(frozen=True, slots=True)
class Field:
    """One datum. `masks` are names, weakest first; `index` is the blind index it is found by, or None; `values` of a code."""

    name: str
    type: str
    category: str
    class_name: str
    sensitivity: int
    special: bool
    masks: tuple[str, ...]
    search: Literal["exact", "none"]
    index: str | None
    unique: bool
    verify: Literal["relation", "civil", "phrase", "none"]
    origin: Literal["provided", "observed", "third-party", "derived"]
    clear_allowed: bool
    never_to_subject: bool
    time_barred: bool
    labels: Mapping[str, str]
    values: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All fields, by name, in the order of the file; and the classes, one data key each."""

    fields: Mapping[str, Field]
    classes: tuple[str, ...]
    never_to_subject: frozenset[str]

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "Catalogue":
        """Return the catalogue of a parsed `catalogue.yaml`. Raises ValueError naming every fault, field by field."""
        faults = list(_faults(document))
        if faults:
            raise ValueError("; ".join(faults))
        fields = {name: _field(name, entry) for name, entry in document["fields"].items()}
        kept_back = frozenset(name for name, one in fields.items() if one.never_to_subject)
        return cls(MappingProxyType(fields), tuple(document["classes"]), kept_back)


def names_card_secret(name: str) -> bool:
    """Tell whether a field or column is named after a card's verification code, PIN or track: never taken, wherever it appears.

    Words are compared, not letters, so `spin` and `pineta` pass while `CodiceCVV`, `card_pin` and `track2` do not.
    """
    words = [word.lower() for word in _WORDS.findall(name)]
    joined = "".join(words)
    return any(word in _CARD_SECRETS or word.startswith("track") for word in words) or any(
        phrase in joined for phrase in _CARD_SECRET_PHRASES
    )


def _field(name: str, entry: Mapping[str, Any]) -> Field:
    return Field(
        name=name,
        type=entry["type"],
        category=entry["category"],
        class_name=entry["class"],
        sensitivity=entry["sensitivity"],
        special=entry["special"],
        masks=tuple(entry["masks"]),
        search=entry["search"],
        index=entry["index"],
        unique=entry["unique"],
        verify=entry["verify"],
        origin=entry["origin"],
        clear_allowed=entry["clear"] == "allowed",
        never_to_subject=entry["never_to_subject"],
        time_barred=entry["time_barred"],
        labels=MappingProxyType(dict(entry["labels"])),
        values=MappingProxyType(dict(entry.get("values", {}))),
    )


def _faults(document: Mapping[str, Any]) -> Iterator[str]:
    if set(document) != {"schema", "classes", "fields"} or document["schema"] != SCHEMA:
        yield f"not a document of schema {SCHEMA}"
        return
    classes = document["classes"]
    types_of_index: dict[str, set[str]] = {}
    for name, entry in document["fields"].items():
        shape = list(_shape_faults(name, entry, classes))
        yield from (f"{name}: {fault}" for fault in shape)
        if not shape:
            yield from (f"{name}: {fault}" for fault in _rule_faults(name, entry))
            types_of_index.setdefault(entry["index"] or "", set()).add(entry["type"])
    yield from (f"index {index}: two types" for index, types in types_of_index.items() if index and len(types) > 1)


def _shape_faults(name: str, entry: Mapping[str, Any], classes: Sequence[str]) -> Iterator[str]:
    if not _NAME.fullmatch(name):
        yield "not a field name"
    if set(entry) - {"values"} != _KEYS:
        yield f"members differ: {', '.join(sorted((set(entry) - {'values'}) ^ _KEYS))}"
        return
    yield from (f"{key} is not one of its list" for key, allowed in _CLOSED.items() if entry[key] not in allowed)
    yield from (f"{key} is not true or false" for key in _SWITCHES if not isinstance(entry[key], bool))
    if entry["class"] not in classes:
        yield "unknown class"
    if not _TERM.fullmatch(entry["category"]):
        yield "category is not a term"
    if not all(_NAME.fullmatch(mask) for mask in entry["masks"]) or len(set(entry["masks"])) < len(entry["masks"]):
        yield "masks are not names, each once"
    if entry["index"] is not None and not _NAME.fullmatch(entry["index"]):
        yield "index is not a name"
    yield from _label_faults("labels", entry["labels"])
    for value, labels in entry.get("values", {}).items():
        if not _VALUE.fullmatch(value):
            yield "a value is not a code"
        yield from _label_faults("labels of a value", labels)


def _label_faults(what: str, labels: Mapping[str, str]) -> Iterator[str]:
    if set(labels) != _LANGUAGES or not all(labels.values()):
        yield f"{what} are not in both languages"


def _rule_faults(name: str, entry: Mapping[str, Any]) -> Iterator[str]:
    findable = entry["search"] == "exact"
    if names_card_secret(name):
        yield "card verification codes, PINs and tracks have no field"
    if entry["special"] != (entry["class"] == "special"):
        yield "class special holds special data, and nothing else does"
    if findable != (entry["index"] is not None):
        yield "search and index go together"
    if findable and (entry["special"] or entry["type"] not in INDEXED_TYPES):
        yield "such data are not looked up: equality or guessing would tell"
    if entry["unique"] and not findable:
        yield "unique needs an index"
    if entry["type"] == "card" and entry["clear"] != "never":
        yield "a card is never shown in clear"
    if (entry["type"] == "code") != ("values" in entry):
        yield "codes, and only codes, list their values"
