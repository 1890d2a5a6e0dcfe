"""What can be made of a draft before a lane is taken: salts, commitments, sealed details, caller tags, look-up columns.

A lane is shared and the interpreter is too, so the lane is left only what depends on the writer's and the person's chain.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from typing import Any, Protocol

from vault.audit import entry
from vault.audit.entry import NOBODY, Chain, Draft
from vault.errors import Unreadable
from vault.octets import b64u, text_array

CHAIN_MARGIN_BYTES = 256  # what a lane adds to a leaf: writer, number, previous, at, subject
_WITHHELD = frozenset({"withheld", "absent", "token"})


class AuditSecret(Protocol):
    """A version of a controller's secret `audit`, and the keys derived of it."""

    @property
    def version(self) -> int:
        """Return its number."""
        ...

    def under(self, derive: Callable[[bytes], bytes]) -> bytes:
        """Return the key a function derives of it."""
        ...


@dataclass(frozen=True, slots=True)
class Means:
    """What the recorder is handed: keys through callables, so that `audit` imports no other noun."""

    mac: Callable[[str, bytes], bytes] = field(repr=False)
    unwrap_audit_key: Callable[[str, str, int, bytes], bytes] = field(repr=False)
    audit_secret: Callable[[str], AuditSecret] = field(repr=False)
    seal: Callable[[bytes, bytes, bytes], bytes] = field(repr=False)
    draw: Callable[[int], bytes] = field(repr=False)
    now: Callable[[], datetime]
    monotonic: Callable[[], float]
    new_id: Callable[[str], str]
    origin_host: str
    mac_key: int


@dataclass(frozen=True, slots=True)
class Prepared:
    """A draft made ready. `columns` are the pending row's, after those of the chains, as the driver sends them."""

    draft: Draft
    leaf: Mapping[str, Any]
    chain_key: bytes = field(repr=False)
    columns: tuple[bytes | None, ...]
    secret_version: int

    @property
    def place(self) -> tuple[str, str]:
        """Whose chain it goes to, and the order in which batches take chain heads: two batches then never wait for each other."""
        chain = self.draft.chain
        return (chain.subject_id, chain.stream) if chain is not None else ("", "")


def prepare(means: Means, controller_id: str, draft: Draft) -> Prepared:
    """Return the draft made ready for a lane.

    Raises ValueError for a draft outside the canonical profile, a leaf too long, or opening what the entry says is not shown;
    whatever the keys raise.
    """
    _expect_consistent(draft)
    secret = means.audit_secret(controller_id)
    chain_key = details_key = b""
    if draft.chain is not None:
        try:
            chain_key, details_key = _subject_keys(means, controller_id, draft.chain)
        except Unreadable:
            draft = _unchained(draft)
    leaf = _leaf(draft)
    if draft.caller_id is not None:
        leaf["caller"] = b64u(entry.caller_tag(secret.under(entry.caller_key), draft.caller_id, draft.entry_id))
    sealed = None
    if draft.details or draft.internal:
        sealed = _seal(means, controller_id, draft, details_key or secret.under(entry.details_key), leaf)
    if len(entry.canonical(leaf)) + CHAIN_MARGIN_BYTES > entry.LEAF_MAX_BYTES:
        raise ValueError("a leaf is too long")
    return Prepared(draft, leaf, chain_key, _columns(draft, secret, sealed), secret.version)


def _expect_consistent(draft: Draft) -> None:
    """A refusal's permit covers no field, and none covers a field whose entry says that it is not shown."""
    if draft.opens and draft.outcome in ("refused", "failed"):
        raise ValueError("a refusal opens nothing")
    if any(draft.fields.get(name) in _WITHHELD for name in draft.opens):
        raise ValueError("what is withheld is not opened")


