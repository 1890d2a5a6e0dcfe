"""What policy can speak about: fields, purposes, categories, recipients, regions and template terms, parsed once. Pure.

Edges are those of `policies/vocabulary.yaml` and no others. Each closed list here is what the lint compares literals with.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, TypeVar

ROLES: Final = (
    *("t1", "t2", "billing", "medical", "dpo", "dsr-officer", "system", "operator"),
    *("legal-archive", "minors-desk", "break-glass-eligible", "break-glass-approver", "unmask-approver"),
)
TRAINING: Final = ("gdpr-art9",)
RIGHTS: Final = "rights-fulfilment"

Term = TypeVar("Term")


@dataclass(frozen=True, slots=True)
class FieldFacts:
    """What policy may know of one field. `ladder` holds (mask, strength), weakest first."""

    name: str
    category: str
    class_name: str
    sensitivity: int
    special: bool
    time_barred: bool
    clearable: bool
    never_to_subject: bool
    searchable: bool
    ladder: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Recipient:
    """One party of the register of recipients."""

    name: str
    contract_valid: bool
    transfer_tool: str
    barred_from_health: bool
    country: str = ""  # of a registered one: where data go


@dataclass(frozen=True, slots=True)
class Terms:
    """One template as gate 1 sees it.

    `named` are the fields whose category it names, `agreed` the purposes it allows once narrower ones are counted
    (GDPR 5(1)(b)); `excluded` are fields left out although their category is named.
    """

    reference: str  # id@version
    basis: str
    condition: str
    purposes: tuple[str, ...]
    purpose_match: str
    categories: tuple[str, ...]
    excluded: frozenset[str]
    operations: tuple[str, ...]
    recipients: tuple[str, ...]
    regions: tuple[str, ...]
    named: frozenset[str]
    agreed: frozenset[str]

    @property
    def allows_special(self) -> bool:
        """Whether special-category data can rest on it at all (GDPR Art. 9(2))."""
        return self.condition != "none" and (self.basis != "consent" or self.condition == "explicit_consent")


@dataclass(frozen=True)
class Lexicon:
    """The closed world of one bundle; `fields` in the catalogue's order, which is the order of bits in every mask."""

    fields: tuple[FieldFacts, ...]
    purposes: Mapping[str, tuple[str, ...]]  # each with its broader terms
    categories: Mapping[str, tuple[str, ...]]
    operations: tuple[str, ...]
    bases: tuple[str, ...]
    conditions: tuple[str, ...]
    regions: Mapping[str, tuple[str, ...]]  # states, each with the groups it is in, and the groups themselves
    recipients: Mapping[str, Recipient]
    terms: Mapping[str, Terms]  # by id@version

    @classmethod
    def of(
        cls,
        catalogue: Mapping[str, Any],
        vocabulary: Mapping[str, Any],
        masks: Mapping[str, Any],
        recipients: Mapping[str, Any],
        templates: Mapping[str, Mapping[str, Any]],
    ) -> "Lexicon":
        """Return the lexicon of parsed and linted documents; `templates` by id@version."""
        strength = {name: one["strength"] for name, one in masks["masks"].items()}
        fields = tuple(_field(name, entry, strength) for name, entry in catalogue["fields"].items())
        purposes = {name: tuple(one["broader"]) for name, one in vocabulary["purposes"].items()}
        categories = {name: tuple(one["broader"]) for name, one in vocabulary["categories"].items()}
        return cls(
            fields,
            purposes,
            categories,
            tuple(vocabulary["operations"]),
            tuple(vocabulary["bases"]),
            ("none", *vocabulary["conditions"]),
            _regions(vocabulary["regions"]),
            {name: _recipient(name, one) for name, one in recipients["recipients"].items()},
            {reference: _terms(reference, one, fields, purposes, categories) for reference, one in templates.items()},
        )

    @cached_property
    def positions(self) -> dict[str, int]:
        """The bit of each field."""
        return {field.name: number for number, field in enumerate(self.fields)}

    @cached_property
    def everything(self) -> int:
        """The mask of all fields."""
        return (1 << len(self.fields)) - 1

    def granted(self, reference: str) -> frozenset[str]:
        """Return the fields an agreement of this template grants: named, not excluded by it, allowed by Art. 9."""
        terms = self.terms[reference]
        special = {one.name for one in self.fields if one.special and not terms.allows_special}
        return terms.named - terms.excluded - special

    def held_classes(self, reference: str, excluded: frozenset[str]) -> tuple[str, ...]:
        """Return the classes whose key such an agreement holds a wrap of, once its person has excluded these fields."""
        left = self.granted(reference) - excluded
        return tuple(sorted({one.class_name for one in self.fields if one.name in left}))

    def let_go(self, reference: str, excluded: frozenset[str]) -> int:
        """Return the mask of the fields of classes whose key it would hold, had its person not excluded all of them."""
        classes = {*self.held_classes(reference, frozenset())} - {*self.held_classes(reference, excluded)}
        return self.mask(one.name for one in self.fields if one.class_name in classes)

    def mask(self, names: Iterable[str]) -> int:
        """Return the bitmask of these fields; names that are no field have no bit."""
        bits = 0
        for name in names:
            if name in self.positions:
                bits |= 1 << self.positions[name]
        return bits

    def names(self, bits: int) -> list[str]:
        """Return the fields of a bitmask, in the catalogue's order."""
        return [one.name for place, one in enumerate(self.fields) if bits >> place & 1]


