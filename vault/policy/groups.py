"""Which fields nothing tells apart: an evaluation for one of them holds for all. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from vault.policy.lexicon import FieldFacts, Lexicon


class Distinctions(NamedTuple):
    """By what some policies can tell fields apart: places where each is named, attributes read, whether categories are named."""

    named: Mapping[str, frozenset[str]]
    read: frozenset[str]
    categories: bool


class Bucket(NamedTuple):
    """Fields that nothing tells apart in one evaluation, and the one that stands for them."""

    field: FieldFacts
    positions: tuple[int, ...]


def attributes_of(one: FieldFacts) -> dict[str, Any]:
    """Return the attributes of a field as policies read them."""
    return {
        "class": one.class_name,
        "sensitivity": one.sensitivity,
        "special": one.special,
        "timeBarred": one.time_barred,
        "clearable": one.clearable,
        "neverToSubject": one.never_to_subject,
        "searchable": one.searchable,
    }


def field_groups(lexicon: Lexicon, distinctions: Distinctions, *, law: bool) -> tuple[tuple[int, ...], ...]:
    """Return the positions of fields these policies do not tell apart, nor, for gate 1, any template; for gate 2, any ladder."""
    groups: dict[tuple[object, ...], list[int]] = {}
    for number, one in enumerate(lexicon.fields):
        attributes = tuple(value for name, value in attributes_of(one).items() if name in distinctions.read)
        named = distinctions.named.get(one.name, frozenset())
        category = one.category if distinctions.categories else None
        terms = tuple((one.name in terms.named, one.name in terms.excluded) for terms in lexicon.terms.values())
        groups.setdefault((attributes, named, category, terms if law else one.ladder), []).append(number)
    return tuple(tuple(group) for group in groups.values())


def buckets(lexicon: Lexicon, groups: Sequence[Sequence[int]], *masks: int) -> list[Bucket]:
    """Split the groups where some fields are in a mask (excluded, restricted, lawful …) and others are not."""
    found: list[Bucket] = []
    for group in groups:
        parts: dict[tuple[int, ...], list[int]] = {}
        for position in group:
            parts.setdefault(tuple(mask >> position & 1 for mask in masks), []).append(position)
        found.extend(Bucket(lexicon.fields[part[0]], tuple(part)) for part in parts.values())
    return found
