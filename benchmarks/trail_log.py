"""A log of two years, made fast: real leaves in real chains, copied past the recorder into the tables.

Leaves are made by `vault/audit/entry.py`, each writer's chain and MACs as the recorder makes them, one writer a day; caller tags,
the hashes of tickets and stations and each person's tags are real too, though every entry of a person claims to be their first.
Only what is sealed beside a leaf is random bytes of the usual length: nothing of it is opened here. People, agents, tickets and
flags are drawn unevenly, as work is.

One agent, `agent-snoop`, looks at ten of 3,570 customers of 679 branches each day, without a ticket: the case of the Garante of
2 November 2024 (doc. web 10070521). A customer's branch is their number modulo 679.
"""

import os
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import psycopg

from benchmarks.affected import tag_for
from vault.audit import entry
from vault.audit.merkle import HASH_BYTES, TILE_BYTES, TILE_WIDTH, grown, leaf_hash
from vault.octets import b64u, mac

MONTHS = 24
CHUNK = 20_000
PEOPLE, AGENTS, BRANCHES, SNOOPED, A_DAY = 200_000, 400, 679, 3_570, 10
SNOOP, RARE_OPERATION = "agent-snoop", "record_death"
SEALED_BYTES = 417
DAY_MS = 86_400_000
COPIED = {
    "audit_entry": "controller_id, era, position, leaf, leaf_hash, mac",
    "audit_detail": "controller_id, at, position, subject_id, era, entry_id, sealed, stream, chain_number, chain_previous",
    "audit_lookup": "controller_id, at, position, subject_id, era, entry_id, stream, operation, outcome, kind, caller_id, roles,"
    " team, recipient, purpose, channel, ticket, station, ticket_state, classes, clear_classes, clear_count, flags",
    "audit_tile": "controller_id, era, level, idx, hashes",
    "audit_writer": "controller_id, writer_id, number, leaf_hash, mac_key, seen_at, closed, era",
    "audit_daily": "controller_id, day, operation, outcome, purpose, recipient, entries, clear_values",
}
# what an answer holds: levels by field, and how many of them are clear
ANSWERS = (
    ({"given_name": "clear", "family_name": "clear", "email": "masked:email", "mobile": "masked:phone"}, 2, "partial"),
    ({"customer_number": "clear", "contract_number": "clear", "iban": "masked:iban_last4", "balance": "withheld"}, 2, "partial"),
    ({"email": "clear"}, 1, "allowed"),
    ({"iban": "withheld", "balance": "withheld"}, 0, "refused"),
)
OPERATIONS = ("disclose",) * 88 + ("find",) * 6 + ("verify",) * 4 + ("reveal", "amend")
PURPOSES = ("customer-care",) * 8 + ("billing", "fraud-prevention")


def snooped() -> list[str]:
    """Return everybody the one agent may have looked at."""
    return [_subject_id(number * 55) for number in range(SNOOPED)]


def _subject_id(person: int) -> str:
    return f"sub_{person:026d}"


@dataclass(frozen=True, slots=True)
class Keys:
    """What a log's entries are made with: its origin, the first key of a writer, secret `audit` and its version."""

    controller_id: str
    origin: str
    first_key: Callable[[str], bytes] = field(repr=False)
    secret: bytes = field(repr=False)
    secret_version: int = 1


@dataclass(slots=True)
class _Writer:
    """A day's writer, where its chain stands."""

    writer_id: str
    key: bytes = field(repr=False)
    number: int = 0
    previous: bytes = b""
    position: int = 0


