"""Eras: how the first entries of one bind it to the one before, so that what a recovery gave up can be neither more nor less later.

After a rollback the log does not go on: it would have two histories. `log-recover`, the second entry of the next era, carries the
newest checkpoint of before, and size and root at which the era before was frozen. Old proofs stay valid. Pure.
"""

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vault.audit.checkpoint import Checkpoint, parse_note
from vault.audit.pruned import OPERATION as PRUNING
from vault.octets import b64u, b64u_decode

RECOVERY = "log-recover"
REJECTION = "log-reject"
AT = 1  # the position of `log-recover`: the first is the opening of its writer


@dataclass(frozen=True, slots=True)
class Beginning:
    """What `log-recover` says: the era before, as frozen, and what it had lost.

    `kept` is how many of its entries are those that were signed, `lost` how many signed ones are not among them; `checkpoint` is
    the text of the newest that is known, empty when none is.
    """

    origin: str
    size: int
    root: bytes
    kept: int
    lost: int
    checkpoint: str

    @property
    def about(self) -> dict[str, Any]:
        """The member `about` of the entry."""
        return {
            "origin": self.origin,
            "size": self.size,
            "root": b64u(self.root),
            "kept": self.kept,
            "lost": self.lost,
            "checkpoint": self.checkpoint,
        }

    @property
    def newest(self) -> Checkpoint | None:
        """The checkpoint it carries."""
        return parse_note(self.checkpoint).checkpoint if self.checkpoint else None

    def gave_up(self, origin: str, size: int) -> bool:
        """Whether a checkpoint of this log and size is one of those the recovery could not keep."""
        newest = self.newest
        if newest is None or (era_of(origin), size) > (era_of(newest.origin), newest.size):
            return False  # the recovery did not know of it
        return origin != self.origin or size > self.kept


def era_of(origin: str) -> int:
    """Return the era an origin ends with; 0 for one that ends with none."""
    digits = origin.rpartition("/")[2]
    return int(digits) if digits.isascii() and digits.isdigit() else 0


def beginning_of(members: Mapping[str, Any] | None) -> Beginning | None:
    """Return what an entry says that is a `log-recover`; None for every other, and for one that is not well-formed."""
    about = (members or {}).get("about")
    if members is None or members.get("operation") != RECOVERY or not isinstance(about, dict):
        return None
    texts = [about.get(name) for name in ("origin", "root", "checkpoint")]
    numbers = [about.get(name) for name in ("size", "kept", "lost")]
    if not all(isinstance(one, str) for one in texts) or not all(type(one) is int and one >= 0 for one in numbers):
        return None
    return _parsed(texts, numbers)


def repeated_by(members: Mapping[str, Any] | None) -> Beginning | None:
    """Return what a `log-prune` repeats of the `log-recover` that was pruned; None for every other entry."""
    about = (members or {}).get("about")
    if members is None or members.get("operation") != PRUNING or not isinstance(about, dict):
        return None
    return beginning_of({"operation": RECOVERY, "about": about.get("begins")})


def _parsed(texts: Sequence[Any], numbers: Sequence[Any]) -> Beginning | None:
    origin, root, checkpoint = texts
    size, kept, lost = numbers
    try:
        if checkpoint:
            parse_note(checkpoint)
        return Beginning(origin, size, b64u_decode(root), kept, lost, checkpoint)
    except ValueError:
        return None


def kept_of(size: int, root: Callable[[int], bytes], points: Sequence[Checkpoint], bound: int = 0) -> int:
    """Return how many entries of a log are those that were signed: all, or up to the last checkpoint that still holds.

    `root(size)` raises ValueError where the tree cannot be read. Once a checkpoint fails no longer one can hold. Those below
    `bound`, where the log was pruned, are not asked: their tree is archived, and those above say the same of it.
    """
    known = sorted((one for one in points if bound <= one.size <= size), key=lambda one: one.size)

    def fails(point: Checkpoint) -> bool:
        try:
            return root(point.size) != point.root
        except ValueError:
            return True

    holding = bisect_right(known, False, key=fails)
    if holding == len(known):
        return size
    return known[holding - 1].size if holding else 0
