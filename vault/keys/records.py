"""Rows of schema `keys`: controller keys and secrets, data keys and their wraps, audit keys, blind indexes, tokens.

Every writer of wraps first calls `lock_data_keys`, in a statement of its own: under READ COMMITTED a `DELETE` that waited for
another writer misses the wrap that writer has just inserted, and an ended agreement would live on. Sealing comes before the
transaction, which then finds the manifest it read, or is Stale.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Literal

from sqlalchemy import BindParameter, Connection, and_, bindparam, delete, exists, func, insert, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert as upsert

from vault.errors import Conflict, KeysUnavailable, Stale
from vault.keys.controller_keys import ControllerKeyRow, ControllerKeyRows, ControllerSecretRow
from vault.keys.data_keys import SEALS_PER_KEY, AmendedClass, NewClass, NewWrap
from vault.octets import lp
from vault.tables import blind_index, controller_key, controller_secret, data_key, data_key_wrap, subject_audit_key, token


@dataclass(frozen=True, slots=True)
class DataKeyRow:
    """A data key as locked."""

    class_name: str
    generation: int
    data_key_id: str
    manifest: bytes
    seals: int
    state: str


@dataclass(frozen=True, slots=True)
class KeyName:
    """Which data key: one that went, or one that only holds keep from now on."""

    class_name: str
    generation: int
    data_key_id: str


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """One blind index of a subject."""

    index_name: str
    version: int
    bidx: bytes


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A token as kept: `token_id` is the keyed hash of its text."""

    token_id: bytes
    subject_id: str
    field: str
    recipient: str
    agreement_id: str
    serial: int
    expires_at: datetime | None


_WHO: BindParameter[str] = bindparam("controller")
_SUBJECT: BindParameter[str] = bindparam("subject")

