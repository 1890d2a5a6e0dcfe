"""Addresses of tiles, as C2SP spells them: one spelling for each, and no other."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.audit.foreign import tile_name
from vault.audit.tiles import Place, bundle, place_of


@pytest.mark.parametrize(
    ("level", "index", "place"),
    [
        ("0", "000", Place(0, 0, 256)),
        ("63", "255.p/1", Place(63, 255, 1)),
        ("2", "x001/x234/067", Place(2, 1_234_067, 256)),
        ("entries", "x001/000.p/255", Place(None, 1_000, 255)),
    ],
)
def test_a_place_is_read(level: str, index: str, place: Place) -> None:
    assert place_of(level, index) == place


@given(level=st.integers(0, 63), index=st.integers(0, 10**18 - 1), width=st.integers(1, 256))
def test_every_place_has_one_spelling(level: int, index: int, width: int) -> None:
    _, _, spelt = tile_name(level, index, width).partition(f"tile/{level}/")
    assert place_of(str(level), spelt) == Place(level, index, width)


@pytest.mark.parametrize(
    ("level", "index"),
    [
        *(("64", "000"), ("00", "000"), ("-1", "000"), ("Entries", "000"), ("", "000"), ("1 ", "000")),
        *(("0", one) for one in ("", "0", "00", "0000", "x000/001", "x001", "001/002", "x01/002", "x001/x002", "001/", "/001")),
        *(("0", f"000.p/{one}") for one in ("", "0", "01", "256", "999", "-1", "1x")),
        *(("0", one) for one in ("000.p", "000.q/1", "000/.p/1", "x001/" * 7 + "000", "٠٠٠", "000\n")),
    ],
)
def test_every_other_spelling_is_refused(level: str, index: str) -> None:
    with pytest.raises(ValueError):
        place_of(level, index)


@pytest.mark.parametrize(
    ("place", "size", "within"),
    [
        (Place(0, 0, 1), 0, False),
        (Place(0, 0, 1), 1, True),
        (Place(0, 0, 256), 255, False),
        (Place(0, 0, 256), 256, True),
        (Place(0, 273, 112), 70_000, True),
        (Place(0, 273, 113), 70_000, False),
        (Place(1, 1, 17), 70_000, True),
        (Place(1, 1, 18), 70_000, False),
        (Place(2, 0, 1), 65_535, False),
        (Place(2, 0, 1), 65_536, True),
        (Place(None, 273, 112), 70_000, True),
        (Place(None, 273, 113), 70_000, False),
        (Place(63, 0, 1), (1 << 63) - 1, False),
    ],
)
def test_a_tree_has_what_its_size_says(place: Place, size: int, within: bool) -> None:
    assert place.within(size) is within


def test_only_256_are_final() -> None:
    assert Place(0, 0, 256).full
    assert not Place(0, 0, 255).full


def test_a_bundle_holds_each_entry_after_its_length() -> None:
    assert bundle([b"", b"ab", b"x" * 300]) == b"\0\0" + b"\0\x02ab" + b"\x01\x2c" + b"x" * 300
    with pytest.raises(ValueError, match="long"):
        bundle([bytes(65_536)])
