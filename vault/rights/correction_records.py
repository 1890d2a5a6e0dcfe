"""Rows of corrections: who proposed what, what was told, what came of it; and what is proposed, sealed, until it ends."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from vault import tables
from vault.errors import Stale
from vault.rights.correcting import Proposal

_P, _D = tables.rectification.c, tables.rectification_draft.c
_OF: Final[sa.BindParameter[str]] = sa.bindparam("of_controller")
_REQUEST: Final[sa.BindParameter[str]] = sa.bindparam("of_request")
_LAST = (
    sa.select(*(one for one in _P if one.name != "controller_id"))
    .where(_P.controller_id == _OF, _P.request_id == _REQUEST)
    .order_by(_P.number.desc())
    .limit(1)
)
_DRAFTS = sa.select(_D["class"], _D.generation, _D.frame).where(_D.controller_id == _OF, _D.request_id == _REQUEST)
_END = sa.delete(tables.rectification_draft).where(_D.controller_id == _OF, _D.request_id == _REQUEST)
_CHANGE = sa.update(tables.rectification).where(
    _P.controller_id == _OF, _P.request_id == _REQUEST, _P.number == sa.bindparam("of_number"), _P.applied_at.is_(None)
)


class DraftRow(NamedTuple):
    """What is proposed of one class, sealed under the key of that generation."""

    class_name: str
    generation: int
    frame: bytes


@dataclass(frozen=True, slots=True)
class CorrectionRow:
    """One proposal, and, once it was carried out, where the values came from: who asked, on what evidence, when."""

    request_id: str
    number: int
    subject_id: str
    agreement_id: str
    replaces: Mapping[str, int]
    evidence: str
    asked_by: str
    asked_at: datetime
    contacts: Mapping[str, int]
    digest: bytes
    told_by: str | None
    told_through: str | None
    told_at: datetime | None
    applied_at: datetime | None
    applied_version: int | None
    entry_id: str
    mark: bytes = field(default=b"", repr=False)  # over all the rest

    @property
    def place(self) -> str:
        """What its drafts are named by."""
        return f"{self.request_id}/{self.number}"

    @property
    def proposal(self) -> Proposal:
        """What the rule of waiting has to know."""
        by = frozenset(one for one in (self.asked_by, self.told_by) if one is not None)
        return Proposal(self.replaces, self.asked_at, bool(self.contacts), self.told_at, by)

    def reaches(self, through: str, present: Mapping[str, int]) -> bool:
        """Say whether a contact reaches whoever was there when it was proposed: one written since could be an impostor's."""
        return through in self.contacts and present.get(through) == self.contacts[through]


def add(rows: sa.Connection, controller_id: str, made: CorrectionRow, drafts: Iterable[DraftRow]) -> None:
    """Keep a proposal; what was proposed before it is gone. Raises Stale where somebody proposed meanwhile."""
    end_drafts(rows, controller_id, made.request_id)
    try:
        rows.execute(sa.insert(tables.rectification), {"controller_id": controller_id, **asdict(made)})
    except sa.exc.IntegrityError:
        raise Stale from None
    for one in drafts:
        rows.execute(
            sa.insert(tables.rectification_draft),
            {
                "controller_id": controller_id, "subject_id": made.subject_id, "request_id": made.request_id, "number": made.number,
                "class": one.class_name, "generation": one.generation, "frame": one.frame,
            },
        )  # fmt: skip


def last(rows: sa.Connection, controller_id: str, request_id: str) -> CorrectionRow | None:
    """Return what was proposed last, None where nothing was."""
    found = rows.execute(_LAST, {"of_controller": controller_id, "of_request": request_id}).mappings().one_or_none()
    return None if found is None else CorrectionRow(**{**found, "digest": bytes(found["digest"]), "mark": bytes(found["mark"])})


def drafts(rows: sa.Connection, controller_id: str, request_id: str) -> list[DraftRow]:
    """Return what is proposed, sealed; nothing once it ended."""
    found = rows.execute(_DRAFTS, {"of_controller": controller_id, "of_request": request_id})
    return [DraftRow(name, generation, bytes(octets)) for name, generation, octets in found]


def end_drafts(rows: sa.Connection, controller_id: str, request_id: str) -> int:
    """Take away what was proposed; return of how many classes there was something."""
    return rows.execute(_END, {"of_controller": controller_id, "of_request": request_id}).rowcount


def end_drafts_of(rows: sa.Connection, controller_id: str, subject_id: str, classes: Collection[str]) -> None:
    """Take away what is proposed of these classes in any request of a person: it is to be proposed anew."""
    place = (_D.controller_id == controller_id, _D.subject_id == subject_id, _D["class"].in_(sorted(classes)))
    rows.execute(sa.delete(tables.rectification_draft).where(*place))


def change(rows: sa.Connection, controller_id: str, one: CorrectionRow, **to: Any) -> None:
    """Keep what was told, or that it was carried out. Raises Stale where that was done meanwhile."""
    place = {"of_controller": controller_id, "of_request": one.request_id, "of_number": one.number}
    if rows.execute(_CHANGE.values(**to), place).rowcount != 1:
        raise Stale
