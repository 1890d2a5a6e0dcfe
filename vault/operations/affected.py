"""What a list of whose data was touched is made of: the log it is frozen at, the judged entries, the document.

Shared by whoever asks for one, whoever shows one, and the pass that confirms it.
"""

import base64
import csv
import io
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from typing import Any, Final

import orjson

from vault.assembly import Vault
from vault.audit import affected_records, entry, records
from vault.audit.affected import Affected, Amount, CallerTags, Criteria, Evidence, Judge, amount, people_of
from vault.audit.checkpoint import origin, parse_note, signed_by
from vault.audit.merkle import Rooted, Tree, leaf_hash
from vault.audit.records import FIRST_ERA, Head
from vault.errors import AuditUnavailable, Unreadable
from vault.keys.data_keys import open_bytes, unwrap_audit_key
from vault.notes import VerifierKey
from vault.operations.signing import signed_document

LONGEST_WAIT_S: Final = 2.0
_LOOK_EVERY_S: Final = 0.02
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
NOTES: Final = {
    "look-ups": {
        "it": "Ogni voce elencata è stata verificata sul registro; le righe di ricerca però possono essere state cancellate."
        " Chiedere la conferma, che rilegge tutte le voci.",
        "en": "Each entry listed was checked against the log, but look-up rows may have been deleted."
        " Ask for the confirmation, which reads every entry again.",
    },
    "look-ups-of-one-era": {
        "it": "Ogni voce elencata è stata verificata sul registro, ma solo in quello presente: le voci delle ere precedenti"
        " (eras_not_read), chiuse da un ripristino, NON sono state lette. Chiedere senza `first` ed `end`.",
        "en": "Each entry listed was checked against the log, but the present one alone: the entries of earlier eras"
        " (eras_not_read), ended by a recovery, were NOT read. Ask without `first` and `end`.",
    },
    "eras-not-read": {
        "it": "NON confermato: il registro presente è stato riletto per intero, ma le voci delle ere precedenti (eras_not_read),"
        " chiuse da un ripristino, NON sono state lette. Chiedere di nuovo la conferma, senza `first` ed `end`.",
        "en": "NOT confirmed: every entry of the present log was read again, but the entries of earlier eras (eras_not_read),"
        " ended by a recovery, were NOT read. Ask for the confirmation again, without `first` and `end`.",
    },
    "running": {"it": "La rilettura di tutte le voci è in corso.", "en": "Every entry is being read again."},
    "confirmed": {
        "it": "Confermato: tutte le voci fino a questa dimensione sono state rilette e danno questa radice.",
        "en": "Confirmed: every entry up to this size was read again, and together they make this root.",
    },
    "confirmed-eras": {
        "it": "Confermato: tutte le voci di ogni era sono state rilette. Quelle di questa, fino a questa dimensione, danno questa"
        " radice; quelle delle ere precedenti (eras_read) la radice che il ripristino ha scritto nel registro.",
        "en": "Confirmed: every entry of every era was read again. Those of this one, up to this size, make this root; those of"
        " earlier eras (eras_read) the root that the recovery wrote down in the log.",
    },
    "confirmed-but-lost": {
        "it": "Confermato per tutto ciò che resta: ogni voce di ogni era (eras_read) è stata riletta. Un ripristino ha però"
        " dichiarato PERSE delle voci firmate (eras_read, lost): chi riguardavano non è in alcun elenco.",
        "en": "Confirmed for all that is left: every entry of every era (eras_read) was read again. But a recovery declared signed"
        " entries LOST (eras_read, lost): whom they were about is in no list.",
    },
    "gone-since": {
        "it": "NON più confermato: voci trovate dalla rilettura non ci sono più, sono altre, o sono state archiviate"
        " (totals.dropped). Se non è stato ridotto il registro, eseguire subito `riserbo audit verify`.",
        "en": "Confirmed no longer: entries the pass met are gone, are others, or were archived (totals.dropped). Unless the log"
        " was pruned since, run `riserbo audit verify` at once.",
    },
    "differs": {
        "it": "NON confermato: le voci rilette non danno la radice del registro. Eseguire subito `riserbo audit verify`.",
        "en": "NOT confirmed: the entries read again do not make the log's root. Run `riserbo audit verify` at once.",
    },
}


