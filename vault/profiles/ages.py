"""What follows from somebody's age, as far as decisions must know, and from when an old cancer of theirs is barred."""

from datetime import datetime

import sqlalchemy as sa

from vault import tables

_S = tables.subject.c
_OF = sa.update(tables.subject).where(
    _S.controller_id == sa.bindparam("of_controller"), _S.subject_id == sa.bindparam("of_subject")
)
_SET = _OF.values(minor=sa.bindparam("new_minor"), adult_at=sa.bindparam("new_adult_at"))
_FORGET = _OF.values(adult_at=None)
_BAR = _OF.values(time_barred_at=sa.bindparam("new_barred_at"))


def set_age(rows: sa.Connection, controller_id: str, subject_id: str, band: str, adult_at: datetime | None) -> None:
    """Keep what follows from a date of birth that has been written."""
    of = {"of_controller": controller_id, "of_subject": subject_id}
    rows.execute(_SET, {**of, "new_minor": band, "new_adult_at": adult_at})


def set_barred(rows: sa.Connection, controller_id: str, subject_id: str, at: datetime | None) -> None:
    """Keep from when what is held of an old cancer is nobody's to ask about; nothing of the illness. Whole seconds.

    None: it is treated, again or still, and nothing is barred before that ends and is said.
    """
    whole = at.replace(microsecond=0) if at is not None else None
    rows.execute(_BAR, {"of_controller": controller_id, "of_subject": subject_id, "new_barred_at": whole})


def forget_date(rows: sa.Connection, controller_id: str, subject_id: str) -> None:
    """Drop what is left of a date of birth nobody may read any more. The band stays: a child is not grown up by that."""
    rows.execute(_FORGET, {"of_controller": controller_id, "of_subject": subject_id})
