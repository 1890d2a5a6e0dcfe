import json
from random import Random
from typing import Any

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from vault.audit import entry
from vault.octets import b64u

NAMES = st.text(st.characters(max_codepoint=127), max_size=12)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
WHOLE = st.integers(-(2**53) + 1, 2**53 - 1)
VALUES: Any = st.recursive(
    st.booleans() | WHOLE | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(NAMES, VALUES, max_size=6)


@settings(max_examples=60)
@given(OBJECTS)
def test_canonical_bytes_are_those_of_rfc_8785(value: dict[str, Any]) -> None:
    made = entry.canonical(value)
    assert made == rfc8785.dumps(value)
    assert made == json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assert json.loads(made) == value


ALPHABET = 'aZ_0-/~\x00\x1f"\\\x7f\x80\u00e8\u2028\ud7ff\ue000\uffff\U00010000\U0010ffff'


def drawn(random: Random, depth: int = 0) -> Any:
    """Return a value of the profile; the edges of what it allows come often."""
    kind = random.randrange(4 if depth > 3 else 6)
    if kind == 0:
        return random.random() < 0.5
    if kind == 1:
        return random.choice((0, -1, 2**53 - 1, 1 - 2**53, random.randrange(-(2**53) + 1, 2**53)))
    if kind < 4:
        return "".join(random.choices(ALPHABET, k=random.randrange(9)))
    if kind == 4:
        return [drawn(random, depth + 1) for _ in range(random.randrange(4))]
    return named(random, depth + 1)


def named(random: Random, depth: int = 0) -> dict[str, Any]:
    return {
        "".join(random.choices('abZ_0."\\\x00\x7f', k=random.randrange(5))): drawn(random, depth)
        for _ in range(random.randrange(6))
    }


def test_twenty_thousand_objects_have_the_bytes_of_three_encoders() -> None:
    random = Random(20_000)  # noqa: S311 - the same objects each time
    objects = [named(random) for _ in range(20_000)]
    assert len({json.dumps(one, sort_keys=True) for one in objects}) > 15_000
    for one in objects:
        made = entry.canonical(one)
        assert made == rfc8785.dumps(one)
        assert made == json.dumps(one, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


@settings(max_examples=60)
@given(OBJECTS, OBJECTS)
def test_different_values_have_different_bytes(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert (entry.canonical(one) == entry.canonical(other)) == (
        json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    )


class Word(str):
    __slots__ = ()


def nested(depth: int) -> dict[str, Any]:
    return {"deeper": nested(depth - 1)} if depth else {}


@pytest.mark.parametrize(
    "outside",
    [
        {"a": 1.0},
        {"a": None},
        {"a": 2**53},
        {"a": -(2**53)},
        {"à": 1},
        {1: "a"},
        {"a": "\ud800"},
        {"a": b"x"},
        {"a": Word("x")},
        {"a": {"b": [1, {"c": 0.5}]}},
        nested(13),
    ],
)
def test_what_lies_outside_the_profile_is_refused(outside: dict[str, Any]) -> None:
    with pytest.raises(ValueError) as refusal:
        entry.canonical(outside)
    assert refusal.value.__cause__ is None


def test_a_tag_depends_on_entry_number_and_the_tag_before() -> None:
    key = bytes(32)
    tags = {
        entry.subject_tag(key, one, number, before)
        for one in ("ent-1", "ent-2")
        for number in (1, 2)
        for before in (b"", bytes(16))
    }
    assert len(tags) == 8
    assert {len(tag) for tag in tags} == {16}


def test_a_look_up_hash_keeps_tickets_and_stations_apart() -> None:
    assert entry.lookup_hash(bytes(32), "ticket", "A") != entry.lookup_hash(bytes(32), "station", "A")


def sealed(details: dict[str, Any], internal: dict[str, Any]) -> tuple[dict[str, str], bytes]:
    salts = (bytes(32), bytes([1]) * 32)
    parts = entry.canonical(details), entry.canonical(internal)
    leaf = {
        "details": b64u(entry.commitment(salts[0], parts[0])),
        "internal": b64u(entry.commitment(salts[1], parts[1])),
    }
    return leaf, entry.sealed_text(*parts, salts)


def test_opened_details_must_fit_both_commitments() -> None:
    leaf, text = sealed({"a": 1}, {"b": 2})
    assert entry.opened(leaf, text) == entry.Opening({"a": 1}, {"b": 2})
    for name in ("details", "internal"):
        with pytest.raises(ValueError, match="commitment"):
            entry.opened(leaf | {name: b64u(bytes(32))}, text)


@pytest.mark.parametrize(
    "clear", [b"", b"[]", b"{}", b'{"details":{},"internal":{},"salts":["AA"]}', b'{"details":{},"internal":{},"salts":["?","AA"]}']
)
def test_what_is_no_opening_is_refused(clear: bytes) -> None:
    leaf, _ = sealed({}, {})
    with pytest.raises(ValueError):
        entry.opened(leaf, clear)


def test_the_wrap_of_a_chain_is_not_printed() -> None:
    assert "wrap" not in repr(entry.Chain("sub-1", 1, b"wrap"))