def closure(term: Term, broader: Mapping[Term, Sequence[Term]]) -> frozenset[Term]:
    """Return the term and everything above it."""
    found, waiting = {term}, [term]
    while waiting:
        for above in broader.get(waiting.pop(), ()):
            if above not in found:
                found.add(above)
                waiting.append(above)
    return frozenset(found)


def _field(name: str, entry: Mapping[str, Any], strength: Mapping[str, int]) -> FieldFacts:
    return FieldFacts(
        name=name,
        category=entry["category"],
        class_name=entry["class"],
        sensitivity=entry["sensitivity"],
        special=entry["special"],
        time_barred=entry["time_barred"],
        clearable=entry["clear"] == "allowed",
        never_to_subject=entry["never_to_subject"],
        searchable=entry["search"] == "exact",
        ladder=tuple((mask, strength[mask]) for mask in entry["masks"]),
    )


def _recipient(name: str, one: Mapping[str, Any]) -> Recipient:
    return Recipient(name, one["contract"] != "none", one["transfer_tool"], one["barred_from_health"])


def _regions(groups: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[str, ...]]:
    states = sorted({state for one in groups.values() for state in one["states"]})
    found: dict[str, tuple[str, ...]] = dict.fromkeys(groups, ())
    found.update({state: tuple(name for name, one in groups.items() if state in one["states"]) for state in states})
    return found


def _terms(
    reference: str,
    document: Mapping[str, Any],
    fields: Sequence[FieldFacts],
    purposes: Mapping[str, Sequence[str]],
    categories: Mapping[str, Sequence[str]],
) -> Terms:
    named = frozenset(document["categories"])
    stated = frozenset(document["purposes"])
    narrower = {purpose for purpose in purposes if closure(purpose, purposes) & stated}
    return Terms(
        reference=reference,
        basis=document["basis"],
        condition=document["condition"],
        purposes=tuple(document["purposes"]),
        purpose_match=document["purpose_match"],
        categories=tuple(document["categories"]),
        excluded=frozenset(document["excluded_fields"]),
        operations=tuple(document["operations"]),
        recipients=tuple(document["recipients"]),
        regions=tuple(document["regions"]),
        named=frozenset(field.name for field in fields if closure(field.category, categories) & named),
        agreed=frozenset(narrower) if document["purpose_match"] == "narrower" else stated,
    )