# --- the log -------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Frozen:
    """The log a list speaks of: its size and root, and the newest signed checkpoint up to there that is kept beside it."""

    era: int
    size: int
    root: bytes
    checkpoint: str | None = None

    @property
    def eras_before(self) -> list[int]:
        """The eras that a recovery ended: counted, not looked for, so that whoever deletes their rows does not make them none."""
        return list(range(FIRST_ERA, self.era))

    def told(self, vault: Vault, controller_id: str) -> dict[str, Any]:
        """Return it as a document."""
        name = origin(vault.settings.host, controller_id, self.era)
        root = base64.b64encode(self.root).decode()
        return {"origin": name, "size": self.size, "root": root, "checkpoint": self.checkpoint}


def frozen(vault: Vault, controller_id: str) -> Frozen:
    """Return the log as it stands, once what was written before the question has its position. Raises AuditUnavailable."""
    _settled(vault, controller_id, _ms(vault.now()))
    with vault.database.snapshot(controller_id) as rows:
        at = records.head(rows, controller_id) or Head(FIRST_ERA, 0)
        try:
            root = Tree(at.size, records.tile_reader(rows, controller_id, at)).root()
        except ValueError:  # a tile is gone or cut
            raise Unreadable("log-differs") from None
        note = affected_records.newest_copy(rows, controller_id, at)
    return Frozen(at.era, at.size, root, note if note is not None and is_signed(vault, controller_id, at.era, note) else None)


def _settled(vault: Vault, controller_id: str, until_ms: int) -> None:
    """Wait until what was written up to an instant has its position. Raises AuditUnavailable if that is long."""
    ends_at = vault.monotonic() + LONGEST_WAIT_S
    while True:
        with vault.database.snapshot(controller_id) as rows:  # given back before the wait: others need it meanwhile
            waits = records.waits(rows, controller_id, until_ms)
        if not waits:
            return
        if vault.monotonic() > ends_at:
            raise AuditUnavailable("entry-pending", retry_after_s=1)
        time.sleep(_LOOK_EVERY_S)


def is_signed(vault: Vault, controller_id: str, era: int, note: str) -> bool:
    """Return whether a note is a checkpoint of this log."""
    name = origin(vault.settings.host, controller_id, era)
    try:
        found = parse_note(note)
    except ValueError:
        return False
    return found.checkpoint.origin == name and signed_by(found, VerifierKey(name, vault.signing.checkpoint_key))


def audit_secrets(vault: Vault, controller_id: str) -> list[bytes]:
    """Return every version of the controller's secret `audit` there is, the newest first. Destroyed ones tell nothing any more."""
    current = vault.keys.secret(controller_id, "audit")
    found = [current.key]
    for version in range(current.version - 1, 0, -1):
        try:
            found.append(vault.keys.secret(controller_id, "audit", version).key)
        except Unreadable:
            break
    return found


def judge_of(secrets: Iterable[bytes], asked: Criteria) -> Judge:
    """Return what decides on leaves."""
    return Judge(asked, CallerTags(secrets, asked.caller) if asked.caller is not None else None)


# --- judged entries --------------------------------------------------------------------------------------------------------------


def proposed(vault: Vault, controller_id: str, era: int, asked: Criteria, secrets: Iterable[bytes], most: int) -> list[int]:
    """Return the positions look-up rows propose: one statement."""
    station = asked.station
    stations = [entry.lookup_hash(entry.lookup_key(one), "station", station) for one in secrets] if station is not None else []
    classes = sorted({vault.catalogue.fields[name].class_name for name in asked.fields if name in vault.catalogue.fields})
    with vault.database.snapshot(controller_id) as rows:
        return affected_records.proposed(rows, controller_id, era, asked, stations, classes, most)