def _subject_keys(means: Means, controller_id: str, chain: Chain) -> tuple[bytes, bytes]:
    audit_key = means.unwrap_audit_key(controller_id, chain.subject_id, chain.audit_key_epoch, chain.audit_key_wrap)
    return entry.chain_key(audit_key, chain.stream), entry.details_key(audit_key)


def _unchained(draft: Draft) -> Draft:
    """Return the entry of an act on a person whose audit key does not open: it is on record, in nobody's chain, and opens nothing.

    Refusing the entry would fail the whole batch, and let whoever spoils one row silence its neighbours.
    """
    internal = {**draft.internal, "fault": "audit-key", "asked": draft.chain.subject_id if draft.chain is not None else ""}
    return replace(draft, chain=None, subject_id="", opens={}, outcome="failed", fields={}, count=0, internal=internal)


def _leaf(draft: Draft) -> dict[str, Any]:
    """Return the leaf without the members of the chains; a member that does not apply is absent."""
    leaf: dict[str, Any] = {
        "v": 1,
        "id": draft.entry_id,
        "operation": draft.operation,
        "outcome": draft.outcome,
        "kind": draft.kind,
    }
    for name in ("recipient", "purpose", "channel", "count", "ref"):
        value = getattr(draft, name)
        if value is not None:
            leaf[name] = value
    for name in ("roles", "terms"):
        if names := getattr(draft, name):
            leaf[name] = sorted(names)
    for name in ("fields", "about"):
        if members := getattr(draft, name):
            leaf[name] = dict(members)
    if draft.bundle is not None:
        leaf["bundle"] = b64u(draft.bundle[:16])
    return leaf


def _seal(means: Means, controller_id: str, draft: Draft, key: bytes, leaf: dict[str, Any]) -> bytes:
    """Seal both parts with fresh salts and put the commitments to them into the leaf."""
    drawn = means.draw(2 * entry.SALT_BYTES)
    salts = drawn[: entry.SALT_BYTES], drawn[entry.SALT_BYTES :]
    details, internal = entry.canonical(dict(draft.details)), entry.canonical(dict(draft.internal))
    leaf["details"] = b64u(entry.commitment(salts[0], details))
    leaf["internal"] = b64u(entry.commitment(salts[1], internal))
    subject_id = draft.chain.subject_id if draft.chain is not None else ""
    place = entry.details_place(controller_id, subject_id, draft.entry_id)
    return means.seal(key, place, entry.sealed_text(details, internal, salts))


def _columns(draft: Draft, secret: AuditSecret, sealed: bytes | None) -> tuple[bytes | None, ...]:
    """Return sealed details and look-up columns, in the order of the writer's statement."""
    station = draft.internal.get("station")
    hashed = secret.under(entry.lookup_key) if draft.ticket_id is not None or station is not None else b""
    return (
        sealed,
        draft.chain.subject_id.encode() if draft.chain is not None else NOBODY.encode(),
        draft.entry_id.encode(),
        draft.chain.stream.encode() if draft.chain is not None else NOBODY.encode(),
        draft.operation.encode(),
        draft.outcome.encode(),
        draft.kind.encode(),
        _text(draft.caller_id),
        _closed_list(tuple(draft.roles)),
        _text(draft.team),
        _text(draft.recipient),
        _text(draft.purpose),
        _text(draft.channel),
        entry.lookup_hash(hashed, "ticket", draft.ticket_id) if draft.ticket_id is not None else None,
        entry.lookup_hash(hashed, "station", station) if isinstance(station, str) else None,
        _text(draft.ticket_state),
        _closed_list(tuple(draft.classes)),
        _closed_list(tuple(draft.clear_classes)),
        b"%d" % list(draft.fields.values()).count("clear"),
        b"%d" % draft.flags,
    )


def _text(value: str | None) -> bytes | None:
    return value.encode() if value is not None else None


@lru_cache(maxsize=1024)
def _closed_list(values: tuple[str, ...]) -> bytes:
    """Return roles, classes and the like as an array: they are few, and the same ones each time."""
    return text_array(values)
