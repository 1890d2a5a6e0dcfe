"""Data keys: sealing a person's values, and opening those a permit names, through the wraps of those who hold the key.

No agreement, no key: a data key is 32 random bytes for one (controller, subject, class, generation), stored only as one wrap for
each holder. `open_fields` finds the key through the wrap of the agreement the decision rests on and through no other, so a policy
that wrongly said yes has nothing to open with. Data keys are not cached: an unwrap costs two microseconds, and an ended agreement
must stop at once.

Whatever fails while opening is Unreadable: which step it was is never told. Keys and nonces are drawn here, from the operating
system. A random nonce is safe: a data key seals at most 2^24 values (collision 2^-49), counted in `keys.data_key.seals`.
"""

import dataclasses
import hmac
import secrets  # noqa: TID251 (data keys, audit keys and the nonces of values are drawn here)
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import orjson
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vault.errors import Fault, InvalidValue, Stale, Unreadable
from vault.keys import envelope, frame
from vault.keys.controller_keys import ControllerKeys
from vault.keys.draws import draw
from vault.keys.frame import Frame, FrameEntry
from vault.octets import lp, u64
from vault.permit import Clear, ReadPermit

SEALS_PER_KEY = 2**24
VALUE_BYTES = 16_384
LEAST_PADDED_BYTES = 32  # booleans, enumerations and dates need 32, and types are not known here: for all

_JSON = orjson.OPT_SORT_KEYS | orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_SUBCLASS


@dataclass(frozen=True, slots=True)
class SealedClass:
    """One class of one subject as read: frame, key row and wraps.

    `wraps` maps an agreement to the epoch and bytes of its wrap in the highest epoch.
    """

    controller_id: str
    subject_id: str
    class_name: str
    generation: int
    commit: bytes
    manifest: bytes
    frame: bytes
    wraps: Mapping[str, tuple[int, bytes]]
    parsed: Frame | None = None  # the frame as read, where somebody has read it already


@dataclass(frozen=True, slots=True)
class NewValue:
    """A value to seal, never printed. `agreement_id` is the agreement it is collected under."""

    field: str
    value: Any = dataclasses.field(repr=False)
    agreement_id: str
    value_version: int


@dataclass(frozen=True, slots=True)
class NewWrap:
    """A row for `keys.data_key_wrap`."""

    class_name: str
    generation: int
    holder_kind: str
    holder_id: str
    epoch: int
    wrap: bytes


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """A value that is no longer the latest: its envelope moved out of the frame as it was."""

    field: str
    value_version: int
    agreement_id: str
    envelope: bytes


@dataclass(frozen=True, slots=True)
class NewClass:
    """A class sealed for the first time, or anew under a new generation. `seals` is the count to begin with."""

    class_name: str
    generation: int
    data_key_id: str
    commit: bytes
    manifest: bytes
    frame: bytes
    seals: int
    wraps: tuple[NewWrap, ...]
    history: tuple[HistoryRow, ...] = ()


@dataclass(frozen=True, slots=True)
class Changes:
    """What to change in one class: values to set, fields to remove."""

    values: Sequence[NewValue] = ()
    removed: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class AmendedClass:
    """A class after changes. `manifest_before` is the one that was read: the write must still find it. `seals` were added."""

    class_name: str
    generation: int
    manifest_before: bytes
    manifest: bytes
    frame: bytes
    seals: int
    history: tuple[HistoryRow, ...]


def open_fields(
    keys: ControllerKeys, permit: ReadPermit, sealed: Sequence[SealedClass], at: float, absent: Mapping[str, str] | None = None
) -> dict[str, Clear]:
    """Return the fields the permit names, opened; fields without a value are absent.

    The permit is spent first (`at` is monotonic seconds). Then, for each class that holds such a field: the wrap of each deciding
    agreement, the key's commitment, the frame's manifest, and only then those fields. `absent` names each class a field of which is
    said to have no value, and the agreement its decision rests on: that frame is authenticated even where nothing in it is opened,
    or a value could be made to disappear by SQL, and a stand-in is opened, so that it takes as long. Raises Unreadable, or
    KeysUnavailable.
    """
    granted = permit.spend(permit.controller_id, permit.subject_id, at)
    opened: dict[str, Clear] = {}
    try:
        for one in sealed:
            _expect_subject(one, permit)
            _open_class(keys, one, granted, (absent or {}).get(one.class_name), opened)
        for _ in (absent or {}).keys() - {one.class_name for one in sealed}:
            _open_stand_in()
    except (ValueError, OverflowError):  # JSON that is none, a number no format holds
        raise Unreadable from None
    return opened


