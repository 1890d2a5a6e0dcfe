"""Rows of erasure: the ledger's mark, what is taken away of a person, what was erased, certificates, tombstones, suppressions."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert as upsert

from vault import tables
from vault.erasure.ledger import Tail
from vault.errors import Stale

GONE = ("archived", "erased")  # states of a person nothing is written about any more
# What is a person's and goes as a whole, by subject_id. Keys and values go by generation, for some may be archived.
_WHOLE = (
    tables.blind_index, tables.token, tables.stored_answer, tables.import_line, tables.verification, tables.ticket,
    tables.rectification_draft, tables.data_source,
)  # fmt: skip
_BY_GENERATION = (tables.data_key_wrap, tables.data_key, tables.profile_frame, tables.field_history)

_M, _S, _K, _W, _F, _H = (
    one.c
    for one in (
        tables.ledger_mark, tables.subject, tables.data_key, tables.data_key_wrap, tables.profile_frame, tables.field_history,
    )
)  # fmt: skip
_CONTROLLER: sa.BindParameter[str] = sa.bindparam("of_controller")
_SUBJECT: sa.BindParameter[str] = sa.bindparam("of_subject")
_MARK = sa.select(_M.number, _M.digest).where(_M.controller_id == _CONTROLLER)
_SET_MARK = (
    sa.update(tables.ledger_mark)
    .where(_M.controller_id == _CONTROLLER, _M.number < sa.bindparam("to_number"))
    .values(number=sa.bindparam("to_number"), digest=sa.bindparam("to_digest"))
)
_GENERATIONS = (
    sa.select(_K["class"], _K.generation, _K.data_key_id, _K.state, _F.frame)
    .join_from(
        tables.data_key,
        tables.profile_frame,
        sa.and_(*(_F[name] == _K[name] for name in ("controller_id", "subject_id", "class", "generation"))),
        isouter=True,
    )
    .where(_K.controller_id == _CONTROLLER, _K.subject_id == _SUBJECT)
)
_FORMER = (
    sa.select(_H["class"], _H.generation, _H.field, sa.func.count().label("values"))
    .where(_H.controller_id == _CONTROLLER, _H.subject_id == _SUBJECT)
    .group_by(_H["class"], _H.generation, _H.field)
)
_HOLDERS = sa.select(_W["class"], _W.generation, _W.holder_id).where(
    _W.controller_id == _CONTROLLER, _W.subject_id == _SUBJECT, _W.holder_kind == "hold"
)  # fmt: skip
_TAKE_OUT = (
    sa.update(tables.subject)
    .where(
        _S.controller_id == _CONTROLLER, _S.subject_id == _SUBJECT, _S.version == sa.bindparam("read_version"), ~_S.state.in_(GONE)
    )
    .values(
        version=_S.version + 1, state=sa.bindparam("new_state"), restricted=[], restricted_at=None, objected=False,
        objected_marketing=False, objected_at=None, minor="unknown", adult_at=None, time_barred_at=None, deceased_on=None,
        obscured=[], entry_id=sa.bindparam("new_entry"),
    )
)  # fmt: skip
_SETTLE = (
    sa.update(tables.subject)
    .where(
        _S.controller_id == _CONTROLLER, _S.subject_id == _SUBJECT, _S.state == "archived",
        ~sa.exists().where(_K.controller_id == _S.controller_id, _K.subject_id == _S.subject_id),
    )
    .values(state="erased")
)  # fmt: skip
_A = tables.subject_audit_key.c
_SHRED_AFTER = (
    sa.update(tables.subject_audit_key)
    .where(_A.controller_id == _CONTROLLER, _A.subject_id == _SUBJECT)
    .values(shred_after=sa.bindparam("needed_until"))
)
_EVENT = tables.event.c
_WROTE = sa.select(
    sa.exists().where(
        _EVENT.controller_id == _CONTROLLER, _EVENT.name == sa.literal_column("'subject:amended'"),
        _EVENT.data["subject_id"].astext == _SUBJECT, _EVENT.entry_id == sa.bindparam("of_entry"),
    )
)  # fmt: skip
_OWNERS = sa.select(_K.subject_id).distinct().where(
    _K.controller_id == _CONTROLLER, _K.data_key_id.in_(sa.bindparam("key_ids", expanding=True))
)  # fmt: skip
_EVERYBODY = sa.select(_S.subject_id).where(_S.controller_id == _CONTROLLER).order_by(_S.subject_id)
PAGE: Final = 200
_E, _C, _T, _P = tables.erasure.c, tables.certificate.c, tables.tombstone.c, tables.suppression.c
_OF_SUBJECT = sa.select(tables.erasure).where(_E.controller_id == _CONTROLLER, _E.subject_id == _SUBJECT).order_by(_E.erased_at)
_NOTES = sa.select(_C.certificate_id, _C.note).where(
    _C.controller_id == _CONTROLLER, _C.erasure_id == sa.bindparam("of_erasure"), _C.stage == sa.bindparam("of_stage")
)  # fmt: skip
_ARCHIVED = (
    sa.select(tables.erasure)
    .join(tables.subject, sa.and_(_S.controller_id == _E.controller_id, _S.subject_id == _E.subject_id))
    .where(_E.controller_id == _CONTROLLER, _S.state == "archived")
    .order_by(_E.erased_at)
)
_NOT_FINAL = (
    sa.select(tables.erasure)
    .where(
        _E.controller_id == _CONTROLLER,
        ~sa.exists().where(_C.controller_id == _E.controller_id, _C.erasure_id == _E.erasure_id, _C.stage == "final"),
    )
    .order_by(_E.erased_at)
)


_CERTIFICATES = (
    sa.select(_C.certificate_id, _C.stage, _E.subject_id, _E.request_id, _C.issued_at)
    .select_from(
        tables.certificate.join(tables.erasure, sa.and_(_C.controller_id == _E.controller_id, _C.erasure_id == _E.erasure_id))
    )
    .where(_C.controller_id == _CONTROLLER)
    .order_by(_C.issued_at.desc(), _C.certificate_id)
    .limit(PAGE + 1)
    .offset(sa.bindparam("skip"))
)
_NOTE = sa.select(_C.note).where(_C.controller_id == _CONTROLLER, _C.certificate_id == sa.bindparam("of_certificate"))


class Generation(NamedTuple):
    """One data key of a person as it stands, with its frame where there is one."""

    class_name: str
    generation: int
    data_key_id: str
    state: str
    frame: bytes | None


@dataclass(frozen=True, slots=True)
class ErasureRow:
    """What one erasure was, in ids and names of fields. Nobody accepted one that the ledger's line alone carried out."""

    erasure_id: str
    subject_id: str
    request_id: str
    accepted_by: str | None
    approved_by: str | None
    plan_digest: bytes
    result: Mapping[str, Any]
    ledger_number: int
    epoch: int
    erased_at: datetime
    entry_id: str


