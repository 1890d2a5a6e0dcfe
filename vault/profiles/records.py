"""The one statement a disclosure reads: subjects, agreements, wraps, frames, audit key, chain head, caller, tickets, proofs.

One statement is one snapshot, so an old right never meets new data. Its parts are a UNION ALL with `= ANY(…)` repeated in each: no
correlated sub-select and no outer join, which a sharded database would run on every node.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import zip_longest
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import ARRAY, BigInteger, Column, DateTime, LargeBinary, Select, Text, bindparam, null
from sqlalchemy import and_ as both
from sqlalchemy.dialects.postgresql import array

from vault import tables
from vault.database import Database, Reading
from vault.octets import text_array

_COLUMNS: Mapping[str, Any] = {
    "a": Text(), "b": Text(), "c": Text(), "d": Text(), "n": BigInteger(), "m": BigInteger(),
    "since": DateTime(timezone=True), "until": DateTime(timezone=True),
    "p": ARRAY(Text), "q": ARRAY(Text), "r": ARRAY(DateTime(timezone=True)),
    "u": LargeBinary(), "v": LargeBinary(), "w": LargeBinary(),
}  # fmt: skip
_CONTROLLER = bindparam("controller_id", type_=Text())
_SUBJECTS = bindparam("subjects", type_=ARRAY(Text))
_CALLERS = bindparam("callers", type_=ARRAY(Text))
_TICKETS = bindparam("tickets", type_=ARRAY(Text))
_CLASSES = bindparam("classes", type_=ARRAY(Text))


class SubjectRow(NamedTuple):
    """A person's states. `restricted` are field names; `minor` is a band, `adult_at` when its clock ends.

    `obscured` are values, by field@value_version.
    """

    state: str
    version: int
    restricted: frozenset[str]
    restricted_at: datetime | None
    objected: bool
    objected_marketing: bool
    objected_at: datetime | None
    minor: str
    time_barred_at: datetime | None
    adult_at: datetime | None
    deceased: bool
    obscured: frozenset[str]


class AgreementRow(NamedTuple):
    """The derived state of one agreement; `template` is id@version. Validity is half-open."""

    agreement_id: str
    template: str
    status: str
    consent: str
    excluded: frozenset[str]
    valid_from: datetime
    valid_until: datetime | None


class FrameRow(NamedTuple):
    """One class of one person: its sealed frame, and what its data key must answer to."""

    class_name: str
    generation: int
    commit: bytes
    manifest: bytes
    frame: bytes


class CallerRow(NamedTuple):
    """One line of the register of callers. `training` says of each until when it counts; None: it does not end."""

    roles: frozenset[str]
    training: Mapping[str, datetime | None]
    team: str | None
    recipient: str
    region: str
    valid_from: datetime
    valid_until: datetime | None
    acts_for_agents: bool


class TermsRow(NamedTuple):
    """What the register of recipients says of one: as which party, in which role, and its processing agreement's dates."""

    party: str
    role: str
    country: str
    transfer_tool: str
    contract_from: datetime | None
    contract_until: datetime | None
    ended: bool


class TicketRow(NamedTuple):
    """A ticket as the helpdesk pushed it: references, never text."""

    ticket_id: str
    subject_id: str
    state: str
    assignee: str | None
    team: str | None
    updated_at: datetime


class Proof(NamedTuple):
    """A field a person knew about themselves on a ticket. `kind`: relation, civil or phrase; `until` is None where they did not."""

    field: str
    kind: str
    until: datetime | None


class GrantRow(NamedTuple):
    """A grant of break-glass that is not reviewed yet, valid or not."""

    grant_id: str
    ticket_id: str
    purpose: str
    fields: frozenset[str]
    approved: bool
    opened_at: datetime
    expires_at: datetime


class DenialRow(NamedTuple):
    """An emergency denial. What is None is not asked; all that is stated must be so."""

    role: str | None
    caller_id: str | None
    purpose: str | None
    channel: str | None
    field: str | None
    class_name: str | None
    recipient: str | None
    ends_at: datetime