def judged(
    vault: Vault,
    controller_id: str,
    era: int,
    judge: Judge,
    positions: Sequence[int],
    before: Amount | None = None,
    under: Frozen | None = None,
) -> Amount:
    """Return what the entries at these positions amount to, each judged by its leaf, its person by their own tag.

    What the entries of other eras amount to may be given as `before`, and is added to. An entry that is not `under` the root of a
    log that was read is dropped: it was another when that was.
    """
    is_proven = True
    with vault.database.snapshot(controller_id) as rows:
        found = list(affected_records.evidence(rows, controller_id, era, positions))
        if under is not None and positions:
            rooted = Rooted(under.size, under.root, records.tile_reader(rows, controller_id, Head(era, under.size)))
            is_proven = rooted.is_known
            found = [one for one in found if not is_proven or rooted.holds(one.position, leaf_hash(one.leaf))]
        people = sorted({one.subject_id for one in found if one.subject_id is not None})
        wraps = affected_records.audit_keys(rows, controller_id, people)

    @cache
    def audit_key(subject_id: str) -> bytes | None:
        if subject_id not in wraps:
            return None
        try:
            return unwrap_audit_key(vault.keys, controller_id, subject_id, *wraps[subject_id])
        except Unreadable:
            return None

    def chain_key(subject_id: str, stream: str) -> bytes | None:
        key = audit_key(subject_id)
        return entry.chain_key(key, stream) if key is not None else None

    if judge.criteria.station is not None:
        found = list(_at_station(vault, controller_id, judge.criteria.station, found, audit_key))
    made = amount(judge, found, cache(chain_key), before)
    made.dropped += len(positions) - len(found)
    made.is_proven = made.is_proven and is_proven
    return made


def _at_station(
    vault: Vault, controller_id: str, station: str, found: Iterable[Evidence], audit_key: Callable[[str], bytes | None]
) -> Iterator[Evidence]:
    """Yield the entries whose sealed details name this station; whose details do not open, as of nobody known."""
    secrets = audit_secrets(vault, controller_id)
    for one in found:
        own = audit_key(one.subject_id) if one.subject_id is not None else None
        said = affected_records.station_of(controller_id, one, [own] if own is not None else secrets, open_bytes)
        if said is None:
            yield replace(one, subject_id=None)
        elif said == station:
            yield one


# --- the document ----------------------------------------------------------------------------------------------------------------


def document(found: Amount) -> dict[str, Any]:
    """Return subjects and totals. Every entry is there, never a sample."""
    people = people_of(found)
    return {
        "subjects": [_person(one) for one in people],
        "unattributed_entry_ids": found.unattributed,
        "totals": {
            "subjects": len(people), "entries": found.entries, "unattributed": len(found.unattributed),
            "refused": found.refused, "about_nobody": found.about_nobody, "dropped": found.dropped,
        },
    }  # fmt: skip


def as_csv(told: Mapping[str, Any]) -> bytes:
    """Return the people as CSV: UTF-8 with a byte order mark, `;`, RFC 4180; no cell is a formula to a spreadsheet."""
    out = io.StringIO()
    rows = csv.writer(out, delimiter=";", lineterminator="\r\n")
    rows.writerow(("subject_id", "fields", "levels", "first_at", "last_at", "entries", "entry_ids"))
    for one in told.get("subjects") or ():
        levels = " ".join(f"{name}={','.join(some)}" for name, some in one["levels"].items())
        cells = (one["subject_id"], " ".join(one["fields"]), levels, one["first_at"], one["last_at"])
        rows.writerow([_inert(cell) for cell in (*cells, str(len(one["entry_ids"])), " ".join(one["entry_ids"]))])
    return b"\xef\xbb\xbf" + out.getvalue().encode()


def signed(vault: Vault, controller_id: str, told: Mapping[str, Any]) -> bytes:
    """Return the document as one line, signed; it names the SHA-256 of the CSV, which is thereby signed too."""
    line = {**told, "csv_sha256": sha256(as_csv(told)).hexdigest()}
    return signed_document(vault, controller_id, orjson.dumps(line, option=orjson.OPT_SORT_KEYS))


def digest_of(told: Mapping[str, Any]) -> str:
    """Return what an entry says a list was: whoever has the list can show that it was this one."""
    return sha256(orjson.dumps(told, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _person(one: Affected) -> dict[str, Any]:
    return {**one.told(), "first_at": _instant(one.first_at), "last_at": _instant(one.last_at)}


def _inert(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


def _instant(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)