@dataclass(frozen=True, slots=True)
class CertificateRow:
    """The signed account of an erasure, at one stage: `live`, `final`."""

    certificate_id: str
    erasure_id: str
    stage: str
    note: bytes
    issued_at: datetime
    entry_id: str


class Identifier(NamedTuple):
    """A keyed hash of an identifier: which index, under which version of the secret, by which normaliser."""

    index_name: str
    secret_version: int
    normaliser: int
    mac: bytes


def mark(rows: sa.Connection, controller_id: str, *, lock: bool = False) -> Tail | None:
    """Return up to which line of the ledger this database has come; None where it was never said. `lock`: others wait."""
    found = rows.execute(_MARK.with_for_update() if lock else _MARK, {"of_controller": controller_id}).one_or_none()
    return None if found is None else Tail(int(found.number), bytes(found.digest))


def found_mark(rows: sa.Connection, controller_id: str, at: Tail) -> None:
    """Begin the mark of a controller."""
    rows.execute(sa.insert(tables.ledger_mark), {"controller_id": controller_id, "number": at.number, "digest": at.digest})


def advance_mark(rows: sa.Connection, controller_id: str, to: Tail) -> None:
    """Say that this line is applied; the caller holds the mark's lock. A mark never goes back."""
    rows.execute(_SET_MARK, {"of_controller": controller_id, "to_number": to.number, "to_digest": to.digest})


def generations(rows: sa.Connection, controller_id: str, subject_id: str) -> list[Generation]:
    """Return every data key of a person."""
    return [Generation._make(row) for row in rows.execute(_GENERATIONS, _of(controller_id, subject_id))]


def former_values(rows: sa.Connection, controller_id: str, subject_id: str) -> dict[tuple[str, int, str], int]:
    """Return how many former values the history keeps, by class, generation and field."""
    found = rows.execute(_FORMER, _of(controller_id, subject_id))
    return {(row[0], int(row.generation), row.field): int(row[3]) for row in found}


def holders_for_later(rows: sa.Connection, controller_id: str, subject_id: str) -> dict[tuple[str, int], set[str]]:
    """Return, by class and generation, the agreements that hold a key without opening it: duties to keep that lie in wait."""
    found: dict[tuple[str, int], set[str]] = {}
    for row in rows.execute(_HOLDERS, _of(controller_id, subject_id)):
        found.setdefault((row[0], int(row.generation)), set()).add(row.holder_id)
    return found


