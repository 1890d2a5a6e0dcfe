"""One audit entry: what a verb drafts, its canonical bytes, its commitments, its tags and the chain of its writer.

A leaf is RFC 8785 JSON in a restricted profile: ASCII names, strings without lone surrogates, integers below 2^53 in size, lists,
objects, booleans; no floats, no null. In this profile orjson's sorted output equals RFC 8785; outside it does not, so `canonical`
refuses what lies outside. The bytes hashed are the bytes stored. A leaf holds no personal data and nothing that links two entries
of one person: what names people is sealed beside it, and the leaf carries a salted commitment (GDPR Art. 5(1)(c), EDPB 02/2025).

Pure: keys, salts, nonces, ids and instants are arguments.
"""

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Literal

import orjson

from vault.octets import b64u, b64u_decode, expand, lp, mac, u64

LEAF_MAX_BYTES = 8192
SALT_BYTES = 32
NOBODY = "-"  # the subject column of an entry that concerns nobody

Stream = Literal["open", "held"]

_CHAIN_LABELS: Mapping[str, str] = {"open": "riserbo.audit-chain.v1", "held": "riserbo.audit-chain-held.v1"}
_DEEPEST = 12
_PLAIN = frozenset({str, int, bool})
_TEXTS = (
    "id",
    "operation",
    "outcome",
    "kind",
    "recipient",
    "purpose",
    "channel",
    "ref",
    "bundle",
    "caller",
    "subject",
    "details",
    "internal",
    "writer",
    "previous",
)
_SHAPES: Mapping[str, type] = {
    **dict.fromkeys(_TEXTS, str), **dict.fromkeys(("v", "at", "number", "count"), int), **dict.fromkeys(("roles", "terms"), list),
    **dict.fromkeys(("fields", "about"), dict),
}  # fmt: skip
_YEAR_10000_MS = 253_402_300_800_000
_PROFILE = (
    orjson.OPT_SORT_KEYS
    | orjson.OPT_STRICT_INTEGER
    | orjson.OPT_PASSTHROUGH_DATETIME
    | orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_SUBCLASS
)


@dataclass(frozen=True, slots=True)
class Chain:
    """A person's chain of entries as read with their data: the head, and the wrapped key its tags are made with.

    `number` 0 and `tag` b"" when the person has no entry yet; a head of an older era counts as that. The head is the row of
    `audit_subject_head` with this `stream` (columns era, number, tag); key and epoch are `keys.subject_audit_key`'s highest epoch.
    """

    subject_id: str
    audit_key_epoch: int
    audit_key_wrap: bytes = field(repr=False)
    era: int = 0
    number: int = 0
    tag: bytes = b""
    stream: Stream = "open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What a verb is about to do, in words of the closed lists; the recorder makes the entry of it.

    `fields` maps a name to its level as answered: clear, masked:<mask>, token, withheld, absent. `details` is what the data subject
    may see of it, `internal` what officers may; both are sealed, neither ever holds a value. `opens` maps each field that will be
    opened to the agreement whose wrap opens it. Without `chain` the entry concerns nobody in the vault. `bundle` is the SHA-256 of
    the policies.
    """

    entry_id: str
    operation: str
    outcome: str  # allowed partial refused failed done
    kind: str  # agent system dpo subject operator job
    caller_id: str | None = None
    roles: Sequence[str] = ()
    recipient: str | None = None
    purpose: str | None = None
    channel: str | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    count: int | None = None
    terms: Sequence[str] = ()
    bundle: bytes | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    internal: Mapping[str, Any] = field(default_factory=dict)
    chain: Chain | None = None
    opens: Mapping[str, str] = field(default_factory=dict)
    subject_id: str = ""
    team: str | None = None
    ticket_id: str | None = None
    ticket_state: str | None = None
    classes: Sequence[str] = ()
    clear_classes: Sequence[str] = ()
    flags: int = 0
    about: Mapping[str, Any] = field(default_factory=dict)
    ref: str | None = None  # of a `failed` entry: the entry whose act did not happen after all


def canonical(value: Mapping[str, Any]) -> bytes:
    """Return the RFC 8785 bytes of an object of the restricted profile. Raises ValueError for anything outside it."""
    check_profile(value)
    return encode(value)


def encode(value: Mapping[str, Any]) -> bytes:
    """Return the bytes of an object already known to be in the profile. Raises ValueError for what orjson itself refuses."""
    try:
        return orjson.dumps(value, option=_PROFILE)
    except orjson.JSONEncodeError:
        raise ValueError("not in the canonical profile") from None  # orjson's text may quote the value


def check_profile(value: Any, depth: int = 0) -> None:
    """Raise ValueError unless `value` is made of the profile's types alone: exact types, for subclasses encode differently."""
    kind = type(value)
    if depth >= _DEEPEST:
        raise ValueError("nested too deeply")
    if kind is dict:
        for name, member in value.items():
            if type(name) is not str or not name.isascii():
                raise ValueError("a name is not ASCII")
            if type(member) not in _PLAIN:
                check_profile(member, depth + 1)
    elif kind is list or kind is tuple:
        for member in value:
            if type(member) not in _PLAIN:
                check_profile(member, depth + 1)
    else:
        raise ValueError("a value is outside the canonical profile")


