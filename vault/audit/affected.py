"""Whose data an act touched: which entries count, decided on their leaves, and what they amount to for each person.

Look-up rows propose, leaves decide: a look-up row may have been deleted, changed or made up by whoever owns the database, a leaf
is under a signed root. Whether it was this caller is recomputed from the leaf's tag; what was shown is what the leaf says. Whose
entry it is says the detail row beside it, and that is believed only where the person's own tag in the leaf bears it out.

Pure: keys are arguments.
"""

import hmac
from binascii import b2a_base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

from vault.audit import entry
from vault.audit.merkle import HASH_BYTES, Frontier, leaf_hash
from vault.audit.scan import members_of
from vault.octets import b64u, lp

_NOT_SHOWN: Final = frozenset({"withheld", "absent"})
_NOTHING_HAPPENED: Final = frozenset({"refused", "failed"})
_CALLER, _ID, _ID_START = b'"caller":"', b'"id":"ent_', len(b'"id":"')
_TAG_CHARACTERS: Final = 22  # 16 bytes in base64url
_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")
_INNER, _OUTER = bytes(one ^ 0x36 for one in range(256)), bytes(one ^ 0x5C for one in range(256))


@dataclass(frozen=True, slots=True)
class Criteria:
    """Which accesses count: all that is stated must be so. Instants in ms and positions are half-open; `fields` any of which."""

    caller: str | None = None
    system: str | None = None  # that received the data
    station: str | None = None
    fields: frozenset[str] = frozenset()
    bundle: str | None = None  # as a leaf says it
    since_ms: int = 0
    until_ms: int = 1 << 62
    first: int = 0
    end: int = 1 << 62


@dataclass(frozen=True, slots=True)
class Evidence:
    """One entry with the detail row beside it; `subject_id` is None where that row is gone."""

    position: int
    leaf: bytes
    subject_id: str | None = None
    stream: str = "open"
    chain_number: int = 0
    chain_previous: bytes = b""
    sealed: bytes | None = None


class CallerTags:
    """Whether a leaf is of one caller: by the tag in it, under every version of secret `audit` there is.

    The tag is read out of the bytes and not out of parsed JSON, for ten million of them are asked. In canonical JSON a quote
    inside a string has a backslash before it, so the first `"caller":"` is the member, unless an object comes before it.
    """

    def __init__(self, secrets: Iterable[bytes], caller_id: str) -> None:
        self._begun = []
        for secret in secrets:
            padded = entry.caller_key(secret).ljust(64, b"\0")
            self._begun.append((sha256(padded.translate(_INNER) + lp(caller_id)), sha256(padded.translate(_OUTER))))

    def fit(self, leaf: bytes) -> bool:
        """Return whether the leaf bears this caller's tag."""
        at, named = leaf.find(_CALLER), leaf.find(_ID)
        if at < 0:
            return False
        if leaf.startswith(b'{"about"') or named < 0:
            return self._fits_parsed(leaf)
        first, start = at + len(_CALLER), named + _ID_START
        tag = leaf[first : first + _TAG_CHARACTERS]
        return self._is(leaf[start : leaf.index(b'"', start)], tag)

    def _fits_parsed(self, leaf: bytes) -> bool:
        members = members_of(leaf) or {}
        return self._is(str(members.get("id")).encode(), str(members.get("caller")).encode())

    def _is(self, entry_id: bytes, tag: bytes) -> bool:
        message = len(entry_id).to_bytes(2, "big") + entry_id
        for inner, outer in self._begun:
            one, other = inner.copy(), outer.copy()
            one.update(message)
            other.update(one.digest())
            if b2a_base64(other.digest()[:16], newline=False)[:_TAG_CHARACTERS].translate(_URL_SAFE) == tag:
                return True
        return False


@dataclass(frozen=True, slots=True)
class Judge:
    """Decides on a leaf whether it counts. `tags` of the caller that is asked for, None for anybody."""

    criteria: Criteria
    tags: CallerTags | None = field(default=None, repr=False)

    def counts(self, position: int, leaf: bytes) -> bool:
        """Return whether this entry is one of those asked for; a station is not in the leaf, and is asked afterwards."""
        if not self.criteria.first <= position < self.criteria.end or (self.tags is not None and not self.tags.fit(leaf)):
            return False
        members, asked = _entry(leaf), self.criteria
        return members is not None and (
            asked.since_ms <= members["at"] < asked.until_ms
            and asked.system in (None, members.get("recipient"))
            and asked.bundle in (None, members.get("bundle"))
            and (not asked.fields or not asked.fields.isdisjoint(shown(members)))
        )


def _entry(leaf: bytes) -> Mapping[str, Any] | None:
    """Return the members of a leaf, None for bytes that no recorder wrote: those are told by the root, which they do not make."""
    members = members_of(leaf)
    if members is None or not isinstance(members.get("at"), int) or not isinstance(members.get("id"), str):
        return None
    return members if isinstance(members.get("fields", {}), dict) else None