def take_out(rows: sa.Connection, controller_id: str, subject_id: str, version: int, state: str, entry_id: str) -> None:
    """Set a person to erased or archived and blank what their row said. Raises Stale where somebody changed it since."""
    parameters = {"read_version": version, "new_state": state, "new_entry": entry_id}
    if rows.execute(_TAKE_OUT, {**_of(controller_id, subject_id), **parameters}).rowcount != 1:
        raise Stale


def settle(rows: sa.Connection, controller_id: str, subject_id: str) -> None:
    """Say of somebody archived that they are erased, once nothing is kept of them any more."""
    rows.execute(_SETTLE, _of(controller_id, subject_id))


def delete_person(rows: sa.Connection, controller_id: str, subject_id: str, keep: Collection[tuple[str, int]]) -> None:
    """Delete all that is a person's, but the generations of a class in `keep`, which a duty holds."""
    for table in _BY_GENERATION:
        ours = (table.c.controller_id == controller_id, table.c.subject_id == subject_id)
        others = sa.tuple_(table.c["class"], table.c.generation).not_in(list(keep)) if keep else sa.true()
        rows.execute(sa.delete(table).where(*ours, others))
    for table in _WHOLE:
        rows.execute(sa.delete(table).where(table.c.controller_id == controller_id, table.c.subject_id == subject_id))


def left_over(rows: sa.Connection, controller_id: str, subject_id: str, keep: Collection[tuple[str, int]]) -> list[str]:
    """Return the tables in which something of a person is left that should have gone."""
    found = []
    for table in (*_BY_GENERATION, *_WHOLE):
        columns = (table.c["class"], table.c.generation) if table in _BY_GENERATION else (sa.literal(""), sa.literal(0))
        ours = (table.c.controller_id == controller_id, table.c.subject_id == subject_id)
        there = {(row[0], int(row[1])) for row in rows.execute(sa.select(*columns).distinct().where(*ours))}
        if there - set(keep):
            found.append(f"{table.schema}.{table.name}")
    return found


def shred_audit_key_after(rows: sa.Connection, controller_id: str, subject_id: str, until: datetime) -> None:
    """Say until when the details of a person's accesses are to be readable."""
    rows.execute(_SHRED_AFTER, {**_of(controller_id, subject_id), "needed_until": until})


def owners(rows: sa.Connection, controller_id: str, key_ids: Sequence[str]) -> list[str]:
    """Return the people who have one of these data keys."""
    return sorted(rows.execute(_OWNERS, {"of_controller": controller_id, "key_ids": list(key_ids)}).scalars())


def wrote(rows: sa.Connection, controller_id: str, subject_id: str, entry_id: str) -> bool:
    """Whether the act of this entry changed values of a person here: it said so in its own transaction."""
    return bool(rows.execute(_WROTE, {**_of(controller_id, subject_id), "of_entry": entry_id}).scalar_one())


def everybody(rows: sa.Connection, controller_id: str) -> list[str]:
    """Return the id of every person there is or was."""
    return list(rows.execute(_EVERYBODY, {"of_controller": controller_id}).scalars())


def add_erasure(rows: sa.Connection, controller_id: str, made: ErasureRow) -> None:
    """Keep what an erasure was."""
    columns = {name: getattr(made, name) for name in made.__slots__}
    rows.execute(sa.insert(tables.erasure), {"controller_id": controller_id, **columns})


def erasures(rows: sa.Connection, controller_id: str, subject_id: str) -> list[ErasureRow]:
    """Return what was erased of a person, first to last."""
    found = rows.execute(_OF_SUBJECT, _of(controller_id, subject_id)).mappings()
    return [ErasureRow(**{name: row[name] for name in ErasureRow.__slots__}) for row in found]


def archived(rows: sa.Connection, controller_id: str) -> list[ErasureRow]:
    """Return the erasures of people of whom a duty still keeps something, first to last."""
    found = rows.execute(_ARCHIVED, {"of_controller": controller_id}).mappings()
    return [ErasureRow(**{name: row[name] for name in ErasureRow.__slots__}) for row in found]


def not_final(rows: sa.Connection, controller_id: str) -> list[ErasureRow]:
    """Return the erasures of which no certificate says that they are final, first to last."""
    found = rows.execute(_NOT_FINAL, {"of_controller": controller_id}).mappings()
    return [ErasureRow(**{name: row[name] for name in ErasureRow.__slots__}) for row in found]


def add_certificate(rows: sa.Connection, controller_id: str, made: CertificateRow) -> None:
    """Keep a certificate."""
    columns = {name: getattr(made, name) for name in made.__slots__}
    rows.execute(sa.insert(tables.certificate), {"controller_id": controller_id, **columns})


def certificate_of(rows: sa.Connection, controller_id: str, erasure_id: str, stage: str) -> tuple[str, bytes] | None:
    """Return the id and note of an erasure's certificate of this stage, if it has one."""
    found = rows.execute(_NOTES, {"of_controller": controller_id, "of_erasure": erasure_id, "of_stage": stage}).first()
    return None if found is None else (found.certificate_id, bytes(found.note))


