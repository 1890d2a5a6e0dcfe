"""Where values are from that are not from the person (GDPR 14): what was stated, and its rows. Shared by all that take values."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from vault.assembly import Vault
from vault.errors import Conflict, Fault, InvalidValue
from vault.operations.open_request import local_day
from vault.policy.informing import REGIME, informing
from vault.policy.periods import period_in_force
from vault.sources import SourceRow


@dataclass(frozen=True, slots=True)
class Sourced:
    """Where a value is from, by a code of the controller's own, and when it was obtained; None for now."""

    source: str
    obtained_at: datetime | None = None


Sources = Mapping[str, Sourced]  # by field


def require_sources(vault: Vault, values: Mapping[str, Any], sources: Sources, at: datetime, *, own: bool = False) -> None:
    """Raise InvalidValue where a value of others says no source, where there is a source and no value, or it is of the future.

    `own`: the person said them, so that none needs one.
    """
    if faults := list(_faults(vault, values, sources, at, own=own)):
        raise InvalidValue(faults=faults)


def source_rows(
    vault: Vault, controller_id: str, subject_id: str, version: int, sources: Sources, entry_id: str, at: datetime
) -> list[SourceRow]:
    """Return the rows of values of this version. Raises Conflict `regime-not-in-bundle`.

    Of what the law keeps from the person (2-undecies) the source is kept, and nobody is to be told.
    """
    return [
        _row(vault, controller_id, (subject_id, name, version), one, entry_id, at) for name, one in sorted(sources.items())
    ]  # fmt: skip


def said_of(sources: Sources) -> dict[str, Any]:
    """Return what the entry tells officers."""
    return {"sources": {name: one.source for name, one in sorted(sources.items())}} if sources else {}


def _faults(vault: Vault, values: Mapping[str, Any], sources: Sources, at: datetime, *, own: bool) -> Iterator[Fault]:
    for name in values:
        if not own and vault.catalogue.fields[name].origin == "third-party" and name not in sources:
            yield Fault(f"/fields/{name}", "source.missing")
    for name, one in sources.items():
        if name not in values:
            yield Fault(f"/sources/{name}" if name in vault.catalogue.fields else "/sources", "source.without-value")
        elif one.obtained_at is not None and one.obtained_at > at:
            yield Fault(f"/sources/{name}/obtained_at", "instant.ahead")


def _row(vault: Vault, controller_id: str, key: tuple[str, str, int], one: Sourced, entry_id: str, at: datetime) -> SourceRow:
    obtained_at = one.obtained_at or at
    if key[1] in vault.catalogue.never_to_subject:
        return SourceRow(*key, one.source, obtained_at, at, None, None, "obtained", None, None, None, entry_id)
    period = period_in_force(vault.policy.periods, REGIME, local_day(vault, controller_id, obtained_at))
    if period is None:
        raise Conflict("regime-not-in-bundle")
    due = informing(period, obtained_at, vault.controller(controller_id).zone)
    return SourceRow(
        *key, one.source, obtained_at, at, period.reference, due.due_at, due.because, None, None, None, entry_id,
    )  # fmt: skip
