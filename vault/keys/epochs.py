"""Epochs of controller keys: when one is over, and the rows of its change.

open ─begin▶ closing ─every wrap made anew, every process has let go of the key▶ gone; its root is destroyed later, once no key
export is left that it would open

Wraps are moved where they lie: whoever waits with a deletion for a row of ours finds it again under its new epoch, and an ended
agreement does not live on. That no row is left in an epoch that goes is held by the database: wraps and audit keys refer to the
controller key they are made with. Source: `cryptography.md` 6, first-decisions 3.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import BindParameter, Connection, DateTime, bindparam, delete, exists, func, insert, select, tuple_, union, update

from vault.keys.controller_keys import ControllerKeyRow
from vault.tables import controller_key, controller_secret, data_key, data_key_wrap, epoch_change, key_export, subject_audit_key

AT_ONCE: Final = 100  # people whose wraps are made anew in one transaction


@dataclass(frozen=True, slots=True)
class EpochRow:
    """An epoch of a controller that has a key: `state` is open or closing."""

    epoch: int
    state: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ChangeRow:
    """The change from one epoch to the next. `ended_at`: when the key of the first was gone from the database."""

    epoch: int
    to_epoch: int
    rewrapped: int
    begun_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class WrapRow:
    """A data key's wrap, and the place it is bound to."""

    subject_id: str
    class_name: str
    generation: int
    holder_kind: str
    holder_id: str
    wrap: bytes


_HOLDS: Final = ("controller_id", "subject_id", "class", "generation", "holder_kind", "holder_id")
_WHO: BindParameter[str] = bindparam("of_controller")
_E: BindParameter[int] = bindparam("of_epoch")
_PEOPLE: BindParameter[Sequence[str]] = bindparam("people", expanding=True)
_K, _S, _D, _W, _A, _C = (
    one.c for one in (controller_key, controller_secret, data_key, data_key_wrap, subject_audit_key, epoch_change)
)
_EPOCHS = select(_K.epoch, _K.state, _K.created_at).where(_K.controller_id == _WHO).order_by(_K.epoch)
_CHANGES = select(_C.epoch, _C.to_epoch, _C.rewrapped, _C.begun_at, _C.ended_at).where(_C.controller_id == _WHO).order_by(_C.epoch)
_X = key_export.c
_EXPORTS = select(_X.made_at, _X.epoch).where(_X.controller_id == _WHO).order_by(_X.made_at)
_CLOSE_OPEN = update(controller_key).where(_K.controller_id == _WHO, _K.state == "open").values(state="closing")
_ADVANCE = (
    update(epoch_change)
    .where(_C.controller_id == _WHO, _C.epoch == _E)
    .values(rewrapped=_C.rewrapped + bindparam("more"))
)  # fmt: skip
_END = (
    update(epoch_change)
    .where(_C.controller_id == _WHO, _C.epoch == _E, _C.ended_at.is_(None))
    .values(ended_at=bindparam("at", type_=DateTime(timezone=True)))
)
_DROP = delete(controller_key).where(_K.controller_id == _WHO, _K.epoch == _E, _K.state == "closing")


def _some(table: Any) -> Any:
    return select(
        select(table.c.subject_id)
        .distinct()
        .where(table.c.controller_id == _WHO, table.c.epoch == _E, table.c.subject_id > bindparam("after"))
        .order_by(table.c.subject_id)
        .limit(AT_ONCE)
        .subquery()
    )