def certificates(rows: sa.Connection, controller_id: str, skip: int) -> list[dict[str, Any]]:
    """Return up to `PAGE` certificates and one, the newest first: id, stage, whose, by which request, when."""
    found = rows.execute(_CERTIFICATES, {"of_controller": controller_id, "skip": skip})
    return [dict(one) for one in found.mappings()]


def certificate(rows: sa.Connection, controller_id: str, certificate_id: str) -> bytes | None:
    """Return the note of one certificate, None where there is none."""
    note = rows.execute(_NOTE, {"of_controller": controller_id, "of_certificate": certificate_id}).scalar_one_or_none()
    return bytes(note) if note is not None else None


def keep_tombstones(
    rows: sa.Connection, controller_id: str, left: Collection[Identifier], at: datetime, until: datetime, entry_id: str
) -> None:
    """Keep tombstones; one that stands already is renewed."""
    if not left:
        return
    lift_tombstones(rows, controller_id, left)
    common = {"controller_id": controller_id, "erased_at": at, "ends_at": until, "entry_id": entry_id}
    rows.execute(sa.insert(tables.tombstone), [{**one._asdict(), **common} for one in sorted(left)])


def lift_tombstones(rows: sa.Connection, controller_id: str, left: Collection[Identifier]) -> None:
    """Take tombstones away: whoever they were of has agreed anew."""
    rows.execute(sa.delete(tables.tombstone).where(_T.controller_id == controller_id, _these(tables.tombstone, left)))


def keep_suppressions(
    rows: sa.Connection, controller_id: str, left: Collection[tuple[str, Identifier]], at: datetime, entry_id: str
) -> None:
    """Keep (channel, identifier) no marketing is sent to; one that is kept already stays as it is."""
    common = {"controller_id": controller_id, "objected_at": at, "entry_id": entry_id}
    if left:
        statement = upsert(tables.suppression).on_conflict_do_nothing()
        rows.execute(statement, [{"channel": channel, **one._asdict(), **common} for channel, one in sorted(left)])


def end_suppressions(rows: sa.Connection, controller_id: str, left: Collection[tuple[str, Identifier]]) -> None:
    """Take (channel, identifier) away: whoever objected has taken that back."""
    columns = (_P.channel, _P.index_name, _P.secret_version, _P.normaliser, _P.mac)
    these = sa.tuple_(*columns).in_([(channel, *one) for channel, one in sorted(left)])
    rows.execute(sa.delete(tables.suppression).where(_P.controller_id == controller_id, these))


def versions_in_use(rows: sa.Connection, controller_id: str, table: sa.Table) -> list[tuple[int, int]]:
    """Return (secret version, normaliser) of the rows of `tombstone` or `suppression` there are: by these it is asked."""
    columns = (table.c.secret_version, table.c.normaliser)
    found = rows.execute(sa.select(*columns).distinct().where(table.c.controller_id == controller_id))
    return sorted((int(one[0]), int(one[1])) for one in found)


def tombstones(rows: sa.Connection, controller_id: str, asked: Collection[Identifier], at: datetime) -> dict[Identifier, datetime]:
    """Return those of these identifiers that have a tombstone still standing, and when their owner was erased."""
    columns = (_T.index_name, _T.secret_version, _T.normaliser, _T.mac, _T.erased_at)
    found = rows.execute(
        sa.select(*columns).where(_T.controller_id == controller_id, _T.ends_at > at, _these(tables.tombstone, asked))
    )
    return {Identifier(row[0], int(row[1]), int(row[2]), bytes(row[3])): row.erased_at for row in found}


def suppressions(
    rows: sa.Connection, controller_id: str, asked: Collection[tuple[str, Identifier]]
) -> dict[tuple[str, Identifier], datetime]:
    """Return those of these (channel, identifier) no marketing is sent to, and since when."""
    columns = (_P.channel, _P.index_name, _P.secret_version, _P.normaliser, _P.mac)
    these = sa.tuple_(*columns).in_([(channel, *one) for channel, one in sorted(asked)])
    found = rows.execute(sa.select(*columns, _P.objected_at).where(_P.controller_id == controller_id, these))
    return {(row[0], Identifier(row[1], int(row[2]), int(row[3]), bytes(row[4]))): row.objected_at for row in found}


def _these(table: sa.Table, asked: Collection[Identifier]) -> Any:
    columns = sa.tuple_(table.c.index_name, table.c.secret_version, table.c.normaliser, table.c.mac)
    return columns.in_([tuple(one) for one in sorted(asked)])


def _of(controller_id: str, subject_id: str) -> dict[str, str]:
    return {"of_controller": controller_id, "of_subject": subject_id}
