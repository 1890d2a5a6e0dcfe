"""What lies sealed in the database, as its owner sees it: rows to change places, and people to read afterwards."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from tests.assurance.desk import Desk
from tests.assurance.yes import AlwaysYes
from tests.makers import make_subject
from vault.assembly import Vault
from vault.errors import Unavailable, Unreadable, VaultError
from vault.keys import envelope, frame
from vault.keys.controller_keys import new_controller
from vault.keys.data_keys import NewValue, SealedClass, open_fields, seal_class
from vault.operations.amend import amend
from vault.operations.disclose import disclose
from vault.operations.disclosure import Ask
from vault.permit import ReadPermit

FIELDS: Mapping[str, tuple[str, ...]] = {"contact": ("email", "given_name"), "financial": ("iban", "tax_code")}
Row = dict[str, Any]


class Unit(NamedTuple):
    """One class of one person: a frame, its key and their wraps."""

    controller_id: str
    subject_id: str
    class_name: str


class Cell(NamedTuple):
    """One sealed value with what it is bound to: in the current frame, or in the history."""

    unit: Unit
    entry: frame.FrameEntry
    current: bool


@dataclass(frozen=True)
class Person:
    """Somebody with four values, in two classes. `agreements` by template, companions among them."""

    desk: Desk
    subject_id: str
    values: Mapping[str, str]
    agreements: Mapping[str, str]

    def unit(self, class_name: str) -> Unit:
        """Return one of the person's classes."""
        return Unit(self.desk.controller_id, self.subject_id, class_name)

    @property
    def units(self) -> list[Unit]:
        """Return both."""
        return [self.unit(class_name) for class_name in FIELDS]


class World:
    """Two controllers with two epochs each; people under both; the database's superuser."""

    def __init__(self, connection: "psycopg.Connection[Any]", people: Sequence[Person]) -> None:
        self.sql = connection
        self.people = people
        self.vault = people[0].desk.vault
        self.yes = AlwaysYes(self.vault.policy._bundle)
        self.sealed = {unit: self._read(unit) for person in people for unit in person.units}

    @property
    def units(self) -> list[Unit]:
        """Return every class of everybody."""
        return list(self.sealed)

    def _read(self, unit: Unit) -> SealedClass:
        (row,) = self.rows("vault.profile_frame", "subject_id = %s AND class = %s", *unit[1:])
        where = "subject_id = %s AND class = %s AND generation = %s"
        (key,) = self.rows("keys.data_key", where, *unit[1:], row["generation"])
        wraps = {
            one["holder_id"]: (one["epoch"], one["wrap"])
            for one in self.rows("keys.data_key_wrap", where, *unit[1:], row["generation"])
        }
        return SealedClass(*unit, row["generation"], key["commit"], key["manifest"], row["frame"], wraps)

    def rows(self, table: str, where: str = "true", *values: Any) -> list[Row]:
        """Return the rows of the world's controllers, in an order of their own."""
        mine = sorted({one.desk.controller_id for one in self.people})
        query = f"SELECT * FROM {table} WHERE controller_id = ANY(%s) AND {where}"
        with self.sql.cursor(row_factory=dict_row) as cursor:
            return sorted(cursor.execute(query.encode(), (mine, *values)).fetchall(), key=repr)

    def put(self, table: str, at: Mapping[str, Any], **values: Any) -> None:
        """Overwrite columns of the one row at a key."""
        given = sql.SQL(", ").join(sql.SQL("{} = %s").format(sql.Identifier(name)) for name in values)
        key = sql.SQL(" AND ").join(sql.SQL("{} = %s").format(sql.Identifier(name)) for name in at)
        name = sql.Identifier(*table.split("."))
        done = self.sql.execute(sql.SQL("UPDATE {} SET {} WHERE {}").format(name, given, key), [*values.values(), *at.values()])
        assert done.rowcount == 1

    @contextmanager
    def changed(self, frames: Mapping[Unit, bytes]) -> Iterator[None]:
        """Let frames be others in the block."""
        try:
            for unit, octets in frames.items():
                self.put("vault.profile_frame", _at(unit), frame=octets)
            yield
        finally:
            for unit in frames:
                self.put("vault.profile_frame", _at(unit), frame=self.sealed[unit].frame)

    @contextmanager
    def exchanged(self, table: str, key: Sequence[str], one: Row, other: Row, *columns: str) -> Iterator[None]:
        """Let two rows hold each other's columns in the block. Columns may belong to the key."""
        places = [{name: row[name] for name in key} for row in (one, other)]
        own = [{name: row[name] for name in columns} for row in (one, other)]
        try:
            for place, values in zip(places, reversed(own), strict=True):
                self.put(table, place, **values)
            self.vault.keys.forget()
            yield
        finally:
            for place, given, values in zip(places, reversed(own), own, strict=True):
                self.put(table, {**place, **{name: given[name] for name in columns if name in key}}, **values)
            self.vault.keys.forget()

    def owner(self, of: Unit | Row) -> Person:
        """Return whose row it is."""
        subject_id = of.subject_id if isinstance(of, Unit) else of["subject_id"]
        return next(one for one in self.people if one.subject_id == subject_id)

    def opens(self, person: Person, class_name: str | None = None, through: str | None = None) -> bool:
        """Return whether the person's values are shown: to themselves, or `through` an agreement, policy saying yes to everything.

        What is shown must be right.
        """
        fields = FIELDS[class_name] if class_name else tuple(person.values)
        context, vault = person.desk.context("customer", person.subject_id), self.vault
        if through is not None:
            self.yes.agreement_id, vault = through, replace(vault, policy=self.yes)
        try:
            shown = disclose(vault, Ask(context, person.subject_id, fields)).fields
        except (Unreadable, Unavailable):
            return False
        assert {name: one.value for name, one in shown.items()} == {name: person.values[name] for name in fields}
        return True

    def answers(self, person: Person, class_name: str | None = None) -> bool:
        """Return the same, asked over HTTP: where it does not open, nothing that anybody planted may be in the answer."""
        fields = FIELDS[class_name] if class_name else tuple(person.values)
        answer = person.desk.profile("customer", person.subject_id, *fields)
        if answer.status_code == 200:
            assert {name: one["value"] for name, one in answer.json()["fields"].items()} == {n: person.values[n] for n in fields}
            return True
        assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (500, "unreadable")
        assert not any(value in answer.text for one in self.people for value in one.values.values())
        return False

    def opens_with(self, unit: Unit, packed: bytes) -> bool:
        """Return whether a frame opens once somebody, who has the key, has made its manifest fit: what nobody can do by SQL."""
        held = self.sealed[unit]
        agreement_id = self.owner(unit).agreements["retail@1"]
        epoch, wrap = held.wraps[agreement_id]
        scope = envelope.scope(*unit, held.generation)
        place = envelope.wrap_place(scope, "agreement", agreement_id)
        key = envelope.unwrap_key(self.vault.keys.key(unit.controller_id, epoch), place, epoch, wrap)
        fitting = replace(held, frame=packed, manifest=envelope.manifest(key, scope, packed))
        fields = (*FIELDS[unit.class_name], "phone", "balance")
        permit = ReadPermit("ent_", *unit[:2], dict.fromkeys(fields, agreement_id), b"", 30.0)
        return not refuses(lambda: open_fields(self.vault.keys, permit, [fitting], 0.0))