@dataclass(slots=True)
class Person:
    """All that was read of one subject. `subject` is None when there is nobody of that id."""

    subject: SubjectRow | None = None
    agreements: list[AgreementRow] = field(default_factory=list)
    frames: dict[str, FrameRow] = field(default_factory=dict)
    # by class and generation: agreement -> (highest epoch, wrap)
    wraps: dict[tuple[str, int], dict[str, tuple[int, bytes]]] = field(default_factory=dict)
    audit_key: tuple[int, bytes] | None = None  # (epoch, wrap)
    head: tuple[int, int, bytes] = (0, 0, b"")  # era, number, tag of the open stream
    # by (field, recipient): the last serial shown, and when it ended
    tokens: dict[tuple[str, str], tuple[int, datetime | None]] = field(default_factory=dict)

    def wraps_of(self, class_name: str) -> Mapping[str, tuple[int, bytes]]:
        """Return the agreements that hold the current data key of a class, each with epoch and bytes of its wrap."""
        row = self.frames.get(class_name)
        return self.wraps.get((class_name, row.generation), {}) if row is not None else {}


class AssignedRow(NamedTuple):
    """An open ticket somebody has. `fields`: what a request is of; none: everything."""

    topic: str
    fields: frozenset[str]


@dataclass(slots=True)
class Snapshot:
    """What one statement read, by id."""

    people: dict[str, Person] = field(default_factory=dict)
    callers: dict[str, CallerRow] = field(default_factory=dict)
    terms: dict[str, TermsRow] = field(default_factory=dict)  # of the callers' recipients that are on the register, by name
    tickets: dict[str, TicketRow] = field(default_factory=dict)
    assigned: dict[tuple[str, str], list[AssignedRow]] = field(default_factory=dict)  # (subject, assignee) -> open tickets
    proofs: dict[tuple[str, str, str], list[Proof]] = field(default_factory=dict)  # by (subject, caller, ticket)
    grants: dict[tuple[str, str], list[GrantRow]] = field(default_factory=dict)  # by (subject, requester)
    denials: list[DenialRow] = field(default_factory=list)  # all of this controller that may be in force

    def person(self, subject_id: str) -> Person:
        """Return what was read of this subject; an empty Person when nothing was."""
        return self.people.get(subject_id) or Person()


def snapshot_all(
    database: Database,
    controller_id: str,
    subjects: Iterable[str],
    callers: Iterable[str],
    tickets: Iterable[str],
    classes: Iterable[str],
) -> Snapshot:
    """Read everything decisions about these subjects need, in one statement of one controller."""
    rows = database.fetch(
        controller_id,
        READING,
        {
            "controller_id": controller_id.encode(),
            "subjects": text_array(sorted(set(subjects))),
            "callers": text_array(sorted(set(callers))),
            "tickets": text_array(sorted(set(tickets))),
            "classes": text_array(sorted(set(classes))),
        },
    )
    return _sorted_out(rows)


class _Row(NamedTuple):
    """One row of the union: `kind` says which part it is of, and so what the other columns hold."""

    kind: str
    id: str
    a: Any
    b: Any
    c: Any
    d: Any
    n: Any
    m: Any
    since: Any
    until: Any
    p: Any
    q: Any
    r: Any
    u: Any
    v: Any
    w: Any


def _sorted_out(rows: Iterable[Sequence[Any]]) -> Snapshot:
    read = Snapshot()
    for columns in rows:
        row = _Row._make(columns)
        _PLACES[row.kind](read, row)
    return read


def _of(read: Snapshot, row: _Row) -> Person:
    person = read.people.get(row.id)
    if person is None:
        person = read.people[row.id] = Person()
    return person


def _subject(read: Snapshot, row: _Row) -> None:
    _of(read, row).subject = SubjectRow(
        state=row.a,
        version=row.n,
        restricted=frozenset(row.p),
        restricted_at=row.since,
        objected=bool(row.m & 1),
        objected_marketing=bool(row.m & 2),
        objected_at=row.until,
        minor=row.b,
        time_barred_at=None if row.d is None else datetime.fromtimestamp(int(row.d), UTC),
        adult_at=None if row.c is None else datetime.fromtimestamp(int(row.c), UTC),
        deceased=bool(row.m & 8),
        obscured=frozenset(row.q),
    )


def _agreement(read: Snapshot, row: _Row) -> None:
    _of(read, row).agreements.append(AgreementRow(row.a, row.b, row.c, row.d, frozenset(row.p), row.since, row.until))


def _frame(read: Snapshot, row: _Row) -> None:
    _of(read, row).frames[row.a] = FrameRow(row.a, row.n, row.u, row.v, row.w)


def _wrap(read: Snapshot, row: _Row) -> None:
    held = _of(read, row).wraps.setdefault((row.a, row.n), {})
    if row.b not in held or held[row.b][0] < row.m:
        held[row.b] = (row.m, row.u)