# --- keys, tags, commitments -----------------------------------------------------------------------------------------------


def chain_key(audit_key: bytes, stream: str) -> bytes:
    """Return the key of a person's tags in the open or the held stream."""
    return expand(audit_key, lp(_CHAIN_LABELS[stream]))


def details_key(key: bytes) -> bytes:
    """Return the key that seals details: of a subject's audit key, or of secret `audit` for entries without subject."""
    return expand(key, lp("riserbo.audit-details.v1"))


def label_key(audit_key: bytes) -> bytes:
    """Return the key of agents' pseudonyms towards this person."""
    return expand(audit_key, lp("riserbo.audit-label.v1"))


def caller_key(secret: bytes) -> bytes:
    """Return the key of caller tags, from the controller's secret `audit`."""
    return expand(secret, lp("riserbo.audit-caller.v1"))


def lookup_key(secret: bytes) -> bytes:
    """Return the key of the hashes by which look-up rows find a ticket or a station."""
    return expand(secret, lp("riserbo.audit-lookup.v1"))


def lookup_hash(key: bytes, kind: str, text: str) -> bytes:
    """Return 8 bytes that stand for a ticket or a station in look-up rows."""
    return mac(key, lp(kind) + lp(text))[:8]


def subject_tag(key: bytes, entry_id: str, number: int, previous: bytes) -> bytes:
    """Return the 16-byte tag of entry `number` (from 1) of a person's chain; `previous` is the tag before, b"" for the first."""
    return mac(key, lp(entry_id) + u64(number) + lp(previous))[:16]


def caller_tag(key: bytes, caller_id: str, entry_id: str) -> bytes:
    """Return the 16-byte tag by which the holder of secret `audit`, and nobody else, can ask whether it was this caller."""
    return mac(key, lp(caller_id) + lp(entry_id))[:16]


def commitment(salt: bytes, part: bytes) -> bytes:
    """Return the 32-byte commitment to the canonical bytes of `details` or `internal`.

    To the text, not to the ciphertext: GCM does not commit to its key. Salt and key gone, it says nothing.
    """
    return mac(salt, part)


def sealed_text(details: bytes, internal: bytes, salts: tuple[bytes, bytes]) -> bytes:
    """Return the canonical bytes that are sealed beside a leaf, from the canonical bytes of both parts."""
    return b'{"details":%b,"internal":%b,"salts":["%b","%b"]}' % (
        details, internal, b64u(salts[0]).encode(), b64u(salts[1]).encode(),
    )  # fmt: skip


def details_place(controller_id: str, subject_id: str, entry_id: str) -> bytes:
    """Return where sealed details belong (their AAD, before the envelope's header). `subject_id` is empty for nobody."""
    return lp("riserbo.audit-details.v1") + lp(controller_id) + lp(subject_id) + lp(entry_id)


# --- the writer's chain ----------------------------------------------------------------------------------------------------


def first_mac_message(controller_id: str, writer_id: str) -> bytes:
    """Return the message whose MAC under `audit-mac/<n>` is K_1 of this writer."""
    return lp("riserbo.audit-writer.v1") + lp(controller_id) + lp(writer_id)


_RATCHET = lp("riserbo.audit-ratchet.v1")


def ratchet(key: bytes) -> bytes:
    """Return K_i+1. One way: whoever takes a process's present key cannot forge what it wrote before."""
    return sha256(_RATCHET + key).digest()


def leaf_mac(key: bytes, leaf: bytes) -> bytes:
    """Return the 32-byte MAC of a leaf under the writer's key of that number."""
    return mac(key, leaf)


# --- reading back ----------------------------------------------------------------------------------------------------------


def is_shaped(members: Mapping[str, Any]) -> bool:
    """Return whether each member that is there has the shape it has in an entry, `at` being an instant. Names are not judged.

    Whoever edits a row writes what they like: a list for an object must be a finding, not the end of the reading.
    """
    return (
        all(type(value) is _SHAPES.get(name, type(value)) for name, value in members.items())
        and 0 <= members.get("at", 0) < _YEAR_10000_MS
        and all(type(one) is str for one in (*members.get("roles", ()), *members.get("fields", {}).values()))
    )


@dataclass(frozen=True, slots=True)
class Opening:
    """What was sealed beside an entry, its commitments checked."""

    details: Mapping[str, Any]
    internal: Mapping[str, Any]
    salt: bytes = field(default=b"", repr=False, compare=False)  # of `details`: with it whoever may see that part can check it


def opened(leaf: Mapping[str, Any], clear: bytes) -> Opening:
    """Return the sealed parts of an entry from their opened bytes. Raises ValueError unless both commitments of the leaf hold."""
    try:
        both = orjson.loads(clear)
        details, internal = both["details"], both["internal"]
        salts = [b64u_decode(one) for one in both["salts"]]
        made = [b64u(commitment(salt, canonical(part))) for salt, part in zip(salts, (details, internal), strict=True)]
        held = [hmac.compare_digest(leaf[name], one) for name, one in zip(("details", "internal"), made, strict=True)]
    except (KeyError, TypeError, orjson.JSONDecodeError):
        raise ValueError("not the details of an entry") from None
    if not all(held):
        raise ValueError("a commitment does not hold")
    return Opening(details, internal, salts[0])