_CONTROLLER_SECRETS = select(
    controller_secret.c.purpose, controller_secret.c.version, controller_secret.c.wrap, controller_secret.c.state
).where(controller_secret.c.controller_id == _WHO)
_CONTROLLER_KEYS = select(
    controller_key.c.epoch, controller_key.c.state, controller_key.c.blob, controller_key.c.commit, controller_key.c.wraps_reserved
).where(controller_key.c.controller_id == _WHO)
_RESERVE = (
    update(controller_key)
    .where(controller_key.c.controller_id == _WHO, controller_key.c.epoch == bindparam("of_epoch"))
    .values(wraps_reserved=controller_key.c.wraps_reserved + bindparam("count"))
    .returning(controller_key.c.wraps_reserved)
)
_LOCK = (
    select(
        data_key.c["class"],
        data_key.c.generation,
        data_key.c.data_key_id,
        data_key.c.manifest,
        data_key.c.seals,
        data_key.c.state,
    )
    .where(data_key.c.controller_id == _WHO, data_key.c.subject_id == _SUBJECT)
    .order_by(data_key.c["class"], data_key.c.generation)
    .with_for_update()
)
_AMEND = (
    update(data_key)
    .where(
        data_key.c.controller_id == _WHO,
        data_key.c.subject_id == _SUBJECT,
        data_key.c["class"] == bindparam("of_class"),
        data_key.c.generation == bindparam("of_generation"),
        data_key.c.manifest == bindparam("manifest_before"),
        data_key.c.state == "current",
    )
    .values(manifest=bindparam("manifest_after"), seals=data_key.c.seals + bindparam("added"))
    .returning(data_key.c.seals)
)
_DELETE_WRAPS = delete(data_key_wrap).where(
    data_key_wrap.c.controller_id == _WHO,
    data_key_wrap.c.subject_id == _SUBJECT,
    data_key_wrap.c.holder_kind == "agreement",
    data_key_wrap.c.holder_id == bindparam("agreement"),
)
_DELETE_HOLD_WRAPS = delete(data_key_wrap).where(
    data_key_wrap.c.controller_id == _WHO,
    data_key_wrap.c.subject_id == _SUBJECT,
    data_key_wrap.c.holder_kind == "hold",
    data_key_wrap.c.holder_id == bindparam("hold"),
)
_DELETE_CLASS_WRAPS = _DELETE_WRAPS.where(data_key_wrap.c["class"].in_(bindparam("classes", expanding=True)))
_SAME_KEY = and_(
    data_key_wrap.c.controller_id == data_key.c.controller_id,
    data_key_wrap.c.subject_id == data_key.c.subject_id,
    data_key_wrap.c["class"] == data_key.c["class"],
    data_key_wrap.c.generation == data_key.c.generation,
)
_DEPENDENT = and_(data_key_wrap.c.holder_kind == "agreement", data_key_wrap.c.holder_id.in_(bindparam("dependent", expanding=True)))
_DELETE_UNHELD = (
    delete(data_key)
    .where(
        data_key.c.controller_id == _WHO,
        data_key.c.subject_id == _SUBJECT,
        ~exists().where(_SAME_KEY, ~_DEPENDENT),
    )
    .returning(data_key.c["class"], data_key.c.generation, data_key.c.data_key_id)
)
_ARCHIVE = (
    update(data_key)
    .where(
        data_key.c.controller_id == _WHO,
        data_key.c.subject_id == _SUBJECT,
        data_key.c.state == "current",
        ~exists().where(_SAME_KEY, data_key_wrap.c.holder_kind == "agreement", ~_DEPENDENT),
    )
    .values(state="archived")
    .returning(data_key.c["class"], data_key.c.generation, data_key.c.data_key_id)
)
_DELETE_ARCHIVED_WRAPS = delete(data_key_wrap).where(
    data_key_wrap.c.controller_id == _WHO,
    data_key_wrap.c.subject_id == _SUBJECT,
    data_key_wrap.c.holder_kind == "agreement",
    exists().where(_SAME_KEY, data_key.c.state == "archived"),
)
_GENERATIONS = (
    select(data_key.c["class"], func.max(data_key.c.generation))
    .where(data_key.c.controller_id == _WHO, data_key.c.subject_id == _SUBJECT)
    .group_by(data_key.c["class"])
)
_DELETE_ORPHANS = delete(data_key_wrap).where(
    data_key_wrap.c.controller_id == _WHO,
    data_key_wrap.c.subject_id == _SUBJECT,
    ~exists().where(_SAME_KEY),
)
_LOOK_UP = (
    select(blind_index.c.subject_id)
    .distinct()
    .where(
        blind_index.c.controller_id == _WHO,
        blind_index.c.index_name == bindparam("index_name"),
        tuple_(blind_index.c.version, blind_index.c.bidx).in_(bindparam("values", expanding=True)),
    )
    .order_by(blind_index.c.subject_id)
)
_DELETE_INDEXES = delete(blind_index).where(
    blind_index.c.controller_id == _WHO,
    blind_index.c.subject_id == _SUBJECT,
    blind_index.c.index_name.in_(bindparam("index_names", expanding=True)),
)
_INDEXES_OF = select(blind_index.c.index_name, blind_index.c.version, blind_index.c.bidx).where(
    blind_index.c.controller_id == _WHO,
    blind_index.c.subject_id == _SUBJECT,
    blind_index.c.index_name.in_(bindparam("index_names", expanding=True)),
)
_LOCK_VALUE = select(func.pg_advisory_xact_lock(bindparam("value")))
_INSERT_INDEX = upsert(blind_index).on_conflict_do_nothing()
_KEEP_TOKEN = upsert(token).on_conflict_do_nothing()
_END_TOKENS = (
    update(token)
    .where(
        token.c.controller_id == _WHO,
        token.c.subject_id == _SUBJECT,
        token.c.agreement_id == bindparam("agreement"),
        token.c.expires_at.is_(None) | (token.c.expires_at > bindparam("at")),
    )
    .values(expires_at=bindparam("at"))
)
_END_FIELD_TOKENS = _END_TOKENS.where(token.c.field.in_(bindparam("fields", expanding=True)))


def load_controller(rows: Connection, controller_id: str) -> ControllerKeyRows:
    """Return the keys and secrets of a controller, wrapped.

    Secrets are read first: what a secret is wrapped under is then among the keys, even while an epoch begins.
    """
    parameters = {"controller": controller_id}
    secrets = [ControllerSecretRow(*row) for row in rows.execute(_CONTROLLER_SECRETS, parameters)]
    return ControllerKeyRows([ControllerKeyRow(*row) for row in rows.execute(_CONTROLLER_KEYS, parameters)], secrets)


def insert_controller(rows: Connection, controller_id: str, made: ControllerKeyRows, created_at: datetime) -> None:
    """Keep what `new_controller` made."""
    rows.execute(
        insert(controller_key),
        [
            {
                "controller_id": controller_id,
                "epoch": key.epoch,
                "state": key.state,
                "blob": key.blob,
                "commit": key.commit,
                "wraps_reserved": key.wraps_reserved,
                "created_at": created_at,
            }
            for key in made.keys
        ],
    )
    rows.execute(
        insert(controller_secret),
        [
            {
                "controller_id": controller_id,
                "purpose": secret.purpose,
                "version": secret.version,
                "wrap": secret.wrap,
                "state": secret.state,
            }
            for secret in made.secrets
        ],
    )


