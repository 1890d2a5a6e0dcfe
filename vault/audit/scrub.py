"""The scrub: what lies beside the leaves, compared with them: sealed details, each person's chain, look-up rows.

Details are opened and their commitments recomputed; each person's tags are followed from the first; look-up rows are compared with
leaf and caller tag. Fed rows ordered by person and stream, so that one audit key at a time is in memory.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vault.audit import entry
from vault.audit.entry import NOBODY
from vault.audit.scan import Findings, members_of
from vault.errors import Unreadable
from vault.octets import b64u

_SAME = ("operation", "outcome", "kind", "recipient", "purpose", "channel")


def row_fits(row: Any, members: Mapping[str, Any], caller_keys: Callable[[], Iterable[bytes]]) -> bool:
    """Return whether a look-up row says of an entry what its leaf says, the caller by one of the keys of their tags included."""
    fits = members.get("id") == row.entry_id and members.get("at") == row.at
    fits = fits and all(members.get(name) == getattr(row, name) for name in _SAME)
    fits = fits and list(members.get("roles", [])) == sorted(row.roles or [], key=str)
    if not fits or (row.caller_id is None and "caller" not in members):
        return fits
    tags = (entry.caller_tag(key, row.caller_id or "", row.entry_id) for key in caller_keys())
    return any(members.get("caller") == b64u(tag) for tag in tags)


@dataclass(frozen=True, slots=True)
class ScrubKeys:
    """How details are opened.

    `audit_key` answers None for a person who has none (never enrolled after all, or erased), and raises Unreadable for one who
    should have one that opens; `audit_secret` raises it for a version that is not there. Any other error ends the verification.
    """

    audit_key: Callable[[str], bytes | None] = field(repr=False)
    audit_secret: Callable[[int], bytes] = field(repr=False)
    unseal: Callable[[bytes, bytes, bytes], bytes] = field(repr=False)


@dataclass(frozen=True, slots=True)
class DetailRow:
    """One detail row with its leaf."""

    position: int
    at: int
    subject_id: str
    entry_id: str
    stream: str
    sealed: bytes | None
    chain_number: int
    chain_previous: bytes
    leaf: bytes


@dataclass(slots=True)
class _Chain:
    """Where a person's chain stands in the pass."""

    place: tuple[str, str] = ("", "")
    number: int = 0
    tag: bytes = b""
    audit_key: bytes | None = field(default=None, repr=False)


class Scrub:
    """One pass over details and look-up rows. `versions` maps each writer to the version of secret `audit` it used.

    `carried` are the versions that may be those of writers of whom `versions` says none: they began before what is read.
    `began_before`: the log was pruned, so the first row left of a person's chain says where it stood; its tag must follow from it.
    """

    def __init__(
        self,
        controller_id: str,
        keys: ScrubKeys,
        versions: Mapping[str, int],
        findings: Findings,
        *,
        began_before: bool = False,
        carried: Sequence[int] = (0,),
    ) -> None:
        self._carried = carried
        self._began_before = began_before
        self._controller_id = controller_id
        self._keys = keys
        self._versions = versions
        self._findings = findings
        self._chain = _Chain()
        self._secrets: dict[int, bytes | None] = {}
        self.unkeyed = 0

    def detail(self, row: DetailRow) -> None:
        """Check one detail row; rows come by person, stream and number."""
        members = members_of(row.leaf)
        if members is None or members.get("id") != row.entry_id or members.get("at") != row.at:
            self._findings.add("details", "a detail row is of another entry", row.position)
            return
        if row.subject_id == NOBODY:
            if "subject" in members:
                self._findings.add("subject-chain", "an entry about somebody is filed under nobody", row.position)
            self._open(row, members, "", (entry.details_key(one) for one in self._secrets_of(members)))
            return
        self._follow(row, members)

    def lookup(self, row: Any) -> None:
        """Check one look-up row against its `leaf`, and against `whose` the detail row beside it is, None where there is none."""
        members = members_of(row.leaf) or {}
        fits = row_fits(row, members, lambda: (entry.caller_key(one) for one in self._secrets_of(members)))
        clear = list(members.get("fields", {}).values()).count("clear")
        if not fits or row.clear_count != clear or row.whose not in (None, row.subject_id):
            self._findings.add("lookup", "a look-up row does not fit its entry", row.position)

    def _follow(self, row: DetailRow, members: Mapping[str, Any]) -> None:
        """Follow a person's chain by one entry."""
        chain, place = self._chain, (row.subject_id, row.stream)
        if chain.place != place:
            known = chain.audit_key if chain.place[0] == row.subject_id else self._audit_key(row)
            chain.place, chain.number, chain.tag, chain.audit_key = place, 0, b"", known
            if self._began_before and row.chain_number > 1:
                chain.number, chain.tag = row.chain_number - 1, row.chain_previous
        if chain.audit_key is None:
            self.unkeyed += 1
            return
        tag = b""
        if row.stream in ("open", "held") and row.chain_number > 0:
            key = entry.chain_key(chain.audit_key, row.stream)
            tag = entry.subject_tag(key, row.entry_id, row.chain_number, row.chain_previous)
        if row.chain_number != chain.number + 1 or row.chain_previous != chain.tag or members.get("subject") != b64u(tag):
            self._findings.add("subject-chain", "a person's chain does not hold", row.position)
        chain.number, chain.tag = row.chain_number, tag
        self._open(row, members, row.subject_id, [entry.details_key(chain.audit_key)])

    def _audit_key(self, row: DetailRow) -> bytes | None:
        try:
            return self._keys.audit_key(row.subject_id)
        except Unreadable:
            self._findings.add("audit-key", "somebody's audit key is missing or does not open", row.position)
            return None

    def _open(self, row: DetailRow, members: Mapping[str, Any], subject_id: str, keys: Iterable[bytes]) -> None:
        """Open sealed details by one of the keys and check both commitments. Nothing sealed and nothing committed is right too."""
        if row.sealed is None and "details" not in members:
            return
        place = entry.details_place(self._controller_id, subject_id, row.entry_id)
        if not any(self._opens(key, place, row.sealed or b"", members) for key in keys):
            self._findings.add("details", "sealed details do not fit the commitments", row.position)

    def _opens(self, key: bytes, place: bytes, sealed: bytes, members: Mapping[str, Any]) -> bool:
        try:
            entry.opened(members, self._keys.unseal(key, place, sealed))
        except (ValueError, Unreadable):
            return False
        return True

    def _secrets_of(self, members: Mapping[str, Any]) -> Iterator[bytes]:
        """Yield the secret that an entry's writer used; of one that began before what is read, each that it may have used."""
        version = self._versions.get(str(members.get("writer")), 0)
        for one in (version,) if version else self._carried:
            if one not in self._secrets:
                self._secrets[one] = self._secret(one)
            known = self._secrets[one]
            if known is not None:
                yield known

    def _secret(self, version: int) -> bytes | None:
        try:
            return self._keys.audit_secret(version)
        except Unreadable:  # a leaf names what it likes: nothing fits a version that is not there
            return None