def seal_class(
    keys: ControllerKeys,
    controller_id: str,
    subject_id: str,
    class_name: str,
    data_key_id: str,
    values: Sequence[NewValue],
    holders: Sequence[str],
    generation: int = 1,
    held_for: Sequence[str] = (),
) -> NewClass:
    """Seal the values of one class under a new data key, wrapped once for each agreement in `holders`.

    `held_for` are agreements that cover nothing yet: their wrap keeps the key from dying, and no verb opens through it.
    Raises InvalidValue for what is not a storable value, ValueError without either: a key nobody holds is lost at once.
    """
    if not holders and not held_for:
        raise ValueError("no agreement, no key")
    data_key = secrets.token_bytes(envelope.KEY_BYTES)
    scope = envelope.scope(controller_id, subject_id, class_name, generation)
    place = envelope.class_place(controller_id, subject_id, class_name)
    packed = frame.encode(seal_values(data_key, place, generation, values))
    return NewClass(
        class_name,
        generation,
        data_key_id,
        commit=envelope.commitment(data_key, scope),
        manifest=envelope.manifest(data_key, scope, packed),
        frame=packed,
        seals=len(values),
        wraps=(
            *(_wrap(keys, controller_id, class_name, generation, scope, data_key, holder_id) for holder_id in holders),
            *(_wrap(keys, controller_id, class_name, generation, scope, data_key, holder_id, "hold") for holder_id in held_for),
        ),
    )


def amend_classes(
    keys: ControllerKeys,
    permit: ReadPermit,
    sealed: Sequence[SealedClass],
    changes: Mapping[str, Changes],
    through: Mapping[str, str],
    at: float,
) -> list[AmendedClass]:
    """Set and remove values in existing classes; `through` names the agreement whose wrap opens each class's key.

    No value is opened: what stays is copied as it is sealed. Raises Stale where a class is gone or a value is not newer than what
    is there, InvalidValue, Unreadable, KeysUnavailable. The caller stores a result only where `manifest_before` still stands.
    """
    _expect_granted(permit.spend(permit.controller_id, permit.subject_id, at), through)
    by_class = {one.class_name: one for one in sealed}
    if not changes.keys() <= by_class.keys():
        raise Stale
    amended = []
    for class_name, change in changes.items():
        one = by_class[class_name]
        _expect_subject(one, permit)
        scope = _scope(one)
        data_key = _unwrap(keys, one, scope, through.get(class_name, ""))
        _expect_manifest(data_key, scope, one)
        amended.append(_amend(one, scope, data_key, change))
    return amended


def wraps_for(
    keys: ControllerKeys,
    permit: ReadPermit,
    sealed: Sequence[SealedClass],
    through: Mapping[str, str],
    holder_id: str | None,
    at: float,
    held_for: Mapping[str, Sequence[str]] | None = None,
) -> list[NewWrap]:
    """Return a wrap of each class in `through` for another agreement, made through the wrap of the agreement `through` names.

    `held_for` names, by class, agreements that cover nothing yet, and legal holds: no verb opens through theirs. Raises Stale where
    a class is gone, Unreadable, KeysUnavailable.
    """
    _expect_granted(permit.spend(permit.controller_id, permit.subject_id, at), through)
    by_class = {one.class_name: one for one in sealed}
    if not through.keys() <= by_class.keys():
        raise Stale
    wraps = []
    for class_name, agreement_id in through.items():
        one = by_class[class_name]
        _expect_subject(one, permit)
        scope = _scope(one)
        data_key = _unwrap(keys, one, scope, agreement_id)
        holders: list[tuple[Literal["agreement", "hold"], str]] = [("agreement", holder_id)] if holder_id is not None else []
        holders += [("hold", companion_id) for companion_id in (held_for or {}).get(class_name, ())]
        wraps += [_wrap(keys, one.controller_id, class_name, one.generation, scope, data_key, id_, kind) for kind, id_ in holders]
    return wraps


