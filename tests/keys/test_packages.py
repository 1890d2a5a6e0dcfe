"""A package opens with its passphrase, in its place, whole; and with nothing else."""

import pytest
from cryptography.exceptions import InvalidTag
from hypothesis import given
from hypothesis import strategies as st

from vault.errors import Unreadable
from vault.keys import packages
from vault.keys.packages import (
    clear_size,
    new_package_key,
    new_passphrase,
    opening,
    package_key,
    package_place,
    public_half,
    sealing,
    typed,
)

PASSPHRASE, SALT = new_passphrase()
PUBLIC = public_half(PASSPHRASE, SALT)
PLACE = package_place("ctl-1", "sub-1", "exp-1")
KEY, WRAP = new_package_key(PUBLIC, PLACE)


def sealed(clear: bytes, key: bytes = KEY, place: bytes = PLACE) -> bytes:
    under = sealing(key, place)
    return bytes(under.update(clear)) + bytes(under.finalize())


def opened(octets: bytes, key: bytes = KEY, place: bytes = PLACE) -> bytes:
    under = opening(key, place)
    return bytes(under.update(octets)) + bytes(under.finalize())


def test_a_passphrase_is_twenty_characters_and_never_the_same() -> None:
    drawn = {new_passphrase()[0] for _ in range(64)}
    assert len(drawn) == 64
    assert all(len(one) == 20 and set(one) <= set("abcdefghijklmnopqrstuvwxyz234567") for one in drawn)
    assert len(set("".join(drawn))) == 32


def test_a_passphrase_may_be_typed_as_people_type() -> None:
    assert typed(" ABCD-efgh ijkl\tMNOP-qrst\n") == "abcdefghijklmnopqrst"


def test_the_passphrase_opens_the_key_and_another_does_not() -> None:
    assert package_key(PASSPHRASE, SALT, WRAP, PLACE) == KEY
    other = ("b" if PASSPHRASE[0] == "a" else "a") + PASSPHRASE[1:]
    for wrong in ((other, SALT, WRAP, PLACE), (PASSPHRASE, bytes(16), WRAP, PLACE), (PASSPHRASE, SALT, WRAP[:-1], PLACE)):
        with pytest.raises(Unreadable):
            package_key(*wrong)
    with pytest.raises(Unreadable):
        package_key(PASSPHRASE, SALT, b"", PLACE)


@pytest.mark.parametrize("place", [("ctl-2", "sub-1", "exp-1"), ("ctl-1", "sub-2", "exp-1"), ("ctl-1", "sub-1", "exp-2")])
def test_a_package_moved_elsewhere_does_not_open(place: tuple[str, str, str]) -> None:
    elsewhere = package_place(*place)
    with pytest.raises(Unreadable):
        package_key(PASSPHRASE, SALT, WRAP, elsewhere)
    with pytest.raises(InvalidTag):
        opened(sealed(b"x"), place=elsewhere)


@given(st.binary(max_size=64), st.integers(min_value=0, max_value=10_000))
def test_what_was_altered_or_cut_off_does_not_open(clear: bytes, at: int) -> None:
    octets = sealed(clear)
    assert opened(octets) == clear
    at %= len(octets)
    with pytest.raises(InvalidTag):
        opened(octets[:at] + bytes([octets[at] ^ 1]) + octets[at + 1 :])
    with pytest.raises(InvalidTag):
        opened(octets[:at])


@pytest.mark.parametrize("size", [0, 1, 16_383, 16_384, 16_385, 40_000])
def test_the_size_of_a_package_follows_from_its_sealed_form(size: int) -> None:
    octets = sealed(bytes(size))
    assert clear_size(len(octets)) == size


@pytest.mark.parametrize("size", [0, 56, 71, 56 + 16_400, 56 + 16_400 + 15, 56 + 2 * 16_400])
def test_a_size_that_was_cut_off_is_told_before_anything_opens(size: int) -> None:
    with pytest.raises(Unreadable):
        clear_size(size)


def test_two_keys_for_one_passphrase_are_two() -> None:
    key, wrap = new_package_key(PUBLIC, PLACE)
    assert key != KEY
    assert wrap != WRAP
    assert len(wrap) == len(WRAP)


def test_what_stretches_a_passphrase_is_what_the_format_says() -> None:
    assert public_half("a" * 20, bytes(16)).hex() == VECTOR
    assert (packages._ITERATIONS, packages._LANES, packages._MEMORY_KIB) == (3, 4, 65_536)


VECTOR = "ae841664cd5baeb16103630b005c1e39e7c4bbcd3159b6e9a423c424fb03bf28"
