"""Rows of agreements and their events. Events are only ever added; the state is derived and rewritten."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from vault import tables
from vault.agreements.receipts import Happened

_A, _S, _E = tables.agreement.c, tables.agreement_state.c, tables.agreement_event.c
_WHOSE = sa.select(_A.subject_id).where(
    _A.controller_id == sa.bindparam("controller_id"), _A.agreement_id == sa.bindparam("agreement_id")
)
_LAST = sa.select(sa.func.max(_E.number)).where(
    _E.controller_id == sa.bindparam("controller_id"),
    _E.subject_id == sa.bindparam("subject_id"),
    _E.agreement_id == sa.bindparam("agreement_id"),
)
_END = (
    sa.update(tables.agreement_state)
    .where(
        _S.controller_id == sa.bindparam("of_controller"),
        _S.subject_id == sa.bindparam("of_subject"),
        _S.agreement_id == sa.bindparam("of_agreement"),
        _S.status == "in_force",
    )
    .values(status=sa.bindparam("new_status"), consent=sa.bindparam("new_consent"), entry_id=sa.bindparam("new_entry"))
)
_NARROW = (
    sa.update(tables.agreement_state)
    .where(
        _S.controller_id == sa.bindparam("of_controller"),
        _S.subject_id == sa.bindparam("of_subject"),
        _S.agreement_id == sa.bindparam("of_agreement"),
        _S.status == "in_force",
    )
    .values(excluded=sa.bindparam("new_excluded", type_=sa.ARRAY(sa.Text)), entry_id=sa.bindparam("new_entry"))
)
_EVENTS = (
    sa.select(_E.agreement_id, _E.number, _E.kind, _E.recorded_at, _E.effective_at, _E.channel, _E.role, _E.entry_id)
    .where(_E.controller_id == sa.bindparam("controller_id"), _E.subject_id == sa.bindparam("subject_id"))
    .order_by(_E.agreement_id, _E.number)
)
_HISTORY = (
    sa.select(_E.number, _E.kind, _E.recorded_at, _E.effective_at, _E.channel, _E.entry_id, _E.excluded)
    .where(
        _E.controller_id == sa.bindparam("controller_id"),
        _E.subject_id == sa.bindparam("subject_id"),
        _E.agreement_id == sa.bindparam("agreement_id"),
    )
    .order_by(_E.number)
)
_AGREED = (
    sa.select(
        _A.template_id, _A.template_version, _A.template_digest, _A.text_language, _A.text_sha256, _A.valid_from, _A.valid_until,
    )
    .where(
        _A.controller_id == sa.bindparam("controller_id"),
        _A.subject_id == sa.bindparam("subject_id"),
        _A.agreement_id == sa.bindparam("agreement_id"),
    )
)  # fmt: skip
_DUE = (
    sa.select(_S.subject_id, _S.agreement_id)
    .where(_S.controller_id == sa.bindparam("controller_id"), _S.status == "in_force", _S.valid_until <= sa.bindparam("at"))
    .limit(sa.bindparam("most"))
)
_WHAT = sa.func.jsonb_build_array(_E.kind, _E.excluded)
_HAPPENED = (  # to one agreement: found by its key, so a page costs what its agreements cost
    sa.select(sa.func.coalesce(sa.func.jsonb_object_agg(_E.number, _WHAT), sa.text("'{}'::jsonb")))
    .where(_E.controller_id == _A.controller_id, _E.subject_id == _A.subject_id, _E.agreement_id == _A.agreement_id)
    .scalar_subquery()
)
_STORED = (
    sa.select(
        _A.subject_id,
        _A.agreement_id,
        _A.template_id + "@" + sa.cast(_A.template_version, sa.Text),
        _A.valid_from,
        _A.valid_until,
        _S.template,
        _S.status,
        _S.consent,
        _S.valid_from,
        _S.valid_until,
        _S.excluded,
        _HAPPENED,
    )
    .select_from(
        tables.agreement.outerjoin(
            tables.agreement_state,
            sa.and_(_A.controller_id == _S.controller_id, _A.subject_id == _S.subject_id, _A.agreement_id == _S.agreement_id),
        )
    )
    .where(
        _A.controller_id == sa.bindparam("controller_id"),
        sa.tuple_(_A.subject_id, _A.agreement_id) > sa.tuple_(sa.bindparam("after_subject"), sa.bindparam("after_agreement")),
    )
    .order_by(_A.subject_id, _A.agreement_id)
    .limit(sa.bindparam("most"))
)


@dataclass(frozen=True, slots=True)
class EventRow:
    """One event of an agreement's history; its evidence stays sealed."""

    agreement_id: str
    number: int
    kind: str
    recorded_at: datetime
    effective_at: datetime
    channel: str
    role: str
    entry_id: str


