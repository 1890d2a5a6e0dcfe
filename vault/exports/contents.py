"""What of a person's data goes into an export, and what does not: each field once, in one place or in the other. Pure.

Rules (GDPR 15, 20; WP 242 rev.01; d.lgs. 231/2007 art. 39):

1. Every field of the catalogue must have been decided on: one that is missing is an error, never a gap.
2. A field kept from the person is nowhere: not among the values, not among what is withheld, in no count.
3. A field without a value is nowhere either. One with a value is in `profile.json`, or in `withheld.json` with its reason.
4. Portable (20(1)): provided or observed, collected on consent or contract, shown in clear. What is inferred, what comes from
   others, and what is masked belongs to the access set alone.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

Json = dict[str, Any]

PORTABLE_ORIGINS: Final = frozenset({"provided", "observed"})
PORTABLE_BASES: Final = frozenset({"consent", "contract"})
COLUMNS: Final = (
    *("field", "category", "value", "origin", "source", "collected_at", "agreement_id", "purposes", "kept_until", "accuracy"),
    "mask",
)


@dataclass(frozen=True, slots=True)
class Described:
    """A field of the catalogue as an export needs it. `kept_back`: the law keeps it from the person."""

    name: str
    category: str
    origin: str
    labels: Mapping[str, str]
    kept_back: bool


@dataclass(frozen=True, slots=True)
class Answered:
    """How policy answered one field: `state` is clear, masked, token, withheld or absent; `held`: there is a value."""

    state: str
    held: bool
    because: str
    value: Any = field(default=None, repr=False)
    mask: str | None = None
    agreement_id: str | None = None  # it was collected under
    contested: bool = False
    source: str | None = None  # where it is from, if not from the person
    collected_at: str | None = None


@dataclass(frozen=True, slots=True)
class Ground:
    """The agreement a value was collected under: its basis (Art. 6), its purposes, until when it is kept if known."""

    basis: str
    purposes: tuple[str, ...]
    kept_until: str | None = None


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a value is not handed out: the law, and the words in both languages."""

    code: str
    law: str
    words: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Contents:
    """The three lists of an export, in the catalogue's order."""

    profile: Sequence[Json] = field(repr=False)
    portable: Sequence[Json] = field(repr=False)
    withheld: Sequence[Json]


THIRD_PARTY: Final = Reason(
    "third-party-rights",
    "GDPR 15(4)",
    MappingProxyType({"it": "Tutela dei diritti di altre persone", "en": "Other people's rights"}),
)
SECRET: Final = Reason(
    "secret",
    "GDPR 32",
    MappingProxyType(
        {
            "it": "Un segreto con cui La riconosciamo: scritto qui, chi leggesse il file potrebbe fingersi Lei",
            "en": "A secret by which we recognise you: written here, whoever reads the file could pass for you",
        }
    ),
)
UNOPENABLE: Final = Reason(
    "not-openable",
    "GDPR 15(1)",
    MappingProxyType(
        {
            "it": "Presente, ma nessun accordo in vigore permette di aprirlo: chieda al responsabile della protezione dei dati",
            "en": "Held, but no agreement in force can open it: ask the data protection officer",
        }
    ),
)
NOT_PORTABLE: Final = Reason(
    "not-portable", "GDPR 20(1)", MappingProxyType({"it": "Dato non soggetto a portabilità", "en": "Not subject to portability"})
)
REASONS: Final = (THIRD_PARTY, SECRET, UNOPENABLE, NOT_PORTABLE)


def sorted_out(
    catalogue: Iterable[Described], answers: Mapping[str, Answered], grounds: Mapping[str, Ground], reasons: Mapping[str, Reason]
) -> Contents:
    """Return what is exported and what is withheld. `reasons`: by field; elsewhere a value withheld is one that cannot be opened.

    Raises ValueError, naming the field, where one of the catalogue was not decided on.
    """
    profile, portable, withheld = [], [], []
    for one in catalogue:
        answer = answers.get(one.name)
        if answer is None:
            raise ValueError(f"{one.name}: not decided on")
        if one.kept_back or not answer.held:
            continue
        if answer.state not in ("clear", "masked"):
            withheld.append(_withheld(one, reasons.get(one.name, UNOPENABLE)))
            continue
        ground = grounds.get(answer.agreement_id or "")
        shown = _value(one, answer, ground)
        profile.append(shown)
        if is_portable(shown["origin"], ground.basis if ground is not None else None, answer.state):
            portable.append(shown)
    return Contents(profile, portable, withheld)


def as_portable(made: Contents) -> Contents:
    """Return the portable subset as the whole: what is in the access set alone is withheld from it, as not portable."""
    left = [one for one in made.profile if one not in made.portable]
    refused = [
        {
            "field": one["field"],
            "category": one["category"],
            "code": NOT_PORTABLE.code,
            "law": NOT_PORTABLE.law,
            **NOT_PORTABLE.words,
        }
        for one in left
    ]
    return Contents(made.portable, made.portable, [*made.withheld, *refused])


def is_portable(origin: str, basis: str | None, state: str) -> bool:
    """Return whether a value belongs to the portable subset (20(1), 20(4))."""
    return origin in PORTABLE_ORIGINS and basis in PORTABLE_BASES and state == "clear"


def _value(one: Described, answer: Answered, ground: Ground | None) -> Json:
    return {
        "field": one.name,
        "category": one.category,
        "value": answer.value,
        "origin": "third-party" if answer.source is not None else one.origin,
        "source": answer.source,
        "collected_at": answer.collected_at,  # of what is not from the person
        "agreement_id": answer.agreement_id,
        "purposes": list(ground.purposes) if ground is not None else [],
        "kept_until": ground.kept_until if ground is not None else None,
        "accuracy": "contested" if answer.contested else "accepted",
        "mask": answer.mask,
    }


def _withheld(one: Described, reason: Reason) -> Json:
    return {"field": one.name, "category": one.category, "code": reason.code, "law": reason.law, **reason.words}
