"""Templates in the words of the pinned vocabulary: what receipts and the ODRL export say of them. Pure.

Policy reads a template to decide; here it is only spelt out, in compact IRIs of the prefixes below, and nothing is added to what
the reviewed files say. Where a value of a category may come from is the catalogue's `origin`, gathered over the fields it names.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

Json = Mapping[str, Any]

PREFIXES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "dpv": "https://w3id.org/dpv#",
        "pd": "https://w3id.org/dpv/pd#",
        "fin": "https://w3id.org/dpv/sector/finance#",
        "hea": "https://w3id.org/dpv/sector/health#",
        "eu-gdpr": "https://w3id.org/dpv/legal/eu/gdpr#",
        "vault": "https://riserbo.dev/ns#",
        "loc": "https://w3id.org/dpv/loc#",
        "legal-eu": "https://w3id.org/dpv/legal/eu#",
        "dct": "http://purl.org/dc/terms/",
        "skos": "http://www.w3.org/2004/02/skos/core#",
        "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
        "schema": "https://schema.org/",
    }
)
_SOURCES: Final = {  # of what the catalogue calls origin
    "provided": "dpv:DataSubjectDataSource",
    "observed": "dpv:DataControllerDataSource",
    "derived": "dpv:DataControllerDataSource",
    "third-party": "dpv:ThirdPartyDataSource",
}


@dataclass(frozen=True, slots=True)
class Category:
    """One category of personal data a template names, and where its values come from."""

    term: str
    sources: tuple[str, ...]
    special: bool


@dataclass(frozen=True, slots=True)
class Retention:
    """One duty to keep: for how long after which event, for which purpose, by which law."""

    categories: tuple[str, ...]
    purpose: str
    trigger: str
    period: str
    law: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Wording:
    """One template, every word a compact IRI but those of recipients, regions, fields and periods."""

    id: str
    version: int
    digest: bytes
    bases: tuple[str, ...]  # Art. 6(1), then Art. 9(2) where it has a condition
    consent: bool  # it rests on Art. 6(1)(a)
    purposes: tuple[str, ...]
    operations: tuple[str, ...]
    categories: tuple[Category, ...]
    excluded: tuple[str, ...]
    recipients: tuple[str, ...]
    third_parties: tuple[str, ...]  # recipients that do not work for the controller (Art. 4(10))
    regions: tuple[str, ...]
    validity: str  # `open` or an ISO 8601 period
    retention: tuple[Retention, ...]

    @property
    def reference(self) -> str:
        """Return `id@version`."""
        return f"{self.id}@{self.version}"

    @classmethod
    def of(cls, document: Json, digest: bytes, vocabulary: Json, catalogue: Json, register: Json) -> "Wording":
        """Return the wording of a linted template. Raises KeyError for a word or a recipient nobody declared."""
        purposes = {name: str(one["term"]) for name, one in vocabulary["purposes"].items()}
        bases = [str(vocabulary["bases"][document["basis"]]["term"])]
        if document["condition"] != "none":
            bases.append(str(vocabulary["conditions"][document["condition"]]["term"]))
        excluded = tuple(sorted(document["excluded_fields"]))
        return cls(
            id=document["id"],
            version=document["version"],
            digest=digest,
            bases=tuple(bases),
            consent=document["basis"] == "consent",
            purposes=tuple(purposes[one] for one in document["purposes"]),
            operations=tuple(str(vocabulary["operations"][one]["term"]) for one in document["operations"]),
            categories=tuple(_category(one, excluded, vocabulary["categories"], catalogue) for one in document["categories"]),
            excluded=excluded,
            recipients=tuple(document["recipients"]),
            third_parties=tuple(one for one in document["recipients"] if register["recipients"][one]["contract"] == "none"),
            regions=tuple(document["regions"]),
            validity=document["validity"]["until"],
            retention=tuple(
                Retention(tuple(one["categories"]), purposes[one["purpose"]], one["trigger"], one["period"], tuple(one["law"]))
                for one in document["retention"]
            ),
        )


def _category(term: str, excluded: tuple[str, ...], known: Json, catalogue: Json) -> Category:
    """Return a category; without a field of the catalogue in it, what the person says is the only source."""
    fields = [one for name, one in catalogue["fields"].items() if name not in excluded and term in _upwards(one["category"], known)]
    sources = tuple(sorted({_SOURCES[one["origin"]] for one in fields})) or (_SOURCES["provided"],)
    return Category(term, sources, "dpv:SpecialCategoryPersonalData" in _upwards(term, known))


def _upwards(term: str, known: Json) -> set[str]:
    """Return the term and everything above it, along the imported edges alone."""
    found, waiting = {term}, [term]
    while waiting:
        above = set(known[waiting.pop()]["broader"]) - found
        found |= above
        waiting.extend(sorted(above))
    return found
