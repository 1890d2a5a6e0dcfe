"""Rows of one-time codes: which contact one was sent to, by its field and version, how often it was tried, what came of it.

Neither address nor digits are ever in one; the keyed hash goes when the code has been used, is spent, or is over.
"""

from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from vault import tables
from vault.errors import Stale
from vault.rights.codes import TRIES

AT_ONCE: Final = 100

_C, _E = tables.one_time_code.c, tables.event.c
_WRITING: Final = ("subject:amended", "subject:enrolled")  # facts of the outbox, by which an index finds them


@dataclass(frozen=True, slots=True)
class CodeRow:
    """One code. `state`: waiting, sent, failed (nobody to send it to), proved, void; `value_version`: of the contact it went to."""

    code_id: str
    request_id: str
    subject_id: str
    through: str
    value_version: int | None
    state: str
    kept: bytes | None = field(repr=False)
    tries: int
    asked_at: datetime
    asked_by: str
    expires_at: datetime
    entry_id: str


_ONE = sa.select(*(one for one in _C if one.name != "controller_id"))


def add(rows: sa.Connection, controller_id: str, made: CodeRow) -> None:
    """Keep a code that is to be sent; the one before it is void. Raises Stale where one was asked for meanwhile."""
    before = (_C.controller_id == controller_id, _C.request_id == made.request_id, _C.state.in_(("waiting", "sent")))
    rows.execute(sa.update(tables.one_time_code).where(*before).values(state="void", kept=None))
    try:
        rows.execute(sa.insert(tables.one_time_code), {"controller_id": controller_id, **asdict(made)})
    except sa.exc.IntegrityError:
        raise Stale from None


def waiting(rows: sa.Connection, controller_id: str) -> list[CodeRow]:
    """Return the first codes that are to be sent, in the order they were asked for."""
    these = (_C.controller_id == controller_id, _C.state == "waiting")
    found = rows.execute(_ONE.where(*these).order_by(_C.asked_at, _C.code_id).limit(AT_ONCE)).mappings()
    return [CodeRow(**one) for one in found]


def change(rows: sa.Connection, controller_id: str, code_id: str, before: str, **to: Any) -> bool:
    """Change a code that is in this state; False where it is not, or not any more."""
    these = (_C.controller_id == controller_id, _C.code_id == code_id, _C.state == before)
    return rows.execute(sa.update(tables.one_time_code).where(*these).values(**to)).rowcount == 1


def tried(rows: sa.Connection, controller_id: str, request_id: str, at: datetime) -> CodeRow | None:
    """Count a try of the code of a request and return it as it is then; None where none can be tried.

    Who tries it at the same time waits for this transaction, so that tries side by side cannot pass the bound.
    """
    these = (
        _C.controller_id == controller_id, _C.request_id == request_id, _C.state == "sent", _C.tries < TRIES, _C.expires_at > at,
    )  # fmt: skip
    returned = [one for one in _C if one.name != "controller_id"]
    counting = sa.update(tables.one_time_code).where(*these).values(tries=_C.tries + 1).returning(*returned)
    found = rows.execute(counting).mappings().one_or_none()
    return None if found is None else CodeRow(**{**found, "kept": bytes(found["kept"])})


def end(rows: sa.Connection, controller_id: str, at: datetime) -> int:
    """Void what is over and forget its hash; return how many there were."""
    over = (_C.controller_id == controller_id, _C.state.in_(("waiting", "sent")), _C.expires_at <= at)
    return rows.execute(sa.update(tables.one_time_code).where(*over).values(state="void", kept=None)).rowcount


def is_settled(rows: sa.Connection, controller_id: str, subject_id: str, name: str, since: datetime, enrolled_by: datetime) -> bool:
    """Say whether nobody has changed this field of a person since then, and they were there by another instant."""
    written = (
        _E.controller_id == controller_id, _E.name.in_([sa.literal_column(f"'{one}'") for one in _WRITING]),
        _E.data["subject_id"].astext == subject_id,
        sa.case(
            (_E.name == "subject:amended", sa.and_(_E.at > since, _E.data["fields"].contains([name]))), else_=_E.at > enrolled_by
        ),
    )  # fmt: skip
    return rows.execute(sa.select(_E.event_id).where(*written).limit(1)).first() is None
