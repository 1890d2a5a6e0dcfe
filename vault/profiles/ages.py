"""How old a person is, as far as decisions must know: a band, and of minors the beginning of the month in which they are of age."""

from datetime import datetime

import sqlalchemy as sa

from vault import tables

_S = tables.subject.c
_OF = sa.update(tables.subject).where(
    _S.controller_id == sa.bindparam("of_controller"), _S.subject_id == sa.bindparam("of_subject")
)
_SET = _OF.values(minor=sa.bindparam("new_minor"), adult_at=sa.bindparam("new_adult_at"))
_FORGET = _OF.values(adult_at=None)


def set_age(rows: sa.Connection, controller_id: str, subject_id: str, band: str, adult_at: datetime | None) -> None:
    """Keep what follows from a date of birth that has been written."""
    of = {"of_controller": controller_id, "of_subject": subject_id}
    rows.execute(_SET, {**of, "new_minor": band, "new_adult_at": adult_at})


def forget_date(rows: sa.Connection, controller_id: str, subject_id: str) -> None:
    """Drop what is left of a date of birth nobody may read any more. The band stays: a child is not grown up by that."""
    rows.execute(_FORGET, {"of_controller": controller_id, "of_subject": subject_id})
