"""Show how much the log holds, from the counts kept beside it: by day and kind of act, without anybody. No entry, so no count(*).

Days are those of UTC, as the counts are kept. A caller is never a dimension: no ranking of people is made here.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

from vault.assembly import Vault
from vault.audit.review import DIMENSIONS, MOST_GROUPS, Length, counts, length
from vault.errors import Fault, InvalidValue
from vault.operations.acting import prepare, require_permission
from vault.policy.model import Context

MOST_DAYS: Final = 732
USUAL_DAYS: Final = 90
_FIRST: Final = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Counts:
    """Entries and clear values for each group that has some, and how long the log is."""

    groups: tuple[dict[str, Any], ...]
    begins_on: date
    ends_on: date
    length: Length


def show_counts(
    vault: Vault, context: Context, begins_on: date | None = None, ends_on: date | None = None, by: Collection[str] = ("day",)
) -> Counts:
    """Return the counts of some days, both included.

    Raises InvalidValue (`window-too-wide`, `too-many-groups`), AccessDenied (recorded: a refusal is an entry).
    """
    acting = prepare(vault, "review-search", context)
    require_permission(vault, acting)
    last = ends_on or acting.at.date()
    first = begins_on or last - timedelta(days=max(0, min(USUAL_DAYS - 1, (last - _FIRST).days)))
    if not _FIRST <= first <= last or (last - first).days >= MOST_DAYS:
        raise InvalidValue("window-too-wide", faults=[Fault("/from", "window-too-wide")])
    if not {*by} <= {*DIMENSIONS}:
        raise InvalidValue(faults=[Fault("/by", "dimension.unknown")])
    with vault.database.snapshot(context.controller_id) as rows:
        found = counts(rows, context.controller_id, (first - _FIRST).days, (last - _FIRST).days, by)
        size = length(rows, context.controller_id)
    if len(found) > MOST_GROUPS:
        raise InvalidValue("too-many-groups", faults=[Fault("/by", "too-many-groups")])
    return Counts(tuple(_group(row._asdict()) for row in found), first, last, size)


def _group(row: dict[str, Any]) -> dict[str, Any]:
    """Return a group with its day spelt out; what does not apply (`-`) is left out."""
    spelt = {name: one for name, one in row.items() if one != "-"}
    if "day" in spelt:
        spelt["day"] = (_FIRST + timedelta(days=spelt["day"])).isoformat()
    return {**spelt, "entries": int(row["entries"]), "clear_values": int(row["clear_values"])}