@dataclass(frozen=True, slots=True)
class AgreementRow:
    """What one agreement fixes: the template as it was, the text that was shown, from when and until when."""

    template_id: str
    template_version: int
    template_digest: bytes
    text_language: str
    text_sha256: bytes
    valid_from: datetime
    valid_until: datetime | None


class StoredRow(NamedTuple):
    """One agreement with its derived state, None where there is none, and by number the kind of each event and what it excluded."""

    subject_id: str
    agreement_id: str
    template: str
    valid_from: datetime
    valid_until: datetime | None
    state_template: str | None
    status: str | None
    consent: str | None
    state_from: datetime | None
    state_until: datetime | None
    excluded: Sequence[str] | None
    events: Mapping[str, tuple[str, Sequence[str]]]


def whose(rows: sa.Connection, controller_id: str, agreement_id: str) -> str | None:
    """Return the person of an agreement, or None."""
    found = rows.execute(_WHOSE, {"controller_id": controller_id, "agreement_id": agreement_id}).scalar_one_or_none()
    return None if found is None else str(found)


def next_number(rows: sa.Connection, controller_id: str, subject_id: str, agreement_id: str) -> int:
    """Return the number of this agreement's next event."""
    place = {"controller_id": controller_id, "subject_id": subject_id, "agreement_id": agreement_id}
    return int(rows.execute(_LAST, place).scalar_one_or_none() or 0) + 1


def end(rows: sa.Connection, place: tuple[str, str, str], status: str, consent: str, entry_id: str) -> bool:
    """Set the derived state of an agreement in force to ended; False when it was not in force any more."""
    controller_id, subject_id, agreement_id = place
    of: dict[str, Any] = {"of_controller": controller_id, "of_subject": subject_id, "of_agreement": agreement_id}
    return rows.execute(_END, {**of, "new_status": status, "new_consent": consent, "new_entry": entry_id}).rowcount == 1


def narrow(rows: sa.Connection, place: tuple[str, str, str], excluded: Sequence[str], entry_id: str) -> bool:
    """Set what the person of an agreement in force has left out, all told; False when it was not in force any more."""
    controller_id, subject_id, agreement_id = place
    of: dict[str, Any] = {"of_controller": controller_id, "of_subject": subject_id, "of_agreement": agreement_id}
    return rows.execute(_NARROW, {**of, "new_excluded": list(excluded), "new_entry": entry_id}).rowcount == 1


def events(rows: sa.Connection, controller_id: str, subject_id: str) -> list[EventRow]:
    """Return every event of a person's agreements, by agreement and number."""
    found = rows.execute(_EVENTS, {"controller_id": controller_id, "subject_id": subject_id})
    return [EventRow(*row) for row in found]


def agreed(
    rows: sa.Connection, controller_id: str, subject_id: str, agreement_id: str
) -> tuple[AgreementRow, list[Happened]] | None:
    """Return an agreement and its events in the order of their numbers, or None."""
    place = {"controller_id": controller_id, "subject_id": subject_id, "agreement_id": agreement_id}
    made = rows.execute(_AGREED, place).one_or_none()
    if made is None:
        return None
    return AgreementRow(*made), [Happened(*row[:-1], frozenset(row.excluded)) for row in rows.execute(_HISTORY, place)]


def stored(rows: sa.Connection, controller_id: str, after: tuple[str, str], most: int) -> list[StoredRow]:
    """Return the next agreements after (subject, agreement), each as made, as derived, and with its events."""
    page = {"controller_id": controller_id, "after_subject": after[0], "after_agreement": after[1], "most": most}
    return [StoredRow._make(row) for row in rows.execute(_STORED, page)]


def due(rows: sa.Connection, controller_id: str, at: datetime, most: int) -> Sequence[tuple[str, str]]:
    """Return (subject, agreement) of agreements whose validity the clock has ended already."""
    return [
        (row.subject_id, row.agreement_id) for row in rows.execute(_DUE, {"controller_id": controller_id, "at": at, "most": most})
    ]
