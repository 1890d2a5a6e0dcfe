"""The eras a list of whose data was touched is read in: what each must come to, how far it was read, which were not.

The present one must come to the size and root the list is frozen at. What an era before must come to says a leaf of the era after
it, `log-recover` or the `log-prune` that repeats it. It is kept in the part that met it, under that part's MAC, and is gone by once
every leaf of the later era was read and gave its root: no row that the database's owner could edit has a say in it. Nor has one in
where an era begins: above its first entry only if a `log-prune` among those read says that it was pruned just there.
"""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from vault.assembly import Vault
from vault.audit.checkpoint import origin
from vault.audit.eras import AT, beginning_of, era_of, repeated_by
from vault.audit.merkle import HASH_BYTES
from vault.audit.pruned import OPERATION
from vault.audit.records import FIRST_ERA
from vault.audit.scan import members_of
from vault.breaches import ListRow, PartRow
from vault.operations.affected_query import of_one_era

PRUNING: Final = b'"operation":"%s"' % OPERATION.encode()


@dataclass(frozen=True, slots=True)
class EraRead:
    """One era of a list: what it must come to, how many signed entries the recovery after it gave up, and its parts so far."""

    era: int
    size: int
    root: bytes
    lost: int
    parts: Sequence[PartRow]

    @property
    def reached(self) -> int:
        """Up to where it was read."""
        return self.parts[-1].reached if self.parts else 0

    @property
    def begun(self) -> int | None:
        """The first leaf there was: what lies before was pruned."""
        return self.parts[0].begun if self.parts else None

    @property
    def positions(self) -> list[int]:
        """Of entries that count."""
        return [position for one in self.parts for position in one.positions]

    @property
    def follows(self) -> Mapping[str, Any] | None:
        """What a leaf of it says of the era before."""
        return next((one.follows for one in self.parts if one.follows is not None), None)

    @property
    def is_whole(self) -> bool:
        """Whether every leaf was read, and they made its root."""
        return bool(self.parts) and self.reached == self.size and self.parts[-1].verdict != "differs"


def eras_of(asked: ListRow, parts: Sequence[PartRow]) -> list[EraRead]:
    """Return the eras known so far, the present one first, and then each as the one after it says."""
    found: list[EraRead] = []
    known: Mapping[str, Any] | None = {"era": asked.era, "size": asked.size, "root": asked.root.hex(), "lost": 0}
    while known is not None and (not found or known["era"] < found[-1].era):
        own = [one for one in parts if one.era == known["era"]]
        found.append(EraRead(known["era"], known["size"], bytes.fromhex(known["root"]), known["lost"], own))
        known = found[-1].follows if goes_on_before(asked, known["era"]) else None
    return found


def eras_not_read(asked: ListRow, eras: Sequence[EraRead]) -> list[int]:
    """Return the eras before the list's own that were not read to their end. One that a recovery gave up has nothing to be read."""
    before = {one.era: one.follows["era"] if one.follows is not None else one.era - 1 for one in eras if one.is_whole}
    done = {number for era, follows in before.items() for number in range(follows + 1, era + 1)}
    return [era for era in range(FIRST_ERA, asked.era) if era not in done]


def told_of(eras: Sequence[EraRead]) -> list[dict[str, Any]]:
    """Return, as a document, what the eras before the list's own must come to, from where each was read, and what was lost."""
    return [
        {"era": one.era, "size": one.size, "root": base64.b64encode(one.root).decode(), "read_from": one.begun, "lost": one.lost}
        for one in eras[1:]
        if one.parts
    ]


def goes_on_before(asked: ListRow, era: int) -> bool:
    """Whether the era before is read too, once this one was."""
    return era > FIRST_ERA and not of_one_era(asked.criteria["stated"])


def said_by(
    vault: Vault, controller_id: str, asked: ListRow, at: EraRead, begun: int, leaves: Sequence[tuple[int, bytes]]
) -> Mapping[str, Any] | None:  # fmt: skip
    """Return what these leaves say of what lies before those of their era, None where they say nothing that can be so.

    Where the era before is not read it is only asked whether the era was pruned, and there.
    """
    if goes_on_before(asked, at.era):
        return said_of_before(vault, controller_id, at, begun, leaves)
    return {"era": at.era - 1, "size": 0, "root": "", "lost": 0} if begun and _pruning(leaves, begun) is not None else None


def said_of_before(
    vault: Vault, controller_id: str, at: EraRead, begun: int, leaves: Sequence[tuple[int, bytes]]
) -> Mapping[str, Any] | None:  # fmt: skip
    """Return what these leaves of an era say of the one before it, None where they say nothing that can be so.

    No other leaf is parsed than the one that must say it. Where that was pruned it is looked for, by its bytes.
    """
    if begun:
        found = repeated_by(_pruning(leaves, begun))
    else:
        found = next((beginning_of(members_of(leaf)) for position, leaf in leaves[: AT + 1] if position == AT), None)
    if found is None:
        return None
    era = era_of(found.origin)
    is_of_this_log = found.origin == origin(vault.settings.host, controller_id, era) and FIRST_ERA <= era < at.era
    if not is_of_this_log or len(found.root) != HASH_BYTES:
        return None
    return {"era": era, "size": found.size, "root": found.root.hex(), "lost": found.lost}


def _pruning(leaves: Iterable[tuple[int, bytes]], bound: int) -> Mapping[str, Any] | None:
    """Return the members of the `log-prune` that says that the era begins there, None where these leaves hold none."""
    some = (members_of(leaf) or {} for _, leaf in leaves if PRUNING in leaf)
    return next((one for one in some if one.get("operation") == OPERATION and _bound(one) == bound), None)


def _bound(members: Mapping[str, Any]) -> Any:
    about = members.get("about")
    return about.get("bound") if isinstance(about, dict) else None
