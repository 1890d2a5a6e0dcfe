"""Stored answers: what a repeated request gets back. Rows hold ids only, live a day, and go when the subject goes.

A row without a status is in flight: somebody is doing it, or did it and was never heard of again. Both look alike, so until its day
is over nobody does it a second time.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from vault import tables

_T = tables.stored_answer.c
_PLACE = (_T.controller_id == sa.bindparam("of_controller"), _T.request_key == sa.bindparam("of_request"))


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """What is stored for one key: `status` None while in flight."""

    request_digest: bytes
    status: int | None
    answer: Mapping[str, Any] | None


def claim(rows: sa.Connection, controller_id: str, request_key: bytes, digest: bytes, at: datetime, until: datetime) -> bool:
    """Take a key for one request, and return whether it was free: unused, or its day over."""
    row = {"controller_id": controller_id, "request_key": request_key, "request_digest": digest, "expires_at": until, "at": at}
    return rows.execute(_CLAIM, row).scalar_one_or_none() is not None


def find(rows: sa.Connection, controller_id: str, request_key: bytes) -> StoredAnswer | None:
    """Return what is stored under a key."""
    found = rows.execute(_FIND, _of(controller_id, request_key)).one_or_none()
    return None if found is None else StoredAnswer(bytes(found.request_digest), found.status, found.answer)


def keep(
    rows: sa.Connection, controller_id: str, request_key: bytes, status: int, answer: Mapping[str, Any], subject_id: str | None
) -> None:
    """Store the answer of a request in flight."""
    rows.execute(
        _KEEP, _of(controller_id, request_key) | {"new_status": status, "new_answer": dict(answer), "new_subject": subject_id}
    )


def release(rows: sa.Connection, controller_id: str, request_key: bytes) -> None:
    """Free the key of a request that changed nothing."""
    rows.execute(_RELEASE, _of(controller_id, request_key))


def clear(rows: sa.Connection, controller_id: str, at: datetime, limit: int) -> int:
    """Delete up to `limit` rows whose day is over, and return how many."""
    return len(rows.execute(_CLEAR, {"of_controller": controller_id, "at": at, "most": limit}).all())


def _of(controller_id: str, request_key: bytes) -> dict[str, Any]:
    return {"of_controller": controller_id, "of_request": request_key}


def _claim() -> sa.Executable:
    new = insert(tables.stored_answer).values(
        controller_id=sa.bindparam("controller_id"),
        request_key=sa.bindparam("request_key"),
        request_digest=sa.bindparam("request_digest"),
        expires_at=sa.bindparam("expires_at"),
    )
    afresh = {name: new.excluded[name] for name in ("request_digest", "status", "answer", "subject_id", "expires_at")}
    return new.on_conflict_do_update(
        index_elements=["controller_id", "request_key"], set_=afresh, where=_T.expires_at <= sa.bindparam("at")
    ).returning(_T.request_key)


_CLAIM = _claim()
_FIND = sa.select(_T.request_digest, _T.status, _T.answer).where(*_PLACE)
_KEEP = (
    sa.update(tables.stored_answer)
    .where(*_PLACE, _T.status.is_(None))
    .values(status=sa.bindparam("new_status"), answer=sa.bindparam("new_answer"), subject_id=sa.bindparam("new_subject"))
)
_RELEASE = sa.delete(tables.stored_answer).where(*_PLACE, _T.status.is_(None))
_OVER = (
    sa.select(_T.request_key)
    .where(_T.controller_id == sa.bindparam("of_controller"), _T.expires_at <= sa.bindparam("at"))
    .limit(sa.bindparam("most"))
    .with_for_update(skip_locked=True)  # one claimed anew this moment is no longer over
)
_CLEAR = (
    sa.delete(tables.stored_answer)
    .where(_T.controller_id == sa.bindparam("of_controller"), _T.request_key.in_(_OVER))
    .returning(_T.request_key)
)
