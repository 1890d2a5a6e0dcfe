"""What heirs and others may ask about somebody who died, and what the dead forbade (d.lgs. 196/2003, art. 2-terdecies). Pure.

Rights are exercised by who has an interest of their own, a mandate, or family reasons worth protecting (para 1). Of online services
somebody may forbid that in writing, right by right (2, 3), and take it back at any time (4); never against those whose patrimonial
rights rest on it, nor against a defence in court (5). Source: `rights.md` 9.
"""

from collections.abc import Collection
from typing import Final

STANDINGS: Final = ("own-interest", "mandate", "family-reasons")
RIGHTS: Final = ("access", "portability", "rectification", "erasure", "restriction", "objection")
OVERRIDING: Final = ("patrimonial", "defence")


def is_forbidden(forbidden: Collection[str], right: str, *, online: bool, ground: str | None) -> bool:
    """Say whether the dead forbade it. `online`: what they shared, they shared with an online service; `ground`: what overrides."""
    return online and right in forbidden and ground not in OVERRIDING