def reserve_wraps(rows: Connection, controller_id: str, epoch: int, count: int) -> int:
    """Add to the wraps reserved under a controller key and return the sum. Raises KeysUnavailable where the epoch is gone."""
    reserved: int | None = rows.execute(_RESERVE, {"controller": controller_id, "of_epoch": epoch, "count": count}).scalar()
    if reserved is None:
        raise KeysUnavailable
    return reserved


def insert_classes(
    rows: Connection,
    controller_id: str,
    subject_id: str,
    classes: Sequence[NewClass],
    state: Literal["current", "archived"] = "current",
) -> None:
    """Keep the data keys and wraps of newly sealed classes. Their frames are the profile's rows."""
    if not classes:
        return
    rows.execute(
        insert(data_key),
        [
            {
                "controller_id": controller_id,
                "subject_id": subject_id,
                "class": new.class_name,
                "generation": new.generation,
                "data_key_id": new.data_key_id,
                "commit": new.commit,
                "manifest": new.manifest,
                "seals": new.seals,
                "state": state,
            }
            for new in classes
        ],
    )
    insert_wraps(rows, controller_id, subject_id, [wrap for new in classes for wrap in new.wraps])


def insert_wraps(rows: Connection, controller_id: str, subject_id: str, wraps: Sequence[NewWrap]) -> None:
    """Keep wraps made for another holder. The caller holds `lock_data_keys`."""
    if not wraps:
        return
    rows.execute(
        insert(data_key_wrap),
        [
            {
                "controller_id": controller_id,
                "subject_id": subject_id,
                "class": new.class_name,
                "generation": new.generation,
                "holder_kind": new.holder_kind,
                "holder_id": new.holder_id,
                "epoch": new.epoch,
                "wrap": new.wrap,
            }
            for new in wraps
        ],
    )


def lock_data_keys(rows: Connection, controller_id: str, subject_id: str) -> list[DataKeyRow]:
    """Lock a subject's data keys until the transaction ends, and return them as they now are."""
    return [DataKeyRow(*row) for row in rows.execute(_LOCK, {"controller": controller_id, "subject": subject_id})]


def amend_data_key(rows: Connection, controller_id: str, subject_id: str, amended: AmendedClass) -> None:
    """Keep the manifest and count of an amended class.

    Raises Stale where the frame that was amended is no longer the latest, Conflict where the key has sealed 2^24 values.
    """
    seals: int | None = rows.execute(
        _AMEND,
        {
            "controller": controller_id,
            "subject": subject_id,
            "of_class": amended.class_name,
            "of_generation": amended.generation,
            "manifest_before": amended.manifest_before,
            "manifest_after": amended.manifest,
            "added": amended.seals,
        },
    ).scalar()
    if seals is None:
        raise Stale
    if seals > SEALS_PER_KEY:
        raise Conflict


def delete_wraps(rows: Connection, controller_id: str, subject_id: str, agreement_id: str) -> int:
    """Delete an agreement's wraps, in every epoch, and return how many there were. The caller holds `lock_data_keys`."""
    parameters = {"controller": controller_id, "subject": subject_id, "agreement": agreement_id}
    return rows.execute(_DELETE_WRAPS, parameters).rowcount


def delete_class_wraps(rows: Connection, controller_id: str, subject_id: str, agreement_id: str, classes: Collection[str]) -> int:
    """Delete an agreement's wraps of these classes, in every epoch and generation. The caller holds `lock_data_keys`."""
    parameters = {"controller": controller_id, "subject": subject_id, "agreement": agreement_id, "classes": list(classes)}
    return rows.execute(_DELETE_CLASS_WRAPS, parameters).rowcount


def delete_hold_wraps(rows: Connection, controller_id: str, subject_id: str, hold_id: str) -> int:
    """Delete a legal hold's wraps, in every epoch, and return how many there were. The caller holds `lock_data_keys`."""
    return rows.execute(_DELETE_HOLD_WRAPS, {"controller": controller_id, "subject": subject_id, "hold": hold_id}).rowcount


def delete_unheld(rows: Connection, controller_id: str, subject_id: str, dependent: Collection[str] = ()) -> list[KeyName]:
    """Delete the data keys nobody holds any more, and return them; a dependent agreement's wrap keeps no key alive."""
    parameters = {"controller": controller_id, "subject": subject_id}
    gone = rows.execute(_DELETE_UNHELD, {**parameters, "dependent": list(dependent)}).all()
    rows.execute(_DELETE_ORPHANS, parameters)
    return sorted((KeyName(*row) for row in gone), key=lambda key: (key.class_name, key.generation))