def data_key_of(keys: ControllerKeys, permit: ReadPermit, granted: Mapping[str, str], one: SealedClass, agreement_id: str) -> bytes:
    """Return the data key of a class through the wrap of an agreement a spent permit names. Raises Unreadable, KeysUnavailable."""
    _expect_granted(granted, {one.class_name: agreement_id})
    _expect_subject(one, permit)
    scope = _scope(one)
    data_key = _unwrap(keys, one, scope, agreement_id)
    _expect_manifest(data_key, scope, one)
    return data_key


def new_audit_key(keys: ControllerKeys, controller_id: str, subject_id: str) -> tuple[bytes, int, bytes]:
    """Return a new audit key for a subject, and the epoch and bytes of its wrap."""
    key = secrets.token_bytes(envelope.KEY_BYTES)
    epoch, wrap = keys.wrap(controller_id, envelope.audit_key_place(controller_id, subject_id), key)
    return key, epoch, wrap


def unwrap_audit_key(keys: ControllerKeys, controller_id: str, subject_id: str, epoch: int, wrap: bytes) -> bytes:
    """Return a subject's audit key. Raises Unreadable, KeysUnavailable."""
    place = envelope.audit_key_place(controller_id, subject_id)
    return envelope.unwrap_key(keys.key(controller_id, epoch), place, epoch, wrap)


def seal_bytes(key: bytes, place: bytes, clear: bytes) -> bytes:
    """Return a field envelope of generation 1: audit details, evidence."""
    return envelope.seal_value(key, place, 1, draw(envelope.NONCE_BYTES), clear)


def open_bytes(key: bytes, place: bytes, sealed: bytes) -> bytes:
    """Return what `seal_bytes` was given. Raises Unreadable."""
    return envelope.open_value(key, place, sealed)


def _open_class(
    keys: ControllerKeys, one: SealedClass, granted: Mapping[str, str], absent: str | None, opened: dict[str, Clear]
) -> None:
    chosen = (one.parsed or frame.read(one.frame)).select(granted)
    through = {granted[name] for name, _, _ in chosen} or ({absent} if absent is not None else set())
    if not through:
        return
    scope = _scope(one)
    for agreement_id in through:
        data_key = _unwrap(keys, one, scope, agreement_id)  # the commitment makes them one and the same key
    _expect_manifest(data_key, scope, one)
    shared = envelope.class_place(one.controller_id, one.subject_id, one.class_name)
    for name, clear in envelope.open_many(data_key, shared, one.generation, chosen):
        opened[name] = Clear(orjson.loads(clear))
    if not chosen:
        _open_stand_in()


@cache
def _stand_in() -> tuple[bytes, bytes]:
    """Return a key of this process's own, and what it sealed: nobody's value."""
    key = secrets.token_bytes(envelope.KEY_BYTES)
    return key, envelope.seal_value(key, b"", 1, secrets.token_bytes(envelope.NONCE_BYTES), b'"stand-in"')


def _open_stand_in() -> None:
    key, sealed = _stand_in()
    for _, clear in envelope.open_many(key, b"", 1, [("", b"", sealed)]):
        Clear(orjson.loads(clear))


def _expect_granted(granted: Mapping[str, str], through: Mapping[str, str]) -> None:
    """Refuse an agreement the permit does not name: a refusal's permit names none."""
    if not set(through.values()) <= set(granted.values()):
        raise Unreadable


def _expect_subject(one: SealedClass, permit: ReadPermit) -> None:
    if one.subject_id != permit.subject_id or one.controller_id != permit.controller_id:
        raise Unreadable