_FOUND = union(_some(data_key_wrap), _some(subject_audit_key)).subquery()
_THEM = select(_FOUND.c.subject_id).order_by(_FOUND.c.subject_id).limit(AT_ONCE)
_LOCK = (
    select(_D.data_key_id)
    .where(_D.controller_id == _WHO, _D.subject_id.in_(_PEOPLE))
    .order_by(_D.subject_id, _D["class"], _D.generation)
    .with_for_update()
)
_WRAPS = select(_W.subject_id, _W["class"], _W.generation, _W.holder_kind, _W.holder_id, _W.wrap).where(
    _W.controller_id == _WHO, _W.epoch == _E, _W.subject_id.in_(_PEOPLE)
)
_NEWER = data_key_wrap.alias()
_DROP_TWINS = delete(data_key_wrap).where(
    _W.controller_id == _WHO,
    _W.epoch == _E,
    _W.subject_id.in_(_PEOPLE),
    exists(1).where(
        _NEWER.c.epoch > _E,
        *(
            _NEWER.c[name] == _W[name]
            for name in ("controller_id", "subject_id", "class", "generation", "holder_kind", "holder_id")
        ),
    ),
)
_MOVE = (
    update(data_key_wrap)
    .where(
        _W.controller_id == _WHO, _W.epoch == _E, _W.subject_id == bindparam("of_subject"), _W["class"] == bindparam("of_class"),
        _W.generation == bindparam("of_generation"), _W.holder_kind == bindparam("of_kind"), _W.holder_id == bindparam("of_holder"),
    )
    .values(epoch=bindparam("to_epoch"), wrap=bindparam("new_wrap"))
)  # fmt: skip
_AUDIT_KEYS = select(_A.subject_id, _A.wrap).where(_A.controller_id == _WHO, _A.epoch == _E, _A.subject_id.in_(_PEOPLE))
_MOVE_AUDIT_KEY = (
    update(subject_audit_key)
    .where(_A.controller_id == _WHO, _A.epoch == _E, _A.subject_id == bindparam("of_subject"))
    .values(epoch=bindparam("to_epoch"), wrap=bindparam("new_wrap"))
)
_SECRETS = select(_S.purpose, _S.version, _S.wrap).where(_S.controller_id == _WHO).with_for_update()
_MOVE_SECRET = (
    update(controller_secret)
    .where(_S.controller_id == _WHO, tuple_(_S.purpose, _S.version) == tuple_(bindparam("of_purpose"), bindparam("of_version")))
    .values(wrap=bindparam("new_wrap"))
)
_LEFT = select(
    select(func.count()).select_from(data_key_wrap).where(_W.controller_id == _WHO, _W.epoch == _E).scalar_subquery()
    + select(func.count()).select_from(subject_audit_key).where(_A.controller_id == _WHO, _A.epoch == _E).scalar_subquery()
)


def is_over(begun: datetime, now: datetime, days: int) -> bool:
    """Say whether an epoch that began then has lasted its days."""
    return now >= begun + timedelta(days=days)


def epochs_of(rows: Connection, controller_id: str) -> list[EpochRow]:
    """Return the epochs whose key a controller has, in order."""
    return [EpochRow(*row) for row in rows.execute(_EPOCHS, {"of_controller": controller_id})]


def changes_of(rows: Connection, controller_id: str) -> list[ChangeRow]:
    """Return every change of epoch of a controller, in order."""
    return [ChangeRow(*row) for row in rows.execute(_CHANGES, {"of_controller": controller_id})]


def exports_of(rows: Connection, controller_id: str) -> list[tuple[datetime, int]]:
    """Return when keys were exported, and the epoch of the root that seals each, in order."""
    return [(row.made_at, int(row.epoch)) for row in rows.execute(_EXPORTS, {"of_controller": controller_id})]


def begin(rows: Connection, controller_id: str, key: ControllerKeyRow, at: datetime) -> None:
    """Have a new key be the open one, and the one before it closing."""
    before = max(one.epoch for one in epochs_of(rows, controller_id) if one.state == "open")
    rows.execute(_CLOSE_OPEN, {"of_controller": controller_id})
    made = {"epoch": key.epoch, "state": "open", "blob": key.blob, "commit": key.commit, "wraps_reserved": 0, "created_at": at}
    rows.execute(insert(controller_key), {"controller_id": controller_id, **made})
    change = {"epoch": before, "to_epoch": key.epoch, "rewrapped": 0, "begun_at": at, "ended_at": None}
    rows.execute(insert(epoch_change), {"controller_id": controller_id, **change})