def archive_held(rows: Connection, controller_id: str, subject_id: str, dependent: Collection[str] = ()) -> list[KeyName]:
    """Archive the current data keys that no agreement holds any more, only holds, and return them.

    Nobody reads an archived key's class; what is shared anew goes under another generation. A dependent agreement's wrap goes with
    the last other one. To be called after `delete_unheld`.
    """
    parameters = {"controller": controller_id, "subject": subject_id}
    archived = rows.execute(_ARCHIVE, {**parameters, "dependent": list(dependent)}).all()
    rows.execute(_DELETE_ARCHIVED_WRAPS, parameters)
    return sorted((KeyName(*row) for row in archived), key=lambda key: (key.class_name, key.generation))


def latest_generations(rows: Connection, controller_id: str, subject_id: str) -> dict[str, int]:
    """Return the highest generation of each class a subject has a data key of, archived ones among them."""
    found = rows.execute(_GENERATIONS, {"controller": controller_id, "subject": subject_id})
    return {str(class_name): int(generation) for class_name, generation in found}


def insert_audit_key(rows: Connection, controller_id: str, subject_id: str, epoch: int, wrap: bytes) -> None:
    """Keep a subject's audit key."""
    rows.execute(
        insert(subject_audit_key),
        {"controller_id": controller_id, "subject_id": subject_id, "epoch": epoch, "wrap": wrap, "shred_after": None},
    )


def insert_indexes(rows: Connection, controller_id: str, subject_id: str, entries: Sequence[IndexEntry]) -> None:
    """Keep a subject's blind indexes; one that is there already stays."""
    if not entries:
        return
    rows.execute(
        _INSERT_INDEX,
        [
            {
                "controller_id": controller_id,
                "index_name": entry.index_name,
                "version": entry.version,
                "bidx": entry.bidx,
                "subject_id": subject_id,
            }
            for entry in entries
        ],
    )


def delete_indexes(rows: Connection, controller_id: str, subject_id: str, index_names: Collection[str]) -> None:
    """Delete a subject's blind indexes of these names, in every version."""
    parameters = {"controller": controller_id, "subject": subject_id, "index_names": list(index_names)}
    rows.execute(_DELETE_INDEXES, parameters)


def indexes_of(rows: Connection, controller_id: str, subject_id: str, index_names: Collection[str]) -> list[tuple[str, int, bytes]]:
    """Return (index name, version, blind index) of a subject's indexes of these names."""
    parameters = {"controller": controller_id, "subject": subject_id, "index_names": list(index_names)}
    return [(name, int(version), bytes(octets)) for name, version, octets in rows.execute(_INDEXES_OF, parameters)]


def look_up(rows: Connection, controller_id: str, index_name: str, values: Mapping[int, bytes]) -> list[str]:
    """Return the ids of the subjects that have one of `values` (index version → bidx), ascending."""
    parameters = {"controller": controller_id, "index_name": index_name, "values": list(values.items())}
    return list(rows.execute(_LOOK_UP, parameters).scalars())


def lock_value(rows: Connection, controller_id: str, index_name: str, bidx: bytes) -> None:
    """Let one transaction at a time decide whether a unique value is taken.

    A unique constraint would lack the distribution key; a collision of this 64-bit name only makes two writers wait.
    """
    digest = sha256(lp(controller_id) + lp(index_name) + bidx).digest()
    rows.execute(_LOCK_VALUE, {"value": int.from_bytes(digest[:8], "big", signed=True)})


def keep_token(rows: Connection, controller_id: str, shown: TokenRow) -> None:
    """Keep a token when it is first shown; shown again, its row stays as it is."""
    rows.execute(
        _KEEP_TOKEN,
        {
            "controller_id": controller_id,
            "token_id": shown.token_id,
            "subject_id": shown.subject_id,
            "field": shown.field,
            "recipient": shown.recipient,
            "agreement_id": shown.agreement_id,
            "serial": shown.serial,
            "expires_at": shown.expires_at,
        },
    )


def end_tokens(rows: Connection, controller_id: str, subject_id: str, agreement_id: str, at: datetime) -> None:
    """End the tokens of an agreement. Their rows stay and resolve nothing, so that a serial is not given twice."""
    rows.execute(_END_TOKENS, {"controller": controller_id, "subject": subject_id, "agreement": agreement_id, "at": at})


def end_field_tokens(
    rows: Connection, controller_id: str, subject_id: str, agreement_id: str, fields: Collection[str], at: datetime
) -> None:
    """End the tokens of some fields of an agreement, likewise."""
    parameters = {"controller": controller_id, "subject": subject_id, "agreement": agreement_id, "fields": list(fields), "at": at}
    rows.execute(_END_FIELD_TOKENS, parameters)