def _at(unit: Unit) -> dict[str, str]:
    return {"controller_id": unit.controller_id, "subject_id": unit.subject_id, "class": unit.class_name}


def _scope(row: Row) -> bytes:
    return envelope.scope(row["controller_id"], row["subject_id"], row["class"], row["generation"])


def unwrapped(vault: Vault, row: Row) -> bytes:
    """Return the data key inside a row of wraps. Raises Unreadable."""
    place = envelope.wrap_place(_scope(row), row["holder_kind"], row["holder_id"])
    return envelope.unwrap_key(vault.keys.key(row["controller_id"], row["epoch"]), place, row["epoch"], row["wrap"])


def refuses(act: Callable[[], object]) -> bool:
    """Return whether an act fails as one of the vault's own errors."""
    try:
        act()
    except VaultError:
        return True
    return False


def begin_epoch(desk: Desk, connection: "psycopg.Connection[Any]", epoch: int) -> None:
    """Give a controller a key of a later epoch: what is wrapped from now on is wrapped under it."""
    opened = desk.opened
    (made,) = new_controller(opened.keyring, opened.vault.settings.installation, desk.controller_id, epoch).keys
    connection.execute(
        "INSERT INTO keys.controller_key (controller_id, epoch, state, blob, commit, wraps_reserved, created_at)"
        " VALUES (%s, %s, 'open', %s, %s, 0, now())",
        (desk.controller_id, epoch, made.blob, made.commit),
    )
    opened.vault.keys.forget()


def enrolled(connection: "psycopg.Connection[Any]", desk: Desk, agreed: Sequence[str], **values: str) -> Person:
    """Enrol somebody, and correct their e-mail address once, so that there is a history."""
    made = make_subject(desk.vault, desk.controller_id, {**values, "email": "before." + values["email"]}, agreed)
    amend(desk.vault, desk.context("system"), made.subject_id, made.agreements[0], {"email": values["email"]}, 1)
    states = connection.execute(
        "SELECT template, agreement_id FROM vault.agreement_state WHERE controller_id = %s AND subject_id = %s",
        (desk.controller_id, made.subject_id),
    )
    return Person(desk, made.subject_id, values, {str(template): str(agreement_id) for template, agreement_id in states})


def reseal(connection: "psycopg.Connection[Any]", person: Person, class_name: str) -> None:
    """Seal a class anew under its next generation; the old key stays beside it, retired, as during a rotation."""
    vault, (controller_id, subject_id, _) = person.desk.vault, person.unit(class_name)
    values = [NewValue(name, person.values[name], person.agreements["retail@1"], 3) for name in FIELDS[class_name]]
    made = seal_class(
        vault.keys, controller_id, subject_id, class_name, vault.new_id("dk"), values, sorted(person.agreements.values()), 2
    )
    place = (controller_id, subject_id, class_name)
    with connection.transaction():
        connection.execute(
            "UPDATE keys.data_key SET state = 'retired' WHERE controller_id = %s AND subject_id = %s AND class = %s", place
        )
        connection.execute(
            "INSERT INTO keys.data_key VALUES (%s, %s, %s, 2, %s, %s, %s, %s, 'current')",
            (*place, made.data_key_id, made.commit, made.manifest, made.seals),
        )
        for one in made.wraps:
            connection.execute(
                "INSERT INTO keys.data_key_wrap VALUES (%s, %s, %s, 2, 'agreement', %s, %s, %s)",
                (*place, one.holder_id, one.epoch, one.wrap),
            )
        connection.execute(
            "UPDATE vault.profile_frame SET frame = %s, generation = 2 WHERE controller_id = %s AND subject_id = %s AND class = %s",
            (made.frame, *place),
        )