def _audit_key(read: Snapshot, row: _Row) -> None:
    person = _of(read, row)
    if person.audit_key is None or person.audit_key[0] < row.n:
        person.audit_key = (row.n, row.u)


def _head(read: Snapshot, row: _Row) -> None:
    _of(read, row).head = (row.n, row.m, row.u)


def _token(read: Snapshot, row: _Row) -> None:
    tokens = _of(read, row).tokens
    if row.n > tokens.get((row.a, row.b), (0, None))[0]:
        tokens[row.a, row.b] = (row.n, row.until)


def _caller(read: Snapshot, row: _Row) -> None:
    training = dict(zip_longest(row.q, row.r)) if row.q else {}
    read.callers[row.id] = CallerRow(frozenset(row.p), training, row.a, row.b, row.c, row.since, row.until, bool(row.n))


def _recipient(read: Snapshot, row: _Row) -> None:
    read.terms[row.id] = TermsRow(row.a, row.b, row.c, row.d, row.since, row.until, bool(row.n))


def _ticket(read: Snapshot, row: _Row) -> None:
    read.tickets[row.id] = TicketRow(row.id, row.a, row.b, row.c, row.d, row.since)


def _assignment(read: Snapshot, row: _Row) -> None:
    read.assigned.setdefault((row.id, row.a), []).append(AssignedRow(row.b, frozenset(row.p)))


def _proof(read: Snapshot, row: _Row) -> None:
    read.proofs.setdefault((row.id, row.a, row.b), []).append(Proof(row.c, row.d, row.until))


def _grant(read: Snapshot, row: _Row) -> None:
    found = GrantRow(row.d, row.b, row.c, frozenset(row.p), bool(row.n), row.since, row.until)
    read.grants.setdefault((row.id, row.a), []).append(found)


def _denial(read: Snapshot, row: _Row) -> None:
    field_name, class_name, recipient = row.p
    read.denials.append(DenialRow(row.a, row.b, row.c, row.d, field_name, class_name, recipient, row.until))


_PLACES = {
    "subject": _subject, "agreement": _agreement, "frame": _frame, "wrap": _wrap, "audit_key": _audit_key, "head": _head,
    "token": _token, "caller": _caller, "recipient": _recipient, "ticket": _ticket, "assignment": _assignment,
    "proof": _proof, "grant": _grant, "denial": _denial,
}  # fmt: skip


def _part(kind: str, id_column: "Column[Any]", where: Any, **columns: Any) -> Select[Any]:
    """Return one part of the union: its own columns under the common names, nulls elsewhere."""
    shown = [sa.cast(columns.get(name, null()), sort).label(name) for name, sort in _COLUMNS.items()]
    return sa.select(_constant(kind).label("kind"), id_column.label("id"), *shown).where(where)


def _constant(text: str) -> "sa.ColumnClause[str]":
    """Return one of our own words as SQL text: a parameter would be sent, and planned around, each time."""
    return sa.literal_column(f"'{text}'", Text())


def _any(column: "Column[Any]", values: "sa.BindParameter[Any]") -> Any:
    return column == sa.any_(values)


def _about(table: sa.Table) -> Any:
    """Return the condition every part about subjects repeats."""
    return both(table.c.controller_id == _CONTROLLER, _any(table.c.subject_id, _SUBJECTS))


def _frames() -> Select[Any]:
    """Return the frames of each person's current data keys."""
    key, table = tables.data_key, tables.profile_frame
    same = both(*(table.c[name] == key.c[name] for name in ("controller_id", "subject_id", "class", "generation")))
    current = both(_about(table), _about(key), _any(table.c["class"], _CLASSES), key.c.state == _constant("current"), same)
    columns = {"n": table.c.generation, "u": key.c.commit, "v": key.c.manifest, "w": table.c.frame}
    return _part("frame", table.c.subject_id, current, a=table.c["class"], **columns)


def _wraps() -> Select[Any]:
    """Return the wraps of every generation: joining the keys a second time would cost more than a wrap read in vain.

    A hold's wrap keeps a key from dying; no verb opens through it.
    """
    w = tables.data_key_wrap.c
    held = both(_about(tables.data_key_wrap), _any(w["class"], _CLASSES), w.holder_kind == _constant("agreement"))
    return _part("wrap", w.subject_id, held, a=w["class"], b=w.holder_id, n=w.generation, m=w.epoch, u=w.wrap)


