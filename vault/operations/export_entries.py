"""Export entries of the log: JSON lines, OCSF events, or the register of accesses a bank keeps. A stream, itself on record.

The entry `log-export` is committed before the first line leaves, another with the count before the stream ends, and one that says
`failed` when it breaks off. Lines come in the order (`at`, `position`) and carry entry id and position, so that whoever reads twice
can tell. Persons and callers are pseudonyms under the destination's key.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final

import sqlalchemy as sa

from vault import tables
from vault.assembly import Vault
from vault.audit import garante
from vault.audit import records as audit
from vault.audit.entry import NOBODY, caller_key
from vault.audit.exported import LOG_OWN, Line, destination_key, json_line, pseudonym
from vault.audit.filters import DAY_MS, Place
from vault.audit.ocsf import ocsf_line
from vault.audit.review import Proposed, counts, following
from vault.audit.scan import members_of
from vault.audit.scrub import ScrubKeys, row_fits
from vault.errors import Conflict, Fault, InvalidValue, Unavailable, Unreadable
from vault.operations.acting import HOUSE, Acting, draft, prepare, record, refuse, require_permission
from vault.operations.kept_entry import audit_secrets, opened_entry
from vault.operations.reviewing import flags_of
from vault.operations.verify_trail import scrub_keys
from vault.policy.model import Caller, Context

FORMATS: Final = {"jsonl": "application/x-ndjson", "ocsf": "application/x-ndjson", "garante": "text/csv; charset=utf-8"}
DESTINATION: Final = re.compile(r"[a-z][a-z0-9-]{0,63}")

Advance = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Wish:
    """What is exported: entries from an instant (ms) until before another, in which form, and for whom."""

    form: str
    begins: int
    ends: int
    destination: str


@dataclass(frozen=True, slots=True)
class Export:
    """An export on record that has not begun. `expected` is about how many entries it reads: whole days, as the counts are kept."""

    vault: Vault
    acting: Acting
    wish: Wish
    expected: int
    callers: tuple[bytes, ...] = field(repr=False)
    key: bytes = field(repr=False)

    @property
    def entry_id(self) -> str:
        """The entry that recorded it."""
        return self.acting.entry_id

    @property
    def media_type(self) -> str:
        """Of what is streamed."""
        return FORMATS[self.wish.form]

    def lines(self, advance: Advance = lambda _done, _of: None) -> Iterator[bytes]:
        """Yield the export; `advance` is told how many entries were read. Raises Unreadable, Conflict, Unavailable."""
        written, whole = 0, False
        try:
            if self.wish.form == "garante":
                yield garante.HEAD
            for made in self._made(advance):
                written += 1
                yield made
            self._tell("done", written)
            whole = True
        finally:
            if not whole:
                with suppress(Unavailable):  # the log over-reports then, the safe direction
                    self._tell("failed", written)

    def _made(self, advance: Advance) -> Iterator[bytes]:
        vault, controller_id, wish = self.vault, self.acting.context.controller_id, self.wish
        keys, place, read = scrub_keys(vault, controller_id), Place(wish.begins, -1), 0
        while True:
            with vault.database.snapshot(controller_id) as rows:  # a step at a time: no connection waits for who reads
                batch = following(rows, controller_id, wish.ends, place)
            for one in batch:
                made = self._line(one, keys)
                if made is not None:
                    yield made
            if not batch:
                return
            read, place = read + len(batch), batch[-1].place
            advance(read, max(read, self.expected))

    def _line(self, one: Proposed, keys: ScrubKeys) -> bytes | None:
        """Return an entry in the export's form; None where that has no line for it."""
        line = self._of(one)
        if self.wish.form == "jsonl":
            return json_line(line)
        if self.wish.form == "ocsf":
            return ocsf_line(line)
        if not garante.belongs(line.leaf, about_somebody=line.subject is not None):
            return None
        try:
            return garante.csv_row(replace(line, relationship=self._relationship(one, keys)))
        except garante.Incomplete:
            raise Conflict("context-incomplete") from None

    def _of(self, one: Proposed) -> Line:
        """Return an entry for this destination; where look-up row and leaf differ, nobody is named. Unreadable without leaf."""
        row, leaf = one.row, members_of(one.leaf or b"")
        if leaf is None:
            raise Unreadable("leaf-missing")
        fits = row_fits(row, leaf, lambda: self.callers)

        def named(kind: str, known: str | bytes | None) -> str | None:
            octets = known.encode() if isinstance(known, str) else bytes(known or b"")
            return pseudonym(self.key, kind, octets) if fits and known is not None else None

        return Line(
            controller_id=self.acting.context.controller_id,
            era=row.era,
            position=row.position,
            leaf=leaf,
            subject=named("p", None if row.subject_id == NOBODY else row.subject_id),
            caller=named("c", row.caller_id),
            team=row.team,
            ticket=named("t", row.ticket),
            ticket_state=row.ticket_state,
            station=named("w", row.station),
            clear_classes=tuple(row.clear_classes or ()),
            flags=flags_of(row.flags),
            differs=not fits,
        )

    def _relationship(self, one: Proposed, keys: ScrubKeys) -> str | None:
        controller_id = self.acting.context.controller_id
        with self.vault.database.snapshot(controller_id) as rows:
            stored = audit.entry_by_id(rows, controller_id, one.row.entry_id)
        if stored is None:
            return None
        said = opened_entry(self.vault, controller_id, stored, keys).details.get("relationship", {}).get("type")
        return None if said is None else str(said)

    def _tell(self, outcome: str, count: int) -> None:
        made = draft(self.vault, self.acting, outcome, details={"result": self.wish.form}, count=count)
        self.vault.audit.record(
            self.acting.context.controller_id, replace(made, entry_id=self.vault.new_id("ent"), ref=self.acting.entry_id)
        )