class Made:
    """A log in the making, from `size` entries on, about so many people. `known` are the leaf hashes of those that are there."""

    def __init__(
        self, keys: Keys, entries: int, known: Sequence[bytes], until: datetime, seed: int = 1, people: int = PEOPLE
    ) -> None:
        self.keys = keys
        self.size = len(known)
        self.total = self.size + entries
        self._begun_ms = int((until - timedelta(days=365 * MONTHS // 12)).timestamp() * 1000)
        self._people, self._snooped = people, min(people, SNOOPED)
        self._step = (int(until.timestamp() * 1000) - self._begun_ms) / max(1, entries)
        self._first = self.size
        self._dice = random.Random(seed)  # noqa: S311  # drawing work is no secret
        self._caller_key = entry.caller_key(keys.secret)
        self._lookup_key = entry.lookup_key(keys.secret)
        self._hashes: dict[str, bytes] = {}
        self._writer: _Writer | None = None
        self._day = -1
        self._snoops: set[int] = set()
        self._unfinished: dict[int, bytes] = {0: b"".join(known[-(self.size % TILE_WIDTH) :] if self.size % TILE_WIDTH else [])}
        self._rows: dict[str, list[str]] = {}
        self._days: Counter[tuple[str, ...]] = Counter()
        self._clear: Counter[tuple[str, ...]] = Counter()

    def chunks(self, until: int) -> Iterator[dict[str, list[str]]]:
        """Yield what is to be copied, table by table, until the log has so many entries."""
        while self.size < min(until, self.total):
            self._rows = {name: [] for name in COPIED}
            hashes = [self._next(position) for position in range(self.size, min(self.size + CHUNK, until, self.total))]
            for tile in grown(self.size, lambda level: self._unfinished.get(level, b""), hashes):
                self._unfinished[tile.level] = b"" if tile.full else tile.hashes
                if tile.full:
                    self._rows["audit_tile"].append(self._row("1", str(tile.level), str(tile.index), _octets(tile.hashes)))
            at = (self.size + len(hashes)) % TILE_WIDTH
            self._unfinished[0] = (self._unfinished[0] + b"".join(hashes))[-HASH_BYTES * at :] if at else b""
            self.size += len(hashes)
            yield self._rows

    def unfinished(self) -> dict[str, list[str]]:
        """Return the tiles that are not full: a log that is to be read needs them, one that goes on is without."""
        tiles = [
            self._row("1", str(level), str((self.size >> (8 * level)) // TILE_WIDTH), _octets(hashes))
            for level, hashes in self._unfinished.items()
            if level and hashes
        ]
        return {"audit_tile": tiles}

    def rest(self) -> dict[str, list[str]]:
        """Return what is known at the end alone: the last writer, the counts of each day."""
        self._rows = {name: [] for name in COPIED}
        self._ended()
        for place, count in self._days.items():
            self._rows["audit_daily"].append(self._row(*place, str(count), str(self._clear[place])))
        return self._rows

    # --- one entry ---

    def _next(self, position: int) -> bytes:
        at = self._begun_ms + int((position - self._first) * self._step)
        writer = self._writer
        if writer is None or at // DAY_MS != self._day:
            return self._opened(position, at)
        dice = self._dice
        snoops = position in self._snoops
        fields, clear, outcome = ANSWERS[0] if snoops else ANSWERS[int(dice.random() ** 2 * 4)]
        agent = SNOOP if snoops else f"agent-{int(AGENTS * dice.random() ** 1.5)}"
        person = int(self._snooped * dice.random()) * 55 if snoops else int(self._people * dice.random() ** 2)
        ticket = None if snoops or dice.random() < 0.06 else f"TCK-{position // 50 * 10 + int(10 * dice.random())}"
        drawn = dice.randbytes(96)
        ids = drawn.hex()
        draw = dice.random()
        usual = "disclose" if snoops else OPERATIONS[int(100 * dice.random())]
        about: dict[str, Any] = {
            "operation": RARE_OPERATION if draw < 0.00002 and not snoops else usual,
            "outcome": outcome,
            "kind": "agent",
            "recipient": "helpdesk",
            "purpose": PURPOSES[len(agent) % 10 if snoops else int(agent[6:]) % 10],  # an agent's own work
            "channel": "phone" if draw < 0.7 else "chat",
        }
        entry_id, subject, previous = f"ent_{ids[:26]}", _subject_id(person), drawn[77:93]
        members = {
            **about, "v": 1, "id": entry_id, "at": at, "roles": ["t1"], "fields": fields, "count": clear, "terms": ["retail@1"],
            "bundle": "q1ZkAAAAAAAAAAAAAAAAAA", "caller": b64u(entry.caller_tag(self._caller_key, agent, entry_id)),
            "subject": tag_for(subject, entry_id, previous), "details": b64u(drawn[13:45]), "internal": b64u(drawn[45:77]),
        }  # fmt: skip
        flags = 1 << int(6 * dice.random()) if dice.random() < 0.003 else 0
        team = f"team-{int(agent[6:]) % 40}" if not snoops else "team-7"
        station = self._hashed("station", f"PDL-{agent}")
        self._beside(
            at, position, subject, entry_id, "open", about, agent, "{t1}", team, ticket, station, clear, flags, previous
        )  # fmt: skip
        return self._chained(writer, members, position)

    def _beside(
        self, at: int, position: int, subject: str, entry_id: str, stream: str, about: dict[str, Any], agent: str, roles: str,
        team: str, ticket: str | None, station: str, clear: int, flags: int, previous: bytes,
    ) -> None:  # fmt: skip
        hashed = self._hashed("ticket", ticket) if ticket else "\\N"
        state = "verified" if ticket else "none"
        place = (str(at), str(position), subject, "1", entry_id)
        sealed = _octets(os.urandom(SEALED_BYTES))
        self._rows["audit_detail"].append(self._row(*place, sealed, stream, "1", _octets(previous)))
        self._rows["audit_lookup"].append(
            self._row(
                *place,
                stream,
                about["operation"],
                about["outcome"],
                about["kind"],
                agent,
                roles,
                team,
                about["recipient"],
                about["purpose"],
                about["channel"],
                hashed,
                station,
                state,
                "{identity,contact}",
                "{identity}",
                str(clear),
                str(flags),
            )
        )
        day = (str(at // DAY_MS), about["operation"], about["outcome"], about["purpose"], about["recipient"])
        self._days[day] += 1
        self._clear[day] += clear

    def _opened(self, position: int, at: int) -> bytes:
        """End a day's writer and open the next; where the snoop looks in that day is drawn."""
        self._ended()
        self._day = at // DAY_MS
        writer_id = f"wrt_{self._day:026d}"
        self._writer = _Writer(writer_id, self.keys.first_key(writer_id), position=position)
        today = int(DAY_MS / self._step)
        self._snoops = {position + 1 + int(self._dice.random() * today) for _ in range(A_DAY)}
        about = {"origin": self.keys.origin, "mac_key": 1, "audit_secret": self.keys.secret_version}
        entry_id = f"ent_{self._day:026d}"
        members = {
            "v": 1,
            "id": entry_id,
            "at": at,
            "operation": "writer-open",
            "outcome": "done",
            "kind": "system",
            "about": about,
        }
        place = (str(at), str(position), "-", "1", entry_id)
        self._rows["audit_detail"].append(self._row(*place, "\\N", "-", "0", "\\\\x"))
        nothing = ("\\N", "{}", *["\\N"] * 7, "{}", "{}", "0", "0")
        self._rows["audit_lookup"].append(self._row(*place, "-", "writer-open", "done", "system", *nothing))
        self._days[str(self._day), "writer-open", "done", "-", "-"] += 1
        return self._chained(self._writer, members, position)

    def _chained(self, writer: _Writer, members: dict[str, Any], position: int) -> bytes:
        members["writer"] = writer.writer_id
        members["number"] = writer.number = writer.number + 1
        members["previous"] = b64u(writer.previous) if writer.previous else ""
        leaf = entry.encode(members)
        hashed = writer.previous = leaf_hash(leaf)
        code = mac(writer.key, leaf)
        writer.key = entry.ratchet(writer.key)
        self._rows["audit_entry"].append(self._row("1", str(position), _octets(leaf), _octets(hashed), _octets(code)))
        return hashed

    def _ended(self) -> None:
        """Note where a writer ended. It is closed in the register of writers; its last entry is left out."""
        one = self._writer
        if one is not None:
            row = self._row(one.writer_id, str(one.number), _octets(one.previous), "1", datetime.now(UTC).isoformat(), "t", "1")
            self._rows["audit_writer"].append(row)
            self._writer = None

    def _hashed(self, kind: str, text: str) -> str:
        if len(self._hashes) > 100_000:
            self._hashes.clear()
        if text not in self._hashes:
            self._hashes[text] = entry.lookup_hash(self._lookup_key, kind, text)
        return _octets(self._hashes[text])

    def _row(self, *cells: str) -> str:
        return "\t".join((self.keys.controller_id, *cells)) + "\n"


def _octets(octets: bytes) -> str:
    return "\\\\x" + octets.hex()


def load(connection: "psycopg.Connection[Any]", made: Made, until: int, say: Callable[[str], None]) -> None:
    """Copy entries until the log has so many, as superuser: COPY FROM is refused under row security."""
    told = made.size
    unfinished = "DELETE FROM vault.audit_tile WHERE controller_id = %s AND length(hashes) < %s"
    connection.execute(unfinished, (made.keys.controller_id, TILE_BYTES))
    for rows in made.chunks(until):
        _copied(connection, rows)
        if made.size - told >= 1_000_000:
            told = made.size
            say(f"{made.size} entries loaded")
    _copied(connection, made.unfinished())
    if made.size >= made.total:
        _copied(connection, made.rest())
    connection.execute("UPDATE vault.audit_head SET size = %s WHERE controller_id = %s", (made.size, made.keys.controller_id))


def _copied(connection: "psycopg.Connection[Any]", rows: dict[str, list[str]]) -> None:
    for table, columns in COPIED.items():
        if rows.get(table):
            with connection.cursor().copy(f"COPY vault.{table} ({columns}) FROM STDIN".encode()) as copy:
                copy.write("".join(rows[table]))


def spread_over_months(connection: "psycopg.Connection[Any]", until: datetime, entries: int) -> None:
    """Make a partition of each month of the two years in the place of the one that holds all the past, and those of positions."""
    first = (until - timedelta(days=365 * MONTHS // 12 + 1)).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    bounds = [first]
    while bounds[-1] <= until:
        bounds.append((bounds[-1] + timedelta(days=32)).replace(day=1))
    for table in ("audit_detail", "audit_lookup"):
        connection.execute(f"ALTER TABLE vault.{table} DETACH PARTITION vault.{table}_first".encode())
        connection.execute("SET ROLE riserbo_owner")
        for low, high in pairwise(bounds):
            ends = (int(low.timestamp() * 1000), int(high.timestamp() * 1000))
            connection.execute("SELECT vault.add_audit_partition(%s, %s, %s, %s)", (table, f"{low:%Y_%m}", *ends))
        connection.execute("RESET ROLE")
        connection.execute(f"INSERT INTO vault.{table} SELECT * FROM vault.{table}_first".encode())
        connection.execute(f"DROP TABLE vault.{table}_first".encode())
    connection.execute("SET ROLE riserbo_owner")
    for number in range(1, (entries >> 20) + 2):
        known = connection.execute("SELECT to_regclass(%s)", (f"vault.audit_entry_{number:06d}",)).fetchone()
        if known == (None,):
            name = ("audit_entry", f"{number:06d}", number << 20, (number + 1) << 20)
            connection.execute("SELECT vault.add_audit_partition(%s, %s, %s, %s)", name)
    connection.execute("RESET ROLE")
