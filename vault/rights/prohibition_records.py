"""Rows of what people forbid for after their death: added, never changed; the last one counts."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from vault import tables
from vault.errors import Stale

_P = tables.prohibition.c
_OF: Final[sa.BindParameter[str]] = sa.bindparam("of_controller")
_LAST = (
    sa.select(*(one for one in _P if one.name != "controller_id"))
    .where(_P.controller_id == _OF, _P.subject_id == sa.bindparam("of_subject"))
    .order_by(_P.number.desc())
    .limit(1)
)


@dataclass(frozen=True, slots=True)
class ProhibitionRow:
    """What somebody forbade: rights, none where they took it back. `evidence`: own-session, or document-seen."""

    subject_id: str
    number: int
    rights: Sequence[str]
    evidence: str
    recorded_at: datetime
    recorded_by: str
    entry_id: str


def last(rows: sa.Connection, controller_id: str, subject_id: str) -> ProhibitionRow | None:
    """Return what counts, None where nothing was ever forbidden."""
    found = rows.execute(_LAST, {"of_controller": controller_id, "of_subject": subject_id}).mappings().one_or_none()
    return None if found is None else ProhibitionRow(**found)


def add(rows: sa.Connection, controller_id: str, made: ProhibitionRow) -> None:
    """Keep it. Raises Stale where somebody else added one meanwhile."""
    try:
        rows.execute(sa.insert(tables.prohibition), {"controller_id": controller_id, **asdict(made)})
    except sa.exc.IntegrityError:
        raise Stale from None