def _people() -> list[Select[Any]]:
    s, a, h, k = tables.subject.c, tables.agreement_state.c, tables.audit_subject_head.c, tables.subject_audit_key.c
    token = tables.token.c
    flags = sa.cast(s.objected, sa.Integer) + sa.literal_column("2") * sa.cast(s.objected_marketing, sa.Integer)
    flags = flags + sa.literal_column("8") * sa.cast(s.deceased_on.is_not(None), sa.Integer)
    of_age, barred = (sa.cast(sa.extract("epoch", one), BigInteger) for one in (s.adult_at, s.time_barred_at))
    stands = {"a": s.state, "b": s.minor, "c": of_age, "d": barred, "n": s.version, "m": flags}
    subject = {**stands, "since": s.restricted_at, "until": s.objected_at}
    agreement = {"a": a.agreement_id, "b": a.template, "c": a.status, "d": a.consent, "since": a.valid_from, "until": a.valid_until}
    return [
        _part("subject", s.subject_id, _about(tables.subject), p=s.restricted, q=s.obscured, **subject),
        _part("agreement", a.subject_id, _about(tables.agreement_state), p=a.excluded, **agreement),
        _part("audit_key", k.subject_id, _about(tables.subject_audit_key), n=k.epoch, u=k.wrap),
        _part(
            "head",
            h.subject_id,
            both(_about(tables.audit_subject_head), h.stream == _constant("open")),
            n=h.era,
            m=h.number,
            u=h.tag,
        ),
        _part(
            "token",
            token.subject_id,
            _about(tables.token),
            a=token.field,
            b=token.recipient,
            n=token.serial,
            until=token.expires_at,
        ),
        _frames(),
        _wraps(),
    ]


def _grounds() -> list[Select[Any]]:
    c, t, v = tables.caller.c, tables.ticket.c, tables.verification.c
    registered = both(c.controller_id == _CONTROLLER, _any(c.caller_id, _CALLERS))
    stated = both(t.controller_id == _CONTROLLER, _any(t.ticket_id, _TICKETS))
    cared = both(
        _about(tables.ticket),
        _any(t.assignee, _CALLERS),
        t.state != _constant("closed"),
        sa.or_(t.topic == _constant("care"), t.topic == _constant("request")),
    )
    proved = both(_about(tables.verification), _any(v.caller_id, _CALLERS), _any(v.ticket_id, _TICKETS))
    g = tables.break_glass.c
    granted = both(_about(tables.break_glass), _any(g.requester, _CALLERS), g.reviewed_at.is_(None))
    grant = {"a": g.requester, "b": g.ticket_id, "c": g.purpose, "d": g.grant_id, "since": g.opened_at, "until": g.expires_at}
    approved = sa.cast(g.approver.is_not(None), sa.Integer)
    d = tables.policy_denial.c
    # What has ended is told from what has not by the verb's clock; the database's only spares reading those of long ago.
    denied = both(d.controller_id == _CONTROLLER, d.ends_at > sa.func.now() - sa.literal_column("interval '1 hour'"))
    denial = {"a": d.role, "b": d.caller_id, "c": d.purpose, "d": d.channel, "until": d.ends_at}
    caller = {"a": c.team, "b": c.recipient, "c": c.region, "since": c.valid_from, "until": c.valid_until, "r": c.training_until}
    acts = sa.cast(c.acts_for_agents, sa.Integer)
    r = tables.recipient.c
    receiving = both(registered, r.controller_id == c.controller_id, r.name == c.recipient)
    terms = {"a": r.party, "b": r.role, "c": r.country, "d": r.transfer_tool, "since": r.contract_from, "until": r.contract_until}
    ended = sa.cast(r.ended_at.is_not(None), sa.Integer)
    return [
        _part("caller", c.caller_id, registered, n=acts, p=c.roles, q=c.training, **caller),
        _part("recipient", r.name, receiving, n=ended, **terms),
        _part("ticket", t.ticket_id, stated, a=t.subject_id, b=t.state, c=t.assignee, d=t.team, since=t.updated_at),
        _part("assignment", t.subject_id, cared, a=t.assignee, b=t.topic, p=t.fields),
        _part("proof", v.subject_id, proved, a=v.caller_id, b=v.ticket_id, c=v.field, d=v.kind, until=v.valid_until),
        _part("grant", g.subject_id, granted, n=approved, p=g.fields, **grant),
        _part("denial", d.denial_id, denied, p=array([d.field, d["class"], d.recipient]), **denial),
    ]


STATEMENT = sa.union_all(*_people(), *_grounds())
READING = Reading.of("riserbo_disclosing", STATEMENT)