def people_in(rows: Connection, controller_id: str, epoch: int, after: str) -> list[str]:
    """Return the next people, by id, who have a wrap or an audit key of an epoch."""
    asked = {"of_controller": controller_id, "of_epoch": epoch, "after": after}
    return list(rows.execute(_THEM, asked).scalars())


def lock_wraps(rows: Connection, controller_id: str, epoch: int, people: Sequence[str]) -> list[WrapRow]:
    """Lock the data keys of these people, then return the wraps of an epoch they still have; one made anew already goes."""
    asked = {"of_controller": controller_id, "people": list(people)}
    rows.execute(_LOCK, asked).all()  # a statement of its own: what is read next is read behind every writer of wraps
    rows.execute(_DROP_TWINS, {**asked, "of_epoch": epoch})
    return [WrapRow(*row[:5], bytes(row[5])) for row in rows.execute(_WRAPS, {**asked, "of_epoch": epoch})]


def move_wraps(rows: Connection, controller_id: str, epoch: int, made: Iterable[tuple[WrapRow, int, bytes]]) -> None:
    """Put wraps, (the row, its new epoch, the bytes), in the place of those they were made of."""
    moved = [
        {"of_controller": controller_id, "of_epoch": epoch, "of_subject": one.subject_id, "of_class": one.class_name,
         "of_generation": one.generation, "of_kind": one.holder_kind, "of_holder": one.holder_id, "to_epoch": to, "new_wrap": wrap}
        for one, to, wrap in made
    ]  # fmt: skip
    if moved:
        rows.execute(_MOVE, moved)


def audit_keys_in(rows: Connection, controller_id: str, epoch: int, people: Sequence[str]) -> list[tuple[str, bytes]]:
    """Return whose audit keys are of an epoch, and their wraps."""
    asked = {"of_controller": controller_id, "of_epoch": epoch, "people": list(people)}
    return [(row.subject_id, bytes(row.wrap)) for row in rows.execute(_AUDIT_KEYS, asked)]


def move_audit_keys(rows: Connection, controller_id: str, epoch: int, made: Iterable[tuple[str, int, bytes]]) -> None:
    """Put audit keys, (whose, the new epoch, the bytes), in the place of those they were made of."""
    moved = [
        {"of_controller": controller_id, "of_epoch": epoch, "of_subject": one, "to_epoch": to, "new_wrap": wrap}
        for one, to, wrap in made
    ]
    if moved:
        rows.execute(_MOVE_AUDIT_KEY, moved)


def lock_secrets(rows: Connection, controller_id: str) -> list[tuple[str, int, bytes]]:
    """Lock a controller's secrets and return them: purpose, version, wrap."""
    found = rows.execute(_SECRETS, {"of_controller": controller_id})
    return [(row.purpose, int(row.version), bytes(row.wrap)) for row in found]


def move_secret(rows: Connection, controller_id: str, purpose: str, version: int, wrap: bytes) -> None:
    """Put a secret's wrap in the place of the one it was made of."""
    rows.execute(_MOVE_SECRET, {"of_controller": controller_id, "of_purpose": purpose, "of_version": version, "new_wrap": wrap})


def advance(rows: Connection, controller_id: str, epoch: int, more: int) -> None:
    """Say that so many wraps more were made anew."""
    rows.execute(_ADVANCE, {"of_controller": controller_id, "of_epoch": epoch, "more": more})


def left_in(rows: Connection, controller_id: str, epoch: int) -> int:
    """Return how many wraps and audit keys are still of an epoch."""
    return int(rows.execute(_LEFT, {"of_controller": controller_id, "of_epoch": epoch}).scalar_one())


def end(rows: Connection, controller_id: str, epoch: int, at: datetime) -> None:
    """Delete an epoch's key. The database refuses while a wrap or an audit key is of it."""
    rows.execute(_DROP, {"of_controller": controller_id, "of_epoch": epoch})
    rows.execute(_END, {"of_controller": controller_id, "of_epoch": epoch, "at": at})
