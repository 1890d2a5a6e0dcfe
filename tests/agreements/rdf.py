"""The part of JSON-LD 1.1 that receipts use, from a document to its triples: nothing is fetched, and nothing is guessed.

An inline context of prefixes and of terms whose values are IRIs; nodes, types, values and lists of them. Anything else is an error,
so a receipt that used more would fail here rather than be read otherwise elsewhere.
"""

import json
from collections.abc import Iterator
from itertools import count
from typing import Any, NamedTuple

TYPE = "http://www.w3.org/1999/02/22-rdf-syntax-ns#type"


class Iri(NamedTuple):
    text: str


class Blank(NamedTuple):
    number: int


class Literal(NamedTuple):
    text: str
    datatype: str | None = None


class Triple(NamedTuple):
    subject: Iri | Blank
    predicate: Iri
    object: Iri | Blank | Literal


def triples(octets: bytes) -> set[Triple]:
    """Return the triples of a document. Raises ValueError for a property that is no IRI, or a value that should be one."""
    document = json.loads(octets)
    reader = _Reader(document.pop("@context"))
    _, found = reader.node(document)
    return set(found)


class _Reader:
    def __init__(self, context: dict[str, Any]) -> None:
        self._prefixes = {name: iri for name, iri in context.items() if isinstance(iri, str)}
        self._references = set()
        for name, definition in context.items():
            if isinstance(definition, dict):
                assert definition == {"@id": name, "@type": "@id"}, name
                self._references.add(name)
        self._blanks = count()

    def iri(self, text: str) -> Iri:
        prefix, colon, rest = text.partition(":")
        if not colon:
            raise ValueError(f"not an IRI: {text}")
        if rest.startswith("//") or prefix == "urn":
            return Iri(text)
        return Iri(self._prefixes[prefix] + rest)

    def node(self, node: dict[str, Any]) -> tuple[Iri | Blank, list[Triple]]:
        name: Iri | Blank = self.iri(node["@id"]) if "@id" in node else Blank(next(self._blanks))
        found = [Triple(name, Iri(TYPE), self.iri(one)) for one in _listed(node.get("@type", []))]
        for member, values in node.items():
            if not member.startswith("@"):
                predicate = self.iri(member)
                for value in _listed(values):
                    reached, further = self._value(member, value)
                    found += [Triple(name, predicate, reached), *further]
        return name, found

    def _value(self, member: str, value: Any) -> tuple[Iri | Blank | Literal, list[Triple]]:
        if isinstance(value, dict) and "@value" in value:
            return Literal(value["@value"], self.iri(value["@type"]).text), []
        if isinstance(value, dict):
            return self.node(value)
        assert isinstance(value, str), member
        return (self.iri(value) if member in self._references else Literal(value)), []


def _listed(values: Any) -> Iterator[Any]:
    yield from values if isinstance(values, list) else [values]
