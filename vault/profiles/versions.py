"""A person's version: their ETag. Every change of person, agreement or values raises it, under the row's lock.

Of somebody who was erased nothing is changed any more: whoever read them before finds them stale.
"""

import sqlalchemy as sa

from vault import tables
from vault.errors import Stale

_S = tables.subject.c
_RAISE = (
    sa.update(tables.subject)
    .where(
        _S.controller_id == sa.bindparam("of_controller"),
        _S.subject_id == sa.bindparam("of_subject"),
        _S.state.not_in(("archived", "erased")),
    )
    .values(version=_S.version + 1)
    .returning(_S.version)
)


def raise_version(rows: sa.Connection, controller_id: str, subject_id: str, expected: int | None = None) -> int:
    """Raise the version by one and return it. Raises Stale when it was not `expected`: the transaction then rolls back."""
    version = rows.execute(_RAISE, {"of_controller": controller_id, "of_subject": subject_id}).scalar_one_or_none()
    if version is None or (expected is not None and version != expected + 1):
        raise Stale
    return int(version)
