"""The query behind a list of whose data was touched: what may be asked, and what it means in the terms of leaves."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from vault.assembly import Vault
from vault.audit.affected import Criteria, bundle_in_leaf
from vault.audit.records import FIRST_ERA
from vault.errors import Fault
from vault.operations.callers import CALLER_ID

WIDEST: Final = timedelta(days=92)  # without a caller: there is no index to go by
_DIGEST: Final = re.compile("sha256:[0-9a-f]{64}")
_STATION: Final = re.compile(r"[\x21-\x7e]{1,64}")


@dataclass(frozen=True, slots=True)
class Query:
    """Which accesses are asked for; all that is stated must be so. Instants and positions are half-open."""

    caller: str | None = None
    system: str | None = None
    station: str | None = None
    field: str | None = None
    class_name: str | None = None
    policy: str | None = None  # sha256:<hex> of a bundle
    since: datetime | None = None
    until: datetime | None = None
    first: int | None = None
    end: int | None = None

    def stated(self) -> dict[str, Any]:
        """Return what is stated, as it is kept and shown."""
        said = {"class" if name == "class_name" else name: value for name, value in asdict(self).items() if value is not None}
        return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in said.items()}


def query_faults(vault: Vault, query: Query, systems: Collection[str], *, confirming: bool) -> Iterator[Fault]:
    """Yield what is wrong with a query, by member; `systems` are those an entry may name."""
    fields = vault.catalogue.fields
    if not query.stated():
        yield Fault("/query", "query.of-nothing")
    if query.caller is not None and not CALLER_ID.fullmatch(query.caller):
        yield Fault("/caller", "malformed")
    if query.system is not None and query.system not in systems:
        yield Fault("/system", "unknown")
    if query.station is not None and (confirming or not _STATION.fullmatch(query.station)):
        yield Fault("/station", "station.not-in-leaves" if confirming else "malformed")
    if query.class_name is not None and query.class_name not in vault.catalogue.classes:
        yield Fault("/class", "unknown")
    if query.field is not None and (query.field not in fields or fields[query.field].never_to_subject):
        yield Fault("/field", "field.not-in-leaves" if query.field in fields else "unknown")
    elif query.field is not None and query.class_name not in (None, fields[query.field].class_name):
        yield Fault("/class", "field.not-of-class")  # nothing could be of both, and no field at all must not mean every field
    if query.policy is not None and not _DIGEST.fullmatch(query.policy):
        yield Fault("/policy", "malformed")
    yield from _bound_faults(query, confirming=confirming)


def _bound_faults(query: Query, *, confirming: bool) -> Iterator[Fault]:
    if query.since is not None and query.until is not None and query.since >= query.until:
        yield Fault("/until", "before-since")
    if query.first is not None and query.end is not None and query.first >= query.end:
        yield Fault("/end", "before-first")
    bounded = query.since is not None and query.until is not None and query.until - query.since <= WIDEST
    if query.caller is None and query.stated() and not (confirming or bounded):
        yield Fault("/since", "window.too-wide")


def criteria_of(vault: Vault, query: Query, size: int) -> Criteria:
    """Return the query in the terms of leaves: a class by its fields, instants in ms, no entry beyond `size`."""
    of_class = {name for name, one in vault.catalogue.fields.items() if one.class_name == query.class_name}
    fields = {query.field} if query.field is not None else of_class
    return Criteria(
        caller=query.caller,
        system=query.system,
        station=query.station,
        fields=frozenset(fields),
        bundle=bundle_in_leaf(query.policy) if query.policy is not None else None,
        since_ms=_ms(query.since) if query.since is not None else 0,
        until_ms=_ms(query.until) if query.until is not None else 1 << 62,
        first=query.first or 0,
        end=min(query.end, size) if query.end is not None else size,
    )


def criteria_by_era(at: int, query: Query, asked: Criteria) -> dict[int, Criteria]:
    """Return what is asked of each era up to the present one, `at`; stated positions are of that one alone."""
    first = at if of_one_era(query.stated()) else FIRST_ERA
    return {era: criteria_in(era, at, asked) for era in range(first, at + 1)}


def of_one_era(stated: Mapping[str, Any]) -> bool:
    """Whether a query states positions, which are of the present era alone."""
    return not stated.keys().isdisjoint(("first", "end"))


def criteria_in(era: int, at: int, asked: Criteria) -> Criteria:
    """Return what is asked of an era: of one that ended before the present one, `at`, every entry."""
    return asked if era == at else replace(asked, end=Criteria().end)


def kept_criteria(asked: Criteria) -> dict[str, Any]:
    """Return criteria as a list keeps them."""
    return {**asdict(asked), "fields": sorted(asked.fields)}


def criteria_kept(kept: Mapping[str, Any]) -> Criteria:
    """Return criteria as a list kept them, beside what was stated."""
    members = {name: value for name, value in kept.items() if name != "stated"}
    return Criteria(**{**members, "fields": frozenset(kept["fields"])})


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)