def _scope(one: SealedClass) -> bytes:
    try:
        return envelope.scope(one.controller_id, one.subject_id, one.class_name, one.generation)
    except OverflowError:
        raise Unreadable from None


def _unwrap(keys: ControllerKeys, one: SealedClass, scope: bytes, agreement_id: str) -> bytes:
    """Return the data key through one agreement's wrap, if it is the key the row commits to."""
    held = one.wraps.get(agreement_id)
    if held is None:
        raise Unreadable
    epoch, wrap = held
    place = envelope.wrap_place(scope, "agreement", agreement_id)
    data_key = envelope.unwrap_key(keys.key(one.controller_id, epoch), place, epoch, wrap)
    if not hmac.compare_digest(envelope.commitment(data_key, scope), one.commit):
        raise Unreadable
    return data_key


def _expect_manifest(data_key: bytes, scope: bytes, one: SealedClass) -> None:
    if not hmac.compare_digest(envelope.manifest(data_key, scope, one.frame), one.manifest):
        raise Unreadable


def _wrap(
    keys: ControllerKeys,
    controller_id: str,
    class_name: str,
    generation: int,
    scope: bytes,
    data_key: bytes,
    holder_id: str,
    holder_kind: Literal["agreement", "hold"] = "agreement",
) -> NewWrap:
    epoch, wrap = keys.wrap(controller_id, envelope.wrap_place(scope, holder_kind, holder_id), data_key)
    return NewWrap(class_name, generation, holder_kind, holder_id, epoch, wrap)


def seal_values(data_key: bytes, shared: bytes, generation: int, values: Sequence[NewValue]) -> list[FrameEntry]:
    """Return values sealed, each for its place: `shared`, then field, version and collection agreement. Raises InvalidValue."""
    cipher = AESGCM(data_key)
    nonces = secrets.token_bytes(envelope.NONCE_BYTES * len(values))  # one draw for all: each takes its own twelve bytes
    entries = []
    for at, new in enumerate(values):
        nonce = nonces[at * envelope.NONCE_BYTES : (at + 1) * envelope.NONCE_BYTES]
        place = shared + lp(new.field) + u64(new.value_version) + lp(new.agreement_id)
        padded = envelope.pad(_octets(new), LEAST_PADDED_BYTES)
        sealed = envelope.seal_with(cipher, place, generation, nonce, padded)
        entries.append(FrameEntry(new.field, new.value_version, new.agreement_id, sealed))
    return entries


def _amend(one: SealedClass, scope: bytes, data_key: bytes, change: Changes) -> AmendedClass:
    entries = frame.read(one.frame).unpacked()
    place = envelope.class_place(one.controller_id, one.subject_id, one.class_name)
    added = seal_values(data_key, place, one.generation, change.values)
    before = {name: entries.pop(name) for name in {*change.removed, *(new.field for new in added)} if name in entries}
    if any(new.field in before and new.value_version <= before[new.field].value_version for new in added):
        raise Stale
    packed = frame.encode([*entries.values(), *added])
    return AmendedClass(
        one.class_name,
        one.generation,
        manifest_before=one.manifest,
        manifest=envelope.manifest(data_key, scope, packed),
        frame=packed,
        seals=len(added),
        history=tuple(HistoryRow(*entry) for entry in sorted(before.values())),
    )


def _octets(new: NewValue) -> bytes:
    """Return a value as the JSON that is sealed: a string, boolean, integer, or object of such; no floats, at most 16 KiB."""
    try:
        octets = orjson.dumps(new.value, option=_JSON)
    except TypeError:
        octets = b""
    if not octets or not _storable(new.value):
        raise InvalidValue(faults=[Fault(f"/{new.field}", "value.kind")])
    if len(octets) > VALUE_BYTES:
        raise InvalidValue(faults=[Fault(f"/{new.field}", "value.too-long")])
    return octets


def _storable(value: Any) -> bool:
    if isinstance(value, dict):
        return all(member is None or _storable(member) for member in value.values())
    if isinstance(value, list):
        return all(member is None or _storable(member) for member in value)
    return type(value) in {str, bool, int}