def export_entries(vault: Vault, context: Context, wish: Wish) -> Export:
    """Record an export and return it. Raises InvalidValue, AccessDenied, Conflict (`not-a-bank`, `context-incomplete`)."""
    acting = prepare(vault, "log-export", context)
    require_permission(vault, acting)
    return _begun(vault, acting, wish)


def export_in_house(vault: Vault, controller_id: str, wish: Wish) -> Export:
    """Record an export by whoever runs the vault, and return it. Raises what `export_entries` raises."""
    operator = Caller(id="operator", kind="operator", roles=frozenset({"operator"}), client_id="riserbo")
    acting = prepare(vault, "log-export", Context(controller_id, operator, "legal-compliance", "api"), permission=HOUSE)
    return _begun(vault, acting, wish)


def _begun(vault: Vault, acting: Acting, wish: Wish) -> Export:
    controller_id = acting.context.controller_id
    if faults := _faults(wish):
        raise InvalidValue(faults=faults)
    if wish.form == "garante":
        _require_complete(vault, acting, wish)
    secrets = [secret for _, secret in audit_secrets(vault, controller_id)]
    with vault.database.snapshot(controller_id) as rows:
        expected = sum(
            int(row.entries) for row in counts(rows, controller_id, wish.begins // DAY_MS, wish.ends // DAY_MS, ("day",))
        )
    said = {"form": wish.form, "from": wish.begins, "until": wish.ends, "destination": wish.destination}
    record(vault, acting, details={"result": wish.form}, internal={"export": said})
    callers = tuple(caller_key(secret) for secret in secrets)
    return Export(vault, acting, wish, expected, callers, destination_key(secrets[0], wish.destination))


def _faults(wish: Wish) -> list[Fault]:
    faults = []
    if wish.form not in FORMATS:
        faults.append(Fault("/format", "format.unknown"))
    if not 0 <= wish.begins < wish.ends:
        faults.append(Fault("/from", "window-empty"))
    if not DESTINATION.fullmatch(wish.destination):
        faults.append(Fault("/destination", "destination.syntax"))
    return faults


def _require_complete(vault: Vault, acting: Acting, wish: Wish) -> None:
    """Refuse, on record, a register for whom does not keep one, or of a time before workstation and relationship were required."""
    controller_id = acting.context.controller_id
    if controller_id not in vault.settings.banks:
        raise refuse(vault, acting, Conflict("not-a-bank"))
    place = {"controller": controller_id, "begins": wish.begins, "ends": wish.ends}
    if vault.database.read(controller_id, _INCOMPLETE, place):
        raise refuse(vault, acting, Conflict("context-incomplete"))


_L = tables.audit_lookup.c
_INCOMPLETE = (
    sa.select(sa.literal(1))
    .where(
        _L.controller_id == sa.bindparam("controller"),
        _L.at >= sa.bindparam("begins"),
        _L.at < sa.bindparam("ends"),
        _L.subject_id != NOBODY,
        _L.station.is_(None),
        _L.kind.in_(sorted(garante.IN_CHARGE)),
        _L.operation.not_in(sorted(LOG_OWN)),
    )
    .limit(1)
)