def shown(members: Mapping[str, Any]) -> dict[str, str]:
    """Return the fields of which something was shown, each with its level."""
    if members.get("outcome") in _NOTHING_HAPPENED:
        return {}
    return {name: level for name, level in members.get("fields", {}).items() if level not in _NOT_SHOWN}


# --- the pass over every leaf ------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Pass:
    """One pass over a log from its first leaf: what counts, and the root that all of them together make."""

    judge: Judge
    frontier: Frontier = field(default_factory=Frontier)
    found: list[int] = field(default_factory=list)

    def take(self, rows: Iterable[tuple[int, bytes]]) -> bool:
        """Take the next leaves; return whether none was missing between them. After a gap nothing more is taken."""
        counts, append = self.judge.counts, self.frontier.append
        for position, leaf in rows:
            if position != self.frontier.size:
                return False
            append(leaf_hash(leaf))
            if counts(position, leaf):
                self.found.append(position)
        return True

    def kept(self) -> bytes:
        """Return what a later process goes on from."""
        return b"".join(self.frontier.parts)

    @classmethod
    def resumed(cls, judge: Judge, size: int, kept: bytes) -> "Pass":
        """Return a pass that has taken `size` leaves already. Raises ValueError where `kept` is of another size."""
        parts = [kept[at : at + HASH_BYTES] for at in range(0, len(kept), HASH_BYTES)]
        return cls(judge, Frontier.resumed(size, parts))


# --- what it amounts to ------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Affected:
    """One person: which fields were shown, at which levels, when, by which entries."""

    subject_id: str
    levels: dict[str, set[str]] = field(default_factory=dict)
    first_at: int = 1 << 62
    last_at: int = -1
    entry_ids: list[str] = field(default_factory=list)

    def told(self) -> dict[str, Any]:
        """Return it as a document; instants in ms."""
        levels = {name: sorted(some) for name, some in sorted(self.levels.items())}
        return {
            "subject_id": self.subject_id, "fields": list(levels), "levels": levels, "first_at": self.first_at,
            "last_at": self.last_at, "entry_ids": self.entry_ids,
        }  # fmt: skip


@dataclass(slots=True)
class Amount:
    """What a set of entries amounts to.

    `refused`: nothing was shown, or the act did not happen. `about_nobody`: a search without a hit and the like. `unattributed`:
    about somebody, but the row that names them is gone or is not borne out. `dropped`: proposed by a look-up row, and not so.
    `is_proven`: a tree was there to prove them by, where that was asked for.
    """

    people: dict[str, Affected] = field(default_factory=dict)
    entries: int = 0
    refused: int = 0
    about_nobody: int = 0
    unattributed: list[str] = field(default_factory=list)
    dropped: int = 0
    is_proven: bool = True


def amount(
    judge: Judge, evidence: Iterable[Evidence], chain_keys: Callable[[str, str], bytes | None], before: Amount | None = None
) -> Amount:
    """Return what these entries amount to, added to what others did `before`.

    `chain_keys(subject_id, stream)` is None where that key is gone.
    """
    found = before or Amount()
    for one in evidence:
        if not judge.counts(one.position, one.leaf):
            found.dropped += 1
            continue
        members = _entry(one.leaf) or {}
        if members.get("outcome") in _NOTHING_HAPPENED:
            found.refused += 1
        elif "subject" not in members:
            found.about_nobody += 1
        elif not is_about(one, members, chain_keys):
            found.unattributed.append(members["id"])
        else:
            _add(found, one.subject_id or "", members)
    return found


def is_about(one: Evidence, members: Mapping[str, Any], chain_keys: Callable[[str, str], bytes | None]) -> bool:
    """Return whether the person of the detail row is the one the leaf is about."""
    key = chain_keys(one.subject_id, one.stream) if one.subject_id is not None and one.stream in ("open", "held") else None
    if key is None:
        return False
    tag = entry.subject_tag(key, members["id"], one.chain_number, one.chain_previous)
    return hmac.compare_digest(b64u(tag), str(members["subject"]))


def _add(found: Amount, subject_id: str, members: Mapping[str, Any]) -> None:
    found.entries += 1
    person = found.people.setdefault(subject_id, Affected(subject_id))
    for name, level in shown(members).items():
        person.levels.setdefault(name, set()).add(level)
    person.first_at, person.last_at = min(person.first_at, members["at"]), max(person.last_at, members["at"])
    person.entry_ids.append(members["id"])


def instant(leaf: bytes) -> int:
    """Return when an entry was written, in ms; -1 for bytes that are none."""
    return int((_entry(leaf) or {"at": -1})["at"])


def bundle_in_leaf(digest: str) -> str:
    """Return how a leaf names a bundle, from its digest (`sha256:` and 64 hex digits)."""
    return b64u(bytes.fromhex(digest.removeprefix("sha256:"))[:16])


def people_of(found: Amount) -> Sequence[Affected]:
    """Return the people, by when they were first touched."""
    return sorted(found.people.values(), key=lambda one: (one.first_at, one.subject_id))
