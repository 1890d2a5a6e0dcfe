from collections.abc import Callable
from functools import partial

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from vault.errors import Unreadable
from vault.keys import envelope

KEY, OTHER_KEY = bytes(range(32)), bytes(range(1, 33))
NONCE = bytes(range(12))
PLACE = envelope.field_place("ctl-1", "sub-1", "contact", "email", 1, "agr-1")
SCOPE = envelope.scope("ctl-1", "sub-1", "contact", 1)
WRAP_PLACE = envelope.wrap_place(SCOPE, "agreement", "agr-1")


def refused(opening: Callable[[], object]) -> bool:
    """Whether it fails, and with the one answer that tells nothing."""
    with pytest.raises(Unreadable) as caught:
        opening()
    error = caught.value
    return str(error) == "unreadable" and error.faults == () and error.__cause__ is None


def flipped(octets: bytes, bit: int) -> bytes:
    at = bit % (len(octets) * 8)
    return bytes(byte ^ (1 << at % 8) if index == at // 8 else byte for index, byte in enumerate(octets))


@given(clear=st.binary(max_size=2000), generation=st.integers(0, 2**32 - 1), nonce=st.binary(min_size=12, max_size=12))
@settings(max_examples=60)
def test_opening_gives_back_what_was_sealed(clear: bytes, generation: int, nonce: bytes):
    sealed = envelope.seal_value(KEY, PLACE, generation, nonce, clear)
    assert envelope.open_value(KEY, PLACE, sealed) == clear
    assert envelope.envelope_generation(sealed) == generation
    assert len(sealed) == 34 + len(envelope.pad(clear))


@given(clear=st.binary(max_size=300), bit=st.integers(0, 10_000))
@settings(max_examples=150)
def test_any_flipped_bit_of_an_envelope_is_refused(clear: bytes, bit: int):
    sealed = envelope.seal_value(KEY, PLACE, 1, NONCE, clear)
    assert refused(lambda: envelope.open_value(KEY, PLACE, flipped(sealed, bit)))


@given(length=st.integers(0, 65))
def test_a_cut_envelope_is_refused(length: int):
    sealed = envelope.seal_value(KEY, PLACE, 1, NONCE, b'"ada@example.org"')
    assert refused(lambda: envelope.open_value(KEY, PLACE, sealed[:length]))


@pytest.mark.parametrize(
    "place",
    [
        ("ctl-2", "sub-1", "contact", "email", 1, "agr-1"),
        ("ctl-1", "sub-2", "contact", "email", 1, "agr-1"),
        ("ctl-1", "sub-1", "special", "email", 1, "agr-1"),
        ("ctl-1", "sub-1", "contact", "phone", 1, "agr-1"),
        ("ctl-1", "sub-1", "contact", "email", 2, "agr-1"),
        ("ctl-1", "sub-1", "contact", "email", 1, "agr-2"),
        ("ctl-1s", "ub-1", "contact", "email", 1, "agr-1"),
    ],
)
def test_a_value_moved_to_another_place_is_refused(place: tuple[str, str, str, str, int, str]):
    sealed = envelope.seal_value(KEY, PLACE, 1, NONCE, b'"ada@example.org"')
    assert refused(lambda: envelope.open_value(KEY, envelope.field_place(*place), sealed))


def test_a_value_under_another_key_or_generation_is_refused():
    sealed = envelope.seal_value(KEY, PLACE, 1, NONCE, b"true")
    assert refused(lambda: envelope.open_value(OTHER_KEY, PLACE, sealed))
    assert refused(lambda: envelope.open_many(KEY, PLACE, 2, [("email", b"", sealed)]))
    assert refused(lambda: envelope.open_value(KEY, PLACE, sealed[:2] + b"\0\0\0\2" + sealed[6:]))


@given(octets=st.binary(max_size=200))
@settings(max_examples=60)
def test_made_up_bytes_are_refused(octets: bytes):
    assert refused(lambda: envelope.open_value(KEY, PLACE, octets))
    assert refused(lambda: envelope.open_value(KEY, PLACE, b"\x01\x01" + octets))
    assert refused(lambda: envelope.unwrap_key(KEY, WRAP_PLACE, 7, octets))


@given(clear=st.binary(max_size=1300), least=st.sampled_from([16, 32]))
def test_padding_shows_only_one_of_few_lengths(clear: bytes, least: int):
    padded = envelope.pad(clear, least)
    assert envelope.unpad(padded) == clear
    assert len(padded) in {16, 32, 64, 128, 256, 320, 400, 512, 640, 800, 1008, 1264, 1584}
    assert len(padded) >= max(least, len(clear) + 1)


def test_padding_without_its_mark_is_refused():
    for padded in (b"", bytes(16), b"value" + bytes(11), b"value\x80" + bytes(9) + b"\1"):
        assert refused(partial(envelope.unpad, padded))


def test_a_value_above_16_mib_is_not_padded():
    with pytest.raises(ValueError, match="too long"):
        envelope.pad(bytes(1 << 25))


@given(inner=st.binary(min_size=32, max_size=32), epoch=st.integers(0, 2**32 - 1), nonce=st.binary(min_size=12, max_size=12))
@settings(max_examples=40)
def test_unwrapping_gives_back_the_key(inner: bytes, epoch: int, nonce: bytes):
    wrap = envelope.wrap_key(KEY, WRAP_PLACE, epoch, nonce, inner)
    assert len(wrap) == 67
    assert envelope.wrap_epoch(wrap) == epoch
    assert envelope.unwrap_key(KEY, WRAP_PLACE, epoch, wrap) == inner


@given(bit=st.integers(0, 67 * 8 - 1))
@settings(max_examples=150)
def test_any_flipped_bit_of_a_wrap_is_refused(bit: int):
    wrap = envelope.wrap_key(KEY, WRAP_PLACE, 7, NONCE, bytes(32))
    assert refused(lambda: envelope.unwrap_key(KEY, WRAP_PLACE, 7, flipped(wrap, bit)))


@pytest.mark.parametrize(
    "place",
    [
        envelope.wrap_place(SCOPE, "agreement", "agr-2"),
        envelope.wrap_place(SCOPE, "hold", "agr-1"),
        envelope.wrap_place(envelope.scope("ctl-2", "sub-1", "contact", 1), "agreement", "agr-1"),
        envelope.wrap_place(envelope.scope("ctl-1", "sub-2", "contact", 1), "agreement", "agr-1"),
        envelope.wrap_place(envelope.scope("ctl-1", "sub-1", "special", 1), "agreement", "agr-1"),
        envelope.wrap_place(envelope.scope("ctl-1", "sub-1", "contact", 2), "agreement", "agr-1"),
        envelope.secret_place("ctl-1", "token", 1),
        envelope.audit_key_place("ctl-1", "sub-1"),
    ],
)
def test_a_swapped_wrap_does_not_open(place: bytes):
    wrap = envelope.wrap_key(KEY, WRAP_PLACE, 7, NONCE, bytes(32))
    assert refused(lambda: envelope.unwrap_key(KEY, place, 7, wrap))


def test_a_wrap_of_another_epoch_custody_suite_or_key_is_refused():
    wrap = envelope.wrap_key(KEY, WRAP_PLACE, 7, NONCE, bytes(32))
    assert refused(lambda: envelope.unwrap_key(KEY, WRAP_PLACE, 8, wrap))
    assert refused(lambda: envelope.unwrap_key(OTHER_KEY, WRAP_PLACE, 7, wrap))
    assert refused(lambda: envelope.unwrap_key(KEY, WRAP_PLACE, 7, wrap[:2] + b"\1" + wrap[3:]))
    assert refused(lambda: envelope.unwrap_key(KEY, WRAP_PLACE, 7, wrap + b"\0"))


def test_custody_in_a_service_is_refused_even_when_it_is_authentic():
    head = b"\x01\x01\x01\x00\x00\x00\x07"
    sealed = AESGCM(KEY).encrypt(NONCE, bytes(32), WRAP_PLACE + head)
    assert refused(lambda: envelope.unwrap_key(KEY, WRAP_PLACE, 7, head + NONCE + sealed))


def test_only_keys_are_wrapped():
    with pytest.raises(ValueError, match="not a key"):
        envelope.wrap_key(KEY, WRAP_PLACE, 7, NONCE, bytes(31))


def test_a_commitment_fits_one_key_and_one_scope():
    scopes = [
        SCOPE,
        envelope.scope("ctl-2", "sub-1", "contact", 1),
        envelope.scope("ctl-1", "sub-2", "contact", 1),
        envelope.scope("ctl-1", "sub-1", "special", 1),
        envelope.scope("ctl-1", "sub-1", "contact", 2),
    ]
    made = {envelope.commitment(key, scope) for key in (KEY, OTHER_KEY) for scope in scopes}
    assert len(made) == 2 * len(scopes)
    assert envelope.controller_commitment(KEY, "ctl-1", 7) != envelope.controller_commitment(KEY, "ctl-1", 8)


@given(frame=st.binary(min_size=1, max_size=200), bit=st.integers(0, 10_000))
def test_a_manifest_changes_with_any_bit_of_its_frame(frame: bytes, bit: int):
    assert envelope.manifest(KEY, SCOPE, frame) != envelope.manifest(KEY, SCOPE, flipped(frame, bit))


_part = st.text(max_size=5)


@given(one=st.tuples(_part, _part, _part, _part, _part), other=st.tuples(_part, _part, _part, _part, _part))
def test_different_places_are_never_the_same_bytes(one: tuple[str, str, str, str, str], other: tuple[str, str, str, str, str]):
    places = [envelope.field_place(*names[:4], 1, names[4]) for names in (one, other)]
    assert (places[0] == places[1]) == (one == other)
