"""Tiles and bundles of entries as others fetch them: their addresses and their bytes (C2SP tlog-tiles). Pure.

A tile is `<level>/<index>`, a bundle of entries `entries/<index>`; the index stands in groups of three digits, all but the last
with an `x` (1234067 is `x001/x234/067`), and `.p/<width>` asks for the first hashes or entries of a tile that is not full.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from vault.audit.merkle import TILE_WIDTH
from vault.octets import lp

ENTRIES = "entries"
_LEVEL = re.compile(r"0|[1-9]|[1-5][0-9]|6[0-3]")
_INDEX = re.compile(r"((?!x000)x[0-9]{3}/(?:x[0-9]{3}/){0,5})?[0-9]{3}(?:\.p/(?P<width>[1-9][0-9]{0,2}))?")


@dataclass(frozen=True, slots=True)
class Place:
    """The address of a tile, or of a bundle of entries where `level` is None; `width` says how much of it is asked for."""

    level: int | None
    index: int
    width: int

    @property
    def first(self) -> int:
        """The number of its first hash within the level: of its first entry at level 0, and in a bundle."""
        return self.index * TILE_WIDTH

    @property
    def full(self) -> bool:
        """Whether it can never change again."""
        return self.width == TILE_WIDTH

    def within(self, size: int) -> bool:
        """Return whether a tree of `size` leaves has as much of it."""
        return self.first + self.width <= size >> 8 * (self.level or 0)


def place_of(level: str, index: str) -> Place:
    """Return the place two parts of a path name. Raises ValueError for every spelling but the one the format has for it."""
    found = _INDEX.fullmatch(index)
    if found is None or not (level == ENTRIES or _LEVEL.fullmatch(level)):
        raise ValueError("not a tile")
    width = int(found["width"] or TILE_WIDTH)
    if found["width"] is not None and width >= TILE_WIDTH:
        raise ValueError("not a part of a tile")
    digits = index.partition(".")[0].replace("x", "").replace("/", "")
    return Place(None if level == ENTRIES else int(level), int(digits), width)


def bundle(leaves: Iterable[bytes]) -> bytes:
    """Return entries as a bundle holds them: u16 length ‖ leaf, repeated."""
    return b"".join(lp(leaf) for leaf in leaves)
