"""The states that stand in a person's row: what is restricted, objected to and obscured, and when they died.

Who changes one takes the row's lock first, by raising the version, and reads then: of two who restrict at once, both do.
"""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from vault import tables
from vault.profiles import versions

_S = tables.subject.c
_THIS = (_S.controller_id == sa.bindparam("of_controller"), _S.subject_id == sa.bindparam("of_subject"))
_READ = sa.select(
    _S.restricted, _S.restricted_at, _S.objected, _S.objected_marketing, _S.objected_at, _S.deceased_on, _S.obscured
).where(*_THIS)
_F, _K = tables.profile_frame.c, tables.data_key.c
_FRAMES = (
    sa.select(_F["class"], _F.frame)
    .join_from(
        tables.profile_frame,
        tables.data_key,
        sa.and_(*(_F[name] == _K[name] for name in ("controller_id", "subject_id", "class", "generation"))),
    )
    .where(_F.controller_id == sa.bindparam("of_controller"), _F.subject_id == sa.bindparam("of_subject"), _K.state == "current")
)
_H = tables.field_history.c
_FORMER = sa.select(_H["class"], _H.field, _H.value_version).where(
    _H.controller_id == sa.bindparam("of_controller"), _H.subject_id == sa.bindparam("of_subject")
)


class States(NamedTuple):
    """A person's states. `restricted` are field names, or `*` alone; `obscured` are values, by field@value_version."""

    restricted: list[str]
    restricted_at: datetime | None
    objected: bool
    objected_marketing: bool
    objected_at: datetime | None
    deceased_on: date | None
    obscured: list[str]


def locked(rows: sa.Connection, controller_id: str, subject_id: str) -> tuple[int, States]:
    """Raise the person's version, which locks their row, and return it with their states. Raises Stale where nobody is."""
    version = versions.raise_version(rows, controller_id, subject_id)
    return version, States._make(rows.execute(_READ, _of(controller_id, subject_id)).one())


def change(rows: sa.Connection, controller_id: str, subject_id: str, **states: Any) -> None:
    """Store these states, by the names of `States`."""
    rows.execute(sa.update(tables.subject).where(*_THIS).values(**states), _of(controller_id, subject_id))


def frames(rows: sa.Connection, controller_id: str, subject_id: str) -> Mapping[str, bytes]:
    """Return the person's current frames by class, sealed as they are."""
    return {row[0]: row.frame for row in rows.execute(_FRAMES, _of(controller_id, subject_id))}


def former(rows: sa.Connection, controller_id: str, subject_id: str) -> list[tuple[str, str]]:
    """Return the values the history keeps, by class and field@value_version."""
    return [(row[0], f"{row.field}@{row.value_version}") for row in rows.execute(_FORMER, _of(controller_id, subject_id))]


def _of(controller_id: str, subject_id: str) -> dict[str, str]:
    return {"of_controller": controller_id, "of_subject": subject_id}
