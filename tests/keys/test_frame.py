from contextlib import suppress
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vault.errors import Unreadable
from vault.keys import envelope, frame
from vault.keys.frame import FrameEntry
from vault.octets import lp, u64

KEY = bytes(range(32))
SEALED = envelope.seal_value(KEY, b"", 1, bytes(12), b"true")
ONE = FrameEntry("email", 3, "agr-1", SEALED)

_names = st.text(min_size=1, max_size=12)
_envelopes = st.binary(min_size=44, max_size=80).map(lambda rest: b"\x01\x01\x00\x00\x00\x01" + rest)
_entries = st.lists(
    st.builds(FrameEntry, _names, st.integers(0, 2**64 - 1), _names, _envelopes), max_size=8, unique_by=lambda entry: entry.field
)


@given(entries=_entries, order=st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_parsing_gives_back_the_entries_whatever_their_order(entries: list[FrameEntry], order: Random):
    packed = frame.encode(entries)
    order.shuffle(entries)
    assert frame.encode(entries) == packed
    parsed = frame.read(packed).unpacked()
    assert parsed == {entry.field: entry for entry in entries}
    assert frame.read(packed).collected() == {name: entry.agreement_id for name, entry in parsed.items()}
    assert list(parsed) == sorted(parsed, key=str.encode)


@given(entries=_entries)
@settings(max_examples=60)
def test_selecting_gives_the_wanted_entries_and_where_they_belong(entries: list[FrameEntry]):
    wanted = {entry.field for entry in entries[::2]}
    chosen = frame.read(frame.encode(entries)).select(wanted)
    assert sorted(chosen) == sorted(
        (entry.field, lp(entry.field) + u64(entry.value_version) + lp(entry.agreement_id), entry.envelope) for entry in entries[::2]
    )


@given(entries=_entries)
@settings(max_examples=60)
def test_values_left_out_are_not_there_and_the_others_are_as_before(entries: list[FrameEntry]):
    whole = frame.read(frame.encode(entries))
    left_out = entries[::2]
    kept = whole.without({f"{one.field}@{one.value_version}" for one in left_out} | {"email@no-version"})
    assert kept.unpacked() == {one.field: one for one in entries if one not in left_out}
    assert kept.octets == whole.octets
    assert kept.select({one.field for one in left_out}) == []


@given(entries=_entries, at=st.integers(0, 2000), octets=st.binary(max_size=3), cut=st.integers(0, 3))
@settings(max_examples=300)
def test_what_parses_is_written_in_the_one_way(entries: list[FrameEntry], at: int, octets: bytes, cut: int):
    packed = frame.encode(entries)
    at %= len(packed) + 1
    mutated = packed[:at] + octets + packed[at + cut :]
    try:
        parsed = frame.read(mutated).unpacked()
    except Unreadable:
        assert mutated != packed
    else:
        assert frame.encode(parsed.values()) == mutated


@given(octets=st.binary(max_size=120))
def test_made_up_bytes_are_no_frame(octets: bytes):
    for made_up in (octets, b"RSF1" + octets):
        with suppress(Unreadable):
            assert frame.encode(frame.read(made_up).unpacked().values()) == made_up


def entry(field: bytes, index: int = 0, sealed: bytes = SEALED) -> bytes:
    return bytes([len(field)]) + field + u64(1) + bytes([index]) + len(sealed).to_bytes(2, "big") + sealed


OTHER_GENERATION = envelope.seal_value(KEY, b"", 2, bytes(12), b"true")
SMALL = SEALED[:49]
IRREGULAR = {
    "empty": b"",
    "another format": b"RSF2\0\0\0",
    "no count": b"RSF1\0",
    "one byte more": frame.encode([ONE]) + b"\0",
    "one byte less": frame.encode([ONE])[:-1],
    "agreement unused": b"RSF1\x02\x01a\x01b\x00\x01" + entry(b"email"),
    "agreement index out of range": b"RSF1\x01\x01a\x00\x01" + entry(b"email", 1),
    "agreements twice": b"RSF1\x02\x01a\x01a\x00\x02" + entry(b"a") + entry(b"b", 1),
    "agreements descending": b"RSF1\x02\x01b\x01a\x00\x02" + entry(b"a") + entry(b"b", 1),
    "agreement without a name": b"RSF1\x01\x00\x00\x01" + entry(b"email"),
    "agreement not text": b"RSF1\x01\x01\xff\x00\x01" + entry(b"email"),
    "field twice": b"RSF1\x01\x01a\x00\x02" + entry(b"a") + entry(b"a"),
    "fields descending": b"RSF1\x01\x01a\x00\x02" + entry(b"b") + entry(b"a"),
    "field without a name": b"RSF1\x01\x01a\x00\x01" + entry(b""),
    "field not text": b"RSF1\x01\x01a\x00\x01" + entry(b"\xff"),
    "two generations": b"RSF1\x01\x01a\x00\x02" + entry(b"a") + entry(b"b", 0, OTHER_GENERATION),
    "unknown suite": b"RSF1\x01\x01a\x00\x01" + entry(b"a", 0, b"\x01\x02" + SEALED[2:]),
    "envelope too small": b"RSF1\x01\x01a\x00\x01" + entry(b"a", 0, SMALL),
    "fewer entries than counted": b"RSF1\x01\x01a\x00\x02" + entry(b"a"),
    "no entry for a count": b"RSF1\x00\x00\x01",
}


@pytest.mark.parametrize("defect", IRREGULAR)
def test_an_irregular_frame_is_unreadable(defect: str):
    with pytest.raises(Unreadable):
        frame.read(IRREGULAR[defect])


def test_a_person_without_values_has_an_empty_frame():
    assert frame.read(frame.encode([])).unpacked() == {}


def test_what_no_frame_can_hold_is_not_written():
    many = [FrameEntry(f"field {at}", 1, f"agreement {at}", SEALED) for at in range(256)]
    for entries in ([ONE, ONE], [ONE._replace(field="")], [ONE._replace(agreement_id="")], many, [ONE._replace(field="x" * 256)]):
        with pytest.raises(ValueError):
            frame.encode(entries)
